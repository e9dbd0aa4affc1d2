"""Whose turn it is to work on small files.

The interpreter runs one thread at a time, and to hand it over costs about as much as a system call. Threads that copy
small files on a fast disk make thousands of those a second, and only hold each other up: four of them need 1.3 times
the time of one, and 2.5 times its CPU. Where each call waits for a slow disk or a server, they help.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

_BUSY = 0.5
"""Above this share of CPU in its time, a thread would not have waited long enough for another to be of use."""

_LONGEST_TURN_S = 1.0
"""So long nobody else works at the same time; who needs longer may hang in a dead file system."""


class Turns:
    """Lets one thread at a time work, or several while that is measured to be better.

    Args:
        most: how many there are; so many work at once while they mostly wait.
    """

    def __init__(self, most: int) -> None:
        self._most, self._limit = most, 1
        self._taken: dict[Turn, float] = {}
        self._changed = threading.Condition()

    def turn(self) -> Turn:
        """Give a turn that is yet to be taken."""
        return Turn(self)

    def _take(self, turn: Turn) -> None:
        with self._changed:
            while (wait_s := self._next_in_s()) > 0:
                self._changed.wait(wait_s)
            self._taken[turn] = time.monotonic()

    def _next_in_s(self) -> float:
        """How long the next one has to wait at most."""
        now = time.monotonic()
        left_s = sorted(left for at in self._taken.values() if (left := at + _LONGEST_TURN_S - now) > 0)
        return left_s[-self._limit] if len(left_s) >= self._limit else 0.0

    def _give_back(self, turn: Turn, share: float) -> None:
        with self._changed:
            del self._taken[turn]
            self._limit = 1 if share > _BUSY else self._most
            self._changed.notify_all()


class Turn:
    """One batch's turn: it is taken for the time of a ``with``, and given back for waits within that."""

    def __init__(self, turns: Turns | None = None) -> None:
        self._turns = turns
        self._cpu_s = self._wall_s = 0.0

    def __enter__(self) -> Self:
        if self._turns is not None:
            self._turns._take(self)
            self._cpu_s, self._wall_s = time.thread_time(), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._turns is not None:
            wall_s = time.perf_counter() - self._wall_s
            self._turns._give_back(self, (time.thread_time() - self._cpu_s) / wall_s if wall_s else 1.0)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Another may have the turn until the context ends."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()
