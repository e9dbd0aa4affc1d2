"""Batches: the portions in which a move is handed to workers, in a thread, a process or on a cluster."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from uuid import UUID

import attrs

from dts_fsm.endpoints.durability import Durability
from dts_fsm.records import FileTransfer
from dts_fsm.records.checks import normal_path
from dts_fsm.records.checksum import DEFAULT_ALGORITHM

BATCH_FILES = 512
BATCH_BYTES = 8 << 20
"""A batch has at most this many files and bytes; a larger file is alone, small ones share the cost of durability."""


_HOLD_S = 0.05
"""How often a worker that may not write looks whether it may again."""


def always() -> bool:
    """True."""
    return True


def never() -> bool:
    """False."""
    return False


class CanceledError(Exception):
    """The move was canceled in the middle of a batch."""


@attrs.define(eq=False)
class Meter:
    """How far a batch has come, written by the one thread that works on it; and whether it may go on, for that thread.

    Each attribute is written by one side only, so that no lock is needed.

    Attributes:
        num_files: that have arrived, those that were there before included.
        num_skipped: that were there before.
        num_bytes: of the files that have arrived, and those under way.
        canceled: set from outside; the work stops at the next chunk.
        valid: while it gives False, nothing is written; set from outside.
    """

    num_files: int = 0
    num_skipped: int = 0
    num_bytes: int = 0
    canceled: bool = False
    valid: Callable[[], bool] = always

    def hold(self) -> None:
        """Wait until something may be written.

        Raises:
            CanceledError: the move was canceled before that.
        """
        while not self.valid():
            if self.canceled:
                raise CanceledError
            time.sleep(_HOLD_S)

    def advance(self, num_bytes: int) -> None:
        """Count bytes of the file under way, and wait until something may be written.

        Raises:
            CanceledError: the move was canceled.
        """
        self.hold()
        if self.canceled:
            raise CanceledError
        self.num_bytes += num_bytes


def _durability(value: bool | str) -> Durability:
    return Durability.of(value)


@attrs.frozen(kw_only=True)
class Batch:
    """Files that one worker moves, one after the other. It can be pickled.

    Attributes:
        source_root, destination_root: absolute paths, as the worker sees them.
        operation: the operation, in hexadecimal; the first part of the names of its temporary files.
        attempt: a word for this run of the operation, after those of earlier runs in the order of texts; the second
            part of those names.
        new_folders: those destination folders of its files that no earlier batch of this run has.
        durable: what survives a power cut once the batch has ended.
        algorithm: with what files are hashed that have no checksum to be compared with; None: they are not.
    """

    source_root: str
    destination_root: str
    files: tuple[FileTransfer, ...]
    operation: str
    attempt: str
    new_folders: frozenset[str]
    durable: Durability = attrs.field(converter=_durability)
    algorithm: str | None = DEFAULT_ALGORITHM


def destination_folder(file: FileTransfer) -> str:
    """Give the folder, relative to the destination's root, in which the file is to be; "" for the root itself."""
    return normal_path(file.destination_path).rpartition("/")[0]


def batches(
    files: Iterable[FileTransfer],
    *,
    source_root: str,
    destination_root: str,
    operation_id: UUID,
    durable: Durability,
    algorithm: str | None = DEFAULT_ALGORITHM,
    max_files: int = BATCH_FILES,
) -> Iterator[Batch]:
    """Give all files in batches, in their order, without ever holding more than one batch."""
    attempt = f"{time.time_ns():016x}{secrets.token_hex(4)}"
    seen: set[str] = set()
    for chosen in portions(files, max_files):
        folders = {destination_folder(file) for file in chosen} - seen
        seen |= folders
        yield Batch(
            source_root=source_root,
            destination_root=destination_root,
            files=tuple(chosen),
            operation=operation_id.hex,
            attempt=attempt,
            new_folders=frozenset(folders),
            durable=durable,
            algorithm=algorithm,
        )


def portions(files: Iterable[FileTransfer], max_files: int) -> Iterator[list[FileTransfer]]:
    """Give all files in lists of at most ``max_files`` and ``BATCH_BYTES``, in their order; a larger file is alone."""
    chosen: list[FileTransfer] = []
    num_bytes = 0
    for file in files:
        size_bytes = BATCH_BYTES if file.bytes is None else file.bytes
        # Small files are not to wait for the end of a large one before they appear.
        if chosen and (len(chosen) >= max_files or num_bytes + size_bytes > BATCH_BYTES):
            yield chosen
            chosen, num_bytes = [], 0
        chosen.append(file)
        num_bytes += size_bytes
    if chosen:
        yield chosen
