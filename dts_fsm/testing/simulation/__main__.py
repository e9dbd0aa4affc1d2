"""The command: run many seeds, or one again with its whole trace."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from dts_fsm.testing.simulation.batch import Failure, Summary, factory_of, run_many
from dts_fsm.testing.simulation.report import InvariantViolated

_SHOWN_FAILURES = 3


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dts_fsm.testing.simulation",
        description="Simulate an installation in which everything goes wrong, from many seeds, and look whether every "
        "invariant holds. Exit code 1 when one does not.",
    )
    parser.add_argument("--seeds", type=int, default=100, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: %(default)s)")
    parser.add_argument("--transfers", type=int, default=50, help="of each seed (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="at once (default: one a core)")
    parser.add_argument("--seed", type=int, help="only this one, and write its trace")
    parser.add_argument("--trace", type=Path, help="write the trace of --seed to this file, not to standard output")
    parser.add_argument(
        "--factory",
        metavar="MODULE:FUNCTION",
        help="makes a host's own Simulation of a seed and a number of transfers",
    )
    return parser


def _print(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _one(seed: int, transfers: int, factory: str | None, file: Path | None) -> int:
    simulation = factory_of(factory)(seed, transfers)
    failed = None
    try:
        report = simulation.run()
    except InvariantViolated as error:
        failed = error
    text = "\n".join(simulation.trace.lines) + "\n"
    if file is None:
        sys.stdout.write(text)
    else:
        file.write_text(text, encoding="utf-8")
    if failed is not None:
        _print(*str(failed).splitlines()[:6])
        return 1
    _print(f"seed {seed}: every invariant held; {report.lines} lines, digest {report.digest}")
    return 0


def _table(title: str, rows: Iterable[tuple[str, int]]) -> list[str]:
    found = list(rows)
    if not found:
        return []
    width = max(len(name) for name, _ in found)
    return [f"{title}:", *(f"  {name.replace('_', ' '):{width}}  {count:>10,}" for name, count in found)]


def _summary(summary: Summary, elapsed_s: float) -> list[str]:
    head = [
        ("seeds", summary.seeds),
        ("seeds that failed", len(summary.failures)),
        ("transfers", summary.transfers),
        ("ticks", summary.ticks),
        ("commits checked", summary.checks),
        ("processes killed", summary.crashes),
        ("hours simulated", round(summary.simulated_s / 3600)),
    ]
    return [
        *_table("simulated", head),
        *_table("faults", sorted(summary.faults.items())),
        *_table("ends", summary.ends.most_common()),
        f"in {elapsed_s:.1f} s, {summary.seeds / elapsed_s:.1f} seeds/s",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments say; give the exit code."""
    asked = _arguments().parse_args(arguments)
    if asked.seed is not None:
        return _one(asked.seed, asked.transfers, asked.factory, asked.trace)
    summary, began_at = Summary(), time.monotonic()
    told_at = began_at
    for result in run_many(
        asked.first, asked.seeds, transfers=asked.transfers, processes=asked.processes, factory=asked.factory
    ):
        summary.add(result)
        if isinstance(result, Failure) and len(summary.failures) <= _SHOWN_FAILURES:
            _print(result.text, "")
        if time.monotonic() - told_at > 10.0:
            told_at = time.monotonic()
            _print(f"{summary.seeds} of {asked.seeds} seeds, {len(summary.failures)} failed")
    _print(*_summary(summary, time.monotonic() - began_at))
    if summary.failures:
        _print("failed: " + ", ".join(str(failure.seed) for failure in sorted(summary.failures, key=lambda f: f.seed)))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
