"""Faults that a fake has on command, for what a real provider cannot be made to do."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import attrs

from dts_fsm.interfaces import Handler
from dts_fsm.lanes import Call, InlineDispatcher
from dts_fsm.records import Operation, OperationCode, OperationRequest, OperationStatus, Transfer

Fault = BaseException | Callable[[], None]
"""What happens instead of a call: an error that is raised, or a function that is called (to block, for instance)."""


class Faults:
    """Faults by the name of the method that is to have them; safe from any thread."""

    def __init__(self) -> None:
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._lock = threading.Lock()

    def add(self, method: str, fault: Fault, times: int = 1) -> None:
        """The next calls of the method, so many of them, will have the fault."""
        with self._lock:
            self._faults[method].extend([fault] * times)

    def clear(self) -> None:
        """No call will have a fault that was added before."""
        with self._lock:
            self._faults.clear()

    def meet(self, method: str) -> None:
        """A call of the method begins: have its fault, if there is one."""
        with self._lock:
            fault = self._faults[method].popleft() if self._faults[method] else None
        if isinstance(fault, BaseException):
            raise fault
        if fault is not None:
            fault()


class FaultyDispatcher(InlineDispatcher):
    """Makes each call at once, and has faults on command, whatever handler is called.

    Attributes:
        faults: by "submit", "poll" and "cancel", instead of the call; by "submit answer", "poll answer" and "cancel
            answer", after the call was made: its answer is lost.
        dead: while True no call is made or answered: the process dies after its commit, before its calls.
        suspend_submissions: while True, what a provider accepts is said to be suspended by it at first.
        before_call, after_call: are called with each call, before and after it; what they raise, the tick raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self.faults = Faults()
        self.dead = False
        self.suspend_submissions = False
        self.before_call: Callable[[Call], object] = _ignore
        self.after_call: Callable[[Call], object] = _ignore

    def offer(self, call: Call) -> None:
        """The call has been made, or has had its fault, unless the process is dead."""
        self.before_call(call)
        if self.dead:
            return
        made = attrs.evolve(call, handler=_Faulty(call.handler, self))
        super().offer(made)
        self.after_call(made)


def _ignore(call: Call) -> None:
    pass


class _Faulty:
    def __init__(self, handler: Handler, dispatcher: FaultyDispatcher) -> None:
        self._handler, self._dispatcher = handler, dispatcher

    def begin(self, transfer: Transfer) -> Sequence[OperationRequest]:
        return self._handler.begin(transfer)

    def submit(self, operation: Operation) -> OperationStatus:
        self._dispatcher.faults.meet("submit")
        answer = self._handler.submit(operation)
        self._dispatcher.faults.meet("submit answer")
        if self._dispatcher.suspend_submissions and answer.code is OperationCode.RUNNING:
            return attrs.evolve(answer, code=OperationCode.SUSPENDED)
        return answer

    def poll(self, operations: Sequence[Operation]) -> Mapping[UUID, OperationStatus]:
        self._dispatcher.faults.meet("poll")
        answers = self._handler.poll(operations)
        self._dispatcher.faults.meet("poll answer")
        return answers

    def cancel(self, operation: Operation) -> OperationStatus:
        self._dispatcher.faults.meet("cancel")
        answer = self._handler.cancel(operation)
        self._dispatcher.faults.meet("cancel answer")
        return answer
