"""A signal ends what waits for one, whichever thread the system hands it to."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, threading, time
from dts_fsm.cli.interruption import Interruption

def send():
    time.sleep(0.2)  # the other one sleeps in its system call by then; if not, the test says less, and passes
    {send}

with Interruption() as interruption:
    threading.Thread(target=send).start()
    print(interruption.wait({timeout}), interruption.requested)
"""


@pytest.mark.parametrize(
    ("send", "timeout", "expected"),
    [
        ("signal.pthread_kill(threading.get_ident(), signal.SIGTERM)", 20.0, "True True"),
        ("signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)", None, "True True"),
        ("pass", 0.5, "False False"),
    ],
)
def test_a_signal_wakes_the_main_thread_whichever_thread_gets_it(
    send: str, timeout: float | None, expected: str
) -> None:
    program = PROGRAM.format(send=send, timeout=timeout)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == (expected, "")
