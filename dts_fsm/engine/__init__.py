"""The engine: the only writer of state. ``transfers`` moves transfers, ``operations`` their operations."""

from dts_fsm.engine.operations import Answer
from dts_fsm.engine.timing import Timing
from dts_fsm.engine.transfers import Engine

__all__ = ["Answer", "Engine", "Timing"]
