"""The whole configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from dts_fsm.config.keys import suggestion
from dts_fsm.config.places import Credential, DatabaseConfig, EndpointConfig, database_provider
from dts_fsm.config.reader import Reader
from dts_fsm.config.service import ServiceConfig
from dts_fsm.config.yaml_text import MAX_BYTES, Node, read
from dts_fsm.errors import (
    ConfigurationError,
    DatabaseNotFoundError,
    InvalidDatabaseConfigError,
    InvalidServiceConfigError,
)


@attrs.frozen(kw_only=True)
class Config:
    """What an orchestrator needs to know; made in memory, or read by ``load`` and ``parse``.

    In memory ``endpoints`` and ``databases`` may stay empty, for hosts that hand their own to the orchestrator; names of
    endpoints are checked where any endpoint is configured.

    Attributes:
        service: the section of that name.
        credentials, endpoints, databases: the sections of those names, name -> record.
        file: the file that it was read from, or None.

    Raises:
        ConfigurationError: a record stands under another name than its own, or names an endpoint that does not exist.
    """

    service: ServiceConfig
    credentials: Mapping[str, Credential] = attrs.field(factory=dict, converter=dict)
    endpoints: Mapping[str, EndpointConfig] = attrs.field(factory=dict, converter=dict)
    databases: Mapping[str, DatabaseConfig] = attrs.field(factory=dict, converter=dict)
    file: str | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse names that lead nowhere."""
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
        if name not in self.endpoints:
            raise error(f"there is no endpoint {name!r}; {suggestion(name, self.endpoints)}", key=key)

    def database_provider(self, key: str) -> str:
        """The kind of a configured database: its ``provider``; or its own name (jdp, kbase, nmdc); or by the provider
        of its first endpoint, a bucket for s3 and a catalog for local.

        Raises:
            DatabaseNotFoundError: there is no such database.
            InvalidDatabaseConfigError: nothing tells its kind.
        """
        if key not in self.databases:
            raise DatabaseNotFoundError(key, self.databases)
        database = self.databases[key]
        endpoint = self.endpoints.get(next(iter(database.endpoints.values())))
        provider = database_provider(key, database.provider, endpoint and endpoint.provider)
        if provider is None:
            raise InvalidDatabaseConfigError(
                "is missing, and neither the database's name nor its endpoint's provider tells what kind of database "
                "this is: add provider, for example 'provider: catalog'",
                file=self.file,
                key=f"databases.{key}.provider",
            )
        return provider

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Config:
        """The configuration in a file; relative paths in it start at the file's folder.

        Raises:
            ConfigurationError: the file cannot be read, or ``parse`` refuses it.
        """
        name = os.fspath(path)
        try:
            with open(name, "rb") as stream:
                content = stream.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "the name cannot be used"
            raise ConfigurationError(f"the file cannot be read: {reason}", file=name) from error
        return cls.parse(_decoded(content, name), file=name)

    @classmethod
    def parse(cls, text: str, *, file: str | None = None, environment: Mapping[str, str] | None = None) -> Config:
        """The configuration in a text; relative paths in it start at the folder of ``file``, or at the current one.

        ``${NAME}`` in a value is replaced from ``environment`` (that of the process by default) after the YAML was
        read, so that what a variable holds is never taken for YAML; ``$$`` is a dollar sign.

        Raises:
            ConfigurationError: or the subclass for the section that is wrong, with file, line and key.
        """
        root: Node | None = None
        folder = (Path(file).parent if file else Path()).absolute()
        try:
            root = read(text)
            reader = Reader(root=root, environment=os.environ if environment is None else environment, folder=folder)
            return cls(**reader.sections(), file=file)
        except ConfigurationError as error:
            line = error.line if error.line is not None or root is None else _line(root, error.key or "")
            raise type(error)(error.message, file=file, line=line, key=error.key) from None


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    # Raised outside the except clause: Python's error carries the whole content, secrets included.
    raise ConfigurationError("the file is not UTF-8 text: save it with that encoding", file=name, line=line)


def _line(node: Node, key: str) -> int:
    """The line of a dotted key, or of the nearest thing around it that is in the file."""
    if not isinstance(node.value, dict):
        return node.line
    for name, entry in node.value.items():
        if key == name:
            return entry.line
        # A name may have dots, so the key is not cut at them.
        if key.startswith((f"{name}.", f"{name}[")):
            return _line(entry, key[len(name) + 1 :])
    return node.line
