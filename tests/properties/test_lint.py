"""Lint and the machine agree: what lint finds shows in what a machine does, and nothing else of its kind does."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations
from uuid import UUID

import attrs
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from dts_fsm.errors import IllegalTransitionError
from dts_fsm.statechart import Chart, GuardDef, Severity, StateDef, StateMachine, TransitionDef, lint
from tests.strategies import any_charts, charts

ID = UUID(int=7)

World = frozenset[str]
"""The guards that agree at a time."""


@attrs.define
class Model:
    state: str
    world: World = frozenset()
    id: UUID = ID


def told(chart: Chart, code: str, names: int, everywhere: Iterable[str] = ()) -> set[tuple[str, ...]]:
    """The first names in quotes of each finding of a code."""
    findings = [finding for finding in lint(chart, everywhere=tuple(everywhere)) if finding.code == code]
    if findings:
        event(f"{code} found")
    return {tuple(re.findall("'([^']*)'", finding.message)[:names]) for finding in findings}


def worlds(chart: Chart) -> list[World]:
    """Every set of guards that may agree at once: no two of them say that they exclude each other."""
    excludes = {guard.name: guard.excludes for guard in chart.guards}
    names = sorted({*excludes, *(t.guard for t in chart.transitions if t.guard)})
    sets = [frozenset(chosen) for size in range(len(names) + 1) for chosen in combinations(names, size)]
    return [
        world
        for world in sets
        if not any(b in excludes.get(a, ()) and a in excludes.get(b, ()) for a, b in combinations(world, 2))
    ]


def closure(start: Iterable[str], steps: set[tuple[str, str]]) -> set[str]:
    """What is reached from the start in any number of steps."""
    seen = set(start)
    while more := {target for source, target in steps if source in seen} - seen:
        seen |= more
    return seen


# Charts with errors, which no machine runs, as an interpreter that does not mind them does


@given(any_charts(unique=True))
@settings(deadline=None)
def test_an_error_is_found_exactly_where_an_interpreter_meets_it(chart: Chart) -> None:
    able: dict[tuple[str, str], int] = defaultdict(int)
    steps, left = set(), set()
    states = {state.name for state in chart.states}
    finals = {state.name for state in chart.states if state.final}
    for world in worlds(chart):
        for source in {source for t in chart.transitions for source in t.sources}:
            taken = [t for t in chart.transitions if source in t.sources and (t.guard is None or t.guard in world)]
            for t in taken:
                able[t.event, source] = max(able[t.event, source], sum(other.event == t.event for other in taken))
            left |= {(source,) for _ in taken if source in finals}
            steps |= {(source, t.target) for t in taken if source not in finals}
    assert {trigger for trigger, most in able.items() if most > 1} == told(chart, "SC003", 2)
    assert left == told(chart, "SC006", 1)
    assert bool(finals) == (told(chart, "SC007", 0) == set())
    if chart.initial in states:
        assert {(state,) for state in states - closure([chart.initial], steps)} == told(chart, "SC004", 1)
    if finals:
        ending = closure(finals, {(target, source) for source, target in steps})
        assert {(state,) for state in states - ending} == told(chart, "SC005", 1)
    met = {name for t in chart.transitions for name in (*t.sources, t.target)} | {chart.initial}
    assert {(name,) for name in met - states} == told(chart, "SC001", 1)
    asked, declared = {t.guard for t in chart.transitions if t.guard}, {guard.name for guard in chart.guards}
    assert {(name,) for name in asked - declared} == told(chart, "SC002", 1)
    assert {(name,) for name in declared - asked} == told(chart, "SC009", 1)


# Charts that run


@attrs.frozen
class Seen:
    """What a machine of a chart does in every state, whatever the guards say.

    Attributes:
        fired: by state, event and world, the transition that is taken.
        given: by state, the transitions of the events that the machine gives by itself.
    """

    fired: dict[tuple[str, str, World], TransitionDef]
    given: dict[str, list[TransitionDef]]


def explored(chart: Chart) -> Seen:
    """Fire every event in every state and every world."""

    def asking(name: str) -> Callable[[Model], bool]:
        return lambda model: name in model.world

    runner = StateMachine(
        chart,
        callbacks={state.enter: lambda model: None for state in chart.states if state.enter},
        guards={guard.name: asking(guard.name) for guard in chart.guards},
    )
    seen = Seen({}, {state.name: [] for state in chart.states})
    for world in worlds(chart):
        for state in seen.given:
            for name in chart.events:
                try:
                    seen.fired[state, name, world] = runner.fire(Model(state, world), name)
                except IllegalTransitionError:
                    continue
            automatic = runner.next_event(Model(state, world))
            if automatic is not None:
                seen.given[state].append(seen.fired[state, automatic, world])
    return seen


def sound(chart: Chart) -> bool:
    return all(finding.severity is Severity.WARNING for finding in lint(chart))


@st.composite
def deciding(draw: st.DrawFn) -> Chart:
    """Charts whose event "go" decides between guards that exclude each other, in two states differently."""
    pairs = draw(st.sets(st.sampled_from([("p", "q"), ("p", "r"), ("q", "r")])))
    both = {name: tuple(b if name == a else a for a, b in sorted(pairs) if name in (a, b)) for name in "pqr"}

    def arrow(name: str, source: str, guard: str | None) -> TransitionDef:
        return TransitionDef(event=name, sources=(source,), target="end", guard=guard, description="It happens.")

    exits = [
        arrow("stop", "here", None),
        arrow("stop", "there", None),
        attrs.evolve(arrow("on", "here", None), target="there"),
    ]
    for source in ("here", "there"):
        chosen: list[str] = []
        for guard in draw(st.permutations("pqr"))[: draw(st.integers(0, 3))]:
            if set(chosen) <= set(both[guard]):
                chosen.append(guard)
        exits += [arrow("go", source, guard) for guard in chosen]
    unused = [name for name in "pqr" if name not in {t.guard for t in exits}]
    return Chart(
        name="deciding",
        initial="here",
        description="It decides.",
        states=tuple(StateDef(name=n, description="A state.", final=n == "end") for n in ("here", "there", "end")),
        guards=tuple(GuardDef(name=name, description="it is so", excludes=others) for name, others in both.items()),
        transitions=(*exits, *(arrow(f"other_{name}", "here", name) for name in unused)),
    )


RUNNING = charts() | any_charts(unique=True).filter(sound) | deciding()


@given(RUNNING)
@settings(deadline=None)
def test_a_chart_without_errors_is_walked_from_its_beginning_through_every_state_to_an_end(chart: Chart) -> None:
    fired = explored(chart).fired
    steps = {(state, taken.target) for (state, _, _), taken in fired.items()}
    states = {state.name for state in chart.states}
    assert states == closure([chart.initial], steps)
    assert states == closure(chart.final_states, {(target, source) for source, target in steps})
    assert {state for state, _, _ in fired}.isdisjoint(chart.final_states)


@given(RUNNING)
@settings(deadline=None)
def test_a_transition_is_called_shadowed_exactly_where_the_machine_never_gives_it_by_itself(chart: Chart) -> None:
    given_ = explored(chart).given
    never = {
        (t.event, t.target, state)
        for t in chart.transitions
        for state in t.sources
        if t.guard is not None and t not in given_[state]
    }
    assert never == told(chart, "SC014", 3)


@given(RUNNING)
@settings(deadline=None)
def test_a_guard_has_no_candidate_exactly_where_its_event_is_illegal_and_its_rivals_are_answered(chart: Chart) -> None:
    possible = worlds(chart)
    fired = explored(chart).fired
    answered = defaultdict(set)
    for state, name, world in fired:
        if len(world) == 1 and (state, name, frozenset()) not in fired:
            answered[state, name] |= world
    missing = set()
    for (state, name), guards in answered.items():
        elsewhere = {guard for (_, other), asked in answered.items() if other == name for guard in asked}
        for guard in {guard.name for guard in chart.guards} - guards:
            rivals = not any(guard in world and world & guards for world in possible)
            if rivals and (len(guards) > 1 or guard in elsewhere):
                missing.add((name, state, guard))
                assert (state, name, frozenset({guard})) not in fired
    assert missing == told(chart, "SC015", 3)


@given(RUNNING, st.frozensets(st.sampled_from(["go", "stop", "fail", "surprise"])))
@settings(deadline=None)
def test_an_event_is_missing_exactly_where_it_is_illegal_whatever_the_guards_say(
    chart: Chart, everywhere: frozenset[str]
) -> None:
    legal = {(name, state) for state, name, _ in explored(chart).fired}
    wanted = {(name, state) for name in everywhere for state in chart.live_states}
    assert wanted - legal == told(chart, "SC017", 2, everywhere)
    told_by_chart = lint(attrs.evolve(chart, everywhere=tuple(everywhere)))
    assert {*told_by_chart} == {*lint(chart, everywhere=everywhere)}


@given(RUNNING)
@settings(deadline=None)
def test_a_chart_that_ignores_its_warnings_has_no_findings(chart: Chart) -> None:
    codes = {finding.code for finding in lint(chart)}
    assume(codes)
    assert lint(attrs.evolve(chart, ignored=dict.fromkeys(codes, "We know."))) == ()
