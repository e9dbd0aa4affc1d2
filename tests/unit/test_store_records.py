"""What the store gives back, field by field: records of transfers, files, operations, history, messages and journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import attrs
import pytest

from dts_fsm.records import (
    FailedFile,
    FileOutcome,
    FileRecord,
    FileState,
    HistoryRecord,
    JournalRecord,
    Message,
    OperationRecord,
    TransferRecord,
    TransferStatus,
    TransferStatusCode,
)
from dts_fsm.store import Admission, Change, HistoryEntry, JournalEntry, SqliteStore, time_of
from dts_fsm.store.reading import MAX_FAILED_LISTED
from dts_fsm.testing.store_rows import LEASE_S, NOW, admission, end, plan

ORCID = "0000-0002-1825-0097"
MD5 = "md5:" + "0" * 32


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "dts.db")
    assert store.acquire_lease(NOW, LEASE_S)
    yield store
    store.close()


def created(store: SqliteStore, **fields: object) -> UUID:
    """A transfer of a, b and c is stored, with these fields of its row."""
    new = admission("a", "b", "c")
    for name, value in fields.items():
        setattr(new.change.transfer, name, value)
    return store.create([new])[0]


def failed(store: SqliteStore, transfer_id: UUID) -> Change:
    """The transfer has moved a, failed on b, and given c up; its operation has ended."""
    (row,) = store.load([store.rowid(transfer_id)]).values()
    row.state, row.reason, row.message, row.completed_at, row.dirty = "failed", "denied", "no entry", NOW + 9, True
    row.updated_at, row.due_at, row.files_transferred, row.bytes_transferred = NOW + 9, None, 1, 10
    (operation,) = row.operations
    operation.state, operation.due_at, operation.attempts, operation.dirty = "failed", None, 2, True
    operation.message = "the door is shut"
    return Change(
        transfer=row,
        history=[
            HistoryEntry(operation, "fail", "running", "failed", NOW + 8, "the door is shut", "denied"),
            HistoryEntry(None, "fail", "unknown", "failed", NOW + 9, "no entry", "denied", (1, 0, 10)),
        ],
        files=[
            FileOutcome(id="a", state=FileState.TRANSFERRED, observed_bytes=10, observed_hash=MD5),
            FileOutcome(id="b", state=FileState.FAILED, error="shut", reason="denied"),
        ],
        journal=JournalEntry(status="failed", description="# ü"),
        manifest='{"name": "m"}',
        given_up=[(None, "aborted", "the others failed")],
    )


FAILED_FILES = (
    FailedFile(id="b", path="b.fa", reason="denied", error="shut"),
    FailedFile(id="c", path="c.fa", reason="aborted", error="the others failed"),
)


def failed_status() -> TransferStatus:
    return TransferStatus(
        code=TransferStatusCode.FAILED,
        message="no entry",
        num_files=3,
        num_files_transferred=1,
        num_files_skipped=0,
        reason="denied",
        failed_files=FAILED_FILES,
        num_bytes=30,
        num_bytes_transferred=10,
        created_at=time_of(NOW),
        updated_at=time_of(NOW + 9),
        completed_at=time_of(NOW + 9),
    )


def test_a_transfer_s_record_has_its_status_links_and_folder(store: SqliteStore) -> None:
    first = created(store)
    store.commit([failed(store, first)], NOW)
    (second,) = store.create([admission("a", "b", "c", retry_of=first)])
    record = TransferRecord(
        id=first,
        status=failed_status(),
        specification=plan("a", "b", "c").specification,
        created_at=time_of(NOW),
        folder=f"ada/dts-{first}",
        retry_of=None,
        retried_by=second,
    )
    assert store.transfer(first) == record
    assert store.transfers()[1] == record
    assert store.status(first) == record.status
    assert (store.transfer(second).retry_of, store.transfer(second).retried_by) == (first, None)


def test_the_files_have_their_last_outcome_and_those_given_up_its_reason(store: SqliteStore) -> None:
    transfer_id = created(store)
    store.commit([failed(store, transfer_id)], NOW)
    a, b, c, inline = plan("a", "b", "c").descriptors

    def file(descriptor: object, state: FileState, **fields: object) -> FileRecord:
        none = {"observed_bytes": None, "observed_hash": None, "attempts": 0, "error": None, "reason": None}
        return FileRecord(**({"descriptor": descriptor, "endpoint": "disk", "state": state} | none | fields))  # type: ignore[arg-type]

    files = [
        file(a, FileState.TRANSFERRED, observed_bytes=10, observed_hash=MD5, attempts=1),
        file(b, FileState.FAILED, attempts=1, error="shut", reason="denied"),
        file(c, FileState.FAILED, error="the others failed", reason="aborted"),
        file(inline, FileState.INLINE, endpoint=""),
    ]
    rowid = store.rowid(transfer_id)
    # from the file, and with the descriptors that are remembered
    assert [store.files(rowid), store.files(rowid)] == [files, files]


def test_the_history_has_every_field_of_both_machines(store: SqliteStore) -> None:
    transfer_id = created(store)
    store.commit([failed(store, transfer_id)], NOW)
    operation_id = store.operations(store.rowid(transfer_id))[0].id
    history = store.history(transfer_id)
    assert [entry.operation_id for entry in history] == [None, operation_id, operation_id, None]
    assert history[2] == HistoryRecord(
        seq=3,
        transfer_id=transfer_id,
        operation_id=operation_id,
        machine="move",
        event="fail",
        source="running",
        target="failed",
        time=time_of(NOW + 8),
        message="the door is shut",
        reason="denied",
    )
    assert history[3] == HistoryRecord(
        seq=4,
        transfer_id=transfer_id,
        operation_id=None,
        machine="transfer",
        event="fail",
        source="unknown",
        target="failed",
        time=time_of(NOW + 9),
        message="no entry",
        reason="denied",
    )


def test_an_operation_s_record_has_its_last_words_and_its_next_poll(store: SqliteStore) -> None:
    transfer_id = created(store)
    rowid = store.rowid(transfer_id)
    (operation,) = store.operations(rowid)
    expected = OperationRecord(
        id=operation.id,
        handler="mover",
        kind="move",
        endpoint="disk",
        state="pending",
        attempts=0,
        next_poll_at=time_of(NOW),
        message="",
    )
    assert operation == expected
    store.commit([failed(store, transfer_id)], NOW)
    ended = attrs.evolve(expected, state="failed", attempts=2, next_poll_at=None, message="the door is shut")
    assert store.operations(rowid) == [ended]


def test_a_message_has_the_status_just_after_the_transition(store: SqliteStore) -> None:
    transfer_id = created(store)
    store.commit([failed(store, transfer_id)], NOW)
    (first, last), seq = store.messages(0)
    assert seq == 4
    assert (first.description, first.seq) == (f"transfer {transfer_id}: created", 1)
    assert last == Message(
        description=f"transfer {transfer_id}: unknown -> failed: no entry",
        transfer_id=transfer_id,
        status=attrs.evolve(failed_status(), failed_files=()),
        time=time_of(NOW + 9),
        seq=4,
    )


def test_the_journal_s_record_outlives_the_transfer_and_lists_what_failed(store: SqliteStore) -> None:
    transfer_id = created(store)
    store.commit([failed(store, transfer_id)], NOW)
    assert store.prune(NOW + 10) == 1
    record = JournalRecord(
        id=transfer_id,
        source="genomes",
        destination="archive",
        orcid=ORCID,
        start_time=time_of(NOW),
        stop_time=time_of(NOW + 9),
        status="failed",
        reason="denied",
        payload_size=30,
        num_files=3,
        description="# ü",
        manifest={"name": "m"},
        failed_files=FAILED_FILES,
    )
    assert store.journal() == [record]
    assert store.journal(manifests=False) == [attrs.evolve(record, manifest=None)]


def test_forgetting_a_transfer_leaves_no_row_of_it_but_the_journal_s(store: SqliteStore) -> None:
    transfer_id = created(store)
    assert store.request(transfer_id, "cancel", NOW)
    kept = created(store)
    store.commit([failed(store, transfer_id)], NOW)
    store.prune(NOW + 10)
    with store._connections.reader() as db:
        counts = {
            table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("transfers", "specifications", "operations", "files", "history", "manifests", "requests")
        }
    assert counts == {
        "transfers": 1,
        "specifications": 1,
        "operations": 1,
        "files": 4,
        "history": 2,
        "manifests": 0,
        "requests": 0,
    }
    assert [record.id for record in store.transfers()] == [kept]


def test_the_progress_of_live_operations_counts_up_to_the_whole_and_that_of_ended_ones_not(store: SqliteStore) -> None:
    transfer_id = created(store, files_transferred=1, files_skipped=1, bytes_transferred=10)
    (row,) = store.load([store.rowid(transfer_id)]).values()

    def progress(files: int, skipped: int, size: int, due_at: float | None) -> tuple[int, int, int]:
        (operation,) = row.operations
        operation.files_transferred, operation.files_skipped, operation.bytes_transferred = files, skipped, size
        operation.due_at, operation.dirty = due_at, True
        store.commit([Change(transfer=row)], NOW)
        (row.operations[0],) = store.load([row.rowid])[row.rowid].operations
        status = store.status(transfer_id)
        assert store.transfer(transfer_id).status == status
        return (status.num_files_transferred, status.num_files_skipped, status.num_bytes_transferred)

    assert progress(1, 1, 5, NOW) == (2, 2, 15)
    assert progress(9, 9, 99, NOW) == (3, 3, 30)
    assert progress(9, 9, 99, None) == (1, 1, 10)


def test_every_field_of_a_row_comes_back_as_it_was_written(store: SqliteStore) -> None:
    transfer_id = created(store)
    (row,) = store.load([store.rowid(transfer_id)]).values()
    texts = {"state", "chart", "suspended_from", "wanted", "reason", "message", "handle"}
    for model in (row, row.operations[0]):
        names = [field.name for field in attrs.fields(type(model))]
        for number, name in enumerate(names[names.index("state") : names.index("bytes_transferred") + 1]):
            if name != "version":
                setattr(model, name, f"text {number}" if name in texts else number)
        model.dirty = True
    store.commit([Change(transfer=row)], NOW)
    (again,) = store.load([row.rowid]).values()
    assert (again.version, again.operations[0].version) == (1, 1)
    ignored = attrs.filters.exclude("operations", "version", "dirty", "stored", "view", "wishes", "succeeded")
    for before, after in ((row, again), (row.operations[0], again.operations[0])):
        assert attrs.asdict(before, filter=ignored) == attrs.asdict(after, filter=ignored)


def test_a_page_has_a_hundred_transfers_unless_more_are_asked_for(store: SqliteStore) -> None:
    store.create([admission("a") for _ in range(101)])
    assert (len(store.transfers()), len(store.transfers(limit=1000))) == (100, 101)


def test_a_manifest_of_a_later_delivery_takes_the_place_of_an_earlier_one(store: SqliteStore) -> None:
    transfer_id = created(store)
    (row,) = store.load([store.rowid(transfer_id)]).values()
    store.commit([Change(transfer=row, manifest='{"name": "first"}')], NOW)
    store.commit([Change(transfer=row, manifest='{"name": "second"}')], NOW)
    store.commit([attrs.evolve(failed(store, transfer_id), manifest=None)], NOW)
    assert [record.manifest for record in store.journal()] == [{"name": "second"}]


def test_a_transfer_that_is_admitted_twice_with_one_key_is_stored_once(store: SqliteStore) -> None:
    twice: list[Admission] = [admission("a", key="k"), admission("a", key="k")]
    first, second = store.create(twice)
    assert (first == second, len(store.transfers())) == (True, 1)


def test_times_are_aware_and_utc() -> None:
    assert time_of(1_800_000_000.5).isoformat() == "2027-01-15T08:00:00.500000+00:00"


def test_one_commit_writes_what_all_of_its_changes_have(store: SqliteStore) -> None:
    ids = [created(store), created(store)]
    store.commit([failed(store, transfer_id) for transfer_id in ids], NOW)
    for transfer_id in ids:
        assert store.status(transfer_id) == failed_status()
        assert [entry.event for entry in store.history(transfer_id)] == ["create", "create", "fail", "fail"]
        assert [operation.state for operation in store.operations(store.rowid(transfer_id))] == ["failed"]
        assert [file.state for file in store.files(store.rowid(transfer_id))] == [
            FileState.TRANSFERRED,
            FileState.FAILED,
            FileState.FAILED,
            FileState.INLINE,
        ]
    assert [record.id for record in store.journal()] == ids


def test_a_status_lists_the_first_of_many_failed_files_and_the_journal_has_all(store: SqliteStore) -> None:
    ids = [f"f{number:04}" for number in range(MAX_FAILED_LISTED + 600)]
    (transfer_id,) = store.create([admission(*ids)])
    rowid = store.rowid(transfer_id)
    change = end(store.load([rowid])[rowid], at=NOW, state="failed")
    change.given_up.append((None, "aborted", "the others failed"))
    store.commit([change], NOW)
    assert [file.id for file in store.status(transfer_id).failed_files] == ids[:MAX_FAILED_LISTED]
    (record,) = store.journal()
    assert [file.id for file in record.failed_files] == ids
    assert {(file.reason, file.error) for file in record.failed_files} == {("aborted", "the others failed")}
