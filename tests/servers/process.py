"""Programs that run as long as the tests do, and end with them, however those end."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

_READY_TIMEOUT_S = 60.0

# the program ends with whoever holds the other end of its watcher's input
_WATCHED = '"$@" & child=$!; cat > /dev/null; kill -9 $child'


def program(name: str, package: str, *, path: str | None = None) -> str:
    """Give where a program is; a test that needs one that is missing fails, and says what to install."""
    found = shutil.which(name, path=path) if path else None
    found = found or shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.fail(f"the program {name} is missing: {package}")
    return found


@contextlib.contextmanager
def running(arguments: Sequence[str], *, folder: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """The program runs, and is ready; what it says is in the file ``log`` of the folder."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHED, "sh", *arguments], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder
        )
    try:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not ready():
            if time.monotonic() > deadline or process.poll() is not None:
                said = (folder / "log").read_text(errors="replace")[-2000:]
                pytest.fail(f"{arguments[0]} has not started: {said}")
            time.sleep(0.02)
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
