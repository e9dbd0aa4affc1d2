"""The scheduler's pace: how long it sleeps, and when it renews its lease, prunes, sweeps, and tries again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from dts_fsm.errors import StoreError, StoreLeaseLostError
from dts_fsm.records import Operation, OperationRequest, OperationStatus, Transfer
from dts_fsm.store import SqliteStore, time_of
from dts_fsm.testing import Rig


class Stopwatch:
    """The scheduler's monotonic time, which moves only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> Stopwatch:
    stopwatch = Stopwatch()
    monkeypatch.setattr("dts_fsm.scheduler.time", SimpleNamespace(monotonic=stopwatch.monotonic))
    return stopwatch


@pytest.mark.parametrize(
    ("due_in_s", "sleep_s"), [(None, 0.25), (100.0, 0.25), (0.25, 0.25), (0.125, 0.125), (0.0, 0.1), (-50.0, 0.1)]
)
def test_it_sleeps_until_something_is_due_but_never_long(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, due_in_s: float | None, sleep_s: float
) -> None:
    assert rig.scheduler.lead()
    due_at = None if due_in_s is None else rig.clock.time() + due_in_s
    monkeypatch.setattr(rig.store, "next_due_at", lambda: due_at)
    assert rig.scheduler._sleep_s() == sleep_s


def test_it_sleeps_long_while_it_does_not_lead_or_cannot_read(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable() -> float:
        raise StoreError("the disk is on fire")

    monkeypatch.setattr(rig.store, "next_due_at", rig.clock.time)
    assert rig.scheduler._sleep_s() == 0.25
    rig.scheduler.lead()
    assert rig.scheduler._sleep_s() == 0.1
    monkeypatch.setattr(rig.store, "next_due_at", unreadable)
    assert rig.scheduler._sleep_s() == 0.25


def test_it_does_not_sleep_while_calls_are_under_way_and_waits_for_their_answers_instead(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    rig.create("a")
    rig.scheduler.lead()
    with monkeypatch.context() as patch:
        patch.setattr(rig.scheduler, "tick", lambda wait_s: waits.append(wait_s) or 0)
        assert rig.scheduler._round() is False
    rig.tick()
    assert rig.scheduler._sleep_s() == 0.0
    monkeypatch.setattr(rig.scheduler, "tick", lambda wait_s: waits.append(wait_s) or 1)
    assert rig.scheduler._round() is True
    assert waits == [0.0, 0.02]


def test_a_lease_is_renewed_after_a_third_of_its_time(rig: Rig, stopwatch: Stopwatch) -> None:
    def expires_at() -> float:
        with rig.store._connections.reader() as db:
            return float(db.execute("SELECT expires_at FROM lease").fetchone()[0]) - rig.clock.time()

    assert (rig.scheduler.lead(), expires_at()) == (True, 10.0)
    stopwatch.now += 3.3
    rig.clock.advance(3.3)
    assert (rig.scheduler.lead(), expires_at()) == (True, pytest.approx(6.7))
    stopwatch.now += 0.1
    rig.clock.advance(0.1)
    assert (rig.scheduler.lead(), expires_at()) == (True, pytest.approx(10.0))


def test_ended_transfers_are_looked_for_each_minute_and_at_once_where_there_were_some(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = [1, 0, 0, 0]
    asked: list[float] = []

    def prune(before: float) -> int:
        asked.append(rig.clock.time() - before)
        return counts.pop(0)

    monkeypatch.setattr(rig.store, "prune", prune)
    rounds = []
    for pause_s in (0.0, 0.0, 0.0, 59.9, 0.1):
        rig.clock.advance(pause_s)
        rig.scheduler._round()
        rounds.append(len(asked))
    assert rounds == [1, 2, 2, 2, 3]
    assert asked == [pytest.approx(rig.config.service.delete_after_s)] * 3


def test_contradictions_are_looked_for_each_ten_seconds(
    rig: Rig, stopwatch: Stopwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps: list[float] = []
    monkeypatch.setattr(rig.scheduler, "sweep", lambda: sweeps.append(stopwatch.now))
    for pause_s in (0.0, 0.0, 9.9, 0.2, 9.9, 0.2):
        stopwatch.now += pause_s
        rig.scheduler._round()
    assert sweeps == [1000.0, pytest.approx(1010.1), pytest.approx(1020.2)]


def test_a_transfer_whose_handler_raises_is_tried_again_after_five_seconds(rig: Rig) -> None:
    tried: list[float] = []

    def begin(transfer: Transfer) -> Sequence[OperationRequest]:
        tried.append(rig.clock.time())
        raise ZeroDivisionError

    rig.handlers["mover"].begin = begin  # type: ignore[method-assign]
    rig.create("a")
    started = rig.clock.time()
    for _ in range(30):
        rig.tick(4)
        rig.clock.advance(0.5)
    pauses = [second - first for first, second in pairwise(tried)]
    assert (tried[0], set(pauses)) == (started, {5.0})


@pytest.mark.parametrize(("now_s", "dead"), [(129.0, False), (131.0, True)])
def test_who_takes_office_hears_the_providers_before_a_deadline_passes(
    tmp_path: Path, now_s: float, dead: bool
) -> None:
    rig = Rig(tmp_path, active_deadline_s=100.0, poll_interval_s=30.0, call_timeout_s=70.0)
    rig.source.add("a", b"x")
    rig.source_endpoint.duration_s = 1e6
    transfer_id = rig.create("a")
    rig.tick(4)
    rig.scheduler._leave_office()
    rig.clock.advance(1000.0)
    rig.tick(4)
    rig.clock.advance(now_s)
    rig.tick(4)
    assert (rig.store.status(transfer_id).reason == "deadline") is dead
    rig.close()


def test_running_operations_of_an_endpoint_are_asked_for_in_calls_of_limited_size(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dts_fsm.underway.calls._POLL_BATCH", 2)
    rig.source_endpoint.duration_s = 1e6
    for _ in range(5):
        rig.create("a")
    rig.tick(4)
    sizes: list[int] = []
    statuses = rig.source_endpoint.statuses

    def counting(ids: Sequence[UUID]) -> Any:
        sizes.append(len(ids))
        return statuses(ids)

    monkeypatch.setattr(rig.source_endpoint, "statuses", counting)
    rig.clock.advance(1.0)
    rig.tick(1)
    assert sizes == [2, 2, 1]


def test_each_term_of_office_has_a_number_of_its_own(rig: Rig) -> None:
    terms = []
    for _ in range(3):
        terms.append(rig.scheduler._calls._term)
        rig.scheduler._leave_office()
    assert len(set(terms)) == 3


def test_a_tick_gives_how_many_transfers_changed_and_calls_were_made(rig: Rig) -> None:
    rig.create("a")
    rig.create("b")
    # two surveys handed over; then answered, two transfers moved on, and two moves handed over
    assert [rig.tick(), rig.tick()] == [2, 4]


def test_a_transfer_that_is_left_alone_takes_no_request_before_its_time(rig: Rig) -> None:
    def begin(transfer: Transfer) -> Sequence[OperationRequest]:
        raise ZeroDivisionError

    rig.handlers["mover"].begin = begin  # type: ignore[method-assign]
    transfer_id = rig.create("a")
    rig.tick(2)
    rig.store.request(transfer_id, "cancel", rig.clock.time())
    taken_up = []
    for pause_s in (0.0, 4.9, 0.1):
        rig.clock.advance(pause_s)
        rig.tick(1)
        taken_up.append(rig.store.requested(rig.store.rowid(transfer_id)) is None)
    assert taken_up == [False, False, True]


def test_the_thread_waits_where_nothing_was_done_or_another_is_the_scheduler_and_goes_on_at_once_otherwise(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = rig.scheduler
    rounds: list[Any] = [True, False, True, StoreLeaseLostError("another is"), StoreError("full"), True]
    paths: list[str] = []

    def take_turn() -> bool:
        done = rounds.pop(0)
        paths.append(type(done).__name__)
        if not rounds:
            scheduler._stopping.set()
        if isinstance(done, Exception):
            raise done
        return bool(done)

    monkeypatch.setattr(scheduler, "_round", take_turn)
    monkeypatch.setattr(scheduler, "_wake", SimpleNamespace(clear=lambda: None, wait=lambda _: paths.append("waited")))
    scheduler._run()
    assert paths == ["bool", "bool", "waited", "bool", "StoreLeaseLostError", "waited", "StoreError", "bool"]
    assert scheduler.leading is False


def test_the_thread_says_whose_it_is_and_does_not_keep_its_process_alive(rig: Rig) -> None:
    rig.scheduler.start()
    thread = rig.scheduler._thread
    assert thread is not None
    assert (thread.name, thread.daemon) == ("dts-scheduler", True)
    assert rig.scheduler.stop(10.0)


@pytest.mark.parametrize(
    ("reopened", "submissions"), [(False, [("submit", False)]), (True, [("submit", False), ("submit", True)])]
)
def test_a_call_says_whether_an_earlier_submission_may_have_reached_the_provider(
    rig: Rig, reopened: bool, submissions: list[tuple[str, bool]]
) -> None:
    told: list[tuple[str, bool]] = []
    seen: list[Operation] = []
    mover = rig.handlers["mover"]
    submit, cancel = mover.submit, mover.cancel

    def submitting(operation: Operation) -> OperationStatus:
        told.append(("submit", operation.resubmitted))
        seen.append(operation)
        return submit(operation)

    def canceling(operation: Operation) -> OperationStatus:
        told.append(("cancel", operation.resubmitted))
        return cancel(operation)

    mover.submit, mover.cancel = submitting, canceling  # type: ignore[method-assign]
    rig.source_endpoint.duration_s = 1e6
    transfer_id = rig.create("a")
    rig.tick(2)
    if reopened:
        rig.reopen()
        rig.tick(1)
    rig.store.request(transfer_id, "cancel", rig.clock.time())
    rig.tick(3)
    assert told == [*submissions, ("cancel", True)]
    first = seen[0]
    assert (first.handler, first.kind, first.endpoint, first.attempt) == ("mover", "move", "source", 0)
    assert (first.id, first.submission_id, first.transfer.id) == (first.id, first.id, transfer_id)
    assert (first.began_at, first.handle, [file.id for file in first.files]) == (
        time_of(rig.clock.time()),
        None,
        ["a"],
    )


def test_stop_says_whether_the_thread_ended_in_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def stuck() -> bool:
        begun.set()
        return go_on.wait(10.0)

    monkeypatch.setattr(rig.scheduler, "_round", stuck)
    rig.scheduler.start()
    assert begun.wait(10.0)
    assert rig.scheduler.stop(0.01) is False
    go_on.set()
    assert rig.scheduler.stop(10.0) is True


def test_only_a_clock_that_was_set_back_by_more_than_a_second_brings_forward_what_waits(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: list[float] = []
    rig.scheduler.lead()
    rig.scheduler.tick()
    monkeypatch.setattr(rig.store, "bring_forward", brought.append)
    counts = []
    for step_s in (0.0, 1.0, -1.0, -1.5):
        rig.clock._now += step_s
        rig.scheduler.tick()
        counts.append(len(brought))
    assert counts == [0, 0, 0, 1]
    assert brought == [rig.clock.time() + 300.0]


def test_who_finds_that_another_was_the_scheduler_meanwhile_leaves_office_before_it_leads_again(
    rig: Rig, stopwatch: Stopwatch, tmp_path: Path
) -> None:
    rig.scheduler.lead()
    term = rig.scheduler._calls._term
    with closing(SqliteStore(tmp_path / "dts.db")) as other:
        assert other.acquire_lease(rig.clock.time() + 1000, 10.0)
        other.release_lease()
    stopwatch.now += 100
    assert [rig.scheduler.lead(), rig.scheduler.lead()] == [False, True]
    assert rig.scheduler._calls._term != term


def test_an_operation_whose_handler_is_gone_keeps_back_no_other(rig: Rig) -> None:
    rig.create("a")
    with rig.store._connections.transaction() as db:
        db.execute("UPDATE operations SET handler = 'porter'")
    rig.create("b")
    # the one call is for the second
    assert rig.tick() == 1


def test_an_operation_whose_lane_has_no_room_keeps_back_no_other(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rowid = rig.store.rowid(rig.create("a"))
    rig.create("b")
    monkeypatch.setattr(rig.scheduler._calls, "_free", lambda operation, _: operation.transfer != rowid)
    assert rig.tick() == 1
