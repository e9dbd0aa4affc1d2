"""How much of the charts tests have walked: states, transitions, and pairs of transitions one after the other.

What counts is what the history says, so that nothing is covered that was not committed. A pair is two transitions
that one machine took one after the other; every two that the chart lets follow each other are counted, also those
that its guards never let: a transfer that was suspended while staging does not resume as active.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import UUID

import attrs

from dts_fsm.records import HistoryRecord
from dts_fsm.statechart import Chart
from dts_fsm.store import Store

CREATE = "create"
"""The event with which a machine's history begins; no transition of its chart."""


class Arrow(NamedTuple):
    """One transition from one of its source states."""

    source: str
    event: str
    target: str

    def __str__(self) -> str:
        return f"{self.source} -{self.event}-> {self.target}"


Pair = tuple[Arrow, Arrow]


def arrows_of(chart: Chart) -> tuple[Arrow, ...]:
    """Give each transition of the chart from each of its sources, in chart order."""
    return tuple(Arrow(source, t.event, t.target) for t in chart.transitions for source in t.sources)


def pairs_of(chart: Chart) -> tuple[Pair, ...]:
    """Give every two transitions that the chart lets follow each other, in chart order."""
    arrows = arrows_of(chart)
    return tuple((first, second) for first in arrows for second in arrows if first.target == second.source)


def walks(history: Iterable[HistoryRecord]) -> dict[UUID | None, list[Arrow]]:
    """Give what each machine of a transfer has walked, by operation (None: the transfer itself)."""
    walked: dict[UUID | None, list[Arrow]] = {}
    for entry in history:
        steps = walked.setdefault(entry.operation_id, [])
        if entry.event != CREATE:
            steps.append(Arrow(entry.source, entry.event, entry.target))
    return walked


@attrs.define(eq=False)
class ChartCoverage:
    """What was walked of one chart.

    Attributes:
        name: the chart's name; with its fingerprint it tells charts apart.
        states, transitions, pairs: all that there are -> how often they were seen.
    """

    name: str
    fingerprint: str
    states: dict[str, int]
    transitions: dict[Arrow, int]
    pairs: dict[Pair, int]

    @classmethod
    def of(cls, chart: Chart) -> ChartCoverage:
        """Nothing of the chart has been walked yet."""
        return cls(
            chart.name,
            chart.fingerprint,
            dict.fromkeys((state.name for state in chart.states), 0),
            dict.fromkeys(arrows_of(chart), 0),
            dict.fromkeys(pairs_of(chart), 0),
        )

    def record(self, initial: str, walk: Sequence[Arrow]) -> None:
        """A machine has walked this; what the chart does not have is left out."""
        for counts, seen in (
            (self.states, [initial, *(arrow.target for arrow in walk)]),
            (self.transitions, walk),
            (self.pairs, pairwise(walk)),
        ):
            known: dict[Any, int] = counts
            for key in seen:
                if key in known:
                    known[key] += 1

    def percent(self, kind: str) -> float:
        """How much of its "states", "transitions" or "pairs" was seen, 0 to 100."""
        counts: Mapping[Any, int] = getattr(self, kind)
        return 100.0 * sum(map(bool, counts.values())) / len(counts) if counts else 100.0

    def missing(self, kind: str) -> list[str]:
        """What was never seen, in chart order, in words."""
        counts: Mapping[Any, int] = getattr(self, kind)
        return [_words(key) for key, count in counts.items() if not count]


@attrs.define(eq=False)
class Coverage:
    """What was walked of all charts that were used, by name and fingerprint."""

    charts: dict[tuple[str, str], ChartCoverage] = attrs.Factory(dict)

    def of(self, chart: Chart) -> ChartCoverage:
        """Give what was walked of this chart."""
        return self.charts.setdefault((chart.name, chart.fingerprint), ChartCoverage.of(chart))

    def record(self, history: Iterable[HistoryRecord], transfer_chart: Chart, operation_chart: Chart) -> None:
        """A transfer has this history, under these charts."""
        for operation_id, walk in walks(history).items():
            chart = transfer_chart if operation_id is None else operation_chart
            self.of(chart).record(chart.initial, walk)

    def record_store(self, store: Store, transfer_chart: Chart, operation_chart: Chart) -> None:
        """All transfers of a store have the histories that are in it."""
        after = None
        while page := store.transfers(after=after):
            for record in page:
                self.record(store.history(record.id), transfer_chart, operation_chart)
            after = page[-1].id

    def dump(self) -> list[Any]:
        """Give what ``add`` takes, of lists, texts and numbers alone: for another process."""
        return [
            [
                one.name,
                one.fingerprint,
                list(one.states.items()),
                [[*arrow, count] for arrow, count in one.transitions.items()],
                [[*first, *second, count] for (first, second), count in one.pairs.items()],
            ]
            for one in self.charts.values()
        ]

    def add(self, dumped: Iterable[Any]) -> None:
        """What another process has walked counts as well."""
        for name, fingerprint, states, transitions, pairs in dumped:
            one = self.charts.setdefault((name, fingerprint), ChartCoverage(name, fingerprint, {}, {}, {}))
            for state, count in states:
                one.states[state] = one.states.get(state, 0) + count
            for *parts, count in transitions:
                arrow = Arrow(*parts)
                one.transitions[arrow] = one.transitions.get(arrow, 0) + count
            for *parts, count in pairs:
                pair = (Arrow(*parts[:3]), Arrow(*parts[3:]))
                one.pairs[pair] = one.pairs.get(pair, 0) + count

    def shortfalls(self, least: Mapping[str, float]) -> list[str]:
        """Give a sentence for each chart and kind of which less was seen than asked for.

        Args:
            least: "states", "transitions" or "pairs" -> percent.
        """
        if not self.charts and any(least.values()):
            return ["nothing was walked of any chart"]
        return [
            f"{_title(one)}: {one.percent(kind):.1f} % of its {kind} were seen, and {percent:g} % are asked for"
            for one in self.charts.values()
            for kind, percent in least.items()
            if one.percent(kind) < percent
        ]

    def lines(self, *, pairs: bool = False) -> Iterator[str]:
        """Give a table of what was seen, and what was not.

        Args:
            pairs: name the pairs that were not seen as well.
        """
        for one in self.charts.values():
            shares = ", ".join(
                f"{kind} {sum(map(bool, getattr(one, kind).values()))}/{len(getattr(one, kind))}"
                f" ({one.percent(kind):.0f} %)"
                for kind in ("states", "transitions", "pairs")
            )
            yield f"{_title(one)}: {shares}"
            for kind in ("states", "transitions", "pairs") if pairs else ("states", "transitions"):
                yield from (f"  never seen: {words}" for words in one.missing(kind))


def _title(one: ChartCoverage) -> str:
    return f"chart {one.name} ({one.fingerprint[:8]})"


def _words(key: str | Arrow | Pair) -> str:
    if isinstance(key, tuple) and not isinstance(key, Arrow):
        first, second = key
        return f"{first}, then -{second.event}-> {second.target}"
    return str(key)


RUN = Coverage()
"""What tests of this process have walked: where ``TransferRules`` and the plug-in for pytest meet."""
