"""The planner: everything that must hold before a transfer is stored, checked in one place.

What clients and databases say is hostile until it has passed here; what has passed is in a ``Plan``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dts_fsm.askers import Ask, Askers
from dts_fsm.config import Config, EndpointConfig, Redactor
from dts_fsm.errors import (
    DatabaseNotFoundError,
    DestinationConflictError,
    DuplicateFilesError,
    EndpointNotFoundError,
    InvalidCustomSpecError,
    InvalidDatabaseConfigError,
    InvalidDescriptorError,
    InvalidInstructionsError,
    InvalidOrcidError,
    InvalidResourceEndpointError,
    NoFilesRequestedError,
    PayloadTooLargeError,
    ResourceEndpointNotFoundError,
    ResourcesNotFoundError,
    SerializationError,
    SpecificationError,
)
from dts_fsm.interfaces import Database, Endpoint
from dts_fsm.manifest import MANIFEST_NAME
from dts_fsm.records import Descriptor, Destination, Plan, SourceSummary, Specification
from dts_fsm.records.checks import is_orcid, is_unicode, normal_path, path_fault, shown
from dts_fsm.serialization import descriptor_from_resource, dump_json, load_json, unstructure


class Planner:
    """Makes plans of specifications.

    A database that does not answer within ``call_timeout`` is not waited for.

    Args:
        config: for the limits, and for what databases and custom destinations refer to.
        databases, endpoints: by name.
    """

    def __init__(self, config: Config, databases: Mapping[str, Database], endpoints: Mapping[str, Endpoint]) -> None:
        self._config, self._databases, self._endpoints = config, databases, endpoints
        self._askers = Askers(config.service.call_timeout_s, Redactor(config))

    def plan(self, specification: Specification) -> Plan:
        """Give what a transfer would do; nothing is stored or begun.

        Raises:
            SpecificationError: or the subclass that says what is wrong with the request.
            DatabaseNotFoundError, EndpointNotFoundError: source or destination is not configured.
            ResourcesNotFoundError: file ids that the source does not know; all are listed.
            UnauthorizedError: the source does not accept the user.
            ProviderError: the source or the destination cannot be asked, or does not answer.
        """
        return self.plans([specification])[0]

    def plans(self, specifications: Sequence[Specification]) -> list[Plan]:
        """Give the plan of each, as ``plan`` does, in the same order; quicker than one by one."""
        for specification in specifications:
            self._check_request(specification)
        return self._askers.have(lambda ask: [self._plan(specification, ask) for specification in specifications])

    def _plan(self, specification: Specification, ask: Ask) -> Plan:
        destination = self._destination(specification, ask)
        source = self._database(specification.source, ask)
        descriptors = self._descriptors(source, specification, ask)
        endpoints = self._endpoints_of(descriptors, source, specification.source, ask)
        num_bytes = sum(descriptor.bytes or 0 for descriptor in descriptors)
        limit_bytes = self._config.service.max_payload_bytes
        if num_bytes > limit_bytes:
            raise PayloadTooLargeError(num_bytes, limit_bytes)
        _check_paths((descriptor.path, descriptor.id) for descriptor in descriptors if descriptor.path is not None)
        return Plan(
            specification=specification,
            destination=destination,
            sources=_summaries(descriptors, endpoints),
            descriptors=tuple(descriptors),
            endpoints=tuple(endpoints),
            num_files=sum(not descriptor.inline for descriptor in descriptors),
            num_bytes=num_bytes,
        )

    def _check_request(self, specification: Specification) -> None:
        if not isinstance(specification, Specification):
            raise SpecificationError(f"a Specification is needed, not {type(specification).__name__}")
        if not specification.file_ids:
            raise NoFilesRequestedError
        if twice := _repeated(specification.file_ids):
            raise DuplicateFilesError(twice)
        if not is_orcid(specification.user.orcid):
            raise InvalidOrcidError(
                specification.user.orcid,
                "is malformed: it has the form dddd-dddd-dddd-dddX, for example 0000-0002-1825-0097",
            )
        try:
            # the store writes them some levels deeper, and must not be the first to find that this is too deep
            nested = _nested(specification.instructions, 10)
            text = dump_json(unstructure(nested))
            same = load_json(text) == nested and is_unicode(text)
        except (SerializationError, RecursionError) as error:
            raise InvalidInstructionsError(f"the instructions cannot be written as JSON: {error}") from error
        if not same:
            raise InvalidInstructionsError(
                "the instructions would change when they are written as JSON: use objects with text keys, lists, "
                "texts, numbers, true, false and null only"
            )

    def _database(self, name: str, ask: Ask) -> Database:
        if name not in self._databases:
            raise DatabaseNotFoundError(name, self._databases)
        return ask(f"database {name!r}", lambda: self._databases[name])

    # Destinations

    def _destination(self, specification: Specification, ask: Ask) -> Destination:
        name, orcid = specification.destination, specification.user.orcid
        if name not in self._databases and ":" in name:
            return self._custom(name, ask)
        database = self._database(name, ask)
        endpoint = self._known_endpoints(name, database, ask)[0]
        user = ask(f"database {name!r}", lambda: database.local_user(orcid))
        if not isinstance(user, str) or not user or "/" in user or path_fault(user):
            raise InvalidOrcidError(
                orcid,
                f"is the user {shown(user)} of {name!r}, which cannot be a folder's name: correct the user map",
            )
        return Destination(endpoint=endpoint, path=user, username=user)

    def _custom(self, text: str, ask: Ask) -> Destination:
        parts = text.split(":")
        if len(parts) != 4:
            raise InvalidCustomSpecError(text, f"it has {len(parts)} parts between colons, not 4")
        provider, id_, path, credential = parts
        if not provider or not id_:
            raise InvalidCustomSpecError(text, "provider and id must not be empty")
        if credential and credential not in self._config.credentials:
            raise InvalidCustomSpecError(text, f"the credential {credential!r} is not configured")
        path = path.strip("/")
        if path and (fault := path_fault(path)):
            raise InvalidCustomSpecError(text, fault)
        for name in self._endpoints:
            settings = self._config.endpoints.get(name)
            if id_ not in (name, settings.id if settings else None):
                continue
            if self._provider(name, settings, ask) == provider:
                return Destination(endpoint=name, path=normal_path(path), username="")
        known = ", ".join(repr(name) for name in sorted(self._endpoints)) or "none"
        raise InvalidCustomSpecError(
            text, f"no {provider!r} endpoint has the name or id {id_!r}; endpoints are: {known}"
        )

    def _provider(self, name: str, settings: EndpointConfig | None, ask: Ask) -> str:
        return settings.provider if settings else ask(f"endpoint {name!r}", lambda: self._endpoints[name].provider)

    # Sources

    def _descriptors(self, source: Database, specification: Specification, ask: Ask) -> list[Descriptor]:
        """What the source says of the files, in order of id: one for each id, and inline data."""
        name, wanted = specification.source, set(specification.file_ids)
        orcid, file_ids = specification.user.orcid, specification.file_ids
        answer = ask(f"database {name!r}", lambda: list(source.descriptors(orcid, file_ids)))
        found = [_descriptor(name, item) for item in answer if item is not None]
        if twice := _repeated([descriptor.id for descriptor in found]):
            raise DuplicateFilesError(twice)
        known = {descriptor.id for descriptor in found}
        if missing := [file_id for file_id in specification.file_ids if file_id not in known]:
            raise ResourcesNotFoundError(name, missing)
        for descriptor in found:
            if descriptor.id not in wanted and not descriptor.inline:
                raise InvalidDescriptorError(descriptor.id, f"the database {name!r} gave it without being asked for it")
        return sorted(found, key=lambda descriptor: descriptor.id)

    def _known_endpoints(self, name: str, database: Database, ask: Ask) -> Sequence[str]:
        names = ask(f"database {name!r}", lambda: list(database.endpoint_names()))
        if not names:
            raise InvalidDatabaseConfigError("has no endpoints", key=f"databases.{name}")
        for endpoint in names:
            if not isinstance(endpoint, str) or endpoint not in self._endpoints:
                raise EndpointNotFoundError(endpoint if isinstance(endpoint, str) else shown(endpoint), self._endpoints)
        return names

    def _endpoints_of(self, descriptors: Sequence[Descriptor], source: Database, name: str, ask: Ask) -> list[str]:
        """For each descriptor the source endpoint that has its file; "" for inline data."""
        if all(descriptor.inline for descriptor in descriptors):
            return [""] * len(descriptors)
        names = self._known_endpoints(name, source, ask)
        settings = self._config.databases.get(name)
        functional = settings.endpoints if settings else {}
        endpoints = []
        for descriptor in descriptors:
            if descriptor.inline:
                endpoints.append("")
                continue
            if descriptor.endpoint is None and len(names) > 1:
                raise ResourceEndpointNotFoundError(name, descriptor.id)
            said = descriptor.endpoint or names[0]
            endpoint = functional.get(said, said)
            if endpoint not in names:
                raise InvalidResourceEndpointError(name, descriptor.id, said)
            endpoints.append(endpoint)
        return endpoints


def _descriptor(database: str, item: object) -> Descriptor:
    try:
        descriptor = item if isinstance(item, Descriptor) else descriptor_from_resource(item)
        # the store and the manifest have them deeper, and are written and read below other callers
        if descriptor.properties and not is_unicode(dump_json(_nested(descriptor.properties, 500))):
            raise InvalidDescriptorError(descriptor.id, "its properties have text that is not valid Unicode")
    except SerializationError as error:
        raise InvalidDescriptorError(f"of the database {database}", str(error)) from error
    return descriptor


def _nested(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


def _repeated(names: Sequence[str]) -> list[str]:
    if len(set(names)) == len(names):
        return []
    return [name for name, count in Counter(names).items() if count > 1]


def _check_paths(files: Iterable[tuple[str, str]]) -> None:
    """Refuse files, as (path, id), that would be written to one place, or to the manifest's."""
    taken: dict[str, str] = {}
    for path, file_id in files:
        if path in taken:
            raise DestinationConflictError(f"{taken[path]!r} and {file_id!r} would be written to one path: {path!r}")
        taken[path] = file_id
    folders: set[str] = set()
    for path in taken:
        if path == MANIFEST_NAME or path.startswith(f"{MANIFEST_NAME}/"):
            raise DestinationConflictError(
                f"the path {path!r} is kept for the manifest: the source must offer that file under another path"
            )
        folder = path.rpartition("/")[0]
        if folder in folders:
            continue
        folders.add(folder)  # not those above it: a hostile path has thousands
        while folder:
            if folder in taken:
                raise DestinationConflictError(f"the path {folder!r} would be both a file and the folder of {path!r}")
            folder = folder.rpartition("/")[0]


def _summaries(descriptors: Sequence[Descriptor], endpoints: Sequence[str]) -> tuple[SourceSummary, ...]:
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for descriptor, endpoint in zip(descriptors, endpoints, strict=True):
        if not descriptor.inline:
            counts[endpoint][0] += 1
            counts[endpoint][1] += descriptor.bytes or 0
    return tuple(
        SourceSummary(endpoint=endpoint, num_files=files, num_bytes=size)
        for endpoint, (files, size) in sorted(counts.items())
    )
