"""A clock that moves only when it is told to."""

from __future__ import annotations

import threading


class ManualClock:
    """A clock for tests; safe from any thread.

    Args:
        now: seconds since 1970 UTC.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._lock = threading.Lock()

    def time(self) -> float:
        """Seconds since 1970 UTC."""
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        """Time has passed; ValueError for less than none."""
        if seconds < 0:
            raise ValueError(f"time does not run backwards: {seconds}")
        with self._lock:
            self._now += seconds
