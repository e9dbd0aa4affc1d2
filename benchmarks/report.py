"""What a run of the benchmarks found: lines for people, figures for programs."""

from __future__ import annotations

import json
import platform
import sqlite3
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

Runs = Sequence[Mapping[str, float]]
"""The figures of one workload, for each time that it ran."""


@attrs.frozen
class Line:
    """One comparison.

    Attributes:
        suite: the heading that it stands under.
        name: what was measured.
        value: how much of it, in ``unit``; the median of the runs.
        reference: what it is compared with.
        reference_value: the same measure of that, in the same unit; less than it is better. None where it could not be
            measured; ``reference`` says why.
        target: what the ratio should at most be, or None.
    """

    suite: str
    name: str
    value: float
    unit: str
    reference: str
    reference_value: float | None
    target: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times the reference's value; None where that is not known."""
        return None if self.reference_value is None else self.value / self.reference_value


def median(runs: Runs, figure: str) -> float:
    """Give the median of a figure over the runs."""
    return statistics.median(run[figure] for run in runs)


def as_text(lines: Iterable[Line]) -> str:
    """Give the lines as a table: a ratio, what was measured, and what it is a ratio to."""
    text, suite = "", ""
    for line in lines:
        if line.suite != suite:
            suite = line.suite
            text += f"\n{suite}\n"
        value = f"{line.name}: {line.value:,.3g} {line.unit}"
        if line.ratio is None:
            text += f"{'-':>9}    {value}; {line.reference}\n"
            continue
        text += f"{line.ratio:9.2f} x  {value}, to {line.reference}: {line.reference_value:,.3g} {line.unit}"
        if line.target is not None:
            text += f" (at most {line.target:.3g}: {'met' if line.ratio <= line.target else 'missed'})"
        text += "\n"
    return text.lstrip("\n")


def as_json(sizes: Mapping[str, Any], lines: Iterable[Line], runs: Mapping[str, Runs]) -> str:
    """Give everything as JSON text: the sizes, each line with its ratio, and the figures of every run."""
    return json.dumps(
        {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "sizes": dict(sizes),
            "lines": [{**attrs.asdict(line), "ratio": line.ratio} for line in lines],
            "runs": {workload: list(figures) for workload, figures in runs.items()},
        },
        indent=1,
    )
