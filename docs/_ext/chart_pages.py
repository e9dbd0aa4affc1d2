"""Directives that write of a statechart what its file, its handlers and the settings say of it.

``{states} transfer`` and ``{transitions} transfer`` are its tables, ``{each-state} transfer`` is a section for each
state. Instead of a chart of the package they take a chart's file, beside the page. They write Markdown, which is then
read like the rest of the page. What lint finds in the chart, a state or an arrow without a sentence among it, is a
warning, and so is a callback or a deadline of which there is nothing to say.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from dts_fsm.config import ServiceConfig
from dts_fsm.errors import InvalidServiceConfigError, StatechartError
from dts_fsm.handlers import Manifestor, Mover, Stager
from dts_fsm.statechart import CHARTS, Chart, StateDef, TransitionDef, lint, load_chart, load_chart_file

_log = logging.getLogger(__name__)

_HANDLERS = "/how-to/handlers.md"
_SETTINGS = "/how-to/configuration.md#service"

CALLBACKS: Final = {
    "journal.record": "The transfer's record is written to the journal, in the commit that ends it.",
    **{
        f"{name}.begin": (inspect.getdoc(handler.begin) or "").partition("\n")[0]
        for name, handler in {"stager": Stager, "mover": Mover, "manifestor": Manifestor}.items()
    },
}
"""What each callback does, by the name that charts use."""

_WIDTHS: Final = {
    "state": 12,
    "what it means": 50,
    "beside that": 30,
    "event": 11,
    "from": 14,
    "to": 14,
    "when": 28,
    "guard": 38,
}
"""How wide columns are, in proportion."""

_DEFAULTS = ServiceConfig(data_dir="/")


def duration(seconds: float) -> str:
    """Give a duration in the largest unit in which it is a whole number: "7 days"."""
    for unit, unit_s in (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, rest = divmod(seconds, unit_s)
        if count and not rest:
            return f"{count:g} {unit}{'s' if count != 1 else ''}"
    return f"{seconds:g} seconds"


class _ChartDirective(SphinxDirective):
    """Writes Markdown about the chart that is its argument."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Give what the Markdown means."""
        try:
            chart = self._chart(self.arguments[0])
        except StatechartError as error:
            raise self.error(str(error)) from error
        for finding in lint(chart):
            if finding.code not in chart.ignored:
                self.warn(str(finding))
        return list(self.parts(chart))

    def _chart(self, name: str) -> Chart:
        if name in CHARTS:
            return load_chart(name)
        _, file = self.env.relfn2path(name)
        self.env.note_dependency(file)
        return load_chart_file(Path(file))

    def warn(self, sentence: str) -> None:
        """The build has a fault, at this place of the page."""
        _log.warning("%s", sentence, location=self.get_location())

    def parts(self, chart: Chart) -> Iterator[nodes.Node]:
        """Give what the directive stands for."""
        raise NotImplementedError

    def read(self, lines: Iterable[str]) -> list[nodes.Node]:
        """Give what lines of Markdown mean; the columns of a table have widths after their heads."""
        read = self.parse_text_to_nodes("\n".join(lines))
        for table in (table for node in read for table in node.findall(nodes.table)):
            table["classes"] = ["colwidths-given"]
            heads = [entry.astext() for entry in table.next_node(nodes.thead).findall(nodes.entry)]
            for column, head in zip(table.findall(nodes.colspec), heads, strict=True):
                column["colwidth"] = _WIDTHS[head]
        return read

    def on_entry(self, state: StateDef) -> str:
        """What is called on entry, and what that does."""
        if state.enter not in CALLBACKS:
            self.warn(f"nothing says what the callback {state.enter} of the state {state.name} does")
        return f"[`{state.enter}`]({_HANDLERS}) is called: {_lowered(CALLBACKS.get(state.enter or '', ''))}"

    def deadline(self, state: StateDef) -> str:
        """The setting and its default."""
        try:
            default_s = _DEFAULTS.deadline_s(state.deadline) or 0.0
        except InvalidServiceConfigError as error:
            self.warn(str(error))
            return ""
        return f"{duration(default_s)}, unless [`service.{state.deadline}`]({_SETTINGS}) says otherwise"


class States(_ChartDirective):
    """The states of a chart as a table."""

    def parts(self, chart: Chart) -> Iterator[nodes.Node]:
        """Give a row for each state."""
        rows = (
            (_state(chart, state.name), _text(state.description), self._beside(chart, state)) for state in chart.states
        )
        yield from self.read(_table(("state", "what it means", "beside that"), rows))

    def _beside(self, chart: Chart, state: StateDef) -> str:
        notes = ["initial"] if state.name == chart.initial else []
        notes += ["final"] if state.final else []
        notes += [f"calls `{state.enter}`"] if state.enter else []
        notes += [f"at most {self.deadline(state).partition(',')[0]}"] if state.deadline else []
        return "; ".join(notes)


class Transitions(_ChartDirective):
    """The transitions of a chart as a table, in the order in which they are tried."""

    def parts(self, chart: Chart) -> Iterator[nodes.Node]:
        """Give a row for each transition; one that leaves every live state says so in three words."""
        rows = (
            (
                f"`{transition.event}`",
                _sources(chart, transition),
                _target(chart, transition),
                _text(transition.description),
                _guard(chart, transition),
            )
            for transition in chart.transitions
        )
        yield from self.read(_table(("event", "from", "to", "when", "guard"), rows))


class EachState(_ChartDirective):
    """A section for each state of a chart, with the ways in and out of it."""

    def parts(self, chart: Chart) -> Iterator[nodes.Node]:
        """Give the sections, to which links lead by chart and state."""
        for state in chart.states:
            label = _label(chart, state.name)
            section = nodes.section("", nodes.title(state.name, state.name), ids=[label], names=[label])
            self.state.document.note_explicit_target(section)
            section += self.read(self._body(chart, state))
            yield section

    def _body(self, chart: Chart, state: StateDef) -> Iterator[str]:
        yield from (_text(state.description), "")
        if state.name == chart.initial:
            yield f"- **Initial**: a new {chart.name} is in this state."
        if state.enter:
            yield f"- **On entry** {self.on_entry(state)}"
        if state.deadline:
            yield f"- **Deadline**: {self.deadline(state)}."
        if state.final:
            yield f"- **Final**: the {chart.name} has ended, and nothing leads out of this state."
        yield from ("", *_ways("Ways in", "from", _ways_in(chart, state)))
        yield from _ways("Ways out, in the order in which they are tried", "to", _ways_out(chart, state))


def _ways_in(chart: Chart, state: StateDef) -> list[tuple[str, TransitionDef, Chart]]:
    found = [transition for transition in chart.transitions if transition.target == state.name]
    return [(_sources(chart, transition, within=state.name), transition, chart) for transition in found]


def _ways_out(chart: Chart, state: StateDef) -> list[tuple[str, TransitionDef, Chart]]:
    found = chart.transitions_from(state.name)
    return [
        ("itself" if transition.target == state.name else _state(chart, transition.target), transition, chart)
        for transition in found
    ]


def _ways(title: str, direction: str, ways: list[tuple[str, TransitionDef, Chart]]) -> Iterator[str]:
    if ways:
        rows = (
            (f"`{transition.event}`", other, _text(transition.description), _guard(chart, transition))
            for other, transition, chart in ways
        )
        yield from (f"**{title}**", "", *_table(("event", direction, "when", "guard"), rows), "")


def _sources(chart: Chart, transition: TransitionDef, *, within: str | None = None) -> str:
    if len(transition.sources) > 1 and set(transition.sources) == set(chart.live_states):
        return "every live state"
    return ", ".join("itself" if name == within else _state(chart, name) for name in transition.sources)


def _target(chart: Chart, transition: TransitionDef) -> str:
    return "itself" if (transition.target,) == transition.sources else _state(chart, transition.target)


def _guard(chart: Chart, transition: TransitionDef) -> str:
    sentences = {guard.name: guard.description for guard in chart.guards}
    return f"`{transition.guard}`: {_text(sentences[transition.guard])}" if transition.guard else "none"


def _label(chart: Chart, state: str) -> str:
    return f"{chart.name}-{state}".replace("_", "-")


def _state(chart: Chart, name: str) -> str:
    return f"[`{name}`](#{_label(chart, name)})"


def _text(sentence: str) -> str:
    """The sentence as Markdown that shows it as it is, but for what stands in backquotes."""
    return re.sub(r"([\\*_<\[\]|{}])", r"\\\1", sentence)


def _lowered(sentence: str) -> str:
    return _text(sentence[:1].lower() + sentence[1:])


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    heads = list(head)
    for cells in (heads, ["---"] * len(heads), *rows):
        yield f"| {' | '.join(cells)} |"
