"""The lease, where commits fail and where one file is reached by several names."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from dts_fsm.errors import StoreError
from dts_fsm.store import SqliteStore
from dts_fsm.testing.store_suite import NOW, admission


def _checkpoints(store: SqliteStore) -> bool:
    with store._connections.transaction() as db:
        return bool(db.execute("PRAGMA wal_autocheckpoint").fetchone()[0])


def test_a_lease_whose_commit_raised_and_took_effect_is_kept_with_all_that_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SqliteStore(tmp_path / "dts.db")) as store:
        connections = store._connections
        transaction = connections.transaction

        def failing() -> object:
            monkeypatch.undo()
            return _Unknown(transaction())

        monkeypatch.setattr(connections, "transaction", failing)
        with pytest.raises(StoreError):
            store.acquire_lease(NOW, 10)
        assert (store.acquire_lease(NOW + 1, 10), _checkpoints(store)) == (True, True)


class _Unknown:
    """A transaction that takes effect, and raises all the same."""

    def __init__(self, transaction: object) -> None:
        self._transaction = transaction

    def __enter__(self) -> sqlite3.Connection:
        return self._transaction.__enter__()  # type: ignore[attr-defined, no-any-return]

    def __exit__(self, *raised: object) -> None:
        self._transaction.__exit__(*raised)  # type: ignore[attr-defined]
        raise StoreError("the disk failed after the commit")


def test_a_scheduler_that_finds_another_in_its_place_leaves_the_log_to_that_one(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "dts.db")) as frozen, closing(SqliteStore(tmp_path / "dts.db")) as other:
        assert (frozen.acquire_lease(NOW, 10), other.acquire_lease(NOW + 20, 10)) == (True, True)
        assert (frozen.acquire_lease(NOW + 21, 10), _checkpoints(frozen), _checkpoints(other)) == (False, False, True)


def test_a_lease_that_could_not_be_given_back_is_not_used_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dts_fsm.store.connections._BUSY_TIMEOUT_S", 0.05)
    with closing(SqliteStore(tmp_path / "dts.db")) as store, closing(SqliteStore(tmp_path / "dts.db")) as other:
        store.acquire_lease(NOW, 10)
        with closing(sqlite3.connect(tmp_path / "dts.db", isolation_level=None)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked"):
                store.release_lease()
        assert (_checkpoints(store), other.acquire_lease(NOW + 1, 10)) == (False, True)


def test_a_store_that_two_names_lead_to_has_one_scheduler(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to("dts.db")
    with closing(SqliteStore(tmp_path / "dts.db")) as store, closing(SqliteStore(tmp_path / "link.db")) as linked:
        linked.create([admission()])
        assert (store.acquire_lease(NOW, 10), linked.acquire_lease(NOW + 1, 10)) == (True, False)
        store.commit([], NOW + 2)


def test_the_lock_file_belongs_to_its_owner_alone_and_no_link_in_its_place_is_followed(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "dts.db")) as store:
        store.acquire_lease(NOW, 10)
        assert stat.S_IMODE((tmp_path / "dts.db.lock").stat().st_mode) == 0o600
    with closing(SqliteStore(tmp_path / "other.db")) as store:
        (tmp_path / "other.db.lock").symlink_to("victim")
        with pytest.raises(StoreError, match=r"the lock file .*other\.db\.lock cannot be opened"):
            store.acquire_lease(NOW, 10)
        assert not (tmp_path / "victim").exists()
