"""What a piece of work costs the process that does it. Only the standard library: the floors have nothing else."""

from __future__ import annotations

import resource
import sys
import time
from types import TracebackType
from typing import Self


class Meter:
    """A context manager; ``figures`` has, afterwards, what the block cost.

    CPU time is that of all threads of this process, and of the child processes that have ended in the block.
    """

    figures: dict[str, float]

    def __enter__(self) -> Self:
        self._before = _readings()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        spent = [after - before for before, after in zip(self._before, _readings(), strict=True)]
        self.figures = dict(zip(("wall_s", "cpu_s", "system_s"), spent, strict=True))


def _readings() -> tuple[float, float, float]:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    # process_time counts in nanoseconds, where the figures of an ended child may be coarser
    cpu_s = time.process_time() + children.ru_utime + children.ru_stime
    return time.perf_counter(), cpu_s, own.ru_stime + children.ru_stime


def peak_bytes() -> int:
    """The most memory that this process has had at once."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
