"""Whatever one provider does, and however much waits for it, the others' work goes on in its order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from dts_fsm.lanes import LaneDispatcher, LaneLimits
from dts_fsm.records import Descriptor, OperationStatus
from dts_fsm.store import Admission, SqliteStore
from dts_fsm.testing import FakeDatabase, FakeEndpoint, PromptEndpoint, Rig

MANY = 10_000


class Crowd:
    """A rig with lanes of real threads, and an endpoint "sick" whose surveys do what the test says."""

    def __init__(self, folder: Path) -> None:
        self.rig = Rig(folder)
        self.rig.source.add("well", b"content")
        self.act: Callable[[], object] = lambda: None
        self.surveys = 0
        self.sick = FakeEndpoint("sick", clock=self.rig.clock)
        database = FakeDatabase("sick", endpoint=self.sick, endpoint_name="sick", clock=self.rig.clock)
        database.add("file", b"content")
        self.rig.endpoints["sick"], self.rig.databases["sick"] = self.sick, database
        self.sick.files_staged = self.files_staged  # type: ignore[method-assign]
        self.lanes = LaneDispatcher(limits=lambda _: LaneLimits(concurrency=8), call_timeout_s=60.0)
        self.rig.scheduler._calls.dispatcher = self.lanes
        self.rig.scheduler.lead()

    def files_staged(self, descriptors: Sequence[Descriptor]) -> Mapping[str, bool]:
        self.act()
        self.surveys += 1
        return {descriptor.id: True for descriptor in descriptors}

    def create_sick(self, number: int) -> list[UUID]:
        """So many transfers from the sick endpoint wait to be surveyed."""
        plan = self.rig.planner.plan(self.rig.specification("file", source="sick"))
        now = self.rig.clock.time()
        return self.rig.store.create(
            [Admission(change=self.rig.engine.admit(plan, now), plan=plan) for _ in range(number)]
        )

    def ticks_of_a_healthy_transfer(self) -> int:
        """How many ticks a transfer that has nothing to do with the sick endpoint takes to its end."""
        self.rig.clock.advance(0.01)
        transfer_id = self.rig.create("well")
        return self.ticks_until(lambda: self.rig.store.status(transfer_id).final)

    def ticks_until(self, condition: Callable[[], bool], limit: int = 300) -> int:
        for ticks in range(limit):
            if condition():
                return ticks
            self.rig.clock.advance(0.05)
            self.rig.scheduler.tick(0.02)
        raise TimeoutError


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    crowd = Crowd(tmp_path)
    yield crowd
    crowd.lanes.close()
    crowd.rig.close()


def test_ten_thousand_operations_of_a_provider_that_hangs_and_then_recovers_delay_nobody_else(crowd: Crowd) -> None:
    healed = threading.Event()
    crowd.act = lambda: healed.wait(60)
    crowd.create_sick(MANY)
    alone = 10  # ticks of a transfer with nobody else about, and one more
    assert crowd.ticks_of_a_healthy_transfer() <= 3 * alone
    assert crowd.surveys == 0
    healed.set()
    assert crowd.ticks_of_a_healthy_transfer() <= 3 * alone
    # the others were not through yet: it did not wait for them
    assert 0 < crowd.surveys < MANY


def test_ten_thousand_operations_of_a_slow_provider_delay_nobody_else(crowd: Crowd) -> None:
    crowd.act = lambda: threading.Event().wait(0.02)
    crowd.create_sick(MANY)
    assert [crowd.ticks_of_a_healthy_transfer() <= 30 for _ in range(3)] == [True] * 3
    assert 0 < crowd.surveys < MANY


def test_a_database_that_hangs_does_not_delay_the_endpoint_of_its_name(crowd: Crowd) -> None:
    release = threading.Event()
    database = crowd.rig.databases["sick"]
    stage_files = database.stage_files
    database.stage_files = lambda *arguments, **named: (release.wait(60), stage_files(*arguments, **named))[1]  # type: ignore[method-assign]
    crowd.sick.files_staged = lambda found: {descriptor.id: descriptor.id == "here" for descriptor in found}  # type: ignore[method-assign]
    crowd.create_sick(2000)
    crowd.ticks_until(lambda: "databases.sick" in crowd.lanes.full_lanes())
    database.add("here", b"content")
    transfer_id = crowd.rig.create("here", source="sick")
    crowd.ticks_until(lambda: crowd.rig.store.status(transfer_id).num_files_transferred == 1, limit=30)
    release.set()


def test_a_full_lane_takes_no_more_than_it_has_room_for(crowd: Crowd) -> None:
    release = threading.Event()
    crowd.act = lambda: release.wait(60)
    crowd.create_sick(2000)
    for _ in range(5):
        crowd.rig.scheduler.tick()
    assert len(crowd.rig.scheduler._calls.busy) == 256
    release.set()
    crowd.ticks_until(lambda: crowd.surveys == 2000)


def test_the_longest_waiting_are_asked_for_first(crowd: Crowd) -> None:
    order: list[UUID] = []
    crowd.rig.scheduler._calls.dispatcher = LaneDispatcher(
        limits=lambda _: LaneLimits(concurrency=1, rate_per_s=None), call_timeout_s=60.0
    )
    stager = crowd.rig.handlers["stager"]
    submit = stager.submit
    stager.submit = lambda operation: (order.append(operation.transfer.id), submit(operation))[1]  # type: ignore[method-assign]
    expected = []
    for _ in range(6):
        crowd.rig.clock.advance(1.0)
        expected += crowd.create_sick(200)
    crowd.ticks_until(lambda: len(order) >= 1200)
    assert order == expected


def test_a_cancellation_does_not_wait_behind_what_waits_in_its_lane(crowd: Crowd) -> None:
    release = threading.Event()
    crowd.act = lambda: release.wait(60)
    ids = crowd.create_sick(1000)
    crowd.rig.scheduler.tick()
    waiting_in_lane, waiting_for_it = ids[200], ids[900]
    for transfer_id in (waiting_in_lane, waiting_for_it):
        crowd.rig.store.request(transfer_id, "cancel", crowd.rig.clock.time())
    crowd.rig.scheduler.tick()
    # eight threads hang; one of them comes back
    crowd.act = lambda: None
    release.set()
    crowd.ticks_until(
        lambda: all(crowd.rig.store.status(id_).reason == "canceled" for id_ in (waiting_in_lane, waiting_for_it)),
        limit=20,
    )
    assert crowd.rig.store.status(ids[0]).code != "failed"


def test_an_operation_that_waits_in_a_lane_that_hangs_can_be_canceled(tmp_path: Path) -> None:
    crowd = Crowd(tmp_path)
    crowd.lanes = crowd.rig.scheduler._calls.dispatcher = LaneDispatcher(
        limits=lambda _: LaneLimits(concurrency=1), call_timeout_s=0.01
    )
    release = threading.Event()
    crowd.act = lambda: release.wait(60)
    ids = crowd.create_sick(20)
    crowd.ticks_until(lambda: "endpoints.sick" in crowd.lanes.full_lanes())
    crowd.rig.store.request(ids[19], "cancel", crowd.rig.clock.time())
    deadline = time.monotonic() + 20
    while not crowd.rig.store.status(ids[19]).final and time.monotonic() < deadline:
        # nobody can be asked: the deadline for cancellations sees to an end
        crowd.rig.clock.advance(60.0)
        crowd.rig.scheduler.tick(0.02)
    assert crowd.rig.store.status(ids[19]).reason == "canceled"
    release.set()
    crowd.lanes.close()
    crowd.rig.close()


def test_one_operation_for_which_a_poll_hangs_does_not_keep_those_polled_with_it_from_their_end(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.source.add("a", b"content")
    lanes = rig.scheduler._calls.dispatcher = LaneDispatcher(
        limits=lambda _: LaneLimits(concurrency=8), call_timeout_s=0.3
    )
    rig.scheduler.lead()
    rig.source_endpoint.duration_s = 1.0
    release, statuses = threading.Event(), rig.source_endpoint.statuses

    def hangs_for_the_first(ids: Sequence[UUID]) -> Mapping[UUID, OperationStatus]:
        if rig.source_endpoint.submissions[0] in ids:
            release.wait(60)
        return statuses(ids)

    rig.source_endpoint.statuses = hangs_for_the_first  # type: ignore[method-assign]
    bad = rig.create("a")
    deadline = time.monotonic() + 20.0
    while not rig.source_endpoint.submissions and time.monotonic() < deadline:
        rig.scheduler.tick(0.02)
    good = [rig.create("a") for _ in range(5)]
    while not all(rig.store.status(transfer_id).final for transfer_id in good) and time.monotonic() < deadline:
        if not rig.scheduler._calls.busy:
            rig.clock.advance(400.0)  # all are due at once, each time
        rig.scheduler.tick(0.02)
    assert [rig.store.status(transfer_id).code for transfer_id in good] == ["succeeded"] * 5
    assert rig.store.status(bad).code == "active"
    release.set()
    lanes.close()
    rig.close()


def test_of_more_transfers_than_are_kept_in_memory_each_is_read_about_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What there is no room for was claimed, read, and drove those out of memory that went on.
    monkeypatch.setattr("dts_fsm.underway.rows._MOST_ROWS", 600)
    read: list[int] = []
    load = SqliteStore.load
    monkeypatch.setattr(SqliteStore, "load", lambda store, rowids: (read.extend(rowids), load(store, rowids))[1])
    rig = Rig(tmp_path, endpoint=PromptEndpoint)
    lanes = rig.scheduler._calls.dispatcher = LaneDispatcher(
        limits=lambda _: LaneLimits(concurrency=8), call_timeout_s=60.0
    )
    try:
        rig.source.add("a", b"content")
        plan = rig.planner.plan(rig.specification("a"))
        now = rig.clock.time()
        ids = rig.store.create([Admission(change=rig.engine.admit(plan, now), plan=plan) for _ in range(2000)])
        rig.scheduler.lead()
        deadline = time.monotonic() + 60.0
        while not rig.store.status(ids[-1]).final and time.monotonic() < deadline:
            rig.scheduler.tick(0.02)
    finally:
        lanes.close()
        rig.close()
    assert len(set(read)) == 2000
    assert len(read) < 6000  # the first claim takes more than there is room for; it was 12,000 once
