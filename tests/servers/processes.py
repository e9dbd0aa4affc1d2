"""Servers of tests that are Python programs, each a process of its own."""

from __future__ import annotations

import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_START_S = 20


@contextmanager
def port_of(script: str, *arguments: str, package: str) -> Iterator[int]:
    """The port of a server that runs as a process and prints it as its first line.

    Raises:
        RuntimeError: it does not begin to serve.
    """
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name(script)), *arguments]
    with (
        tempfile.TemporaryFile("w+") as said,  # not a pipe, which nobody would empty
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                line = process.stdout.readline() if selector.select(_START_S) else ""
            if not line.strip().isdigit():
                said.seek(0)
                raise RuntimeError(f"{script} serves nothing (pip install {package}): {said.read()[-2000:]}")
            yield int(line)
        finally:
            process.kill()
