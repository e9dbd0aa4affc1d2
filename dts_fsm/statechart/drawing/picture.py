"""What a picture of a chart shows, whatever it is written in.

Arrows that leave many states for one target are drawn once, from a box around these states, and transitions between
the same two states share an arrow: otherwise ``cancel`` and ``fail`` alone would hide the rest. A transition that leads
back to its own state is no arrow but a line within the state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Self

import attrs

from dts_fsm.errors import StatechartError
from dts_fsm.statechart.definition import Chart, StateDef, TransitionDef

BOX = "*"
"""Stands for the box as the source of an arrow; no state is called so."""

TICK = "\N{CHECK MARK}"
"""Marks what a machine has walked."""

LOOP = "\N{CLOCKWISE OPEN CIRCLE ARROW}"
"""Marks a transition that leads back to its own state."""

HEATS = 5
"""How many tints there are."""

Theme = Literal["auto", "light", "dark"]
"""The colours of a picture; "auto" leaves it to whoever shows it, or is for white paper where nobody else decides."""

Look = Literal["", "walked", "current"]

Step = tuple[str, str, str]
"""What a machine did: the source, event and target of a transition. Its creation has the source ""."""


@attrs.frozen(kw_only=True)
class Mark:
    """What data say of a state or a transition.

    Attributes:
        look: whether a machine has been there, or is there now.
        heat: how strongly it is tinted, from 0 to 1; None for no tint.
        notes: further lines, of times or numbers.
    """

    look: Look = ""
    heat: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def tint(self) -> int:
        """The number of the tint, from 1 to ``HEATS``; 0 for none."""
        return 0 if self.heat is None else max(1, min(HEATS, 1 + int(self.heat * HEATS)))


_PLAIN = Mark()


@attrs.frozen(kw_only=True)
class Overlay:
    """What data say of a chart; states and steps that it does not have are not drawn.

    Attributes:
        caption: lines below the picture.
    """

    states: Mapping[str, Mark] = attrs.field(factory=dict)
    steps: Mapping[Step, Mark] = attrs.field(factory=dict)
    caption: tuple[str, ...] = ()

    @classmethod
    def of_path(cls, steps: Sequence[Step], current: str | None = None) -> Self:
        """Give the marks of a machine that took these steps, and is in this state."""
        seen = {state for source, _, target in steps for state in (source, target)}
        states = {state: Mark(look="walked") for state in seen}
        if current is not None:
            states[current] = Mark(look="current")
        return cls(states=states, steps={step: Mark(look="walked") for step in steps})


@attrs.frozen(kw_only=True)
class Label:
    """One transition on an arrow, or within its state.

    Attributes:
        sources: the states that the arrow stands for, each with its mark.
        description: the chart's sentence.
    """

    event: str
    guard: str | None
    description: str
    sources: Mapping[str, Mark]

    @property
    def walked(self) -> bool:
        """True where a machine has taken the transition."""
        return any(mark.look for mark in self.sources.values())

    @property
    def tint(self) -> int:
        """The strongest tint of what the label stands for."""
        return max(mark.tint for mark in self.sources.values())

    @property
    def text(self) -> str:
        """The event, with its guard in brackets, and ticked where it was taken."""
        text = self.event + (f" [{self.guard}]" if self.guard else "")
        return f"{TICK} {text}" if self.walked else text

    @property
    def notes(self) -> tuple[str, ...]:
        """What data say of it; where it stands for several states, each note with its state."""
        if len(self.sources) == 1:
            return next(iter(self.sources.values())).notes
        return tuple(f"{state}: {', '.join(mark.notes)}" for state, mark in self.sources.items() if mark.notes)

    @property
    def lines(self) -> tuple[str, ...]:
        """All that is written at the arrow."""
        return (self.text, *self.notes)


@attrs.frozen(kw_only=True)
class Node:
    """One state of a picture.

    Attributes:
        enter, deadline: as in the chart.
        loops: the transitions that lead back to the state.
    """

    name: str
    description: str
    enter: str | None
    deadline: str | None
    final: bool
    loops: tuple[Label, ...]
    mark: Mark

    @property
    def notes(self) -> tuple[str, ...]:
        """The lines below its name."""
        enter = (f"enter / {self.enter}",) if self.enter else ()
        deadline = (f"deadline / {self.deadline}",) if self.deadline else ()
        loops = tuple(f"{LOOP} {line}" for label in self.loops for line in label.lines)
        return (*enter, *deadline, *loops, *self.mark.notes)


@attrs.frozen(kw_only=True)
class Arrow:
    """One arrow of a picture.

    Attributes:
        source: a state, or ``BOX``.
        labels: the transitions that share the arrow.
    """

    source: str
    target: str
    labels: tuple[Label, ...]

    @property
    def walked(self) -> bool:
        """True where a machine has taken one of its transitions."""
        return any(label.walked for label in self.labels)

    @property
    def tint(self) -> int:
        """The strongest tint of its transitions."""
        return max(label.tint for label in self.labels)

    @property
    def lines(self) -> tuple[str, ...]:
        """All that is written at it."""
        return tuple(line for label in self.labels for line in label.lines)


@attrs.frozen(kw_only=True)
class Picture:
    """All that is drawn, by every writer.

    Attributes:
        title, description: the chart's name and sentence, in one line each.
        initial: the state in which a machine begins.
        nodes: every state, in the chart's order.
        box: the names of the states with a box around them, or none.
        rows: every state's name once, in the order to draw them; those of the box stand together.
        arrows: the transitions, merged.
        created: True where a machine's creation is one of the steps.
        caption: lines below.
    """

    title: str
    description: str
    initial: str
    nodes: tuple[Node, ...]
    box: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    arrows: tuple[Arrow, ...]
    created: bool
    caption: tuple[str, ...]

    @classmethod
    def of(cls, chart: Chart, overlay: Overlay | None = None) -> Self:
        """Give the picture of a chart without faults, with what data say of it.

        Raises:
            StatechartError: the state that a machine is said to be in is not one of the chart; a state is called "*".
        """
        overlay = overlay or Overlay()
        if any(state.name == BOX for state in chart.states):
            raise StatechartError(f"a chart with a state that is called {BOX!r} cannot be drawn")
        for name, mark in overlay.states.items():
            if mark.look == "current":
                chart.state(name)
        box = _box(chart)
        labels: dict[tuple[str, str], list[Label]] = defaultdict(list)
        loops: dict[str, list[Label]] = defaultdict(list)
        for transition in chart.transitions:
            for start, sources in _starts(transition, box):
                label = _label(transition, sources, overlay)
                (loops[start] if start == transition.target else labels[start, transition.target]).append(label)
        return cls(
            title=one_line(chart.name),
            description=one_line(chart.description),
            initial=chart.initial,
            nodes=tuple(_node(state, loops[state.name], overlay) for state in chart.states),
            box=box,
            rows=tuple(dict.fromkeys(box if state.name in box else (state.name,) for state in chart.states)),
            arrows=tuple(
                Arrow(source=source, target=target, labels=tuple(shared)) for (source, target), shared in labels.items()
            ),
            created=any(source == "" and target == chart.initial for source, _, target in overlay.steps),
            caption=overlay.caption,
        )

    def node(self, name: str) -> Node:
        """Give the state of this name."""
        return next(node for node in self.nodes if node.name == name)


def one_line(text: str) -> str:
    """The text without line breaks and runs of spaces."""
    return " ".join(text.split())


def _node(state: StateDef, loops: Sequence[Label], overlay: Overlay) -> Node:
    return Node(
        name=state.name,
        description=one_line(state.description),
        enter=state.enter,
        deadline=state.deadline,
        final=state.final,
        loops=tuple(loops),
        mark=overlay.states.get(state.name, _PLAIN),
    )


def _label(transition: TransitionDef, sources: Collection[str], overlay: Overlay) -> Label:
    return Label(
        event=transition.event,
        guard=transition.guard,
        description=one_line(transition.description),
        sources={
            source: overlay.steps.get((source, transition.event, transition.target), _PLAIN) for source in sources
        },
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
