"""Asking plug-ins while somebody waits: on threads that can be left to themselves where there is no answer."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar, cast

import attrs

from dts_fsm.config import Redactor
from dts_fsm.config.redaction import words
from dts_fsm.errors import DtsError, UnavailableError

_log = logging.getLogger(__name__)

_MOST_HANGING = 8
"""How many threads may hang in one database before nothing more is asked of it until one comes back."""

_IDLE_S = 10.0
"""How long a thread waits for another errand before it ends."""

T = TypeVar("T")


class Ask(Protocol):
    """Asks a database or an endpoint: gives what the question gives, or raises a ``DtsError`` without secrets."""

    def __call__(self, place: str, question: Callable[[], T], /) -> T: ...


@attrs.define(eq=False)
class _Errand:
    """Work to be done on a thread of its own, so that the caller can go when a database does not answer.

    Attributes:
        work: asks, and makes something of the answers.
        outcome: gets what came of it or the error, once.
        asking: which place is being asked, and since when (monotonic seconds), or None.
        given_up: True once nobody waits for the outcome any more.
    """

    work: Callable[[Ask], Any]
    outcome: SimpleQueue[Any] = attrs.Factory(SimpleQueue)
    asking: tuple[str, float] | None = None
    given_up: bool = False


class Askers:
    """Threads that ask; one is kept for the next errand for a while, and one that hangs is left to itself."""

    def __init__(self, timeout_s: float, redact: Redactor) -> None:
        self._timeout_s, self._redact = timeout_s, redact
        self._lock = threading.Lock()
        self._idle: list[SimpleQueue[_Errand]] = []
        self._hanging: Counter[str] = Counter()

    def have(self, work: Callable[[Ask], T]) -> T:
        """Give what the work gives; UnavailableError once one of its questions has no answer in time."""
        errand = _Errand(work)
        with self._lock:
            errands = self._idle.pop() if self._idle else None
        if errands is None:
            errands = SimpleQueue()
            threading.Thread(target=self._run, args=(errands,), name="dts-asker", daemon=True).start()
        errands.put(errand)
        wait_s = self._timeout_s
        while True:
            try:
                outcome = errand.outcome.get(timeout=wait_s)
            except Empty:
                wait_s = self._left_s(errand)
                continue
            if isinstance(outcome, BaseException):
                raise outcome
            return cast(T, outcome)

    def _left_s(self, errand: _Errand) -> float:
        """How long to wait for the errand still; UnavailableError where its question took too long."""
        with self._lock:
            if errand.asking is None:
                return self._timeout_s  # it is at work itself: large payloads take their time
            place, since = errand.asking
            left_s = since + self._timeout_s - time.monotonic()
            if left_s > 0:
                return left_s
            errand.given_up = True
            self._hanging[place] += 1
        raise UnavailableError(f"the {place} gave no answer in {self._timeout_s:g} s: try again later")

    def _run(self, errands: SimpleQueue[_Errand]) -> None:
        while True:
            try:
                errand = errands.get(timeout=_IDLE_S)
            except Empty:
                with self._lock:
                    if errands in self._idle:
                        self._idle.remove(errands)
                        return
                continue  # an errand is on its way
            try:
                outcome: Any = errand.work(self._asks(errand))
            except BaseException as error:
                outcome = error
            with self._lock:
                self._idle.append(errands)
            errand.outcome.put(outcome)
            del errand, outcome

    def _asks(self, errand: _Errand) -> Ask:
        def ask(place: str, question: Callable[[], T]) -> T:
            with self._lock:
                if errand.given_up:
                    raise UnavailableError("nobody waits for the answer any more")
                if self._hanging[place] >= _MOST_HANGING:
                    raise UnavailableError(
                        f"the {place} is not asked: it owes {_MOST_HANGING} answers that took longer than "
                        f"{self._timeout_s:g} s; try again later"
                    )
                errand.asking = (place, time.monotonic())
            try:
                return self._answer(place, question)
            finally:
                with self._lock:
                    errand.asking = None
                    self._hanging[place] -= errand.given_up

        return ask

    def _answer(self, place: str, question: Callable[[], T]) -> T:
        """What a plug-in answers; whatever is wrong in it comes out as an error of ours, without secrets."""
        try:
            return question()
        except Exception as error:
            fault = self._redact.error(error)
            kind, text = type(error).__name__, self._redact(words(error))
        # raised outside of the except clause, so that an error with a secret does not come back as the context
        if isinstance(fault, DtsError):
            raise fault
        _log.error("a provider raised", exc_info=fault, extra={"action": "plan", "place": place})
        raise UnavailableError(f"the {place} has a fault: {kind}: {text}") from fault
