"""From the tree of a YAML file to the records of its sections.

Errors are raised with the dotted key alone; ``Config.parse`` adds file and line. A variable's value and a credential
never stand in a message.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from dts_fsm.config.keys import (
    DATABASE_KEYS,
    DATABASE_OPTIONS,
    ENDPOINT_KEYS,
    ENDPOINT_OPTIONS,
    Kind,
    is_sensitive,
    suggestion,
)
from dts_fsm.config.places import Credential, DatabaseConfig, EndpointConfig, database_provider
from dts_fsm.config.secret import Secret
from dts_fsm.config.service import ServiceConfig, absolute
from dts_fsm.config.yaml_text import Node
from dts_fsm.errors import (
    ConfigurationError,
    InvalidCredentialConfigError,
    InvalidDatabaseConfigError,
    InvalidEndpointConfigError,
    InvalidServiceConfigError,
    NoDatabasesAvailableError,
)
from dts_fsm.records.checks import is_unicode

_ERRORS: Mapping[str, type[ConfigurationError]] = {
    "service": InvalidServiceConfigError,
    "credentials": InvalidCredentialConfigError,
    "endpoints": InvalidEndpointConfigError,
    "databases": InvalidDatabaseConfigError,
}
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|(?P<open>\{))")
_WHOLE = re.compile(r"[-+]?[0-9]+(?:_[0-9]+)*")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_MAX_DIGITS = 100


def _error(key: str, message: str) -> ConfigurationError:
    return _ERRORS.get(key.partition(".")[0], ConfigurationError)(message, key=key)


@attrs.frozen(kw_only=True)
class Reader:
    """Reads one file.

    Attributes:
        root: the file's tree.
        environment: the values of ``${NAME}``.
        folder: where relative paths start.
    """

    root: Node
    environment: Mapping[str, str]
    folder: Path

    def sections(self) -> dict[str, Any]:
        """The arguments of ``Config``: service, credentials, endpoints, databases.

        Raises:
            ConfigurationError: or the subclass for the section, with ``key``.
        """
        if not isinstance(self.root.value, dict):
            raise ConfigurationError(f"the file must be a mapping with the sections {', '.join(_ERRORS)}")
        sections = self._known(self.root, "", dict.fromkeys(_ERRORS, Kind.ANY))
        for name in ("service", "endpoints"):
            if name not in sections or not self._mapping(sections[name], name):
                raise _error(name, "this section is missing or empty: it is needed")
        if "databases" not in sections or not self._mapping(sections["databases"], "databases"):
            raise NoDatabasesAvailableError("there are no databases: configure at least one", key="databases")
        service = self._service(sections["service"])
        credentials = {
            name: self._credential(node, f"credentials.{name}", name)
            for name, node in self._mapping(sections.get("credentials"), "credentials").items()
        }
        endpoints = {
            name: self._endpoint(node, name, credentials)
            for name, node in self._mapping(sections["endpoints"], "endpoints").items()
        }
        databases = {
            name: self._database(node, name, credentials, endpoints)
            for name, node in self._mapping(sections["databases"], "databases").items()
        }
        return {"service": service, "credentials": credentials, "endpoints": endpoints, "databases": databases}

    # Sections

    def _service(self, section: Node) -> ServiceConfig:
        settings = {field.metadata["key"]: field for field in attrs.fields(ServiceConfig)}
        kinds = {key: field.metadata["kind"] for key, field in settings.items()}
        values: dict[str, Any] = {}
        for key, node in self._known(section, "service", kinds).items():
            value = self.value(node, f"service.{key}", kinds[key])
            scale = settings[key].metadata["scale"]
            values[settings[key].name] = value / scale if scale != 1 else value
        for key in ("data_dir", "endpoint"):
            if not values.get(key):
                raise _error(f"service.{key}", "is missing: it has no default")
        return ServiceConfig(**values)

    def _credential(self, node: Node, path: str, name: str, names: tuple[str, str] = ("id", "secret")) -> Credential:
        kinds = dict(zip(names, (Kind.TEXT, Kind.SECRET), strict=True))
        values = self._values(self._known(node, path, kinds), path, kinds)
        return Credential(name=name, id=values.get(names[0], ""), secret=values.get(names[1]))

    def _endpoint(self, node: Node, name: str, credentials: Mapping[str, Credential]) -> EndpointConfig:
        path = f"endpoints.{name}"
        entries = self._mapping(node, path)
        provider = self._optional_text(entries, path, "provider") or ""
        kinds, values = self._place(node, path, ENDPOINT_KEYS, ENDPOINT_OPTIONS.get(provider) if provider else {})
        credential = self._named_credential(values, path, credentials)
        if "auth" in values:  # the form of DTS's older files and of its manual
            if credential is not None:
                raise _error(f"{path}.auth", "stands beside 'credential': give one of them")
            credential = self._credential(
                entries["auth"], f"{path}.auth", f"{name}.auth", ("client_id", "client_secret")
            )
        options = {key: value for key, value in values.items() if key not in kinds}
        root = values.get("root") or "/"
        if provider == "local":
            root = self._local_root(values, options, path)
        return EndpointConfig(
            key=name,
            title=values.get("name", ""),
            id=values.get("id", ""),
            provider=provider,
            credential=credential,
            root=root,
            options=options,
        )

    def _local_root(self, values: Mapping[str, Any], options: dict[str, Any], path: str) -> str:
        """DTS calls the root of a local endpoint ``root`` in some versions and ``base_path`` + ``data_path`` in others."""
        base, below = options.pop("base_path", None), options.pop("data_path", "")
        if base is not None and "root" in values:
            raise _error(f"{path}.base_path", "stands beside 'root': give one of them")
        key = "root" if base is None else "base_path"
        root = self._path(values.get("root", "/") if base is None else base, f"{path}.{key}")
        return str(root / below.lstrip("/"))

    def _database(
        self,
        node: Node,
        name: str,
        credentials: Mapping[str, Credential],
        endpoints: Mapping[str, EndpointConfig],
    ) -> DatabaseConfig:
        path = f"databases.{name}"
        entries = self._mapping(node, path)
        places = self._database_endpoints(entries, path)
        first = endpoints.get(next(iter(places.values()), ""))
        provider = self._optional_text(entries, path, "provider")
        kind = database_provider(name, provider, first and first.provider)
        kinds, values = self._place(node, path, DATABASE_KEYS, DATABASE_OPTIONS.get(kind) if kind else None)
        return DatabaseConfig(
            key=name,
            title=values.get("name", ""),
            organization=values.get("organization", ""),
            endpoints=places,
            credential=self._named_credential(values, path, credentials),
            secret=values.get("secret"),
            provider=provider or None,
            options={key: value for key, value in values.items() if key not in kinds},
        )

    def _database_endpoints(self, entries: Mapping[str, Node], path: str) -> dict[str, str]:
        single = self._optional_text(entries, path, "endpoint")
        several = self._mapping(entries.get("endpoints"), f"{path}.endpoints")
        if single and several:
            raise _error(f"{path}.endpoints", "stands beside 'endpoint': give one of them")
        if single:
            return {"": single}
        return {name: self._text(node, f"{path}.endpoints.{name}") for name, node in several.items()}

    def _named_credential(
        self, values: Mapping[str, Any], path: str, credentials: Mapping[str, Credential]
    ) -> Credential | None:
        name = values.get("credential")
        if not name:
            return None
        if name not in credentials:
            # Not the name itself: a secret may have been written where its name belongs.
            message = f"names a credential that is not defined; {suggestion(name, credentials)}"
            raise InvalidCredentialConfigError(message, key=f"{path}.credential")
        return credentials[name]

    def _place(
        self, node: Node, path: str, common: Mapping[str, Kind], options: Mapping[str, Kind] | None
    ) -> tuple[Mapping[str, Kind], dict[str, Any]]:
        """The common keys, and all values; ``options`` None accepts any further key."""
        entries = self._mapping(node, path) if options is None else self._known(node, path, {**common, **options})
        return common, self._values(entries, path, {**(options or {}), **common})

    # Values

    def _known(self, node: Node, path: str, kinds: Mapping[str, Kind]) -> dict[str, Node]:
        entries = self._mapping(node, path)
        for key in entries:
            if key not in kinds:
                where = f"{path}.{key}" if path else key
                raise _error(where, f"there is no such key; {suggestion(key, kinds)}")
        return entries

    def _mapping(self, node: Node | None, path: str) -> dict[str, Node]:
        """The entries of a mapping that have a value; none where the key is written without one."""
        if node is None or node.null:
            return {}
        if not isinstance(node.value, dict):
            raise _error(path, "must be a mapping: keys with values, indented below it")
        return {key: entry for key, entry in node.value.items() if not entry.null or path in _ERRORS or not path}

    def _values(self, entries: Mapping[str, Node], path: str, kinds: Mapping[str, Kind]) -> dict[str, Any]:
        return {
            key: self.value(node, f"{path}.{key}", kinds.get(key, Kind.SECRET if is_sensitive(key) else Kind.ANY))
            for key, node in entries.items()
        }

    def _optional_text(self, entries: Mapping[str, Node], path: str, key: str) -> str | None:
        return self._text(entries[key], f"{path}.{key}") if key in entries else None

    def value(self, node: Node, path: str, kind: Kind) -> Any:
        """The value as its kind wants it.

        Raises:
            ConfigurationError: it is of another kind, or names an undefined variable.
        """
        if kind is Kind.ANY:
            return self._any(node, path)
        text = self._text(node, path)
        if kind is Kind.TEXT:
            return text
        if kind is Kind.SECRET:
            return Secret(text)
        if kind is Kind.PATH:
            return self._path(text, path)
        if kind is Kind.FLAG:
            number: Any = _FLAGS.get(text.lower())
        else:
            number = _number(text, whole=kind is not Kind.NUMBER)
        if number is None or (kind is Kind.COUNT and number < 1):
            raise _error(path, f"must be {kind.value}")
        return number

    def _path(self, text: str, path: str) -> Path:
        try:
            return absolute(text, self.folder)
        except ValueError as error:
            raise _error(path, str(error)) from None

    def _any(self, node: Node, path: str) -> Any:
        if isinstance(node.value, dict):
            return self._values(node.value, path, {})
        if isinstance(node.value, list):
            return [self._any(item, f"{path}[{index}]") for index, item in enumerate(node.value)]
        if node.null:
            return None
        text = self._text(node, path)
        if not node.plain:
            return text
        if text in ("true", "false"):
            return text == "true"
        whole = _number(text, whole=True)
        number = whole if whole is not None else _number(text, whole=False)
        return text if number is None else number

    def _text(self, node: Node, path: str) -> str:
        if not isinstance(node.value, str):
            raise _error(path, f"must be one value, not a {'mapping' if isinstance(node.value, dict) else 'list'}")

        def expanded(match: re.Match[str]) -> str:
            if match["dollar"]:
                return "$"
            if match["open"]:
                raise _error(path, "has '${' that begins no variable: write ${NAME}, and $$ for a dollar sign")
            value = self.environment.get(match["name"])
            if value is None:
                message = (
                    f"the variable {match['name']} is not defined: set it in the environment, or write $$ for a dollar"
                )
                raise _error(path, message)
            return value

        text = _VARIABLE.sub(expanded, node.value)
        if not is_unicode(text):
            raise _error(path, "is not valid Unicode: a variable's value must be UTF-8")
        return text


def _number(text: str, *, whole: bool) -> Any:
    """The number, or None for what is none; leading zeros are no numbers but ids, unless a number is asked for."""
    if len(text) > _MAX_DIGITS:
        return None
    if _WHOLE.fullmatch(text):
        return int(text)
    if whole or not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None
