"""The charts that come with the package, and charts of one's own from files."""

from __future__ import annotations

import os
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, overload

from dts_fsm.errors import StatechartError
from dts_fsm.statechart.definition import Chart
from dts_fsm.statechart.lint import check
from dts_fsm.statechart.literals import OperationEvent, OperationState, TransferEvent, TransferState
from dts_fsm.statechart.reader import parse_chart

CHARTS = ("transfer", "operation")
"""The names of the charts that come with the package."""


def chart_text(name: str) -> str:
    """Give the TOML text of one of ``CHARTS``.

    Raises:
        StatechartError: there is no such chart, or the installation lacks its file.
    """
    return _find(name).read_text(encoding="utf-8")


@overload
def load_chart(name: Literal["transfer"]) -> Chart[TransferState, TransferEvent]: ...
@overload
def load_chart(name: Literal["operation"]) -> Chart[OperationState, OperationEvent]: ...
@overload
def load_chart(name: str) -> Chart: ...
def load_chart(name: str) -> Chart:
    """Give one of ``CHARTS``, read and free of faults.

    Raises:
        StatechartError: there is no such chart, the installation lacks its file, or the chart has faults: all are
            listed.
    """
    return _checked(chart_text(name), f"{name}.toml")


def load_chart_file(path: str | os.PathLike[str]) -> Chart:
    """Give the chart of a TOML file, read and free of faults.

    Raises:
        StatechartError: the file cannot be read, is not UTF-8, or the chart has faults: all are listed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    # ValueError: bytes that are not UTF-8, or a NUL in the path.
    except (OSError, ValueError) as exc:
        raise StatechartError(f"the statechart {os.fspath(path)!r} cannot be read: {exc}") from exc
    return _checked(text, os.fspath(path))


def _checked(text: str, file: str) -> Chart:
    chart = parse_chart(text, file=file)
    check(chart)
    return chart


def _find(name: str) -> Traversable:
    if name not in CHARTS:
        raise StatechartError(f"there is no statechart {name!r}; the package has: {', '.join(map(repr, CHARTS))}")
    package = files("dts_fsm")
    # A wheel carries the charts within the package; in a checkout they stand beside it, for people to find.
    for folder in (package / "_statecharts", package / ".." / "statecharts"):
        chart = folder / f"{name}.toml"
        if chart.is_file():
            return chart
    raise StatechartError(f"the statechart {name!r} is missing from this installation: install dts_fsm again")
