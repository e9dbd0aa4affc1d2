"""What data say on a chart: how one machine went through it, or how many are where."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from dts_fsm.records import HistoryRecord
from dts_fsm.records.statistics import StateStatistics, Statistics
from dts_fsm.statechart.definition import Chart
from dts_fsm.statechart.drawing.picture import Mark, Overlay, Step
from dts_fsm.statechart.texts import duration


def walked(chart: Chart, steps: Sequence[HistoryRecord], *, now: datetime) -> Overlay:
    """Give the way that one machine went, with the time that it was in each state.

    Args:
        steps: the machine's transitions, oldest first; of a transfer, or of one operation.
        now: until when it has been in its present state; an aware time.
    """
    # a changed chart ends no stay where the state is the same
    entries = [step for step in steps if not (step.event == "upgrade" and step.source == step.target)]
    times: defaultdict[str, list[float]] = defaultdict(list)
    for entry, left in pairwise(entries):
        times[entry.target].append(max((left.time - entry.time).total_seconds(), 0.0))
    states = {name: Mark(look="walked", notes=(_spent(spent),)) for name, spent in times.items()}
    caption: tuple[str, ...] = ()
    if entries:
        first, last = entries[0], entries[-1]
        ended = last.target in chart.final_states
        still = f"since {_clock(last.time)}" if ended else f"{duration((now - last.time).total_seconds())} so far"
        before = (f"before: {_spent(times[last.target])}",) if last.target in times else ()
        states[last.target] = Mark(look="current", notes=(still, *before))
        caption = (f"The times in the states, from {_clock(first.time)} to {_clock(last.time if ended else now)}.",)
    known = {state.name for state in chart.states}
    counts = Counter((step.source, step.event, step.target) for step in entries)
    return Overlay(
        states={name: mark for name, mark in states.items() if name in known},
        steps={
            step: Mark(look="walked", notes=(f"{number} times",) if number > 1 else ())
            for step, number in counts.items()
        },
        caption=caption + _strangers(chart, counts, states.keys() - known),
    )


def _spent(times: Sequence[float]) -> str:
    total = duration(sum(times))
    return total if len(times) == 1 else f"{total} in {len(times)} stays"


def fleet(chart: Chart, found: Statistics) -> Overlay:
    """Give how many machines are in each state, how long they stay, and how often each transition was taken.

    The more machines are in a live state, or take a transition, the stronger it is tinted: by the logarithm of their
    number, compared with the highest of its kind.
    A chart that is called operation shows operations, any other one transfers.
    """
    machine = "operation" if chart.name == "operation" else "transfer"
    states = {one.state: one for one in found.states if one.machine == machine}
    counts = {
        (one.source, one.event, one.target): one.count
        for one in found.steps
        # a machine's creation is no arrow between states, and would outshine them all
        if one.machine == machine and one.source
    }
    most_there = max((one.num_now for one in states.values() if one.state in chart.live_states), default=0)
    most_taken = max(counts.values(), default=0)
    return Overlay(
        states={
            name: Mark(
                look="",
                heat=_heat(one.num_now, most_there) if name in chart.live_states else None,
                notes=_state_notes(one),
            )
            for name, one in states.items()
        },
        steps={
            step: Mark(look="", heat=_heat(number, most_taken), notes=(f"{number:,}\N{MULTIPLICATION SIGN}",))
            for step, number in counts.items()
        },
        caption=(
            f"In a state: how many are there at {_clock(found.until)}, the more the stronger its colour;",
            "of the stays that have ended, the median, and the time that 95 % of them did not exceed.",
            "At an arrow: how often it was taken, the more the stronger its colour.",
            *(() if found.since is None else (f"Counted since {_clock(found.since)}.",)),
            *_strangers(chart, counts, states.keys() - {state.name for state in chart.states}),
        ),
    )


def _state_notes(one: StateStatistics) -> tuple[str, ...]:
    stays = (
        ()
        if one.median_s is None or one.p95_s is None
        else (f"median {duration(one.median_s)}, 95 % {duration(one.p95_s)}",)
    )
    return (f"{one.num_now:,} now", *stays)


def _heat(number: int, most: int) -> float | None:
    return math.log1p(number) / math.log1p(most) if number else None


def _strangers(chart: Chart, counts: Mapping[Step, int], states: Collection[str]) -> tuple[str, ...]:
    """What the data have and the chart does not, since it was another one then."""
    known = {(source, t.event, t.target) for t in chart.transitions for source in t.sources}
    number = sum(count for step, count in counts.items() if step[0] and step not in known)
    told = [f"{number:,} transitions"] if number else []
    told += [f"the states {', '.join(sorted(states))}"] if states else []
    return (f"Not on this chart, since it was another one then: {' and '.join(told)}.",) if told else ()


def _clock(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")
