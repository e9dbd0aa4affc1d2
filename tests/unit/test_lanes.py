"""Calls of handlers: whatever a handler does, its operations get an answer, and other lanes are not delayed."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from dts_fsm.config import Config, DatabaseConfig, EndpointConfig, ServiceConfig
from dts_fsm.errors import PermanentError, TransientError, UnauthorizedError
from dts_fsm.lanes import Call, InlineDispatcher, LaneDispatcher, LaneLimits, lane_limits, lane_of
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


def operation(orcid: str = "o") -> Operation:
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
            specification=Specification(source="s", destination="d", file_ids=["a"], user=User(name="A", orcid=orcid)),
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


def call(
    act: Callable[[], Any], verb: Any = "submit", lane: str = "disk", operations: int = 1, orcid: str = "o"
) -> Call:
    many = [operation(orcid) for _ in range(operations)]
    return Call(verb, Scripted(act), lane, many, [(1, number) for number in range(operations)])


def raising(error: BaseException) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


def few(concurrency: int, rate_per_s: float | None = None) -> Callable[[str], LaneLimits]:
    """Every lane has these limits."""
    return lambda lane: LaneLimits(concurrency=concurrency, rate_per_s=rate_per_s)


@pytest.fixture
def lanes() -> Iterator[LaneDispatcher]:
    dispatcher = LaneDispatcher(limits=few(2), call_timeout_s=30.0)
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
    while both.n_waiting < 2 and not both.broken:
        assert lanes.collect(0.01) == []  # while it waits for answers, it finds that they take their time
    both.wait(10)
    assert len(running) == 2
    release.set()
    assert len(lanes.collect(10.0)) == 6


def test_quick_calls_of_a_lane_are_made_by_one_thread(lanes: LaneDispatcher) -> None:
    threads = set()
    for _ in range(5):
        for _ in range(20):
            lanes.offer(call(lambda: (threads.add(threading.get_ident()), RUNNING)[1]))
        assert len(lanes.collect(10.0)) == 20
    assert len(threads) == 1


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
    lanes = LaneDispatcher(limits=few(1), call_timeout_s=0.05)
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
    lanes = LaneDispatcher(limits=few(1), call_timeout_s=0.01)
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
    lanes = LaneDispatcher(limits=few(1), call_timeout_s=30.0)
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


# Order


def order_of(calls: Sequence[tuple[str, Any, str]]) -> list[str]:
    """In which order the calls (name, verb, orcid), all of which wait already, are made by a lane's only thread."""
    lanes = LaneDispatcher(limits=few(1), call_timeout_s=30.0)
    begun, release, made = threading.Event(), threading.Event(), []
    lanes.offer(call(lambda: (begun.set(), release.wait(10), RUNNING)[2]))
    assert begun.wait(10)
    for name, verb, orcid in calls:
        act = functools.partial(lambda name: (made.append(name), RUNNING)[1], name)
        lanes.offer(call(act, verb, orcid=orcid))
    release.set()
    lanes.collect(10.0)
    lanes.close()
    return made


def test_the_longest_waiting_call_of_a_user_is_made_first() -> None:
    assert order_of([(str(number), "submit", "ada") for number in range(20)]) == [str(number) for number in range(20)]


def test_users_take_turns_and_so_do_polls() -> None:
    waiting = [(f"a{number}", "submit", "ada") for number in range(100)]
    waiting += [("b0", "submit", "bob"), ("b1", "submit", "bob"), ("p0", "poll", "ada"), ("p1", "poll", "bob")]
    assert order_of(waiting)[:9] == ["a0", "b0", "p0", "a1", "b1", "p1", "a2", "a3", "a4"]


def test_cancellations_go_first() -> None:
    waiting = [*[(f"a{number}", "submit", "ada") for number in range(100)], ("p", "poll", "ada")]
    assert order_of([*waiting, ("x", "cancel", "ada"), ("y", "cancel", "bob")])[:3] == ["x", "y", "a0"]


def test_a_call_that_has_not_begun_can_be_withdrawn_and_is_not_made() -> None:
    lanes = LaneDispatcher(limits=few(1), call_timeout_s=30.0)
    begun, release, made = threading.Event(), threading.Event(), []
    first = call(lambda: (begun.set(), release.wait(10), RUNNING)[2])
    second, third = call(lambda: (made.append(2), RUNNING)[1]), call(lambda: (made.append(3), RUNNING)[1])
    batch = call(dict, "poll", operations=2)
    for one in (first, second, third, batch):
        lanes.offer(one)
    assert begun.wait(10)
    assert [lanes.withdraw(one) for one in (first, second, batch)] == [False, True, False]
    release.set()
    assert set(map(id, lanes.collect(10.0))) == {id(first), id(third), id(batch)}
    assert made == [3]
    lanes.close()


# Limits


def test_calls_of_a_lane_begin_no_faster_than_its_rate_and_no_other_lane_waits_for_it() -> None:
    lanes = LaneDispatcher(
        limits=lambda lane: LaneLimits(concurrency=4, rate_per_s=2.0 if lane == "slow" else None), call_timeout_s=1.0
    )
    for lane in ("slow", "well"):
        for _ in range(4):
            lanes.offer(call(lambda: RUNNING, lane=lane))
    found: list[Call] = []
    while len(found) < 8:
        found += lanes.collect(0.01)
    # waiting for its turn is no part of a call's time: none was given up
    assert [type(answer) for one in found for answer in one.answers.values()] == [OperationStatus] * 8
    begun = {lane: sorted(one.started_at or 0.0 for one in found if one.lane == lane) for lane in ("slow", "well")}
    assert [second - first >= 0.5 for first, second in itertools.pairwise(begun["slow"])] == [True] * 3
    assert begun["well"][-1] < begun["slow"][2]
    lanes.close()


def test_a_batch_of_polls_counts_as_one_call() -> None:
    lanes = LaneDispatcher(limits=few(1, rate_per_s=0.001), call_timeout_s=30.0)
    lanes.offer(call(dict, "poll", operations=200))
    (answered,) = lanes.collect(10.0)
    assert len(answered.answers) == 200
    lanes.close()


def test_a_lane_with_a_low_rate_keeps_few_calls_waiting() -> None:
    lanes = LaneDispatcher(limits=few(4, rate_per_s=0.5), call_timeout_s=30.0)
    offered = 0
    while not lanes.full("disk"):
        lanes.offer(call(lambda: RUNNING))
        offered += 1
    assert offered <= 4 + 10 * 0.5 + 1
    lanes.close()


def test_closing_does_not_wait_for_a_rate() -> None:
    lanes = LaneDispatcher(limits=few(1, rate_per_s=0.001), call_timeout_s=30.0)
    made: list[int] = []
    lanes.offer(call(lambda: (made.append(1), RUNNING)[1], lane="rare"))
    while not made:
        lanes.collect(0.01)
    lanes.offer(call(lambda: (made.append(2), RUNNING)[1], lane="rare"))
    threads = [thread for thread in threading.enumerate() if thread.name == "dts-rare"]
    lanes.close()
    for thread in threads:
        thread.join(10)
    assert [thread.is_alive() for thread in threads] == [False]
    assert made == [1]


def test_a_full_lane_takes_calls_again_once_it_is_half_empty(lanes: LaneDispatcher) -> None:
    release = threading.Semaphore(0)
    while not lanes.full("disk"):
        lanes.offer(call(lambda: (release.acquire(timeout=10), RUNNING)[1]))
    found: list[Call] = []
    seen = []
    for _ in range(256):
        release.release()
        before = len(found)
        while len(found) == before:
            found += lanes.collect(0.001)
        seen.append((256 - len(found), lanes.full("disk")))
    assert {full for left, full in seen if left >= 128} == {True}
    assert {full for left, full in seen if left < 128} == {False}


def test_what_waits_in_a_lane_in_which_too_much_hangs_is_handed_back_without_having_been_made() -> None:
    lanes = LaneDispatcher(limits=few(1), call_timeout_s=0.01)
    release, made = threading.Event(), []
    for _ in range(20):
        lanes.offer(call(lambda: (made.append(1), release.wait(10), RUNNING)[2]))
    found: list[Call] = []
    while len(found) < 20:
        found += lanes.collect(0.02)
    answers = [answer for one in found for answer in one.answers.values()]
    assert [answer for answer in answers if answer is not None] == answers[:4]
    assert len(made) == 4
    release.set()
    lanes.close()


def test_limits_are_those_of_the_place_or_else_of_the_service(tmp_path: Path) -> None:
    config = Config(
        service=ServiceConfig(data_dir=tmp_path, endpoint="disk", concurrency=5, rate_per_s=7.0),
        endpoints={
            "disk": EndpointConfig(key="disk", provider="local", concurrency=2, rate_per_s=0.5),
            "tape": EndpointConfig(key="tape", provider="local", rate_per_s=3.0),
        },
        databases={"disk": DatabaseConfig(key="disk", endpoints={"": "disk"}, concurrency=1)},
    )
    limits = lane_limits(config)
    assert [
        limits(lane_of(kind, name))
        for kind, name in (("move", "disk"), ("survey", "tape"), ("stage", "disk"), ("x", "y"))
    ] == [
        LaneLimits(concurrency=2, rate_per_s=0.5),
        LaneLimits(concurrency=5, rate_per_s=3.0),
        LaneLimits(concurrency=1, rate_per_s=7.0),
        LaneLimits(concurrency=5, rate_per_s=7.0),
    ]


def test_a_database_and_an_endpoint_of_one_name_have_a_lane_each() -> None:
    assert {kind: lane_of(kind, "disk") for kind in ("survey", "stage", "move", "manifest", "finalize")} == {
        "survey": "endpoints.disk",
        "stage": "databases.disk",
        "move": "endpoints.disk",
        "manifest": "endpoints.disk",
        "finalize": "databases.disk",
    }


def test_an_error_that_cannot_say_what_it_is_is_an_answer_too() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    one = call(raising(MuteError()))
    one.run()
    assert [str(answer) for answer in one.answers.values()] == ["MuteError: "]
