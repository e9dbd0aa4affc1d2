"""Copies and checks of a store, and what is done about its size."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dts_fsm.errors import StoreDamagedError, StoreError, StoreForeignError
from dts_fsm.store import SqliteStore
from dts_fsm.store.maintenance import backup, check, is_scheduled, vacuum
from dts_fsm.testing import Rig


@pytest.fixture
def store(rig: Rig) -> Path:
    """The file of a store with a transfer that succeeded and one that is active; nobody schedules it."""
    rig.run(rig.create("a", "b"))
    rig.source_endpoint.duration_s = 1000.0
    rig.create("c")
    rig.tick(2)
    rig.store.release_lease()
    return rig.store.path


def damaged(store: Path) -> None:
    """Overwrite two pages of the file; they are there once the log beside it has been moved in."""
    with closing(sqlite3.connect(store)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    with store.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)


def altered(store: Path, statement: str) -> None:
    with closing(sqlite3.connect(store)) as db:
        db.execute(statement)
        db.commit()


class TestBackup:
    def test_a_copy_has_everything_and_is_its_owners(self, store: Path, tmp_path: Path) -> None:
        target = tmp_path / "copy.db"
        backup(store, target)
        with closing(SqliteStore(store)) as original, closing(SqliteStore(target, create=False)) as copy:
            assert copy.transfers() == original.transfers()
            assert copy.journal() == original.journal()
        assert oct(target.stat().st_mode & 0o777) == "0o600"
        assert check(target) == []

    def test_nothing_but_the_copy_is_left(self, store: Path, tmp_path: Path) -> None:
        (tmp_path / "backups").mkdir()
        backup(store, tmp_path / "backups" / "copy.db")
        assert [file.name for file in (tmp_path / "backups").iterdir()] == ["copy.db"]

    def test_nothing_is_overwritten(self, store: Path, tmp_path: Path) -> None:
        target = tmp_path / "copy.db"
        target.write_text("precious")
        with pytest.raises(StoreError, match="overwrites nothing"):
            backup(store, target)
        assert target.read_text() == "precious"
        assert not list(tmp_path.glob(".copy*"))

    def test_a_link_that_leads_nowhere_is_not_overwritten(self, store: Path, tmp_path: Path) -> None:
        (tmp_path / "copy.db").symlink_to("nowhere")
        with pytest.raises(StoreError, match="overwrites nothing"):
            backup(store, tmp_path / "copy.db")

    def test_a_missing_store_or_folder_is_an_error(self, store: Path, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="there is no store"):
            backup(tmp_path / "none.db", tmp_path / "copy.db")
        with pytest.raises(StoreError, match="cannot be written"):
            backup(store, tmp_path / "none" / "copy.db")
        assert not list(tmp_path.glob("*copy*"))

    def test_a_damaged_store_gives_no_copy(self, store: Path, tmp_path: Path) -> None:
        damaged(store)
        with pytest.raises(StoreDamagedError):
            backup(store, tmp_path / "copy.db")
        assert not list(tmp_path.glob("*copy*"))


class TestCheck:
    def test_a_good_store_has_no_findings(self, store: Path) -> None:
        assert check(store) == []

    @pytest.mark.parametrize(
        ("statement", "finding"),
        [
            (
                "UPDATE transfers SET completed_at = NULL, due_at = 1.0 WHERE state = 'succeeded'",
                "no time of completion",
            ),
            (
                "UPDATE transfers SET completed_at = 1.0 WHERE state = 'active'",
                "has a time of completion and is active",
            ),
            ("UPDATE transfers SET due_at = 1.0 WHERE state = 'succeeded'", "is still to be looked at"),
            ("UPDATE operations SET due_at = 1.0 WHERE kind = 'manifest'", "has not"),
            ("DELETE FROM journal", "is not in the journal"),
            ("UPDATE journal SET uuid = (SELECT uuid FROM transfers WHERE state = 'active')", "in the journal as"),
            ("DELETE FROM specifications", "has no specification"),
            ("DELETE FROM files WHERE file_id = 'b'", "says that it has 2 files, and has 1"),
            ("UPDATE files SET state = 'pending' WHERE file_id = 'a'", "succeeded, and 1 of its files did not arrive"),
            ("UPDATE history SET target = 'failed' WHERE target = 'succeeded'", "the last entry of its history says"),
            ("UPDATE journal SET manifest = x'00'", "cannot be read"),
            ("UPDATE journal SET manifest = substr(manifest, 1, 20)", "cannot be read: it ends too early"),
            ("UPDATE journal SET manifest = x''", "cannot be read: it ends too early"),
            ("INSERT INTO requests (transfer, kind, at) VALUES (99, 'cancel', 1.0)", "that does not exist"),
        ],
    )
    def test_a_contradiction_is_found(self, store: Path, statement: str, finding: str) -> None:
        altered(store, statement)
        assert [sentence for sentence in check(store) if finding in sentence] != []

    def test_a_transfer_that_nothing_would_wake_is_found(self, store: Path) -> None:
        altered(store, "UPDATE transfers SET due_at = NULL WHERE state = 'active'")
        altered(store, "UPDATE operations SET due_at = NULL")
        assert "nothing would ever wake it" in " ".join(check(store))

    def test_damage_is_a_finding_that_does_not_advise_what_has_just_been_done(self, store: Path) -> None:
        damaged(store)
        findings = check(store)
        assert (findings != [], "store check" in " ".join(findings)) == (True, False)

    def test_a_file_of_no_database_does_not_advise_what_has_just_been_done(self, tmp_path: Path) -> None:
        (tmp_path / "text.db").write_text("not a database, but long enough to be taken for one " * 9)
        (finding,) = check(tmp_path / "text.db")
        assert ("restore a backup" in finding, "store check" in finding) == (True, False)

    def test_an_empty_file_is_a_finding(self, tmp_path: Path) -> None:
        (tmp_path / "dts.db").write_bytes(b"")
        assert check(tmp_path / "dts.db") == [
            "the file is empty: it has nothing of a store; restore a backup, or remove it if it was never used"
        ]

    def test_what_is_no_regular_file_is_refused_without_waiting(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "dts.db")
        for look in (check, vacuum, lambda store: backup(store, tmp_path / "copy.db")):
            with pytest.raises(StoreError, match="is not a regular file"):
                look(tmp_path / "dts.db")

    def test_what_is_no_store_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        other = tmp_path / "other.db"
        altered(other, "CREATE TABLE mine (x)")
        before = other.read_bytes()
        with pytest.raises(StoreForeignError):
            check(other)
        (tmp_path / "text.db").write_text("not a database, but long enough to be taken for one " * 9)
        assert "is damaged" in check(tmp_path / "text.db")[0]
        with pytest.raises(StoreError, match="there is no store"):
            check(tmp_path / "none.db")
        assert other.read_bytes() == before


class TestVacuum:
    def test_the_space_of_forgotten_transfers_is_given_back(self, store: Path) -> None:
        altered(store, "CREATE TABLE ballast AS SELECT randomblob(2000000) AS x")
        altered(store, "DROP TABLE ballast")
        before_bytes, after_bytes = vacuum(store)
        assert before_bytes - after_bytes > 1_900_000
        assert check(store) == []

    def test_it_is_refused_while_a_service_runs(self, rig: Rig) -> None:
        rig.tick()
        with pytest.raises(StoreError, match="stop it first"):
            vacuum(rig.store.path)

    def test_it_is_refused_while_the_lock_is_held_or_the_lease_runs(self, rig: Rig) -> None:
        rig.tick()
        altered(rig.store.path, "UPDATE lease SET expires_at = 0.0")
        with pytest.raises(StoreError, match="stop it first"):
            vacuum(rig.store.path)
        rig.store.release_lease()
        altered(rig.store.path, "UPDATE lease SET owner = 'elsewhere', expires_at = 1e12")
        with pytest.raises(StoreError, match="stop it first"):
            vacuum(rig.store.path)

    def test_a_store_that_does_not_exist_is_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="there is no store"):
            vacuum(tmp_path / "none.db")
        assert list(tmp_path.iterdir()) == []


class TestIsScheduled:
    def test_a_named_pipe_in_the_lock_files_place_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "dts.db.lock")
        assert is_scheduled(tmp_path / "dts.db") is False

    def test_it_is_true_while_a_process_is_the_scheduler(self, rig: Rig, tmp_path: Path) -> None:
        answers = [is_scheduled(tmp_path / "none.db"), is_scheduled(rig.store.path)]
        rig.tick()
        answers.append(is_scheduled(rig.store.path))
        rig.store.release_lease()
        answers.append(is_scheduled(rig.store.path))
        assert answers == [False, False, True, False]
