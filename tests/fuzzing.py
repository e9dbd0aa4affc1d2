"""How hostile input is tried: so often, for so long, and with nothing but our own errors."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, settings

from dts_fsm.errors import DtsError

FACTOR = int(os.environ.get("DTS_FUZZ_EXAMPLES", "1"))
"""How many times as many examples as usual are tried: for long runs."""

LONGEST_S = 20.0
"""How long one example may take, on a slow core that others use as well: nearly all take a few milliseconds."""

MOST_GROWTH_BYTES = 400 << 20
"""How much more memory than ever before one example may need."""

_MAXRSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


def fuzz(examples: int) -> Callable[[Any], Any]:
    """A property is tried with so many examples, times ``FACTOR``; ``limited`` has its own deadline for each."""
    return settings(
        max_examples=examples * FACTOR,
        deadline=None,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
            HealthCheck.function_scoped_fixture,
        ],
    )


class TooSlowError(AssertionError):
    """An example took longer than ``LONGEST_S``."""


@contextmanager
def limited(folder: Path | None = None) -> Iterator[None]:
    """Inside, nothing takes too long or too much memory, and no entry of the folder comes or goes."""
    late: list[str] = []

    def interrupt(_: int, frame: FrameType | None) -> None:
        late.append(f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "?")
        raise TooSlowError(f"more than {LONGEST_S:g} s, at {late[0]}")

    entries = sorted(folder.rglob("*")) if folder else []
    peak_bytes = _peak_bytes()
    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert late == []  # whoever was interrupted may have taken it for an error of a plug-in
    assert _peak_bytes() - peak_bytes < MOST_GROWTH_BYTES
    assert (sorted(folder.rglob("*")) if folder else []) == entries


@contextmanager
def own_errors_only(folder: Path | None = None) -> Iterator[None]:
    """As ``limited``; and what is raised inside is one of our own errors, with a message that can be written."""
    told = "nothing was raised"
    with limited(folder):
        try:
            yield
        except DtsError as error:
            told = str(error)
    assert told != ""


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT_BYTES
