"""The database that an organization's web service offers."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import attrs

from dts_fsm.config import Secret
from dts_fsm.config.options import checked_options
from dts_fsm.databases.http.dialect import Dialect
from dts_fsm.databases.http.service import Service
from dts_fsm.databases.users import user_fault
from dts_fsm.errors import (
    ConfigurationError,
    InvalidDatabaseConfigError,
    InvalidOrcidError,
    InvalidSearchParameterError,
    PermanentError,
    ResourcesNotFoundError,
)
from dts_fsm.interfaces import Endpoint
from dts_fsm.records import Descriptor, SearchParameters, SearchResults, StagingStatus
from dts_fsm.records.checks import is_orcid, shown
from dts_fsm.serialization import dump_json
from dts_fsm.web import HttpClient, authorization

if TYPE_CHECKING:
    from dts_fsm.config import DatabaseConfig

_OPTIONS: dict[str, type] = {
    "url": str,
    "token": Secret,
    "headers": dict,
    "ca_file": str,
    "connect_timeout_s": float,
    "read_timeout_s": float,
    "page_size": int,
    "paths": dict,
    "fields": dict,
    "descriptor": dict,
    "words": dict,
    "ids_separator": str,
    "search_parameters": dict,
}
_CLIENT = {"ca_file", "connect_timeout_s", "read_timeout_s"}

_PAGE_SIZE = 100
_REMEMBERED = 10_000


class HttpDatabase:
    """Asks a web service for descriptors, searches, staging and users.

    Args:
        service: asks it.
        name: the database's name in the configuration.
        endpoints: the names of its endpoints in the configuration, by the names that the service has for them.
        search_parameters: the service's own, each with its default or the list of its values.
        client: the connections, to be closed with the database; None where they are somebody else's.
    """

    def __init__(
        self,
        service: Service,
        *,
        name: str,
        endpoints: Mapping[str, str],
        search_parameters: Mapping[str, Any] | None = None,
        client: HttpClient | None = None,
    ) -> None:
        self.name = name
        self._service, self._endpoints, self._client = service, dict(endpoints), client
        self._parameters = dict(search_parameters or {})
        self._lock = threading.Lock()
        self._requests: OrderedDict[UUID, UUID] = OrderedDict()

    @classmethod
    def from_config(cls, config: DatabaseConfig, *, endpoints: Mapping[str, Endpoint]) -> Self:
        """Make the database that a section of the configuration describes; nothing is asked of the service yet.

        Raises:
            InvalidDatabaseConfigError: an option is unknown or wrong, or an endpoint is not configured.
        """
        place = f"databases.{config.key}"
        for name in config.endpoints.values():
            if name not in endpoints:
                raise InvalidDatabaseConfigError(f"there is no endpoint {name!r}", key=f"{place}.endpoints")
        options = checked_options(
            config.options, _OPTIONS, owner="an http database", place=place, error=InvalidDatabaseConfigError
        )
        dialect, client = dialect_and_client(config)
        service = Service(client, name=config.key, dialect=dialect, page_size=options.get("page_size", _PAGE_SIZE))
        return cls(
            service,
            name=config.key,
            endpoints=config.endpoints,
            search_parameters=options.get("search_parameters"),
            client=client,
        )

    def close(self) -> None:
        """Close the connections. Idempotent; the database remains usable."""
        if self._client is not None:
            self._client.close()

    def search(self, orcid: str, parameters: SearchParameters) -> SearchResults:
        """Give the files that the service finds, in its order; see ``Database``.

        Raises:
            PermanentError: its answers are not what they must be.
        """
        for name, value in parameters.specific.items():
            self._check_parameter(name, value)
        return SearchResults(descriptors=tuple(map(self._placed, self._service.search(orcid, parameters))))

    def _check_parameter(self, name: str, value: Any) -> None:
        if name not in self._parameters:
            known = ", ".join(self._parameters) or "none"
            raise InvalidSearchParameterError(self.name, f"there is no parameter {shown(name)}; known are: {known}")
        values = self._parameters[name]
        if not isinstance(value, str | int | float) or (isinstance(values, list) and value not in values):
            allowed = f"; its values are: {dump_json(values)}" if isinstance(values, list) else ""
            raise InvalidSearchParameterError(self.name, f"{name} cannot be {shown(value)}{allowed}")

    def specific_search_parameters(self) -> Mapping[str, Any]:
        """Give the service's own parameters, as they are configured."""
        return dict(self._parameters)

    def descriptors(self, orcid: str, file_ids: Sequence[str]) -> Sequence[Descriptor]:
        """Give one descriptor for each id, in their order, and the inline data that goes with them.

        Raises:
            ResourcesNotFoundError: the service does not know some of them, or this user may not see them.
            InvalidDescriptorError, PermanentError: it describes one in a way that cannot be used.
        """
        found: dict[str, Descriptor] = {}
        inline: list[Descriptor] = []
        asked = set(file_ids)
        for descriptor in map(self._placed, self._service.resources(orcid, list(dict.fromkeys(file_ids)))):
            if descriptor.id in asked:
                found[descriptor.id] = descriptor
            elif descriptor not in inline:
                inline.append(descriptor)
        if missing := [file_id for file_id in file_ids if file_id not in found]:
            raise ResourcesNotFoundError(self.name, missing)
        return [*(found[file_id] for file_id in file_ids), *inline]

    def _placed(self, descriptor: Descriptor) -> Descriptor:
        """The descriptor with its endpoint's name in the configuration."""
        endpoint = self._endpoints.get(descriptor.endpoint or "", descriptor.endpoint)
        if endpoint == descriptor.endpoint or descriptor.inline:
            return descriptor
        return attrs.evolve(descriptor, endpoint=endpoint)

    def endpoint_names(self) -> Sequence[str]:
        """See ``Database``."""
        return list(dict.fromkeys(self._endpoints.values()))

    def stage_files(self, orcid: str, file_ids: Sequence[str], *, request_id: UUID) -> UUID:
        """Ask the service for staging; a request that this process has made is not made again.

        After a crash it is, with the same ``Idempotency-Key``: a service that does not know that header may stage the
        files twice, which brings them once.
        """
        with self._lock:
            known = self._requests.get(request_id)
        if known is not None:
            return known
        given = self._service.stage(orcid, file_ids, request_id)
        with self._lock:
            self._requests[request_id] = given
            while len(self._requests) > _REMEMBERED:
                self._requests.popitem(last=False)
        return given

    def staging_status(self, ids: Sequence[UUID]) -> Mapping[UUID, StagingStatus]:
        """Give how the requests stand, by one call for each; see ``Database``."""
        return {id_: self._service.staging_status(id_) for id_ in ids}

    def finalize(self, orcid: str, id: UUID) -> None:  # noqa: A002 - DTS's signature
        """Nothing: the guide has no call for it."""

    def local_user(self, orcid: str) -> str:
        """Give the service's own name of the user.

        Raises:
            InvalidOrcidError: it knows none.
            PermanentError: the name could not be that of a folder.
        """
        if not is_orcid(orcid):
            raise InvalidOrcidError(orcid, "does not have the form dddd-dddd-dddd-dddX")
        user = self._service.local_user(orcid)
        if user is None:
            raise InvalidOrcidError(orcid, f"has no local user in the database {self.name!r}")
        if fault := user_fault(user):
            raise PermanentError(f"the database {self.name!r}: {fault}")
        return user


def dialect_and_client(config: DatabaseConfig, **settings: Any) -> tuple[Dialect, HttpClient]:
    """Give the words of the service that a section of the configuration describes, and what asks it.

    Args:
        config: the section.
        settings: more of those of an ``HttpClient``.

    Raises:
        InvalidDatabaseConfigError: an option is unknown or wrong.
    """
    place = f"databases.{config.key}"
    options = checked_options(
        config.options, _OPTIONS, owner="an http database", place=place, error=InvalidDatabaseConfigError
    )
    if "url" not in options:
        raise InvalidDatabaseConfigError("is missing: say where the service is", key=f"{place}.url")
    try:
        headers = authorization(config.credential, options.get("token", config.secret), options.get("headers", {}))
        settings |= {name: options[name] for name in _CLIENT & options.keys()}
        client = HttpClient(options["url"], name=f"the database {config.key!r}", headers=lambda: headers, **settings)
    except ConfigurationError as error:
        raise InvalidDatabaseConfigError(error.message, key=f"{place}.{error.key}") from error
    return Dialect.from_options(options, place=place), client
