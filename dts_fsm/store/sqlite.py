"""The SQLite store as the engine's and scheduler's side sees it: claim, load, commit, request, lease, prune."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Literal
from uuid import UUID

from dts_fsm.errors import IdempotencyConflictError, NothingToRetryError, StoreError
from dts_fsm.records import FileState
from dts_fsm.serialization import dump_json, unstructure
from dts_fsm.store.connections import Connections
from dts_fsm.store.contract import Admission
from dts_fsm.store.lease import Lease
from dts_fsm.store.queries import Queries, check_destination, keyed
from dts_fsm.store.reading import failed_files
from dts_fsm.store.rows import (
    DATABASE_KINDS,
    OPERATION_COLUMNS,
    OPERATION_HOT,
    TRANSFER_COLUMNS,
    TRANSFER_HOT,
    Change,
    OperationRow,
    RequestRow,
    TransferRow,
)


def _columns(names: Iterable[str], prefix: str = "") -> str:
    return ", ".join(prefix + name for name in names)


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _setting(names: Iterable[str]) -> str:
    return ", ".join(f"{name} = ?" for name in names)


_TRANSFER_VALUES, _TRANSFER_HOT = attrgetter(*TRANSFER_COLUMNS[1:]), attrgetter(*TRANSFER_HOT)
_OPERATION_VALUES, _OPERATION_HOT = attrgetter(*OPERATION_COLUMNS[1:]), attrgetter(*OPERATION_HOT)

_UPDATE_TRANSFER = f"UPDATE transfers SET {_setting(TRANSFER_HOT)} WHERE id = ? AND version = ?"
_UPDATE_OPERATION = f"UPDATE operations SET {_setting(OPERATION_HOT)} WHERE id = ? AND version = ?"
_INSERT_OPERATION = (
    f"INSERT INTO operations ({_columns(OPERATION_COLUMNS[1:])}) VALUES ({_marks(OPERATION_COLUMNS[1:])})"
)
_SELECT_TRANSFERS = f"SELECT {_columns(TRANSFER_COLUMNS)} FROM transfers WHERE id IN "
_SELECT_OPERATIONS = f"SELECT {_columns(OPERATION_COLUMNS)} FROM operations WHERE transfer IN "
_INSERT_HISTORY = """
INSERT INTO history (transfer, operation, event, source, target, at, message, reason,
                     files_transferred, files_skipped, bytes_transferred)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_UPDATE_FILE = """
UPDATE files SET state = ?, observed_bytes = ?, observed_hash = ?, error = ?, reason = ?, attempts = attempts + ?
WHERE transfer = ? AND file_id = ?"""
_GIVE_FILES_UP = """
UPDATE files SET state = 'failed', reason = ?, error = ?
WHERE transfer = ? AND state IN ('pending', 'unstaged', 'staged') AND endpoint = coalesce(?, endpoint)"""
_INSERT_JOURNAL = """
INSERT INTO journal (uuid, source, destination, orcid, start_time, stop_time, status, reason, payload_size, num_files,
                     description, failed_files, manifest)
SELECT uuid, source, destination, orcid, created_at, completed_at, ?, reason, num_bytes, num_files, ?, ?, manifest
FROM transfers LEFT JOIN manifests ON transfer = id WHERE id = ?"""
_INSERT_TRANSFER = f"""
INSERT INTO transfers ({_columns(TRANSFER_COLUMNS[1:])}, source, destination, orcid, idempotency_key, retry_of)
VALUES ({_marks(TRANSFER_COLUMNS[1:])}, ?, ?, ?, ?, ?)"""

_CONTRADICTING = """
SELECT id FROM transfers t WHERE id > ? AND id <= ? AND (
  EXISTS (SELECT 1 FROM operations o WHERE o.transfer = t.id AND
          (o.due_at IS NULL) <> (o.state IN ('succeeded', 'failed', 'canceled')))
  OR (completed_at IS NOT NULL AND EXISTS (SELECT 1 FROM operations o WHERE o.transfer = t.id AND o.due_at IS NOT NULL))
  OR (completed_at IS NULL AND due_at IS NULL AND wanted = '')
  OR (completed_at IS NOT NULL AND due_at IS NOT NULL)
  OR (completed_at IS NULL AND NOT (state = 'inactive' AND wanted = 'suspend')
      AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.transfer = t.id AND o.due_at IS NOT NULL)
      AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.transfer = t.id)))
ORDER BY id"""

_LANE = f"(iif(kind IN ({str(DATABASE_KINDS)[1:-1]}), 'databases.', 'endpoints.') || endpoint)"

_ATTEMPTED = (FileState.TRANSFERRED, FileState.SKIPPED, FileState.FAILED)


def load_rows(db: sqlite3.Connection, rowids: Collection[int]) -> dict[int, TransferRow]:
    """Give the transfers with these row ids and their operations, oldest first; what is not there is left out."""
    ids = f"({', '.join(str(int(rowid)) for rowid in rowids)})"
    transfers = {row[0]: TransferRow(*row) for row in db.execute(_SELECT_TRANSFERS + ids).fetchall()}
    for row in db.execute(_SELECT_OPERATIONS + ids + " ORDER BY id").fetchall():
        transfers[row[2]].operations.append(OperationRow(*row))
    return transfers


class SqliteStore(Queries):
    """All state of one installation, in one SQLite file.

    Args:
        path: the file, usually ``data_dir/dts.db``.
        synchronous: "full" (a promise survives a power cut) or "normal" (faster for single commits on slow disks).
        create: False refuses to make a new file.

    Raises:
        StoreForeignError: the file is something else, or of a newer version: it is left as it is.
        StoreDamagedError: the file is damaged: it is left as it is.
    """

    def __init__(
        self, path: str | Path, *, synchronous: Literal["full", "normal"] = "full", create: bool = True
    ) -> None:
        self.path = Path(path)
        if not create and not self.path.exists():
            raise StoreError(f"there is no store {self.path}: nothing was ever transferred with this configuration")
        super().__init__(Connections(self.path, synchronous=synchronous, create=create))
        self._lease = Lease(self._connections)

    # Creating

    def create(self, admissions: Sequence[Admission]) -> list[UUID]:
        """Store the transfers in one commit, and give their ids in the same order.

        A transfer whose idempotency key is known already is not stored again: the id of the first is given.

        Raises:
            IdempotencyConflictError: a key is known with another specification; nothing was stored.
            DestinationConflictError: a destination leads into the folder of a live transfer; nothing was stored.
            NothingToRetryError: the transfer to retry is retried already; nothing was stored.
        """
        with self._connections.transaction() as db:
            return [self._create(db, admission) for admission in admissions]

    def _create(self, db: sqlite3.Connection, admission: Admission) -> UUID:
        plan, change = admission.plan, admission.change
        row, specification = change.transfer, plan.specification
        record = dump_json(
            unstructure(
                {
                    "specification": specification,
                    "destination": plan.destination,
                    "sources": plan.sources,
                }
            )
        )
        if admission.key is not None and (known := keyed(db, admission.key)) is not None:
            if known[1] != specification:
                raise IdempotencyConflictError(admission.key, known[0])
            return known[0]
        check_destination(db, plan.destination)
        if admission.retry_of is not None:
            linked = db.execute(
                "UPDATE transfers SET retried_by = ? WHERE uuid = ? AND retried_by IS NULL",
                (row.uuid, str(admission.retry_of)),
            )
            if linked.rowcount != 1:
                raise NothingToRetryError(f"the transfer {admission.retry_of} has been retried already")
        retry_of = str(admission.retry_of) if admission.retry_of else None
        owner = (specification.source, specification.destination, specification.user.orcid)
        rowid = db.execute(_INSERT_TRANSFER, (*_TRANSFER_VALUES(row), *owner, admission.key, retry_of)).lastrowid
        assert rowid is not None  # noqa: S101 - an INSERT that did not raise has a row id
        row.rowid = rowid
        db.execute("INSERT INTO specifications VALUES (?, ?)", (row.rowid, record))
        db.executemany(
            "INSERT INTO files (transfer, file_id, endpoint, state, descriptor) VALUES (?, ?, ?, ?, ?)",
            (
                (
                    row.rowid,
                    descriptor.id,
                    endpoint,
                    FileState.INLINE.value if descriptor.inline else FileState.PENDING.value,
                    dump_json(unstructure(descriptor)),
                )
                for descriptor, endpoint in zip(plan.descriptors, plan.endpoints, strict=True)
            ),
        )
        self._write(db, [change])
        return row.id

    def request(self, transfer_id: UUID, kind: Literal["cancel", "suspend", "resume"], at: float) -> bool:
        """Record what a user asks of a transfer, for the scheduler to find; False where it has ended."""
        with self._connections.transaction() as db:
            added = db.execute(
                "INSERT INTO requests (transfer, kind, at) "
                "SELECT id, ?, ? FROM transfers WHERE uuid = ? AND completed_at IS NULL",
                (kind, at, str(transfer_id)),
            )
            return added.rowcount == 1

    # The tick

    def due(self, now: float, limit: int, *, without: Collection[str] = (), busy: Collection[int] = ()) -> list[int]:
        # the deadline of a cancellation is judged whether or not its provider can be asked
        elsewhere = f"AND ({_LANE} NOT IN ({_marks(without)}) OR state = 'canceling')" if without else ""
        with self._connections.reader() as db:
            requests = db.execute("SELECT DISTINCT transfer FROM requests LIMIT ?", (limit,)).fetchall()
            transfers = db.execute(
                "SELECT id FROM transfers WHERE due_at <= ? ORDER BY due_at LIMIT ?", (now, limit)
            ).fetchall()
            operations = db.execute(
                f"SELECT transfer, id FROM operations WHERE due_at <= ? {elsewhere} ORDER BY due_at LIMIT ?",
                (now, *without, limit + len(busy)),
            ).fetchall()
        rowids = [row[0] for row in (*requests, *transfers)]
        rowids += [transfer for transfer, operation in operations if operation not in busy]
        return list(dict.fromkeys(rowids))

    def next_due_at(self) -> float | None:
        """Give the time at which something is due next, or None where nothing waits for a time."""
        with self._connections.reader() as db:
            times = db.execute(
                "SELECT min(due_at) FROM transfers WHERE due_at IS NOT NULL "
                "UNION ALL SELECT min(due_at) FROM operations WHERE due_at IS NOT NULL"
            ).fetchall()
        return min((time for (time,) in times if time is not None), default=None)

    def load(self, rowids: Collection[int]) -> dict[int, TransferRow]:
        """Give the transfers with their operations; ids that are not there are left out."""
        if not rowids:
            return {}
        with self._connections.reader() as db:
            return load_rows(db, rowids)

    def requests(self, rowids: Collection[int]) -> list[RequestRow]:
        """Give what users ask of these transfers, in the order in which they asked."""
        ids = f"({', '.join(str(int(rowid)) for rowid in rowids)})"
        with self._connections.reader() as db:
            rows = db.execute(f"SELECT id, transfer, kind FROM requests WHERE transfer IN {ids} ORDER BY id").fetchall()
        return [RequestRow(*row) for row in rows]

    def commit(self, changes: Sequence[Change], now: float) -> None:
        """Write all that a tick decided in one transaction, if this process still holds the lease.

        Raises:
            StoreLeaseLostError: another process is the scheduler now; nothing was written.
            StoreError: nothing can be said of what was written: forget the rows in memory and load them again.
        """
        with self._connections.transaction() as db:
            self._lease.keep(db, now)
            self._write(db, changes)
        for change in changes:
            if change.journal is not None:
                self._descriptors.forget(change.transfer.rowid)

    def _write(self, db: sqlite3.Connection, changes: Sequence[Change]) -> None:
        transfers, operations, history, files, ended, manifests = [], [], [], [], [], []
        for change in changes:
            row = change.transfer
            for operation in change.new_operations:
                operation.transfer = row.rowid
                operation.rowid = db.execute(_INSERT_OPERATION, _OPERATION_VALUES(operation)).lastrowid or 0
                operation.dirty = False
            if row.dirty:
                transfers.append(_versioned(row, _TRANSFER_HOT))
            operations += [_versioned(operation, _OPERATION_HOT) for operation in row.operations if operation.dirty]
            for entry in change.history:
                progress = entry.progress or (None, None, None)
                owner = entry.operation.rowid if entry.operation else None
                what = (entry.event, entry.source, entry.target, entry.at, entry.message, entry.reason)
                history.append((row.rowid, owner, *what, *progress))
            files += [
                (
                    outcome.state.value,
                    outcome.observed_bytes,
                    outcome.observed_hash,
                    outcome.error,
                    outcome.reason,
                    int(outcome.state in _ATTEMPTED),
                    row.rowid,
                    outcome.id,
                )
                for outcome in change.files
            ]
            if change.journal:
                ended.append((change.journal, row.rowid))
            if change.manifest is not None:
                manifests.append((row.rowid, zlib.compress(change.manifest.encode())))
        _compare_and_set(db, _UPDATE_TRANSFER, transfers)
        _compare_and_set(db, _UPDATE_OPERATION, operations)
        db.executemany(_UPDATE_FILE, files)
        given_up = [
            (reason, sentence, change.transfer.rowid, endpoint)
            for change in changes
            for endpoint, reason, sentence in change.given_up
        ]
        db.executemany(_GIVE_FILES_UP, given_up)
        db.executemany(_INSERT_HISTORY, history)
        db.executemany("INSERT OR REPLACE INTO manifests VALUES (?, ?)", manifests)
        for record, rowid in ended:
            failed = failed_files(db, rowid)
            packed = zlib.compress(dump_json(unstructure(failed)).encode()) if failed else None
            db.execute(_INSERT_JOURNAL, (record.status, record.description, packed, rowid))
        db.executemany("DELETE FROM manifests WHERE transfer = ?", [(rowid,) for _, rowid in ended])
        requests = [(request,) for change in changes for request in change.requests]
        db.executemany("DELETE FROM requests WHERE id = ?", requests)

    def bring_forward(self, latest: float) -> None:
        with self._connections.transaction() as db:
            db.execute("UPDATE operations SET due_at = ? WHERE due_at > ?", (latest, latest))

    def contradicting(self, after: int, limit: int) -> tuple[list[int], int]:
        with self._connections.reader() as db:
            looked_at = db.execute(
                "SELECT id FROM transfers WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
            ).fetchall()
            last = looked_at[-1][0] if looked_at else 0
            found = db.execute(_CONTRADICTING, (after, last)).fetchall()
        return [rowid for (rowid,) in found], last if len(looked_at) == limit else 0

    # Start and pruning

    def charts(self) -> list[tuple[str, str, str]]:
        """Give the distinct (machine, chart fingerprint, state) of all that lives, and of what is to be resumed."""
        with self._connections.reader() as db:
            return db.execute(
                "SELECT DISTINCT 'transfer', chart, state FROM transfers WHERE completed_at IS NULL UNION "
                "SELECT DISTINCT 'transfer', chart, suspended_from FROM transfers "
                "WHERE completed_at IS NULL AND suspended_from <> '' UNION "
                "SELECT DISTINCT 'operation', chart, state FROM operations WHERE due_at IS NOT NULL"
            ).fetchall()

    def outdated(self, transfer_chart: str, operation_chart: str, after: int, limit: int) -> list[int]:
        with self._connections.reader() as db:
            found = db.execute(
                "SELECT id FROM transfers t WHERE id > ? AND completed_at IS NULL AND (chart <> ? OR EXISTS ("
                "SELECT 1 FROM operations o WHERE o.transfer = t.id AND o.due_at IS NOT NULL AND o.chart <> ?)) "
                "ORDER BY id LIMIT ?",
                (after, transfer_chart, operation_chart, limit),
            ).fetchall()
        return [rowid for (rowid,) in found]

    def prune(self, before: float, limit: int = 200) -> int:
        """Forget at most ``limit`` transfers that ended before the time; the journal stays. Gives how many went."""
        with self._connections.transaction() as db:
            ended = db.execute(
                "SELECT id FROM transfers WHERE completed_at < ? ORDER BY completed_at LIMIT ?", (before, limit)
            ).fetchall()
            for table, key in (
                ("history", "transfer"),
                ("files", "transfer"),
                ("operations", "transfer"),
                ("requests", "transfer"),
                ("manifests", "transfer"),
                ("specifications", "transfer"),
                ("transfers", "id"),
            ):
                db.executemany(f"DELETE FROM {table} WHERE {key} = ?", ended)
        return len(ended)

    # The lease

    def acquire_lease(self, now: float, lease_time_s: float) -> bool:
        """Become, or stay, the scheduler of this store; see ``Lease``."""
        return self._lease.acquire(now, lease_time_s)

    def release_lease(self) -> None:
        """Let another process become the scheduler at once. Idempotent."""
        self._lease.release()

    def close(self) -> None:
        """Release the lease and close the file. Idempotent."""
        with contextlib.suppress(StoreError):
            self.release_lease()
        self._connections.close()


def _versioned(row: TransferRow | OperationRow, hot: Callable[[object], tuple[object, ...]]) -> tuple[object, ...]:
    """The values for a compare-and-set of the row; its version moves on."""
    expected = row.version
    row.version += 1
    row.dirty = False
    return (*hot(row), row.rowid, expected)


def _compare_and_set(db: sqlite3.Connection, statement: str, rows: Sequence[Sequence[object]]) -> None:
    if rows and db.executemany(statement, rows).rowcount != len(rows):
        raise StoreError("a row had changed since it was read: nothing was written, and it is read again")
