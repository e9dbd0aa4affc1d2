"""From the tree of a YAML file to the records of its sections.

Errors are raised with the dotted key alone; ``Config.parse`` adds file and line. A variable's value and a credential
never stand in a message.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import attrs

from dts_fsm.config.keys import (
    DATABASE_KEYS,
    DATABASE_OPTIONS,
    ENDPOINT_KEYS,
    ENDPOINT_OPTIONS,
    SECTIONS,
    Kind,
    fault,
    suggestion,
)
from dts_fsm.config.places import Credential, DatabaseConfig, EndpointConfig, check_name, database_provider
from dts_fsm.config.service import ServiceConfig
from dts_fsm.config.values import Values
from dts_fsm.config.yaml_text import Node, joined
from dts_fsm.errors import (
    ConfigurationError,
    InvalidCredentialConfigError,
    InvalidEndpointConfigError,
    NoDatabasesAvailableError,
)

_SERVICE_ALIASES: Mapping[str, str] = {"data_directory": "data_dir"}


@attrs.frozen(kw_only=True)
class Reader:
    """Reads one file.

    Attributes:
        root: the file's tree.
        values: gives the values of its nodes.
    """

    root: Node
    values: Values

    def sections(self) -> dict[str, Any]:
        """The arguments of ``Config``: service, credentials, endpoints, databases.

        Raises:
            ConfigurationError: or the subclass for the section, with ``key``.
        """
        if not isinstance(self.root.value, dict):
            raise ConfigurationError(f"the file must be a mapping with the sections {', '.join(SECTIONS)}")
        self._refuse_unknown(self.root.value, "", SECTIONS)
        parts = {name: _entries(self.root.value.get(name), name) for name in SECTIONS}
        for name in ("service", "endpoints"):
            if not parts[name]:
                raise fault(name, "this section is missing or empty: it is needed")
        if not parts["databases"]:
            raise NoDatabasesAvailableError("there are no databases: configure at least one", key="databases")
        credentials = {
            name: self._credential(node, f"credentials.{name}", name) for name, node in parts["credentials"].items()
        }
        endpoints = {name: self._endpoint(node, name, credentials) for name, node in parts["endpoints"].items()}
        return {
            "service": self._service(parts["service"], endpoints),
            "credentials": credentials,
            "endpoints": endpoints,
            "databases": {
                name: self._database(node, name, credentials, endpoints) for name, node in parts["databases"].items()
            },
        }

    # Sections

    def _service(self, entries: Mapping[str, Node], endpoints: Mapping[str, EndpointConfig]) -> ServiceConfig:
        fields = {field.metadata["key"]: field for field in attrs.fields(ServiceConfig)}
        self._refuse_unknown(entries, "service", [*fields, *_SERVICE_ALIASES])
        settings: dict[str, Any] = {}
        for written, node in _present(entries).items():
            key = _SERVICE_ALIASES.get(written, written)
            if key != written and key in _present(entries):
                raise fault(f"service.{written}", f"is another name of {key!r}, which stands beside it: give one")
            field = fields[key]
            value = self.values.value(node, f"service.{written}", field.metadata["kind"])
            scale = field.metadata["scale"]
            settings[field.name] = value if scale == 1 else value / scale
        for key in ("data_dir", "endpoint"):
            if not settings.get(key):
                raise fault(f"service.{key}", "is missing: it has no default")
        _refuse_hidden_reference(settings["endpoint"], entries["endpoint"], "service.endpoint", endpoints)
        return ServiceConfig(**settings)

    def _credential(self, node: Node, path: str, name: str, names: tuple[str, str] = ("id", "secret")) -> Credential:
        kinds = dict(zip(names, (Kind.TEXT, Kind.SECRET), strict=True))
        entries = _entries(node, path)
        self._refuse_unknown(entries, path, kinds)
        values = self.values.options(_present(entries), path, kinds)
        if not values:  # said here, too, since the record does not know the key of an ``auth``
            raise InvalidCredentialConfigError(f"needs {names[0]}, {names[1]}, or both", key=path)
        return Credential(name=name, id=values.get(names[0], ""), secret=values.get(names[1]))

    def _endpoint(self, node: Node, name: str, credentials: Mapping[str, Credential]) -> EndpointConfig:
        path = f"endpoints.{name}"
        check_name("endpoints", name, InvalidEndpointConfigError)
        entries = _entries(node, path)
        provider = self._optional_text(entries, path, "provider")
        # Without a provider the record refuses itself: no other key has a meaning then.
        values = self._place(entries, path, ENDPOINT_KEYS, ENDPOINT_OPTIONS.get(provider)) if provider else {}
        credential = self._named_credential(values, path, credentials)
        if "auth" in values:  # the form of DTS's older files and of its manual
            if credential is not None:
                raise fault(f"{path}.auth", "stands beside 'credential': give one of them")
            form = ("client_id", "client_secret")
            credential = self._credential(entries["auth"], f"{path}.auth", f"{name}.auth", form)
        options = {key: value for key, value in values.items() if key not in ENDPOINT_KEYS}
        root = self._local_root(values, options, path) if provider == "local" else values.get("root") or "/"
        return EndpointConfig(
            key=name,
            title=values.get("name", ""),
            id=values.get("id", ""),
            provider=provider,
            credential=credential,
            root=root,
            concurrency=values.get("concurrency"),
            rate_per_s=values.get("rate"),
            options=options,
        )

    def _local_root(self, values: Mapping[str, Any], options: dict[str, Any], path: str) -> str:
        """DTS's versions call the root of a local endpoint ``root``, or ``base_path`` and below it ``data_path``."""
        base, below = options.pop("base_path", None), options.pop("data_path", "")
        if base is not None and "root" in values:
            raise fault(f"{path}.base_path", "stands beside 'root': give one of them")
        key = "root" if base is None else "base_path"
        root = self.values.path(values.get("root", "/") if base is None else base, f"{path}.{key}")
        return str(root / below.lstrip("/"))

    def _database(
        self,
        node: Node,
        name: str,
        credentials: Mapping[str, Credential],
        endpoints: Mapping[str, EndpointConfig],
    ) -> DatabaseConfig:
        path = f"databases.{name}"
        entries = _entries(node, path)
        places = self._database_endpoints(entries, path, endpoints)
        first = endpoints.get(next(iter(places.values()), ""))
        provider = self._optional_text(entries, path, "provider") or None
        kind = database_provider(name, provider, first.provider if first else None)
        values = self._place(entries, path, DATABASE_KEYS, DATABASE_OPTIONS.get(kind or ""))
        return DatabaseConfig(
            key=name,
            title=values.get("name", ""),
            organization=values.get("organization", ""),
            endpoints=places,
            credential=self._named_credential(values, path, credentials),
            secret=values.get("secret"),
            provider=provider,
            concurrency=values.get("concurrency"),
            rate_per_s=values.get("rate"),
            options={key: value for key, value in values.items() if key not in DATABASE_KEYS},
        )

    def _database_endpoints(
        self, entries: Mapping[str, Node], path: str, endpoints: Mapping[str, EndpointConfig]
    ) -> dict[str, str]:
        single = self._optional_text(entries, path, "endpoint")
        several = _entries(entries.get("endpoints"), f"{path}.endpoints")
        if single and several:
            raise fault(f"{path}.endpoints", "stands beside 'endpoint': give one of them")
        if single:
            _refuse_hidden_reference(single, entries["endpoint"], f"{path}.endpoint", endpoints)
            return {"": single}
        places: dict[str, str] = {}
        for functional_name, node in several.items():
            key = f"{path}.endpoints.{functional_name}"
            places[functional_name] = "" if node.null else self.values.text(node, key)
            _refuse_hidden_reference(places[functional_name], node, key, endpoints)
        return places

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

    # Entries

    def _place(
        self, entries: Mapping[str, Node], path: str, common: Mapping[str, Kind], options: Mapping[str, Kind] | None
    ) -> dict[str, Any]:
        """The values of an endpoint or a database; ``options`` None accepts any key beside the common ones."""
        kinds = {**(options or {}), **common}
        if options is not None:
            self._refuse_unknown(entries, path, kinds)
        return self.values.options(_present(entries), path, kinds)

    def _optional_text(self, entries: Mapping[str, Node], path: str, key: str) -> str:
        """The text, or "" for a key that is not there or has no value."""
        present = _present(entries)
        return self.values.text(present[key], f"{path}.{key}") if key in present else ""

    @staticmethod
    def _refuse_unknown(entries: Mapping[str, Node], path: str, known: Collection[str]) -> None:
        for key in entries:
            if key not in known:
                raise fault(joined(path, key), f"there is no such key; {suggestion(key, known)}")


def _entries(node: Node | None, path: str) -> dict[str, Node]:
    """The entries of a mapping; none where the key is missing or is written without a value."""
    if node is None or node.null:
        return {}
    if not isinstance(node.value, dict):
        raise fault(path, "must be a mapping: keys with values, indented below it")
    return node.value


def _present(entries: Mapping[str, Node]) -> dict[str, Node]:
    """The entries with a value: a key that is written without one is as good as none, as it is in DTS."""
    return {key: entry for key, entry in entries.items() if not entry.null}


def _refuse_hidden_reference(name: str, node: Node, key: str, endpoints: Mapping[str, EndpointConfig]) -> None:
    """Refuse the name of an unknown endpoint that comes from a variable: ``Config`` would quote what that holds."""
    if name and name not in endpoints and name != node.value:
        raise fault(key, f"{node.value} is none of the endpoints; {suggestion(name, endpoints)}")
