"""Histories as transfers really leave them replay to the store's states; and whatever is changed in one is noticed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant

from dts_fsm.records import DepartureKind, HistoryRecord, Replay
from dts_fsm.statechart import Chart, load_chart, replay
from tests.properties.test_transfers import Transfers
from tests.strategies import OBJECTS

pytestmark = pytest.mark.uncovered

CHARTS = {True: load_chart("transfer"), False: load_chart("operation")}
BEGAN = datetime(2027, 1, 1, tzinfo=UTC)
TRANSFER = UUID(int=100)

History = list[HistoryRecord]


class Replayed(Transfers):
    """Whatever users, providers and crashes do."""

    @invariant()
    def every_history_is_in_order(self) -> None:
        for transfer_id in getattr(self, "ids", ()):
            store = self.rig.store
            states: dict[UUID | None, str] = {None: store.status(transfer_id).code}
            states |= {operation.id: operation.state for operation in store.operations(store.rowid(transfer_id))}
            done = replay(store.history(transfer_id), states=states)
            assert (done.departures, done.states) == ((), states)


TestReplayed = Replayed.TestCase
TestReplayed.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A transfer and up to three operations that go along their charts, in turns, with instants that they share."""
    history: History = []
    states: dict[UUID | None, str] = {}
    seq, time = 0, BEGAN
    turns = draw(st.lists(st.sampled_from([None, UUID(int=1), UUID(int=2), UUID(int=3)]), max_size=25))
    for machine in (None, *turns):
        chart = CHARTS[machine is None]
        source = states.get(machine, "")
        steps = [("create", chart.initial)]
        if source:
            steps = [(transition.event, transition.target) for transition in chart.transitions_from(source)]
        if not steps:
            continue
        what, target = draw(st.sampled_from(steps))
        seq += draw(st.integers(1, 3))
        time += timedelta(seconds=draw(st.sampled_from([0, 0, 1, 60])))
        history.append(
            HistoryRecord(
                seq=seq,
                transfer_id=TRANSFER,
                operation_id=machine,
                machine="transfer" if machine is None else "move",
                event=what,
                source=source,
                target=target,
                time=time,
            )
        )
        states[machine] = target
    return history


def in_order(history: History) -> bool:
    """Whether it is a history as ``histories`` makes them: the same said in another way."""
    for before, after in pairwise(history):
        if after.seq <= before.seq or after.time < before.time:
            return False
    for machine in {row.operation_id for row in history}:
        chart, state = CHARTS[machine is None], ""
        for row in history:
            if row.operation_id != machine:
                continue
            if row.source != state or (row.source, row.event, row.target) not in arrows(chart):
                return False
            state = row.target
    return history == [] or history[0].operation_id is None


def arrows(chart: Chart) -> set[tuple[str, str, str]]:
    made = {("", "create", chart.initial)}
    return made | {(source, t.event, t.target) for t in chart.transitions for source in t.sources}


def states_of(history: History) -> dict[UUID | None, str]:
    return {row.operation_id: row.target for row in history}


def is_last(history: History, number: int) -> bool:
    """Whether the row is the last one of its machine."""
    return history[number].operation_id not in {row.operation_id for row in history[number + 1 :]}


def noticed(history: History, **known: Any) -> bool:
    return replay(history, **known).departures != ()


@settings(max_examples=300)
@given(history=histories())
def test_a_walk_along_the_charts_is_in_order(history: History) -> None:
    done = replay(history, states=states_of(history))
    assert (done.departures, done.states) == ((), states_of(history))
    assert in_order(history)
    for machine in done.machines:
        own = [row for row in history if row.operation_id == machine.operation_id]
        assert (machine.num_steps, sum(stays.count for stays in machine.stays)) == (len(own), len(own))
        assert sum(stays.time_s for stays in machine.stays) == (own[-1].time - own[0].time).total_seconds()


@settings(max_examples=300)
@given(history=histories(), data=st.data())
def test_a_row_that_is_missing_is_noticed_but_for_the_last_of_a_machine(history: History, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(history) - 1))
    left = [*history[:number], *history[number + 1 :]]
    alone = is_last(history, number) and (history[number].operation_id is not None or left == [])
    last = is_last(history, number) and (history[number].event != "create" or alone)
    event(f"last: {last}")
    assert noticed(left) is not last
    # and with what the store says, those are noticed, too
    assert noticed(left, states=states_of(history))


@settings(max_examples=300)
@given(history=histories(), data=st.data())
def test_a_row_that_is_there_twice_is_noticed(history: History, data: st.DataObject) -> None:
    number, place = (data.draw(st.integers(0, len(history) - 1)) for _ in range(2))
    twice = [*history[:place], history[number], *history[place:]]
    assert noticed(twice)
    # under a number of its own it is noticed, too: no chart has a transition that leads back to where it began
    renumbered = [attrs.evolve(row, seq=seq) for seq, row in enumerate(twice)]
    again = noticed([attrs.evolve(row, time=BEGAN) for row in renumbered])
    assert again is not in_order([attrs.evolve(row, time=BEGAN) for row in renumbered])
    if place == number:
        assert again


@settings(max_examples=300)
@given(history=histories().filter(lambda history: len(history) > 1), data=st.data())
def test_rows_that_changed_places_are_noticed(history: History, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(history) - 2))
    one, other = history[number : number + 2]
    assert noticed([*history[:number], other, one, *history[number + 2 :]])
    # with the numbers of their places, unless they are of two machines and of one instant
    one, other = attrs.evolve(one, seq=other.seq), attrs.evolve(other, seq=one.seq)
    apart = one.operation_id != other.operation_id and one.time == other.time and number > 0
    event(f"of two machines and of one instant: {apart}")
    assert noticed([*history[:number], other, one, *history[number + 2 :]]) is not apart


@settings(max_examples=500)
@given(history=histories(), data=st.data())
def test_another_event_or_state_is_noticed_unless_the_chart_allows_it_as_well(
    history: History, data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, len(history) - 1))
    row = history[number]
    chart = CHARTS[row.operation_id is None]
    key = data.draw(st.sampled_from(["event", "source", "target"]))
    words = chart.events if key == "event" else [state.name for state in chart.states]
    value = data.draw(st.sampled_from([word for word in (*words, "", "nonsense") if word != getattr(row, key)]))
    other = attrs.evolve(row, **{key: value})
    changed = [*history[:number], other, *history[number + 1 :]]
    legal = in_order(changed)
    event(f"{key}: {'as legal' if legal else 'wrong'}")
    assert noticed(changed) is not legal
    # it is so only for another event to the same target, or for another target of a machine's last row
    assert not legal or key == "event" or (key == "target" and is_last(history, number))
    # what the store says finds the latter
    assert not (legal and key == "target") or noticed(changed, states=states_of(history))


@settings(max_examples=300)
@given(history=histories(), data=st.data())
def test_an_upgrade_in_a_row_s_place_is_believed(history: History, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(history) - 1))
    changed = [*history[:number], attrs.evolve(history[number], event="upgrade"), *history[number + 1 :]]
    assert noticed(changed) is (history[number].source == "")


_GOOD: dict[str, Any] = {
    "seq": 1,
    "transfer_id": TRANSFER,
    "operation_id": None,
    "machine": "transfer",
    "event": "create",
    "source": "",
    "target": "unknown",
    "time": BEGAN,
}


@settings(max_examples=100)
@given(
    fields=st.lists(
        st.fixed_dictionaries({name: st.just(value) | OBJECTS for name, value in _GOOD.items()}), max_size=4
    ),
    others=st.lists(OBJECTS, max_size=3),
)
def test_whatever_it_is_given_is_answered_and_never_raises(fields: list[dict[str, Any]], others: list[Any]) -> None:
    rows = [*(HistoryRecord(**row) for row in fields), *others]
    done = replay(rows)
    assert isinstance(done, Replay)
    wrong = [departure for departure in done.departures if departure.kind is DepartureKind.FORM]
    assert len(wrong) >= len(others)
