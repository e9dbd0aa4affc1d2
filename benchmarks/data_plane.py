"""The data plane: real files between local folders, beside what the tools that everybody has need for the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.copying import TOOLS
from benchmarks.report import Line, Runs, median

if TYPE_CHECKING:
    from benchmarks.suites import Bench

_CP, _SYNCED, _RSYNC, _RCLONE = TOOLS
_MOVE, _FAST_MOVE = "a move, {algorithm}, durable", "a move without checksum, not durable"
_WHOLE, _ONE_CORE = "a transfer by the whole orchestrator", "one core hashes with sha256"
_LONGER = "cp -r and sync -f, or sha256 on all cores where that is longer"
_LARGE_FILES, _SMALL_BYTES, _FOLDERS, _AT_ONCE = 4, 4096, 200, 200
_LIMIT_MB, _MB = 100.0, 1e-6


def copies(bench: Bench) -> list[Line]:
    """Local copies beside what other tools take, and the memory that they need."""
    return [*_large(bench), *_small(bench), *_at_once(bench)]


def _large(bench: Bench) -> list[Line]:
    size_bytes = bench.sizes.large_mib << 20
    suite = f"copying {_LARGE_FILES} files of {bench.sizes.large_mib} MiB"
    runs = _measured(
        bench,
        suite,
        {"files": _LARGE_FILES, "size_bytes": size_bytes},
        tools=(_CP, _SYNCED, _RSYNC, _RCLONE),
        others={
            _FAST_MOVE: ("moved", {"algorithm": "none", "durable": "none", "keep": False}),
            **{
                _MOVE.format(algorithm=algorithm): (
                    "moved",
                    {"algorithm": algorithm, "durable": "batch", "keep": False},
                )
                for algorithm in ("sha256", "blake3", "xxh3_128")
            },
            _ONE_CORE: ("hashed", {"algorithm": "sha256"}),
        },
        keep=False,  # a few large files are deleted at no cost to who comes next, and many copies would fill the disk
    )
    sha256 = _MOVE.format(algorithm="sha256")
    floor_s = max(_wall_s(runs[_SYNCED]), _wall_s(runs[_ONE_CORE]) / (os.cpu_count() or 1))
    return [
        _beside(suite, runs, _FAST_MOVE, _CP, target=1.1),
        Line(suite, sha256, _wall_s(runs[sha256]), "s", _LONGER, floor_s, 1.25),
        _beside(suite, runs, sha256, _RCLONE, target=0.5),
        _beside(suite, runs, sha256, _RSYNC, target=1.0),
        _beside(suite, runs, _MOVE.format(algorithm="blake3"), _SYNCED, target=1.5),
        _beside(suite, runs, _MOVE.format(algorithm="xxh3_128"), _SYNCED, target=1.5),
        _memory(suite, runs[sha256]),
    ]


def _small(bench: Bench) -> list[Line]:
    suite = f"copying {bench.sizes.small_files:,} files of 4 KiB"
    sha256 = _MOVE.format(algorithm="sha256")
    runs = _measured(
        bench,
        suite,
        {"files": bench.sizes.small_files, "size_bytes": _SMALL_BYTES, "folders": _FOLDERS},
        tools=(_SYNCED, _RSYNC, _RCLONE),
        others={
            sha256: ("moved", {"algorithm": "sha256", "durable": "batch", "keep": True}),
            _WHOLE: ("transfer", {}),
        },
        keep=True,
    )
    return [
        _beside(suite, runs, sha256, _SYNCED, target=2.0),
        _beside(suite, runs, sha256, _RSYNC, target=0.6),
        _beside(suite, runs, sha256, _RCLONE, target=1.0),
        _beside(suite, runs, _WHOLE, sha256, target=2.0),
        _memory(suite, runs[sha256]),
    ]


def _at_once(bench: Bench) -> list[Line]:
    size_bytes = bench.sizes.large_mib << 14
    suite = f"copying {_AT_ONCE} files of {size_bytes / 2**20:,.3g} MiB at once"
    source = bench.run(f"{suite}: source", "copying.make_source", files=_AT_ONCE, size_bytes=size_bytes, sparse=True)
    name = f"{suite}: a move"
    arguments = {"algorithm": "sha256", "durable": "none", "keep": False, "workers": _AT_ONCE, "even": False}
    bench.run(name, "copying.moved", source=str(source), **arguments)
    return [_memory(suite, bench.runs[name])]


def _measured(
    bench: Bench,
    suite: str,
    files: Mapping[str, int],
    *,
    tools: tuple[str, ...],
    others: Mapping[str, tuple[str, dict[str, Any]]],
    keep: bool,
) -> dict[str, Runs]:
    """Give the figures of all workloads that can be measured here, in turn, with a source of these files."""
    source = str(bench.run(f"{suite}: source", "copying.make_source", **files))
    workloads = {
        tool: ("copying.copied", {"source": source, "tool": tool, "keep": keep})
        for tool in tools
        if shutil.which(_program(tool))
    } | {name: (f"copying.{workload}", {"source": source, **more}) for name, (workload, more) in others.items()}
    found = bench.in_turn({f"{suite}: {name}": what for name, what in workloads.items()})
    return dict(zip(workloads, found, strict=True))


def _program(tool: str) -> str:
    return tool.split(maxsplit=1)[0]


def _wall_s(runs: Runs) -> float:
    return median(runs, "wall_s")


def _beside(suite: str, runs: Mapping[str, Runs], name: str, reference: str, *, target: float) -> Line:
    if reference not in runs:
        return Line(suite, name, _wall_s(runs[name]), "s", f"not measured: no {_program(reference)}", None, target)
    return Line(suite, name, _wall_s(runs[name]), "s", reference, _wall_s(runs[reference]), target)


def _memory(suite: str, runs: Runs) -> Line:
    """The process has nothing to do but the move; Python and the list of the files are in it."""
    return Line(suite, "most memory of a move", median(runs, "peak_bytes") * _MB, "MB", "the limit", _LIMIT_MB, 1.0)
