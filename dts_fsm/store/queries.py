"""The store's answers to questions: statuses, files, history, pages of transfers, the journal. Nothing here writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import cast
from uuid import UUID

from dts_fsm.errors import (
    DestinationConflictError,
    TransferNotFoundError,
)
from dts_fsm.records import (
    Descriptor,
    Destination,
    FileRecord,
    FileState,
    HistoryRecord,
    JournalRecord,
    Message,
    OperationRecord,
    Specification,
    TransferRecord,
    TransferStatus,
)
from dts_fsm.records.specification import FOLDER_PREFIX
from dts_fsm.serialization import descriptor_from_resource, from_json, load_json
from dts_fsm.store.connections import Connections
from dts_fsm.store.reading import Kept, failed_files, journal_record, maybe_time, message_of, sensible, status_of
from dts_fsm.store.rows import Stored, time_of

_STATUS = """
  state, message, num_files, files_transferred, files_skipped, reason, num_bytes, bytes_transferred,
  created_at, updated_at, completed_at"""
_LIVE_PROGRESS = """
SELECT coalesce(sum(files_transferred), 0), coalesce(sum(files_skipped), 0), coalesce(sum(bytes_transferred), 0)
FROM operations WHERE transfer = ? AND due_at IS NOT NULL"""

_MESSAGES = """
SELECT h.seq, t.uuid, h.at, h.event, h.source, h.message, h.target, h.message, t.num_files, h.files_transferred,
       h.files_skipped, h.reason, t.num_bytes, h.bytes_transferred, t.created_at, h.at,
       CASE WHEN h.at = t.completed_at THEN h.at END
FROM history h JOIN transfers t ON t.id = h.transfer WHERE h.seq > ? AND h.seq <= ? AND h.operation IS NULL"""
_OF_ONE = "AND h.transfer = (SELECT id FROM transfers WHERE uuid = ?)"
_NEWEST = "SELECT max(seq) FROM history"
_LAST_OF_PAGE = "SELECT max(seq) FROM (SELECT seq FROM history WHERE seq > ? ORDER BY seq LIMIT ?)"

_KEPT_DESCRIPTORS = 50_000
"""About 35 MB."""

_KEPT_STORED = 100_000
"""Of so many files the ids, and up to a tenth as many specifications: about 25 MB."""


_RECORD_FILES = 10
"""As much as the ids of so many files takes the rest of a specification."""


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


class Queries:
    """Reads of one store; safe from any thread, and while another process writes."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._descriptors: Kept[Sequence[Descriptor]] = Kept(_KEPT_DESCRIPTORS)
        self._stored: Kept[Stored] = Kept(_KEPT_STORED)

    def _rowid(self, db: sqlite3.Connection, transfer_id: UUID) -> int:
        found = db.execute("SELECT id FROM transfers WHERE uuid = ?", (str(transfer_id),)).fetchone()
        if found is None:
            raise TransferNotFoundError(transfer_id)
        return cast(int, found[0])

    def rowid(self, transfer_id: UUID) -> int:
        """Give the transfer's row id; TransferNotFoundError where there is none."""
        with self._connections.reader() as db:
            return self._rowid(db, transfer_id)

    @sensible
    def keyed(self, key: str) -> tuple[UUID, Specification] | None:
        """Give the transfer that an idempotency key belongs to, with its specification, or None."""
        with self._connections.reader() as db:
            return keyed(db, key)

    def check_destination(self, destination: Destination) -> None:
        """Refuse a destination that leads into the folder of a live transfer; see ``Store``."""
        with self._connections.reader() as db:
            check_destination(db, destination)

    @sensible
    def status(self, transfer_id: UUID) -> TransferStatus:
        """Give the transfer's status, the progress of its live operations included."""
        with self._connections.reader() as db:
            row = db.execute(f"SELECT id, {_STATUS} FROM transfers WHERE uuid = ?", (str(transfer_id),)).fetchone()
            if row is None:
                raise TransferNotFoundError(transfer_id)
            progress = db.execute(_LIVE_PROGRESS, (row[0],)).fetchone()
            failed = failed_files(db, row[0])
        return status_of(row[1:], progress, failed)

    @sensible
    def stored(self, rowid: int) -> Stored:
        """Give what never changes of the transfer with this row id."""
        if (known := self._stored.get(rowid)) is not None:
            return known
        with self._connections.reader() as db:
            found = db.execute("SELECT record FROM specifications WHERE transfer = ?", (rowid,)).fetchone()
        if found is None:
            raise TransferNotFoundError(rowid)
        stored = from_json(found[0], Stored)
        self._keep(rowid, stored)
        return stored

    def _keep(self, rowid: int, stored: Stored) -> None:
        self._stored.keep(rowid, stored, _RECORD_FILES + len(stored.specification.file_ids))

    def _forget(self, rowid: int) -> None:
        self._descriptors.forget(rowid)
        self._stored.forget(rowid)

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
        # only the first has its index used: a user has few transfers, a state may have few, a source has many
        for column, value in (("orcid", user), ("state", state), ("source", source)):
            if value is not None:
                conditions.append(f"{'+' if values else ''}t.{column} = ?")
                values.append(value)
        if after is not None:
            conditions.append("t.id < ?")
            values.append(self.rowid(after))
        return self._transfers(" AND ".join(conditions), values, limit)

    @sensible
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
                    status=status_of(status, moved, not_moved),
                    specification=stored.specification,
                    created_at=time_of(status[8]),
                    folder=stored.destination.folder(uuid),
                    retry_of=UUID(retry_of) if retry_of else None,
                    retried_by=UUID(retried_by) if retried_by else None,
                )
            )
        return records

    @sensible
    def files(self, rowid: int, *, after: str = "", limit: int | None = None) -> list[FileRecord]:
        """Give files of the transfer with this row id, in order of file id; their descriptors may be shared."""
        known = self._descriptors.get(rowid) if limit is None else None
        with self._connections.reader() as db:
            rows = db.execute(
                "SELECT endpoint, state, observed_bytes, observed_hash, attempts, error, reason, "
                f"{'descriptor' if known is None else 'NULL'} FROM files WHERE transfer = ? AND file_id > ? "
                "ORDER BY file_id LIMIT ?",
                (rowid, after, -1 if limit is None else limit),
            ).fetchall()
        if not rows:
            return []
        if known is None:
            known = [descriptor_from_resource(load_json(row[-1])) for row in rows]
            if limit is None:
                self._descriptors.keep(rowid, known, len(known))
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

    @sensible
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

    @sensible
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
                next_poll_at=maybe_time(due_at),
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
            return cast(int, db.execute(_NEWEST).fetchone()[0] or 0)

    @sensible
    def messages(self, after: int, limit: int = 1000, transfer_id: UUID | None = None) -> tuple[list[Message], int]:
        """Give the transfers' transitions after a number, oldest first, and the number up to which was looked."""
        page = (_NEWEST, ()) if transfer_id else (_LAST_OF_PAGE, (after, limit))
        with self._connections.reader() as db:
            last = db.execute(*page).fetchone()[0]
            if last is None or last <= after:
                return [], after
            one, values = (_OF_ONE, (str(transfer_id),)) if transfer_id else ("", ())
            rows = db.execute(f"{_MESSAGES} {one} ORDER BY h.seq LIMIT ?", (after, last, *values, limit)).fetchall()
        if len(rows) == limit:
            last = rows[-1][0]
        return [message_of(row) for row in rows], last

    @sensible
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
        if status not in (None, "succeeded"):
            conditions.append("status <> 'succeeded'")  # which the index of those says, too
        with self._connections.reader() as db:
            rows = db.execute(
                "SELECT uuid, source, destination, orcid, start_time, stop_time, status, reason, payload_size, "
                f"num_files, description, failed_files, {'manifest' if manifests else 'NULL'} FROM journal "
                f"WHERE {' AND '.join(conditions)} ORDER BY stop_time, id LIMIT ?",
                (*values, -1 if limit is None else limit),
            ).fetchall()
        return [journal_record(row) for row in rows]
