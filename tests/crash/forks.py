"""Processes that are forked from one that has imported everything: to start an interpreter takes ten times as long."""

from __future__ import annotations

import faulthandler
import functools
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from dts_fsm import Config, registry
from dts_fsm.clock import SystemClock
from dts_fsm.engine import transfers
from dts_fsm.running import Parts, assemble
from dts_fsm.statechart import load_chart
from tests.crash.site import LONGEST_S


def warm_up(config: Path) -> None:
    """This process has what every later one needs: modules imported, charts read, plug-ins looked up. No threads."""
    registry._factory = functools.cache(registry._factory)
    transfers.load_chart = functools.cache(load_chart)  # type: ignore[attr-defined]
    parts = Parts(databases=None, endpoints=None, handlers={}, store=None, executor=None, clock=SystemClock())
    assemble(Config.load(config), parts, schedule=True).resources.close()
    gc.collect()
    gc.freeze()  # or every collection of a child would copy all of it


def fork(work: Callable[[], object], log: Path, *, longest_s: int = LONGEST_S) -> int:
    """Begin the work in a new process, and give its number; see ``ended``.

    Args:
        log: where the process writes what it has to complain of, and where it was if it has hung.
        longest_s: after this time it is taken to hang.
    """
    if (process := os.fork()) != 0:
        return process
    status = 1
    try:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
        # a watchdog thread would not survive the next fork
        faulthandler.register(signal.SIGALRM, file=2, chain=True)
        signal.alarm(longest_s)
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def ended(process: int) -> int:
    """Give how the process ended: 0 for well, the number of the signal that killed it below 0, else its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
