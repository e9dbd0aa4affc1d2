"""What a picture of a chart shows, whatever it is written in.

Arrows that leave many states for one target are drawn once, from a box around these states, and transitions between the
same two states share an arrow: otherwise ``cancel`` and ``fail`` alone would hide the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import attrs

from dts_fsm.statechart.definition import Chart, TransitionDef

BOX = "*"
"""Stands for the box as the source of an arrow; no state is called so."""

TICK = "\N{CHECK MARK}"
"""Marks what a machine has walked."""


Step = tuple[str, str, str]
"""What a machine did: the source, event and target of a transition. Its creation has the source ""."""


@attrs.frozen(kw_only=True)
class Arrow:
    """One arrow of a picture.

    Attributes:
        source: a state, or ``BOX``.
        labels: a text for each transition that shares the arrow, those that were walked ticked.
        walked: True where one of them was walked.
    """

    source: str
    target: str
    labels: tuple[str, ...]
    walked: bool


@attrs.frozen(kw_only=True)
class View:
    """What a picture shows.

    Attributes:
        box: the states with a box around them, or none.
        rows: every state once, in the order to draw them; those of the box stand together.
        arrows: the transitions, merged.
        walked: the states that the machine has been in, without the current one.
        current: the state that the machine is in, if it is known; at most one.
        created: True where the machine's creation is one of the steps.
    """

    box: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    arrows: tuple[Arrow, ...]
    walked: tuple[str, ...]
    current: tuple[str, ...]
    created: bool

    @classmethod
    def of(cls, chart: Chart, current: str | None, path: Sequence[Step]) -> View:
        """Give what a picture of the chart shows, for a machine that is in ``current`` and came there by ``path``.

        Raises:
            StatechartError: ``current`` is not a state of the chart.
        """
        box = _box(chart)
        steps = set(path)
        labels: dict[tuple[str, str], list[tuple[str, bool]]] = defaultdict(list)
        for transition in chart.transitions:
            text = transition.event + (f" [{transition.guard}]" if transition.guard else "")
            for start, sources in _starts(transition, box):
                taken = any((source, transition.event, transition.target) in steps for source in sources)
                labels[start, transition.target].append((f"{TICK} {text}" if taken else text, taken))
        seen = {state for source, _, target in steps for state in (source, target)}
        return cls(
            box=box,
            rows=tuple(dict.fromkeys(box if state.name in box else (state.name,) for state in chart.states)),
            arrows=tuple(
                Arrow(
                    source=source,
                    target=target,
                    labels=tuple(text for text, _ in texts),
                    walked=any(taken for _, taken in texts),
                )
                for (source, target), texts in labels.items()
            ),
            walked=tuple(state.name for state in chart.states if state.name in seen and state.name != current),
            current=() if current is None else (chart.state(current).name,),
            created=any(source == "" and target == chart.initial for source, _, target in steps),
        )


def _box(chart: Chart) -> tuple[str, ...]:
    """The sources whose box saves the most arrows, in the chart's order; empty where none saves any."""

    def saved(sources: Collection[str]) -> int:
        return (len(sources) - 1) * sum(_leaves(transition, sources) for transition in chart.transitions)

    several = [transition.sources for transition in chart.transitions if len(transition.sources) > 2]
    best = max(several, key=saved, default=())
    return tuple(state.name for state in chart.states if state.name in best and saved(best))


def _starts(transition: TransitionDef, box: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Where the transition's arrows start, each with the states that it stands for."""
    singles: list[tuple[str, tuple[str, ...]]] = [(name, (name,)) for name in transition.sources]
    if not _leaves(transition, box):
        return singles
    return [(BOX, box), *((name, names) for name, names in singles if name not in box)]


def _leaves(transition: TransitionDef, box: Collection[str]) -> bool:
    return bool(box) and transition.target not in box and set(box) <= set(transition.sources)
