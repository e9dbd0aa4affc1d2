"""From rows to records: what the answers of a store are made of."""

from __future__ import annotations

import errno
import functools
import sqlite3
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, ParamSpec, TypeVar
from uuid import UUID

from dts_fsm.errors import DtsError, SerializationError, StoreDamagedError
from dts_fsm.records import (
    FailedFile,
    JournalRecord,
    Message,
    TransferStatus,
    TransferStatusCode,
)
from dts_fsm.serialization import dump_json, load_json, structure
from dts_fsm.store.rows import time_of

P = ParamSpec("P")
T = TypeVar("T")


def maybe_time(seconds: float | None) -> datetime | None:
    """The aware UTC time of seconds since 1970, or None."""
    return None if seconds is None else time_of(seconds)


_FAILED_FILES = """
SELECT file_id, json_extract(descriptor, '$.path'), reason, error
FROM files INDEXED BY files_failed WHERE transfer = ? AND state = 'failed' ORDER BY file_id LIMIT ?"""

MAX_FAILED_LISTED = 1000
"""Of so many failed files a status tells: a transfer may have a million of them, and a status takes no time."""

_FAILED_KEYS = ("id", "path", "reason", "error")
_TOGETHER = 500


def failed_files(db: sqlite3.Connection, rowid: int) -> tuple[FailedFile, ...]:
    """Give the first files of a transfer that could not be moved, in order of id."""
    return tuple(
        FailedFile(id=id_, path=path, reason=reason, error=error)
        for id_, path, reason, error in db.execute(_FAILED_FILES, (rowid, MAX_FAILED_LISTED)).fetchall()
    )


def packed_failed_files(db: sqlite3.Connection, rowid: int) -> bytes | None:
    """Give all files of a transfer that could not be moved as the journal keeps them; None where there are none."""
    rows = db.execute(_FAILED_FILES, (rowid, -1))
    if not (some := rows.fetchmany(_TOGETHER)):
        return None
    packer, packed, before = zlib.compressobj(1), list[bytes](), "["
    while some:
        texts = (dump_json(dict(zip(_FAILED_KEYS, row, strict=True))) for row in some)
        packed.append(packer.compress((before + ", ".join(texts)).encode()))
        some, before = rows.fetchmany(_TOGETHER), ", "
    packed += packer.compress(b"]"), packer.flush()
    return b"".join(packed)


def status_of(
    row: Sequence[Any], progress: Sequence[int] = (0, 0, 0), failed: tuple[FailedFile, ...] = ()
) -> TransferStatus:
    """Give the status; the progress of live operations (files, skipped, bytes) comes on top of the row's own."""
    state, message, num_files, files, skipped, reason, num_bytes, moved, created, updated, completed = row
    transferred = min(files + progress[0], num_files)
    return TransferStatus(
        code=TransferStatusCode(state),
        message=message,
        num_files=num_files,
        num_files_transferred=transferred,
        num_files_skipped=min(skipped + progress[1], transferred),
        reason=reason,
        failed_files=failed,
        num_bytes=num_bytes,
        num_bytes_transferred=min(moved + progress[2], num_bytes),
        created_at=time_of(created),
        updated_at=time_of(updated),
        completed_at=maybe_time(completed),
    )


def sensible(read: Callable[P, T]) -> Callable[P, T]:
    """The same read, which raises StoreDamagedError where it finds what the store cannot have written."""

    @functools.wraps(read)
    def reading(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except (SerializationError, ValueError, OverflowError, OSError) as error:
            if isinstance(error, DtsError) and not isinstance(error, SerializationError):
                raise
            if isinstance(error, OSError) and error.errno != errno.EOVERFLOW:  # which is said of a time too far away
                raise
            raise StoreDamagedError(
                f"the store has what makes no sense ({error}): restore a backup, or run `dts-fsm store check`"
            ) from error

    return reading


class Kept(Generic[T]):
    """What never changes of the transfers that were asked for last: to read it again costs more than to keep it.

    Args:
        limit: of how many files at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._count = limit, 0
        self._kept: OrderedDict[int, tuple[T, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, rowid: int) -> T | None:
        """Give what is kept of the transfer with this row id, or None."""
        with self._lock:
            if rowid not in self._kept:
                return None
            self._kept.move_to_end(rowid)
            return self._kept[rowid][0]

    def keep(self, rowid: int, value: T, num_files: int) -> None:
        """Remember it, and forget for it what nobody has asked for the longest."""
        self.forget(rowid)
        with self._lock:
            self._kept[rowid] = value, num_files
            self._count += num_files
            while self._count > self._limit:
                _, (_, gone) = self._kept.popitem(last=False)
                self._count -= gone

    def forget(self, rowid: int) -> None:
        """What is kept of the transfer takes no memory any more. Idempotent."""
        with self._lock:
            _, num_files = self._kept.pop(rowid, (None, 0))
            self._count -= num_files


def message_of(row: Sequence[Any]) -> Message:
    """Give the message of a transition in the history."""
    seq, uuid, at, event, source, message, *status = row
    target = status[0]
    what = "created" if event == "create" else f"{source} -> {target}"
    return Message(
        description=f"transfer {uuid}: {what}" + (f": {message}" if message else ""),
        transfer_id=UUID(uuid),
        status=status_of(status),
        time=time_of(at),
        seq=seq,
    )


def journal_record(row: Sequence[Any]) -> JournalRecord:
    """Give the record of a row of the journal."""
    uuid, source, destination, orcid, start, stop, status, reason, size, num_files, description, *packed = row
    names = ("list of failed files", "manifest")
    failed, manifest = (_unpacked(uuid, name, document) for name, document in zip(names, packed, strict=True))
    return JournalRecord(
        id=UUID(uuid),
        source=source,
        destination=destination,
        orcid=orcid,
        start_time=time_of(start),
        stop_time=time_of(stop),
        status=status,
        reason=reason,
        payload_size=size,
        num_files=num_files,
        description=description,
        manifest=manifest,
        failed_files=tuple(structure(file, FailedFile) for file in failed or ()),
    )


def _unpacked(uuid: str, name: str, document: bytes | None) -> Any:
    if document is None:
        return None
    try:
        text = zlib.decompress(document)
    except zlib.error as error:
        raise StoreDamagedError(f"the {name} of {uuid} in the journal cannot be read: {error}") from error
    try:
        return load_json(text)
    except SerializationError:
        return text.decode(errors="replace")  # as a handler of somebody else's delivered it
