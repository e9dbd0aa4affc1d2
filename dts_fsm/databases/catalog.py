"""A database that is a folder with a Frictionless ``datapackage.json``."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import attrs

from dts_fsm.databases.catalog_file import CATALOG_FILE, MAX_CATALOG_BYTES, Catalog, parse_catalog
from dts_fsm.databases.files import TEMPORARY_PREFIX, Rereader, copy_beneath, size_beneath, sweep_beneath
from dts_fsm.databases.search import Query, specific_values
from dts_fsm.databases.staging import StagingQueue
from dts_fsm.databases.users import USERS_FILES, UserMap
from dts_fsm.errors import InvalidDatabaseConfigError, InvalidDescriptorError, PermanentError, ResourcesNotFoundError
from dts_fsm.interfaces import Endpoint
from dts_fsm.records import Descriptor, SearchFileStatus, SearchParameters, SearchResults, StagingStatus

if TYPE_CHECKING:
    from dts_fsm.config import DatabaseConfig

logger = logging.getLogger(__name__)

_BATCH_FILES = 1000
"""How many files the endpoint is asked about at once while a search goes on."""

_MAX_LISTED = 10

_OPTIONS = {"catalog": "catalog", "users": "users", "archive": "archive", "staging_delay": "staging_delay_s"}
"""The options of a configuration, and the arguments that they become."""


class CatalogDatabase:
    """The files that a catalog lists, at one endpoint, optionally with an archive from which they are staged.

    The catalog and the users are read again whenever their files have changed. Every user may see every file. A
    resource that cannot be used is logged when the catalog is read, fails the requests for it, and is not found by
    searches; the others are not affected. The size of a resource that does not say it is that of its file.

    Relative paths start at the endpoint's root, which must be a folder of this machine for them and for an archive.
    A catalog or users file below the root that is a symbolic link out of it is refused: others may write there.
    (Those of a configuration file start at the file's folder, and are absolute when they come here.)

    Args:
        name: the database's name in the configuration.
        endpoint: where the files are.
        endpoint_name: the endpoint's name in the configuration.
        catalog: the catalog's file; by default ``datapackage.json``. It need not exist while the database only
            receives.
        users: a CSV or JSON file with the local users, see ``UserMap``; by default ``users.json`` or ``users.csv``,
            and where there is neither, each ORCID is its own local user.
        archive: a folder with files under the same paths, from which ``stage_files`` copies them to the endpoint.
        staging_delay_s: how long a staging request waits before it begins, as a tape would make it.

    Raises:
        InvalidDatabaseConfigError: a path cannot be used, the archive is not an existing folder, or the delay is not a
            number of seconds.
    """

    def __init__(
        self,
        *,
        name: str,
        endpoint: Endpoint,
        endpoint_name: str,
        catalog: str | Path | None = None,
        users: str | Path | None = None,
        archive: str | Path | None = None,
        staging_delay_s: float = 0,
    ) -> None:
        self.name = name
        self._endpoint, self._endpoint_name = endpoint, endpoint_name
        self._root = Path(endpoint.root) if endpoint.provider == "local" else None
        self._catalog = self._path("catalog", catalog or CATALOG_FILE)
        self._reader = Rereader(self._parse, max_bytes=MAX_CATALOG_BYTES, root=self._root)
        if users:
            self._users = UserMap([self._path("users", users)], required=True, root=self._root)
        else:
            self._users = UserMap([self._root / file for file in USERS_FILES] if self._root else [], root=self._root)
        self._archive = self._path("archive", archive) if archive else None
        if self._archive is not None and (self._root is None or not self._archive.is_dir()):
            raise self._config_error(
                "archive",
                f"{str(self._archive)!r} is not an existing folder: make it, or correct the path"
                if self._root
                else f"files can be staged at a local endpoint only, and {endpoint_name!r} is none",
            )
        if not _is_delay(staging_delay_s):
            raise self._config_error("staging_delay", f"must be seconds, zero or more, not {staging_delay_s!r}")
        self._queue = StagingQueue(self._bring, delay_s=staging_delay_s)

    @classmethod
    def from_config(cls, config: DatabaseConfig, *, endpoints: Mapping[str, Endpoint]) -> Self:
        """Make the database that a section of the configuration describes.

        Its options are ``catalog``, ``users``, ``archive`` and ``staging_delay``, in seconds.

        Raises:
            InvalidDatabaseConfigError: an option is unknown or wrong, or the database does not have exactly one
                endpoint of those given.
        """
        key = f"databases.{config.key}"
        for option in config.options:
            if option not in _OPTIONS:
                raise InvalidDatabaseConfigError(
                    f"a catalog database has no such option: it has {', '.join(_OPTIONS)}", key=f"{key}.{option}"
                )
        names = list(dict.fromkeys(config.endpoints.values()))
        if len(names) != 1 or names[0] not in endpoints:
            raise InvalidDatabaseConfigError(
                f"a catalog database has one endpoint, which must be configured, not {', '.join(map(repr, names))}",
                key=f"{key}.endpoint",
            )
        arguments = {_OPTIONS[option]: value for option, value in config.options.items() if value is not None}
        return cls(name=config.key, endpoint=endpoints[names[0]], endpoint_name=names[0], **arguments)

    def close(self) -> None:
        """End the staging; requests that had not ended become UNKNOWN. Idempotent; the database remains usable."""
        self._queue.close()

    def fence(self, valid: Callable[[], bool]) -> None:
        """Begin staging only while ``valid()`` is True; requests that have not ended become UNKNOWN."""
        self._queue.fence(valid)

    # Finding files

    def search(self, orcid: str, parameters: SearchParameters) -> SearchResults:  # noqa: ARG002 - all is public
        """Give the files that match, in the catalog's order; see ``Query`` for words and patterns.

        Inline data counts as staged: nothing needs to be brought.

        Raises:
            InvalidSearchParameterError: see ``Query.parse``.
            InvalidDatabaseConfigError: there is no catalog, or it cannot be used.
            TransientError, PermanentError: with a status other than ANY, if the endpoint cannot be asked.
        """
        catalog = self._load()
        query = Query.parse(parameters.query, parameters.specific, catalog=catalog, database=self.name)
        found = self._sized(catalog, query.matches(catalog))
        if parameters.status is not SearchFileStatus.ANY:
            found = self._with_status(found, staged=parameters.status is SearchFileStatus.STAGED)
        num_files = len(catalog.descriptors)
        start = min(parameters.offset, num_files)
        stop = min(start + parameters.limit, num_files) if parameters.limit else num_files
        return SearchResults(descriptors=tuple(islice(found, start, stop)))

    def specific_search_parameters(self) -> Mapping[str, Any]:
        """Give the properties by which a search can be narrowed, each with the list of the values that there are.

        Raises:
            InvalidDatabaseConfigError: there is no catalog, or it cannot be used.
        """
        return specific_values(self._load())

    def descriptors(self, orcid: str, file_ids: Sequence[str]) -> Sequence[Descriptor]:  # noqa: ARG002 - all is public
        """Give the descriptor of each id, in the order of the ids; an id that is repeated counts once.

        Raises:
            ResourcesNotFoundError: ids are not in the catalog: all of them are listed.
            InvalidDescriptorError: the resource of an id cannot be used.
            InvalidDatabaseConfigError: there is no catalog, or it cannot be used.
        """
        catalog = self._load()
        ids = list(dict.fromkeys(file_ids))
        unknown = [file_id for file_id in ids if file_id not in catalog.by_id and file_id not in catalog.faults]
        if unknown:
            raise ResourcesNotFoundError(self.name, unknown)
        for file_id in ids:
            if file_id in catalog.faults:
                raise InvalidDescriptorError(file_id, catalog.faults[file_id])
        return tuple(self._with_size(catalog, catalog.by_id[file_id]) for file_id in ids)

    def endpoint_names(self) -> Sequence[str]:
        """Give the name of the one endpoint."""
        return (self._endpoint_name,)

    # Staging

    def stage_files(self, orcid: str, file_ids: Sequence[str], *, request_id: UUID) -> UUID:
        """Have the files that are not at the endpoint copied there from the archive; give ``request_id``. Idempotent.

        Raises:
            PermanentError: a file is not at the endpoint, and not in the archive either; or there is no archive.
            ResourcesNotFoundError, InvalidDescriptorError, InvalidDatabaseConfigError: as ``descriptors``.
            TransientError: the endpoint cannot be asked.
        """
        files = [descriptor for descriptor in self.descriptors(orcid, file_ids) if not descriptor.inline]
        staged = self._endpoint.files_staged(files) if files else {}
        missing = [file for file in files if not staged.get(file.id)]
        if missing and self._archive is None:
            raise PermanentError(
                f"the database {self.name!r} has no archive to stage from, and {len(missing)} files are not at the "
                f"endpoint {self._endpoint_name!r} with the size that the catalog says: {self._sizes(missing)}"
            )
        absent = [file for file in missing if self._archive and size_beneath(self._archive, file.path or "") is None]
        if absent:
            raise PermanentError(
                f"{len(absent)} files of the database {self.name!r} are neither at its endpoint nor in its archive: "
                f"{_listed(absent)}"
            )
        if not missing:
            # another request may have brought what this one had begun to bring when its process was killed
            self._sweep(request_id, files)
        # all of them, for the same reason
        self._queue.ask(request_id, files if missing else [])
        return request_id

    def staging_status(self, ids: Sequence[UUID]) -> Mapping[UUID, StagingStatus]:
        """Give the status of each request; UNKNOWN for one that this process has not made, or has forgotten."""
        return {request_id: self._queue.status(request_id) for request_id in ids}

    def finalize(self, orcid: str, id: UUID) -> None:  # noqa: A002 - DTS's signature
        """Do nothing: a catalog does not keep anything about a transfer. Idempotent."""

    def local_user(self, orcid: str) -> str:
        """Give the local user; raises as ``UserMap.local_user``."""
        return self._users.local_user(orcid)

    # The inner parts

    def _load(self) -> Catalog:
        try:
            return self._reader.get(self._catalog)
        except FileNotFoundError:
            raise InvalidDatabaseConfigError(
                f"the database {self.name!r} has no catalog yet: write it with the command dts-fsm catalog",
                file=str(self._catalog),
            ) from None

    def _parse(self, path: Path, content: bytes) -> Catalog:
        catalog = parse_catalog(path, content)
        for resource_id, fault in islice(catalog.faults.items(), _MAX_LISTED):
            logger.warning(
                "a resource of the catalog cannot be used",
                extra={"action": "read catalog", "database": self.name, "resource_id": resource_id, "fault": fault},
            )
        if len(catalog.faults) > _MAX_LISTED:
            logger.warning(
                "more resources of the catalog cannot be used",
                extra={"action": "read catalog", "database": self.name, "num_faults": len(catalog.faults)},
            )
        for shared, ids in islice(catalog.shared_paths.items(), _MAX_LISTED):
            logger.warning(
                "resources of the catalog have one path: no transfer can have two of them",
                extra={"action": "read catalog", "database": self.name, "path": shared, "resource_ids": ids},
            )
        return catalog

    def _sized(self, catalog: Catalog, descriptors: Iterator[Descriptor]) -> Iterator[Descriptor]:
        for descriptor in descriptors:
            try:
                yield self._with_size(catalog, descriptor)
            except InvalidDescriptorError as error:
                logger.warning(
                    "a search leaves out a resource that cannot be used",
                    extra={"action": "search", "database": self.name, "fault": str(error)},
                )

    def _with_size(self, catalog: Catalog, descriptor: Descriptor) -> Descriptor:
        if descriptor.id not in catalog.unsized:
            return descriptor
        for folder in (self._root, self._archive):
            if folder is not None and (size_bytes := size_beneath(folder, descriptor.path or "")) is not None:
                return attrs.evolve(descriptor, bytes=size_bytes)
        raise InvalidDescriptorError(
            descriptor.id, "its size ('bytes') is missing and its file is not there: complete the catalog"
        )

    def _with_status(self, found: Iterator[Descriptor], *, staged: bool) -> Iterator[Descriptor]:
        while batch := list(islice(found, _BATCH_FILES)):
            files = [descriptor for descriptor in batch if not descriptor.inline]
            answers = self._endpoint.files_staged(files) if files else {}
            for descriptor in batch:
                if (descriptor.inline or bool(answers.get(descriptor.id))) is staged:
                    yield descriptor

    def _sizes(self, files: Sequence[Descriptor]) -> str:
        said = []
        for file in files[:_MAX_LISTED]:
            size_bytes = size_beneath(self._root, file.path or "") if self._root else None
            sizes = "" if size_bytes in (None, file.bytes) else f" (it has {size_bytes} bytes, not {file.bytes})"
            said.append(f"{file.id!r}{sizes}")
        return ", ".join(said) + _more(files)

    def _bring(self, request_id: UUID, files: Sequence[Descriptor], stopped: threading.Event) -> None:
        self._sweep(request_id, files)
        for file in files:
            # another request may have brought it since this one was made
            missing = not self._endpoint.files_staged([file]).get(file.id)
            if missing and self._archive and self._root:
                copy_beneath(
                    self._archive,
                    self._root,
                    file.path or "",
                    size_bytes=file.bytes or 0,
                    prefix=_prefix(request_id),
                    stopped=stopped,
                )

    def _sweep(self, request_id: UUID, files: Sequence[Descriptor]) -> None:
        """Remove what an attempt at this request left that was killed."""
        if self._root and self._archive:
            sweep_beneath(self._root, (file.path or "" for file in files), _prefix(request_id))

    def _path(self, option: str, value: str | Path) -> Path:
        if not isinstance(value, str | Path) or "\0" in str(value):
            raise self._config_error(option, f"must be a path, not {value!r}")
        try:
            path = Path(value).expanduser()
        except RuntimeError as error:
            raise self._config_error(option, "begins with '~', but that user's home is unknown") from error
        if self._root is not None:
            return self._root / path
        if not path.is_absolute():
            raise self._config_error(
                option, f"must be an absolute path, since the endpoint {self._endpoint_name!r} is no local folder"
            )
        return path

    def _config_error(self, option: str, message: str) -> InvalidDatabaseConfigError:
        return InvalidDatabaseConfigError(message, key=f"databases.{self.name}.{option}")


def _prefix(request_id: UUID) -> str:
    return f"{TEMPORARY_PREFIX}{request_id.hex}-"


def _is_delay(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= threading.TIMEOUT_MAX


def _listed(files: Sequence[Descriptor]) -> str:
    return ", ".join(repr(file.id) for file in files[:_MAX_LISTED]) + _more(files)


def _more(files: Sequence[Descriptor]) -> str:
    return f", and {len(files) - _MAX_LISTED} more" if len(files) > _MAX_LISTED else ""
