"""The control plane: how its costs grow with the transfers, the files and the rows that there are.

A cost that is said to be constant is compared as it is, one that is said to be linear for each file or each transfer
that is due. Either holds while it is at most twice that of the smallest size: between the sizes lie factors of ten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.readers import LOG_BYTES
from benchmarks.report import Line, Runs, median

if TYPE_CHECKING:
    from benchmarks.suites import Bench

_MS, _US, _MB = 1e3, 1e6, 1e-6
_HOLDS = 2.0


def _sizes(most: int, least: int) -> list[int]:
    return [max(most // part, least) for part in (100, 10, 1)]


def _grown(suite: str, what: str, sizes: list[int], costs_us: list[float]) -> list[Line]:
    """A line for each size but the first, which the others are compared with."""
    return [
        Line(suite, f"CPU of {what}, {size:,}", cost_us, "us", f"{sizes[0]:,}", costs_us[0], _HOLDS)
        for size, cost_us in zip(sizes[1:], costs_us[1:], strict=True)
    ]


def large(bench: Bench) -> list[Line]:
    """Transfers of very many files, through fakes that take no memory for them."""
    sizes = _sizes(bench.sizes.files, 1)
    few, many = sizes[1:]
    suite = "one transfer of " + ", ".join(f"{size:,}" for size in sizes) + " files through fakes, durable"
    found = bench.in_turn(
        {f"{size:,} files": ("orchestration.large", {"files": size}) for size in sizes}
        | {"floor: rows of files": ("floors.file_rows", {"count": few})}
    )
    raw_us = median(found.pop(), "cpu_s") * _US / few
    costs_us = _each(found, "cpu_s", sizes)
    peak_mb = median(found[-1], "peak_bytes") * _MB
    lines = [
        Line(suite, f"CPU of one of {many:,} files", costs_us[2], "us", f"of one of {few:,}", costs_us[1], 1.1),
        Line(suite, f"CPU of one of {few:,} files", costs_us[1], "us", "adding and updating a raw row", raw_us),
        Line(suite, f"most memory, {many:,} files", peak_mb, "MB", "the limit", 1000.0, 1.0),
    ]
    for what in ("create", "files"):
        lines += _grown(suite, f"{what} for a file, of files", sizes, _each(found, f"{what}_s", sizes))
    return lines + _grown(suite, "status, of files", sizes, _each(found, "status_s", [1, 1, 1]))


def _each(found: list[Runs], figure: str, sizes: list[int]) -> list[float]:
    return [median(runs, figure) * _US / size for runs, size in zip(found, sizes, strict=True)]


def history(bench: Bench) -> list[Line]:
    """Calls, reading and pruning in a store of which most has ended."""
    sizes = _sizes(bench.sizes.history, 100)
    suite = "calls in stores with " + ", ".join(f"{size:,}" for size in sizes) + " rows of history and journal"
    found = []
    for size in sizes:
        store = str(bench.run(f"a store with {size:,} rows", "archive.filled", rows=size))
        bench.run(f"reading among {size:,} rows", "archive.read", store=store)
        found.append(bench.runs[f"reading among {size:,} rows"][-1])
    calls = [name for name in found[0] if not name.endswith("_s")]
    lines = [line for name in calls for line in _grown(suite, name, sizes, [run[name] * _US for run in found])]
    longest_ms = found[-1]["longest_prune_s"] * _MS
    return [*lines, Line(suite, "longest call that prunes", longest_ms, "ms", "the limit", 50.0, 1.0)]


def complexity(bench: Bench) -> list[Line]:
    """Each call of the library, and ticks, in stores of three sizes."""
    sizes = _sizes(bench.sizes.live, 10)
    suite = "calls in stores with " + ", ".join(f"{size:,}" for size in sizes) + " live transfers"
    found = []
    for size in sizes:
        store = str(bench.run(f"a store for calls, {size:,} live", "fleet.filled", live=size))
        bench.run(f"calls, {size:,} live", "fleet.calls", store=store)
        found.append(bench.runs[f"calls, {size:,} live"][-1])
    lines = [line for name in found[0] for line in _grown(suite, name, sizes, [run[name] * _US for run in found])]
    due = _sizes(min(bench.sizes.due // 2, sizes[-1] // 4), 1)
    bench.run("ticks of some", "fleet.rounds", store=store, dues=due)
    per_due = bench.runs["ticks of some"][-1]
    return lines + _grown(suite, "ticks for one that is due, of due", due, [per_due[f"{size}"] * _US for size in due])


def log(bench: Bench) -> list[Line]:
    """The write-ahead log while somebody reads the store for long, and afterwards."""
    count = max(bench.sizes.transfers // 2, 1)
    suite = f"the write-ahead log of {count:,} transfers"
    free, held = bench.in_turn(
        {
            "log without a reader": ("readers.log", {"count": count, "reads": False}),
            "log with a reader": ("readers.log", {"count": count, "reads": True}),
        }
    )
    most_mb, held_mb = (median(runs, "most_bytes") * _MB for runs in (free, held))
    untold_mb, after_mb = (median(held, figure) * _MB for figure in ("untold_bytes", "after_bytes"))
    limit_mb = LOG_BYTES * _MB
    return [
        Line(suite, "its most, while somebody reads all the time", held_mb, "MB", "while nobody does", most_mb),
        Line(suite, "its most before that is reported", untold_mb, "MB", "what is to be reported", limit_mb),
        Line(suite, "what is left soon after", after_mb, "MB", "the limit", limit_mb, 1.0),
    ]
