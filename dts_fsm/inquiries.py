"""What can be asked of a running orchestrator: statuses, files, histories, explanations, the journal."""

from __future__ import annotations

import time
from datetime import datetime
from uuid import UUID

from dts_fsm.engine.explanation import explain
from dts_fsm.engine.reasons import Facts
from dts_fsm.errors import NotRunningError, SpecificationError, StoreError, TransferNotFoundError, WaitTimeoutError
from dts_fsm.interfaces import Clock
from dts_fsm.lanes import lane_of
from dts_fsm.records import (
    Explanation,
    FileRecord,
    FileState,
    HistoryRecord,
    JournalRecord,
    TransferRecord,
    TransferStatus,
    TransferStatusCode,
)
from dts_fsm.records.checks import check_seconds, is_unicode, shown
from dts_fsm.running import Running
from dts_fsm.store import SqliteStore, Store, TransferRow
from dts_fsm.store.maintenance import is_scheduled

_MAX_FILES_READ = 10_000
"""Of how many files a transfer may have for those that are not staged to be named: to read them takes 0.1 s."""


class Inquiries:
    """The asking half of ``Orchestrator``: nothing here changes anything."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: Running | None = None

    @property
    def running(self) -> bool:
        """True between ``start`` and ``stop``."""
        return self._running is not None

    def _require(self) -> Running:
        if self._running is None:
            raise NotRunningError
        return self._running

    def status(self, transfer_id: UUID | str) -> TransferStatus:
        """Give how the transfer stands; TransferNotFoundError where there is none."""
        return self._require().store.status(uuid_of(transfer_id))

    def wait(self, transfer_id: UUID | str, timeout_s: float | None = None) -> TransferStatus:
        """Give the status of the transfer once it has ended.

        Raises:
            TransferNotFoundError: there is no such transfer.
            WaitTimeoutError: it has not ended in time; it goes on.
            NotRunningError: the orchestrator was stopped meanwhile.
        """
        uuid = uuid_of(transfer_id)
        check_seconds(timeout_s)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            running = self._require()
            seen = running.hub.changes
            try:
                status = running.store.status(uuid)
            except StoreError:
                if self.running:
                    raise
                raise NotRunningError from None
            if status.final:
                return status
            left_s = 0.25 if deadline is None else min(0.25, deadline - time.monotonic())
            if left_s <= 0:
                raise WaitTimeoutError(uuid, timeout_s or 0.0, status.code.value)
            running.hub.wait(seen, left_s)

    def transfer(self, transfer_id: UUID | str) -> TransferRecord:
        """Give the transfer's record: status, specification, folder and links; TransferNotFoundError for none."""
        return self._require().store.transfer(uuid_of(transfer_id))

    def transfers(
        self,
        *,
        state: str | None = None,
        user: str | None = None,
        source: str | None = None,
        limit: int = 100,
        after: UUID | str | None = None,
    ) -> list[TransferRecord]:
        """Give a page of transfers, newest first.

        Args:
            state, user, source: only those in this state, asked for by this ORCID, from this database.
            limit: how many at most.
            after: the last transfer of the page before.

        Raises:
            TransferNotFoundError: there is no transfer ``after``.
            SpecificationError: a limit below 1, a state that there is not.
        """
        _check_limit(limit)
        _check_text("user", user)
        _check_text("source", source)
        if state is not None and state not in list(TransferStatusCode):
            raise SpecificationError(f"there is no state {shown(state)}: there are {', '.join(TransferStatusCode)}")
        page = None if after is None else uuid_of(after)
        return self._require().store.transfers(state=state, user=user, source=source, limit=limit, after=page)

    def files(self, transfer_id: UUID | str) -> list[FileRecord]:
        """Give how each file stands, in order of id, inline data included; TransferNotFoundError for no transfer."""
        store = self._require().store
        return store.files(store.rowid(uuid_of(transfer_id)))

    def history(self, transfer_id: UUID | str) -> list[HistoryRecord]:
        """Give every transition of the transfer and its operations, oldest first; TransferNotFoundError for none."""
        return self._require().store.history(uuid_of(transfer_id))

    def explain(self, transfer_id: UUID | str) -> Explanation:
        """Give why the transfer waits now; TransferNotFoundError where there is none."""
        running = self._require()
        uuid = uuid_of(transfer_id)
        rowid = running.store.rowid(uuid)
        requested = running.store.requested(rowid)
        row = running.store.load([rowid]).get(rowid)
        if row is None:
            raise TransferNotFoundError(uuid)
        facts = Facts(
            row=row,
            now=self._clock.time(),
            timing=running.engine.timing,
            operation_chart=running.engine.operations.machine.chart,
            requested=requested,
            unstaged=_unstaged(running.store, row),
            num_to_move=_num_to_move(running.store, row),
            crowded=_crowded(running, row),
            scheduled=_scheduled(running),
        )
        return explain(running.engine, facts)

    def journal(
        self,
        start: datetime | None = None,
        stop: datetime | None = None,
        *,
        status: str | None = None,
        limit: int | None = None,
    ) -> list[JournalRecord]:
        """Give the records of transfers that ended from ``start`` up to but without ``stop``, in order of their end.

        Args:
            start, stop: aware times; None for no bound.
            status: only "succeeded", "failed" or "canceled" ones.
            limit: how many at most; None for all.
        """
        for bound in (start, stop):
            if bound is not None and (not isinstance(bound, datetime) or bound.utcoffset() is None):
                raise SpecificationError("start and stop must be aware times: datetimes with a time zone")
        if limit is not None:
            _check_limit(limit)
        if status not in (None, "succeeded", "failed", "canceled"):
            raise SpecificationError(f"there is no status {shown(status)}: there are succeeded, failed and canceled")
        return self._require().store.journal(start, stop, status=status, limit=limit)


def _unstaged(store: Store, row: TransferRow) -> list[str]:
    """The files that wait to be staged, by name where they are not too many."""
    if not row.num_unstaged or row.completed_at is not None or row.num_files > _MAX_FILES_READ:
        return []
    return [file.id for file in store.files(row.rowid) if file.state is FileState.UNSTAGED]


def _num_to_move(store: Store, row: TransferRow) -> dict[str, int]:
    if not any(op.kind == "move" and op.due_at is not None for op in row.operations):
        return {}
    return {source.endpoint: source.num_files for source in store.stored(row.rowid).sources}


def _crowded(running: Running, row: TransferRow) -> set[int] | None:
    """The operations whose lanes take no further calls; None where another process makes the calls."""
    if running.scheduler is None or not running.scheduler.leading:
        return None
    full = running.scheduler.full_lanes()
    return {op.rowid for op in row.operations if lane_of(op.kind, op.endpoint) in full}


def _scheduled(running: Running) -> bool | None:
    if running.scheduler is not None and running.scheduler.leading:
        return True
    return is_scheduled(running.store.path) if isinstance(running.store, SqliteStore) else None


def _check_limit(limit: object) -> None:
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit < 2**63:
        raise SpecificationError(f"limit must be a whole number, 1 or more, not {shown(limit)}")


def _check_text(name: str, value: object) -> None:
    if value is not None and (not isinstance(value, str) or not is_unicode(value)):
        raise SpecificationError(f"{name} must be text, not {shown(value)}")


def uuid_of(transfer_id: UUID | str) -> UUID:
    """Give the id itself; TransferNotFoundError for a text that is none, since no transfer can have it."""
    if isinstance(transfer_id, UUID):
        return transfer_id
    try:
        return UUID(transfer_id)
    except (ValueError, AttributeError, TypeError):
        named = transfer_id if isinstance(transfer_id, str) else shown(transfer_id)
        raise TransferNotFoundError(named) from None
