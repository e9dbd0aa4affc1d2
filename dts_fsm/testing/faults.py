"""Faults that a fake has on command, for what a real provider cannot be made to do."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable

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

    def meet(self, method: str) -> None:
        """A call of the method begins: have its fault, if there is one."""
        with self._lock:
            fault = self._faults[method].popleft() if self._faults[method] else None
        if isinstance(fault, BaseException):
            raise fault
        if fault is not None:
            fault()
