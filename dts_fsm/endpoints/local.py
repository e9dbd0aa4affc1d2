"""The endpoint of local folders: whatever this machine's file systems reach."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self
from uuid import UUID

from dts_fsm.endpoints.batches import BATCH_FILES, always, batches
from dts_fsm.endpoints.beneath import Sources, open_root
from dts_fsm.endpoints.durability import Durability
from dts_fsm.endpoints.jobs import Job, Submit
from dts_fsm.endpoints.moving import move_batch
from dts_fsm.endpoints.parts import clear
from dts_fsm.endpoints.workers import Workers
from dts_fsm.errors import (
    IncompatibleDestinationError,
    InvalidEndpointConfigError,
    PermanentError,
    TransientError,
    UnsafePathError,
)
from dts_fsm.interfaces import Endpoint
from dts_fsm.records import Descriptor, FileTransfer, OperationCode, OperationStatus
from dts_fsm.records.checksum import DEFAULT_ALGORITHM, DIGEST_HEX_DIGITS, MissingHashError, new_hasher

if TYPE_CHECKING:
    from dts_fsm.config import EndpointConfig

MAX_REMEMBERED = 1000
"""How many moves whose end has been told are remembered, so that the answer can be given again."""

CLOSE_TIMEOUT_S = 10.0
"""How long ``close`` waits for the threads: they stop with the next chunk, unless a file system hangs."""

_HOPELESS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP})

_LEFT_TO_THE_MOVE = frozenset({errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP})
"""What keeps one file from being looked at, for good, and says nothing of the others."""


class LocalEndpoint:
    """A folder of this machine, and workers that copy, verified, from it to the folders of other local endpoints.

    Each file is copied in bounded memory, hashed on the way, compared with its size and checksum, written beside its
    target and renamed: a target is whole, old or new, at every instant. Permission bits and modification times are
    kept, ownership, setuid bits and extended attributes are not. A target that is already there, with the right size
    and checksum, is skipped; without a checksum to compare with, source and target are both hashed. What becomes of one
    with other content, ``FileTransfer.overwrite`` says; where it is "never", one that appears during the copy is left
    as it is, too (on a file system without hard links up to the instant of a last look).

    Nothing leaves the root. At a source, symbolic links are followed where they are relative and stay below the root;
    at a destination none is followed, and none is replaced. What is not a regular file is refused, without blocking.

    What a killed process has begun is not known to the next: ``statuses`` answers LOST, and the same submission
    finishes the work, skips what had arrived, and clears away the unfinished files.

    Args:
        root: an existing folder.
        name: the endpoint's name in the configuration; for messages.
        workers: how many files are moved at once, at least 1.
        executor: what moves the bytes instead of the endpoint's own threads: processes, or a cluster whose workers see
            both roots under the same paths. It remains the caller's to shut down. Work is given to it in small batches
            of files; progress and cancellation then go batch by batch, not within a file, and what a canceled batch
            still does is ignored. A fence does not hold it: see ``fence``.
        durable: what survives a power cut of the files that arrive here: a ``Durability`` or its name; True is "batch",
            False "none".
        default_checksum: with what files that arrive here are hashed where nobody says which checksum they must have,
            so that it can be told; "none": they are not. Those that must have one are always verified.

    Raises:
        InvalidEndpointConfigError: the root is not an existing folder, ``workers`` is not a whole number above 0,
            ``durable`` or ``default_checksum`` is not one of these, or what the latter needs is not installed.
    """

    provider = "local"

    def __init__(
        self,
        *,
        root: str | Path,
        name: str = "local",
        workers: int = 4,
        executor: Executor | None = None,
        durable: bool | str = Durability.BATCH,
        default_checksum: str = DEFAULT_ALGORITHM,
    ) -> None:
        self.name = name
        self._root = os.path.abspath(root)
        if not os.path.isdir(self._root):
            raise InvalidEndpointConfigError(
                f"{self._root!r} is not an existing folder: make it, or correct the root", key=f"endpoints.{name}.root"
            )
        if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
            raise InvalidEndpointConfigError(
                f"must be a whole number above 0, not {workers!r}", key=f"endpoints.{name}.workers"
            )
        try:
            self._durable = Durability.of(durable)
        except ValueError:
            words = ", ".join(map(repr, map(str, Durability)))
            raise InvalidEndpointConfigError(
                f"must be one of {words}, true or false, not {durable!r}", key=f"endpoints.{name}.durable"
            ) from None
        self._algorithm = _algorithm(default_checksum, key=f"endpoints.{name}.default_checksum")
        self._workers, self._executor = workers, executor
        self._lock = threading.Lock()
        self._pool: Workers | None = None
        self._valid: Callable[[], bool] = always
        self._watchers: list[Callable[[UUID], None]] = []
        self._jobs: dict[UUID, Job] = {}
        self._told: dict[UUID, None] = {}  # moves whose end has been told, the oldest first

    @classmethod
    def from_config(cls, config: EndpointConfig, *, executor: Executor | None = None) -> Self:
        """Make the endpoint that a section of the configuration describes.

        Its options are ``workers``, ``durable`` and ``default_checksum``.

        Raises:
            InvalidEndpointConfigError: the root is not an existing folder, or an option is unknown or wrong.
        """
        for option in config.options:
            if option not in ("workers", "durable", "default_checksum"):
                raise InvalidEndpointConfigError(
                    "a local endpoint has no such option: it has 'workers', 'durable' and 'default_checksum'",
                    key=f"endpoints.{config.key}.{option}",
                )
        return cls(root=config.root, name=config.key, executor=executor, **config.options)

    @property
    def root(self) -> str:
        """The folder below which everything lies, as an absolute path."""
        return self._root

    def close(self) -> None:
        """Stop the workers; moves that have not ended are forgotten, become LOST, and put nothing in place any more.

        Waits for the workers ``CLOSE_TIMEOUT_S`` at most, so that a file system that hangs does not hold the caller; a
        process may end meanwhile, too. Idempotent. The endpoint remains usable: the next ``transfer`` starts workers
        again.
        """
        self._forget_running(self._valid)

    def fence(self, valid: Callable[[], bool]) -> None:
        """Make moves write only while ``valid()`` is True; those that have not ended become LOST, as by ``close``.

        A move that is begun from now on waits while it is False. That is looked at after each chunk of a file, and
        directly before a folder is made or a file put in place: a process that stood still does nothing when it wakes.
        Batches that an ``executor`` was given see nothing of it, and are carried out.
        """
        self._forget_running(valid)

    def _forget_running(self, valid: Callable[[], bool]) -> None:
        with self._lock:
            self._valid = valid
            pool, self._pool = self._pool, None
            live = {id_: job for id_, job in self._jobs.items() if job.status().code is OperationCode.RUNNING}
            for id_ in live:
                del self._jobs[id_]
        for job in live.values():
            job.abandon()
        if pool is not None:
            pool.close(timeout_s=CLOSE_TIMEOUT_S)

    def files_staged(self, descriptors: Sequence[Descriptor]) -> Mapping[str, bool]:
        """Give for each descriptor's id whether a regular file of its size is at its path, links as for a source.

        A file that this process may not look at (below a folder that it may not search, or with a name that is too
        long) counts as staged: the move then says what is wrong with that file, and the others are not held up. To
        wait for such a file would be in vain.

        Raises:
            PermanentError: the root does not exist, or may not be read.
            TransientError: the file system cannot answer now.
        """
        where = self._root
        try:
            root = open_root(self._root)
            sources = Sources(root)
            try:
                answer = {}
                for descriptor in descriptors:
                    where = os.path.join(self._root, descriptor.path or "")
                    answer[descriptor.id] = _is_staged(sources, descriptor)
                return answer
            finally:
                sources.close()
                os.close(root)
        except OSError as error:
            kind = PermanentError if error.errno in _HOPELESS else TransientError
            raise kind(f"the endpoint {self.name!r} cannot look at {where!r}: {error.strerror}") from error

    def transfers(self) -> Sequence[UUID]:
        """Give the ids of the moves that are known, the oldest first."""
        with self._lock:
            return tuple(self._jobs)

    def transfer(self, destination: Endpoint, files: Sequence[FileTransfer], *, operation_id: UUID) -> UUID:
        """Begin to move the files, and give ``operation_id``; nothing happens if a move of this id is known.

        Does not wait. What is wrong with a file appears in its outcome, and does not stop the others.

        Raises:
            IncompatibleDestinationError: the destination is not a local endpoint.
        """
        if not isinstance(destination, LocalEndpoint):
            raise IncompatibleDestinationError(self.provider, destination.provider)
        with self._lock:
            if operation_id in self._jobs:
                return operation_id
            job = self._jobs[operation_id] = Job(
                batches(
                    files,
                    source_root=self._root,
                    destination_root=destination.root,
                    operation_id=operation_id,
                    durable=destination._durable,
                    algorithm=destination._algorithm,
                    max_files=min(BATCH_FILES, 1 + len(files) // (2 * self._workers)),
                ),
                num_files=len(files),
                submit=self._submitter(),
                window=2 * self._workers,
                valid=self._valid,
                ended=partial(self._tell, operation_id),
            )
        job.start()
        return operation_id

    def statuses(self, ids: Sequence[UUID]) -> Mapping[UUID, OperationStatus]:
        """Give the status of each move; its cost does not depend on the number of files.

        A move whose end has not been told is always remembered, of the others the newest ``MAX_REMEMBERED``.
        """
        with self._lock:
            jobs = {id_: self._jobs.get(id_) for id_ in ids}
            answers = {
                id_: job.status() if job else OperationStatus(code=OperationCode.LOST) for id_, job in jobs.items()
            }
            for id_, answer in answers.items():
                if answer.code not in (OperationCode.RUNNING, OperationCode.LOST):
                    self._told.setdefault(id_)
            while len(self._told) > MAX_REMEMBERED:
                oldest = next(iter(self._told))
                del self._told[oldest], self._jobs[oldest]
        return answers

    def watch(self, ended: Callable[[UUID], None]) -> Callable[[], None]:
        """From now on ``ended`` is called with the id of each move that has ended; see ``Endpoint``."""
        self._watchers.append(ended)
        return partial(self._watchers.remove, ended)

    def _tell(self, id_: UUID) -> None:
        for ended in tuple(self._watchers):
            ended(id_)

    def cancel(self, id: UUID) -> None:  # noqa: A002 - the word of the protocol
        """Ask the move to stop, within the file under way; what has arrived stays. Idempotent, does not wait."""
        with self._lock:
            job = self._jobs.get(id)
        if job is not None:
            job.cancel()

    def clear(self, destination: Endpoint, files: Sequence[FileTransfer], *, operation_id: UUID) -> None:
        """Remove what an unfinished move of this id has left in the destination folders of these files.

        Idempotent. Nothing happens while the move is running, or where the destination is not a local endpoint; what
        cannot be removed stays.
        """
        with self._lock:
            job = self._jobs.get(operation_id)
        if isinstance(destination, LocalEndpoint) and (job is None or job.status().code is not OperationCode.RUNNING):
            clear(destination.root, files, operation_id.hex)

    def _submitter(self) -> Submit:
        """Give what a job hands its batches to; bound to the present pool, so that ``close`` ends it for good."""
        if (executor := self._executor) is not None:
            return lambda batch, _meter: executor.submit(move_batch, batch)
        if self._pool is None:
            self._pool = Workers(self._workers, name=f"dts-{self.name}")
        return self._pool.submit


def _algorithm(default_checksum: str, *, key: str) -> str | None:
    """Give the algorithm of a setting, None for "none"."""
    if default_checksum == "none":
        return None
    if default_checksum not in DIGEST_HEX_DIGITS:
        known = ", ".join(map(repr, DIGEST_HEX_DIGITS))
        raise InvalidEndpointConfigError(f"must be 'none' or one of {known}, not {default_checksum!r}", key=key)
    try:
        new_hasher(default_checksum)
    except MissingHashError as error:
        raise InvalidEndpointConfigError(str(error), key=key) from error
    return default_checksum


def _is_staged(sources: Sources, descriptor: Descriptor) -> bool:
    try:
        return sources.look(descriptor.path or "").st_size == descriptor.bytes
    except (FileNotFoundError, NotADirectoryError, UnsafePathError):
        return False
    except OSError as error:
        if error.errno in _LEFT_TO_THE_MOVE:
            return True
        raise
