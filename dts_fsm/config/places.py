"""Credentials, endpoints and databases: frozen, validated when made, whether from a file or in memory.

Errors name the key as a file has it (``endpoints.tape.provider``); who reads a file adds its name and the line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs

from dts_fsm.config.secret import Secret
from dts_fsm.config.service import optional_rate
from dts_fsm.errors import (
    ConfigurationError,
    InvalidCredentialConfigError,
    InvalidDatabaseConfigError,
    InvalidEndpointConfigError,
)
from dts_fsm.records.checks import shown


@attrs.frozen(kw_only=True)
class Credential:
    """How dts_fsm identifies itself to a provider.

    Attributes:
        name: its key in the section ``credentials``.
        id: the user's or client's id; "" where a secret is all that is needed.
        secret: None where an id is all that is needed.

    Raises:
        InvalidCredentialConfigError: neither id nor secret, a secret that is not a ``Secret``, or a bad name.
    """

    name: str = attrs.field(validator=lambda _, __, name: check_name("credentials", name, InvalidCredentialConfigError))
    id: str = ""
    secret: Secret | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse a credential that says nothing, or that would show its secret."""
        _check_kinds(f"credentials.{self.name}", InvalidCredentialConfigError, id=(self.id, _TEXT))
        check_secret(self.secret, f"credentials.{self.name}.secret", InvalidCredentialConfigError)
        if not self.id and (self.secret is None or not self.secret.reveal()):
            raise InvalidCredentialConfigError("needs an id, a secret, or both", key=f"credentials.{self.name}.id")


_CREDENTIAL = (Credential | None, "a Credential or None")


def _keys_only(options: Mapping[str, Any]) -> str:
    return f"<{', '.join(map(str, options)) or 'none'}>"


def copied(mapping: Any) -> Any:
    """A converter: a dict of its own; anything but a mapping is left to a check."""
    return dict(mapping) if isinstance(mapping, Mapping) else mapping


def _options() -> Any:
    # A third party's option may hold a secret under any name: a repr shows the keys alone.
    return attrs.field(factory=dict, converter=copied, repr=_keys_only)


def _optional_count(section: str, error: type[ConfigurationError]) -> Any:
    def check(record: Any, _: Any, value: Any) -> None:
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1000):
            raise error("must be a whole number from 1 to 1000", key=f"{section}.{record.key}.concurrency")

    return attrs.field(default=None, validator=check)


def check_name(section: str, name: Any, error: type[ConfigurationError]) -> None:
    """Refuse a name that is empty, not text, not printable, or has a colon (custom destinations are cut there)."""
    if not isinstance(name, str) or not name or not name.isprintable() or ":" in name:
        written = name if isinstance(name, str) and name.isprintable() else shown(name)
        raise error("a name must be printable text without ':' and not empty", key=f"{section}.{written}")


_TEXT, _MAPPING, _MAYBE_TEXT = (str, "text"), (dict, "a mapping"), (str | None, "text or None")


def _check_kinds(place: str, error: type[ConfigurationError], **values: tuple[object, tuple[Any, str]]) -> None:
    """Refuse values, each given by its key and with its kind, that are of another."""
    for key, (value, (kind, words)) in values.items():
        if not isinstance(value, kind):
            raise error(f"must be {words}, not {type(value).__name__}", key=f"{place}.{key}")


def check_secret(secret: Any, key: str, error: type[ConfigurationError]) -> None:
    """Refuse a secret that is plain text: the record's repr would show it."""
    if secret is not None and not isinstance(secret, Secret):
        raise error("must be a Secret", key=key)


@attrs.frozen(kw_only=True)
class EndpointConfig:
    """An endpoint of the section ``endpoints``.

    Attributes:
        key: its name there.
        title: what people call it; in a file ``name``.
        id: its id at its provider, a UUID for globus; "" where there is none.
        provider: who moves the bytes: "local", "s3", "globus", ...
        credential: for the provider, or None.
        root: the folder, in the provider's own terms, below which everything lies.
        concurrency, rate_per_s: how many of its calls run at once, and begin in a second; None: as in ``service``.
        options: the provider's own keys; values whose key sounds of a secret are ``Secret``.
        state_dir: a folder of this endpoint's own for what must survive a restart, made by whoever writes there; None
            where nobody has given it one. An orchestrator gives each endpoint its own below ``service.data_dir``.

    Raises:
        InvalidEndpointConfigError: no provider; a bad name; an id that globus cannot use.
    """

    key: str = attrs.field(validator=lambda _, __, key: check_name("endpoints", key, InvalidEndpointConfigError))
    title: str = ""
    id: str = ""
    provider: str
    credential: Credential | None = None
    root: str = "/"
    concurrency: int | None = _optional_count("endpoints", InvalidEndpointConfigError)
    rate_per_s: float | None = optional_rate("endpoints", InvalidEndpointConfigError)
    options: Mapping[str, Any] = _options()
    state_dir: Path | None = attrs.field(default=None, eq=False)  # not configured, but given

    def __attrs_post_init__(self) -> None:
        """Refuse what no provider can work with."""
        _check_kinds(
            f"endpoints.{self.key}",
            InvalidEndpointConfigError,
            name=(self.title, _TEXT),
            id=(self.id, _TEXT),
            root=(self.root, _TEXT),
            credential=(self.credential, _CREDENTIAL),
            options=(self.options, _MAPPING),
            state_dir=(self.state_dir, (Path | None, "a Path or None")),
        )
        if not isinstance(self.provider, str) or not self.provider:
            raise InvalidEndpointConfigError(
                "is missing: say who moves the bytes, for example 'local', 's3' or 'globus'",
                key=f"endpoints.{self.key}.provider",
            )
        if self.provider == "globus" and not _is_uuid(self.id):
            raise InvalidEndpointConfigError(
                "must be the UUID of a Globus collection: copy it from the collection's page",
                key=f"endpoints.{self.key}.id",
            )


def _is_uuid(text: str) -> bool:
    try:
        return UUID(text).int != 0
    except (ValueError, AttributeError):
        return False


@attrs.frozen(kw_only=True)
class DatabaseConfig:
    """A database of the section ``databases``.

    Attributes:
        key: its name there; the one that clients use.
        title: what people call it; in a file ``name``.
        organization: who runs it.
        endpoints: the endpoints where its files are, functional name -> name in ``endpoints``; ``{"": name}`` for one
            that has no functional name.
        credential, secret: for the database's own service, or None.
        provider: its kind where a file says it, else None; ``Config.database_provider`` finds it out.
        concurrency, rate_per_s: how many of its calls run at once, and begin in a second; None: as in ``service``.
        options: the provider's own keys; values whose key sounds of a secret are ``Secret``, paths are absolute text.

    Raises:
        InvalidDatabaseConfigError: no endpoints, a secret that is not a ``Secret``, or a bad name.
    """

    key: str = attrs.field(validator=lambda _, __, key: check_name("databases", key, InvalidDatabaseConfigError))
    title: str = ""
    organization: str = ""
    endpoints: Mapping[str, str] = attrs.field(converter=copied)
    credential: Credential | None = None
    secret: Secret | None = None
    provider: str | None = None
    concurrency: int | None = _optional_count("databases", InvalidDatabaseConfigError)
    rate_per_s: float | None = optional_rate("databases", InvalidDatabaseConfigError)
    options: Mapping[str, Any] = _options()

    def __attrs_post_init__(self) -> None:
        """Refuse a database without files."""
        _check_kinds(
            f"databases.{self.key}",
            InvalidDatabaseConfigError,
            name=(self.title, _TEXT),
            organization=(self.organization, _TEXT),
            endpoints=(self.endpoints, _MAPPING),
            credential=(self.credential, _CREDENTIAL),
            provider=(self.provider, _MAYBE_TEXT),
            options=(self.options, _MAPPING),
        )
        if not all(isinstance(name, str) for names in self.endpoints.items() for name in names):
            raise InvalidDatabaseConfigError("must be texts by text", key=f"databases.{self.key}.endpoints")
        check_secret(self.secret, f"databases.{self.key}.secret", InvalidDatabaseConfigError)
        if not self.endpoints:
            raise InvalidDatabaseConfigError(
                "is missing: name the endpoint where its files are, or several under 'endpoints'",
                key=f"databases.{self.key}.endpoint",
            )


def database_provider(key: str, explicit: str | None, endpoint_provider: str | None) -> str | None:
    """The kind of a database: what is said, else its own name, else by its endpoint's provider; None if none tells."""
    if explicit:
        return explicit
    if key in ("jdp", "kbase", "nmdc"):
        return key
    return {"s3": "bucket", "local": "catalog"}.get(endpoint_provider or "")
