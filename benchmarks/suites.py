"""The suites by their names, and how their workloads run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from benchmarks import child, control_plane, growth
from benchmarks.data_plane import copies
from benchmarks.object_stores import s3
from benchmarks.report import Line, Runs
from benchmarks.sftp_servers import sftp
from benchmarks.web_servers import http


@attrs.frozen(kw_only=True)
class Sizes:
    """How much each suite does; ``repeat`` is how often."""

    repeat: int
    transfers: int
    files: int
    large_mib: int
    small_files: int
    running: int
    live: int
    due: int
    history: int


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

    def new_folder(self, name: str) -> Path:
        """Give a new and empty folder, which stays until all is over."""
        folder = self._folder / name
        folder.mkdir(parents=True)
        return folder

    def in_turn(self, workloads: Mapping[str, tuple[str, dict[str, Any]]]) -> list[Runs]:
        """Each workload has run ``repeat`` times, one after the other; gives their figures."""
        for _ in range(self.sizes.repeat):
            for name, (workload, arguments) in workloads.items():
                self.run(name, workload, **arguments)
        return [self.runs[name] for name in workloads]


# The copies come first: the manifests that the others delete would slow them down on some file systems.
SUITES: Mapping[str, Callable[[Bench], list[Line]]] = {
    "copies": copies,
    "s3": s3,
    "http": http,
    "sftp": sftp,
    "starts": control_plane.starts,
    "live": control_plane.live,
    "transfers": control_plane.transfers,
    "creation": control_plane.creation,
    "status": control_plane.statuses,
    "subscribers": control_plane.subscribers,
    "log": growth.log,
    "large": growth.large,
    "history": growth.history,
    "complexity": growth.complexity,
}
