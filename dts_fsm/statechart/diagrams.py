"""Pictures of charts, for people: Mermaid for pages, DOT for paper. It is also a command:

    python -m dts_fsm.statechart.diagrams FOLDER            writes the pictures of the package's charts
    python -m dts_fsm.statechart.diagrams --check FOLDER    fails where they are not current

``view`` says how arrows are merged.
"""

from __future__ import annotations

import argparse
import html
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from dts_fsm.statechart.definition import Chart, StateDef
from dts_fsm.statechart.library import CHARTS, load_chart
from dts_fsm.statechart.view import BOX, TICK, Step, View

_PLAIN, _WALKED, _CURRENT = "#ffffff", "#d7ecd9", "#ffe08a"
_LINE, _WALKED_LINE = "#555555", "#1b7837"
_SAFE_ID = re.compile(r"[a-z][a-z0-9_]*")
# Found by drawing charts with states of these names: Mermaid reads them as its own words, or trips over them.
_MERMAID_WORD = re.compile(
    "accdescr|acctitle|as|class|classdef|click|constructor|default|direction|end|hide|href|note|root|scale|state|"
    "statediagram|style"
)


def mermaid(chart: Chart, *, current: str | None = None, path: Sequence[Step] | None = None) -> str:
    """Give the chart as a Mermaid ``stateDiagram-v2``, ending in a line break.

    Args:
        chart: one without faults.
        current: the state that a machine is in, coloured in its own way; None for no machine.
        path: the steps (source, event, target) that it took: their states are coloured and their labels ticked. A step
            with the source "" is the machine's creation; steps that the chart does not have are not drawn.

    Raises:
        StatechartError: ``current`` is not a state of the chart.
    """
    view = View.of(chart, current, path or ())
    ids = {state.name: _mermaid_id(state.name, number) for number, state in enumerate(chart.states)} | {BOX: "ANY"}
    lines = [f"%% {_one_line(chart.name)}: generated from its chart, do not edit", "stateDiagram-v2"]
    start = f"[*] --> {ids[chart.initial]}" + (f" : {TICK}" if view.created else "")
    for names in view.rows:
        # The order is for Mermaid's layout: it puts what comes first on top, but hangs the box's arrows, where the
        # beginning is not in the box, on the state that it meets first in there: the last lets them leave downwards.
        inside = [start] if chart.initial in names else []
        inside += [line for name in reversed(names) for line in _mermaid_state(chart.state(name), ids)]
        if names == view.box:
            inside = [f'state "any of these" as {ids[BOX]} {{', *(f"    {line}" for line in inside), "}"]
        lines += [f"    {line}" for line in inside]
    for arrow in view.arrows:
        label = "<br/>".join(_mermaid_text(text) for text in arrow.labels)
        lines.append(f"    {ids[arrow.source]} --> {ids[arrow.target]} : {label}")
    lines += [f"    {ids[name]} --> [*]" for name in chart.final_states]
    for style, fill, names in (("walked", _WALKED, view.walked), ("current", _CURRENT, view.current)):
        if names:
            lines.append(f"    classDef {style} fill:{fill},stroke:{_WALKED_LINE},color:#000")
            lines.append(f"    class {','.join(ids[name] for name in names)} {style}")
    return "\n".join(lines) + "\n"


def dot(chart: Chart, *, current: str | None = None, path: Sequence[Step] | None = None) -> str:
    """Give the chart as a DOT graph for Graphviz, ending in a line break.

    Args:
        chart: one without faults.
        current: the state that a machine is in, coloured in its own way; None for no machine.
        path: the steps (source, event, target) that it took: their states and arrows are coloured, their labels ticked.
            A step with the source "" is the machine's creation; steps that the chart does not have are not drawn.

    Raises:
        StatechartError: ``current`` is not a state of the chart.
    """
    view = View.of(chart, current, path or ())
    lines = [
        f"// {_one_line(chart.name)}: generated from its chart, do not edit",
        f"digraph {_quoted(chart.name)} {{",
        "    graph [compound=true, nodesep=0.6, ranksep=0.65, fontname=Helvetica, fontsize=11]",
        f'    node [shape=box, style="rounded,filled", fillcolor="{_PLAIN}", color="{_LINE}", fontname=Helvetica]',
        f'    edge [color="{_LINE}", fontname=Helvetica, fontsize=10]',
        '    "" [shape=circle, style=filled, fillcolor=black, width=0.15, label=""]',
    ]
    for names in view.rows:
        inside = [_dot_state(chart.state(name), view) for name in names]
        if names == view.box:
            look = f'label="any of these", labeljust=r, margin=20, style="rounded,dashed", color="{_LINE}"'
            inside = ["subgraph cluster_any {", *(f"    {line}" for line in (f"graph [{look}]", *inside)), "}"]
        lines += [f"    {line}" for line in inside]
    lines.append(f'    "" -> {_quoted(chart.initial)}{_dot_attributes([], view.created)}')
    above = chart.states[: min((chart.states.index(chart.state(name)) for name in view.box), default=0)]
    for arrow in view.arrows:
        # The spaces keep a label off its own arrow.
        label = "\\n".join(f" {_quoted(text)[1:-1]} " for text in arrow.labels)
        attributes = [f'label="{label}"']
        source = arrow.source
        if source == BOX:
            # Graphviz draws no arrow from a box itself: one from a member is cut off at the box's border.
            source = view.box[-1]
            attributes.append("ltail=cluster_any")
            if chart.state(arrow.target) in above:
                attributes.append("constraint=false")
        lines.append(f"    {_quoted(source)} -> {_quoted(arrow.target)}{_dot_attributes(attributes, arrow.walked)}")
    return "\n".join([*lines, "}"]) + "\n"


def write_diagrams(folder: str | os.PathLike[str]) -> None:
    """The folder, made where it is missing, holds the current pictures of the package's charts, and a page with both.

    Raises:
        OSError: a file cannot be written.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for name, content in _files().items():
        (place / name).write_bytes(content)


def stale_diagrams(folder: str | os.PathLike[str]) -> list[str]:
    """Give the names of the files that are missing in the folder, or not what ``write_diagrams`` would write now.

    Raises:
        OSError: a file is there and cannot be read.
    """
    place = Path(folder)
    return [
        name
        for name, content in _files().items()
        if not (place / name).is_file() or (place / name).read_bytes() != content
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the pictures, as the command line asks; give the exit status: 1 for stale pictures."""
    parser = argparse.ArgumentParser(
        prog="python -m dts_fsm.statechart.diagrams", description="Draw the statecharts of dts_fsm."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a picture is not current")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    if not options.check:
        write_diagrams(options.folder)
        return 0
    stale = stale_diagrams(options.folder)
    for name in stale:
        sys.stderr.write(f"{options.folder / name} is not current: run {parser.prog} {options.folder}\n")
    return 1 if stale else 0


def _notes(state: StateDef) -> list[str]:
    notes = [f"enter / {state.enter}"] if state.enter else []
    return notes + ([f"deadline / {state.deadline}"] if state.deadline else [])


def _mermaid_id(name: str, number: int) -> str:
    return name if _SAFE_ID.fullmatch(name) and not _MERMAID_WORD.fullmatch(name) else f"S{number}"


def _mermaid_state(state: StateDef, ids: dict[str, str]) -> list[str]:
    return [f"{ids[state.name]} : {_mermaid_text(text)}" for text in (state.name, *_notes(state))]


def _mermaid_text(text: str) -> str:
    """The text with everything that Mermaid might take for its own written as ``#code;``."""
    return "".join(char if char.isalnum() or char in f" _./[]-{TICK}" else f"#{ord(char)};" for char in text)


def _dot_state(state: StateDef, view: View) -> str:
    rows = [f"<b>{html.escape(state.name)}</b>"]
    rows += [f'<font point-size="10">{html.escape(note)}</font>' for note in _notes(state)]
    attributes = [f"label=<{'<br/>'.join(rows)}>"]
    if state.final:
        attributes.append("peripheries=2")
    if state.name in view.current:
        attributes.append(f'fillcolor="{_CURRENT}", color="{_WALKED_LINE}", penwidth=2')
    elif state.name in view.walked:
        attributes.append(f'fillcolor="{_WALKED}", color="{_WALKED_LINE}"')
    return f"{_quoted(state.name)} [{', '.join(attributes)}]"


def _dot_attributes(attributes: list[str], walked: bool) -> str:
    marks = [f'color="{_WALKED_LINE}", fontcolor="{_WALKED_LINE}", penwidth=2'] if walked else []
    return f" [{', '.join(attributes + marks)}]" if attributes or marks else ""


def _quoted(text: str) -> str:
    return '"' + _one_line(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _files() -> dict[str, bytes]:
    charts = [load_chart(name) for name in CHARTS]
    page = [
        "# The statecharts",
        "",
        "Generated from the charts by `python -m dts_fsm.statechart.diagrams`; do not edit. An arrow says its event",
        "and, in brackets, the guard that must agree. An arrow from the box can be taken from each state in it.",
    ]
    files = {}
    for chart in charts:
        files[f"{chart.name}.mmd"] = mermaid(chart)
        files[f"{chart.name}.dot"] = dot(chart)
        page += ["", f"## {chart.name}", "", chart.description, "", "```mermaid", mermaid(chart).rstrip("\n"), "```"]
    files["README.md"] = "\n".join(page) + "\n"
    return {name: text.encode() for name, text in files.items()}


if __name__ == "__main__":
    sys.exit(main())
