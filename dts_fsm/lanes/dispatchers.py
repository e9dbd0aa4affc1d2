"""What makes the calls: in place, or on the threads of their lanes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

import attrs

from dts_fsm.config import Redactor
from dts_fsm.errors import TransientError
from dts_fsm.lanes.calls import NO_SECRETS, Call
from dts_fsm.lanes.lane import Lane, LaneLimits

_SLOW_S = 0.02
"""A call that takes longer waits for something outside, and others may be made meanwhile. Quick ones are made by one
thread: more would only take the interpreter from it. Several times ``sys.getswitchinterval()``, for which a quick call
may wait, too."""


class Dispatcher(Protocol):
    """Makes calls, and gives them back with their answers."""

    def full_lanes(self) -> frozenset[str]:
        """Give the names of the lanes that take no further calls now, but cancellations."""
        ...

    def full(self, lane: str) -> bool:
        """Say whether the lane takes no further calls now, but cancellations."""
        ...

    def offer(self, call: Call) -> None:
        """Have the call made soon."""
        ...

    def withdraw(self, call: Call) -> bool:
        """Take back a call of one operation that has not begun: it is neither made nor given back; False otherwise."""
        ...

    def collect(self, wait_s: float) -> list[Call]:
        """Give the calls that have answered or were given up, each once, after waiting for them so long at most."""
        ...

    def close(self) -> None:
        """Forget all calls that are waiting; nobody listens to those under way. Idempotent."""
        ...


class InlineDispatcher:
    """Makes each call when it is offered, in the caller's thread: for tests that must be the same each time.

    Args:
        redact: takes secrets out of what handlers raise and answer.
    """

    def __init__(self, redact: Redactor = NO_SECRETS) -> None:
        self._redact = redact
        self._done: list[Call] = []

    def full_lanes(self) -> frozenset[str]:
        """No lane is ever full."""
        return frozenset()

    def full(self, lane: str) -> bool:  # noqa: ARG002 - the contract's signature
        """No lane is ever full."""
        return False

    def offer(self, call: Call) -> None:
        """The call has been made."""
        call.run(self._redact)
        self._done.append(call)

    def withdraw(self, call: Call) -> bool:  # noqa: ARG002 - the contract's signature
        """Every call has been made."""
        return False

    def collect(self, wait_s: float) -> list[Call]:  # noqa: ARG002 - there is nothing to wait for
        """Give the calls that were offered since."""
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Forget the answers."""
        self._done.clear()


class LaneDispatcher:
    """Makes calls on the threads of their lanes.

    Args:
        limits: of each lane, by its name.
        call_timeout_s: a call that has run for longer is given up and answered with a TransientError.
        redact: takes secrets out of what handlers raise and answer.
    """

    def __init__(
        self, *, limits: Callable[[str], LaneLimits], call_timeout_s: float, redact: Redactor = NO_SECRETS
    ) -> None:
        self._limits, self._call_timeout_s, self._redact = limits, call_timeout_s, redact
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._lanes: dict[str, Lane] = {}
        self._done: list[Call] = []
        self._outstanding = 0
        self._closed = False

    def full_lanes(self) -> frozenset[str]:
        """Give the lanes whose threads are all busy and whose queue is long, or in which too much hangs."""
        with self._lock:
            return frozenset(lane.name for lane in self._lanes.values() if lane.full)

    def full(self, lane: str) -> bool:
        """Say whether ``full_lanes`` has the lane."""
        with self._lock:
            known = self._lanes.get(lane)
            return known is not None and known.full

    def offer(self, call: Call) -> None:
        """The call waits in its lane, and a thread of the lane will take it."""
        with self._lock:
            lane = self._lanes.get(call.lane)
            if lane is None:
                lane = self._lanes[call.lane] = Lane(call.lane, self._limits(call.lane), self._lock)
            lane.calls += 1
            self._outstanding += 1
            lane.waiting.put(call)
            if lane.awake == 0:
                self._wake(lane)

    def withdraw(self, call: Call) -> bool:
        """Take back a call of one operation that no thread has taken up."""
        with self._lock:
            if call.started_at is not None or len(call.operations) > 1 or call.lane not in self._lanes:
                return False
            call.withdrawn = True
            self._leave(self._lanes[call.lane])
            return True

    def _wake(self, lane: Lane) -> None:
        """One thread more looks for calls, if the lane may have one."""
        if lane.idle:
            lane.idle -= 1
            lane.offered.notify()
        elif lane.threads < lane.concurrency and not lane.hangs:
            threading.Thread(target=self._work, args=(lane,), name=f"dts-{lane.name}", daemon=True).start()
            lane.threads += 1

    def _widen(self) -> bool:
        """Lanes whose calls take their time have twice the threads awake; True where others may still need more."""
        narrow = False
        slow = time.monotonic() - _SLOW_S
        for lane in self._lanes.values():
            waiting = lane.calls - len(lane.running)
            if not waiting or lane.awake >= lane.concurrency:
                continue
            narrow = True
            if any(call.started_at is not None and call.started_at < slow for call in lane.running):
                for _ in range(min(lane.awake, waiting)):
                    self._wake(lane)
        return narrow

    def _work(self, lane: Lane) -> None:
        while (call := self._take(lane)) is not None:
            call.run(self._redact)
            with self._lock:
                if call.given_up:
                    lane.given_up -= 1
                    self._wake(lane)
                    return
                lane.running.discard(call)
                self._finish(lane, call)

    def _take(self, lane: Lane) -> Call | None:
        """Wait for the lane's next call, and for its time; None once the dispatcher is closed."""
        with self._lock:
            while not self._closed:
                now = time.monotonic()
                if now < lane.next_at:
                    lane.pausing.wait(lane.next_at - now)
                elif (call := lane.waiting.take()) is None:
                    lane.idle += 1  # who wakes it takes it from there
                    lane.offered.wait()
                else:
                    call.started_at, lane.next_at = now, now + lane.pause_s
                    lane.running.add(call)
                    return call
            return None

    def _finish(self, lane: Lane, call: Call) -> None:
        self._done.append(call)
        self._leave(lane)

    def _leave(self, lane: Lane) -> None:
        lane.calls -= 1
        self._outstanding -= 1
        if self._outstanding == 0:
            self._changed.notify_all()

    def collect(self, wait_s: float) -> list[Call]:
        """Give the calls that have answered or were given up; wait until all have, but not longer than ``wait_s``."""
        with self._lock:
            until = time.monotonic() + wait_s
            narrow = self._widen()
            while self._outstanding and not self._closed and (left_s := until - time.monotonic()) > 0:
                self._changed.wait(min(left_s, _SLOW_S) if narrow else left_s)
                narrow = self._widen()
            for lane in self._lanes.values():
                self._give_up(lane)
            done, self._done = self._done, []
            return done

    def _give_up(self, lane: Lane) -> None:
        oldest = time.monotonic() - self._call_timeout_s
        for call in [call for call in lane.running if call.started_at is not None and call.started_at < oldest]:
            lane.running.discard(call)
            answered = attrs.evolve(call, given_up=True)
            answered.fail(TransientError(f"{lane.name} gave no answer to {call.verb} in {self._call_timeout_s:g} s"))
            call.given_up = True
            lane.given_up += 1
            lane.threads -= 1
            self._finish(lane, answered)
            self._wake(lane)
        if lane.hangs:
            # nothing was asked and there is no news: what waits is free to be canceled, and is asked for again later
            while (waiting := lane.waiting.take()) is not None:
                waiting.fail(None)
                self._finish(lane, waiting)

    def close(self) -> None:
        """Let the threads end; calls that are waiting are not made, and those under way are not heard. Idempotent."""
        with self._lock:
            self._closed = True
            for lane in self._lanes.values():
                lane.offered.notify_all()
                lane.pausing.notify_all()
            self._changed.notify_all()
