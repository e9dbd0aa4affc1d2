"""What a transfer becomes by requests, deadlines, failures, wishes and repairs: every field, and nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from dts_fsm.engine import Engine
from dts_fsm.engine.guards import latest, partly_moved
from dts_fsm.errors import PermanentError, StoreChartError
from dts_fsm.records import OperationCode, OperationRequest
from dts_fsm.statechart import load_chart
from dts_fsm.store import Change, JournalEntry, RequestRow, TransferRow, time_of
from dts_fsm.testing.store_rows import NOW, plan
from tests.deciding import engine_of_mutes, hear, said, survey


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return engine_of_mutes(tmp_path)


@pytest.fixture
def row(engine: Engine) -> TransferRow:
    """A new transfer, whose survey has been handed over."""
    return engine.admit(plan("a"), NOW).transfer


def test_a_transfer_on_which_nothing_can_be_decided_rests_for_five_seconds(engine: Engine, row: TransferRow) -> None:
    for _ in range(2):
        engine.operations.begin(Change(transfer=row), OperationRequest(handler="x", kind="x", endpoint="x"), NOW)
    operations = row.operations
    row.due_at, operations[0].due_at, operations[1].due_at, operations[2].due_at = NOW + 1, NOW, NOW + 60, None
    row.dirty = False
    for operation in operations:
        operation.dirty = False
    change = engine.complain(row, "it \udce9 broke", NOW)
    assert (change.transfer, change.history) == (row, [])
    assert (row.message, row.updated_at, row.due_at, row.dirty) == ("it ? broke", NOW, NOW + 5, True)
    assert [(op.due_at, op.dirty) for op in operations] == [(NOW + 5, True), (NOW + 60, False), (None, False)]
    row.due_at = NOW + 60
    assert engine.complain(row, "again", NOW).transfer.due_at == NOW + 60
    row.due_at = None
    assert engine.complain(row, "again", NOW).transfer.due_at is None


@pytest.mark.parametrize(
    ("state", "wanted", "kind", "becomes"),
    [
        ("active", "", "cancel", "cancel"),
        ("active", "expire", "cancel", "cancel"),
        ("active", "suspend", "cancel", "cancel"),
        ("active", "", "suspend", "suspend"),
        ("active", "resume", "suspend", "suspend"),
        ("active", "cancel", "suspend", "cancel"),
        ("active", "expire", "suspend", "expire"),
        # what has begun to stop is stopped first; where nothing can be suspended the wish is dropped
        ("active", "suspend", "resume", "resume"),
        ("staging", "suspend", "resume", "resume"),
        ("finalizing", "suspend", "resume", "resume"),
        ("inactive", "suspend", "resume", "resume"),
        ("unknown", "suspend", "resume", ""),
        ("active", "", "resume", ""),
        ("active", "cancel", "resume", "cancel"),
        ("active", "expire", "resume", "expire"),
    ],
)
def test_what_a_request_makes_of_what_is_wanted(
    engine: Engine, row: TransferRow, state: str, wanted: str, kind: str, becomes: str
) -> None:
    row.state, row.wanted, row.dirty = state, wanted, False
    engine._request(row, kind)
    assert (row.wanted, row.dirty) == (becomes, becomes != wanted)


def test_requests_are_taken_up_in_order_and_once(engine: Engine, row: TransferRow) -> None:
    requests = [RequestRow(11, 1, "suspend"), RequestRow(12, 1, "cancel"), RequestRow(13, 1, "resume")]
    assert engine.decide(row, NOW, requests=requests).requests == [11, 12, 13]
    assert row.wanted == "cancel"
    row.completed_at = NOW
    answer = said(OperationCode.RUNNING)
    change = engine.decide(row, NOW, requests=requests[:1], answers=[(survey(row), answer)])
    assert (change.requests, change.history, row.wanted) == ([11], [], "cancel")


def test_a_transfer_that_fails_says_which_operations_failed_and_why(engine: Engine, row: TransferRow) -> None:
    wish = OperationRequest(handler="mover", kind="stage", endpoint="tape")
    engine.operations.begin(Change(transfer=row), wish, NOW)
    row.operations[1].state, row.operations[1].due_at = "failed", None
    row.operations[1].message = "no drive"
    change = hear(engine, row, PermanentError("gone"))
    assert (row.state, row.reason) == ("failed", "stager failed")
    assert row.message == "stager at there: gone; stage at tape: no drive"
    assert change.given_up == [
        ("there", "stager failed", "stager at there: gone"),
        ("tape", "staging failed", "stage at tape: no drive"),
        (None, "stager failed", "stager at there: gone; stage at tape: no drive"),
    ]


def test_a_failed_staging_is_called_by_its_name(engine: Engine, row: TransferRow) -> None:
    survey(row).kind = "stage"
    hear(engine, row, PermanentError("gone"))
    assert row.reason == "staging failed"


def test_a_transfer_whose_time_is_over_fails_with_its_state_as_the_reason(engine: Engine, row: TransferRow) -> None:
    late = (row.deadline_at or 0.0) + 1
    change = engine.decide(row, late)
    assert (row.wanted, row.due_at, survey(row).state) == ("expire", None, "canceling")
    change = hear(engine, row, said(OperationCode.CANCELED), at=late)
    assert (row.state, row.reason) == ("failed", "deadline")
    assert row.message == "it was unknown for too long without progress"
    assert change.given_up == [(None, "deadline", "it was unknown for too long without progress")]
    assert (change.journal, row.completed_at) == (JournalEntry(status="failed", description="# ü"), late)


def test_a_deadline_that_did_not_stop_the_work_in_time_is_forgotten(engine: Engine, row: TransferRow) -> None:
    late = (row.deadline_at or 0.0) + 1
    engine.decide(row, late)
    hear(engine, row, said(OperationCode.SUCCEEDED), at=late)
    assert (row.state, row.wanted) == ("active", "")
    assert row.due_at == late + 259_200.0


def test_a_deadline_is_over_at_its_second_and_not_before(engine: Engine, row: TransferRow) -> None:
    deadline_at = row.deadline_at or 0.0
    assert deadline_at == NOW + 86_400.0
    engine.decide(row, deadline_at - 0.001)
    assert row.wanted == ""
    engine.decide(row, deadline_at)
    assert row.wanted == "expire"


def test_a_cancellation_outlives_its_transfer_s_deadline(engine: Engine, row: TransferRow) -> None:
    row.wanted = "cancel"
    engine.decide(row, (row.deadline_at or 0.0) + 1)
    assert row.wanted == "cancel"


def test_a_canceled_transfer_says_how_much_had_arrived(engine: Engine, row: TransferRow) -> None:
    row.files_transferred, row.num_files, row.wanted = 1, 3, "cancel"
    hear(engine, row)
    hear(engine, row, said(OperationCode.CANCELED))
    assert row.message == "The user asked, and every provider has stopped. 1 of 3 files had arrived before, and stay."


def test_the_history_of_a_transfer_has_its_counts_and_no_message_of_its_making(engine: Engine) -> None:
    change = engine.admit(plan("a"), NOW)
    row = change.transfer
    made = change.history[0]
    assert (made.operation, made.event, made.source, made.target, made.at) == (None, "create", "", "unknown", NOW)
    assert (made.message, made.reason, made.progress) == ("", None, (0, 0, 0))
    row.files_transferred, row.files_skipped, row.bytes_transferred = 3, 2, 10
    moved = hear(engine, row, said(OperationCode.SUCCEEDED), at=NOW + 1).history[1]
    assert (moved.event, moved.source, moved.target, moved.at) == ("move", "unknown", "active", NOW + 1)
    assert (moved.message, moved.progress) == ("All files are staged.", (3, 2, 10))


def test_a_new_transfer_s_row_is_made_of_its_plan(engine: Engine) -> None:
    row = engine.admit(plan("a", "b"), NOW).transfer
    assert (row.num_files, row.num_bytes, row.created_at, row.updated_at) == (2, 20, NOW, NOW)
    assert (row.completed_at, row.suspended_from, row.wanted, row.reason, row.version) == (None, "", "", None, 0)
    assert (row.files_transferred, row.files_skipped, row.bytes_transferred, row.num_unstaged) == (0, 0, 0, 0)
    assert (row.chart, row.due_at) == (load_chart("transfer").fingerprint, row.deadline_at)
    assert row.message.startswith("The transfer is stored")
    made = survey(row)
    assert (made.handler, made.kind, made.endpoint, made.phase) == ("stager", "stager", "there", "unknown")
    assert (made.began_at, made.progressed_at, made.chart) == (NOW, NOW, load_chart("operation").fingerprint)


def test_states_that_the_charts_do_not_have_are_listed_in_order(engine: Engine) -> None:
    engine.check([("transfer", "abc", "active"), ("operation", "def", "running")])
    with pytest.raises(StoreChartError) as refused:
        engine.check([("transfer", "abc", "moving"), ("operation", "def", "active"), ("transfer", "abc", "succeeded")])
    assert str(refused.value) == (
        "the store has transfers that the present statecharts could never end: "
        "operation in state 'active' (made under the chart def); "
        "transfer in state 'moving' (made under the chart abc); "
        "transfer in state 'succeeded' (made under the chart abc). "
        "Let them end under the charts that created them, or add [[migrations]] that say where they go on; "
        "`dts-fsm store upgrade --plan` lists all of them"
    )


def test_a_wish_that_is_under_way_or_done_is_not_begun_again(engine: Engine, row: TransferRow) -> None:
    wish = OperationRequest(handler="stager", kind="stager", endpoint="there")
    for state in ("submitting", "succeeded"):
        survey(row).state, row.wishes = state, [wish, wish]
        engine._begin_wishes(Change(transfer=row), NOW)
        assert [op.kind for op in row.operations] == ["stager"]
    survey(row).state, survey(row).due_at = "canceled", None
    row.wishes = [wish, attrs.evolve(wish, endpoint="elsewhere"), wish]
    engine.decide(row, NOW)
    assert [op.endpoint for op in row.operations] == ["there", "there", "elsewhere"]


def test_a_wish_for_a_handler_that_there_is_not_is_named(engine: Engine, row: TransferRow) -> None:
    row.wishes = [OperationRequest(handler="porter", kind="carry", endpoint="there")]
    with pytest.raises(LookupError, match="porter.*asks for a handler that there is not"):
        engine.decide(row, NOW)


def test_what_handlers_see_of_a_transfer_changes_with_its_state_and_its_staging(
    engine: Engine, row: TransferRow
) -> None:
    first = engine.view(row)
    assert (first.id, first.state, first.num_unstaged, first.created_at) == (row.id, "unknown", 0, time_of(NOW))
    assert engine.view(row) is first
    row.num_unstaged = 2
    assert engine.view(row).num_unstaged == 2
    row.state = "staging"
    assert engine.view(row).state == "staging"


def test_a_transfer_that_nothing_would_wake_gets_its_deadline_again(engine: Engine, row: TransferRow) -> None:
    row.due_at, row.deadline_at, row.dirty = None, None, False
    assert engine.mend(row, NOW + 5).history == []
    assert (row.due_at, row.deadline_at, row.dirty) == (NOW + 5 + 86_400, NOW + 5 + 86_400, True)


def test_a_transfer_that_is_being_stopped_gets_no_deadline(engine: Engine, row: TransferRow) -> None:
    row.wanted = "cancel"
    hear(engine, row)
    row.due_at, row.dirty = None, False
    engine.mend(row, NOW)
    assert (row.due_at, row.dirty) == (None, False)


def test_what_fits_together_is_left_as_it_is(engine: Engine, row: TransferRow) -> None:
    row.dirty = survey(row).dirty = False
    before = (attrs.asdict(row, recurse=False), attrs.asdict(survey(row)))
    change = engine.mend(row, NOW + 5)
    assert (attrs.asdict(row, recurse=False), attrs.asdict(survey(row))) == before
    assert (change.history, change.new_operations) == ([], [])


@pytest.mark.parametrize(("state", "due_at", "mended"), [("running", None, NOW + 5), ("canceled", NOW, None)])
def test_an_operation_is_looked_at_again_where_and_only_where_it_lives(
    engine: Engine, row: TransferRow, state: str, due_at: float | None, mended: float | None
) -> None:
    survey(row).state, survey(row).due_at, survey(row).dirty = state, due_at, False
    engine.mend(row, NOW + 5)
    assert (survey(row).due_at, survey(row).dirty) == (mended, True)


@pytest.mark.parametrize(
    ("state", "arrived", "operations", "partly"),
    [
        ("active", 1, ["failed"], True),
        ("active", 1, ["failed", "succeeded"], True),
        ("active", 0, ["failed", "succeeded"], False),
        ("active", 1, ["succeeded", "succeeded"], False),
        ("active", 1, ["failed", "running"], False),
        ("active", 1, ["failed", "canceled"], False),
        ("active", 1, [], False),
        ("finalizing", 1, ["failed"], False),
    ],
)
def test_a_payload_has_partly_arrived_once_all_moves_have_ended_and_one_failed(
    engine: Engine, row: TransferRow, state: str, arrived: int, operations: Sequence[str], partly: bool
) -> None:
    row.state, row.files_transferred = state, arrived
    row.operations.clear()
    for number, ended in enumerate(operations):
        wish = OperationRequest(handler="mover", kind="move", endpoint=f"disk {number}")
        engine.operations.begin(Change(transfer=row), wish, NOW)
        row.operations[-1].state = ended
    assert partly_moved(row) is partly


def test_only_the_newest_operation_for_a_piece_of_work_counts_and_only_in_its_phase(
    engine: Engine, row: TransferRow
) -> None:
    for state, kind, phase in (("failed", "move", "active"), ("running", "move", "active"), ("failed", "x", "staging")):
        engine.operations.begin(
            Change(transfer=row), OperationRequest(handler="mover", kind=kind, endpoint="disk"), NOW
        )
        row.operations[-1].state, row.operations[-1].phase = state, phase
    row.state = "active"
    assert [operation.state for operation in latest(row)] == ["running"]
    row.state, row.suspended_from = "inactive", "staging"
    assert [operation.kind for operation in latest(row)] == ["x"]


def test_a_deadline_that_progress_has_moved_on_is_written(engine: Engine, row: TransferRow) -> None:
    deadline_at = row.deadline_at or 0.0
    survey(row).progressed_at, row.dirty = NOW + 100, False
    assert engine.decide(row, deadline_at).history == []
    assert (row.deadline_at, row.due_at, row.wanted, row.dirty) == (deadline_at + 100, deadline_at + 100, "", True)


def test_a_new_operation_is_in_the_history_from_its_beginning(engine: Engine, row: TransferRow) -> None:
    change = Change(transfer=row)
    engine.operations.begin(change, OperationRequest(handler="mover", kind="move", endpoint="disk"), NOW + 1)
    (made,) = change.new_operations
    assert (made, made.version, made.state, made.due_at) == (row.operations[-1], 0, "pending", NOW + 1)
    (entry,) = change.history
    assert (entry.operation, entry.event, entry.source, entry.target, entry.at) == (
        made,
        "create",
        "",
        "pending",
        NOW + 1,
    )


@pytest.mark.parametrize("state", ["staging", "active", "finalizing"])
def test_a_transfer_that_resumes_is_in_the_state_it_was_suspended_from_and_nothing_else_remains(
    engine: Engine, row: TransferRow, state: str
) -> None:
    survey(row).state, survey(row).due_at = "succeeded", None
    row.state, row.suspended_from, row.wanted = "inactive", state, "resume"
    change = engine.decide(row, NOW)
    assert (row.state, row.suspended_from, row.wanted) == (state, "", "")
    first = change.history[0]
    assert (first.event, first.source, first.target) == ("resume", "inactive", state)
    assert {operation.phase for operation in change.new_operations} == {state}
