"""Web servers: a large file that is fetched, beside what curl takes for the same."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks.report import Line, median
from tests.servers.nginx import serving_files

if TYPE_CHECKING:
    from benchmarks.suites import Bench

_TARGET = 1.3
_LIMIT_MB, _MB = 200.0, 1e-6


def http(bench: Bench) -> list[Line]:
    """One large file, without TLS and with it."""
    suite = f"one file of {bench.sizes.large_mib} MiB from a web server"
    source = bench.run(f"{suite}: source", "copying.make_source", files=1, size_bytes=bench.sizes.large_mib << 20)
    with serving_files(bench.new_folder("nginx"), source) as nginx:
        servers = {"http": {"url": nginx.url}, "https": {"url": nginx.secure_url, "ca_file": nginx.ca_file}}
        tools = ["get", "get_by_curl"] if shutil.which("curl") else ["get"]
        bench.in_turn(
            {
                f"{suite}: {tool} by {scheme}": (f"downloads.{tool}", {"source": str(source), "server": server})
                for scheme, server in servers.items()
                for tool in tools
            }
        )
    lines = []
    for scheme in servers:
        own = bench.runs[f"{suite}: get by {scheme}"]
        value = median(own, "wall_s")
        if (theirs := bench.runs.get(f"{suite}: get_by_curl by {scheme}")) is None:
            lines.append(Line(suite, scheme, value, "s", "not measured: no curl", None, _TARGET))
        else:
            lines.append(Line(suite, scheme, value, "s", "curl", median(theirs, "wall_s"), _TARGET))
        most = median(own, "peak_bytes") * _MB
        lines.append(Line(suite, f"most memory, {scheme}", most, "MB", "the limit", _LIMIT_MB, 1.0))
    return lines
