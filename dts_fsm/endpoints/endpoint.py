"""An endpoint whose moves this process makes: its jobs, its threads, and the way to any other of its kind."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar
from uuid import UUID

from dts_fsm.endpoints.batches import Meter, always, portions
from dts_fsm.endpoints.jobs import Job, Portion, Submit
from dts_fsm.endpoints.streaming import Buffers, Lines, Relay, RelayBatch, Storage
from dts_fsm.endpoints.workers import Workers
from dts_fsm.errors import IncompatibleDestinationError, InvalidEndpointConfigError
from dts_fsm.interfaces import Endpoint
from dts_fsm.records import Descriptor, FileOutcome, FileTransfer, OperationCode, OperationStatus
from dts_fsm.records.checksum import DEFAULT_ALGORITHM, DIGEST_HEX_DIGITS, MissingHashError, new_hasher

MAX_REMEMBERED = 1000
"""How many moves whose end has been told are remembered, so that the answer can be given again."""

CLOSE_TIMEOUT_S = 10.0
"""How long ``close`` waits for the threads: they stop with the next chunk, unless a file system or server hangs."""

_BUFFER_BYTES = 64 << 20
"""What all moves from one endpoint have in memory of the files under way, together."""

_RELAY_FILES = 16
"""So few files are handed to a worker at once: each waits for a network, and the others should have work meanwhile."""


class MovingEndpoint(ABC):
    """An ``Endpoint`` whose moves are threads of this process.

    A move that a killed process has begun is not known to the next: ``statuses`` answers LOST, and the same submission
    finishes the work, skips what had arrived, and goes on with what can be gone on with.

    Args:
        root: as ``Endpoint`` says.
        name: the endpoint's name in the configuration; for messages.
        workers: how many files are moved at once, at least 1.
        default_checksum: with what files that arrive here are hashed where nobody says which checksum they must have,
            so that it can be told; "none": they are not. Those that must have one are always verified.

    Raises:
        InvalidEndpointConfigError: ``workers`` is not a whole number above 0, or ``default_checksum`` is not one of
            these, or what it needs is not installed.
    """

    provider: ClassVar[str]

    takes_files: ClassVar[bool] = True
    """Whether files can be moved to it."""

    def __init__(self, *, root: str, name: str, workers: int = 4, default_checksum: str = DEFAULT_ALGORITHM) -> None:
        self.name = name
        self._root = root
        if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
            raise InvalidEndpointConfigError(
                f"must be a whole number above 0, not {workers!r}", key=f"endpoints.{name}.workers"
            )
        self._algorithm = _algorithm(default_checksum, key=f"endpoints.{name}.default_checksum")
        self._workers = workers
        self._lock = threading.Lock()
        self._pool: Workers | None = None
        self._lines: Lines | None = None
        self._buffers = Buffers(_BUFFER_BYTES)
        self._valid: Callable[[], bool] = always
        self._watchers: list[Callable[[UUID], None]] = []
        self._jobs: dict[UUID, Job] = {}
        self._told: dict[UUID, None] = {}  # moves whose end has been told, the oldest first

    @property
    def root(self) -> str:
        """The folder below which everything lies."""
        return self._root

    @abstractmethod
    def storage(self, *, arriving: bool) -> Storage:
        """Give how files here are read, or, ``arriving``, written; that only where it takes files."""

    @abstractmethod
    def files_staged(self, descriptors: Sequence[Descriptor]) -> Mapping[str, bool]:
        """Give for each descriptor's id whether its file is here with the size it says; see ``Endpoint``."""

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
        directly before a file is put in place: a process that stood still does nothing when it wakes.
        """
        self._forget_running(valid)

    def _forget_running(self, valid: Callable[[], bool]) -> None:
        with self._lock:
            self._valid = valid
            pool, self._pool = self._pool, None
            lines, self._lines = self._lines, None
            live = {id_: job for id_, job in self._jobs.items() if job.status().code is OperationCode.RUNNING}
            for id_ in live:
                del self._jobs[id_]
        for job in live.values():
            job.abandon()
        if pool is not None:
            pool.close(timeout_s=CLOSE_TIMEOUT_S)
        if lines is not None:
            lines.shutdown(wait=False)

    def transfers(self) -> Sequence[UUID]:
        """Give the ids of the moves that are known, the oldest first."""
        with self._lock:
            return tuple(self._jobs)

    def transfer(self, destination: Endpoint, files: Sequence[FileTransfer], *, operation_id: UUID) -> UUID:
        """Begin to move the files, and give ``operation_id``; nothing happens if a move of this id is known.

        Does not wait. What is wrong with a file appears in its outcome, and does not stop the others.

        Raises:
            IncompatibleDestinationError: there is no way from here to there.
        """
        if not isinstance(destination, MovingEndpoint) or not destination.takes_files:
            raise IncompatibleDestinationError(self.provider, destination.provider)
        with self._lock:
            if operation_id in self._jobs:
                return operation_id
            work, submit = self._work(destination, files, operation_id)
            job = self._jobs[operation_id] = Job(
                work,
                num_files=len(files),
                submit=submit,
                window=2 * self._workers,
                valid=self._valid,
                ended=partial(self._tell, operation_id),
            )
        job.start()
        return operation_id

    def _work(
        self, destination: MovingEndpoint, files: Sequence[FileTransfer], operation_id: UUID
    ) -> tuple[Iterator[Portion], Submit]:
        """Give the move in portions, and what they are handed to; bound to the present threads, so that they can end.

        Called with the lock held.
        """
        relay = Relay(
            source=self.storage(arriving=False),
            destination=destination.storage(arriving=True),
            operation=operation_id.hex,
            algorithm=destination._algorithm,
            lines=self._threads_for_parts(),
            buffers=self._buffers,
        )
        pool = self._threads()
        most = min(_RELAY_FILES, 1 + len(files) // (2 * self._workers))
        work = (RelayBatch(files=tuple(chosen), relay=relay) for chosen in portions(files, most))
        return work, lambda batch, meter: pool.submit(partial(_relayed, batch), meter)

    def _threads(self) -> Workers:
        if self._pool is None:
            self._pool = Workers(self._workers, name=f"dts-{self.name}")
        return self._pool

    def _threads_for_parts(self) -> Lines:
        if self._lines is None:
            self._lines = Lines(2 * self._workers, name=f"dts-{self.name}-part")
        return self._lines

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
        """Remove what an unfinished move of this id has left at the destination of these files.

        Idempotent. Nothing happens while the move is running, or where the destination is of another kind; what cannot
        be removed stays.
        """
        with self._lock:
            job = self._jobs.get(operation_id)
        if isinstance(destination, MovingEndpoint) and (job is None or job.status().code is not OperationCode.RUNNING):
            destination._clear(files, operation_id)

    def _clear(self, files: Sequence[FileTransfer], operation_id: UUID) -> None:
        """Remove what an unfinished move to here has left."""
        self.storage(arriving=True).clear([file.destination_path for file in files], operation_id.hex)


def _relayed(batch: RelayBatch, meter: Meter, _: object) -> list[FileOutcome]:
    return batch.move(meter)


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
