"""The calls of a simulated process: made in any order, answered early, late or never."""

from __future__ import annotations

from collections import Counter

from dts_fsm.config import ServiceConfig
from dts_fsm.errors import ProviderError, TransientError
from dts_fsm.lanes import Call
from dts_fsm.records import OperationStatus
from dts_fsm.testing.simulation.fate import Died, Fate, Hung, UnderWay


class SimulatedDispatcher:
    """Makes calls when it is told to, in any order, and gives up those that do not answer in time.

    As with threads, a lane makes no calls while as many as its ``concurrency`` hang, and takes none while too many that
    were given up have not come back.
    """

    def __init__(self, process: str, fate: Fate, settings: ServiceConfig) -> None:
        self._process, self._fate, self._settings = process, fate, settings
        self._waiting: list[Call] = []
        self._counts: Counter[str] = Counter()
        self._busy: list[tuple[float, bool, Call]] = []
        self._lost: list[tuple[float, str]] = []
        self._done: list[Call] = []

    @property
    def next_at(self) -> float | None:
        """When an answer comes or a call is given up next, in seconds since the beginning."""
        if self._waiting or self._done:
            return self._fate.clock.passed.seconds
        return min((at for at, _, _ in self._busy), default=None)

    @property
    def in_flight(self) -> set[int]:
        """The row ids of all operations whose calls have not been collected."""
        calls = [*self._waiting, *self._done, *(call for _, _, call in self._busy)]
        return {number for call in calls for _, number in call.rowids}

    def full_lanes(self) -> frozenset[str]:
        """See ``Dispatcher``."""
        return frozenset(lane for lane in {*self._counts, *(lane for _, lane in self._lost)} if self.full(lane))

    def full(self, lane: str) -> bool:
        """See ``Dispatcher``."""
        return self._counts[lane] >= 8 * self._settings.concurrency or self._hangs(lane)

    def _hangs(self, lane: str) -> bool:
        if not self._lost:
            return False
        now = self._fate.clock.passed.seconds
        self._lost = [(back_at, lost) for back_at, lost in self._lost if back_at > now]
        return sum(lost == lane for _, lost in self._lost) >= 4 * self._settings.concurrency

    def offer(self, call: Call) -> None:
        """See ``Dispatcher``."""
        for operation in call.operations:
            self._fate.trace.submission(operation)
        self._wait(call)

    def _wait(self, call: Call) -> None:
        self._waiting.append(call)
        self._counts[call.lane] += 1

    def withdraw(self, call: Call) -> bool:
        """See ``Dispatcher``."""
        if call not in self._waiting or len(call.operations) > 1:
            return False
        self._waiting.remove(call)
        self._counts[call.lane] -= 1
        return True

    def work(self) -> None:
        """The threads make the calls that wait, in any order."""
        waiting, self._waiting = self._waiting, []
        self._counts.clear()
        self._fate.dice.shuffle(waiting)
        busy = Counter(call.lane for _, _, call in self._busy)
        while waiting:
            call = waiting.pop()
            if busy[call.lane] >= self._settings.concurrency:
                self._wait(call)
            elif not self._make(call):
                busy[call.lane] += 1

    def _make(self, call: Call) -> bool:
        """Make one call; False where it has not answered yet."""
        fate = self._fate
        fate.under_way = under_way = UnderWay(self._process)
        try:
            call.run()
        finally:
            fate.under_way = None
        if under_way.interrupted is Died:
            raise Died
        now, limit_s = fate.clock.passed.seconds, self._settings.call_timeout_s
        if under_way.interrupted is Hung:
            self._busy.append((now + limit_s, True, call))
            return False
        fate.unheard.update(
            operation.submission_id
            for operation in call.operations
            if isinstance(call.answers[operation.id], ProviderError)
        )
        fate.trace.note(f"{self._process} {_told(fate, call)}")
        if fate.happens("slow"):
            delay_s = fate.dice.expovariate(1.5 / limit_s)
            self._busy.append((now + min(delay_s, limit_s), delay_s >= limit_s, call))
            return False
        self._done.append(call)
        return True

    def collect(self, wait_s: float) -> list[Call]:  # noqa: ARG002 - time passes in turns only
        """See ``Dispatcher``."""
        now = self._fate.clock.passed.seconds
        done, self._done = self._done, []
        busy, self._busy = self._busy, []
        for at, hangs, call in busy:
            if at > now:
                self._busy.append((at, hangs, call))
            else:
                done.append(self._given_up(call) if hangs else call)
        for call in [call for call in self._waiting if self._hangs(call.lane)]:
            self._waiting.remove(call)
            self._counts[call.lane] -= 1
            call.fail(None)
            done.append(call)
        return done

    def _given_up(self, call: Call) -> Call:
        self._lost.append((self._fate.clock.passed.seconds + self._fate.dice.uniform(0.0, 300.0), call.lane))
        late = Call(call.verb, call.handler, call.lane, call.operations, call.rowids, term=call.term)
        self._fate.unheard.update(operation.submission_id for operation in call.operations)
        late.fail(TransientError(f"{call.lane} gave no answer to {call.verb} in time"))
        self._fate.trace.note(f"{self._process} gives up: {_told(self._fate, late)}")
        return late

    def close(self) -> None:
        """See ``Dispatcher``."""
        self._waiting.clear()
        self._counts.clear()
        self._busy.clear()
        self._done.clear()


def _told(fate: Fate, call: Call) -> str:
    answers = []
    for operation in call.operations:
        answer = call.answers[operation.id]
        said = answer.code.value if isinstance(answer, OperationStatus) else type(answer).__name__ if answer else "-"
        answers.append(f"{fate.trace.name(operation.submission_id)} {said}")
    return f"{call.verb} {', '.join(answers)}"
