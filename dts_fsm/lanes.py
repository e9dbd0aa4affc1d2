"""Calls of handlers, each in the lane of its endpoint or database, so that a sick provider delays nobody else.

A lane has a few threads of its own. A call that has not answered in time is given up: its thread is left to itself and
another takes its place, and what it answers later is not heard. These are plain daemon threads because the executors
of ``concurrent.futures`` can neither replace a thread that hangs nor let the process end while one does.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol
from uuid import UUID

import attrs

from dts_fsm.engine import Answer
from dts_fsm.errors import DtsError, PermanentError, ProviderError, TransientError
from dts_fsm.interfaces import Handler
from dts_fsm.records import Operation, OperationStatus
from dts_fsm.records.checks import readable

_log = logging.getLogger(__name__)


Verb = Literal["submit", "poll", "cancel"]


@attrs.define(eq=False)
class Call:
    """One call of a handler.

    Attributes:
        rowids: for each operation, in the same order, the row ids of its transfer and of itself.
        term: in which of its scheduler's terms of office it was asked for.
        started_at: monotonic seconds, once a thread has taken it up.
        given_up: True once nobody listens to its answer any more.
    """

    verb: Verb
    handler: Handler
    lane: str
    operations: Sequence[Operation]
    rowids: Sequence[tuple[int, int]]
    term: int = 0
    answers: Mapping[UUID, Answer] = attrs.Factory(dict)
    started_at: float | None = None
    given_up: bool = False

    def run(self) -> None:
        """Make the call; ``answers`` has an answer for every operation afterwards, whatever the handler does."""
        try:
            self.answers = self._asked(self.operations)
        except BaseException as error:
            if isinstance(error, TransientError) or len(self.operations) == 1:
                self.fail(_provider_error(self, error))
            else:
                # one of them may be at fault: the others shall not suffer for it
                self.answers = {operation.id: self._alone(operation) for operation in self.operations}

    def _alone(self, operation: Operation) -> Answer:
        try:
            return self._asked([operation])[operation.id]
        except BaseException as error:
            return _provider_error(self, error)

    def _asked(self, operations: Sequence[Operation]) -> Mapping[UUID, Answer]:
        found: Mapping[UUID, object]
        if self.verb == "poll":
            found = dict(self.handler.poll(operations))
        elif self.verb == "submit":
            found = {operation.id: self.handler.submit(operation) for operation in operations}
        else:
            found = {operation.id: self.handler.cancel(operation) for operation in operations}
        return {operation.id: _sound(found.get(operation.id)) for operation in operations}

    def fail(self, error: ProviderError) -> None:
        """Answer every operation with the error."""
        self.answers = dict.fromkeys((operation.id for operation in self.operations), error)


def _sound(answer: object) -> Answer:
    if answer is None or isinstance(answer, OperationStatus):
        return answer
    raise TypeError(f"it answered with {type(answer).__name__}, not with an OperationStatus")


def _provider_error(call: Call, error: BaseException) -> ProviderError:
    text = readable(str(error))
    if isinstance(error, TransientError):
        return TransientError(text or type(error).__name__)
    if isinstance(error, DtsError):
        return PermanentError(text or type(error).__name__)
    # SystemExit is no plug-in's to raise, and what is not caught here would cost the lane its thread
    _log.error("handler raised", exc_info=error, extra={"action": call.verb, "handler": type(call.handler).__name__})
    return TransientError(f"{type(error).__name__}: {text}")


class Dispatcher(Protocol):
    """Makes calls, and gives them back with their answers."""

    def full_lanes(self) -> frozenset[str]:
        """Give the names of the lanes that take no further calls now."""
        ...

    def offer(self, call: Call) -> None:
        """Have the call made soon."""
        ...

    def collect(self, wait_s: float) -> list[Call]:
        """Give the calls that have answered or were given up, each once, after waiting for them so long at most."""
        ...

    def close(self) -> None:
        """Forget all calls that are waiting; nobody listens to those under way. Idempotent."""
        ...


class InlineDispatcher:
    """Makes each call when it is offered, in the caller's thread: for tests that must be the same each time."""

    def __init__(self) -> None:
        self._done: list[Call] = []

    def full_lanes(self) -> frozenset[str]:
        """No lane is ever full."""
        return frozenset()

    def offer(self, call: Call) -> None:
        """The call has been made."""
        call.run()
        self._done.append(call)

    def collect(self, wait_s: float) -> list[Call]:  # noqa: ARG002 - there is nothing to wait for
        """Give the calls that were offered since."""
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Forget the answers."""
        self._done.clear()


class _Lane:
    """The calls of one endpoint or database: those that wait, and a few threads."""

    def __init__(self, name: str, concurrency: int) -> None:
        self.name = name
        self.waiting: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self.threads = 0
        self.calls = 0
        self.given_up = 0
        self.concurrency = concurrency
        # enough to keep its threads busy from one tick to the next
        self.capacity = max(256, 8 * concurrency)

    @property
    def full(self) -> bool:
        # hanging threads cost memory and connections: when too many hang, the lane waits for one to come back
        return self.calls >= self.capacity or self.given_up >= 4 * self.concurrency


class LaneDispatcher:
    """Makes calls on the threads of their lanes.

    Args:
        concurrency: how many calls of one lane run at once.
        call_timeout_s: a call that has run for longer is given up and answered with a TransientError.
    """

    def __init__(self, *, concurrency: int, call_timeout_s: float) -> None:
        self._concurrency, self._call_timeout_s = concurrency, call_timeout_s
        self._changed = threading.Condition()
        self._lanes: dict[str, _Lane] = {}
        self._running: dict[str, set[Call]] = defaultdict(set)
        self._done: list[Call] = []
        self._outstanding = 0
        self._closed = False

    def full_lanes(self) -> frozenset[str]:
        """Give the lanes whose threads are all busy and whose queue is long."""
        with self._changed:
            return frozenset(lane.name for lane in self._lanes.values() if lane.full)

    def offer(self, call: Call) -> None:
        """The call waits in its lane, and a thread of the lane will take it."""
        with self._changed:
            lane = self._lanes.get(call.lane)
            if lane is None:
                lane = self._lanes[call.lane] = _Lane(call.lane, self._concurrency)
            lane.calls += 1
            self._outstanding += 1
            lane.waiting.put(call)
            if lane.threads < min(lane.concurrency, lane.calls):
                self._start_thread(lane)

    def _start_thread(self, lane: _Lane) -> None:
        threading.Thread(target=self._work, args=(lane,), name=f"dts-{lane.name}", daemon=True).start()
        lane.threads += 1

    def _work(self, lane: _Lane) -> None:
        while (call := lane.waiting.get()) is not None:
            with self._changed:
                if self._closed:
                    return
                call.started_at = time.monotonic()
                self._running[lane.name].add(call)
            call.run()
            with self._changed:
                if call.given_up:
                    lane.given_up -= 1
                    return
                self._running[lane.name].discard(call)
                self._finish(lane, call)

    def _finish(self, lane: _Lane, call: Call) -> None:
        lane.calls -= 1
        self._outstanding -= 1
        self._done.append(call)
        if self._outstanding == 0:
            self._changed.notify_all()

    def collect(self, wait_s: float) -> list[Call]:
        """Give the calls that have answered or were given up; wait until all have, but not longer than ``wait_s``."""
        with self._changed:
            self._changed.wait_for(lambda: self._outstanding == 0 or self._closed, wait_s)
            self._give_up()
            done, self._done = self._done, []
            return done

    def _give_up(self) -> None:
        oldest = time.monotonic() - self._call_timeout_s
        for name, calls in self._running.items():
            late = [call for call in calls if call.started_at is not None and call.started_at < oldest]
            for call in late:
                lane = self._lanes[name]
                calls.discard(call)
                answered = Call(call.verb, call.handler, call.lane, call.operations, call.rowids, term=call.term)
                answered.fail(TransientError(f"{name} gave no answer to {call.verb} in {self._call_timeout_s:g} s"))
                call.given_up = True
                lane.given_up += 1
                lane.threads -= 1
                self._finish(lane, answered)
                if lane.threads < min(lane.concurrency, lane.calls):
                    self._start_thread(lane)

    def close(self) -> None:
        """Let the threads end; calls that are waiting are not made, and those under way are not heard. Idempotent."""
        with self._changed:
            self._closed = True
            for lane in self._lanes.values():
                for _ in range(lane.threads):
                    lane.waiting.put(None)
            self._changed.notify_all()
