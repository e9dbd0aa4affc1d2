"""The database of the National Microbiome Data Collaborative (NMDC)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from dts_fsm.config import Secret
from dts_fsm.config.options import checked_options
from dts_fsm.databases.nmdc.api import NmdcApi, Record, RefusedFilterError, texts
from dts_fsm.databases.nmdc.hosts import Hosts, endpoint_by_host
from dts_fsm.databases.nmdc.relations import related_to
from dts_fsm.databases.nmdc.resources import biosample_descriptors, file_descriptor, with_related
from dts_fsm.databases.nmdc.searching import PARAMETERS, Search
from dts_fsm.databases.nmdc.tokens import Tokens
from dts_fsm.databases.staging import StagingQueue
from dts_fsm.databases.users import UserMap
from dts_fsm.errors import (
    ConfigurationError,
    InvalidDatabaseConfigError,
    InvalidDescriptorError,
    InvalidSearchParameterError,
    ResourcesNotFoundError,
)
from dts_fsm.interfaces import Endpoint
from dts_fsm.records import Descriptor, SearchFileStatus, SearchParameters, SearchResults, StagingStatus
from dts_fsm.records.checks import shown
from dts_fsm.web import HttpClient

if TYPE_CHECKING:
    from dts_fsm.config import DatabaseConfig

logger = logging.getLogger(__name__)

URL = "https://api.microbiomedata.org/"

MOST_FOUND = 10_000
"""How many files a search without a limit finds at most: NMDC has hundreds of thousands."""

_OPTIONS: dict[str, type] = {
    "url": str,
    "base_url": str,
    "hosts": dict,
    "users": str,
    "ca_file": str,
    "connect_timeout_s": float,
    "read_timeout_s": float,
}


class NmdcDatabase:
    """NMDC's data objects, all of them public, and always at their endpoint.

    Descriptors have the ids of the studies and biosamples that a file belongs to, and ``credit`` as the first of the
    studies says it. With the descriptors that are asked for go those of the biosamples, inline.

    Args:
        name: the database's name in the configuration.
        user, password: of NMDC's API.
        endpoint_names: the endpoints that have its files; the first is where it receives.
        hosts: endpoint by host, or host and folder, of the files' URLs; see ``Hosts``.
        url: where the API is.
        users: a CSV, TSV or JSON file with the local users, see ``UserMap``; without it each ORCID is its own.
        ca_file: certificates to trust instead of the system's.
        connect_timeout_s, read_timeout_s: how long NMDC is waited for, see ``HttpClient``.

    Raises:
        InvalidDatabaseConfigError: a host cannot be read, or has an endpoint that is none of the database's.
        ConfigurationError: the URL or the certificates cannot be used.
    """

    def __init__(
        self,
        *,
        name: str,
        user: str,
        password: Secret,
        endpoint_names: Sequence[str],
        hosts: Mapping[str, str],
        url: str = URL,
        users: str | Path | None = None,
        ca_file: str | None = None,
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 30.0,
    ) -> None:
        self.name, self._endpoint_names = name, tuple(dict.fromkeys(endpoint_names))
        for host, endpoint in hosts.items():
            if endpoint not in self._endpoint_names:
                raise InvalidDatabaseConfigError(
                    f"there is no endpoint {shown(endpoint)} among the database's: {', '.join(self._endpoint_names)}",
                    key=f"hosts.{host}",
                )
        self._hosts = Hosts(hosts)
        client = HttpClient(
            url,
            name="NMDC",
            ca_file=ca_file,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
            secrets=[password],
        )
        self._api = NmdcApi(client, Tokens(client, user=user, password=password))
        self._users = UserMap([Path(users)] if users else [], required=bool(users))
        self._requests = StagingQueue(lambda *_: None)

    @classmethod
    def from_config(cls, config: DatabaseConfig, *, endpoints: Mapping[str, Endpoint]) -> Self:
        """Make the database that a section of the configuration describes.

        Its options are ``url`` (or ``base_url``), ``hosts``, ``users``, ``ca_file``, ``connect_timeout_s`` and
        ``read_timeout_s``; its credential is user and password. Without ``hosts``, NMDC's own are at the endpoints that
        have the functional names "nersc" and "emsl". Nothing is asked of NMDC yet.

        Raises:
            InvalidDatabaseConfigError: an option is unknown or wrong, the credential is missing, or an endpoint is
                not configured.
        """
        place = f"databases.{config.key}"
        options = checked_options(
            config.options, _OPTIONS, owner="an nmdc database", place=place, error=InvalidDatabaseConfigError
        )
        for functional, endpoint in config.endpoints.items():
            if endpoint not in endpoints:
                key = f"endpoints.{functional}" if functional else "endpoint"
                raise InvalidDatabaseConfigError(f"there is no endpoint {endpoint!r}", key=f"{place}.{key}")
        credential = config.credential
        if credential is None or not credential.id or credential.secret is None:
            raise InvalidDatabaseConfigError(
                "must name a credential with id and secret: NMDC's API asks for a user and a password",
                key=f"{place}.credential",
            )
        url = options.pop("base_url", URL)
        try:
            return cls(
                name=config.key,
                user=credential.id,
                password=credential.secret,
                endpoint_names=list(config.endpoints.values()),
                hosts=endpoint_by_host(options.pop("hosts", None), config.endpoints),
                **{"url": url, **options},
            )
        except ConfigurationError as error:
            key = f"{place}.{error.key}" if error.key else place
            raise InvalidDatabaseConfigError(error.message, key=key) from error

    def close(self) -> None:
        """Close the connections. Idempotent; the database remains usable."""
        self._api.close()

    # Finding files

    def search(self, orcid: str, parameters: SearchParameters) -> SearchResults:  # noqa: ARG002 - all is public
        """Give the files that match, in order of id. A data object that cannot be used is logged and left out.

        Raises:
            InvalidSearchParameterError: see ``Search.parse``; NMDC finds fault with the filter, or does not know the
                study or biosample; more than ``MOST_FOUND`` files match, and there is no limit.
            UnauthorizedError, TransientError, PermanentError: NMDC does not answer, or not as it should.
        """
        search = Search.parse(parameters, database=self.name)
        if parameters.status is SearchFileStatus.UNSTAGED:
            return SearchResults(descriptors=())
        try:
            found = self._page(search, parameters.offset, parameters.limit)
        except RefusedFilterError as error:
            raise InvalidSearchParameterError(self.name, f"NMDC does not understand the filter: {error}") from error
        related = related_to(self._api, [record for record, _ in found])
        described = (with_related(descriptor, record, related[record["id"]]) for record, descriptor in found)
        return SearchResults(descriptors=tuple(described))

    def specific_search_parameters(self) -> Mapping[str, Any]:
        """Give NMDC's parameters, each with its default: no restriction."""
        return dict.fromkeys(PARAMETERS, "")

    def descriptors(self, orcid: str, file_ids: Sequence[str]) -> Sequence[Descriptor]:  # noqa: ARG002 - all is public
        """Give the descriptor of each id, in the order of the ids, and those of their biosamples after them.

        An id that is repeated counts once.

        Raises:
            ResourcesNotFoundError: NMDC does not know some of the ids: all of them are listed.
            InvalidDescriptorError: what NMDC says of a file cannot be used, or its host is not known.
            UnauthorizedError, TransientError, PermanentError: NMDC does not answer, or not as it should.
        """
        ids = list(dict.fromkeys(file_ids))
        known = {record["id"]: record for record in self._api.with_ids("data_object_set", ids)}
        if unknown := [file_id for file_id in ids if file_id not in known]:
            raise ResourcesNotFoundError(self.name, unknown)
        files = {file_id: file_descriptor(known[file_id], self._hosts) for file_id in ids}
        related = related_to(self._api, [known[file_id] for file_id in ids])
        described = [with_related(files[file_id], known[file_id], related[file_id]) for file_id in ids]
        return (*described, *biosample_descriptors(related.values()))

    def endpoint_names(self) -> Sequence[str]:
        """Give the names of its endpoints; the first is where it receives."""
        return self._endpoint_names

    # Staging

    def stage_files(self, orcid: str, file_ids: Sequence[str], *, request_id: UUID) -> UUID:  # noqa: ARG002 - see below
        """Give ``request_id``, a request that has succeeded: NMDC has all of its files on disk. Idempotent."""
        self._requests.ask(request_id, [])
        return request_id

    def staging_status(self, ids: Sequence[UUID]) -> Mapping[UUID, StagingStatus]:
        """Give SUCCEEDED for each request; UNKNOWN for one that this process has not made, or has forgotten."""
        return {request_id: self._requests.status(request_id) for request_id in ids}

    def finalize(self, orcid: str, id: UUID) -> None:  # noqa: A002 - DTS's signature
        """Do nothing: NMDC does not keep anything about a transfer. Idempotent."""

    def local_user(self, orcid: str) -> str:
        """Give the local user; raises as ``UserMap.local_user``."""
        return self._users.local_user(orcid)

    # The inner parts

    def _page(self, search: Search, offset: int, limit: int) -> list[tuple[Record, Descriptor]]:
        """The usable data objects of a search from ``offset`` on, with their descriptors."""
        found: list[tuple[Record, Descriptor]] = []
        for index, usable in enumerate(self._usable(search)):
            if index < offset:
                continue
            found.append(usable)
            if len(found) == limit:
                break
            if len(found) > MOST_FOUND and not limit:
                raise InvalidSearchParameterError(
                    self.name, f"more than {MOST_FOUND} files match: narrow the search, or ask for them with a limit"
                )
        return found

    def _usable(self, search: Search) -> Iterator[tuple[Record, Descriptor]]:
        for record in self._records(search):
            try:
                yield record, file_descriptor(record, self._hosts)
            except InvalidDescriptorError as error:
                logger.warning(
                    "a search leaves out a data object that cannot be used",
                    extra={"action": "search", "database": self.name, "fault": str(error)},
                )

    def _records(self, search: Search) -> Iterator[Record]:
        """The data objects that match, in order of id."""
        if not search.study_id and not search.sample_id:
            for page in self._api.pages("data_object_set", search.wanted, refusable=True):
                yield from page
            return
        found = {record["id"]: record for record in self._of_studies(search)}
        if search.wanted:
            matching = self._api.with_ids("data_object_set", found.keys(), also=search.wanted)
            found = {record["id"]: record for record in matching}
        yield from (found[record_id] for record_id in sorted(found))

    def _of_studies(self, search: Search) -> Iterator[Record]:
        study_ids = [search.study_id]
        if not search.study_id:
            biosample = self._api.biosample(search.sample_id)
            if biosample is None:
                raise InvalidSearchParameterError(self.name, f"NMDC has no biosample {search.sample_id!r}")
            study_ids = texts(biosample.get("associated_studies"))
        for study_id in study_ids:
            sets = self._api.of_study(study_id)
            if sets is None:
                raise InvalidSearchParameterError(self.name, f"NMDC has no study {study_id!r}")
            for biosample_id, objects in sets:
                if search.sample_id in ("", biosample_id):
                    yield from objects
