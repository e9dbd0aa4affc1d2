"""The names of charts' states and events as types, for type checkers to find misspelt ones. It is also a command:

    python -m dts_fsm.statechart.typed FILE [CHART.toml ...]            writes the types into a Python module
    python -m dts_fsm.statechart.typed --check FILE [CHART.toml ...]    fails where they are not current

Without charts of one's own, the types are those of the package's charts.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from dts_fsm.errors import StatechartError
from dts_fsm.statechart.definition import Chart
from dts_fsm.statechart.library import CHARTS, load_chart, load_chart_file

_COMMAND = "python -m dts_fsm.statechart.typed"
_MAX_COLUMNS = 120


def literals(charts: Iterable[Chart]) -> str:
    """Give a module that defines two types for each chart, such as ``TransferState`` and ``TransferEvent``. Pure.

    Raises:
        StatechartError: a chart has no states or no events, and so no type of them; or two types would have the same
            name.
    """
    charts = tuple(charts)
    names = sorted(f"{_camel(chart.name)}{kind}" for chart in charts for kind in ("State", "Event"))
    if len(names) > len(set(names)):
        told = ", ".join(repr(chart.name) for chart in charts)
        raise StatechartError(f"the types of two of the charts would have the same name: {told}")
    parts = [
        '"""The names of states and events as types.\n\n'
        f'Generated from the statecharts by ``{_COMMAND}``; do not edit.\n"""',
        "from __future__ import annotations",
        "from typing import Literal",
        "\n".join(("__all__ = [", *(f'    "{name}",' for name in names), "]")),
    ]
    for chart in charts:
        states = tuple(state.name for state in chart.states)
        parts += (_type(chart, "State", states), _type(chart, "Event", chart.events))
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the types, as the command line asks; give the exit status: 1 for stale types or what is broken."""
    parser = argparse.ArgumentParser(prog=_COMMAND, description="Make types of the names in statecharts.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the types are not current")
    parser.add_argument("file", type=Path, metavar="FILE", help="the Python module")
    parser.add_argument("charts", nargs="*", metavar="CHART.toml", help="charts of one's own; else the package's")
    options = parser.parse_args(arguments)
    try:
        charts = [load_chart_file(chart) for chart in options.charts] or [load_chart(name) for name in CHARTS]
        text = literals(charts).encode()
        if options.check:
            _check(options.file, text, options.charts)
        else:
            options.file.write_bytes(text)
    except (StatechartError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _check(file: Path, text: bytes, charts: Sequence[str]) -> None:
    """The file has this text.

    Raises:
        StatechartError: it has not, or is not there.
    """
    if not file.is_file() or file.read_bytes() != text:
        command = f"{_COMMAND} {shlex.join((str(file), *charts))}"
        raise StatechartError(f"{file} is not current: run {command}")


def _type(chart: Chart, kind: str, names: Sequence[str]) -> str:
    """The type as the formatter would write it, with a sentence on it."""
    noun = "state" if kind == "State" else "event"
    if not names:
        raise StatechartError(f"the chart {chart.name!r} has no {noun}s to make a type of")
    name = f"{_camel(chart.name)}{kind}"
    words = [f'"{name}"' for name in names]
    line = f"{name} = Literal[{', '.join(words)}]"
    if len(line) > _MAX_COLUMNS:
        line = "\n".join((f"{name} = Literal[", *(f"    {word}," for word in words), "]"))
    return f'{line}\n"""The {noun}s of the chart ``{chart.name}``, in the order of its file."""'


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


if __name__ == "__main__":
    sys.exit(main())
