"""Workloads run in fresh processes, so that none warms up, or burdens, another: ``python -m benchmarks.child``.

A workload is a function of this package that takes ``folder``, a new and empty one, and keyword arguments that JSON can
write; it gives its figures, a dict of numbers. It leaves its files in the folder.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def run(workload: str, folder: Path, **arguments: Any) -> dict[str, float]:
    """Give the figures of a workload, "module.function" of this package, from a process of its own.

    Raises:
        RuntimeError: it failed; what it wrote to stderr is in the message.
    """
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.child", workload, json.dumps({"folder": str(folder), **arguments})]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"the workload {workload} failed:\n{ended.stderr}")
    figures: dict[str, float] = json.loads(ended.stdout)
    return figures


def main() -> None:
    """Run the workload that the command line names, and print its figures as JSON."""
    workload, text = sys.argv[1:]
    module, name = workload.split(".")
    arguments = json.loads(text)
    folder = Path(arguments.pop("folder"))
    print(json.dumps(getattr(importlib.import_module(f"benchmarks.{module}"), name)(folder, **arguments)))


if __name__ == "__main__":
    main()
