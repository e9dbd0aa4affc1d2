"""The contract of a store: what the engine's rows are kept in.

It stands here and not in ``interfaces`` because it speaks of rows, which nobody else may know. ``StoreSuite`` in
``dts_fsm.testing`` checks what is promised here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol
from uuid import UUID

import attrs

from dts_fsm.records import (
    Destination,
    FileRecord,
    HistoryRecord,
    JournalRecord,
    Message,
    OperationRecord,
    Plan,
    Specification,
    TransferRecord,
    TransferStatus,
)
from dts_fsm.store.rows import Change, RequestRow, Stored, TransferRow


@attrs.frozen(kw_only=True)
class Admission:
    """A transfer that is to be stored: its row and first operations, and the plan with what never changes.

    Attributes:
        key: the idempotency key, or None.
        retry_of: the ended transfer whose failed files this one moves again, or None.
    """

    change: Change
    plan: Plan
    key: str | None = None
    retry_of: UUID | None = None


class Store(Protocol):
    """All state of one installation; safe from any thread, and from several processes at once.

    Every method may block, and raises StoreError where the store cannot be read or written. A commit that raised may
    have taken effect or not: read again, and let the compare-and-set decide.
    """

    path: Path

    # Creating

    def create(self, admissions: Sequence[Admission]) -> list[UUID]:
        """Store the transfers durably, all or none, and give their ids in the same order.

        A transfer whose idempotency key is known with the same request is not stored again: the first one's id is
        given.

        Raises:
            IdempotencyConflictError: a key is known with another request.
            DestinationConflictError: a destination leads into the folder of a live transfer, see ``check_destination``.
            NothingToRetryError: the transfer to retry has been retried already.
        """
        ...

    def check_destination(self, destination: Destination) -> None:
        """Refuse a destination that leads into the folder of a live transfer, on whatever endpoint.

        Two payloads never have one folder, as each has its transfer's id; but a custom destination may name another
        payload's folder, whose consumer takes all of it away.

        Raises:
            DestinationConflictError: the live transfer is named.
        """
        ...

    def request(self, transfer_id: UUID, kind: Literal["cancel", "suspend", "resume"], at: float) -> bool:
        """Record what a user asks of a transfer, for the scheduler to find; False where it has ended."""
        ...

    # The tick

    def due(self, now: float, limit: int, *, without: Collection[str] = (), busy: Collection[int] = ()) -> list[int]:
        """Give the row ids of transfers that need a look now: by a request, a deadline or an operation, oldest first.

        Args:
            now: the time, seconds since 1970 UTC.
            limit: how many requests, transfers and operations are taken at most, of each.
            without: lanes ("endpoints.tape", "databases.jdp") whose operations are left for later, except those that
                are being canceled.
            busy: row ids of operations that are left out.
        """
        ...

    def next_due_at(self) -> float | None:
        """Give the time at which something is due next, or None where nothing waits for a time."""
        ...

    def load(self, rowids: Collection[int]) -> dict[int, TransferRow]:
        """Give the transfers with their operations, oldest first; ids that are not there are left out."""
        ...

    def requests(self, rowids: Collection[int]) -> list[RequestRow]:
        """Give what users ask of these transfers, in the order in which they asked."""
        ...

    def stored(self, rowid: int) -> Stored:
        """Give what never changes of the transfer; TransferNotFoundError where there is none."""
        ...

    def files(self, rowid: int, *, after: str = "", limit: int | None = None) -> list[FileRecord]:
        """Give the transfer's files, in order of file id: so many at most, of those whose ids come after this one."""
        ...

    def commit(self, changes: Sequence[Change], now: float) -> None:
        """Write all that a tick decided, durably, all or nothing, if this process holds the lease.

        Raises:
            StoreLeaseLostError: another process is the scheduler now; nothing was written.
            StoreError: a row had changed since it was read (nothing was written), or the commit's fate is unknown.
                Forget the rows in memory and load them again.
        """
        ...

    def bring_forward(self, latest: float) -> None:
        """Nothing but deadlines waits for a time beyond this one: a clock that was set back must not stop all polls."""
        ...

    def contradicting(self, after: int, limit: int) -> tuple[list[int], int]:
        """Give those of the next transfers whose rows and whose operations' rows do not fit together.

        That is: a live operation that nothing wakes, or an ended one that something does; an ended transfer with a live
        operation, or that something wakes; a live transfer without an operation, that no request is for, except one
        that its user has suspended.

        Args:
            after: the row id after which to begin.
            limit: how many transfers are looked at.

        Returns:
            Their row ids, and the last row id that was looked at; 0 after the last transfer.
        """
        ...

    # Start, end and pruning

    def charts(self) -> list[tuple[str, str, str]]:
        """Give the distinct (machine, chart fingerprint, state) of all that lives, and of what is to be resumed."""
        ...

    def outdated(self, transfer_chart: str, operation_chart: str, after: int, limit: int) -> list[int]:
        """Give live transfers that, or whose live operations, were made under other charts than these.

        Args:
            transfer_chart, operation_chart: the fingerprints of the charts that run.
            after: only row ids above this one, in their order.
            limit: how many at most.
        """
        ...

    def prune(self, before: float, limit: int = 200) -> int:
        """Forget at most ``limit`` transfers that ended before the time; the journal stays.

        What is found by them is gone at once; of a large one, rows that nobody finds may be left for the next calls, so
        that none takes long. Gives of how many transfers something was deleted: 0 when there is nothing more to do.
        """
        ...

    def acquire_lease(self, now: float, lease_time_s: float) -> bool:
        """Become, or stay, the scheduler of this store; False while another process is."""
        ...

    def check_lease(self) -> None:
        """Make sure that nobody else has been the scheduler since this process became it.

        Raises:
            StoreLeaseLostError: another process was; forget the rows in memory.
        """
        ...

    def release_lease(self) -> None:
        """Let another process become the scheduler at once. Idempotent."""
        ...

    def close(self) -> None:
        """Release the lease and close the file. Idempotent."""
        ...

    # Questions; each raises TransferNotFoundError for an id that is not there

    def rowid(self, transfer_id: UUID) -> int:
        """Give the transfer's row id."""
        ...

    def keyed(self, key: str) -> tuple[UUID, Specification] | None:
        """Give the transfer that an idempotency key belongs to, with its specification, or None."""
        ...

    def status(self, transfer_id: UUID) -> TransferStatus:
        """Give the transfer's status, the progress of its live operations included."""
        ...

    def transfer(self, transfer_id: UUID) -> TransferRecord:
        """Give the transfer's record."""
        ...

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
        ...

    def history(self, transfer_id: UUID) -> list[HistoryRecord]:
        """Give every transition of the transfer and its operations, oldest first."""
        ...

    def operations(self, rowid: int) -> list[OperationRecord]:
        """Give the transfer's operations, oldest first."""
        ...

    def requested(self, rowid: int) -> str | None:
        """Give what a user has asked of the transfer last and the scheduler has not taken up yet, or None."""
        ...

    def last_seq(self) -> int:
        """Give the number of the newest transition in the history, 0 where there is none."""
        ...

    def messages(self, after: int, limit: int = 1000, transfer_id: UUID | None = None) -> tuple[list[Message], int]:
        """Give the transfers' transitions after a number, oldest first, and the number up to which was looked."""
        ...

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
        ...
