"""Subscriptions: nobody is slowed by another, losses are counted, and what was lost can be replayed."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from dts_fsm.errors import StoreError
from dts_fsm.messages import Hub
from dts_fsm.testing import Rig


@pytest.fixture
def hub(rig: Rig) -> Iterator[Hub]:
    hub = Hub(rig.store)
    rig.scheduler._published = hub.notify
    hub.start()
    yield hub
    hub.stop()


def test_every_transition_of_a_transfer_is_heard_in_order(rig: Rig, hub: Hub) -> None:
    with hub.subscribe(32, None, None) as subscription:
        transfer_id = rig.create("a")
        rig.run(transfer_id)
        codes = [message.status.code for message in (subscription.get(5.0) for _ in range(4)) if message]
    assert codes == ["unknown", "active", "finalizing", "succeeded"]


def test_what_happened_before_the_subscription_is_not_heard(rig: Rig, hub: Hub) -> None:
    rig.run(rig.create("a"))
    subscription = hub.subscribe(32, None, None)
    assert subscription.get(0.05) is None


def test_a_full_buffer_loses_the_oldest_and_counts_them(rig: Rig, hub: Hub) -> None:
    slow, quick = hub.subscribe(2, None, None), hub.subscribe(32, None, None)
    rig.run(rig.create("a"))
    heard = [quick.get(5.0) for _ in range(4)]
    assert [slow.get(5.0), slow.get(5.0)] == heard[2:]
    assert (slow.dropped, quick.dropped) == (2, 0)


def test_a_replay_begins_after_its_number_goes_on_live_and_loses_nothing(rig: Rig, hub: Hub) -> None:
    live = hub.subscribe(100, None, None)
    rig.run(rig.create("a"))
    first = live.get(5.0)
    assert first is not None
    replay = hub.subscribe(1, first.seq, None)
    rig.run(rig.create("b"))
    expected = [live.get(5.0) for _ in range(7)]
    assert [replay.get(5.0) for _ in range(7)] == expected
    assert replay.dropped == 0
    assert replay.get(0.02) is None


def test_a_subscription_to_one_transfer_ends_with_it(rig: Rig, hub: Hub) -> None:
    first, second = rig.create("a"), rig.create("b")
    subscriptions = [hub.subscribe(32, 0, first), hub.subscribe(32, None, second)]
    rig.run(first)
    rig.run(second)
    for subscription, transfer_id in zip(subscriptions, (first, second), strict=True):
        messages = list(subscription)
        assert {message.transfer_id for message in messages} == {transfer_id}
        assert messages[-1].status.code == "succeeded"


def test_a_subscription_that_has_ended_is_forgotten(rig: Rig, hub: Hub) -> None:
    transfer_id = rig.create("a")
    subscriptions = [hub.subscribe(32, 0, transfer_id), hub.subscribe(32, None, transfer_id)]
    rig.run(transfer_id)
    for subscription in subscriptions:
        list(subscription)
    assert hub._subscriptions == set()


def test_iteration_ends_when_the_hub_stops(rig: Rig) -> None:
    hub = Hub(rig.store)
    hub.start()
    heard: list[int] = []
    threads = [
        threading.Thread(target=lambda s=s: heard.extend(message.seq for message in s))
        for s in (hub.subscribe(32, None, None), hub.subscribe(32, 0, None))
    ]
    for thread in threads:
        thread.start()
    transfer_id = rig.create("a")
    rig.run(transfer_id)
    hub.notify()
    hub.stop()
    hub.stop()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert heard


def test_what_is_in_the_buffer_can_be_read_after_closing(rig: Rig, hub: Hub) -> None:
    subscription = hub.subscribe(32, None, None)
    rig.run(rig.create("a"))
    first = subscription.get(5.0)
    subscription.close()
    subscription.close()
    rest = list(subscription)
    assert first is not None
    assert all(message.seq > first.seq for message in rest)
    rig.run(rig.create("b"))
    hub.notify()
    assert list(subscription) == []


def test_what_another_process_recorded_is_heard_too(rig: Rig, hub: Hub) -> None:
    rig.scheduler._published = lambda: None
    subscription = hub.subscribe(32, None, None)
    rig.run(rig.create("a"))
    assert subscription.get(5.0) is not None


def test_a_store_that_cannot_be_read_for_a_moment_loses_no_message(
    rig: Rig, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = hub.subscribe(32, None, None)
    read, failures = rig.store.messages, []

    def failing(*arguments: object) -> object:
        if len(failures) < 2:
            failures.append(1)
            raise StoreError("cannot be read")
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rig.store, "messages", failing)
    rig.run(rig.create("a"))
    assert [subscription.get(5.0).status.code for _ in range(4)] == [  # type: ignore[union-attr]
        "unknown",
        "active",
        "finalizing",
        "succeeded",
    ]


def test_a_hundred_subscribers_who_never_read_delay_nothing(rig: Rig, hub: Hub) -> None:
    sleepers = [hub.subscribe(1, None, None) for _ in range(100)]
    awake = hub.subscribe(1000, None, None)
    for _ in range(10):
        rig.run(rig.create("a"))
    assert len([awake.get(5.0) for _ in range(40)]) == 40
    assert {sleeper.dropped for sleeper in sleepers} == {39}


def test_each_of_many_who_hear_of_everything_loses_only_what_it_did_not_read_in_time(rig: Rig) -> None:
    hub = Hub(rig.store)
    rig.scheduler._published = hub.notify
    hub.start()
    quick, slow = hub.subscribe(100, None, None), hub.subscribe(3, None, None)
    ids = [rig.create("a") for _ in range(4)]
    hub.flush()
    heard = [message.transfer_id for message in iter(lambda: quick.get(0.0), None)]
    assert (heard, quick.dropped, slow.dropped) == (ids, 0, 1)
    late = hub.subscribe(100, None, None)
    ids += [rig.create("a") for _ in range(3)]
    hub.flush()
    slow.close()
    ids.append(rig.create("a"))
    hub.flush()
    assert [message.transfer_id for message in iter(lambda: slow.get(0.0), None)] == ids[4:7]
    assert slow.dropped == 4
    assert [message.transfer_id for message in iter(lambda: late.get(0.0), None)] == ids[4:8]
    hub.stop()
