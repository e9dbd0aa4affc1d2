"""The product of a transfer's chart with its operations' charts, explored to the last combination.

The real engine decides, time and attempts are abstracted: from each combination every answer of a provider, every
request of a user and every passing of a deadline is tried, and how many combinations there are is printed.
``DTS_MODEL_MOVES=4`` explores one move more than by default.
"""

from __future__ import annotations

import copy
import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from dts_fsm.config import ServiceConfig
from dts_fsm.engine import Engine, Timing
from dts_fsm.engine.guards import ENDED, latest
from dts_fsm.errors import PermanentError, TransientError
from dts_fsm.handlers import Manifestor, Mover, Stager
from dts_fsm.handlers.places import Places
from dts_fsm.records import (
    FileOutcome,
    FileState,
    OperationCode,
    OperationStatus,
    SourceSummary,
)
from dts_fsm.statechart import load_chart
from dts_fsm.store import Change, OperationRow, RequestRow, TransferRow
from dts_fsm.testing.store_rows import NOW, plan

pytestmark = pytest.mark.uncovered

FINAL = ("succeeded", "failed")
Key = tuple[object, ...]

ANSWERS = (
    OperationStatus(code=OperationCode.RUNNING),
    OperationStatus(code=OperationCode.SUSPENDED),
    OperationStatus(code=OperationCode.SUCCEEDED),
    OperationStatus(code=OperationCode.FAILED, transient=True),
    OperationStatus(code=OperationCode.FAILED),
    OperationStatus(code=OperationCode.CANCELED),
    OperationStatus(code=OperationCode.LOST),
    TransientError("not now"),
    PermanentError("never"),
    None,
)
ARRIVED = tuple(
    OperationStatus(code=code, files=(FileOutcome(id="a", state=FileState.TRANSFERRED),))
    for code in (OperationCode.SUCCEEDED, OperationCode.FAILED)
)
UNSTAGED = OperationStatus(code=OperationCode.SUCCEEDED, files=(FileOutcome(id="a", state=FileState.UNSTAGED),))


def key(row: TransferRow) -> Key:
    """What tells two combinations apart; moves from different endpoints are as good as each other."""
    operations = sorted(
        (op.handler, op.kind, op.phase, op.state, op.submitted, op.attempts, op.due_at is None or op.due_at <= NOW)
        for op in row.operations
    )
    late = row.due_at is not None and row.due_at <= NOW
    return (
        row.state,
        row.suspended_from,
        row.wanted,
        row.num_unstaged > 0,
        row.files_transferred > 0,
        late,
        row.due_at is None,
        *operations,
    )


def contradictions(row: TransferRow) -> Iterator[str]:
    """What must not be, of a row between two ticks."""
    live = [op for op in row.operations if op.state not in ENDED]
    if (row.completed_at is not None) is not (row.state in FINAL):
        yield "it has a time of completion and has not ended, or the other way round"
    if row.state in FINAL and (live or row.due_at is not None):
        yield "it has ended, and something of it goes on"
    if row.state not in FINAL and row.due_at is None and not live:
        yield "nothing would ever wake it"
    if any((op.due_at is None) is not (op.state in ENDED) for op in row.operations):
        yield "a live operation is never looked at, or an ended one still is"
    if row.state == "inactive" and not row.suspended_from:
        yield "it does not know where to go on"
    if any(op.state == "pending" and op.due_at is not None and op.due_at <= NOW for op in row.operations):
        yield "something is due and was not handed over"
    if row.state == "succeeded" and any(op.state != "succeeded" for op in row.operations if op.kind == "manifest"):
        yield "it succeeded, and its manifest did not"
    pairs = [(op.phase, op.handler, op.kind, op.endpoint) for op in live]
    if len(pairs) != len(set(pairs)):
        yield "the same work is done twice at once"


class Explorer:
    """Goes from combination to combination, each once."""

    def __init__(self, folder: Path, moves: int, partial: str) -> None:
        settings = ServiceConfig(data_dir=folder, max_attempts=2, partial=partial)
        places = Places({}, {})
        handlers = {
            "stager": Stager(places),
            "mover": Mover(places),
            "manifestor": Manifestor(places, endpoint="service", folder=folder),
        }
        self.engine = Engine(handlers, Timing(settings, seed=0), lambda rowid: self.admitted.stored)  # type: ignore[arg-type, return-value]
        self.plan = attrs.evolve(
            plan("a"),
            sources=tuple(SourceSummary(endpoint=f"disk {n}", num_files=1, num_bytes=1) for n in range(moves)),
        )
        self.admitted = self.engine.admit(self.plan, NOW).transfer

    def settled(self, row: TransferRow, **heard: object) -> TransferRow:
        """A copy of the row after a decision."""
        numbers = [(row.operations.index(op), answer) for op, answer in heard.pop("answers", ())]  # type: ignore[attr-defined, call-overload]
        after = copy.copy(row)
        after.operations = [copy.copy(op) for op in row.operations]
        after.wishes = []
        answers = [(after.operations[number], answer) for number, answer in numbers]
        change: Change = self.engine.decide(after, NOW, answers=answers, requests=heard.get("requests", ()))  # type: ignore[arg-type]
        assert (change.journal is not None) is (after.state in FINAL)
        # what ended, and was followed by the same work or another phase, decides nothing any more
        deciding = {id(op) for op in latest(after)}
        after.operations = [op for op in after.operations if op.state not in ENDED or id(op) in deciding]
        return after

    def steps(self, row: TransferRow) -> Iterator[TransferRow]:
        """Everything that can happen next."""
        for kind in ("cancel", "suspend", "resume"):
            yield self.settled(row, requests=[RequestRow(1, 1, kind)])
        if row.due_at is not None and row.due_at > NOW:
            yield self.settled(attrs.evolve(row, due_at=NOW, deadline_at=NOW))
        for operation in row.operations:
            if operation.state in ENDED:
                continue
            if operation.state == "pending":
                yield from self._later(row, operation, due_at=NOW)
                continue
            more = {"survey": (UNSTAGED,), "move": ARRIVED}
            answers = (*ANSWERS, *more.get(operation.kind, ()))
            for answer in answers:
                yield self.settled(row, answers=[(operation, answer)])
            if operation.state == "canceling":
                # its provider has been silent for too long
                old = attrs.evolve(row, operations=list(row.operations))
                at = old.operations.index(operation)
                old.operations[at] = silent = attrs.evolve(operation, changed_at=NOW - 1e9)
                yield self.settled(old, answers=[(silent, None)])

    def _later(self, row: TransferRow, operation: OperationRow, **changes: object) -> Iterator[TransferRow]:
        later = attrs.evolve(row, operations=list(row.operations))
        later.operations[later.operations.index(operation)] = attrs.evolve(operation, **changes)  # type: ignore[arg-type]
        yield self.settled(later)

    def explore(self) -> dict[Key, set[Key]]:
        """Give every combination that can be reached, with those that can follow it."""
        graph: dict[Key, set[Key]] = {}
        waiting = deque([self.admitted])
        while waiting:
            row = waiting.popleft()
            here = key(row)
            if here in graph:
                continue
            graph[here] = set()
            found = list(contradictions(row))
            assert found == [], f"{here}: {found}"
            if row.state in FINAL:
                continue
            for after in self.steps(row):
                graph[here].add(key(after))
                if key(after) not in graph:
                    waiting.append(after)
        return graph


def stranded(graph: dict[Key, set[Key]]) -> set[Key]:
    """The combinations from which no way leads to an end."""
    before: dict[Key, set[Key]] = {here: set() for here in graph}
    for here, following in graph.items():
        for there in following:
            before[there].add(here)
    ending = {here for here in graph if here[0] in FINAL}
    waiting = deque(ending)
    while waiting:
        for here in before[waiting.popleft()] - ending:
            ending.add(here)
            waiting.append(here)
    return set(graph) - ending


@pytest.mark.parametrize("partial", ["fail", "keep"])
@pytest.mark.parametrize("moves", range(1, int(os.environ.get("DTS_MODEL_MOVES", "3")) + 1))
def test_every_combination_has_a_way_to_an_end_and_none_contradicts(
    tmp_path: Path, record_property: Callable[[str, object], None], moves: int, partial: str
) -> None:
    graph = Explorer(tmp_path, moves, partial).explore()
    arrows = sum(map(len, graph.values()))
    record_property("explored", f"{moves} moves, partial: {partial}: {len(graph)} combinations, {arrows} steps")
    assert stranded(graph) == set()
    assert {here[0] for here in graph} == {state.name for state in load_chart("transfer").states}
