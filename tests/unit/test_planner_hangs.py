"""A database that hangs keeps nobody who asks for a transfer waiting for long, and no other database busy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dts_fsm.errors import DtsError, ResourcesNotFoundError, UnavailableError
from dts_fsm.testing import FakeDatabase, Rig


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Rig]:
    """A rig that waits for no call longer than half a second."""
    rig = Rig(tmp_path, call_timeout_s=0.5)
    rig.source.add("a", b"content")
    yield rig
    rig.close()


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def waiting(event: threading.Event) -> Callable[[], None]:
    return lambda: (event.wait(30), None)[1]


def refused(rig: Rig) -> str:
    with pytest.raises(UnavailableError) as raised:
        rig.planner.plan(rig.specification("a"))
    return str(raised.value)


@pytest.mark.parametrize("method", ["descriptors", "local_user"])
def test_a_database_that_hangs_is_not_waited_for(hasty: Rig, release: threading.Event, method: str) -> None:
    name = "source" if method == "descriptors" else "destination"
    hasty.databases[name].faults.add(method, waiting(release))
    began = time.monotonic()
    assert refused(hasty) == f"the database '{name}' gave no answer in 0.5 s: try again later"
    assert 0.5 <= time.monotonic() - began < 10
    assert hasty.store.transfers() == []
    # and the next one is asked again
    assert hasty.planner.plan(hasty.specification("a")).num_files == 1


def test_a_database_that_is_slow_with_each_answer_but_in_time_is_waited_for(hasty: Rig) -> None:
    hasty.destination.faults.add("local_user", lambda: (threading.Event().wait(0.3), None)[1])
    hasty.source.faults.add("descriptors", lambda: (threading.Event().wait(0.3), None)[1])
    assert hasty.planner.plan(hasty.specification("a")).num_files == 1


def test_a_database_in_which_too_much_hangs_is_not_asked_until_something_comes_back(
    hasty: Rig, release: threading.Event
) -> None:
    hasty.source.faults.add("descriptors", waiting(release), times=8)
    askers = [threading.Thread(target=refused, args=(hasty,)) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(20)
    words = "the database 'source' is not asked: it owes 8 answers that took longer than 0.5 s; try again later"
    assert refused(hasty) == words
    before = set(threading.enumerate())
    assert [refused(hasty) for _ in range(20)] == [words] * 20
    assert set(threading.enumerate()) <= before
    # other databases are asked all the same
    other = FakeDatabase("other", endpoint=hasty.source_endpoint, endpoint_name="source")
    other.add("b", b"content")
    hasty.databases["other"] = other
    assert hasty.planner.plan(hasty.specification("b", source="other")).num_files == 1
    release.set()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            hasty.planner.plan(hasty.specification("a"))
        except UnavailableError:
            threading.Event().wait(0.005)
        else:
            break
    assert hasty.planner.plan(hasty.specification("a")).num_files == 1


def test_nothing_more_is_asked_for_somebody_who_has_gone(hasty: Rig, release: threading.Event) -> None:
    asked: list[str] = []
    hasty.destination.faults.add("local_user", waiting(release))
    hasty.source.faults.add("descriptors", lambda: asked.append("descriptors"))
    refused(hasty)
    release.set()
    deadline = time.monotonic() + 10
    while hasty.planner._askers._hanging["database 'destination'"] and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    # the thread that came back has ended that plan by the time it makes the next one
    hasty.planner.plan(hasty.specification("a"))
    assert asked == ["descriptors"]


def test_many_plans_are_made_in_order_and_the_first_that_fails_is_told(hasty: Rig) -> None:
    hasty.source.add("b", b"12")
    plans = hasty.planner.plans([hasty.specification("a"), hasty.specification("b"), hasty.specification("a", "b")])
    assert [plan.num_bytes for plan in plans] == [7, 2, 9]
    with pytest.raises(ResourcesNotFoundError, match="'x'"):
        hasty.planner.plans([hasty.specification("a"), hasty.specification("x"), hasty.specification("y")])


def test_plans_of_many_threads_do_not_mix(hasty: Rig) -> None:
    for number in range(20):
        hasty.source.add(str(number), number)
    wrong: list[object] = []

    def ask(number: int) -> None:
        try:
            plans = [hasty.planner.plan(hasty.specification(str(number))) for _ in range(20)]
            wrong.extend(plan for plan in plans if plan.num_bytes != number)
        except DtsError as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_threads_that_are_not_needed_any_more_end(hasty: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dts_fsm.askers._IDLE_S", 0.01)
    before = set(threading.enumerate())
    hasty.planner.plan(hasty.specification("a"))
    deadline = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    assert set(threading.enumerate()) - before == set()
    assert hasty.planner.plan(hasty.specification("a")).num_files == 1
