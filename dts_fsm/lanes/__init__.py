"""Calls of handlers, each in the lane of its endpoint or database, so that a sick provider delays nobody else.

A lane has a few threads of its own, and begins no more calls in a second than its limit says. Cancellations go first;
then each user in turn, the longest-waiting call of each. A call that has not answered in time is given up: its thread
is left to itself and another takes its place, and what it answers later is not heard. These are plain daemon threads
because the executors of ``concurrent.futures`` can neither replace a thread that hangs nor let the process end while
one does.
"""

from dts_fsm.lanes.calls import Call, Verb
from dts_fsm.lanes.dispatchers import Dispatcher, InlineDispatcher, LaneDispatcher
from dts_fsm.lanes.lane import LaneLimits, lane_limits, lane_of

__all__ = [
    "Call",
    "Dispatcher",
    "InlineDispatcher",
    "LaneDispatcher",
    "LaneLimits",
    "Verb",
    "lane_limits",
    "lane_of",
]
