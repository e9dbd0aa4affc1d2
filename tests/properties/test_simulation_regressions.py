"""What simulations have found: each defect as the shortest story that shows it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from dts_fsm.errors import TransientError
from dts_fsm.lanes import Call, InlineDispatcher
from dts_fsm.manifest import MANIFEST_NAME
from dts_fsm.records import FileOutcome, FileState, OperationCode, OperationStatus
from dts_fsm.scheduler import Scheduler
from dts_fsm.serialization import load_json
from dts_fsm.store import SqliteStore
from dts_fsm.testing import Rig

LEASE_S = 0.03


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """An installation with one file, "a"."""
    rig = Rig(tmp_path, lease_time_s=LEASE_S, poll_interval_s=1.0)
    rig.source.add("a", b"content of a")
    yield rig
    rig.close()


def until_finalizing(rig: Rig, transfer_id: UUID, *, delivery_takes_s: float = 0.0) -> None:
    while rig.store.status(transfer_id).code != "finalizing":
        if rig.source_endpoint.submissions:
            rig.source_endpoint.duration_s = delivery_takes_s
        rig.tick()
        rig.clock.advance(0.1)


def manifest_of(rig: Rig, transfer_id: UUID) -> bytes | None:
    path = f"{rig.store.transfer(transfer_id).folder}/{MANIFEST_NAME}"
    file = rig.destination_endpoint.files.get(path)
    return None if file is None else file.content


def test_a_leader_that_was_replaced_meanwhile_leaves_office_even_if_the_lease_is_free_again(rig: Rig) -> None:
    # its calls were answered to another scheduler, too: what it would make of them has happened already
    assert rig.scheduler.lead()
    other = SqliteStore(rig.store.path)
    assert other.acquire_lease(rig.clock.time() + 1.0, LEASE_S)
    other.release_lease()
    deadline = time.monotonic() + 10.0
    while rig.scheduler.lead():
        assert time.monotonic() < deadline
    other.close()
    assert (rig.scheduler.leading, rig.scheduler.lead()) == (False, True)


class Queue(InlineDispatcher):
    """Calls wait in it until they are taken back."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Call] = []

    def offer(self, call: Call) -> None:
        self.waiting.append(call)

    def withdraw(self, call: Call) -> bool:
        self.waiting.remove(call)
        return True


def test_calls_that_have_not_begun_are_taken_back_when_another_becomes_the_scheduler(rig: Rig) -> None:
    dispatcher = Queue()
    scheduler = Scheduler(
        store=rig.store,
        engine=rig.engine,
        handlers=rig.handlers,
        dispatcher=dispatcher,
        settings=rig.config.service,
        clock=rig.clock,
        published=lambda: None,
    )
    rig.create("a")
    assert scheduler.lead()
    scheduler.tick()
    assert [call.verb for call in dispatcher.waiting] == ["submit"]
    other = SqliteStore(rig.store.path)
    assert other.acquire_lease(rig.clock.time() + 1.0, LEASE_S)
    deadline = time.monotonic() + 10.0
    while scheduler.lead():
        assert time.monotonic() < deadline
    other.close()
    assert dispatcher.waiting == []


def test_a_provider_that_says_too_early_that_the_manifest_is_there_is_asked_until_it_is(rig: Rig) -> None:
    transfer_id = rig.create("a")
    until_finalizing(rig, transfer_id, delivery_takes_s=100.0)
    truth = rig.source_endpoint.statuses
    rig.source_endpoint.statuses = lambda ids: dict.fromkeys(ids, OperationStatus(code=OperationCode.SUCCEEDED))  # type: ignore[method-assign]
    for _ in range(5):
        rig.tick()
        rig.clock.advance(5.0)
    assert (rig.store.status(transfer_id).code, rig.source.finalized) == ("finalizing", [])
    rig.source_endpoint.statuses = truth  # type: ignore[method-assign]
    assert rig.run(transfer_id).code == "succeeded"
    assert manifest_of(rig, transfer_id) is not None


def test_a_manifest_that_arrived_before_its_delivery_was_canceled_is_not_delivered_again(rig: Rig) -> None:
    transfer_id = rig.create("a")
    until_finalizing(rig, transfer_id, delivery_takes_s=100.0)
    rig.tick()
    outcome = FileOutcome(id=MANIFEST_NAME, state=FileState.TRANSFERRED)
    stopped = OperationStatus(code=OperationCode.CANCELED, files=(outcome,))
    rig.source_endpoint.statuses = lambda ids: dict.fromkeys(ids, stopped)  # type: ignore[method-assign]
    assert rig.store.request(transfer_id, "suspend", rig.clock.time())
    assert rig.run(transfer_id).code == "succeeded"


def test_a_payload_that_was_taken_away_is_success_after_a_second_attempt_too(rig: Rig) -> None:
    transfer_id = rig.create("a")
    rig.source_endpoint.faults.add("transfer", lambda: None)  # the move goes well
    rig.source_endpoint.faults.add("transfer", TransientError("busy"))
    until_finalizing(rig, transfer_id)
    while len(rig.source_endpoint.submissions) < 2:
        rig.tick()
        rig.clock.advance(0.1)
    # the manifest has appeared and its consumer has taken the folder, when the process is killed
    rig.destination_endpoint.files.clear()
    rig.reopen()
    assert (rig.run(transfer_id).code, rig.destination_endpoint.files) == ("succeeded", {})


def test_a_manifest_is_the_same_however_often_its_delivery_is_begun(rig: Rig) -> None:
    transfer_id = rig.create("a")
    until_finalizing(rig, transfer_id, delivery_takes_s=100.0)
    began_at = next(entry.time for entry in rig.store.history(transfer_id) if entry.machine == "manifest")
    for request in ("suspend", "resume"):
        rig.clock.advance(5.0)
        assert rig.store.request(transfer_id, request, rig.clock.time())
        rig.tick(3)
    assert rig.run(transfer_id).code == "succeeded"
    manifests = [entry for entry in rig.store.history(transfer_id) if entry.machine == "manifest"]
    assert [entry.event for entry in manifests].count("create") == 2
    created = load_json(manifest_of(rig, transfer_id) or b"")["created"]
    assert created == began_at.isoformat().replace("+00:00", "Z")
