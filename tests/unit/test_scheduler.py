"""The scheduler's thread: leading, standing by, stopping, and going on after every fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dts_fsm.errors import PermanentError, StoreChartError, StoreError, StoreLeaseLostError
from dts_fsm.records import OperationRequest, Transfer
from dts_fsm.store import Change, SqliteStore
from dts_fsm.testing import Rig


def eventually(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.005)
    return True


@pytest.fixture
def running(rig: Rig) -> Iterator[Rig]:
    rig.scheduler.start()
    yield rig
    assert rig.scheduler.stop(10.0)


def ended(rig: Rig, transfer_id: Any) -> Callable[[], bool]:
    def look() -> bool:
        rig.clock.advance(0.1)
        rig.scheduler.wake()
        return rig.store.status(transfer_id).final

    return look


def test_the_thread_advances_transfers(running: Rig) -> None:
    transfer_id = running.create("a")
    assert eventually(ended(running, transfer_id))
    assert running.scheduler.leading
    assert running.published > 0


def test_a_second_scheduler_stands_by_and_takes_over(running: Rig, tmp_path: Path) -> None:
    assert eventually(lambda: running.scheduler.leading)
    other = Rig(tmp_path)
    other.clock = running.clock
    other.scheduler._clock = running.clock  # one time for both
    other.scheduler.start()
    assert running.scheduler.leading
    assert not other.scheduler.leading
    assert running.scheduler.stop(10.0)
    running.store.release_lease()
    assert eventually(lambda: other.scheduler.leading)
    assert other.scheduler.stop(10.0)
    other.close()


def test_a_scheduler_whose_lease_was_taken_writes_nothing_and_stands_by(rig: Rig, tmp_path: Path) -> None:
    transfer_id = rig.create("a")
    assert rig.scheduler.lead()
    other = SqliteStore(tmp_path / "dts.db")
    assert other.acquire_lease(rig.clock.time() + 1000, 10.0)
    with pytest.raises(StoreLeaseLostError):
        for _ in range(3):
            rig.scheduler.tick()
    assert rig.store.status(transfer_id).code == "unknown"
    other.close()


def test_the_thread_goes_on_after_the_store_failed(running: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, failures = running.store.commit, []

    def failing(*arguments: Any) -> None:
        if len(failures) < 3:
            failures.append(1)
            raise StoreError("the disk is on fire")
        commit(*arguments)

    monkeypatch.setattr(running.store, "commit", failing)
    transfer_id = running.create("a")
    assert eventually(ended(running, transfer_id))
    assert len(failures) == 3


def test_a_lost_lease_in_the_thread_makes_it_stand_by_and_try_again(
    running: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, failures = running.store.commit, []

    def losing(*arguments: Any) -> None:
        if not failures:
            failures.append(1)
            raise StoreLeaseLostError("another is the scheduler")
        commit(*arguments)

    monkeypatch.setattr(running.store, "commit", losing)
    assert eventually(ended(running, running.create("a")))


def test_answers_that_a_failed_commit_lost_are_asked_for_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    transfer_id = rig.create("a")
    rig.tick()
    with monkeypatch.context() as patch:
        patch.setattr(rig.store, "commit", lambda *_: (_ for _ in ()).throw(StoreError("full")))
        with pytest.raises(StoreError):
            rig.tick()
    assert rig.run(transfer_id).code == "succeeded"
    assert rig.store.status(transfer_id).num_files_transferred == 1


def test_a_handler_whose_begin_raises_delays_its_own_transfer_only(rig: Rig) -> None:
    class Choosy:
        def __init__(self, inner: Any) -> None:
            self.inner, self.faulty = inner, True

        def begin(self, transfer: Transfer) -> Sequence[OperationRequest]:
            if self.faulty and "b" in transfer.specification.file_ids:
                raise ZeroDivisionError("not this one")
            return self.inner.begin(transfer)  # type: ignore[no-any-return]

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    choosy = Choosy(rig.handlers["mover"])
    rig.handlers["mover"] = choosy  # type: ignore[assignment]
    rig.reopen()
    bad, good = rig.create("b"), rig.create("a")
    assert rig.run(good).code == "succeeded"
    status = rig.store.status(bad)
    assert (status.code, status.message) == ("unknown", "ZeroDivisionError: not this one")
    choosy.faulty = False
    assert rig.run(bad).code == "succeeded"


def test_a_text_that_is_not_unicode_is_mended_and_harms_nobody(rig: Rig) -> None:
    rig.source_endpoint.faults.add("transfer", PermanentError("cannot read \udce9t\udce9"))
    bad, good = rig.create("a"), rig.create("b")
    assert rig.run(good).code == "succeeded"
    assert rig.run(bad).message == "move at source: cannot read ?t?"


@pytest.mark.parametrize(
    "wish",
    [
        {"handler": "mover", "kind": "move", "endpoint": None},
        {"handler": "teleporter", "kind": "move", "endpoint": "source"},
        {"handler": "mover", "kind": "\ud800", "endpoint": "source"},
    ],
)
def test_a_wish_that_cannot_be_carried_out_delays_its_own_transfer_only(rig: Rig, wish: dict[str, Any]) -> None:
    begin = rig.handlers["mover"].begin

    def asking(transfer: Transfer) -> Sequence[OperationRequest]:
        return [OperationRequest(**wish)] if "b" in transfer.specification.file_ids else begin(transfer)

    rig.handlers["mover"].begin = asking  # type: ignore[method-assign]
    bad, good = rig.create("b"), rig.create("a")
    assert rig.run(good).code == "succeeded"
    assert rig.store.status(bad).code == "unknown"
    assert "Error" in rig.store.status(bad).message


@pytest.mark.parametrize("fault", [PermanentError("never"), KeyError("oops"), SystemExit()])
def test_one_operation_that_cannot_be_polled_does_not_harm_those_polled_with_it(
    rig: Rig, fault: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.source_endpoint.duration_s = 5.0
    bad, good = rig.create("b"), rig.create("a")
    rig.tick(4)
    statuses = rig.source_endpoint.statuses
    poisoned = rig.source_endpoint.submissions[0]

    def asked(ids: Sequence[UUID]) -> Any:
        if poisoned in ids:
            raise fault
        return statuses(ids)

    monkeypatch.setattr(rig.source_endpoint, "statuses", asked)
    rig.clock.advance(6.0)
    assert rig.run(good).code == "succeeded"
    assert rig.store.status(bad).code in ("active", "failed")


def test_a_change_that_cannot_be_stored_keeps_back_no_other(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = rig.create("b"), rig.create("a")
    commit = rig.store.commit

    def failing(changes: Sequence[Change], now: float) -> None:
        if any(change.transfer.uuid == str(bad) and change.history for change in changes):
            raise OverflowError("too large for SQLite")
        commit(changes, now)

    monkeypatch.setattr(rig.store, "commit", failing)
    with pytest.raises(OverflowError):
        rig.tick(5)
    assert rig.run(good).code == "succeeded"
    # nothing was asked of the provider that was not written before
    assert len(rig.source_endpoint.submissions) == 2
    assert rig.store.status(bad).message == "OverflowError: too large for SQLite"
    monkeypatch.undo()
    assert rig.run(bad).code == "succeeded"


def test_a_clock_that_is_set_back_does_not_stop_the_polls(rig: Rig) -> None:
    rig.source_endpoint.duration_s = 5.0
    transfer_id = rig.create("a")
    rig.tick(4)
    rig.clock._now -= 86_400
    rig.source_endpoint.duration_s = 0.0
    rig.tick(1)
    next_poll_at = rig.store.operations(rig.store.rowid(transfer_id))[-1].next_poll_at
    assert next_poll_at is not None
    longest_s = max(rig.config.service.poll_interval_s, rig.config.service.max_retry_delay_s)
    assert next_poll_at.timestamp() - rig.clock.time() <= longest_s


def test_who_cannot_use_a_store_s_charts_leaves_its_lease_to_others(rig: Rig, tmp_path: Path) -> None:
    rig.create("a")
    with rig.store._connections.transaction() as db:
        db.execute("UPDATE transfers SET state = 'teleporting'")
    with pytest.raises(StoreChartError):
        rig.scheduler.lead()
    other = SqliteStore(tmp_path / "dts.db")
    assert other.acquire_lease(rig.clock.time(), 10.0)
    other.close()


def test_answers_to_calls_of_a_former_term_are_not_heard(rig: Rig, tmp_path: Path) -> None:
    transfer_id = rig.create("a")
    rig.tick(1)
    other = SqliteStore(tmp_path / "dts.db")
    assert other.acquire_lease(rig.clock.time() + 1000, 10.0)
    with pytest.raises(StoreLeaseLostError):
        rig.scheduler.tick()
    rig.scheduler._leave_office()
    other.close()
    assert rig.run(transfer_id).code == "succeeded"


def test_a_store_that_cannot_be_written_is_not_tried_without_a_pause(
    running: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []

    def full(*arguments: Any) -> None:
        tries.append(time.monotonic())
        raise StoreError("disk full")

    monkeypatch.setattr(running.store, "commit", full)
    running.create("a")
    running.scheduler.wake()
    assert eventually(lambda: len(tries) >= 3)
    assert tries[2] - tries[0] >= 0.4


def test_ended_transfers_are_pruned_in_time(tmp_path: Path) -> None:
    rig = Rig(tmp_path, delete_after_s=100.0)
    rig.source.add("a", b"x")
    transfer_id = rig.create("a")
    rig.run(transfer_id)
    rig.clock.advance(101)
    rig.scheduler.start()
    assert eventually(lambda: rig.store.transfers() == [])
    assert rig.scheduler.stop(10.0)
    assert [record.id for record in rig.store.journal()] == [transfer_id]
    rig.close()


def test_a_deadline_of_this_term_of_office_is_kept_to_the_second(tmp_path: Path) -> None:
    rig = Rig(tmp_path, active_deadline_s=1.0)
    rig.source.add("a", b"x")
    rig.source_endpoint.duration_s = 1e6
    transfer_id = rig.create("a")
    rig.tick(4)
    rig.clock.advance(1.0)
    rig.tick(4)
    assert rig.store.status(transfer_id).reason == "deadline"
    rig.close()


def test_stop_does_not_wait_for_work_that_takes_days(rig: Rig) -> None:
    rig.source_endpoint.duration_s = 1e6
    rig.create("a")
    rig.scheduler.start()
    assert eventually(lambda: rig.source_endpoint.submissions != [])
    assert rig.scheduler.stop(10.0)
    assert not rig.scheduler.leading


def test_a_store_with_states_that_the_charts_do_not_have_is_refused_by_name(rig: Rig) -> None:
    rig.create("a")
    with rig.store._connections.transaction() as db:
        db.execute("UPDATE transfers SET state = 'teleporting'")
    with pytest.raises(StoreChartError, match="teleporting"):
        rig.scheduler.lead()


def test_nothing_that_is_due_later_is_touched(rig: Rig) -> None:
    rig.source_endpoint.duration_s = 1e6
    transfer_id = rig.create("a")
    rig.tick(10)
    rowid = rig.store.rowid(transfer_id)
    version = rig.store.load([rowid])[rowid].operations[-1].version
    assert rig.tick(10) == 0
    assert rig.store.load([rowid])[rowid].operations[-1].version == version


def test_polls_become_rarer_the_longer_work_takes_but_never_rarer_than_the_setting(tmp_path: Path) -> None:
    rig = Rig(tmp_path, poll_interval_s=30.0)
    rig.source.add("a", b"x")
    rig.source_endpoint.duration_s = 1e9
    transfer_id = rig.create("a")
    pauses = []
    for _ in range(200):
        rig.tick(3)
        next_due_at = rig.store.operations(rig.store.rowid(transfer_id))[-1].next_poll_at
        assert next_due_at is not None
        pauses.append(next_due_at.timestamp() - rig.clock.time())
        rig.clock.advance(max(pauses[-1], 0.001))
    assert pauses[-1] == pytest.approx(30.0)
    assert max(pauses) == pytest.approx(30.0)
    assert pauses[5] < 1.0
    rig.close()
