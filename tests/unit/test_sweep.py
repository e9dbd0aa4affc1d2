"""Transfers that contradict their operations are found and repaired, and transfers that stall are reported."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dts_fsm.errors import DestinationConflictError
from dts_fsm.records import OperationRequest, Transfer
from dts_fsm.store.maintenance import check
from dts_fsm.testing import ORCID, Rig

Make = Callable[..., Rig]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def make(**settings: Any) -> Rig:
            rig = stack.enter_context(contextlib.closing(Rig(tmp_path, **settings)))
            rig.source.add("a", b"content of a")
            rig.source_endpoint.duration_s = 10.0
            return rig

        yield make


def damage(rig: Rig, statement: str) -> None:
    with rig.store._connections.transaction() as db:
        assert db.execute(statement).rowcount > 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE operations SET due_at = NULL WHERE kind = 'move'",
        "UPDATE operations SET state = 'failed', due_at = NULL WHERE kind = 'move'",
        "UPDATE operations SET state = 'canceled', due_at = NULL WHERE kind = 'move'",
        "UPDATE operations SET due_at = 1.0 WHERE kind = 'survey'",
        "UPDATE transfers SET due_at = NULL, deadline_at = NULL",
        "UPDATE transfers SET state = 'inactive', suspended_from = 'active'",
    ],
)
def test_a_live_transfer_that_contradicts_its_operations_is_repaired_and_ends(make: Make, statement: str) -> None:
    rig = make(max_attempts=1)
    transfer_id = rig.create("a")
    rig.tick(3)
    assert rig.store.status(transfer_id).code == "active"
    damage(rig, statement)
    rig.tick(3)
    rig.scheduler.sweep()
    assert rig.run(transfer_id, limit=60).final
    assert check(rig.store.path) == []


def test_a_transfer_without_any_operation_begins_its_state_s_work_again(make: Make) -> None:
    rig = make()
    transfer_id = rig.create("a")
    rig.tick(3)
    damage(rig, "DELETE FROM history WHERE operation IN (SELECT id FROM operations WHERE kind = 'move')")
    damage(rig, "DELETE FROM operations WHERE kind = 'move'")
    assert rig.scheduler.sweep() == 1
    assert rig.run(transfer_id, limit=60).code == "succeeded"


def test_a_live_operation_of_an_ended_transfer_is_ended(make: Make) -> None:
    rig = make()
    transfer_id = rig.create("a")
    status = rig.run(transfer_id)
    damage(rig, "UPDATE operations SET state = 'running', due_at = 1.0 WHERE kind = 'move'")
    assert rig.scheduler.sweep() == 1
    states = {op.kind: op.state for op in rig.store.operations(rig.store.rowid(transfer_id))}
    assert states == {"survey": "succeeded", "move": "canceled", "manifest": "succeeded", "finalize": "succeeded"}
    assert rig.store.status(transfer_id) == status
    assert check(rig.store.path) == []


def test_what_is_right_is_left_alone_and_what_was_repaired_is_reported(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    rig = make()
    active, suspended, ended = (rig.create("a") for _ in range(3))
    rig.store.request(suspended, "suspend", rig.clock.time())
    rig.store.request(ended, "cancel", rig.clock.time())
    rig.tick(4)
    states = [rig.store.status(transfer_id).code for transfer_id in (active, suspended, ended)]
    assert states == ["active", "inactive", "failed"]
    seq = rig.store.last_seq()
    assert [rig.scheduler.sweep() for _ in range(3)] == [0, 0, 0]
    assert rig.store.last_seq() == seq
    damage(rig, "UPDATE operations SET due_at = NULL WHERE state = 'running'")
    with caplog.at_level(logging.WARNING, "dts_fsm.scheduler"):
        rig.scheduler.sweep()
    assert [record.__dict__["transfer_id"] for record in caplog.records] == [str(active)]


def test_a_handler_that_raises_in_a_sweep_keeps_back_no_other(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    class Picky:
        def begin(self, transfer: Transfer) -> list[OperationRequest]:
            if transfer.specification.description == "bad":
                raise ZeroDivisionError
            return [OperationRequest(handler="mover", kind="move", endpoint="source")]

    rig = make()
    mover = rig.handlers["mover"]
    bad, good = rig.create("a", description="bad"), rig.create("a")
    rig.tick(3)
    damage(rig, "UPDATE operations SET state = 'canceled', due_at = NULL WHERE kind = 'move'")
    mover.begin = Picky().begin  # type: ignore[method-assign]
    assert rig.scheduler.sweep() == 1
    assert "cannot be repaired" in caplog.text
    assert rig.run(good, limit=60).code == "succeeded"
    assert rig.store.status(bad).code == "active"


def test_the_sweep_goes_on_from_page_to_page_and_round_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dts_fsm.scheduler._SWEEP_BATCH", 2)
    rig = make()
    for _ in range(5):
        rig.create("a")
    rig.tick(3)
    damage(rig, "UPDATE operations SET due_at = NULL WHERE state = 'running'")
    assert [rig.scheduler.sweep() for _ in range(4)] == [2, 2, 1, 0]


# Stalls


def test_a_move_without_progress_is_reported_and_the_report_goes_with_the_next_progress(make: Make) -> None:
    rig = make(stall_after_s=100.0)
    rig.source_endpoint.duration_s = 1e6
    transfer_id = rig.create("a")
    for _ in range(12):
        rig.tick(3)
        rig.clock.advance(10.0)
    message = rig.store.status(transfer_id).message
    assert message.startswith("move at source: it has made no progress since 2027-01-15 08:00:0")
    rig.source_endpoint.progress(rig.source_endpoint.transfers()[0], 5)
    rig.clock.advance(10.0)
    rig.tick(3)
    assert rig.store.status(transfer_id).message == "The files are moved to the destination and verified on arrival."


def test_staging_that_takes_long_is_no_stall(make: Make) -> None:
    rig = make(stall_after_s=100.0)
    rig.source.add("tape", b"from tape", staged=False)
    rig.source.staging_duration_s = 1e5
    transfer_id = rig.create("tape")
    for _ in range(12):
        rig.tick(3)
        rig.clock.advance(100.0)
    assert "no progress" not in rig.store.status(transfer_id).message


# Destinations


def test_a_destination_in_the_folder_of_a_live_transfer_is_refused(make: Make) -> None:
    rig = make()
    first = rig.create("a")
    folder = rig.store.transfer(first).folder
    with pytest.raises(DestinationConflictError, match=f"{first}, which has not ended"):
        rig.create("a", destination=f"fake:destination:{folder}/deeper:")
    assert [record.id for record in rig.store.transfers()] == [first]
    rig.run(first)
    second = rig.create("a", destination=f"fake:destination:{folder}:")
    assert rig.store.transfer(second).folder == f"{ORCID}/dts-{first}/dts-{second}"
