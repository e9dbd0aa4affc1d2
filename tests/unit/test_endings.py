"""Ends that once came out wrong: after downtime, suspensions, deadlines and failures of one move among several."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest

from dts_fsm.config import Redactor, Secret
from dts_fsm.errors import PermanentError
from dts_fsm.records import OperationCode, OperationStatus
from dts_fsm.store.reading import _FAILED_FILES
from dts_fsm.testing import FakeEndpoint, Rig

Make = Callable[..., Rig]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes rigs: a and c are at the endpoint "source", b at "source2"."""
    with contextlib.ExitStack() as stack:

        def make(**settings: Any) -> Rig:
            rig = stack.enter_context(contextlib.closing(Rig(tmp_path, **settings)))
            second = FakeEndpoint("source2", clock=rig.clock)
            rig.endpoints["source2"] = second
            rig.source.endpoint_names = lambda: ("source", "source2")  # type: ignore[method-assign]
            for name, endpoint in (("a", "source"), ("b", "source2"), ("c", "source")):
                descriptor = rig.source.add(name, f"content of {name}".encode())
                rig.source.descriptors_by_id[name] = attrs.evolve(descriptor, endpoint=endpoint)
            second.files["b"] = rig.source_endpoint.files.pop("b")
            return rig

        yield make


def second(rig: Rig) -> FakeEndpoint:
    endpoint = rig.endpoints["source2"]
    assert isinstance(endpoint, FakeEndpoint)
    return endpoint


def without_c(rig: Rig) -> UUID:
    """A transfer of which c vanishes after it was found; b is still under way."""
    second(rig).duration_s = 1e9
    transfer_id = rig.create("a", "b", "c")
    rig.tick(2)
    del rig.source_endpoint.files["c"]
    rig.tick(5)
    return transfer_id


def test_a_cancellation_from_before_a_long_downtime_reaches_the_provider(make: Make) -> None:
    rig = make()
    rig.source_endpoint.duration_s = 3600.0
    transfer_id = rig.create("a")
    rig.tick(4)
    rig.store.request(transfer_id, "cancel", rig.clock.time())
    with pytest.MonkeyPatch.context() as killed:
        killed.setattr(rig.scheduler._calls.dispatcher, "offer", lambda call: None)
        rig.tick()
    rig.store.close()
    rig.clock.advance(660.0)
    rig._open()
    assert rig.run(transfer_id).reason == "canceled"
    assert [move.canceled for move in rig.source_endpoint._moves.values()] == [True]


def test_work_that_is_lost_in_a_long_suspension_by_the_provider_goes_on(make: Make) -> None:
    rig = make()
    rig.source_endpoint.duration_s = 100.0
    transfer_id = rig.create("a")
    rig.tick(4)
    rig.source_endpoint.pause(rig.source_endpoint.transfers()[0])
    for _ in range(4 * 24):
        rig.clock.advance(3600.0)
        rig.tick(3)
    rig.source_endpoint.forget()
    assert rig.run(transfer_id, limit=300).code == "succeeded"


def test_a_move_that_failed_for_good_is_not_begun_again_when_another_resumes(make: Make) -> None:
    rig = make(active_deadline_s=86_400.0)
    transfer_id = without_c(rig)
    for _ in range(5):
        for paused in (True, False):
            second(rig).pause(second(rig).transfers()[0], paused)
            rig.clock.advance(60.0)
            rig.tick(4)
    moves = [op.endpoint for op in rig.store.operations(rig.store.rowid(transfer_id)) if op.kind == "move"]
    assert moves == ["source", "source2"]


def test_a_failure_that_may_pass_does_not_fail_a_transfer_that_is_being_suspended(make: Make) -> None:
    rig = make()
    rig.source_endpoint.duration_s = 3600.0
    transfer_id = rig.create("a")
    rig.tick(4)
    rig.store.request(transfer_id, "suspend", rig.clock.time())

    def broken(ids: Sequence[UUID]) -> Mapping[UUID, OperationStatus]:
        return {id_: OperationStatus(code=OperationCode.FAILED, transient=True, message="reset") for id_ in ids}

    rig.source_endpoint.statuses = broken  # type: ignore[method-assign]
    rig.tick(5)
    assert rig.store.status(transfer_id).code == "inactive"


def test_a_partial_payload_can_be_suspended_and_resumed(make: Make) -> None:
    rig = make(partial="keep")
    transfer_id = without_c(rig)
    rig.clock.advance(5.0)
    rig.tick(3)
    rig.store.request(transfer_id, "suspend", rig.clock.time())
    rig.tick(6)
    assert rig.store.status(transfer_id).code == "inactive"
    second(rig).duration_s = 0.0
    rig.store.request(transfer_id, "resume", rig.clock.time())
    assert rig.run(transfer_id).reason == "partial"


def test_a_deadline_does_not_fail_a_partial_payload_that_is_complete_by_then(make: Make) -> None:
    rig = make(partial="keep", active_deadline_s=1000.0)
    transfer_id = without_c(rig)
    rig.clock.advance(1001.0)
    for move in second(rig)._moves.values():
        move.ends_at = 0.0
    assert rig.run(transfer_id).reason == "partial"


def test_the_list_of_failed_files_is_read_by_its_index(make: Make) -> None:
    with make().store._connections.reader() as db:
        plan = db.execute(f"EXPLAIN QUERY PLAN {_FAILED_FILES}", (1, 1)).fetchall()
    assert "USING INDEX files_failed" in plan[0][3]


def test_each_file_has_the_reason_of_its_own_move(make: Make) -> None:
    rig = make()
    rig.source_endpoint.faults.add("transfer", PermanentError("permission denied"), 9)
    second(rig).faults.add("transfer", PermanentError("no route"), 9)
    status = rig.run(rig.create("a", "b"))
    assert {file.id: file.error for file in status.failed_files} == {
        "a": "move at source: permission denied",
        "b": "move at source2: no route",
    }


def test_a_provider_that_says_canceled_is_no_user_who_canceled(make: Make) -> None:
    rig = make()

    def canceled(ids: Sequence[UUID]) -> Mapping[UUID, OperationStatus]:
        return {id_: OperationStatus(code=OperationCode.FAILED, reason="canceled") for id_ in ids}

    rig.source_endpoint.statuses = canceled  # type: ignore[method-assign]
    assert rig.run(rig.create("a")).reason == "canceled by the provider"
    assert [record.status for record in rig.store.journal()] == ["failed"]


def test_two_moves_that_stall_are_reported_once(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    rig = make(stall_after_s=100.0)
    rig.source_endpoint.duration_s = second(rig).duration_s = 1e9
    rig.create("a", "b")
    with caplog.at_level(logging.WARNING, "dts_fsm.engine"):
        for _ in range(30):
            rig.clock.advance(60.0)
            rig.tick(3)
    assert [record.message for record in caplog.records] == ["stalled"]


def test_the_sweep_masks_secrets_and_lays_ended_transfers_to_rest(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    rig = make()
    rig.scheduler._redact = Redactor(Secret("hunter2"))
    rig.source_endpoint.duration_s = 10.0
    ended, live = rig.create("a"), rig.create("a")
    rig.store.request(ended, "cancel", rig.clock.time())
    rig.tick(4)
    with rig.store._connections.transaction() as db:
        db.execute("UPDATE transfers SET due_at = 1.0 WHERE completed_at IS NOT NULL")
        db.execute("UPDATE operations SET state = 'canceled', due_at = NULL WHERE state = 'running'")

    def raises(transfer: object) -> list[Any]:
        raise ValueError("hunter2")

    rig.handlers["mover"].begin = raises  # type: ignore[method-assign, assignment]
    assert rig.scheduler.sweep() == 1
    assert rig.store.load([rig.store.rowid(ended)])[rig.store.rowid(ended)].due_at is None
    assert (rig.store.status(live).code, "hunter2" in caplog.text, "***" in caplog.text) == ("active", False, True)
