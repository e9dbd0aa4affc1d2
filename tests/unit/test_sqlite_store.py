"""The store's file: what it refuses to open, what it survives, and that readers and pruning stay out of the way."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import sqlite_utils

from dts_fsm.errors import StoreDamagedError, StoreError, StoreForeignError, StoreLeaseLostError
from dts_fsm.store import Change, SqliteStore
from dts_fsm.store.connections import translated
from dts_fsm.store.schema import APPLICATION_ID, migrations, statements
from dts_fsm.testing.store_rows import NOW, admission


def test_the_file_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "dts.db").close()
    assert stat.S_IMODE((tmp_path / "dts.db").stat().st_mode) == 0o600


def test_a_new_file_is_strict_waits_for_the_disk_and_says_whose_it_is(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "dts.db")
    with store._connections.transaction() as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        tables = db.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND sql LIKE '%uuid%'").fetchall()
        assert all("STRICT" in sql for (sql,) in tables)
    store.close()


def test_synchronous_normal_is_a_setting(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "dts.db", synchronous="normal")
    with store._connections.transaction() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (1,)
    store.close()


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "dts.db"
    path.write_text("my thesis")
    with pytest.raises(StoreDamagedError, match=r"dts\.db is not an SQLite database"):
        SqliteStore(path)
    assert path.read_text() == "my thesis"


def test_another_program_s_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "dts.db"
    sqlite_utils.Database(path)["thesis"].insert({"chapter": 1})
    before = path.read_bytes()
    with pytest.raises(StoreForeignError, match="another program"):
        SqliteStore(path)
    assert path.read_bytes()[100:] == before[100:]
    assert [t.name for t in sqlite_utils.Database(path).tables] == ["thesis"]


def test_a_store_of_the_first_version_is_brought_to_the_present_one(tmp_path: Path) -> None:
    path = tmp_path / "dts.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL").fetchall()
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    migrations.apply(sqlite_utils.Database(connection), stop_before="reasons_of_failed_files")
    connection.close()
    store = SqliteStore(path)
    (transfer_id,) = store.create([admission()])
    assert store.status(transfer_id).failed_files == ()
    assert store.files(store.rowid(transfer_id))[0].reason is None
    store.close()


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dts.db"
    SqliteStore(path).close()
    database = sqlite_utils.Database(path)
    database["_sqlite_migrations"].insert({"migration_set": "dts_fsm", "name": "of_tomorrow", "applied_at": "2030"})
    database.close()
    with pytest.raises(StoreForeignError, match="of_tomorrow"):
        SqliteStore(path)


def test_a_damaged_store_is_refused_or_says_so_when_the_damage_is_met(tmp_path: Path) -> None:
    path = tmp_path / "dts.db"
    store = SqliteStore(path)
    store.create([admission(f"f{number}") for number in range(200)])
    store.close()
    content = bytearray(path.read_bytes())
    content[4096 * 2 : -4096] = os.urandom(len(content) - 4096 * 3)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        store = SqliteStore(path)
        store.transfers(limit=200)


def test_a_store_that_does_not_exist_is_not_made_where_that_is_not_wanted(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        SqliteStore(tmp_path / "dts.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_place_of_the_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteStore(tmp_path)


def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteStore(tmp_path / "nowhere" / "dts.db")


def _open(path: str) -> int:
    store = SqliteStore(path)
    created = store.create([admission()])
    store.close()
    return len(created)


def test_several_processes_open_a_new_store_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "dts.db")
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_open, [path] * 8)) == [1] * 8
    store = SqliteStore(path)
    assert len(store.transfers()) == 8
    store.close()


def test_only_the_scheduler_s_process_checkpoints(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "dts.db")

    def pages() -> int:
        with store._connections.transaction() as db:
            return int(db.execute("PRAGMA wal_autocheckpoint").fetchone()[0])

    assert pages() == 0
    store.acquire_lease(NOW, 10)
    assert pages() == 1000
    store.release_lease()
    assert pages() == 0
    store.close()


def test_a_scheduler_that_was_frozen_does_not_take_the_lease_back(tmp_path: Path) -> None:
    frozen, other = SqliteStore(tmp_path / "dts.db"), SqliteStore(tmp_path / "dts.db")
    assert frozen.acquire_lease(NOW, 10)
    assert other.acquire_lease(NOW + 20, 10)
    with pytest.raises(StoreLeaseLostError):
        frozen.commit([], NOW + 21)
    assert not frozen.acquire_lease(NOW + 22, 10)
    other.commit([], NOW + 23)
    frozen.close()
    other.close()


def test_a_scheduler_that_died_is_replaced_at_once(tmp_path: Path) -> None:
    dead, other = SqliteStore(tmp_path / "dts.db"), SqliteStore(tmp_path / "dts.db")
    assert dead.acquire_lease(NOW, 10)
    os.close(dead._lease._lock_file or -1)  # as the kernel does when a process dies
    dead._lease._lock_file = None
    assert other.acquire_lease(NOW + 1, 10)
    dead.close()
    other.close()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_path_that_is_no_regular_file_is_refused_without_opening_it(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "dts.db")
    with pytest.raises(StoreError, match="not a regular file"):
        SqliteStore(tmp_path / "dts.db")


def test_a_commit_that_failed_is_read_again_and_the_next_one_works(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "dts.db")
    store.acquire_lease(NOW, 10)
    (transfer_id,) = store.create([admission()])
    rowid = store.rowid(transfer_id)
    row = store.load([rowid])[rowid]
    row.state, row.dirty = None, True  # type: ignore[assignment]
    with pytest.raises(StoreError, match="NOT NULL"):
        store.commit([Change(transfer=row)], NOW)
    again = store.load([rowid])[rowid]
    again.state, again.dirty = "active", True
    store.commit([Change(transfer=again)], NOW)
    assert store.status(transfer_id).code == "active"
    store.close()


def test_an_error_inside_a_transaction_writes_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "dts.db")
    with pytest.raises(ZeroDivisionError), store._connections.transaction() as db:
        db.execute("UPDATE lease SET owner = 'x'")
        raise ZeroDivisionError
    with store._connections.reader() as db:
        assert db.execute("SELECT owner FROM lease").fetchone() == ("",)
    store.close()


def test_a_reader_that_failed_is_not_used_again(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "dts.db")
    with pytest.raises(StoreError), store._connections.reader() as db:
        db.execute("SELECT nonsense")
    with pytest.raises(KeyError), store._connections.reader():
        raise KeyError
    assert store.last_seq() == 0
    store.close()


def test_readers_cannot_write(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "dts.db")
    with pytest.raises(StoreError, match="readonly|query_only|cannot be written"), store._connections.reader() as db:
        db.execute("UPDATE lease SET owner = 'x'")
    store.close()


def test_commits_without_the_lease_are_refused(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "dts.db")
    with pytest.raises(StoreLeaseLostError):
        store.commit([], NOW)
    store.close()


def test_a_locked_store_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dts_fsm.store.connections._BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "dts.db"
    store = SqliteStore(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.create([admission()])
    other.execute("ROLLBACK")
    assert len(store.create([admission()])) == 1
    other.close()
    store.close()


def test_a_damaged_manifest_in_the_journal_is_a_clear_error(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "dts.db")
    with store._connections.transaction() as db:
        db.execute(
            "INSERT INTO journal VALUES (1, ?, 's', 'd', 'o', 1.0, 2.0, 'succeeded', NULL, 1, 1, '', x'00', NULL)",
            ("00000000-0000-0000-0000-000000000001",),
        )
    with pytest.raises(StoreDamagedError, match="manifest"):
        store.journal()
    store.close()


def test_a_script_is_cut_into_statements() -> None:
    assert statements("CREATE TABLE a (b);\n-- why\nCREATE TABLE c (\n d);\n") == [
        "CREATE TABLE a (b);",
        "-- why\nCREATE TABLE c (\n d);",
    ]


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        (
            "database disk image is malformed",
            StoreDamagedError,
            "the store dts.db is damaged (database disk image is malformed); it was left as it is: restore a backup, "
            "or run `dts-fsm store check` to see what is wrong",
        ),
        (
            "file is not a database",
            StoreDamagedError,
            "dts.db is not an SQLite database and was left as it is: give another file or data_dir",
        ),
        (
            "database is locked",
            StoreError,
            "the store dts.db is locked by another program for more than 30 s: database is locked",
        ),
        (
            "the database is busy",
            StoreError,
            "the store dts.db is locked by another program for more than 30 s: the database is busy",
        ),
        (
            "attempt to write a readonly database",
            StoreError,
            "the store dts.db cannot be written: attempt to write a readonly database; "
            "check the permissions of file and folder",
        ),
        (
            "unable to open database file",
            StoreError,
            "the store dts.db cannot be opened: unable to open database file; check the permissions of file and folder",
        ),
        (
            "database or disk is full",
            StoreError,
            "the store dts.db cannot be written: database or disk is full; make room",
        ),
        ("disk I/O error", StoreError, "the store dts.db failed: disk I/O error"),
    ],
)
def test_what_sqlite_says_becomes_an_error_that_says_what_to_do(said: str, kind: type, told: str) -> None:
    error = translated(sqlite3.OperationalError(said), "dts.db")
    assert (type(error), str(error)) == (kind, told)


def test_an_empty_store_contradicts_nothing_and_waits_for_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "dts.db")
    assert (store.contradicting(0, 10), store.next_due_at(), store.load([])) == (([], 0), None, {})
    assert (store.charts(), store.prune(NOW), store.messages(7), store.last_seq()) == ([], 0, ([], 7), 0)
    store.close()


def test_a_store_of_the_present_version_is_opened_while_another_program_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dts_fsm.store.connections._BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "dts.db"
    store = SqliteStore(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    SqliteStore(path).close()
    other.close()
    store.close()


def test_a_new_store_that_another_program_keeps_locked_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dts_fsm.store.connections._BUSY_TIMEOUT_S", 0.05)
    other = sqlite3.connect(tmp_path / "dts.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="is locked by another program"):
        SqliteStore(tmp_path / "dts.db")
    other.close()


def test_a_file_that_is_refused_is_named(tmp_path: Path) -> None:
    path = tmp_path / "dts.db"
    database = sqlite_utils.Database(path)
    database["thesis"].insert({"chapter": 1})
    database.close()
    with pytest.raises(StoreForeignError) as refused:
        SqliteStore(path)
    assert str(refused.value).startswith(f"{path} is a database of another program")
