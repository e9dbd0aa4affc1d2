"""Statecharts: what holds for every chart, every way through it and every picture of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import UUID

import attrs
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from dts_fsm.errors import IllegalTransitionError, StatechartError
from dts_fsm.statechart import CHARTS, Chart, Severity, StateMachine, TransitionDef, lint, load_chart, parse_chart
from dts_fsm.statechart.drawing import Overlay, Picture, dot, markdown, mermaid, plantuml
from dts_fsm.statechart.drawing.picture import LOOP
from tests.strategies import agreeing_guards, any_charts, chart_toml, charts, rounds

ALL_CHARTS = charts() | st.sampled_from([load_chart(name) for name in CHARTS])
ID = UUID(int=7)


@attrs.define
class Model:
    state: str
    agreeing: frozenset[str] = frozenset()
    entered: list[tuple[str, str]] = attrs.field(factory=list)
    id: UUID = ID


def machine(chart: Chart) -> StateMachine:
    """A machine whose guards ask the model, and whose callbacks tell it their name and the state they saw."""

    def guard(name: str) -> Callable[[Model], bool]:
        return lambda model: name in model.agreeing

    def callback(name: str) -> Callable[[Model], None]:
        return lambda model: model.entered.append((name, model.state))

    return StateMachine(
        chart,
        callbacks={state.enter: callback(state.enter) for state in chart.states if state.enter},
        guards={guard_.name: guard(guard_.name) for guard_ in chart.guards},
    )


def errors(chart: Chart) -> list[str]:
    return [str(finding) for finding in lint(chart) if finding.severity is Severity.ERROR]


def possible(chart: Chart, state: str, agreeing: frozenset[str]) -> list[TransitionDef]:
    """The naive interpreter: the transitions that can be taken, read off the chart's list."""
    return [t for t in chart.transitions if state in t.sources and (t.guard is None or t.guard in agreeing)]


@given(st.data())
@settings(deadline=None)
def test_a_machine_does_what_a_naive_interpreter_of_its_chart_does(data: st.DataObject) -> None:
    chart = data.draw(ALL_CHARTS)
    runner, model = machine(chart), Model(chart.initial)
    state, entered = chart.initial, []
    for name, agreeing in data.draw(rounds(chart)):
        model.agreeing = agreeing
        able = possible(chart, state, agreeing)
        verdicts = [(t, t in able) for t in chart.transitions if state in t.sources]
        assert verdicts == runner.verdicts(model)
        assert next((t.event for t in able if t.guard), None) == runner.next_event(model)
        taken = next((t for t in able if t.event == name), None)
        if taken is None:
            with pytest.raises(IllegalTransitionError) as caught:
                runner.fire(model, name)
            assert (ID, state, name) == (caught.value.machine_id, caught.value.state, caught.value.event)
        else:
            assert taken == runner.fire(model, name)
            state = taken.target
            enter = next(s.enter for s in chart.states if s.name == state)
            entered += [(enter, state)] if enter else []
        assert (state, entered) == (model.state, model.entered)
    event("ended" if state in chart.final_states else "lives")


@given(st.data())
@settings(deadline=None)
def test_a_final_state_absorbs_every_event(data: st.DataObject) -> None:
    chart = data.draw(ALL_CHARTS)
    runner, model = machine(chart), Model(data.draw(st.sampled_from(chart.final_states)))
    model.agreeing = data.draw(agreeing_guards(chart))
    before = model.state
    for name in chart.events:
        with pytest.raises(IllegalTransitionError):
            runner.fire(model, name)
    assert (before, [], None, []) == (model.state, model.entered, runner.next_event(model), runner.verdicts(model))


@given(st.data())
@settings(deadline=None)
def test_every_live_state_of_a_faultless_chart_is_on_a_way_from_the_beginning_to_an_end(data: st.DataObject) -> None:
    chart = data.draw(ALL_CHARTS | any_charts().filter(lambda chart: not errors(chart)))
    ways = {(source, t.target) for t in chart.transitions for source in t.sources}
    for _ in chart.states:
        ways |= {(a, d) for a, b in ways for c, d in ways if b == c}
    for state in chart.states:
        assert state.name == chart.initial or (chart.initial, state.name) in ways
        assert state.final or any((state.name, end) in ways for end in chart.final_states)


@given(any_charts())
@settings(deadline=None)
def test_any_chart_is_either_run_or_refused_with_every_finding(chart: Chart) -> None:
    findings = errors(chart)
    event("faultless" if not findings else "faults")
    if findings:
        with pytest.raises(StatechartError) as caught:
            machine(chart)
        assert findings == [*caught.value.findings]
    else:
        assert chart == machine(chart).chart


@given(charts())
@settings(deadline=None)
def test_random_charts_have_no_fault(chart: Chart) -> None:
    assert errors(chart) == []


@given(st.data())
@settings(deadline=None)
def test_a_chart_that_loses_one_part_that_it_needs_has_a_fault(data: st.DataObject) -> None:
    chart = data.draw(charts())
    part = data.draw(st.sampled_from(("states", "guards") if chart.guards else ("states",)))
    gone = data.draw(st.sampled_from(getattr(chart, part)))
    broken = attrs.evolve(chart, **{part: tuple(kept for kept in getattr(chart, part) if kept != gone)})
    assert any(repr(gone.name) in finding for finding in errors(broken))


@given(charts())
@settings(deadline=None)
def test_a_chart_written_as_toml_is_read_back_equal(chart: Chart) -> None:
    again = parse_chart(chart_toml(chart), file="random.toml")
    assert (chart, chart.migrations) == (again, again.migrations)


@given(st.data())
@settings(deadline=None)
def test_the_fingerprint_ignores_words_callbacks_and_the_order_of_states(data: st.DataObject) -> None:
    chart = data.draw(ALL_CHARTS)
    other = attrs.evolve(
        chart,
        name="other",
        description="Other words.",
        file="other.toml",
        states=tuple(
            attrs.evolve(state, description="Others.", enter="other.callback", deadline=None)
            for state in data.draw(st.permutations(chart.states))
        ),
        guards=tuple(attrs.evolve(guard, description="others") for guard in data.draw(st.permutations(chart.guards))),
        # One transition from several states is as good as one from each.
        transitions=tuple(
            attrs.evolve(t, sources=(source,), description="Others.") for t in chart.transitions for source in t.sources
        ),
    )
    assert chart.fingerprint == other.fingerprint


@given(st.data())
@settings(deadline=None)
def test_the_fingerprint_tells_charts_that_behave_differently_apart(data: st.DataObject) -> None:
    chart = data.draw(ALL_CHARTS)
    at = data.draw(st.integers(0, len(chart.transitions) - 1))
    old = chart.transitions[at]
    states = [state.name for state in chart.states]
    changed = data.draw(
        st.sampled_from(
            [
                attrs.evolve(old, event="surprise"),
                attrs.evolve(old, guard="surprise"),
                attrs.evolve(old, target=next(name for name in states if name != old.target)),
            ]
        )
    )
    others = [
        attrs.evolve(chart, transitions=(*chart.transitions[:at], changed, *chart.transitions[at + 1 :])),
        attrs.evolve(chart, initial=next(name for name in states if name != chart.initial)),
        attrs.evolve(chart, states=(attrs.evolve(chart.states[0], final=not chart.states[0].final), *chart.states[1:])),
    ]
    assert [True] * len(others) == [chart.fingerprint != other.fingerprint for other in others]


Arrows = list[tuple[str, str, str]]
"""Sorted arrows: source, what is written on it, and target."""


def arrows(chart: Chart) -> Arrows:
    return sorted(
        (source, t.event + (f" [{t.guard}]" if t.guard else ""), t.target)
        for t in chart.transitions
        for source in t.sources
    )


def mermaid_arrows(text: str) -> tuple[set[str], Arrows]:
    """The states and arrows that a Mermaid text draws, those of the box for each state in it."""
    lines = [line.strip() for line in text.splitlines()]
    names: dict[str, str] = {}
    for line in lines:
        if match := re.fullmatch(r"(\w+) : (\w+)", line):
            names.setdefault(match[1], match[2])
    box = re.search(r'state "any of these" as ANY \{\n(.*?)\n    \}', text, re.DOTALL)
    inside = list(dict.fromkeys(re.findall(r"^ +(\w+) :", box[1], re.MULTILINE))) if box else []
    found: Arrows = []
    for line in lines:
        if match := re.fullmatch(r"(\w+) --> (\w+) : (.+)", line):
            for source in inside if match[1] == "ANY" else [match[1]]:
                found += [(names[source], label, names[match[2]]) for label in match[3].split("<br/>")]
        elif match := re.fullmatch(rf"(\w+) : {LOOP} (.+)", line):
            found.append((names[match[1]], match[2], names[match[1]]))
    return set(names.values()), sorted(found)


def dot_arrows(text: str) -> tuple[set[str], Arrows]:
    """The states and arrows that a DOT text draws, those of the box for each state in it."""
    box = re.search(r"subgraph cluster_any \{\n(.*?)\n    \}", text, re.DOTALL)
    inside = re.findall(r'^ +"(\w+)" \[', box[1], re.MULTILINE) if box else []
    found: Arrows = []
    for source, target, labels, rest in re.findall(r'^ +"(\w+)" -> "(\w+)" \[label="(.*?)"(.*)\]$', text, re.MULTILINE):
        for start in inside if "ltail=cluster_any" in rest else [source]:
            found += [(start, label.strip(), target) for label in labels.split("\\n")]
    for state, notes in re.findall(r'^ +"(\w+)" \[label=<<b>\w+</b>(.*)>', text, re.MULTILINE):
        found += [(state, label, state) for label in re.findall(rf">{LOOP} (.*?)</font>", notes)]
    return set(re.findall(r'^ +"(\w+)" \[label=<<b>', text, re.MULTILINE)), sorted(found)


def plantuml_arrows(text: str) -> tuple[set[str], Arrows]:
    """The states and arrows that a PlantUML text draws, those of the box for each state in it."""
    lines = text.splitlines()
    names = {id_: name for name, id_ in re.findall(r'^ *state "(\w+)" as (S\d+)', text, re.MULTILINE)}
    inside = [id_ for _, id_ in re.findall(r'^  state "(\w+)" as (S\d+)', text, re.MULTILINE)]
    found: Arrows = []
    for line in lines:
        if match := re.fullmatch(r"(\w+) --> (\w+) : (.+)", line):
            for source in inside if match[1] == "ANY" else [match[1]]:
                found += [(names[source], label, names[match[2]]) for label in match[3].split("\\n")]
        elif match := re.fullmatch(rf" *(\w+) : {LOOP} (.+)", line):
            found.append((names[match[1]], match[2], names[match[1]]))
    return set(names.values()), sorted(found)


def markdown_arrows(text: str) -> tuple[set[str], Arrows]:
    """The states and transitions of the tables, those of several states for each of them."""
    states, transitions = text.split("\n\n")
    found: Arrows = []
    for line in transitions.splitlines()[2:]:
        cells = re.split(r"(?<!\\)\|", line)[1:-1]
        sources, event_, guard, target, _ = (re.sub(r"\\(.)", r"\1", cell.strip()) for cell in cells)
        label = f"{event_} [{guard}]" if guard else event_
        found += [(source, label, target) for source in sources.split(", ")]
    names = re.findall(r"^\| \*\*([\w\\]+)\*\*", states, re.MULTILINE)
    return {name.replace("\\", "") for name in names}, sorted(found)


@given(ALL_CHARTS)
@settings(deadline=None)
def test_a_picture_shows_every_state_and_every_arrow_once_and_nothing_else(chart: Chart) -> None:
    expected = ({state.name for state in chart.states}, arrows(chart))
    picture = Picture.of(chart)
    assert expected == mermaid_arrows(mermaid(picture))
    assert expected == dot_arrows(dot(picture))
    assert expected == plantuml_arrows(plantuml(picture))
    assert expected == markdown_arrows(markdown(picture))


@given(st.data())
@settings(deadline=None)
def test_a_picture_of_a_machine_marks_what_it_walked_and_where_it_is(data: st.DataObject) -> None:
    chart = data.draw(ALL_CHARTS)
    state, path = chart.initial, [("", "create", chart.initial)]
    for name, agreeing in data.draw(rounds(chart)):
        if taken := next((t for t in possible(chart, state, agreeing) if t.event == name), None):
            path.append((state, name, taken.target))
            state = taken.target
    walked = {name for _, _, name in path} - {state}
    picture = Picture.of(chart, Overlay.of_path(path, state))
    drawn = mermaid(picture)
    ids = dict(re.findall(r"^ +(\w+) : (\w+)$", drawn, re.MULTILINE)) | {"": ""}
    marks = {kind: {ids[i] for i in listed.split(",")} for listed, kind in re.findall(r" class (\S+) (\w+)", drawn)}
    assert {"current": {state}} | ({"walked": walked} if walked else {}) == marks
    ticked = {(event_, target) for _, event_, target in path if event_ != "create"}
    assert ticked == {
        (label.removeprefix("\N{CHECK MARK} ").split(" ")[0], target)
        for _, label, target in mermaid_arrows(drawn)[1]
        if label.startswith("\N{CHECK MARK} ")
    }
    drawn = dot(picture)
    assert [state] == re.findall(r'"(\w+)" \[label=<.*fillcolor="#ffe08a"', drawn)
    assert walked == set(re.findall(r'"(\w+)" \[label=<.*fillcolor="#d7ecd9"', drawn))
