"""Finds the providers of endpoints and databases, ours included, among the packages that are installed.

A package offers one through an entry point of the group ``dts_fsm.endpoints`` or ``dts_fsm.databases``; what it names
is called as ``EndpointFactory`` and ``DatabaseFactory`` say.
"""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import quote

import attrs

from dts_fsm.config import Config, DatabaseConfig, EndpointConfig
from dts_fsm.config.keys import SECTIONS
from dts_fsm.config.redaction import redacted
from dts_fsm.errors import (
    AlreadyRegisteredError,
    ConfigurationError,
    InvalidDatabaseConfigError,
    InvalidEndpointConfigError,
    InvalidProviderError,
)
from dts_fsm.interfaces import Database, Endpoint

T = TypeVar("T")

ENDPOINTS_GROUP = "dts_fsm.endpoints"
DATABASES_GROUP = "dts_fsm.databases"

_EXTRAS = {
    "bucket": "s3",
    "fsspec": "fsspec",
    "globus": "globus",
    "http": "http",
    "jdp": "http",
    "kbase": "http",
    "nmdc": "http",
    "s3": "s3",
    "sftp": "sftp",
}


class EndpointFactory(Protocol):
    """Makes the endpoint that a section of the configuration describes.

    What it raises is shown to whoever wrote the file: an ``InvalidEndpointConfigError`` that names the key.
    """

    def __call__(self, config: EndpointConfig, *, executor: Executor | None = None) -> Endpoint:
        """Give the endpoint; ``executor``, where there is one, moves the bytes."""
        ...


class DatabaseFactory(Protocol):
    """Makes the database that a section of the configuration describes.

    What it raises is shown to whoever wrote the file: an ``InvalidDatabaseConfigError`` that names the key.
    """

    def __call__(self, config: DatabaseConfig, *, endpoints: Mapping[str, Endpoint]) -> Database:
        """Give the database; ``endpoints`` has every configured endpoint, made when it is first looked up."""
        ...


class OnDemand(Mapping[str, T]):
    """What ``make`` makes of each name, made when it is first looked up and then kept.

    All names are there from the beginning; ``in``, ``len`` and iterating over them make nothing. Safe for threads: a
    name is made once, and one that takes long holds up only those who ask for the same. A failure is not kept: the
    next look-up tries again.
    """

    def __init__(self, names: Mapping[str, Any], make: Callable[[str], T]) -> None:
        self._make = make
        self._locks = {name: threading.Lock() for name in names}
        self._made: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        """Give what was made of the name; ``KeyError`` for an unknown one, and whatever making it raises."""
        lock = self._locks[name]
        with lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def __contains__(self, name: object) -> bool:
        """True for a known name, whether it can be made or not."""
        return name in self._locks

    def __iter__(self) -> Iterator[str]:
        """The names, in the order of the configuration."""
        return iter(self._locks)

    def __len__(self) -> int:
        """How many names there are."""
        return len(self._locks)

    def __repr__(self) -> str:
        """The names alone."""
        return f"<{', '.join(self._locks) or 'none'}>"

    def made(self) -> dict[str, T]:
        """Give what was made until now: that is what there is to close."""
        return dict(self._made)


def endpoint_factory(provider: str) -> EndpointFactory:
    """Give the installed factory of endpoints of this provider.

    Raises:
        InvalidProviderError: no installed package offers it, or the one that does cannot be imported.
        AlreadyRegisteredError: two packages offer it.
    """
    return cast(EndpointFactory, _factory(ENDPOINTS_GROUP, "endpoint", provider))


def database_factory(provider: str) -> DatabaseFactory:
    """Give the installed factory of databases of this kind.

    Raises:
        InvalidProviderError: no installed package offers it, or the one that does cannot be imported.
        AlreadyRegisteredError: two packages offer it.
    """
    return cast(DatabaseFactory, _factory(DATABASES_GROUP, "database", provider))


def build_endpoints(config: Config, *, executor: Executor | None = None) -> OnDemand[Endpoint]:
    """Give the configured endpoints by name, each made when it is first looked up.

    A look-up raises ``ConfigurationError`` with file, line and key where the endpoint cannot be made.
    """

    def make(name: str) -> Endpoint:
        section = config.endpoints[name]
        if section.state_dir is None:
            section = attrs.evolve(section, state_dir=_state_dir(config, name))
        factory = _located(config, f"endpoints.{name}.provider", lambda: endpoint_factory(section.provider))
        return _called(
            config,
            f"endpoints.{name}",
            InvalidEndpointConfigError,
            lambda: factory(section, executor=executor),
        )

    return OnDemand(config.endpoints, make)


def build_databases(config: Config, endpoints: Mapping[str, Endpoint]) -> OnDemand[Database]:
    """Give the configured databases by name, each made when it is first looked up.

    A look-up raises ``ConfigurationError`` with file, line and key where the database, or an endpoint that it asks
    for, cannot be made.
    """

    def make(name: str) -> Database:
        section = config.databases[name]
        provider = config.database_provider(name)
        factory = _located(config, f"databases.{name}.provider", lambda: database_factory(provider))
        return _called(
            config,
            f"databases.{name}",
            InvalidDatabaseConfigError,
            lambda: factory(section, endpoints=endpoints),
        )

    return OnDemand(config.databases, make)


def _state_dir(config: Config, name: str) -> Path:
    folder = quote(name, safe=" ")
    # "." and ".." are names of endpoints, too
    return config.service.data_dir / "endpoints" / (folder if folder.strip(".") else folder.replace(".", "%2E"))


def _factory(group: str, kind: str, provider: str) -> Callable[..., Any]:
    installed = importlib.metadata.entry_points(group=group)
    # An entry point without a distribution counts by what it names; the same package is found twice where its folder
    # is on the path twice.
    offers = {entry.dist.name if entry.dist else entry.value: entry for entry in installed if entry.name == provider}
    if not offers:
        raise InvalidProviderError(_not_installed(kind, provider, sorted({entry.name for entry in installed})))
    if len(offers) > 1:
        packages = ", ".join(sorted(offers))
        raise AlreadyRegisteredError(
            f"several packages offer the {kind} provider {provider!r}: {packages}; uninstall all but one"
        )
    (package, entry), *_ = offers.items()
    try:
        factory = entry.load()
    except (Exception, SystemExit) as error:  # whatever a foreign module does when it is imported
        raise InvalidProviderError(
            f"the package {package} offers the {kind} provider {provider!r}, but {entry.value} cannot be imported: "
            f"{type(error).__name__}: {error}{_extra_missing(provider, error)}"
        ) from error
    if not callable(factory):
        raise InvalidProviderError(
            f"the package {package} offers the {kind} provider {provider!r}, but {entry.value} cannot be called"
        )
    return cast(Callable[..., Any], factory)


def _extra_missing(provider: str, error: BaseException) -> str:
    extra = _EXTRAS.get(provider)
    return (
        f"; install what it needs: pip install 'dts-fsm[{extra}]'" if extra and isinstance(error, ImportError) else ""
    )


def _not_installed(kind: str, provider: str, installed: list[str]) -> str:
    extra = _EXTRAS.get(provider)
    how = "a package that offers it"
    if extra:
        how += f", for example by an extra: pip install 'dts-fsm[{extra}]'"
    return (
        f"no installed package offers the {kind} provider {provider!r}; installed are: "
        f"{', '.join(installed) or 'none'}; correct the name, or install {how}"
    )


def _located(config: Config, key: str, call: Callable[[], T]) -> T:
    """The call's answer; its errors get the configuration's file, line and key."""
    try:
        return call()
    except ConfigurationError as error:
        raise config.located(type(error)(error.message, key=key)) from error.__cause__


def _called(
    config: Config,
    key: str,
    wrong: type[ConfigurationError],
    call: Callable[[], T],
) -> T:
    """What the factory makes; whatever it raises becomes a ``ConfigurationError`` that names the key."""
    cause: Exception | None
    try:
        return call()
    except ConfigurationError as error:
        cause, fault = error, _keyed(config, key, error)
    except Exception as error:
        cause, fault = error, wrong(f"its provider could not set it up: {type(error).__name__}: {error}", key=key)
    message = redacted(fault.message, config)
    if message != fault.message:
        fault = type(fault)(message, file=fault.file, line=fault.line, key=fault.key)
        cause = None  # its traceback would show what was just taken out
    # Raised outside the except clauses, so that a cause that was left out does not come back as the context.
    raise config.located(fault) from cause


def _keyed(config: Config, key: str, error: ConfigurationError) -> ConfigurationError:
    """The factory's error with a key of the configuration, where it has one of its own, or none."""
    if error.file is not None and error.file != config.file:  # the fault is in a file of the provider's own
        return type(error)(str(error), key=key)
    own = error.key or ""
    if own.partition(".")[0] not in SECTIONS:
        own = f"{key}.{own}" if own else key
    return type(error)(error.message, file=error.file, line=error.line, key=own)
