"""The store's answers to questions: statuses, files, history, pages of transfers, the journal. Nothing here writes."""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from dts_fsm.errors import DestinationConflictError, StoreDamagedError, TransferNotFoundError
from dts_fsm.records import (
    Descriptor,
    Destination,
    FailedFile,
    FileRecord,
    FileState,
    HistoryRecord,
    JournalRecord,
    Message,
    OperationRecord,
    Specification,
    TransferRecord,
    TransferStatus,
    TransferStatusCode,
)
from dts_fsm.records.specification import FOLDER_PREFIX
from dts_fsm.serialization import descriptor_from_resource, from_json, load_json, structure
from dts_fsm.store.connections import Connections
from dts_fsm.store.rows import Stored, time_of

_KEPT_DESCRIPTORS = 100_000
"""About 70 MB."""


def _maybe_time(seconds: float | None) -> datetime | None:
    return None if seconds is None else time_of(seconds)


_STATUS = """
  state, message, num_files, files_transferred, files_skipped, reason, num_bytes, bytes_transferred,
  created_at, updated_at, completed_at"""
_LIVE_PROGRESS = """
SELECT coalesce(sum(files_transferred), 0), coalesce(sum(files_skipped), 0), coalesce(sum(bytes_transferred), 0)
FROM operations WHERE transfer = ? AND due_at IS NOT NULL"""


_FAILED_FILES = """
SELECT file_id, json_extract(descriptor, '$.path'), reason, error
FROM files WHERE transfer = ? AND state = 'failed' ORDER BY file_id"""


def failed_files(db: sqlite3.Connection, rowid: int) -> tuple[FailedFile, ...]:
    """Give the files of a transfer that could not be moved, in order of id."""
    return tuple(
        FailedFile(id=id_, path=path, reason=reason, error=error)
        for id_, path, reason, error in db.execute(_FAILED_FILES, (rowid,)).fetchall()
    )


def _status(
    row: Sequence[Any], progress: Sequence[int] = (0, 0, 0), failed: tuple[FailedFile, ...] = ()
) -> TransferStatus:
    state, message, num_files, files, skipped, reason, num_bytes, moved, created, updated, completed = row
    return TransferStatus(
        code=TransferStatusCode(state),
        message=message,
        num_files=num_files,
        num_files_transferred=min(files + progress[0], num_files),
        num_files_skipped=min(skipped + progress[1], num_files),
        reason=reason,
        failed_files=failed,
        num_bytes=num_bytes,
        num_bytes_transferred=min(moved + progress[2], num_bytes),
        created_at=time_of(created),
        updated_at=time_of(updated),
        completed_at=_maybe_time(completed),
    )


def keyed(db: sqlite3.Connection, key: str) -> tuple[UUID, Specification] | None:
    """Give the transfer that an idempotency key belongs to, with its specification, or None."""
    found = db.execute(
        "SELECT uuid, record FROM transfers JOIN specifications ON transfer = id WHERE idempotency_key = ?", (key,)
    ).fetchone()
    return None if found is None else (UUID(found[0]), from_json(found[1], Stored).specification)


def check_destination(db: sqlite3.Connection, destination: Destination) -> None:
    """Refuse a destination that leads into the folder of a live transfer."""
    for component in destination.path.split("/"):
        id_ = component.removeprefix(FOLDER_PREFIX)
        if (
            id_ != component
            and db.execute("SELECT 1 FROM transfers WHERE uuid = ? AND completed_at IS NULL", (id_.lower(),)).fetchall()
        ):
            raise DestinationConflictError(
                f"the destination {destination.path!r} is in the folder of the transfer {id_}, which has not ended: "
                "give another folder, or wait for its end"
            )


class _Descriptors:
    """The descriptors of the transfers that were asked for last: they never change, and to read one costs 8 µs.

    Args:
        limit: of how many files at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._count = limit, 0
        self._kept: OrderedDict[int, Sequence[Descriptor]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, rowid: int) -> Sequence[Descriptor] | None:
        """Give the descriptors of the transfer with this row id, in order of file id, or None."""
        with self._lock:
            if rowid in self._kept:
                self._kept.move_to_end(rowid)
            return self._kept.get(rowid)

    def keep(self, rowid: int, descriptors: Sequence[Descriptor]) -> None:
        """Remember the transfer's descriptors, and forget for them those that nobody has asked for the longest."""
        with self._lock:
            self._count += len(descriptors) - len(self._kept.pop(rowid, ()))
            self._kept[rowid] = descriptors
            while self._count > self._limit:
                self._count -= len(self._kept.popitem(last=False)[1])

    def forget(self, rowid: int) -> None:
        """The transfer's descriptors take no memory any more. Idempotent."""
        with self._lock:
            self._count -= len(self._kept.pop(rowid, ()))


class Queries:
    """Reads of one store; safe from any thread, and while another process writes."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._descriptors = _Descriptors(_KEPT_DESCRIPTORS)

    def _rowid(self, db: sqlite3.Connection, transfer_id: UUID) -> int:
        found = db.execute("SELECT id FROM transfers WHERE uuid = ?", (str(transfer_id),)).fetchone()
        if found is None:
            raise TransferNotFoundError(transfer_id)
        return cast(int, found[0])

    def rowid(self, transfer_id: UUID) -> int:
        """Give the transfer's row id; TransferNotFoundError where there is none."""
        with self._connections.reader() as db:
            return self._rowid(db, transfer_id)

    def keyed(self, key: str) -> tuple[UUID, Specification] | None:
        """Give the transfer that an idempotency key belongs to, with its specification, or None."""
        with self._connections.reader() as db:
            return keyed(db, key)

    def check_destination(self, destination: Destination) -> None:
        """Refuse a destination that leads into the folder of a live transfer; see ``Store``."""
        with self._connections.reader() as db:
            check_destination(db, destination)

    def status(self, transfer_id: UUID) -> TransferStatus:
        """Give the transfer's status, the progress of its live operations included."""
        with self._connections.reader() as db:
            row = db.execute(f"SELECT id, {_STATUS} FROM transfers WHERE uuid = ?", (str(transfer_id),)).fetchone()
            if row is None:
                raise TransferNotFoundError(transfer_id)
            progress = db.execute(_LIVE_PROGRESS, (row[0],)).fetchone()
            failed = failed_files(db, row[0])
        return _status(row[1:], progress, failed)

    def stored(self, rowid: int) -> Stored:
        """Give what never changes of the transfer with this row id."""
        with self._connections.reader() as db:
            found = db.execute("SELECT record FROM specifications WHERE transfer = ?", (rowid,)).fetchone()
        if found is None:
            raise TransferNotFoundError(rowid)
        return from_json(found[0], Stored)

    def transfer(self, transfer_id: UUID) -> TransferRecord:
        """Give the transfer's record."""
        with self._connections.reader() as db:
            rowid = self._rowid(db, transfer_id)
        return self._transfers("t.id = ?", (rowid,), 1)[0]

    def transfers(
        self,
        *,
        state: str | None = None,
        user: str | None = None,
        source: str | None = None,
        limit: int = 100,
        after: UUID | None = None,
    ) -> list[TransferRecord]:
        """Give a page of transfers, newest first: those created before ``after``, at most ``limit``."""
        conditions, values = ["1"], list[object]()
        for column, value in (("state", state), ("orcid", user), ("source", source)):
            if value is not None:
                conditions.append(f"t.{column} = ?")
                values.append(value)
        if after is not None:
            conditions.append("t.id < ?")
            values.append(self.rowid(after))
        return self._transfers(" AND ".join(conditions), values, limit)

    def _transfers(self, condition: str, values: Sequence[object], limit: int) -> list[TransferRecord]:
        with self._connections.reader() as db:
            rows = db.execute(
                f"SELECT t.id, t.uuid, t.retry_of, t.retried_by, s.record, {_STATUS} FROM transfers t "
                f"JOIN specifications s ON s.transfer = t.id WHERE {condition} ORDER BY t.id DESC LIMIT ?",
                (*values, limit),
            ).fetchall()
            progress = [db.execute(_LIVE_PROGRESS, (row[0],)).fetchone() for row in rows]
            failed = [failed_files(db, row[0]) for row in rows]
        records = []
        for (_, uuid, retry_of, retried_by, record, *status), moved, not_moved in zip(
            rows, progress, failed, strict=True
        ):
            stored = from_json(record, Stored)
            records.append(
                TransferRecord(
                    id=UUID(uuid),
                    status=_status(status, moved, not_moved),
                    specification=stored.specification,
                    created_at=time_of(status[8]),
                    folder=stored.destination.folder(uuid),
                    retry_of=UUID(retry_of) if retry_of else None,
                    retried_by=UUID(retried_by) if retried_by else None,
                )
            )
        return records

    def files(self, rowid: int) -> list[FileRecord]:
        """Give the files of the transfer with this row id, in order of file id; their descriptors may be shared."""
        known = self._descriptors.get(rowid)
        with self._connections.reader() as db:
            rows = db.execute(
                "SELECT endpoint, state, observed_bytes, observed_hash, attempts, error, reason, "
                f"{'descriptor' if known is None else 'NULL'} FROM files WHERE transfer = ? ORDER BY file_id",
                (rowid,),
            ).fetchall()
        if not rows:
            return []
        if known is None:
            known = [descriptor_from_resource(load_json(row[-1])) for row in rows]
            self._descriptors.keep(rowid, known)
        return [
            FileRecord(
                descriptor=descriptor,
                endpoint=endpoint,
                state=FileState(state),
                observed_bytes=observed_bytes,
                observed_hash=observed_hash,
                attempts=attempts,
                error=error,
                reason=reason,
            )
            for (endpoint, state, observed_bytes, observed_hash, attempts, error, reason, _), descriptor in zip(
                rows, known, strict=True
            )
        ]

    def history(self, transfer_id: UUID) -> list[HistoryRecord]:
        """Give every transition of the transfer and its operations, oldest first."""
        with self._connections.reader() as db:
            rowid = self._rowid(db, transfer_id)
            rows = db.execute(
                "SELECT h.seq, o.uuid, coalesce(o.kind, 'transfer'), h.event, h.source, h.target, h.at, h.message, "
                "h.reason "
                "FROM history h LEFT JOIN operations o ON o.id = h.operation WHERE h.transfer = ? ORDER BY h.seq",
                (rowid,),
            ).fetchall()
        return [
            HistoryRecord(
                seq=seq,
                transfer_id=transfer_id,
                operation_id=UUID(operation) if operation else None,
                machine=machine,
                event=event,
                source=source,
                target=target,
                time=time_of(at),
                message=message,
                reason=reason,
            )
            for seq, operation, machine, event, source, target, at, message, reason in rows
        ]

    def operations(self, rowid: int) -> list[OperationRecord]:
        """Give the operations of the transfer with this row id, oldest first."""
        with self._connections.reader() as db:
            rows = db.execute(
                "SELECT uuid, handler, kind, endpoint, state, attempts, due_at, message "
                "FROM operations WHERE transfer = ? ORDER BY id",
                (rowid,),
            ).fetchall()
        return [
            OperationRecord(
                id=UUID(uuid),
                handler=handler,
                kind=kind,
                endpoint=endpoint,
                state=state,
                attempts=attempts,
                next_poll_at=_maybe_time(due_at),
                message=message,
            )
            for uuid, handler, kind, endpoint, state, attempts, due_at, message in rows
        ]

    def requested(self, rowid: int) -> str | None:
        """Give what a user has asked of the transfer and the scheduler has not taken up yet, or None."""
        with self._connections.reader() as db:
            found = db.execute(
                "SELECT kind FROM requests WHERE transfer = ? ORDER BY id DESC LIMIT 1", (rowid,)
            ).fetchone()
        return found[0] if found else None

    def last_seq(self) -> int:
        """Give the number of the newest transition in the history, 0 where there is none."""
        with self._connections.reader() as db:
            return cast(int, db.execute("SELECT coalesce(max(seq), 0) FROM history").fetchone()[0])

    def messages(self, after: int, limit: int = 1000, transfer_id: UUID | None = None) -> tuple[list[Message], int]:
        """Give the transfers' transitions after a number, oldest first, and the number up to which was looked."""
        with self._connections.reader() as db:
            last = db.execute(
                "SELECT max(seq) FROM (SELECT seq FROM history WHERE seq > ? ORDER BY seq LIMIT ?)", (after, limit)
            ).fetchone()[0]
            if last is None:
                return [], after
            condition, values = ("AND t.uuid = ?", (str(transfer_id),)) if transfer_id else ("", ())
            rows = db.execute(
                "SELECT h.seq, t.uuid, h.at, h.event, h.source, h.message, h.target, h.message, t.num_files, "
                "h.files_transferred, h.files_skipped, h.reason, t.num_bytes, h.bytes_transferred, t.created_at, h.at, "
                "CASE WHEN h.at = t.completed_at THEN h.at END "
                "FROM history h JOIN transfers t ON t.id = h.transfer "
                f"WHERE h.seq > ? AND h.seq <= ? AND h.operation IS NULL {condition} ORDER BY h.seq",
                (after, last, *values),
            ).fetchall()
        return [_message(row) for row in rows], last

    def journal(
        self,
        start: datetime | None = None,
        stop: datetime | None = None,
        *,
        status: str | None = None,
        limit: int | None = None,
        manifests: bool = True,
    ) -> list[JournalRecord]:
        """Give the records of transfers that ended from ``start`` up to but without ``stop``, in order of their end."""
        conditions, values = ["1"], list[object]()
        for condition, value in (
            ("stop_time >= ?", start.timestamp() if start else None),
            ("stop_time < ?", stop.timestamp() if stop else None),
            ("status = ?", status),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        with self._connections.reader() as db:
            rows = db.execute(
                "SELECT uuid, source, destination, orcid, start_time, stop_time, status, reason, payload_size, "
                f"num_files, description, failed_files, {'manifest' if manifests else 'NULL'} FROM journal "
                f"WHERE {' AND '.join(conditions)} ORDER BY stop_time, id LIMIT ?",
                (*values, -1 if limit is None else limit),
            ).fetchall()
        return [_journal_record(row) for row in rows]


def _message(row: Sequence[Any]) -> Message:
    seq, uuid, at, event, source, message, *status = row
    target = status[0]
    what = "created" if event == "create" else f"{source} -> {target}"
    return Message(
        description=f"transfer {uuid}: {what}" + (f": {message}" if message else ""),
        transfer_id=UUID(uuid),
        status=_status(status),
        time=time_of(at),
        seq=seq,
    )


def _journal_record(row: Sequence[Any]) -> JournalRecord:
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
        return load_json(zlib.decompress(document))
    except zlib.error as error:
        raise StoreDamagedError(f"the {name} of {uuid} in the journal cannot be read: {error}") from error
