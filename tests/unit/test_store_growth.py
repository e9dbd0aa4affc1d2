"""What keeps a store small and its scheduler quick: forgetting in pieces, and a log that does not grow for ever."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest

from dts_fsm.errors import TransferNotFoundError
from dts_fsm.store import SqliteStore, connections, pruning
from dts_fsm.store.maintenance import check
from dts_fsm.testing.store_rows import LEASE_S, NOW, admission, end

TABLES = ("transfers", "specifications", "files", "operations", "history", "requests", "manifests", "pruned")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "dts.db")
    assert store.acquire_lease(NOW, LEASE_S) is True
    yield store
    store.close()


def _ended(store: SqliteStore, num_files: int, at: float = NOW) -> UUID:
    (transfer_id,) = store.create([admission(*(f"file {number:03}" for number in range(num_files)))])
    rowid = store.rowid(transfer_id)
    store.commit([end(store.load([rowid])[rowid], at=at, state="failed")], NOW)
    return transfer_id


def _counts(store: SqliteStore) -> dict[str, int]:
    with store._connections.reader() as db:
        return {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}


# Forgetting


def test_a_large_transfer_is_forgotten_at_once_and_its_rows_go_in_pieces(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_MOST_ROWS", 10)
    large, small = _ended(store, 30), _ended(store, 1, at=NOW + 1)
    left = [_counts(store)]
    while store.prune(NOW + 10):
        left.append(_counts(store))
        with pytest.raises(TransferNotFoundError):
            store.status(large)
        with pytest.raises(TransferNotFoundError):
            store.files(store.rowid(large))
        assert check(store.path) == []
    deleted = [sum(before.values()) - sum(after.values()) for before, after in pairwise(left)]
    assert max(deleted) <= 10 + 2 * len(pruning._AT_ONCE)
    assert len(deleted) >= 4
    assert left[-1] == dict.fromkeys(TABLES, 0)
    assert {record.id for record in store.journal()} == {large, small}


def test_what_is_left_of_a_forgotten_transfer_is_not_loaded(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_MOST_ROWS", 10)
    rowid = store.rowid(_ended(store, 30))
    store.prune(NOW + 10)
    assert (_counts(store)["operations"], store.load([rowid])) == (1, {})


def test_a_call_ends_when_its_time_is_over(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "_TIME_S", 0.0)
    monkeypatch.setattr(pruning, "_PIECE", 4)
    _ended(store, 30)
    files = [_counts(store)["files"]]
    while store.prune(NOW + 10):
        files.append(_counts(store)["files"])
    assert (files[0], files[-1], max(before - after for before, after in pairwise(files)) <= 4) == (31, 0, True)


def test_what_is_left_is_deleted_before_more_is_forgotten(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "_MOST_ROWS", 10)
    _ended(store, 30)
    store.prune(NOW + 10)
    kept = _ended(store, 1, at=NOW + 1)
    store.prune(NOW + 10)
    assert store.status(kept).final is True
    while store.prune(NOW + 10):
        pass
    with pytest.raises(TransferNotFoundError):
        store.status(kept)


def test_rows_that_belong_to_nothing_are_found_beside_those_that_are_being_deleted(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_MOST_ROWS", 10)
    _ended(store, 30)
    store.prune(NOW + 10)
    with store._connections.transaction() as db:
        db.execute(
            "INSERT INTO files (transfer, file_id, endpoint, state, descriptor) "
            "VALUES (77, 'stray', '', 'inline', '{}')"
        )
    assert check(store.path) == ["row stray of files refers to a row of transfers that does not exist"]


def test_a_store_without_the_table_of_what_is_being_forgotten_gets_it(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "dts.db").close()
    with closing(sqlite3.connect(tmp_path / "dts.db")) as db:
        db.execute("DROP TABLE pruned")
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'transfers_that_are_being_forgotten'")
        db.commit()
    assert check(tmp_path / "dts.db") == []
    with closing(SqliteStore(tmp_path / "dts.db")) as store:
        assert _counts(store)["pruned"] == 0


def test_a_store_without_the_index_of_what_failed_gets_it(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "dts.db")) as store:
        assert store.acquire_lease(NOW, LEASE_S) is True
        _ended(store, 1)
    with closing(sqlite3.connect(tmp_path / "dts.db")) as db:
        db.execute("DROP INDEX journal_unsuccessful")
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'index_of_what_did_not_succeed'")
        db.commit()
    with closing(SqliteStore(tmp_path / "dts.db")) as store, store._connections.reader() as db:
        there = "SELECT count(*) FROM journal INDEXED BY journal_unsuccessful WHERE status <> 'succeeded'"
        assert db.execute(there).fetchall() == [(1,)]


# The log


@pytest.fixture
def short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_LOG_BYTES", 100_000)
    monkeypatch.setattr(connections, "_LOG_LOOK_S", 0.0)


def _log_bytes(store: SqliteStore) -> int:
    return os.stat(f"{store.path}-wal").st_size


@pytest.mark.usefixtures("short_log")
def test_a_log_that_a_reader_holds_back_is_reported_once_and_shortened_when_the_reader_ends(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(store.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM transfers").fetchall()
        with caplog.at_level(logging.WARNING, "dts_fsm.store.connections"):
            for _ in range(5):
                store.create([admission() for _ in range(100)])
        held_back = _log_bytes(store)
        reader.execute("COMMIT")
    store.create([admission()])
    assert held_back > 100_000
    assert [record.message.partition(":")[0] for record in caplog.records] == ["the write-ahead log grows"]
    assert _log_bytes(store) == 0


@pytest.mark.usefixtures("short_log")
def test_a_log_that_nobody_holds_back_stays_short(store: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        store.create([admission() for _ in range(100)])
    assert _log_bytes(store) == 0
    assert caplog.records == []


@pytest.mark.usefixtures("short_log")
def test_who_does_not_schedule_leaves_the_log_to_who_does(store: SqliteStore) -> None:
    with closing(SqliteStore(store.path)) as other:
        other.create([admission() for _ in range(100)])
        assert _log_bytes(other) > 100_000
