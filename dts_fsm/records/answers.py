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
    """Whether an event of the statechart could happen now.

    Attributes:
        event, target: the transition; for resume the state it leads back to.
        guard: the guard's name, or "" where there is none.
        possible: the guard's verdict now.
        description: the statechart's sentence on when it happens.
    """

    event: str
    target: str
    guard: str
    possible: bool
    description: str


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
class Explanation:
    """Why a transfer waits.

    Attributes:
        state: the state it is in, and ``description`` the statechart's sentence on it.
        requested: "cancel" or "suspend" where the user asked for it and it has not happened yet, else None.
        next_poll_at: when the transfer or one of its operations is looked at next, or None once it has ended.
        deadline_at: when it fails unless something happens, or None.
        last_error: the latest error of it or of a live operation, or None.
        events: each event that could happen in this state, with the verdict.
        operations: all of its operations, oldest first.
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
