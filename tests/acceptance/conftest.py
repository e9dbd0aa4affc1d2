"""The command as a real process: started, waited for with a deadline, and never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DEADLINE_S = 30.0
ROOT = Path(__file__).parents[2]


def until(condition: Callable[[], Any], what: str) -> Any:
    """Give the condition's answer once it is true."""
    deadline = time.monotonic() + DEADLINE_S
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        threading.Event().wait(0.002)
    return answer


class Command:
    """Runs ``dts-fsm`` in an environment of its own, below a folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("DTS_FSM_", "XDG_"))}
        self.env = kept | {"HOME": str(home), "USER": "ada", "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": f"{home}/state"}
        for key in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
            self.env.pop(key, None)
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "dts_fsm.cli", *map(str, arguments)],
            **{
                "env": self.env,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "stdin": subprocess.DEVNULL,
                "text": True,
                **options,
            },
        )
        self._started.append(process)
        return process

    def run(self, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        given = options.pop("input", None)
        if given is not None:
            options["stdin"] = subprocess.PIPE
        process = self.start(*arguments, **options)
        out, err = process.communicate(given, timeout=DEADLINE_S)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def ok(self, *arguments: object, **options: Any) -> str:
        """Run it, and give what it writes; it must succeed."""
        done = self.run(*arguments, **options)
        assert (done.returncode, done.stderr if done.returncode else "") == (0, "")
        return done.stdout

    def json(self, *arguments: object, **options: Any) -> Any:
        return json.loads(self.ok(*arguments, "--json", **options))

    def states(self) -> list[Path]:
        """The state folders of the pairs that were transferred."""
        return sorted((self.home / "state" / "dts-fsm" / "transfers").iterdir())

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(DEADLINE_S)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """The command, with its state below the test's folder."""
    home = tmp_path / "home"
    home.mkdir()
    command = Command(home)
    yield command
    command.close()
