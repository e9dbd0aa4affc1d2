"""Object stores: files to a bucket and back, beside what rclone takes for the same."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.report import Line, median
from tests.servers.s3 import running

if TYPE_CHECKING:
    from benchmarks.suites import Bench

_SMALL_FILES, _SMALL_BYTES = 1000, 4096
_TARGET = 1.2
_LIMIT_MB, _MB = 300.0, 1e-6


def s3(bench: Bench) -> list[Line]:
    """One large file and many small ones, put and got."""
    few = min(_SMALL_FILES, bench.sizes.small_files)
    cases = {
        f"one file of {bench.sizes.large_mib} MiB and a bucket": (1, bench.sizes.large_mib << 20),
        f"{few:,} files of 4 KiB and a bucket": (few, _SMALL_BYTES),
    }
    with running(bench.new_folder("server")) as found:
        server = {"url": found.url, "bucket": found.bucket, "access_key": found.access_key, "secret": found.secret}
        return [line for suite, (files, size) in cases.items() for line in _beside(bench, suite, files, size, server)]


def _beside(bench: Bench, suite: str, files: int, size_bytes: int, server: Mapping[str, str]) -> list[Line]:
    source = str(bench.run(f"{suite}: source", "copying.make_source", files=files, size_bytes=size_bytes))
    names = ["put", "get"]
    if shutil.which("rclone"):
        names += ["put by rclone", "get by rclone"]
    for turn in range(bench.sizes.repeat):
        for name in names:
            arguments: dict[str, Any] = {"source": source, "server": server, "root": f"{files}-{turn}-{name[4:]}"}
            bench.run(f"{suite}: {name}", f"buckets.{name.replace(' ', '_')}", **arguments)
    lines = []
    for name in ("put", "get"):
        own = bench.runs[f"{suite}: {name}"]
        value = median(own, "wall_s")
        if (theirs := bench.runs.get(f"{suite}: {name} by rclone")) is None:
            lines.append(Line(suite, name, value, "s", "not measured: no rclone", None, _TARGET))
        else:
            lines.append(Line(suite, name, value, "s", "rclone copy", median(theirs, "wall_s"), _TARGET))
        lines.append(
            Line(suite, f"most memory of a {name}", median(own, "peak_bytes") * _MB, "MB", "the limit", _LIMIT_MB, 1.0)
        )
    return lines
