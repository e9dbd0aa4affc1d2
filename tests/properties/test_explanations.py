"""What an explanation says never contradicts the guards, whatever the rows are."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dts_fsm.engine import Engine
from dts_fsm.engine.explanation import explain
from dts_fsm.engine.guards import operation_guards, transfer_guards
from dts_fsm.engine.reasons import OBSTACLES, OPERATION_OBSTACLES, Facts
from dts_fsm.statechart import load_chart
from dts_fsm.store import OperationRow, TransferRow
from dts_fsm.testing.store_rows import NOW
from tests.deciding import engine_of_mutes

pytestmark = pytest.mark.uncovered

TRANSFER, OPERATION = load_chart("transfer"), load_chart("operation")
PHASES = ("unknown", "staging", "active", "finalizing")
ENGINES = {partial: engine_of_mutes(Path("nowhere"), partial=partial) for partial in ("fail", "keep")}
TIMES = st.floats(-1e5, 1e5).map(lambda seconds: NOW + seconds)


@st.composite
def operation_rows(draw: st.DrawFn, phase: str | None = None, ended: bool = False) -> OperationRow:
    """Operations in any state, or in one that ends; more often in a phase than in another."""
    state = draw(st.sampled_from([state.name for state in OPERATION.states if state.final or not ended]))
    return OperationRow(
        rowid=draw(st.integers(1, 3)),
        uuid=str(UUID(int=draw(st.integers(1, 9)))),
        transfer=1,
        handler=draw(st.sampled_from(["stager", "mover", "manifestor"])),
        kind=draw(st.sampled_from(["survey", "stage", "move", "manifest", "finalize"])),
        endpoint=draw(st.sampled_from(["disk", "tape"])),
        phase=phase if phase and draw(st.integers(0, 3)) else draw(st.sampled_from(PHASES)),
        began_at=NOW,
        state=state,
        version=0,
        chart="",
        due_at=draw(st.none() | TIMES),
        changed_at=draw(TIMES),
        progressed_at=draw(TIMES),
        attempts=draw(st.integers(0, 5)),
        losses=draw(st.integers(0, 2)),
        message=draw(st.sampled_from(["", "it is away"])),
        files_transferred=draw(st.integers(0, 3)),
        permanent=draw(st.booleans()),
        lost=draw(st.booleans()),
    )


@st.composite
def transfer_rows(draw: st.DrawFn) -> TransferRow:
    """Transfers in any state with up to four operations, also such as no engine leaves behind."""
    state = draw(st.sampled_from(TRANSFER.live_states))
    suspended_from = draw(st.sampled_from(["", *PHASES])) if state == "inactive" or draw(st.booleans()) else ""
    row = TransferRow(
        rowid=1,
        uuid=str(UUID(int=1)),
        state=state,
        version=0,
        chart="",
        due_at=draw(st.none() | TIMES),
        deadline_at=draw(st.none() | TIMES),
        updated_at=NOW,
        completed_at=None,
        suspended_from=suspended_from,
        wanted=draw(st.sampled_from(["", "", "cancel", "expire", "suspend", "resume"])),
        reason=None,
        message="",
        num_unstaged=draw(st.sampled_from([0, 0, 1, 5])),
        files_transferred=draw(st.sampled_from([0, 1, 3])),
        files_skipped=0,
        bytes_transferred=0,
        num_files=5,
        num_bytes=5,
        created_at=NOW,
    )
    # where one of many operations lives, most guards say no
    row.operations = draw(st.lists(operation_rows(row.phase, ended=draw(st.booleans())), max_size=4))
    return row


def facts_of(engine: Engine, row: TransferRow, **known: object) -> Facts:
    return Facts(row=row, now=NOW, timing=engine.timing, operation_chart=OPERATION, **known)  # type: ignore[arg-type]


@settings(max_examples=1500, deadline=None)
@given(row=transfer_rows(), partial=st.sampled_from(["fail", "keep"]))
def test_something_is_in_the_way_exactly_where_the_guard_says_no(row: TransferRow, partial: str) -> None:
    facts, guards = facts_of(ENGINES[partial], row), transfer_guards(keep=partial == "keep")
    found = {name: obstacles(facts) for name, obstacles in OBSTACLES.items()}
    assert {name: obstacles == [] for name, obstacles in found.items()} == {
        n: guard(row) for n, guard in guards.items()
    }
    assert [name for name, obstacles in found.items() if "" in obstacles] == []


@given(row=operation_rows(), name=st.sampled_from(sorted(OPERATION_OBSTACLES)))
def test_the_same_holds_for_operations(row: OperationRow, name: str) -> None:
    engine = ENGINES["fail"]
    facts = facts_of(engine, engine_row(row))
    assert (OPERATION_OBSTACLES[name](facts, row) == "") is operation_guards(facts.max_attempts)[name](row)


def engine_row(operation: OperationRow) -> TransferRow:
    """A transfer with this operation."""
    row = TransferRow(
        1, str(UUID(int=1)), "active", 0, "", None, None, NOW, None, "", "", None, *("", 0, 0, 0, 0, 1, 1, NOW)
    )
    row.operations = [operation]
    return row


@settings(max_examples=500, deadline=None)
@given(
    row=transfer_rows(),
    partial=st.sampled_from(["fail", "keep"]),
    requested=st.sampled_from([None, "cancel", "suspend", "resume"]),
    scheduled=st.sampled_from([None, True, False]),
    crowded=st.none() | st.sets(st.integers(1, 3)),
)
def test_every_no_has_a_reason_and_the_verdict_is_the_guard_s(
    row: TransferRow, partial: str, requested: str | None, scheduled: bool | None, crowded: set[int] | None
) -> None:
    engine = ENGINES[partial]
    before = repr(row)
    told = explain(engine, facts_of(engine, row, requested=requested, scheduled=scheduled, crowded=crowded))
    assert [(v.event, v.target, v.possible) for v in told.events] == [
        (transition.event, transition.target, possible) for transition, possible in engine.machine.verdicts(row)
    ]
    assert [verdict.why != "" for verdict in told.events] == [not verdict.possible for verdict in told.events]
    live = [op for op in row.operations if op.state not in OPERATION.final_states]
    assert [waiting.id for waiting in told.live_operations] == [op.id for op in live]
    for operation, waiting in zip(live, told.live_operations, strict=True):
        assert [verdict.possible for verdict in waiting.events] == [
            possible for _, possible in engine.operations.machine.verdicts(operation)
        ]
        assert [v for v in waiting.events if not v.why and (not v.possible or v.event != "submit")] == []
        assert waiting.summary.startswith(f"{operation.kind} at {operation.endpoint} ")
    assert (told.summary != "", told.requested) == (
        True,
        requested or (row.wanted if row.wanted != "expire" else "") or None,
    )
    assert repr(row) == before
