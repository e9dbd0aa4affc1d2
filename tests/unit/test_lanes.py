"""Calls of handlers: whatever a handler does, its operations get an answer, and other lanes are not delayed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from dts_fsm.errors import PermanentError, TransientError, UnauthorizedError
from dts_fsm.lanes import Call, InlineDispatcher, LaneDispatcher
from dts_fsm.records import (
    Destination,
    Operation,
    OperationCode,
    OperationRequest,
    OperationStatus,
    Specification,
    Transfer,
    TransferStatusCode,
    User,
)

RUNNING = OperationStatus(code=OperationCode.RUNNING)


def operation() -> Operation:
    return Operation(
        id=uuid4(),
        submission_id=uuid4(),
        handler="mover",
        kind="move",
        endpoint="disk",
        began_at=datetime.now(UTC),
        transfer=Transfer(
            id=uuid4(),
            state=TransferStatusCode.ACTIVE,
            specification=Specification(source="s", destination="d", file_ids=["a"], user=User(name="A", orcid="o")),
            destination=Destination(endpoint="d", path="", username=""),
            sources=(),
            num_unstaged=0,
            created_at=datetime.now(UTC),
        ),
    )


class Scripted:
    """A handler whose every call does what the test says."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    def begin(self, transfer: Transfer) -> Sequence[OperationRequest]:
        raise AssertionError("lanes never begin anything")

    def submit(self, operation: Operation) -> OperationStatus:
        return self.act()  # type: ignore[no-any-return]

    def poll(self, operations: Sequence[Operation]) -> Mapping[UUID, OperationStatus]:
        return self.act()  # type: ignore[no-any-return]

    def cancel(self, operation: Operation) -> OperationStatus:
        return self.act()  # type: ignore[no-any-return]


def call(act: Callable[[], Any], verb: Any = "submit", lane: str = "disk", operations: int = 1) -> Call:
    many = [operation() for _ in range(operations)]
    return Call(verb, Scripted(act), lane, many, [(1, number) for number in range(operations)])


def raising(error: BaseException) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


@pytest.fixture
def lanes() -> Iterator[LaneDispatcher]:
    dispatcher = LaneDispatcher(concurrency=2, call_timeout_s=30.0)
    yield dispatcher
    dispatcher.close()


def test_the_answer_of_a_call_belongs_to_its_operation() -> None:
    for verb in ("submit", "cancel"):
        one = call(lambda: RUNNING, verb)
        one.run()
        assert one.answers == {one.operations[0].id: RUNNING}


def test_a_poll_answers_for_several_operations_and_silence_is_no_news() -> None:
    one = call(lambda: {one.operations[1].id: RUNNING, uuid4(): RUNNING}, "poll", operations=3)
    one.run()
    assert [one.answers[op.id] for op in one.operations] == [None, RUNNING, None]


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (TransientError("busy"), TransientError, "busy"),
        (PermanentError("never"), PermanentError, "never"),
        (UnauthorizedError("who are you"), PermanentError, "who are you"),
        (KeyError("oops"), TransientError, "KeyError"),
        (RecursionError(), TransientError, "RecursionError"),
    ],
)
def test_whatever_a_handler_raises_is_an_answer(raised: Exception, kind: type[Exception], words: str) -> None:
    one = call(raising(raised), "poll", operations=2)
    one.run()
    for answer in one.answers.values():
        assert isinstance(answer, kind)
        assert words in str(answer)


@pytest.mark.parametrize("nonsense", ["done", 3, object()])
def test_an_answer_that_is_no_status_is_a_transient_error(nonsense: object) -> None:
    one = call(lambda: nonsense)
    one.run()
    (answer,) = one.answers.values()
    assert isinstance(answer, TransientError)


def test_a_poll_that_answers_with_something_else_than_a_mapping_is_a_transient_error() -> None:
    one = call(lambda: 7, "poll")
    one.run()
    assert [type(answer) for answer in one.answers.values()] == [TransientError]


def test_calls_are_given_back_once(lanes: LaneDispatcher) -> None:
    calls = [call(lambda: RUNNING) for _ in range(50)]
    for one in calls:
        lanes.offer(one)
    found: list[Call] = []
    while len(found) < 50:
        found += lanes.collect(5.0)
    assert {id(one) for one in found} == {id(one) for one in calls}
    assert lanes.collect(0.0) == []


def test_a_lane_that_hangs_delays_no_other(lanes: LaneDispatcher) -> None:
    release = threading.Event()
    for _ in range(5):
        lanes.offer(call(release.wait, lane="sick"))
    healthy = call(lambda: RUNNING, lane="well")
    done = threading.Event()
    healthy.handler.act = lambda: (done.set(), RUNNING)[1]  # type: ignore[attr-defined]
    lanes.offer(healthy)
    assert done.wait(10)
    release.set()


def test_a_lane_runs_so_many_calls_at_once_and_no_more(lanes: LaneDispatcher) -> None:
    both, release, running = threading.Barrier(3), threading.Event(), []

    def act() -> OperationStatus:
        running.append(1)
        if len(running) <= 2:
            both.wait(10)
        release.wait(10)
        return RUNNING

    for _ in range(6):
        lanes.offer(call(act))
    both.wait(10)
    assert len(running) == 2
    release.set()
    assert len(lanes.collect(10.0)) == 6


def test_a_long_queue_makes_a_lane_full(lanes: LaneDispatcher) -> None:
    release = threading.Event()
    offered = 0
    while not lanes.full_lanes():
        lanes.offer(call(lambda: (release.wait(10), RUNNING)[1]))
        offered += 1
    assert lanes.full_lanes() == {"disk"}
    assert offered == 256
    release.set()
    assert len(lanes.collect(10.0)) == offered
    assert lanes.full_lanes() == frozenset()


def test_a_call_without_an_answer_in_time_is_given_up_and_its_late_answer_is_not_heard() -> None:
    lanes = LaneDispatcher(concurrency=1, call_timeout_s=0.05)
    release, ended = threading.Event(), threading.Event()

    def act() -> OperationStatus:
        release.wait(10)
        ended.set()
        return RUNNING

    hanging = call(act)
    lanes.offer(hanging)
    found: list[Call] = []
    while not found:
        found = lanes.collect(0.02)
    (answer,) = found[0].answers.values()
    assert isinstance(answer, TransientError)
    assert "no answer" in str(answer)
    # the lane has a thread again
    lanes.offer(call(lambda: RUNNING))
    assert [type(a) for one in lanes.collect(10.0) for a in one.answers.values()] == [OperationStatus]
    release.set()
    assert ended.wait(10)
    assert lanes.collect(0.05) == []
    lanes.close()


def test_a_lane_in_which_too_much_hangs_takes_no_more_until_something_comes_back() -> None:
    lanes = LaneDispatcher(concurrency=1, call_timeout_s=0.01)
    release = threading.Event()
    while not lanes.full_lanes():
        lanes.offer(call(release.wait))
        while not lanes.collect(0.02):
            pass
    release.set()
    deadline = time.monotonic() + 10
    while lanes.full_lanes() and time.monotonic() < deadline:
        threading.Event().wait(0.002)
    assert lanes.full_lanes() == frozenset()
    lanes.close()


def test_closing_forgets_what_waits_and_does_not_wait_for_what_hangs() -> None:
    lanes = LaneDispatcher(concurrency=1, call_timeout_s=30.0)
    release, begun, waiting = threading.Event(), threading.Event(), []
    lanes.offer(call(lambda: (begun.set(), release.wait(10))))
    lanes.offer(call(lambda: waiting.append(1)))
    assert begun.wait(10)
    lanes.close()
    lanes.close()
    release.set()
    assert lanes.collect(0.0) == []
    assert waiting == []


def test_the_inline_dispatcher_makes_calls_at_once() -> None:
    dispatcher = InlineDispatcher()
    one = call(lambda: RUNNING)
    dispatcher.offer(one)
    assert dispatcher.full_lanes() == frozenset()
    assert dispatcher.collect(0.0) == [one]
    assert dispatcher.collect(0.0) == []
    dispatcher.offer(one)
    dispatcher.close()
    assert dispatcher.collect(0.0) == []
