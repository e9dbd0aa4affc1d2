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
        reference_value: the same measure of that, in the same unit; less than it is better.
    """

    suite: str
    name: str
    value: float
    unit: str
    reference: str
    reference_value: float

    @property
    def ratio(self) -> float:
        """How many times the reference's value."""
        return self.value / self.reference_value


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
        value, reference_value = f"{line.value:,.3g} {line.unit}", f"{line.reference_value:,.3g} {line.unit}"
        text += f"{line.ratio:9.2f} x  {line.name}: {value}, to {line.reference}: {reference_value}\n"
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
