"""Downloads from a web server of this machine, by the endpoint and by curl."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.copying import make_equal, moved_between
from benchmarks.meter import Meter
from dts_fsm.config import EndpointConfig
from dts_fsm.endpoints.http.endpoint import HttpEndpoint
from dts_fsm.endpoints.local import LocalEndpoint


def get(folder: Path, *, source: str, server: Mapping[str, str]) -> dict[str, float]:
    """The files of the source folder, which the server has, were moved to a folder."""
    target = folder / "copy"
    target.mkdir()
    site = HttpEndpoint.from_config(EndpointConfig(key="web", provider="http", options=server))
    figures = moved_between(site, LocalEndpoint(root=target, durable="none"), Path(source), folder)
    shutil.rmtree(target)
    return figures


def get_by_curl(folder: Path, *, source: str, server: Mapping[str, str]) -> dict[str, float]:
    """The same by curl, which compares nothing."""
    target = folder / "copy"
    make_equal(Path(source), folder)
    command = ["curl", "--silent", "--show-error", "--fail", "--create-dirs", "--noproxy", "*"]
    command += ["--cacert", server["ca_file"]] if "ca_file" in server else []
    for path in sorted(path.relative_to(source) for path in Path(source).rglob("*.bin")):
        command += ["--output", str(target / path), f"{server['url']}/{path}"]
    with Meter() as meter:
        subprocess.run(command, check=True)
    shutil.rmtree(target)
    return meter.figures
