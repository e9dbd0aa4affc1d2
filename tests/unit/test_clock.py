"""The system's clock."""

from __future__ import annotations

import time

import pytest

from dts_fsm.clock import SystemClock
from dts_fsm.interfaces import Clock


def test_the_system_s_clock_is_a_clock_that_gives_seconds_since_1970(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Clock = SystemClock()
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.25)

    assert clock.time() == 1_700_000_000.25
    assert isinstance(clock, Clock)
