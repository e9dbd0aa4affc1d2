"""SFTP servers: files there and back, beside what OpenSSH's own client takes for the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.report import Line, median
from tests.servers.sftp import serving_trees

if TYPE_CHECKING:
    from benchmarks.suites import Bench

_SMALL_FILES, _SMALL_BYTES = 1000, 4096
_TARGET = 1.3
_LIMIT_MB, _MB = 200.0, 1e-6


def sftp(bench: Bench) -> list[Line]:
    """One large file and many small ones, put and got."""
    few = min(_SMALL_FILES, bench.sizes.small_files)
    cases = {
        f"one file of {bench.sizes.large_mib} MiB and an SFTP server": (1, bench.sizes.large_mib << 20),
        f"{few:,} files of 4 KiB and an SFTP server": (few, _SMALL_BYTES),
    }
    with serving_trees(bench.new_folder("sshd")) as found:
        server = {"files": str(found.files), **{key: str(value) for key, value in found.options().items()}}
        return [line for suite, (files, size) in cases.items() for line in _beside(bench, suite, files, size, server)]


def _beside(bench: Bench, suite: str, files: int, size_bytes: int, server: Mapping[str, str]) -> list[Line]:
    source = str(bench.run(f"{suite}: source", "copying.make_source", files=files, size_bytes=size_bytes))
    for turn in range(bench.sizes.repeat):
        for name in ("put", "get", "put by sftp", "get by sftp"):
            root = f"{files}-{turn}-{name[4:].replace(' ', '-')}"
            arguments: dict[str, Any] = {"source": source, "server": server, "root": root}
            bench.run(f"{suite}: {name}", f"trees.{name.replace(' ', '_')}", **arguments)
    lines = []
    for name in ("put", "get"):
        own, theirs = bench.runs[f"{suite}: {name}"], bench.runs[f"{suite}: {name} by sftp"]
        lines.append(Line(suite, name, median(own, "wall_s"), "s", "sftp", median(theirs, "wall_s"), _TARGET))
        most = median(own, "peak_bytes") * _MB
        lines.append(Line(suite, f"most memory of a {name}", most, "MB", "the limit", _LIMIT_MB, 1.0))
    return lines
