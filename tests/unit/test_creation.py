"""Transfers that several threads create at once: one commit for all, and each caller's own errors."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from dts_fsm.errors import IdempotencyConflictError, StoreError
from dts_fsm.store import Admission, SqliteStore, creation
from dts_fsm.testing.store_rows import admission

CALLERS = 8


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "dts.db")
    yield store
    store.close()


def _together(store: SqliteStore, brought: list[list[Admission]]) -> list[Future[list[UUID]]]:
    """All callers have brought their transfers before one of them may store anything."""
    with ThreadPoolExecutor(len(brought)) as threads:
        with store._creation._turn:
            calls = [threads.submit(store.create, admissions) for admissions in brought]
            deadline = time.monotonic() + 10.0
            while len(store._creation._brought) < len(brought):
                assert time.monotonic() < deadline
                threading.Event().wait(0.001)
        return calls


def _commits(store: SqliteStore, work: Callable[[], object]) -> int:
    """How many transactions took effect while the work was done, as another connection sees it."""
    statements: list[str] = []
    writer = store._connections._writer
    assert writer is not None
    writer.set_trace_callback(statements.append)
    work()
    writer.set_trace_callback(None)
    return statements.count("COMMIT")


def test_callers_who_wait_together_share_a_commit(store: SqliteStore) -> None:
    brought = [[admission(key=f"{caller}-{n}") for n in range(2)] for caller in range(CALLERS)]
    calls: list[Future[list[UUID]]] = []
    assert _commits(store, lambda: calls.extend(_together(store, brought))) == 1
    assert [call.result() for call in calls] == [[one.change.transfer.id for one in own] for own in brought]
    rowids = {store.rowid(id_) for call in calls for id_ in call.result()}
    assert len(rowids) == 2 * CALLERS
    assert {row.operations[0].state for row in store.load(rowids).values()} == {"pending"}


def test_a_caller_whose_transfers_are_refused_stores_none_of_them_and_keeps_nobody_back(store: SqliteStore) -> None:
    known = admission("a", key="known")
    store.create([known])
    fresh = [admission("b") for _ in range(CALLERS)]
    brought = [[one] for one in fresh]
    brought[3] = [fresh[3], admission("other", key="known")]
    calls = _together(store, brought)
    assert isinstance(calls[3].exception(), IdempotencyConflictError)
    stored = [one.change.transfer.id for number, one in enumerate(fresh) if number != 3]
    assert [call.result() for number, call in enumerate(calls) if number != 3] == [[id_] for id_ in stored]
    with pytest.raises(Exception, match=str(fresh[3].change.transfer.id)):
        store.rowid(fresh[3].change.transfer.id)


def test_one_key_from_all_callers_makes_one_transfer(store: SqliteStore) -> None:
    calls = _together(store, [[admission("a", key="one")] for _ in range(CALLERS)])
    assert len({id_ for call in calls for id_ in call.result()}) == 1


def test_one_key_twice_in_one_call_makes_one_transfer(store: SqliteStore) -> None:
    first, second = store.create([admission("a", key="one"), admission("a", key="one")])
    assert first == second
    with pytest.raises(IdempotencyConflictError):
        store.create([admission("a", key="two"), admission("b", key="two")])


def test_a_commit_that_fails_fails_for_all_who_share_it_and_the_next_one_is_made(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(creation, "write", full)
        calls = _together(store, [[admission("a")] for _ in range(CALLERS)])
    assert {type(call.exception()) for call in calls} == {StoreError}
    assert {"full" in str(call.exception()) for call in calls} == {True}
    assert len(store.create([admission("a")])) == 1
    assert not store._creation._brought
