"""Moves whose endpoints have told of their end: what runs on this machine does not wait for its next poll."""

from __future__ import annotations

import threading
from itertools import islice
from typing import Any
from uuid import UUID

from dts_fsm.store import TransferRow

_MOST = 10_000
"""Of how many moves the end is listened for; of what comes on top, a poll finds it."""


class Ends:
    """The running moves whose ends will be told, and the ends that were.

    Attributes:
        watched: the names of the endpoints that tell.
    """

    def __init__(self) -> None:
        self.watched: set[str] = set()
        self._lock = threading.Lock()
        self._told: dict[str, None] = {}
        self._running: dict[str, int] = {}

    def tell(self, handle: UUID) -> None:
        """The move that its endpoint knows by this id has ended; from any thread."""
        with self._lock:
            self._told[str(handle)] = None
            _shorten(self._told)

    def heard(self) -> list[int]:
        """Give the row ids of the transfers whose moves have ended meanwhile."""
        with self._lock:
            return [self._running.pop(handle) for handle in self._told if handle in self._running]

    def bring_forward(self, row: TransferRow, now: float) -> None:
        """The transfer's moves whose ends were told are due now; those of the others are listened for."""
        for operation in row.operations:
            if operation.state != "running" or operation.handle is None or operation.endpoint not in self.watched:
                continue
            with self._lock:
                if self._told.pop(operation.handle, operation) is None:
                    operation.due_at, operation.dirty = now, True
                else:
                    self._running[operation.handle] = row.rowid
                    _shorten(self._running)

    def forget(self) -> None:
        """Nothing is listened for any more. Idempotent."""
        with self._lock:
            self._told.clear()
            self._running.clear()


def _shorten(kept: dict[str, Any]) -> None:
    """The newest are kept."""
    for handle in list(islice(kept, max(len(kept) - _MOST, 0))):
        del kept[handle]
