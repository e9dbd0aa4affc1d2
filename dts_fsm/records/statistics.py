"""What became of all transfers together: how many are where, how long they stay there, and what goes wrong."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import attrs


@attrs.frozen(kw_only=True)
class StateStatistics:
    """How many are in a state now, and how long the stays in it lasted that have ended.

    A percentile is by nearest rank: the shortest time that so many percent of the stays did not exceed. Times of stays
    have three significant digits; a stay that seems to have ended before it began, as the clock was set back, lasted 0.

    Attributes:
        machine: "transfer" or "operation".
        num_now: how many of the store's machines are in it; final states have those that are not forgotten yet.
        longest_now_s: for how long the one has been in it that has been in it the longest, or None; None for final
            states.
        num_stays: how many stays have ended.
        median_s, p95_s, longest_s: of these stays: the median, the 95th percentile, the longest; None without any.
    """

    machine: str
    state: str
    num_now: int = 0
    longest_now_s: float | None = None
    num_stays: int = 0
    median_s: float | None = None
    p95_s: float | None = None
    longest_s: float | None = None


@attrs.frozen(kw_only=True)
class StepStatistics:
    """How often a transition was taken.

    Attributes:
        machine: "transfer" or "operation".
        source: "" for the creation of a machine, whose event is "create".
    """

    machine: str
    source: str
    event: str
    target: str
    count: int


@attrs.frozen(kw_only=True)
class ProviderStatistics:
    """How the operations of one provider went.

    Attributes:
        name: the lane of the provider's calls: "endpoints.tape", "databases.jdp".
        kind: the kind of the operations: "survey", "stage", "move", "manifest", "finalize".
        num_succeeded, num_failed, num_canceled: of those that have ended.
        num_retries: how often one of them was tried again.
        num_live: how many have not ended, and ``num_troubled`` how many of these were tried again already.
        last_error: the latest error of one that failed, or waits for another attempt, with its time; None for none.
    """

    name: str
    kind: str
    num_succeeded: int = 0
    num_failed: int = 0
    num_canceled: int = 0
    num_retries: int = 0
    num_live: int = 0
    num_troubled: int = 0
    last_error: str | None = None
    last_error_at: datetime | None = None


@attrs.frozen(kw_only=True)
class PeriodStatistics:
    """What ended in one period of time.

    Attributes:
        start: aware UTC; the period ends where the next one starts.
        num_bytes: the sizes of the payloads that succeeded.
    """

    start: datetime
    num_succeeded: int = 0
    num_failed: int = 0
    num_canceled: int = 0
    num_bytes: int = 0


@attrs.frozen(kw_only=True)
class ReasonStatistics:
    """How many transfers ended for one reason.

    Attributes:
        status: "succeeded", "failed" or "canceled".
        reason: as in the journal; None where it has none.
        latest: the transfer that ended last for it.
    """

    status: str
    reason: str | None
    count: int
    latest: UUID


@attrs.frozen(kw_only=True)
class EndedTransfer:
    """A transfer that took long, as the journal knows it; whether the store still has its history is not certain."""

    id: UUID
    source: str
    destination: str
    status: str
    reason: str | None
    duration_s: float
    num_files: int
    num_bytes: int


@attrs.frozen(kw_only=True)
class WaitingTransfer:
    """A transfer that has not ended, and for how long it has been in its state.

    Attributes:
        suspended: True where its user wants it to wait.
    """

    id: UUID
    state: str
    waiting_s: float
    suspended: bool = False


@attrs.frozen(kw_only=True)
class Statistics:
    """What a store says of all of its transfers.

    Attributes:
        since: what was recorded from then on is counted, or None for everything; how many are where is always as it
            is now.
        until: now; aware UTC.
        num_transitions: how many transitions were counted.
        states: in order of machine and state.
        steps: those that were taken most often first.
        providers: in order of name and kind.
        period_s: how long each of the ``periods`` is; they follow on one another up to now.
        reasons: for which transfers ended without all of their files, the 100 most frequent ones.
        num_succeeded, num_failed, num_canceled: how many have ended so, from the journal.
        num_bytes: the sizes of the payloads that succeeded.
        slowest: of the transfers that ended, those that took the longest, the slowest first.
        waiting: of those that have not ended, those that have been in their state the longest, the longest first; those
            that their users have suspended stand after the others.
        num_overdue: how many operations should have been looked at more than a minute ago: nobody works on the store,
            or not fast enough.
    """

    since: datetime | None
    until: datetime
    num_transitions: int
    states: tuple[StateStatistics, ...]
    steps: tuple[StepStatistics, ...]
    providers: tuple[ProviderStatistics, ...]
    period_s: float
    periods: tuple[PeriodStatistics, ...]
    reasons: tuple[ReasonStatistics, ...]
    num_succeeded: int
    num_failed: int
    num_canceled: int
    num_bytes: int
    slowest: tuple[EndedTransfer, ...]
    waiting: tuple[WaitingTransfer, ...]
    num_overdue: int
