"""What goes wrong next: every throw of the dice, every fault of a call, and everything that is to happen later."""

from __future__ import annotations

import heapq
import random
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar
from uuid import UUID

import attrs

from dts_fsm.errors import PermanentError, TransientError
from dts_fsm.testing.simulation.clock import SimulatedClock
from dts_fsm.testing.simulation.faults import CALL_FAULTS, FaultPlan
from dts_fsm.testing.simulation.trace import Trace

T = TypeVar("T")


class Died(BaseException):
    """The process that was at work has been killed: it does nothing more."""


class Hung(BaseException):
    """The call that was under way will never answer."""


@attrs.define(eq=False)
class UnderWay:
    """A call of a handler by a process; once it is interrupted, whatever else it does is interrupted too."""

    process: str
    interrupted: type[Died] | type[Hung] | None = None


class Fate:
    """The dice of one simulation.

    Attributes:
        dice: the one source of chance.
        plan: how often what goes wrong; it may be changed.
        counts: how often each fault has happened.
        under_way: the call of a handler that is being made, or None while clients ask.
        sick: the endpoints and databases whose calls all hang now.
        unheard: the submissions of which a call raised or was given up: nobody knows whether they took effect.
    """

    def __init__(self, seed: int, plan: FaultPlan, clock: SimulatedClock, trace: Trace) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - the same each time is the point
        self.clock, self.trace = clock, trace
        self.counts: Counter[str] = Counter()
        self.under_way: UnderWay | None = None
        self.sick: set[str] = set()
        self.unheard: set[UUID] = set()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._inside = False
        self.plan = plan

    @property
    def plan(self) -> FaultPlan:
        """The probabilities."""
        return self._plan

    @plan.setter
    def plan(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._limits: dict[Sequence[str], list[float]] = {}

    def happens(self, fault: str) -> bool:
        """Throw the dice for one fault."""
        probability: float = getattr(self._plan, fault)
        if probability == 0.0 or self.dice.random() >= probability:
            return False
        self.counts[fault] += 1
        return True

    def one_of(self, faults: Sequence[str]) -> str | None:
        """Throw the dice once for several faults, of which at most one happens."""
        limits = self._limits.get(faults)
        if limits is None:
            limits = self._limits[faults] = list(accumulate(getattr(self._plan, fault) for fault in faults))
        if limits[-1] == 0.0:
            return None
        index = bisect(limits, self.dice.random())
        if index == len(faults):
            return None
        self.counts[faults[index]] += 1
        return faults[index]

    # What happens later

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """The action will take place after so many seconds."""
        self._number += 1
        heapq.heappush(self._later, (self.clock.passed.seconds + delay_s, self._number, action))

    def next_at(self) -> float | None:
        """When something is to happen next, in seconds since the beginning, or None."""
        return self._later[0][0] if self._later else None

    def catch_up(self) -> None:
        """Everything whose time has come has taken place."""
        while self._later and self._later[0][0] <= self.clock.passed.seconds:
            heapq.heappop(self._later)[2]()

    # Calls of providers

    def call(self, place: str, method: str, effect: Callable[[], T], *, again: Callable[[], object] | None = None) -> T:
        """Make a call of a provider, or have a fault instead of it or after it.

        Args:
            place: the endpoint or database.
            effect: what the call does, and what it answers.
            again: what it does where nobody waits for the answer any more; None where it only asks.
        """
        if self._inside:
            return effect()  # a provider's call of itself
        under_way = self.under_way
        if under_way is not None and under_way.interrupted is not None:
            raise under_way.interrupted
        fault = "hang" if place in self.sick else self.one_of(CALL_FAULTS)
        if fault is not None:
            if under_way is None:
                # a client waits for as long as it takes, and its own death is another matter
                fault = "error" if fault in ("error", "permanent_error", "bug", "lost_answer") else None
            return self._faulty(place, method, fault, effect, again)
        return self._inner(effect)

    def _inner(self, effect: Callable[[], T]) -> T:
        self._inside = True
        try:
            return effect()
        finally:
            self._inside = False

    def _faulty(
        self, place: str, method: str, fault: str | None, effect: Callable[[], T], again: Callable[[], object] | None
    ) -> T:
        if fault is not None:
            self.trace.note(f"{place}.{method}: {fault.replace('_', ' ')}")
        if fault in ("lost_answer", "killed_after_call"):
            self._inner(effect)
        match fault:
            case "error" | "lost_answer":
                raise TransientError(f"{place} gave no answer")
            case "permanent_error":
                raise PermanentError(f"{place} refuses {method}")
            case "bug":
                raise ZeroDivisionError("a plug-in's bug")
            case "hang":
                if again is not None and self.dice.random() < 0.5:
                    self.later(self.dice.uniform(1.0, 300.0), lambda: self._takes_place(place, method, again))
                raise self._interrupted(Hung)
            case "killed_before_call" | "killed_after_call":
                raise self._interrupted(Died)
        return self._inner(effect)

    def _interrupted(self, how: type[Died] | type[Hung]) -> type[Died] | type[Hung]:
        if self.under_way is not None:
            self.under_way.interrupted = how
        return how

    def _takes_place(self, place: str, method: str, effect: Callable[[], object]) -> None:
        self.trace.note(f"{place}.{method}: takes place late")
        self._inner(effect)
