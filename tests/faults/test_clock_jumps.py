"""Clocks that somebody sets while transfers run."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import pytest

from dts_fsm.records import TransferStatusCode
from dts_fsm.testing import ManualClock, Rig

_DAY_S = 86_400.0


class _WrongClock:
    """A clock that somebody sets: it shows the true time, and so much more."""

    def __init__(self, true: ManualClock) -> None:
        self._true = true
        self.error_s = 0.0

    def time(self) -> float:
        """Seconds since 1970 UTC, as it has them."""
        return self._true.time() + self.error_s

    def advance(self, seconds: float) -> None:
        """Time has passed."""
        self._true.advance(seconds)


@pytest.mark.parametrize("seed", range(8))
def test_a_clock_that_jumps_back_and_forth_by_days_makes_nothing_stuck_and_no_deadline_early(
    quick_folder: Path, seed: int
) -> None:
    # the clock is all that there is to measure a deadline with: jumps are shorter, all in all
    deadlines = {f"{state}_deadline_s": 10 * _DAY_S for state in ("unknown", "staging", "active", "finalizing")}
    choice = random.Random(seed)
    rig = Rig(quick_folder, seed=seed, **deadlines)
    rig.source.add("a", b"content of a")
    rig.source.add("taped", b"content of taped", staged=False)
    rig.source.staging_duration_s, rig.source_endpoint.duration_s = 300.0, 500.0
    clock = rig.clock = _WrongClock(rig.clock)  # type: ignore[assignment]
    rig.reopen()  # the scheduler has the wrong clock now, and its providers the right one
    with closing(rig):
        ids = []
        for _ in range(60):
            if len(ids) < 8:
                ids.append(rig.create(choice.choice(("a", "taped"))))
            while rig.tick():
                pass
            if choice.random() < 0.3:
                clock.error_s = choice.uniform(-5, 4) * _DAY_S
            clock.advance(60)
        clock.error_s = 0.0
        statuses = [rig.run(id_, step_s=60, limit=100) for id_ in ids]
    assert {(status.code, status.reason) for status in statuses} == {(TransferStatusCode.SUCCEEDED, None)}
