"""Lanes: which operation belongs to which, how much each may do at once, and what comes next in it."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping

import attrs

from dts_fsm.config import Config, DatabaseConfig, EndpointConfig
from dts_fsm.lanes.calls import Call
from dts_fsm.store.rows import DATABASE_KINDS

_AHEAD_S = 10.0
"""For how long the calls that wait in a lane with a rate are enough."""


def lane_of(kind: str, name: str) -> str:
    """Give the lane of an operation by its kind and its endpoint or database: "databases.jdp", "endpoints.tape"."""
    return f"{'databases' if kind in DATABASE_KINDS else 'endpoints'}.{name}"


@attrs.frozen(kw_only=True)
class LaneLimits:
    """How many calls of a lane run at once, and how many begin in a second; None for as many as there are."""

    concurrency: int
    rate_per_s: float | None = None


def lane_limits(config: Config) -> Callable[[str], LaneLimits]:
    """Give the limits of each lane by its name: those of the endpoint or database, else the service's."""

    def limits(lane: str) -> LaneLimits:
        section, _, name = lane.partition(".")
        places: Mapping[str, DatabaseConfig | EndpointConfig] = (
            config.databases if section == "databases" else config.endpoints
        )
        place, service = places.get(name), config.service
        return LaneLimits(
            concurrency=(place and place.concurrency) or service.concurrency,
            rate_per_s=(place and place.rate_per_s) or service.rate_per_s,
        )

    return limits


class Waiting:
    """The calls of a lane that have not begun, in the order in which they are to be made."""

    def __init__(self) -> None:
        self._cancellations: deque[Call] = deque()
        self._turns: dict[str, deque[Call]] = {}

    def put(self, call: Call) -> None:
        if call.verb == "cancel":
            self._cancellations.append(call)
        else:
            self._turns.setdefault(call.owner, deque()).append(call)

    def take(self) -> Call | None:
        """The next call, or None; the owner whose call it is goes to the end of the row."""
        while call := self._next():
            if not call.withdrawn:
                return call
        return None

    def _next(self) -> Call | None:
        if self._cancellations:
            return self._cancellations.popleft()
        if not self._turns:
            return None
        owner = next(iter(self._turns))
        calls = self._turns.pop(owner)
        call = calls.popleft()
        if calls:
            self._turns[owner] = calls
        return call


class Lane:
    """The calls of one endpoint or database: those that wait, and a few threads, of which some are idle."""

    def __init__(self, name: str, limits: LaneLimits, lock: threading.Lock) -> None:
        self.name = name
        self.waiting = Waiting()
        self.offered, self.pausing = threading.Condition(lock), threading.Condition(lock)
        self.running: set[Call] = set()
        self.threads = self.idle = 0
        self.calls = 0
        self.given_up = 0
        self.concurrency = limits.concurrency
        self.pause_s = 1 / limits.rate_per_s if limits.rate_per_s else 0.0
        self.next_at = -math.inf
        # enough to keep its threads busy from one tick to the next
        self._capacity = max(256, 8 * limits.concurrency)
        if limits.rate_per_s:
            self._capacity = min(self._capacity, limits.concurrency + math.ceil(_AHEAD_S * limits.rate_per_s))
        self._filled = False

    @property
    def awake(self) -> int:
        """How many threads make a call, or look for one."""
        return self.threads - self.idle

    @property
    def hangs(self) -> bool:
        # hanging threads cost memory and connections: when too many hang, the lane waits for one to come back
        return self.given_up >= 4 * self.concurrency

    @property
    def full(self) -> bool:
        # once full it is so until it is half empty: a tick that takes up a long queue's work has no room for others
        self._filled = self.calls >= (self._capacity / 2 if self._filled else self._capacity)
        return self._filled or self.hangs
