"""What is wrong with a chart that can be read: the faults that would otherwise show only when a machine is stuck."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain, combinations

from dts_fsm.errors import StatechartError
from dts_fsm.statechart.definition import Chart, TransitionDef
from dts_fsm.statechart.findings import RULES, SILENCEABLE, Finding, Severity

_Found = tuple[str, str, str]
"""A code, its sentence, and the key of ``Chart.lines`` for where it stands."""


def lint(
    chart: Chart,
    *,
    callbacks: Collection[str] | None = None,
    guards: Collection[str] | None = None,
    deadlines: Collection[str] | None = None,
    everywhere: Collection[str] = (),
) -> tuple[Finding, ...]:
    """Give each fault of the chart, none for a good one. Pure.

    Findings of one kind follow each other in the order of the file. ``RULES`` has the codes. Warnings that the chart
    ignores are left out.

    Args:
        callbacks: the names of the callbacks that are offered for ``enter``, or None for not checking them.
        guards: the names of the guards that are offered, or None for not checking them.
        deadlines: the names of the settings that are offered for ``deadline``, or None for not checking them.
        everywhere: the events that each live state must have, beside those that the chart itself says so of.
    """
    found = tuple(
        chain(
            _names(chart),
            _ambiguities(chart),
            _choices(chart),
            _ways(chart),
            _ends(chart),
            _unused_guards(chart),
            _lives(chart, {*chart.everywhere, *everywhere}),
            _offers(chart, callbacks, guards, deadlines),
            _descriptions(chart),
            _migrations(chart),
        )
    )
    told = chain(found, _stale(chart, {code for code, _, _ in found}))
    return tuple(
        Finding(code=code, message=message, file=chart.file, line=chart.lines.get(place))
        for code, message, place in told
        if code not in chart.ignored or code not in SILENCEABLE
    )


def check(chart: Chart, *, callbacks: Collection[str] | None = None, guards: Collection[str] | None = None) -> None:
    """The chart has no error that ``lint`` knows; it may have warnings.

    Raises:
        StatechartError: it has; every error is listed.
    """
    findings = lint(chart, callbacks=callbacks, guards=guards)
    errors = [str(finding) for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise StatechartError(f"the chart {chart.name!r} cannot be used:", errors)


def _names(chart: Chart) -> Iterator[_Found]:
    states = [state.name for state in chart.states]
    guards = [guard.name for guard in chart.guards]
    for kind, names in (("state", states), ("guard", guards)):
        yield from (("SC013", f"{kind} {name!r} is declared twice", f"{kind}s.{name}") for name in _repeated(names))
    if chart.initial not in states:
        yield "SC001", f"unknown state {chart.initial!r}: the chart begins there", "chart"
    for number, transition in enumerate(chart.transitions, start=1):
        arrow, place = _arrow(number, transition), f"transitions.{number}"
        for source in transition.sources:
            if source not in states:
                yield "SC001", f"unknown state {source!r}: {arrow} starts there", place
        if transition.target not in states:
            yield "SC001", f"unknown state {transition.target!r}: {arrow} leads there", place
        if transition.guard is not None and transition.guard not in guards:
            yield "SC002", f"undeclared guard {transition.guard!r}: {arrow} asks for it", place
    for guard in chart.guards:
        for other in guard.excludes:
            if other not in guards:
                message = f"undeclared guard {other!r}: {guard.name!r} says that it excludes it"
                yield "SC012", message, f"guards.{guard.name}"
            elif other == guard.name:
                yield "SC012", f"guard {other!r} says that it excludes itself", f"guards.{guard.name}"


def _ambiguities(chart: Chart) -> Iterator[_Found]:
    exclusive = _exclusive(chart)
    by_trigger = defaultdict(list)
    for number, transition in enumerate(chart.transitions, start=1):
        for source in dict.fromkeys(transition.sources):
            by_trigger[source, transition.event].append((number, transition))
    for (source, event), candidates in by_trigger.items():
        for (_, first), (number, second) in combinations(candidates, 2):
            where = f"event {event!r} in state {source!r} could lead to {first.target!r} and to {second.target!r}"
            place = f"transitions.{number}"
            if first.guard is None or second.guard is None:
                yield "SC003", f"{where}: a transition without a guard leaves no room for another", place
            elif first.guard == second.guard:
                yield "SC003", f"{where}: both ask for the guard {first.guard!r}", place
            elif not exclusive(first.guard, second.guard):
                why = f"the guards {first.guard!r} and {second.guard!r} do not both exclude each other"
                yield "SC003", f"{where}: {why}", place


def _choices(chart: Chart) -> Iterator[_Found]:
    """What the guards of a live state's transitions leave out: a transition, or a guard."""
    exclusive = _exclusive(chart)
    everywhere = {(transition.event, transition.guard) for transition in chart.transitions}
    for state in dict.fromkeys(chart.live_states):
        first: dict[str, tuple[int, TransitionDef]] = {}
        guards: dict[str, set[str | None]] = defaultdict(set)
        last: dict[str, int] = {}
        for number, transition in enumerate(chart.transitions, start=1):
            if state not in transition.sources:
                continue
            guards[transition.event].add(transition.guard)
            last[transition.event] = number
            if transition.guard is not None:
                earlier = first.setdefault(transition.guard, (number, transition))
                if earlier[1].event != transition.event:
                    message = (
                        f"{_arrow(number, transition)} is shadowed in state {state!r}: {_arrow(*earlier)} asks for the "
                        f"guard {transition.guard!r} before it"
                    )
                    yield "SC014", message, f"transitions.{number}"
        for event, asked in guards.items():
            for guard in dict.fromkeys(guard.name for guard in chart.guards):
                chosen = len(asked) > 1 or (event, guard) in everywhere
                if chosen and guard not in asked and all(exclusive(guard, other) for other in asked):
                    message = f"event {event!r} in state {state!r} has no transition for the guard {guard!r}, though it"
                    others = " and ".join(sorted(repr(other) for other in asked))
                    yield "SC015", f"{message} has for {others}", f"transitions.{last[event]}"


def _ways(chart: Chart) -> Iterator[_Found]:
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
            ("SC004", f"unreachable state {name!r}: no way leads there from {chart.initial!r}", f"states.{name}")
            for name in names
            if name not in reachable
        )
    if chart.final_states:
        ending = _closure(chart.final_states, backward)
        yield from (
            ("SC005", f"no way from state {name!r} to a final state", f"states.{name}")
            for name in names
            if name not in ending
        )


def _ends(chart: Chart) -> Iterator[_Found]:
    if not chart.final_states:
        yield "SC007", "no final state: a machine could never end", "chart"
    for state in chart.states:
        if not state.final:
            continue
        for number, transition in enumerate(chart.transitions, start=1):
            if state.name in transition.sources:
                message = f"exit from the final state {state.name!r}: {_arrow(number, transition)}"
                yield "SC006", message, f"transitions.{number}"
        if state.deadline is not None:
            message = f"final state {state.name!r} with a deadline {state.deadline!r}: nothing could happen then"
            yield "SC008", message, f"states.{state.name}"


def _unused_guards(chart: Chart) -> Iterator[_Found]:
    used = {transition.guard for transition in chart.transitions}
    yield from (
        ("SC009", f"unused guard {guard.name!r}: no transition asks for it", f"guards.{guard.name}")
        for guard in chart.guards
        if guard.name not in used
    )


def _lives(chart: Chart, everywhere: Collection[str]) -> Iterator[_Found]:
    for state in chart.states:
        if not state.final and state.deadline is None:
            message = f"live state {state.name!r} without a deadline: a machine may stay there for ever"
            yield "SC016", message, f"states.{state.name}"
    for state in chart.states:
        missing = set(everywhere) - {t.event for t in chart.transitions if state.name in t.sources}
        for event in () if state.final else sorted(missing):
            message = f"event {event!r} is missing from the live state {state.name!r}: it must be everywhere"
            yield "SC017", message, f"states.{state.name}"


def _offers(
    chart: Chart,
    callbacks: Collection[str] | None,
    guards: Collection[str] | None,
    deadlines: Collection[str] | None,
) -> Iterator[_Found]:
    for state in chart.states:
        place = f"states.{state.name}"
        if callbacks is not None and state.enter is not None and state.enter not in callbacks:
            yield "SC010", f"callback {state.enter!r} of state {state.name!r} that nobody offers", place
        if deadlines is not None and state.deadline is not None and state.deadline not in deadlines:
            yield "SC018", f"deadline {state.deadline!r} of state {state.name!r} that nobody offers", place
    for guard in chart.guards:
        if guards is not None and guard.name not in guards:
            yield "SC011", f"guard {guard.name!r} that nobody offers", f"guards.{guard.name}"


def _descriptions(chart: Chart) -> Iterator[_Found]:
    """Descriptions that say nothing. The reader refuses empty ones, but charts are also made in Python."""
    described = [
        (f"the chart {chart.name!r}", chart.name, chart.description, "chart"),
        *((f"state {part.name!r}", part.name, part.description, f"states.{part.name}") for part in chart.states),
        *((f"guard {part.name!r}", part.name, part.description, f"guards.{part.name}") for part in chart.guards),
        *(
            (_arrow(number, part), part.event, part.description, f"transitions.{number}")
            for number, part in enumerate(chart.transitions, start=1)
        ),
        *(
            (f"[[migrations]] number {number}", part.fingerprint, part.description, f"migrations.{number}")
            for number, part in enumerate(chart.migrations, start=1)
        ),
    ]
    for what, name, description, place in described:
        if not description.strip():
            yield "SC019", f"{what} has no description", place
        elif _bare(description) == _bare(name):
            yield "SC019", f"the description of {what} says no more than its name", place


def _migrations(chart: Chart) -> Iterator[_Found]:
    """What carries machines of former charts to where they could not go on."""
    seen: set[str] = set()
    for number, migration in enumerate(chart.migrations, start=1):
        what, place = f"[[migrations]] number {number}", f"migrations.{number}"
        for old, new in migration.states.items():
            if new not in chart.live_states:
                yield "SC021", f"{what} leads from {old!r} to {new!r}, which is not a live state", place
        if migration.fingerprint == chart.fingerprint:
            yield "SC021", f"{what} is from {migration.fingerprint}, which is this chart itself", place
        if migration.fingerprint in seen:
            yield "SC021", f"{what} is from {migration.fingerprint}, and another before it is, too", place
        seen.add(migration.fingerprint)


def _stale(chart: Chart, found: Collection[str]) -> Iterator[_Found]:
    for code in chart.ignored:
        if code not in RULES:
            yield "SC020", f"[lint] ignores {code!r}, which is no code", "lint"
        elif code not in SILENCEABLE:
            yield "SC020", f"[lint] ignores {code}, which cannot be silenced", "lint"
        elif code not in found:
            yield "SC020", f"[lint] ignores {code}, of which the chart has none", "lint"


def _exclusive(chart: Chart) -> Callable[[str | None, str | None], bool]:
    """Whether two guards both say that they exclude the other."""
    excludes = {guard.name: guard.excludes for guard in chart.guards}
    return lambda one, other: other in excludes.get(one or "", ()) and one in excludes.get(other or "", ())


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


def _bare(text: str) -> str:
    return re.sub(r"[\W_]", "", text).casefold()
