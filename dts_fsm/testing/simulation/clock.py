"""The time of a simulation: a wall clock that may jump, and the time that really passes."""

from __future__ import annotations

from dts_fsm.testing.clocks import ManualClock

START = 1_800_000_000.0
"""When every simulation begins, seconds since 1970 UTC."""


class SimulatedClock(ManualClock):
    """The wall clock as the orchestrator reads it; ``passed`` never jumps."""

    def __init__(self) -> None:
        super().__init__(START)
        self.passed = Passed()

    def advance(self, seconds: float) -> None:
        """Time has passed."""
        super().advance(seconds)
        self.passed.seconds += seconds

    def jump(self, seconds: float) -> None:
        """Somebody has set the wall clock forward, or back."""
        with self._lock:
            self._now += seconds


class Passed:
    """The time since the beginning; for providers, whose clocks nobody sets, and in place of the module ``time``."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def time(self) -> float:
        """Seconds since 1970 UTC, without jumps."""
        return START + self.seconds

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return self.seconds
