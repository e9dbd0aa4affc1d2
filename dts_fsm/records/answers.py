"""What the orchestrator answers to questions about plans and waiting transfers, and databases to searches."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from dts_fsm.records.checks import mapping, member, text, whole_number
from dts_fsm.records.operations import SourceSummary
from dts_fsm.records.specification import Descriptor, Destination, Specification


class SearchFileStatus(enum.StrEnum):
    """Which files a search is to find."""

    ANY = "any"
    STAGED = "staged"
    UNSTAGED = "unstaged"


class StagingStatus(enum.StrEnum):
    """What a database says of a staging request; UNKNOWN: it knows no such request."""

    UNKNOWN = "unknown"
    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


def _search_status(value: Any) -> SearchFileStatus:
    return member(SearchFileStatus, value)


@attrs.frozen(kw_only=True)
class SearchParameters:
    """A search in a database.

    Attributes:
        query: words and patterns, in the database's own manner; "" finds everything.
        status: restricts the search to staged or unstaged files.
        offset: how many results to leave out at the beginning.
        limit: how many results at most; 0 means all.
        specific: the database's own parameters, see ``specific_search_parameters``.
    """

    query: str = attrs.field(default="", validator=text())
    status: SearchFileStatus = attrs.field(default=SearchFileStatus.ANY, converter=_search_status)
    offset: int = attrs.field(default=0, validator=whole_number)
    limit: int = attrs.field(default=0, validator=whole_number)
    specific: Mapping[str, Any] = attrs.field(factory=dict, validator=mapping)


@attrs.frozen(kw_only=True)
class SearchResults:
    """The files found, in the database's order."""

    descriptors: tuple[Descriptor, ...]


@attrs.frozen(kw_only=True)
class Plan:
    """What a transfer would do: the answer of ``plan``, and what ``create`` stores.

    Attributes:
        specification: as it was given.
        destination: endpoint, path and local user that it resolves to.
        sources: the source endpoints with the number of files and bytes to move from each.
        descriptors: of every file and inline datum, in order of id.
        endpoints: for each of the descriptors the source endpoint that has it; "" for inline data.
        num_files, num_bytes: what would be moved.
    """

    specification: Specification
    destination: Destination
    sources: tuple[SourceSummary, ...]
    descriptors: tuple[Descriptor, ...]
    endpoints: tuple[str, ...]
    num_files: int
    num_bytes: int


@attrs.frozen(kw_only=True)
class EventVerdict:
    """Whether an event of the statechart could happen now, and what it waits for.

    Attributes:
        event, target: the transition; for resume the state it leads back to.
        guard: the guard's name, or "" where there is none.
        possible: the guard's verdict now; True where there is no guard.
        description: the statechart's sentence on when it happens.
        why: what it waits for: the facts because of which the guard says no, or, without a guard, who has to say that
            it has happened; "" where nothing is left to wait for.
    """

    event: str
    target: str
    guard: str
    possible: bool
    description: str
    why: str = ""


@attrs.frozen(kw_only=True)
class OperationRecord:
    """How one operation stands.

    Attributes:
        attempts: how often its provider has been tried again.
        next_poll_at: when it is looked at next, aware UTC, or None once it has ended.
        message: the provider's latest words, or the last error.
    """

    id: UUID
    handler: str
    kind: str
    endpoint: str
    state: str
    attempts: int
    next_poll_at: datetime | None
    message: str


@attrs.frozen(kw_only=True)
class OperationExplanation:
    """Why an operation that has not ended waits.

    Attributes:
        id: the operation, which is also in the explanation's ``operations``.
        summary: how it stands, in a sentence: "move at tape is running (4 of 9 files), asked again in 28 s".
        description: the statechart's sentence on its state.
        late_s: for how long it has been due without an answer that was heard, or None: the provider does not answer,
            its lane is full, or nobody schedules the store.
        lane_full: whether the lane of its provider takes no further calls now, as too many wait or hang; None where
            that is not known: the scheduler of the store is in another process.
        deadline_at: when it is given up unless its provider acknowledges that it has stopped, or None.
        events: each event that could happen in its state, with the verdict.
    """

    id: UUID
    summary: str
    description: str
    late_s: float | None
    lane_full: bool | None
    deadline_at: datetime | None
    events: tuple[EventVerdict, ...]


@attrs.frozen(kw_only=True)
class Explanation:
    """Why a transfer waits.

    Attributes:
        state: the state it is in, and ``description`` the statechart's sentence on it.
        requested: "cancel" or "suspend" where the user asked for it and it has not happened yet, else None.
        next_poll_at: when the transfer or one of its operations is looked at next, or None once it has ended. What a
            user asks for is found earlier, by the next tick.
        deadline_at: when it fails unless something happens, or None.
        last_error: the latest error of it or of a live operation, or None.
        events: each event that could happen in this state, with the verdict.
        operations: all of its operations, oldest first.
        summary: all of it in a sentence or two, for people.
        message: the transfer's own: a sentence about the latest change or the present difficulty.
        deadline: the setting that ``deadline_at`` comes from, or None.
        scheduled: whether a process schedules the store; where none does, nothing happens. None where it is not known.
        live_operations: what those wait for that have not ended, oldest first.
        chart: the fingerprint of the chart that the transfer is under.
        asked_at: when all this was so, aware UTC.
    """

    transfer_id: UUID
    state: str
    description: str
    requested: str | None
    next_poll_at: datetime | None
    deadline_at: datetime | None
    last_error: str | None
    events: tuple[EventVerdict, ...]
    operations: tuple[OperationRecord, ...]
    summary: str = ""
    message: str = ""
    deadline: str | None = None
    scheduled: bool | None = None
    live_operations: tuple[OperationExplanation, ...] = ()
    chart: str = ""
    asked_at: datetime | None = None
