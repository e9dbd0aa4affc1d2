"""How SQLite answers what is asked of a store: by an index, whatever its size, and without sorting all of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from dts_fsm.store import SqliteStore
from dts_fsm.store.ended import Ended
from dts_fsm.store.pruning import prune
from dts_fsm.store.statistics import read_statistics
from dts_fsm.testing.store_rows import LEASE_S, NOW, admission, end

SINCE = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "dts.db")
    assert store.acquire_lease(NOW, LEASE_S) is True
    yield store
    store.close()


@pytest.fixture
def transfer_id(store: SqliteStore) -> UUID:
    ids = store.create([admission("a", "b"), admission("c")])
    rowid = store.rowid(ids[1])
    store.commit([end(store.load([rowid])[rowid], at=NOW, state="failed")], NOW)
    return ids[0]


def _plans(db: sqlite3.Connection, read: Callable[[], object]) -> list[str]:
    """How SQLite goes about each step of each statement of the read."""
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    read()
    db.set_trace_callback(None)
    assert asked != []
    return [row[3] for text in asked for row in db.execute(f"EXPLAIN QUERY PLAN {text}").fetchall()]


def _scans_and_sorts(plans: list[str]) -> set[str]:
    return {plan for plan in plans if plan.startswith("SCAN") or "TEMP B-TREE" in plan}


Read = Callable[[SqliteStore, UUID], object]

OF_UUID, OF_KEY = "sqlite_autoindex_transfers_1 (uuid=?)", "sqlite_autoindex_transfers_2 (idempotency_key=?)"

BY_INDEX: dict[str, tuple[Read, str]] = {
    "status": (lambda store, id_: store.status(id_), OF_UUID),
    "files that failed": (lambda store, id_: store.status(id_), "files_failed (transfer=?)"),
    "transfer": (lambda store, id_: store.transfer(id_), OF_UUID),
    "transfers of a state": (lambda store, _: store.transfers(state="failed"), "transfers_state (state=?)"),
    "transfers of a user": (lambda store, _: store.transfers(user="x"), "transfers_orcid (orcid=?)"),
    "transfers of a source": (lambda store, _: store.transfers(source="y"), "transfers_source (source=?)"),
    "transfers of all three": (
        lambda store, id_: store.transfers(state="failed", user="x", source="y", after=id_),
        "transfers_orcid (orcid=? AND rowid<?)",
    ),
    "a further page of transfers": (lambda store, id_: store.transfers(after=id_), "t USING INTEGER PRIMARY KEY"),
    "files": (lambda store, id_: store.files(store.rowid(id_)), "PRIMARY KEY (transfer=? AND file_id>?)"),
    "history": (lambda store, id_: store.history(id_), "history_transfer (transfer=?)"),
    "operations": (lambda store, id_: store.operations(store.rowid(id_)), "operations_transfer (transfer=?)"),
    "what was requested": (lambda store, id_: store.requested(store.rowid(id_)), "requests_transfer (transfer=?)"),
    "the transfer of a key": (lambda store, _: store.keyed("key"), OF_KEY),
    "a range of the journal": (
        lambda store, _: store.journal(SINCE, datetime.now(UTC)),
        "journal_stop_time (stop_time>? AND stop_time<?)",
    ),
    "what failed in a range": (
        lambda store, _: store.journal(SINCE, datetime.now(UTC), status="failed"),
        "journal_unsuccessful (status=? AND stop_time>? AND stop_time<?)",
    ),
    "what failed": (lambda store, _: store.journal(status="failed", limit=3), "journal_unsuccessful (status=?)"),
    "the messages of one transfer": (
        lambda store, id_: store.messages(1, 10, id_),
        "history_transfer (transfer=? AND rowid>? AND rowid<?)",
    ),
    "a page of messages": (lambda store, _: store.messages(0, 10), "h USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    "what is due next": (lambda store, _: store.next_due_at(), "operations_due (due_at>?)"),
    "rows": (lambda store, id_: store.load([store.rowid(id_)]), "operations_transfer (transfer=?)"),
    "contradictions": (
        lambda store, _: store.contradicting(0, 10),
        "t USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    ),
}


@pytest.mark.parametrize(("read", "index"), BY_INDEX.values(), ids=BY_INDEX)
def test_what_is_asked_is_found_by_an_index(store: SqliteStore, transfer_id: UUID, read: Read, index: str) -> None:
    with store._connections.reader() as db:
        pass  # the next reader is this one
    plans = _plans(db, lambda: read(store, transfer_id))
    assert _scans_and_sorts(plans) == set()
    assert [plan for plan in plans if index in plan] != []


def test_what_is_forgotten_is_found_by_indexes(store: SqliteStore, transfer_id: UUID) -> None:
    with store._connections.transaction() as db:
        plans = _plans(db, lambda: prune(db, NOW + 10, 10))
    # the table of what is half forgotten has one row, or none
    assert (transfer_id is None, _scans_and_sorts(plans)) == (False, {"SCAN pruned"})
    assert [plan for plan in plans if "transfers_completed (completed_at<?)" in plan] != []


IN_ORDER: dict[str, tuple[Read, set[str]]] = {
    "the first page of transfers": (lambda store, _: store.transfers(), {"SCAN t"}),
    "the first page of the journal": (
        lambda store, _: store.journal(limit=10),
        {"SCAN journal USING INDEX journal_stop_time"},
    ),
}


@pytest.mark.parametrize(("read", "scans"), IN_ORDER.values(), ids=IN_ORDER)
def test_pages_are_read_in_the_order_of_an_index_and_end_at_their_limit(
    store: SqliteStore, transfer_id: UUID, read: Read, scans: set[str]
) -> None:
    with store._connections.reader() as db:
        pass
    assert _scans_and_sorts(_plans(db, lambda: read(store, transfer_id))) == scans


def test_the_journal_is_counted_in_pages_by_its_index(store: SqliteStore, transfer_id: UUID) -> None:
    with store._connections.reader() as db:
        plans = _plans(db, lambda: Ended(NOW - 1, NOW).read(db))
    assert _scans_and_sorts(plans) == set()
    assert (transfer_id is None, read_statistics(store.path, now=NOW).num_failed) == (False, 1)


def test_the_messages_of_one_transfer_are_not_looked_for_among_those_of_all_others(
    store: SqliteStore, transfer_id: UUID
) -> None:
    for _ in range(20):
        store.create([admission("d")])
    (first,), looked_up_to = store.messages(0, 1000, transfer_id)
    assert (first.transfer_id, looked_up_to) == (transfer_id, store.last_seq())
    assert store.messages(first.seq, 1, transfer_id) == ([], store.last_seq())


def test_the_messages_of_one_transfer_come_in_pages(store: SqliteStore) -> None:
    (id_,) = store.create([admission("a")])
    rowid = store.rowid(id_)
    store.commit([end(store.load([rowid])[rowid], at=NOW)], NOW)
    pages, after = [], 0
    while (page := store.messages(after, 1, id_))[1] > after:
        after = page[1]
        pages.append([message.status.code.value for message in page[0]])
    assert [page for page in pages if page] == [["unknown"], ["succeeded"]]
