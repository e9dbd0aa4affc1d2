"""Rows for tests of stores: a transfer that is to be stored, and what a scheduler would make of it."""

from __future__ import annotations

from uuid import UUID, uuid4

from dts_fsm.records import Descriptor, Destination, Plan, SourceSummary, Specification, User
from dts_fsm.store import Admission, Change, HistoryEntry, JournalEntry, OperationRow, TransferRow

NOW = 1_800_000_000.0
LEASE_S = 10.0


def plan(*file_ids: str, source: str = "genomes", orcid: str = "0000-0002-1825-0097") -> Plan:
    """Give the plan of a transfer of these files of 10 bytes each, with one inline datum."""
    descriptors = [Descriptor(id=file_id, path=f"{file_id}.fa", bytes=10) for file_id in sorted(file_ids)]
    return Plan(
        specification=Specification(
            source=source,
            destination="archive",
            file_ids=file_ids,
            user=User(name="Ada", orcid=orcid),
            description="# ü",
            instructions={"objects": [1, None]},
        ),
        destination=Destination(endpoint="archive", path="ada", username="ada"),
        sources=(SourceSummary(endpoint="disk", num_files=len(file_ids), num_bytes=10 * len(file_ids)),),
        descriptors=(*descriptors, Descriptor(id="~inline", properties={"data": {"a": 1}})),
        endpoints=(*("disk" for _ in descriptors), ""),
        num_files=len(file_ids),
        num_bytes=10 * len(file_ids),
    )


def admission(
    *file_ids: str, key: str | None = None, retry_of: UUID | None = None, at: float = NOW, **of_plan: str
) -> Admission:
    """Give a new transfer with one operation that is due at once."""
    planned = plan(*(file_ids or ("a", "b")), **of_plan)
    row = TransferRow(
        rowid=0,
        uuid=str(uuid4()),
        state="unknown",
        version=0,
        chart="chart",
        due_at=at + 100,
        deadline_at=at + 100,
        updated_at=at,
        completed_at=None,
        suspended_from="",
        wanted="",
        reason=None,
        message="",
        num_unstaged=0,
        files_transferred=0,
        files_skipped=0,
        bytes_transferred=0,
        num_files=planned.num_files,
        num_bytes=planned.num_bytes,
        created_at=at,
    )
    change = Change(transfer=row)
    change.history.append(HistoryEntry(None, "create", "", "unknown", at, progress=(0, 0, 0)))
    begin(change, at=at)
    return Admission(change=change, plan=planned, key=key, retry_of=retry_of)


def begin(change: Change, *, at: float = NOW, endpoint: str = "disk") -> OperationRow:
    """The change begins an operation."""
    operation = OperationRow(
        rowid=0,
        uuid=str(uuid4()),
        transfer=change.transfer.rowid,
        handler="mover",
        kind="move",
        endpoint=endpoint,
        phase="active",
        began_at=at,
        state="pending",
        version=0,
        chart="chart",
        due_at=at,
        changed_at=at,
        progressed_at=at,
    )
    change.transfer.operations.append(operation)
    change.new_operations.append(operation)
    change.history.append(HistoryEntry(operation, "create", "", "pending", at))
    return operation


def end(row: TransferRow, *, at: float, state: str = "succeeded", manifest: str | None = None) -> Change:
    """Give the change that ends a transfer and its operations."""
    source, row.state, row.completed_at, row.due_at, row.dirty = row.state, state, at, None, True
    for operation in row.operations:
        operation.state, operation.due_at, operation.dirty = "succeeded", None, True
    change = Change(transfer=row, journal=JournalEntry(status=state, description="# ü"), manifest=manifest)
    change.history.append(HistoryEntry(None, "succeed", source, state, at, "done", None, (2, 0, 20)))
    return change
