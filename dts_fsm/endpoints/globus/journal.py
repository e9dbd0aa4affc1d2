"""What must survive of each move: the documents that are submitted, with their ids, and what is known of their tasks.

A folder for each move, with the name of its operation, and in it facts that are written once and never changed:

    move.json        where it goes, and in how many parts
    refused.json     the outcomes of files that were not submitted at all
    0.0.json         the first submission of part 0: the document, and its files in the same order
    0.0.task         the id that Globus gave it
    0.0.end.json     how it ended, with the outcome of every file
    0.1.json         what was left of part 0, submitted again without the files that had kept it from going on
    canceled         somebody wants it stopped
    ended            all parts have ended

A method that writes returns once it is on the medium. A move's folder appears whole, by one rename. Two processes that
write at once do no harm: who comes second finds the fact there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

import attrs

from dts_fsm.endpoints.globus.place import Place
from dts_fsm.errors import PermanentError, SerializationError, SpecificationError, TransientError
from dts_fsm.records import FileOutcome, FileTransfer, OperationCode
from dts_fsm.serialization import from_json, to_json

KEPT_S = 30 * 86_400.0
"""For how long an ended move is remembered: Globus keeps the details of a task as long.

Source: https://docs.globus.org/api/transfer/task/, Overview.
"""

_HALF = ".half"
_MOVE, _REFUSED, _CANCELED, _ENDED = "move.json", "refused.json", "canceled", "ended"

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Submission:
    """What is handed to Globus as one task, and what it is about.

    Attributes:
        document: as it is sent, with its submission id.
        files: of its items, in their order.
    """

    document: dict[str, Any]
    files: tuple[FileTransfer, ...]


@attrs.frozen(kw_only=True)
class Ending:
    """How a submission ended.

    Attributes:
        code: SUCCEEDED, FAILED or CANCELED.
        outcomes: of the files that are not submitted once more.
        message, reason, transient: as ``OperationStatus`` has them.
    """

    code: OperationCode
    outcomes: tuple[FileOutcome, ...] = ()
    message: str = ""
    reason: str | None = None
    transient: bool = False


@attrs.frozen
class Turn:
    """Names one submission of a move: of which part, and the how manieth, counted from 0."""

    part: int
    number: int = 0

    def __str__(self) -> str:
        return f"{self.part}.{self.number}"


@attrs.frozen(kw_only=True)
class Known:
    """What the journal knows of a move, without documents and outcomes.

    Attributes:
        destination: where the files go to.
        turns: of each part all submissions, the last one last, each with its task's id, or None, and whether it ended.
        canceled: whether somebody wants it stopped.
    """

    destination: Place
    turns: tuple[tuple[tuple[Turn, UUID | None, bool], ...], ...]
    canceled: bool


@attrs.frozen(kw_only=True)
class _Head:
    destination: Place
    parts: int


@attrs.frozen(kw_only=True)
class _Outcomes:
    outcomes: tuple[FileOutcome, ...]


class Journal:
    """The moves of one endpoint; safe from any thread, and from several processes.

    Args:
        folder: made when the first move is written.

    Every method raises ``TransientError`` where the folder cannot be read or written now, and ``PermanentError`` where
    a file in it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def operations(self) -> list[UUID]:
        """Give the ids of all moves, in no particular order."""
        found = []
        for name in self._names(self.folder):
            with contextlib.suppress(ValueError):  # a draft, or nothing of ours
                found.append(UUID(name))
        return found

    def known(self, operation: UUID) -> Known | None:
        """Give what is known of the move; None where there is none."""
        names = set(self._names(self._place(operation)))
        if _MOVE not in names:
            return None
        head = self._read(operation, _MOVE, _Head)
        turns = tuple(tuple(self._turns(operation, part, names)) for part in range(head.parts))
        return Known(destination=head.destination, turns=turns, canceled=_CANCELED in names)

    def _turns(self, operation: UUID, part: int, names: set[str]) -> Iterator[tuple[Turn, UUID | None, bool]]:
        turn = Turn(part)
        while f"{turn}.json" in names:
            task = self._task(operation, turn) if f"{turn}.task" in names else None
            over = f"{turn}.end.json" in names
            yield turn, task, over
            if not over:  # the next one is written first, and counts from then on
                return
            turn = Turn(part, turn.number + 1)

    def draft(self, operation: UUID) -> Draft:
        """Give what a new move is written into; a context manager."""
        return Draft(self, operation)

    def submission(self, operation: UUID, turn: Turn) -> Submission:
        """Give one submission of a known move."""
        return self._read(operation, f"{turn}.json", Submission)

    def ending(self, operation: UUID, turn: Turn) -> Ending:
        """Give how a submission ended that has."""
        return self._read(operation, f"{turn}.end.json", Ending)

    def refused(self, operation: UUID) -> tuple[FileOutcome, ...]:
        """Give the outcomes of the files that were not submitted."""
        return self._read(operation, _REFUSED, _Outcomes).outcomes

    def add(self, operation: UUID, turn: Turn, submission: Submission) -> None:
        """The next submission of a part is durable; one that another process has written stays."""
        self._write(self._place(operation), f"{turn}.json", to_json(submission), replace=False)

    def add_task(self, operation: UUID, turn: Turn, task: UUID) -> None:
        """The task of a submission is known."""
        self._write(self._place(operation), f"{turn}.task", str(task))

    def add_ending(self, operation: UUID, turn: Turn, ending: Ending) -> None:
        """It is known how a submission ended."""
        self._write(self._place(operation), f"{turn}.end.json", to_json(ending))

    def mark_canceled(self, operation: UUID) -> None:
        """Somebody wants the move stopped."""
        self._write(self._place(operation), _CANCELED, "")

    def mark_ended(self, operation: UUID) -> None:
        """All parts of the move have ended: after ``KEPT_S`` it may be forgotten."""
        self._write(self._place(operation), _ENDED, "")

    def prune(self) -> None:
        """Moves that ended too long ago are forgotten, and drafts that nobody finished."""
        before = time.time() - KEPT_S
        for name in self._names(self.folder):
            folder = self.folder / name
            marker = folder if name.endswith(_HALF) else folder / _ENDED
            with contextlib.suppress(OSError):
                if marker.stat().st_mtime < before:
                    shutil.rmtree(folder)

    # Files

    def _place(self, operation: UUID) -> Path:
        return self.folder / str(operation)

    def _names(self, folder: Path) -> list[str]:
        try:
            return os.listdir(folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._fault(error) from error

    def _content(self, operation: UUID, name: str) -> bytes:
        try:
            return (self._place(operation) / name).read_bytes()
        except OSError as error:
            raise self._fault(error) from error

    def _task(self, operation: UUID, turn: Turn) -> UUID:
        try:
            return UUID(self._content(operation, f"{turn}.task").decode("ascii"))
        except ValueError as error:
            raise self._damaged(operation, f"{turn}.task") from error

    def _read(self, operation: UUID, name: str, kind: type[T]) -> T:
        try:
            return from_json(self._content(operation, name), kind)
        except (SerializationError, SpecificationError, ValueError) as error:
            raise self._damaged(operation, name) from error

    def _write(self, folder: Path, name: str, text: str, *, replace: bool = True, quick: bool = False) -> None:
        """The file is there, whole; and durable, unless that is ``quick``: then the folder is left to the caller."""
        half = folder / f"{name}.{uuid4().hex}{_HALF}"
        try:
            with open(half, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                half.replace(folder / name)
            else:
                with contextlib.suppress(FileExistsError):
                    os.link(half, folder / name)
                half.unlink()
            if not quick:
                _sync(folder)
        except OSError as error:
            raise self._fault(error) from error

    def _fault(self, error: OSError) -> TransientError:
        return TransientError(
            f"submissions to Globus are written to {self.folder}, which cannot be used now: {error.strerror}"
        )

    def _damaged(self, operation: UUID, name: str) -> PermanentError:
        return PermanentError(
            f"{self._place(operation) / name} is damaged: put it back from a backup, or remove its folder; the move is "
            "submitted anew then"
        )


class Draft:
    """A move that is not yet in the journal; left without ``commit``, nothing remains of it."""

    def __init__(self, journal: Journal, operation: UUID) -> None:
        self._journal, self._operation = journal, operation
        self._folder = journal.folder / f"{operation}.{uuid4().hex}{_HALF}"
        self._parts = 0

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise self._journal._fault(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, submission: Submission) -> None:
        """The move has one part more."""
        self._journal._write(self._folder, f"{Turn(self._parts)}.json", to_json(submission), quick=True)
        self._parts += 1

    def commit(self, destination: Place, refused: tuple[FileOutcome, ...]) -> None:
        """The move is in the journal, as it was written here, or by another process that was faster."""
        self._journal._write(self._folder, _REFUSED, to_json(_Outcomes(outcomes=refused)), quick=True)
        self._journal._write(self._folder, _MOVE, to_json(_Head(destination=destination, parts=self._parts)))
        try:
            with contextlib.suppress(FileExistsError):
                self._rename()
            _sync(self._journal.folder)
        except OSError as error:
            raise self._journal._fault(error) from error

    def _rename(self) -> None:
        try:
            os.rename(self._folder, self._journal.folder / str(self._operation))
        except OSError as error:
            if not (self._journal.folder / str(self._operation) / _MOVE).exists():
                raise
            raise FileExistsError from error  # a folder that is not empty is not replaced


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
