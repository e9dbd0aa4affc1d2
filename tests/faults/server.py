"""A process that is ready to work, and forks for each fault: to start an interpreter would take 30 times as long.

The server has the shim preloaded. For each request it makes a folder, forks a worker that meets the fault, forks a
judge that meets none, and answers with what they said.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import attrs

from dts_fsm.store import connections
from tests.faults import broken
from tests.faults.judge import findings
from tests.faults.workload import Tell, Workload

KINDS = ("count", "kill", "tear", "fail once", "fail from then on")
"""What the shim does; the numbers are its own."""

_LONGEST_S = 60


@attrs.frozen
class Fault:
    """What happens at the k-th writing call, counted from 1.

    Attributes:
        kind: one of ``KINDS``.
        error_number: with which a call fails.
        broken: the name of a fault of the store's own, see ``tests.faults.broken``, or "".
    """

    kind: str = "count"
    k: int = 0
    error_number: int = 0
    broken: str = ""


@attrs.frozen
class Report:
    """What came of a fault.

    Attributes:
        signal: that ended the worker, 0 for none.
        told: see ``tests.faults.judge``.
        letters: one for each writing call; see ``shim.c``.
        findings: the judge's.
    """

    signal: int
    told: list[list[Any]]
    letters: str
    findings: list[str]


class Server:
    """The server, as its client sees it; a context manager.

    Args:
        shim: the compiled shim.
        folder: for the stores.
    """

    def __init__(self, shim: Path, folder: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment | {"LD_PRELOAD": str(shim), "PYTHONWARNINGS": "error"},
        )

    def meet(self, fault: Fault) -> Report:
        """Have the fault, and give what came of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(attrs.asdict(fault)) + "\n")
        self._process.stdin.flush()
        return Report(**json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def _forked(work: Callable[[Tell], None]) -> tuple[int, list[list[Any]]]:
    """Give the signal that ended a child, and what it told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            signal.alarm(_LONGEST_S)
            work(lambda *words: os.write(writing, json.dumps(words).encode() + b"\n") and None)
        except BaseException:
            os.write(writing, json.dumps(["raised", traceback.format_exc()]).encode() + b"\n")
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        told = [json.loads(line) for line in pipe]
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, told


def _shim() -> ctypes.CDLL:
    """What is preloaded, with the types of its functions."""
    shim = ctypes.CDLL(None)
    shim.dts_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int]
    shim.dts_letters.restype = ctypes.c_char_p
    return shim


def _report(fault: Fault, folder: Path, shim: ctypes.CDLL) -> Report:
    def work(tell: Tell) -> None:
        broken.DEFECTS[fault.broken]()
        shim.dts_arm(str(folder).encode(), KINDS.index(fault.kind), fault.k, fault.error_number)
        Workload(folder, tell, shim.dts_disarm).run()
        tell("letters", shim.dts_letters().decode())

    def judge(tell: Tell) -> None:
        for finding in findings(folder, told):
            tell(finding)

    ended_by, told = _forked(work)
    letters = told.pop()[1] if told and told[-1][0] == "letters" else ""
    judge_ended_by, found = _forked(judge)
    sentences = [" ".join(words) for words in found]
    if judge_ended_by:
        sentences.append(f"the judge was ended by signal {judge_ended_by}")
    return Report(ended_by, told, letters, sentences)


def main() -> None:
    """Serve requests until there are no more."""
    shim = _shim()
    connections._CHECKPOINT_PAGES = 20  # so that the log is moved into the file often enough to be disturbed at it
    for line in sys.stdin:
        folder = Path(tempfile.mkdtemp(dir=sys.argv[1]))
        report = _report(Fault(**json.loads(line)), folder, shim)
        shutil.rmtree(folder)
        sys.stdout.write(json.dumps(attrs.asdict(report)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
