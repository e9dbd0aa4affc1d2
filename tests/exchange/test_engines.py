"""Our exports do in other engines what the charts do here, whatever the sequence of events."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dts_fsm.statechart import CHARTS, Chart, load_chart, parse_chart
from dts_fsm.statechart.exchange import to_scxml, to_xstate
from tests.exchange.engines import (
    NODE,
    XState,
    assignments,
    elsewhere,
    follow,
    here,
    largest_assignments,
    missing,
    num_sequences,
    predicted,
    walk,
)
from tests.strategies import agreeing_guards, charts, rounds

pytestmark = pytest.mark.uncovered

LENGTH = 6
CHECKOUT = Path(__file__).parents[2]
OURS = {name: load_chart(name) for name in CHARTS}
EDGES = [
    pytest.param(name, number, source, id=f"{name}-{number}-{source}")
    for name, chart in OURS.items()
    for number, transition in enumerate(chart.transitions, start=1)
    for source in transition.sources
]
"""The states' transitions: the chart, and the transition's number and the source in it."""

ANY = charts() | st.sampled_from(list(OURS.values()))

AGAIN = """
[chart]
name = "again"
initial = "open"
description = "A state that leads back to itself."
[states.open]
description = "Open."
enter = "work.begin"
[states.closed]
description = "Closed."
final = true
[[transitions]]
event = "begin_again"
from = ["open"]
to = "open"
description = "Again."
[[transitions]]
event = "close"
from = ["open"]
to = "closed"
description = "Closed."
"""


@pytest.fixture(scope="module")
def xstate() -> Iterator[XState]:
    """One process of Node for all questions."""
    if reason := missing():
        pytest.skip(reason)
    engine = XState()
    yield engine
    engine.close()


@st.composite
def charts_with_guards(draw: st.DrawFn) -> tuple[Chart, frozenset[str]]:
    chart = draw(charts())
    return chart, draw(agreeing_guards(chart))


# Every sequence


@pytest.mark.parametrize("name", CHARTS)
def test_every_sequence_of_events_does_the_same_in_python_statemachine(name: str) -> None:
    chart = OURS[name]
    ours, theirs = here(chart), elsewhere(chart)
    for agreeing in assignments(chart):
        expected = walk(ours, chart.events, agreeing, LENGTH)
        assert expected == walk(theirs, chart.events, agreeing, LENGTH)


@pytest.mark.parametrize("name", CHARTS)
def test_every_sequence_of_events_does_the_same_in_xstate(name: str, xstate: XState) -> None:
    chart = OURS[name]
    ours = here(chart)
    for agreeing in assignments(chart):
        assert walk(ours, chart.events, agreeing, LENGTH) == xstate.walk(chart, agreeing, LENGTH)


def test_the_sequences_are_more_than_a_hundred_millions() -> None:
    covered = {name: len(assignments(chart)) * num_sequences(chart, LENGTH) for name, chart in OURS.items()}
    assert covered == {"transfer": 384 * 299_592, "operation": 3 * 1_111_110}


@given(charts_with_guards())
@settings(deadline=None, max_examples=50)
def test_every_sequence_of_any_chart_does_the_same_in_python_statemachine(drawn: tuple[Chart, frozenset[str]]) -> None:
    chart, agreeing = drawn
    assert walk(here(chart), chart.events, agreeing, LENGTH) == walk(elsewhere(chart), chart.events, agreeing, LENGTH)


@given(charts_with_guards())
@settings(deadline=None, max_examples=50)
def test_every_sequence_of_any_chart_does_the_same_in_xstate(
    xstate: XState, drawn: tuple[Chart, frozenset[str]]
) -> None:
    chart, agreeing = drawn
    assert walk(here(chart), chart.events, agreeing, LENGTH) == xstate.walk(chart, agreeing, LENGTH)


# Without the walk's short cuts, and with guards that change


@pytest.mark.parametrize("name", CHARTS)
def test_a_walk_tells_what_each_short_sequence_does_in_python_statemachine(name: str) -> None:
    chart = OURS[name]
    agreeing = max(assignments(chart), key=len)
    reached, theirs = walk(here(chart), chart.events, agreeing, LENGTH), elsewhere(chart)
    for events in itertools.product(chart.events, repeat=3):
        assert predicted(reached, events) == follow(theirs, [(event, agreeing) for event in events])


@pytest.mark.parametrize("name", CHARTS)
def test_a_walk_tells_what_each_sequence_does_in_xstate(name: str, xstate: XState) -> None:
    chart = OURS[name]
    agreeing = max(assignments(chart), key=len)
    reached = walk(here(chart), chart.events, agreeing, LENGTH)
    assert (num_sequences(chart, LENGTH), []) == xstate.every(chart, agreeing, LENGTH, reached)


def test_a_sequence_that_does_something_else_is_found_in_xstate(xstate: XState) -> None:
    chart, agreeing = OURS["operation"], frozenset({"attempts_left"})
    reached = walk(here(chart), chart.events, agreeing, 3)
    reached["submit start retry"] = "failed"
    _, wrong = xstate.every(chart, agreeing, 3, reached)
    assert wrong == [["submit start retry", "pending"]]


@given(st.data())
@settings(deadline=None)
def test_guards_may_change_between_events_in_python_statemachine(data: st.DataObject) -> None:
    chart = data.draw(ANY)
    fired = data.draw(rounds(chart))
    assert follow(here(chart), fired) == follow(elsewhere(chart), fired)


@given(st.data())
@settings(deadline=None)
def test_guards_may_change_between_events_in_xstate(xstate: XState, data: st.DataObject) -> None:
    chart = data.draw(ANY)
    fired = data.draw(rounds(chart))
    assert follow(here(chart), fired) == xstate.follow(chart, fired)


# The page for people


def test_the_program_of_the_page_does_what_it_says(xstate: XState, tmp_path: Path) -> None:
    page = (CHECKOUT / "docs" / "how-to" / "exchange.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```js\n(.*?)^```$", page, re.M | re.S)
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    (tmp_path / "operation.json").write_text(to_xstate(OURS["operation"]), encoding="utf-8")
    (tmp_path / "page.mjs").write_text(program, encoding="utf-8")
    done = subprocess.run(
        ["node", "page.mjs"], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == (program.rpartition("// ")[2], "")


# A wrong export is found


def caught_in_scxml(chart: Chart, text: str) -> bool:
    """Say whether a walk through another document than the chart's differs."""
    ours, theirs = here(chart), elsewhere(chart, text)
    return any(
        walk(ours, chart.events, agreeing, LENGTH) != walk(theirs, chart.events, agreeing, LENGTH)
        for agreeing in largest_assignments(chart)
    )


def caught_in_xstate(chart: Chart, text: str, xstate: XState) -> bool:
    """Say whether a walk through another machine than the chart's differs."""
    ours = here(chart)
    return any(
        walk(ours, chart.events, agreeing, LENGTH) != xstate.walk(chart, agreeing, LENGTH, text=text)
        for agreeing in largest_assignments(chart)
    )


@pytest.mark.parametrize(("name", "number", "source"), EDGES)
def test_a_missing_transition_is_found_in_python_statemachine(name: str, number: int, source: str) -> None:
    chart = OURS[name]
    order = f'dts:order="{number} {chart.transitions[number - 1].sources.index(source) + 1}"'
    lines = to_scxml(chart).splitlines()
    left = [line for line in lines if order not in line]
    assert (len(lines) - 1, True) == (len(left), caught_in_scxml(chart, "\n".join(left)))


@pytest.mark.parametrize(("name", "number", "source"), EDGES)
def test_a_missing_transition_is_found_in_xstate(name: str, number: int, source: str, xstate: XState) -> None:
    chart = OURS[name]
    machine = json.loads(to_xstate(chart))
    transitions = machine["states"][source]["on"][chart.transitions[number - 1].event]
    left = [each for each in transitions if each["meta"]["dts_fsm"]["order"][0] != number]
    machine["states"][source]["on"][chart.transitions[number - 1].event] = left
    assert (len(transitions) - 1, True) == (len(left), caught_in_xstate(chart, json.dumps(machine), xstate))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("'manifestor.begin'", "'mover.begin'"),
        ('cond="files_staged" target="active"', 'cond="files_staged" target="finalizing"'),
        ('event="stage" cond="files_unstaged"', 'event="stage" cond="files_staged"'),
        ('initial="unknown"', 'initial="staging"'),
    ],
)
def test_another_defect_is_found_in_python_statemachine(right: str, wrong: str) -> None:
    text = to_scxml(OURS["transfer"])
    assert (right in text, caught_in_scxml(OURS["transfer"], text.replace(right, wrong))) == (True, True)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"manifestor.begin"', '"mover.begin"'),
        ('"guard": "files_unstaged"', '"guard": "files_staged"'),
        ('"initial": "unknown"', '"initial": "staging"'),
    ],
)
def test_another_defect_is_found_in_xstate(right: str, wrong: str, xstate: XState) -> None:
    text = to_xstate(OURS["transfer"])
    assert (right in text, caught_in_xstate(OURS["transfer"], text.replace(right, wrong), xstate)) == (True, True)


def test_a_state_that_is_not_entered_again_is_found_in_xstate(xstate: XState) -> None:
    chart = parse_chart(AGAIN, file="again.toml")
    text = to_xstate(chart)
    broken = text.replace('"reenter": true,', "")
    assert (caught_in_xstate(chart, text, xstate), caught_in_xstate(chart, broken, xstate)) == (False, True)
