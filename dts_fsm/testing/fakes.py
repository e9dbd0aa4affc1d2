"""Endpoints and databases in memory: they keep the contracts, and have faults and delays on command.

They pass the conformance suites, so that a test that passes with them means something.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs

from dts_fsm.clock import SystemClock
from dts_fsm.errors import (
    IncompatibleDestinationError,
    InvalidOrcidError,
    InvalidSearchParameterError,
    ResourcesNotFoundError,
)
from dts_fsm.interfaces import Clock, Endpoint
from dts_fsm.records import (
    Checksum,
    Descriptor,
    FileOutcome,
    FileState,
    FileTransfer,
    OperationCode,
    OperationStatus,
    Overwrite,
    SearchFileStatus,
    SearchParameters,
    SearchResults,
    StagingStatus,
)
from dts_fsm.records.checks import is_orcid, path_fault
from dts_fsm.records.checksum import new_hasher
from dts_fsm.testing.faults import Faults


@attrs.frozen
class FakeFile:
    """A file in memory; one without content has only a size, and any checksum is believed."""

    size_bytes: int
    content: bytes | None = None

    def checksum(self, expected: Checksum | None) -> Checksum | None:
        """The file's checksum by the algorithm that is expected, sha256 where none is."""
        if self.content is None:
            return expected
        algorithm = expected.algorithm if expected else "sha256"
        hasher = new_hasher(algorithm)
        hasher.update(self.content)
        return Checksum(algorithm, hasher.hexdigest())


@attrs.define(eq=False)
class _Move:
    id: UUID
    destination: FakeEndpoint
    files: Sequence[FileTransfer]
    begins_at: float
    ends_at: float
    canceled: bool = False
    paused: bool = False
    num_bytes: int = 0
    result: OperationStatus | None = None


class FakeEndpoint:
    """An endpoint whose files are in memory.

    Args:
        name: shown in messages.
        duration_s: how long each move that is begun from now on takes; it may be changed.
        clock: measures it.
        sees: a real folder whose files are readable too, below ``root``; what delivers manifests needs it.

    Attributes:
        files: path -> file.
        faults: by the names of the methods.
        submissions: the operation ids with which ``transfer`` was called, in order, repetitions included.
    """

    provider = "fake"

    def __init__(
        self, name: str = "fake", *, duration_s: float = 0.0, clock: Clock | None = None, sees: Path | None = None
    ) -> None:
        self.name = name
        self.root = str(sees) if sees else "/"
        self.files: dict[str, FakeFile] = {}
        self.faults = Faults()
        self.submissions: list[UUID] = []
        self.duration_s = duration_s
        self._clock, self._sees = clock or SystemClock(), sees
        self._moves: dict[UUID, _Move] = {}
        self._watchers: list[Callable[[UUID], None]] = []
        self._lock = threading.RLock()

    def put(self, path: str, content: bytes | int) -> None:
        """A file is there: with this content, or of this size without any."""
        file = FakeFile(content) if isinstance(content, int) else FakeFile(len(content), content)
        with self._lock:
            self.files[path] = file

    def forget(self) -> None:
        """What the endpoint knew of moves is gone, as after its restart."""
        with self._lock:
            self._moves.clear()

    def unfinished(self) -> Sequence[UUID]:
        """Give the ids of the moves that go on, or are suspended; nobody has told them to stop."""
        with self._lock:
            return [id_ for id_, move in self._moves.items() if move.result is None and not move.canceled]

    def pause(self, move: UUID, paused: bool = True) -> None:
        """A move is suspended by the provider, or goes on."""
        with self._lock:
            self._moves[move].paused = paused

    def progress(self, move: UUID, num_bytes: int) -> None:
        """So many bytes of a move have arrived so far."""
        with self._lock:
            self._moves[move].num_bytes = num_bytes

    def files_staged(self, descriptors: Sequence[Descriptor]) -> Mapping[str, bool]:
        """See ``Endpoint``."""
        self.faults.meet("files_staged")
        with self._lock:
            found = ((descriptor, self._find(descriptor.path or "")) for descriptor in descriptors)
            return {
                descriptor.id: file is not None and file.size_bytes == descriptor.bytes for descriptor, file in found
            }

    def transfers(self) -> Sequence[UUID]:
        """See ``Endpoint``."""
        with self._lock:
            return tuple(self._moves)

    def transfer(self, destination: Endpoint, files: Sequence[FileTransfer], *, operation_id: UUID) -> UUID:
        """See ``Endpoint``. Faults: "transfer" before anything happens, "transfer answer" after the move has begun."""
        self.faults.meet("transfer")
        if not isinstance(destination, FakeEndpoint):
            raise IncompatibleDestinationError(self.provider, destination.provider)
        now = self._clock.time()
        with self._lock:
            self.submissions.append(operation_id)
            if operation_id not in self._moves:
                self._moves[operation_id] = _Move(operation_id, destination, tuple(files), now, now + self.duration_s)
        self.faults.meet("transfer answer")
        return operation_id

    def statuses(self, ids: Sequence[UUID]) -> Mapping[UUID, OperationStatus]:
        """See ``Endpoint``."""
        self.faults.meet("statuses")
        with self._lock:
            return {id_: self._status(self._moves.get(id_)) for id_ in ids}

    def cancel(self, id: UUID) -> None:  # noqa: A002 - the contract's word
        """See ``Endpoint``."""
        self.faults.meet("cancel")
        with self._lock:
            move = self._moves.get(id)
            if move is not None and self._status(move).code in (OperationCode.RUNNING, OperationCode.SUSPENDED):
                move.canceled = True

    def _status(self, move: _Move | None) -> OperationStatus:
        if move is None:
            return OperationStatus(code=OperationCode.LOST)
        if move.result is None and (move.canceled or (not move.paused and self._clock.time() >= move.ends_at)):
            canceled = OperationStatus(code=OperationCode.CANCELED, message="canceled")
            move.result = canceled if move.canceled else self._carry_out(move)
            for ended in tuple(self._watchers):
                ended(move.id)
        if move.result is not None:
            return move.result
        code = OperationCode.SUSPENDED if move.paused else OperationCode.RUNNING
        return OperationStatus(code=code, num_bytes_transferred=move.num_bytes)

    def _carry_out(self, move: _Move) -> OperationStatus:
        outcomes = tuple(self._copy(file, move.destination) for file in move.files)
        failed = [outcome for outcome in outcomes if outcome.state is FileState.FAILED]
        skipped = sum(outcome.state is FileState.SKIPPED for outcome in outcomes)
        return OperationStatus(
            code=OperationCode.FAILED if failed else OperationCode.SUCCEEDED,
            message=f"{failed[0].id}: {failed[0].error}" if failed else "",
            reason=failed[0].reason if failed else None,
            num_files_transferred=len(outcomes) - len(failed),
            num_files_skipped=skipped,
            num_bytes_transferred=sum(outcome.observed_bytes or 0 for outcome in outcomes),
            files=outcomes,
        )

    def _copy(self, file: FileTransfer, destination: FakeEndpoint) -> FileOutcome:
        if fault := path_fault(file.source_path) or path_fault(file.destination_path):
            return _failed(file, "unsafe path", fault)
        source = self._find(file.source_path)
        if source is None:
            return _failed(file, "not found", f"there is no {file.source_path}")
        if file.bytes is not None and source.size_bytes != file.bytes:
            return _failed(file, "size mismatch", f"expected {file.bytes} bytes, found {source.size_bytes}")
        checksum = source.checksum(file.hash)
        if file.hash is not None and checksum != file.hash:
            return _failed(file, "checksum mismatch", f"expected {file.hash}, found {checksum}")
        with destination._lock:
            there = destination._find(file.destination_path)
            if file.overwrite is Overwrite.NEVER and there not in (None, source):
                return _failed(file, "exists", f"{file.destination_path} has other content: move it away")
            skipped = there == source and file.overwrite is not Overwrite.ALWAYS
            state = FileState.SKIPPED if skipped else FileState.TRANSFERRED
            destination.files[file.destination_path] = source
        observed = str(checksum) if checksum else None
        return FileOutcome(id=file.id, state=state, observed_bytes=source.size_bytes, observed_hash=observed)

    def _find(self, path: str) -> FakeFile | None:
        file = self.files.get(path)
        if file is None and self._sees is not None:
            with contextlib.suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
                content = (self._sees / path).read_bytes()
                return FakeFile(len(content), content)
        return file


class PromptEndpoint(FakeEndpoint):
    """A fake that knows without asking anybody how its moves stand, as one does whose moves this process makes."""

    def watch(self, ended: Callable[[UUID], None]) -> Callable[[], None]:
        """See ``Endpoint``. An end is told when the clock has come to it and ``statuses`` is called."""
        self._watchers.append(ended)
        return partial(self._watchers.remove, ended)


def _failed(file: FileTransfer, reason: str, error: str) -> FileOutcome:
    return FileOutcome(id=file.id, state=FileState.FAILED, reason=reason, error=error)


class FakeDatabase:
    """A database whose descriptors are in memory.

    Args:
        name: shown in messages.
        endpoint: where its files are, or arrive once they are staged.
        endpoint_name: that endpoint's name in the configuration.
        users: ORCID -> local user; None takes everybody under their ORCID.
        staging_duration_s: how long a staging request takes; it may be changed.
        clock: measures it.

    Attributes:
        descriptors_by_id: what there is; add to it.
        tape: path -> file, for files that must be staged before ``endpoint`` has them.
        faults: by the names of the methods.
        finalized: the ids with which ``finalize`` was called, in order.
        staging_requests: the request ids with which ``stage_files`` was called, in order, repetitions included.
        staging_result: what a staging request comes to.
    """

    def __init__(
        self,
        name: str,
        *,
        endpoint: FakeEndpoint,
        endpoint_name: str,
        users: Mapping[str, str] | None = None,
        staging_duration_s: float = 0.0,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.descriptors_by_id: dict[str, Descriptor] = {}
        self.tape: dict[str, FakeFile] = {}
        self.faults = Faults()
        self.finalized: list[UUID] = []
        self.staging_requests: list[UUID] = []
        self.staging_result = StagingStatus.SUCCEEDED
        self._endpoint, self._endpoint_name, self._users = endpoint, endpoint_name, users
        self.staging_duration_s = staging_duration_s
        self._clock = clock or SystemClock()
        self._requests: dict[UUID, tuple[float, tuple[str, ...]]] = {}
        self._lock = threading.Lock()

    def add(
        self, file_id: str, content: bytes | int = b"", *, path: str | None = None, staged: bool = True
    ) -> Descriptor:
        """A file is in the database: at its endpoint, or on tape. A content is described with its sha256."""
        path = path or file_id
        file = FakeFile(content) if isinstance(content, int) else FakeFile(len(content), content)
        checksum = None if file.content is None else f"sha256:{hashlib.sha256(file.content).hexdigest()}"
        descriptor = Descriptor(id=file_id, name=file_id, path=path, bytes=file.size_bytes, hash=checksum)
        self.descriptors_by_id[file_id] = descriptor
        if staged:
            self._endpoint.files[path] = file
        else:
            self.tape[path] = file
        return descriptor

    def add_inline(self, file_id: str, data: Any) -> Descriptor:
        """Metadata is in the database, to be carried in manifests."""
        descriptor = self.descriptors_by_id[file_id] = Descriptor(id=file_id, properties={"data": data})
        return descriptor

    def search(self, orcid: str, parameters: SearchParameters) -> SearchResults:
        """See ``Database``: every word or pattern of the query must match the id, the name or the path."""
        self.faults.meet("search")
        self.local_user(orcid)
        if parameters.specific:
            raise InvalidSearchParameterError(self.name, f"it has none, and {sorted(parameters.specific)} were given")
        words = parameters.query.lower().split()
        found = [d for _, d in sorted(self.descriptors_by_id.items()) if all(_matches(d, word) for word in words)]
        if parameters.status is not SearchFileStatus.ANY:
            wanted = parameters.status is SearchFileStatus.STAGED
            staged = self._endpoint.files_staged([d for d in found if not d.inline])
            found = [d for d in found if staged.get(d.id, True) is wanted]
        end = parameters.offset + parameters.limit if parameters.limit else None
        return SearchResults(descriptors=tuple(found[parameters.offset : end]))

    def specific_search_parameters(self) -> Mapping[str, Any]:
        """See ``Database``: it has none."""
        return {}

    def descriptors(self, orcid: str, file_ids: Sequence[str]) -> Sequence[Descriptor]:
        """See ``Database``."""
        self.faults.meet("descriptors")
        self.local_user(orcid)
        if missing := [file_id for file_id in file_ids if file_id not in self.descriptors_by_id]:
            raise ResourcesNotFoundError(self.name, missing)
        return [self.descriptors_by_id[file_id] for file_id in file_ids]

    def endpoint_names(self) -> Sequence[str]:
        """See ``Database``."""
        return (self._endpoint_name,)

    def stage_files(self, orcid: str, file_ids: Sequence[str], *, request_id: UUID) -> UUID:
        """See ``Database``."""
        self.faults.meet("stage_files")
        self.descriptors(orcid, file_ids)
        with self._lock:
            self.staging_requests.append(request_id)
            self._requests.setdefault(request_id, (self._clock.time() + self.staging_duration_s, tuple(file_ids)))
        return request_id

    def staging_status(self, ids: Sequence[UUID]) -> Mapping[UUID, StagingStatus]:
        """See ``Database``."""
        self.faults.meet("staging_status")
        return {id_: self._staging(self._requests.get(id_)) for id_ in ids}

    def finalize(self, orcid: str, id: UUID) -> None:  # noqa: A002, ARG002 - the contract's signature
        """See ``Database``."""
        self.faults.meet("finalize")
        self.finalized.append(id)

    def local_user(self, orcid: str) -> str:
        """See ``Database``."""
        self.faults.meet("local_user")
        if not is_orcid(orcid):
            raise InvalidOrcidError(orcid, "is malformed")
        if self._users is None:
            return orcid
        if orcid not in self._users:
            raise InvalidOrcidError(orcid, f"is nobody's in the database {self.name!r}")
        return self._users[orcid]

    def _staging(self, request: tuple[float, Iterable[str]] | None) -> StagingStatus:
        if request is None:
            return StagingStatus.UNKNOWN
        ends_at, file_ids = request
        if self._clock.time() < ends_at:
            return StagingStatus.ACTIVE
        if self.staging_result is StagingStatus.SUCCEEDED:
            for file_id in file_ids:
                path = self.descriptors_by_id[file_id].path or ""
                if path in self.tape:
                    self._endpoint.files[path] = self.tape[path]
        return self.staging_result


def _matches(descriptor: Descriptor, word: str) -> bool:
    texts = [text.lower() for text in (descriptor.id, descriptor.name, descriptor.path or "")]
    return any(word in text or fnmatchcase(text, word) for text in texts)
