"""What is wrong with a chart that can be read: the faults that would otherwise show only when a machine is stuck."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, combinations

from dts_fsm.errors import StatechartError
from dts_fsm.statechart.definition import Chart, TransitionDef


def lint(
    chart: Chart, *, callbacks: Collection[str] | None = None, guards: Collection[str] | None = None
) -> tuple[str, ...]:
    """Give one sentence for each fault of the chart, none for a good one. Pure.

    A sentence begins with the chart's file, where it has one, and a code that stays the same through versions: SC001
    unknown state, SC002 undeclared guard, SC003 one event could take two transitions, SC004 unreachable state, SC005 no
    way to a final state, SC006 exit from a final state, SC007 no final state, SC008 final state with a deadline, SC009
    unused guard, SC010 callback that nobody offers, SC011 guard that nobody offers, SC012 guard that excludes itself or
    an undeclared one, SC013 a name declared twice.

    Args:
        callbacks: the names of the callbacks that are offered for ``enter``, or None for not checking them.
        guards: the names of the guards that are offered, or None for not checking them.
    """
    findings = chain(
        _names(chart),
        _ambiguities(chart),
        _ways(chart),
        _ends(chart),
        _unused_guards(chart),
        _offers(chart, callbacks, guards),
    )
    where = f"{chart.file}: " if chart.file else ""
    return tuple(where + finding for finding in findings)


def check(chart: Chart, *, callbacks: Collection[str] | None = None, guards: Collection[str] | None = None) -> None:
    """The chart has no fault that ``lint`` knows.

    Raises:
        StatechartError: it has; every finding is listed.
    """
    findings = lint(chart, callbacks=callbacks, guards=guards)
    if findings:
        raise StatechartError(f"the chart {chart.name!r} cannot be used:", findings)


def _names(chart: Chart) -> Iterator[str]:
    states = [state.name for state in chart.states]
    guards = [guard.name for guard in chart.guards]
    for kind, names in (("state", states), ("guard", guards)):
        yield from (f"SC013 {kind} {name!r} is declared twice" for name in _repeated(names))
    if chart.initial not in states:
        yield f"SC001 unknown state {chart.initial!r}: the chart begins there"
    for number, transition in enumerate(chart.transitions, start=1):
        for source in transition.sources:
            if source not in states:
                yield f"SC001 unknown state {source!r}: {_arrow(number, transition)} starts there"
        if transition.target not in states:
            yield f"SC001 unknown state {transition.target!r}: {_arrow(number, transition)} leads there"
        if transition.guard is not None and transition.guard not in guards:
            yield f"SC002 undeclared guard {transition.guard!r}: {_arrow(number, transition)} asks for it"
    for guard in chart.guards:
        for other in guard.excludes:
            if other not in guards:
                yield f"SC012 undeclared guard {other!r}: {guard.name!r} says that it excludes it"
            elif other == guard.name:
                yield f"SC012 guard {other!r} says that it excludes itself"


def _ambiguities(chart: Chart) -> Iterator[str]:
    excludes = {guard.name: guard.excludes for guard in chart.guards}
    by_trigger = defaultdict(list)
    for transition in chart.transitions:
        for source in transition.sources:
            by_trigger[source, transition.event].append(transition)
    for (source, event), candidates in by_trigger.items():
        for first, second in combinations(candidates, 2):
            where = f"SC003 event {event!r} in state {source!r} could lead to {first.target!r} and to {second.target!r}"
            if first.guard is None or second.guard is None:
                yield f"{where}: a transition without a guard leaves no room for another"
            elif first.guard == second.guard:
                yield f"{where}: both ask for the guard {first.guard!r}"
            elif not (second.guard in excludes.get(first.guard, ()) and first.guard in excludes.get(second.guard, ())):
                yield f"{where}: the guards {first.guard!r} and {second.guard!r} do not both exclude each other"


def _ways(chart: Chart) -> Iterator[str]:
    forward, backward = defaultdict(set), defaultdict(set)
    for transition in chart.transitions:
        for source in transition.sources:
            # An exit from a final state is a fault of its own, and no way: what needs it is unreachable.
            if source not in chart.final_states:
                forward[source].add(transition.target)
                backward[transition.target].add(source)
    names = [state.name for state in chart.states]
    if chart.initial in names:
        reachable = _closure([chart.initial], forward)
        yield from (
            f"SC004 unreachable state {name!r}: no way leads there from {chart.initial!r}"
            for name in names
            if name not in reachable
        )
    if chart.final_states:
        ending = _closure(chart.final_states, backward)
        yield from (f"SC005 no way from state {name!r} to a final state" for name in names if name not in ending)


def _ends(chart: Chart) -> Iterator[str]:
    if not chart.final_states:
        yield "SC007 no final state: a machine could never end"
    for state in chart.states:
        if not state.final:
            continue
        for number, transition in enumerate(chart.transitions, start=1):
            if state.name in transition.sources:
                yield f"SC006 exit from the final state {state.name!r}: {_arrow(number, transition)}"
        if state.deadline is not None:
            yield f"SC008 final state {state.name!r} with a deadline {state.deadline!r}: nothing could happen then"


def _unused_guards(chart: Chart) -> Iterator[str]:
    used = {transition.guard for transition in chart.transitions}
    yield from (
        f"SC009 unused guard {guard.name!r}: no transition asks for it"
        for guard in chart.guards
        if guard.name not in used
    )


def _offers(chart: Chart, callbacks: Collection[str] | None, guards: Collection[str] | None) -> Iterator[str]:
    if callbacks is not None:
        for state in chart.states:
            if state.enter is not None and state.enter not in callbacks:
                yield f"SC010 callback {state.enter!r} of state {state.name!r} that nobody offers"
    if guards is not None:
        for guard in chart.guards:
            if guard.name not in guards:
                yield f"SC011 guard {guard.name!r} that nobody offers"


def _closure(start: Iterable[str], steps: Mapping[str, Collection[str]]) -> set[str]:
    """Every state that can be reached in any number of steps, the start included."""
    seen = set(start)
    todo = list(seen)
    while todo:
        fresh = set(steps.get(todo.pop(), ())) - seen
        seen |= fresh
        todo.extend(fresh)
    return seen


def _repeated(names: list[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def _arrow(number: int, transition: TransitionDef) -> str:
    return f"[[transitions]] number {number} ({transition.event!r} to {transition.target!r})"
