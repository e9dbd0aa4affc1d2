"""The whole configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from dts_fsm.config.keys import SECTIONS, suggestion
from dts_fsm.config.places import Credential, DatabaseConfig, EndpointConfig, copied, database_provider
from dts_fsm.config.reader import Reader
from dts_fsm.config.service import ServiceConfig
from dts_fsm.config.values import Values
from dts_fsm.config.yaml_text import MAX_BYTES, read
from dts_fsm.errors import (
    ConfigurationError,
    DatabaseNotFoundError,
    InvalidDatabaseConfigError,
    InvalidServiceConfigError,
)
from dts_fsm.records.checks import shown


@attrs.frozen(kw_only=True)
class Config:
    """What an orchestrator needs to know; made in memory, or read by ``load`` and ``parse``.

    In memory ``endpoints`` and ``databases`` may stay empty, for hosts that hand their own to the orchestrator; the
    names of endpoints are checked where any endpoint is configured.

    Attributes:
        service: the section of that name.
        credentials, endpoints, databases: the sections of those names, name -> record.
        file: the file that it was read from, or None.
        lines: dotted key -> line of that file, for ``located``.

    Raises:
        ConfigurationError: a record stands under another name than its own, or names an endpoint that does not exist.
    """

    service: ServiceConfig
    credentials: Mapping[str, Credential] = attrs.field(factory=dict, converter=copied)
    endpoints: Mapping[str, EndpointConfig] = attrs.field(factory=dict, converter=copied)
    databases: Mapping[str, DatabaseConfig] = attrs.field(factory=dict, converter=copied)
    file: str | None = None
    lines: Mapping[str, int] = attrs.field(factory=dict, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        """Refuse what is no record of its section, and names that lead nowhere."""
        if not isinstance(self.service, ServiceConfig):
            raise InvalidServiceConfigError(
                f"must be a ServiceConfig, not {type(self.service).__name__}", key="service"
            )
        if not isinstance(self.file, str | None):
            raise ConfigurationError(f"must be text or None, not {type(self.file).__name__}", key="file")
        _check_records("credentials", self.credentials, Credential)
        _check_records("endpoints", self.endpoints, EndpointConfig)
        _check_records("databases", self.databases, DatabaseConfig)
        names = [(f"credentials.{name}", name, record.name) for name, record in self.credentials.items()]
        names += [(f"endpoints.{name}", name, record.key) for name, record in self.endpoints.items()]
        names += [(f"databases.{name}", name, record.key) for name, record in self.databases.items()]
        for key, name, own in names:
            if name != own:
                raise ConfigurationError(f"its record is named {own!r}: use one name", key=key)
        if not self.endpoints:
            return
        self._check_endpoint(self.service.endpoint, "service.endpoint", InvalidServiceConfigError)
        for database in self.databases.values():
            for functional_name, endpoint in database.endpoints.items():
                key = f"endpoints.{functional_name}" if functional_name else "endpoint"
                self._check_endpoint(endpoint, f"databases.{database.key}.{key}", InvalidDatabaseConfigError)

    def _check_endpoint(self, name: str, key: str, error: type[ConfigurationError]) -> None:
        if not name:
            raise error("is missing: name one of the endpoints", key=key)
        if name not in self.endpoints:
            raise error(f"there is no endpoint {name!r}; {suggestion(name, self.endpoints)}", key=key)

    def database_provider(self, key: str) -> str:
        """Give the kind of a configured database.

        That is its ``provider``; or its own name (jdp, kbase, nmdc); or it goes by the provider of its first endpoint:
        "bucket" for s3, "catalog" for local.

        Raises:
            DatabaseNotFoundError: there is no such database.
            InvalidDatabaseConfigError: nothing tells its kind.
        """
        if key not in self.databases:
            raise DatabaseNotFoundError(key, self.databases)
        database = self.databases[key]
        endpoint = self.endpoints.get(next(iter(database.endpoints.values())))
        provider = database_provider(key, database.provider, endpoint.provider if endpoint else None)
        if provider is None:
            raise self.located(
                InvalidDatabaseConfigError(
                    "is missing, and neither the database's name nor its endpoint's provider tells what kind of "
                    "database this is: add provider, for example 'provider: catalog'",
                    key=f"databases.{key}.provider",
                )
            )
        return provider

    def located(self, error: ConfigurationError) -> ConfigurationError:
        """Give the same error with the file of this configuration, and the line of its key or of what is around it.

        An error that has a file already is given back as it is.
        """
        if error.file is not None or self.file is None:
            return error
        return _located(error, self.file, self.lines)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Config:
        """The configuration in a file; relative paths in it start at the file's folder.

        Raises:
            ConfigurationError: the file cannot be read, or ``parse`` refuses it.
        """
        try:
            name = os.fsdecode(path)
        except TypeError:
            raise ConfigurationError(f"a path is needed, not {shown(path)}") from None
        try:
            with open(name, "rb") as stream:
                content = stream.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "the name cannot be used"
            raise ConfigurationError(f"the file cannot be read: {reason}", file=name) from error
        if len(content) > MAX_BYTES:
            raise ConfigurationError(
                f"the file is larger than {MAX_BYTES} bytes: it is not a configuration of dts_fsm", file=name
            )
        return cls.parse(_decoded(content, name), file=name)

    @classmethod
    def parse(cls, text: str, *, file: str | None = None, environment: Mapping[str, str] | None = None) -> Config:
        """The configuration in a text; relative paths in it start at the folder of ``file``, or at the current one.

        ``${NAME}`` in a value is replaced from ``environment`` (that of the process by default) after the YAML was
        read, so that what a variable holds is never taken for YAML; ``$$`` is a dollar sign.

        Raises:
            ConfigurationError: or the subclass for the section that is wrong, with file, line and key.
        """
        lines: Mapping[str, int] = {}
        folder = (Path(file).parent if file else Path()).absolute()
        try:
            root = read(text)
            lines = root.lines()
            values = Values(environment=os.environ if environment is None else environment, folder=folder)
            return cls(**Reader(root=root, values=values).sections(), file=file, lines=lines)
        except ConfigurationError as error:
            raise _located(error, file, lines) from None


def _check_records(section: str, records: Any, kind: type) -> None:
    if not isinstance(records, dict):
        raise SECTIONS[section](f"must be a mapping, not {type(records).__name__}", key=section)
    for name, record in records.items():
        if not isinstance(name, str) or not isinstance(record, kind):
            raise SECTIONS[section](
                f"must be a record of the class {kind.__name__} by its name", key=f"{section}.{shown(name)}"
            )


def _located(error: ConfigurationError, file: str | None, lines: Mapping[str, int]) -> ConfigurationError:
    line, near = error.line, error.key or ""
    if line is None:
        while near and near not in lines:
            near = near[: max(near.rfind("."), near.rfind("["), 0)]
        line = lines.get(near)
    return type(error)(error.message, file=file, line=line, key=error.key)


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    # Raised outside the except clause: Python's error carries the whole content, secrets included.
    raise ConfigurationError("the file is not UTF-8 text: save it with that encoding", file=name, line=line)
