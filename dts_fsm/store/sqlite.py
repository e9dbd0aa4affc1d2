"""The SQLite store as the engine's and scheduler's side sees it: claim, load, commit, request, lease, prune."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal
from uuid import UUID

from dts_fsm.errors import StoreError
from dts_fsm.store.connections import Connections
from dts_fsm.store.contract import Admission
from dts_fsm.store.creation import Creation
from dts_fsm.store.lease import Lease
from dts_fsm.store.pruning import prune
from dts_fsm.store.queries import Queries
from dts_fsm.store.rows import (
    DATABASE_KINDS,
    OPERATION_COLUMNS,
    TRANSFER_COLUMNS,
    Change,
    OperationRow,
    RequestRow,
    TransferRow,
)
from dts_fsm.store.writing import columns, marks, write

_SELECT_TRANSFERS = f"SELECT {columns(TRANSFER_COLUMNS)} FROM transfers WHERE id IN "
_SELECT_OPERATIONS = f"SELECT {columns(OPERATION_COLUMNS)} FROM operations WHERE transfer IN "

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

_REMEMBERED_FILES = 1000
"""Transfers of more files are read again: they would drive out too many others."""

_LANE = f"(iif(kind IN ({str(DATABASE_KINDS)[1:-1]}), 'databases.', 'endpoints.') || endpoint)"


def load_rows(db: sqlite3.Connection, rowids: Collection[int]) -> dict[int, TransferRow]:
    """Give the transfers with these row ids and their operations, oldest first; what is not there is left out."""
    ids = f"({', '.join(str(int(rowid)) for rowid in rowids)})"
    transfers = {row[0]: TransferRow(*row) for row in db.execute(_SELECT_TRANSFERS + ids).fetchall()}
    for row in db.execute(_SELECT_OPERATIONS + ids + " ORDER BY id").fetchall():
        if row[2] in transfers:  # else it is left of one that is being forgotten
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
        self._creation = Creation(self._connections)

    # Creating

    def create(self, admissions: Sequence[Admission]) -> list[UUID]:
        """Store the transfers in one commit, and give their ids in the same order.

        A transfer whose idempotency key is known already is not stored again: the id of the first is given.

        Raises:
            IdempotencyConflictError: a key is known with another specification; nothing was stored.
            DestinationConflictError: a destination leads into the folder of a live transfer; nothing was stored.
            NothingToRetryError: the transfer to retry is retried already; nothing was stored.
        """
        created = self._creation.create(admissions)
        for admission in admissions:
            self._remember(admission)
        return created

    def _remember(self, admission: Admission) -> None:
        """What the scheduler asks for next need not be read."""
        row, plan = admission.change.transfer, admission.plan
        if row.rowid and row.stored is not None and plan.num_files <= _REMEMBERED_FILES:
            self._keep(row.rowid, row.stored)
            descriptors = sorted(plan.descriptors, key=lambda descriptor: descriptor.id)
            self._descriptors.keep(row.rowid, descriptors, len(descriptors))

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
        elsewhere = f"AND ({_LANE} NOT IN ({marks(without)}) OR state = 'canceling')" if without else ""
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
            write(db, changes)
        for change in changes:
            if change.journal is not None:
                self._forget(change.transfer.rowid)

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
        with self._connections.transaction() as db:
            worked_on = prune(db, before, limit)
        for rowid in worked_on:
            self._forget(rowid)
        return len(worked_on)

    # The lease

    def acquire_lease(self, now: float, lease_time_s: float) -> bool:
        """Become, or stay, the scheduler of this store; see ``Lease``."""
        return self._lease.acquire(now, lease_time_s)

    def check_lease(self) -> None:
        """Raise StoreLeaseLostError where this process is no longer the scheduler."""
        self._lease.check()

    def release_lease(self) -> None:
        """Let another process become the scheduler at once. Idempotent."""
        self._lease.release()

    def close(self) -> None:
        """Release the lease and close the file. Idempotent."""
        with contextlib.suppress(StoreError):
            self.release_lease()
        self._connections.close()
