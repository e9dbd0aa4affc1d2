"""A chart's transitions as each of its states has them: so formats of others hold them, and a chart does not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import attrs

from dts_fsm.errors import StatechartError
from dts_fsm.statechart.definition import Chart, GuardDef, StateDef, TransitionDef
from dts_fsm.statechart.writer import chart_to_toml


@attrs.frozen(kw_only=True)
class Exit:
    """A transition as one of its source states has it.

    Attributes:
        order: the number of the transition in its chart, and that of the source among its sources, from 1; or None
            where a document does not say.
        where: where it stands in a document, for findings.
    """

    source: str
    event: str
    target: str
    guard: str | None
    description: str
    order: tuple[int, int] | None
    where: str = ""


def exits(chart: Chart, state: str) -> Iterator[Exit]:
    """Give the transitions that the state has, in the chart's order."""
    for number, transition in enumerate(chart.transitions, start=1):
        if state in transition.sources:
            yield Exit(
                source=state,
                event=transition.event,
                target=transition.target,
                guard=transition.guard,
                description=transition.description,
                order=(number, transition.sources.index(state) + 1),
            )


def assemble(
    *,
    name: str,
    initial: str,
    description: str,
    states: Sequence[StateDef],
    guards: Sequence[GuardDef],
    exits: Sequence[Exit],
    everywhere: Sequence[str],
    ignored: Mapping[str, str],
    file: str | None,
    findings: Sequence[str],
) -> Chart:
    """Give the chart of these parts, as if it had been read from a TOML file.

    A guard that is not among ``guards`` is declared; its name is all that is known of it.

    Args:
        exits: those of a state and an event in the order in which they are tried.
        findings: what is wrong with the document that the parts come from.

    Raises:
        StatechartError: there are findings; names are declared twice; the exits' orders contradict each other; or no
            TOML file could hold the chart. Every finding is listed.
    """
    where = file or "the document"
    twice = [*_repeated("state", states), *_repeated("guard", guards)]
    faults = [*findings, *(f"{where}: {fault}" for fault in twice), *_order_faults(exits)]
    if faults:
        raise StatechartError(f"{where} does not define a statechart that can be imported:", faults)
    asked = dict.fromkeys(found.guard for found in exits if found.guard is not None)
    declared = {guard.name for guard in guards}
    chart = Chart(
        name=name,
        initial=initial,
        description=description,
        states=tuple(states),
        guards=(*guards, *(GuardDef(name=guard, description=guard) for guard in asked if guard not in declared)),
        transitions=_joined(exits),
        everywhere=tuple(everywhere),
        ignored=ignored,
        file=file,
    )
    chart_to_toml(chart)
    return chart


def _joined(exits: Sequence[Exit]) -> tuple[TransitionDef, ...]:
    groups: dict[int, list[Exit]] = defaultdict(list)
    for place, found in enumerate(exits):
        groups[found.order[0] if found.order else place].append(found)
    return tuple(
        TransitionDef(
            event=group[0].event,
            sources=tuple(found.source for found in sorted(group, key=lambda found: found.order or (0, 0))),
            target=group[0].target,
            guard=group[0].guard,
            description=group[0].description,
        )
        for _, group in sorted(groups.items())
    )


def _repeated(kind: str, parts: Sequence[StateDef] | Sequence[GuardDef]) -> Iterator[str]:
    for name, number in Counter(part.name for part in parts).items():
        if number > 1:
            yield f"the {kind} {name!r} is declared {number} times"


def _order_faults(exits: Sequence[Exit]) -> Iterator[str]:
    ordered = [(found, found.order) for found in exits if found.order]
    if ordered and len(ordered) < len(exits):
        without = next(found for found in exits if not found.order)
        yield f"{without.where}: has no order, where other transitions have one: give all of them one, or none"
    first: dict[int, Exit] = {}
    last: dict[tuple[str, str], int] = {}
    seen: dict[tuple[int, int], Exit] = {}
    for found, order in ordered:
        number = order[0]
        other = first.setdefault(number, found)
        if _meaning(other) != _meaning(found):
            yield f"{found.where}: is another transition than {other.where}, but has the same number {number}"
        if seen.setdefault(order, found) is not found:
            yield f"{found.where}: has the same order as {seen[order].where}"
        trigger = found.source, found.event
        if number < last.setdefault(trigger, number):
            yield f"{found.where}: has the number {number}, but is tried after number {last[trigger]}"
        last[trigger] = number


def _meaning(found: Exit) -> tuple[str | None, ...]:
    return found.event, found.target, found.guard, found.description
