"""A database that is a bucket: its objects are the files, their keys the ids."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import translate
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable
from uuid import UUID

import attrs

from dts_fsm.databases.users import UserMap
from dts_fsm.errors import (
    InvalidDatabaseConfigError,
    InvalidSearchParameterError,
    PermanentError,
    ResourcesNotFoundError,
    UnauthorizedError,
)
from dts_fsm.interfaces import Endpoint
from dts_fsm.records import Descriptor, SearchFileStatus, SearchParameters, SearchResults, StagingStatus
from dts_fsm.records.checks import normal_path, path_fault, shown

if TYPE_CHECKING:
    from dts_fsm.config import DatabaseConfig

MAX_QUERY_CHARACTERS = 4096
"""Far beyond what people type; more would let one request occupy a thread for long."""

_MAX_REQUESTS = 10_000
"""So many of the newest staging requests are remembered."""

_BATCH_FILES = 500
_MAX_LISTED = 10
_PATTERN = re.compile(r"[*?]|\[.[^]]*\]")


@runtime_checkable
class Listing(Protocol):
    """What the endpoint of such a database can do besides."""

    def paths(self, prefix: str = "") -> Iterator[str]:
        """Give the paths of its files that begin so, in one order."""
        ...

    def describe(self, paths: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Give what its service says of files, by path, without those that are not there.

        That is ``bytes``, ``staged`` (whether it can be read now), and ``hash``, ``mediatype``, ``modified`` and
        ``metadata`` or None.
        """
        ...


@attrs.frozen(kw_only=True)
class _Query:
    words: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]

    @classmethod
    def parse(cls, text: str, *, database: str) -> _Query:
        if len(text) > MAX_QUERY_CHARACTERS:
            raise InvalidSearchParameterError(database, f"the query is longer than {MAX_QUERY_CHARACTERS} characters")
        terms = text.split()
        return cls(
            words=tuple(term.casefold() for term in terms if not _PATTERN.search(term)),
            patterns=tuple(re.compile(translate(term), re.IGNORECASE) for term in terms if _PATTERN.search(term)),
        )

    def matches(self, path: str) -> bool:
        folded = path.casefold()
        return all(word in folded for word in self.words) and all(pattern.match(path) for pattern in self.patterns)


class BucketDatabase:
    """The objects below the root of one endpoint; every user may see each of them.

    The id of a file is its path below the root. What the service knows of an object describes it: its size, its media
    type, what its owner has written beside it, and a checksum where the service has one of the whole content; the ETag
    is taken for an MD5 digest only where it is one. An object in an archive counts as unstaged.

    Args:
        name: the database's name in the configuration.
        endpoint: where the files are; it can list and describe them, as one with the provider s3 does.
        endpoint_name: the endpoint's name in the configuration.
        users: a CSV or JSON file with the local users, see ``UserMap``; without it each ORCID is its own local user.

    Raises:
        InvalidDatabaseConfigError: the endpoint cannot list its files.
    """

    def __init__(self, *, name: str, endpoint: Endpoint, endpoint_name: str, users: str | Path | None = None) -> None:
        if not isinstance(endpoint, Listing):
            raise InvalidDatabaseConfigError(
                f"a bucket database needs an endpoint with the provider s3, and {endpoint_name!r} has another",
                key=f"databases.{name}.endpoint",
            )
        self.name, self._endpoint, self._endpoint_name = name, endpoint, endpoint_name
        self._users = UserMap(() if users is None else (Path(users),), required=users is not None)
        self._requests: dict[UUID, None] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_config(cls, config: DatabaseConfig, *, endpoints: Mapping[str, Endpoint]) -> Self:
        """Make the database that a section of the configuration describes; its only option is ``users``.

        Raises:
            InvalidDatabaseConfigError: an option is unknown, or the database does not have exactly one endpoint of
                those given, of the provider s3.
        """
        key = f"databases.{config.key}"
        for option in config.options:
            if option != "users":
                raise InvalidDatabaseConfigError(
                    "a bucket database has no such option: it has users; how the bucket is reached, its endpoint says",
                    key=f"{key}.{option}",
                )
        names = list(dict.fromkeys(config.endpoints.values()))
        if len(names) != 1 or names[0] not in endpoints:
            raise InvalidDatabaseConfigError(
                f"a bucket database has one endpoint, which must be configured, not {', '.join(map(repr, names))}",
                key=f"{key}.endpoint",
            )
        users = config.options.get("users")
        if not isinstance(users, str | None):
            raise InvalidDatabaseConfigError(f"must be a path, not {shown(users)}", key=f"{key}.users")
        return cls(name=config.key, endpoint=endpoints[names[0]], endpoint_name=names[0], users=users)

    # Finding files

    def search(self, orcid: str, parameters: SearchParameters) -> SearchResults:  # noqa: ARG002 - all is public
        """Give the files whose path matches, in the order of their keys.

        The query has words, each of which must occur in the path, and patterns with ``*``, ``?`` or ``[...]``, each of
        which must match the whole of it, slashes included; without regard to case. The parameter ``prefix`` is how the
        path begins, exactly: the service lists those alone.

        Raises:
            InvalidSearchParameterError: there is no such parameter, or it is not text; the query is too long.
            TransientError, PermanentError, UnauthorizedError: the service does not answer.
        """
        prefix = self._prefix(parameters.specific)
        query = _Query.parse(parameters.query, database=self.name)
        paths = (path for path in self._endpoint.paths(prefix) if query.matches(path))
        # beyond what a computer counts to there are no files
        start = min(parameters.offset, 2**62)
        stop = min(start + parameters.limit, 2**62) if parameters.limit else None
        if parameters.status is SearchFileStatus.ANY:
            found = self._described(islice(paths, start, stop))
            return SearchResults(descriptors=tuple(descriptor for descriptor, _ in found))
        staged = parameters.status is SearchFileStatus.STAGED
        chosen = (descriptor for descriptor, at_hand in self._described(paths) if at_hand is staged)
        return SearchResults(descriptors=tuple(islice(chosen, start, stop)))

    def specific_search_parameters(self) -> Mapping[str, Any]:
        """Give the parameter ``prefix`` with its default."""
        return {"prefix": ""}

    def descriptors(self, orcid: str, file_ids: Sequence[str]) -> Sequence[Descriptor]:  # noqa: ARG002 - all is public
        """Give the descriptor of each id, in the order of the ids; an id that is repeated counts once.

        Raises:
            ResourcesNotFoundError: there are no objects with these ids: all of them are listed.
            TransientError, PermanentError, UnauthorizedError: the service does not answer.
        """
        return tuple(descriptor for descriptor, _ in self._known(file_ids))

    def _known(self, file_ids: Sequence[str]) -> list[tuple[Descriptor, bool]]:
        ids = list(dict.fromkeys(file_ids))
        usable = [file_id for file_id in ids if path_fault(file_id) is None and normal_path(file_id) == file_id]
        found = {descriptor.id: (descriptor, staged) for descriptor, staged in self._described(iter(usable))}
        if unknown := [file_id for file_id in ids if file_id not in found]:
            raise ResourcesNotFoundError(self.name, unknown)
        return [found[file_id] for file_id in ids]

    def _described(self, paths: Iterator[str]) -> Iterator[tuple[Descriptor, bool]]:
        """Give the descriptors, and whether they are staged; what has gone meanwhile is left out."""
        while batch := list(islice(paths, _BATCH_FILES)):
            described = self._endpoint.describe(batch)
            for path in batch:
                if (known := described.get(path)) is not None:
                    yield _descriptor(path, known), bool(known["staged"])

    def _prefix(self, specific: Mapping[str, Any]) -> str:
        for name in specific:
            if name != "prefix":
                raise InvalidSearchParameterError(self.name, f"there is no parameter {shown(name)}; known are: prefix")
        prefix = specific.get("prefix", "")
        if not isinstance(prefix, str):
            raise InvalidSearchParameterError(self.name, f"prefix must be text, not {shown(prefix)}")
        return prefix

    def endpoint_names(self) -> Sequence[str]:
        """Give the name of the one endpoint."""
        return (self._endpoint_name,)

    # Staging

    def stage_files(self, orcid: str, file_ids: Sequence[str], *, request_id: UUID) -> UUID:  # noqa: ARG002
        """Remember that these files are there; give ``request_id``. Idempotent.

        Raises:
            PermanentError: objects are in an archive, from which only their owner has them restored; or the service
                refuses.
            ResourcesNotFoundError, TransientError: as ``descriptors``.
        """
        try:
            archived = [descriptor.id for descriptor, staged in self._known(file_ids) if not staged]
        except UnauthorizedError as error:
            raise PermanentError(str(error)) from error
        if archived:
            more = f", and {len(archived) - _MAX_LISTED} more" if len(archived) > _MAX_LISTED else ""
            raise PermanentError(
                f"{len(archived)} objects of the database {self.name!r} are in an archive: have them restored first: "
                f"{', '.join(map(repr, archived[:_MAX_LISTED]))}{more}"
            )
        with self._lock:
            self._requests[request_id] = None
            while len(self._requests) > _MAX_REQUESTS:
                del self._requests[next(iter(self._requests))]
        return request_id

    def staging_status(self, ids: Sequence[UUID]) -> Mapping[UUID, StagingStatus]:
        """Give SUCCEEDED for the requests that this process has made, UNKNOWN for others."""
        with self._lock:
            return {id_: StagingStatus.SUCCEEDED if id_ in self._requests else StagingStatus.UNKNOWN for id_ in ids}

    def finalize(self, orcid: str, id: UUID) -> None:  # noqa: A002 - DTS's signature
        """Do nothing: a bucket does not keep anything about a transfer. Idempotent."""

    def local_user(self, orcid: str) -> str:
        """Give the local user; raises as ``UserMap.local_user``."""
        return self._users.local_user(orcid)


def _descriptor(path: str, known: Mapping[str, Any]) -> Descriptor:
    properties = {name: known[name] for name in ("mediatype", "modified", "metadata") if known.get(name)}
    return Descriptor(id=path, path=path, bytes=known["bytes"], hash=known.get("hash"), properties=properties)
