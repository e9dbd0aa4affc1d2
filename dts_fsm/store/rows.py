"""The hot rows of the store as light objects: the state machines' models, and nothing that is slow to build.

The scheduler makes one object for each due row, the machines change it, the store writes it back when its version is
still the one that was read. The order of the fields is the order of the columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID, uuid5

import attrs

from dts_fsm.records import (
    Destination,
    FileOutcome,
    FileRecord,
    OperationRequest,
    SourceSummary,
    Specification,
    Transfer,
)

_uuid = lru_cache(10_000)(UUID)
"""The id of a text: rows are asked for theirs again and again."""

DATABASE_KINDS = ("stage", "finalize")
"""The kinds of operations whose ``endpoint`` is a database: it may have the name of an endpoint."""


def time_of(seconds: float) -> datetime:
    """The aware UTC time of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


@attrs.frozen(kw_only=True)
class Stored:
    """What never changes of a transfer."""

    specification: Specification
    destination: Destination
    sources: tuple[SourceSummary, ...]


@attrs.define(eq=False)
class OperationRow:
    """One operation: the model of the operation chart's machine."""

    rowid: int
    uuid: str
    transfer: int
    handler: str
    kind: str
    endpoint: str
    phase: str
    began_at: float
    state: str
    version: int
    chart: str
    due_at: float | None
    changed_at: float
    progressed_at: float
    submitted: int = 0
    generation: int = 0
    attempts: int = 0
    losses: int = 0
    handle: str | None = None
    message: str = ""
    reason: str | None = None
    files_transferred: int = 0
    files_skipped: int = 0
    bytes_transferred: int = 0
    # not stored
    permanent: bool = False
    lost: bool = False
    dirty: bool = False

    @property
    def id(self) -> UUID:
        """The operation's public id."""
        return _uuid(self.uuid)

    @property
    def submission_id(self) -> UUID:
        """The id under which the provider knows the present generation of submissions."""
        return self.id if self.generation == 0 else uuid5(self.id, str(self.generation))


@attrs.define(eq=False)
class TransferRow:
    """One transfer: the model of the transfer chart's machine, with its operations, oldest first.

    ``wishes`` and ``journal_due`` are what the chart's callbacks have asked for in the present transition,
    ``succeeded`` the operations that have just done so; ``stored``, ``view`` and ``files`` are filled in when somebody
    needs them.
    """

    rowid: int
    uuid: str
    state: str
    version: int
    chart: str
    due_at: float | None
    deadline_at: float | None
    updated_at: float
    completed_at: float | None
    suspended_from: str
    wanted: str
    reason: str | None
    message: str
    num_unstaged: int
    files_transferred: int
    files_skipped: int
    bytes_transferred: int
    num_files: int
    num_bytes: int
    created_at: float
    # not stored here
    operations: list[OperationRow] = attrs.Factory(list)
    wishes: list[OperationRequest] = attrs.Factory(list)
    succeeded: list[OperationRow] = attrs.Factory(list)
    journal_due: bool = False
    stored: Stored | None = None
    view: Transfer | None = None
    files: Sequence[FileRecord] | None = None
    dirty: bool = False

    @property
    def id(self) -> UUID:
        """The transfer's public id."""
        return _uuid(self.uuid)

    @property
    def phase(self) -> str:
        """The state whose operations count: the one that an inactive transfer was suspended from."""
        return self.suspended_from or self.state


def stored_columns(kind: type, last: str) -> tuple[str, ...]:
    """The names of a row class's columns, up to and including ``last``."""
    names = [field.name if field.name != "rowid" else "id" for field in attrs.fields(kind)]
    return tuple(names[: names.index(last) + 1])


TRANSFER_COLUMNS = stored_columns(TransferRow, "created_at")
OPERATION_COLUMNS = stored_columns(OperationRow, "bytes_transferred")

TRANSFER_HOT = TRANSFER_COLUMNS[TRANSFER_COLUMNS.index("state") : TRANSFER_COLUMNS.index("num_files")]
"""The columns of a transfer that change."""

OPERATION_HOT = ("phase", *OPERATION_COLUMNS[OPERATION_COLUMNS.index("state") :])
"""The columns of an operation that change; the phase where its transfer's chart is another one now."""


@attrs.define(eq=False)
class HistoryEntry:
    """One transition that is to be recorded; ``operation`` None means the transfer itself."""

    operation: OperationRow | None
    event: str
    source: str
    target: str
    at: float
    message: str = ""
    reason: str | None = None
    progress: tuple[int, int, int] | None = None


@attrs.frozen(kw_only=True)
class JournalEntry:
    """The journal's record of an ended transfer; the rest is in the transfer's own row."""

    status: str
    description: str


@attrs.define(eq=False)
class Change:
    """What one tick does to one transfer: applied whole, or not at all.

    ``manifest`` is its JSON text, or bytes: that text in UTF-8, compressed by zlib. ``given_up`` is for files that have
    neither arrived nor failed by themselves: the reason and the sentence for those of an endpoint, or (None) for all
    that are left.
    """

    transfer: TransferRow
    history: list[HistoryEntry] = attrs.Factory(list)
    new_operations: list[OperationRow] = attrs.Factory(list)
    files: list[FileOutcome] = attrs.Factory(list)
    journal: JournalEntry | None = None
    requests: list[int] = attrs.Factory(list)
    manifest: str | bytes | None = None
    given_up: list[tuple[str | None, str, str]] = attrs.Factory(list)


@attrs.frozen
class RequestRow:
    """What a user asks of a live transfer: "cancel", "suspend" or "resume"."""

    rowid: int
    transfer: int
    kind: str
