"""Moving a batch of files between two local folders, in a thread, a process or a cluster's worker.

What passes to and from ``move_batch`` can be pickled.
"""

from __future__ import annotations

import errno
import os
import posixpath
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from uuid import UUID

import attrs

from dts_fsm.endpoints.beneath import components, make_folder, open_root
from dts_fsm.endpoints.copying import CHUNK_BYTES, SourceMissingError, copy_file
from dts_fsm.errors import (
    ChecksumMismatchError,
    ProviderError,
    SizeMismatchError,
    SourceChangedError,
    UnsafePathError,
)
from dts_fsm.records import FileOutcome, FileState, FileTransfer
from dts_fsm.records.checks import normal_path

BATCH_FILES = 64
BATCH_BYTES = 8 << 20
"""A batch ends with the file that reaches one of these: large files are alone, small ones share the fixed costs."""

_REASONS: tuple[tuple[type[ProviderError], str, bool], ...] = (
    (SourceMissingError, "not found", False),
    (UnsafePathError, "unsafe path", False),
    (SizeMismatchError, "size mismatch", False),
    (ChecksumMismatchError, "checksum mismatch", False),
    (SourceChangedError, "source changed", True),  # another attempt may find it quiet
)
_ERRNO_REASONS = {
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EROFS: "denied",
    errno.ENOSPC: "no space",
    errno.EDQUOT: "no space",
    errno.EFBIG: "no space",
    errno.ENAMETOOLONG: "name too long",
}


class CanceledError(Exception):
    """The move was canceled in the middle of a file."""


@attrs.define(eq=False)
class Meter:
    """How far a batch has come: written by the one thread that works on it, read by any, so no lock is needed.

    Attributes:
        num_bytes: of the files that have arrived and the one under way.
        canceled: set from outside; the work stops at the next chunk.
    """

    num_files: int = 0
    num_skipped: int = 0
    num_bytes: int = 0
    canceled: bool = False

    def advance(self, num_bytes: int) -> None:
        """Count bytes of the file under way; CanceledError once the move is canceled."""
        if self.canceled:
            raise CanceledError
        self.num_bytes += num_bytes


@attrs.frozen(kw_only=True)
class Batch:
    """Files that one worker moves, one after the other.

    Attributes:
        source_root, destination_root: absolute paths, as the worker sees them.
        operation: the operation, in hexadecimal; the first part of the names of its temporary files.
        attempt: a random word for this run of the operation; the second part of those names.
        new_folders: those destination folders of its files that no earlier batch of this run has.
        durable: whether everything survives a power cut once the batch has ended.
    """

    source_root: str
    destination_root: str
    files: tuple[FileTransfer, ...]
    operation: str
    attempt: str
    new_folders: frozenset[str]
    durable: bool


def batches(
    files: Iterable[FileTransfer], *, source_root: str, destination_root: str, operation_id: UUID, durable: bool
) -> Iterator[Batch]:
    """Give all files in batches, in their order, without ever holding more than one batch."""
    attempt = secrets.token_hex(4)
    seen: set[str] = set()

    def batch(chosen: list[FileTransfer]) -> Batch:
        folders = {_folder(file) for file in chosen} - seen
        seen.update(folders)
        return Batch(
            source_root=source_root,
            destination_root=destination_root,
            files=tuple(chosen),
            operation=operation_id.hex,
            attempt=attempt,
            new_folders=frozenset(folders),
            durable=durable,
        )

    chosen: list[FileTransfer] = []
    num_bytes = 0
    for file in files:
        chosen.append(file)
        num_bytes += BATCH_BYTES if file.bytes is None else file.bytes
        if len(chosen) >= BATCH_FILES or num_bytes >= BATCH_BYTES:
            yield batch(chosen)
            chosen, num_bytes = [], 0
    if chosen:
        yield batch(chosen)


def move_batch(batch: Batch, meter: Meter | None = None) -> list[FileOutcome]:
    """Move the files, and give the outcome of each that was not prevented by a cancellation.

    One file's failure does not stop the others. Safe to repeat after a crash, and beside a forgotten run of the same
    operation that still goes on: each run writes temporary files of its own and removes those of earlier ones.
    """
    meter = meter or Meter()
    try:
        source = open_root(batch.source_root)
    except OSError as error:
        return failures(batch.files, error)
    try:
        destination = open_root(batch.destination_root)
    except OSError as error:
        os.close(source)
        return failures(batch.files, error)
    buffer = memoryview(bytearray(CHUNK_BYTES))
    try:
        return [
            outcome
            for folder, files in groupby(batch.files, key=_folder)
            for outcome in _move_group(batch, tuple(files), folder, source, destination, buffer, meter)
        ]
    finally:
        os.close(source)
        os.close(destination)


def _move_group(
    batch: Batch,
    files: Sequence[FileTransfer],
    path: str,
    source: int,
    destination: int,
    buffer: memoryview,
    meter: Meter,
) -> list[FileOutcome]:
    """Move files that go into one folder; the folder is walked to and synced once for all of them."""
    done: list[tuple[FileTransfer, FileOutcome]] = []
    new = path in batch.new_folders
    try:
        folder = make_folder(destination, components(path) if path else (), sync=new and batch.durable)
    except (OSError, UnsafePathError) as error:
        return failures(files, error)
    try:
        if new:
            _sweep(folder, batch)
        for file in files:
            if (outcome := _move_file(batch, file, source, folder, buffer, meter)) is not None:
                done.append((file, outcome))
        if batch.durable:
            try:
                os.fsync(folder)
            except OSError as error:  # nobody knows which of the names would survive a power cut
                return [outcome if outcome.error else failure(file, error) for file, outcome in done]
    finally:
        os.close(folder)
    return [outcome for _, outcome in done]


def _move_file(
    batch: Batch, file: FileTransfer, source: int, folder: int, buffer: memoryview, meter: Meter
) -> FileOutcome | None:
    before = meter.num_bytes
    try:
        meter.advance(0)
        outcome = copy_file(
            file,
            source=source,
            folder=folder,
            part=f"{_prefix(batch)}{batch.attempt}-{secrets.token_hex(8)}.part",
            buffer=buffer,
            advance=meter.advance,
            durable=batch.durable,
        )
    except CanceledError:
        meter.num_bytes = before
        return None
    except (OSError, ProviderError) as error:
        meter.num_bytes = before
        return failure(file, error)
    meter.num_files += 1
    meter.num_skipped += outcome.state is FileState.SKIPPED
    meter.num_bytes = before + (outcome.observed_bytes or 0)
    return outcome


def _folder(file: FileTransfer) -> str:
    return posixpath.dirname(normal_path(file.destination_path))


def _prefix(batch: Batch) -> str:
    return f".dts-{batch.operation}-"


def _sweep(folder: int, batch: Batch) -> None:
    """Remove what killed runs of the same operation left in the folder."""
    prefix = _prefix(batch)
    with suppress(OSError):  # litter is no reason to fail
        for name in os.listdir(folder):
            if name.startswith(prefix) and not name.startswith(prefix + batch.attempt):
                os.unlink(name, dir_fd=folder)


def failure(file: FileTransfer, error: BaseException) -> FileOutcome:
    """Give the outcome FAILED of a file, with the reason and whether another attempt may go better."""
    reason, transient, text = "error", True, str(error) or type(error).__name__
    if isinstance(error, OSError):
        reason = _ERRNO_REASONS.get(error.errno or 0, "i/o error")
        transient = reason == "i/o error"
        text = f"{file.source_path}: {error.strerror or error}"
    for kind, kind_reason, kind_transient in _REASONS:
        if isinstance(error, kind):
            reason, transient = kind_reason, kind_transient
    return FileOutcome(id=file.id, state=FileState.FAILED, error=text, reason=reason, transient=transient)


def failures(files: Iterable[FileTransfer], error: BaseException) -> list[FileOutcome]:
    """Give the outcome FAILED of each file, all for the same reason."""
    return [failure(file, error) for file in files]
