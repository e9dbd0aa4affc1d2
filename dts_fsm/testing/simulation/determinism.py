"""Everything that would differ from run to run, taken from the seed while a simulation runs."""

from __future__ import annotations

import contextlib
import logging
import os
import random
from collections.abc import Iterator
from unittest import mock

from dts_fsm.testing.simulation.clock import SimulatedClock


@contextlib.contextmanager
def deterministic(ids: random.Random, clock: SimulatedClock) -> Iterator[None]:
    """In the block uuid4 gives ids from ``ids``, time passes only on ``clock``, and the package logs nothing.

    It holds for the whole process: nothing else should run in it meanwhile.
    """
    logger = logging.getLogger("dts_fsm")
    level = logger.level
    # a simulation provokes thousands of errors, each with a traceback: its own trace says what happened
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with (
            mock.patch.object(os, "urandom", ids.randbytes),
            mock.patch("dts_fsm.scheduler.time", clock.passed),
            mock.patch("dts_fsm.store.lease.time", clock.passed),
        ):
            yield
    finally:
        logger.setLevel(level)
