"""The suites: which workloads run, in what order, and what is compared with what.

The limits are what the project promises. What DTS's own service takes was measured elsewhere, on two slow cores, with
its own fixtures; it does not belong to the run, and shows an order of magnitude only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from benchmarks import child
from benchmarks.data_plane import copies
from benchmarks.report import Line, Runs, median

_MS, _US, _MB = 1e3, 1e6, 1e-6
_TICK = 1000
"""How many transitions the floor commits at once, as a full tick does."""

_LIMIT_CPU_MS, _LIMIT_CREATE_MS = 2.0, 0.5
_LIMIT_LARGE_S, _LIMIT_LARGE_MB = 30.0, 600.0
_DTS_CPU_MS, _DTS_LARGE_S = 3.75, 40.6
"""3.3 to 4.2 ms of CPU for a transfer of 3 files; one transfer of 100,000 files."""


@attrs.frozen(kw_only=True)
class Sizes:
    """How much each suite does; ``repeat`` is how often."""

    repeat: int
    transfers: int
    files: int
    large_mib: int
    small_files: int
    running: int


class Bench:
    """Runs workloads, each in a process and a folder of its own, and remembers all of their figures.

    Args:
        folder: a new one, for everything.
        told: is called with the name of each workload before it runs.
    """

    def __init__(self, sizes: Sizes, folder: Path, told: Callable[[str], object]) -> None:
        self.sizes, self._folder, self._told = sizes, folder, told
        self.runs: dict[str, list[dict[str, float]]] = {}

    def run(self, name: str, workload: str, **arguments: Any) -> Path:
        """The workload has run once; gives its folder, which stays until all is over.

        Where files are deleted just before, some file systems are slow in making others.
        """
        folder = self._folder / f"{name}-{len(self.runs.get(name, ()))}".replace(" ", "-")
        self._told(name)
        os.sync()  # nothing that was written before is to be paid for now
        self.runs.setdefault(name, []).append(child.run(workload, folder, **arguments))
        return folder

    def in_turn(self, workloads: Mapping[str, tuple[str, dict[str, Any]]]) -> list[Runs]:
        """Each workload has run ``repeat`` times, one after the other; gives their figures."""
        for _ in range(self.sizes.repeat):
            for name, (workload, arguments) in workloads.items():
                self.run(name, workload, **arguments)
        return [self.runs[name] for name in workloads]


def transfers(bench: Bench) -> list[Line]:
    """Many small transfers through fakes: what the orchestrator itself costs."""
    count = bench.sizes.transfers
    suite = f"{count:,} transfers of 3 files through fakes, durable"
    many, rows, files = bench.in_turn(
        {
            suite: ("orchestration.transfers", {"count": count, "files": 3}),
            "floor: transitions": ("floors.transitions", {"count": 10 * count, "batch": _TICK}),
            "floor: small files": ("floors.small_files", {"count": count}),
        }
    )
    cpu_ms, system_ms = (median(many, figure) * _MS / count for figure in ("cpu_s", "system_s"))
    create_ms = median(many, "create_wall_s") * _MS / count
    per_transition_us = median(many, "cpu_s") * _US / many[0]["num_transitions"]
    raw_us = median(rows, "cpu_s") * _US / (10 * count)
    file_ms = median(files, "cpu_s") * _MS / count
    what = "CPU of a transfer"
    return [
        Line(suite, what, cpu_ms, "ms", "the limit", _LIMIT_CPU_MS),
        Line(suite, what, cpu_ms, "ms", "DTS's own service (measured elsewhere)", _DTS_CPU_MS),
        Line(suite, what, cpu_ms, "ms", "making one small file, as its manifest is", file_ms),
        Line(suite, "of it in the kernel", system_ms, "ms", "all of it", cpu_ms),
        Line(suite, "CPU of a transition", per_transition_us, "us", "a raw update and a row of history", raw_us),
        Line(suite, "time to create one", create_ms, "ms", "the limit (2,000 a second)", _LIMIT_CREATE_MS),
    ]


def large(bench: Bench) -> list[Line]:
    """One transfer of many files through fakes."""
    count = bench.sizes.files
    suite = f"1 transfer of {count:,} files through fakes, durable"
    one, rows = bench.in_turn(
        {
            suite: ("orchestration.transfers", {"count": 1, "files": count}),
            "floor: rows of files": ("floors.file_rows", {"count": count}),
        }
    )
    wall_s, what = median(one, "wall_s"), "time to create, run and write the manifest"
    cpu_us, raw_us = (median(runs, "cpu_s") * _US / count for runs in (one, rows))
    peak_mb = median(one, "peak_bytes") * _MB
    return [
        Line(suite, what, wall_s, "s", "the limit", _LIMIT_LARGE_S),
        Line(suite, what, wall_s, "s", "DTS's own service with 100,000 files (measured elsewhere)", _DTS_LARGE_S),
        Line(suite, "CPU of a file", cpu_us, "us", "adding and updating a raw row", raw_us),
        Line(suite, "most memory", peak_mb, "MB", "the limit", _LIMIT_LARGE_MB),
    ]


def statuses(bench: Bench) -> list[Line]:
    """``status()`` while transfers run."""
    running, count = bench.sizes.running, 5 * bench.sizes.running
    suite = f"status() while {running:,} transfers run"
    asked, raw = bench.in_turn(
        {
            suite: ("orchestration.statuses", {"running": running, "count": count}),
            "floor: selects": ("floors.selects", {"items": running, "count": count}),
        }
    )
    cpu_us, raw_us = (median(runs, "cpu_s") * _US / count for runs in (asked, raw))
    slow_ms, median_ms = median(asked, "slow_s") * _MS, median(asked, "median_s") * _MS
    return [
        Line(suite, "CPU of a call", cpu_us, "us", "a raw select by id", raw_us),
        Line(suite, "time of the slowest in 100", slow_ms, "ms", "the median", median_ms),
    ]


# The copies come first: the manifests that the others delete would slow them down on some file systems.
SUITES: Mapping[str, Callable[[Bench], list[Line]]] = {
    "copies": copies,
    "transfers": transfers,
    "large": large,
    "status": statuses,
}
