"""The memory that moves may have together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dts_fsm.endpoints.batches import Meter

LOOK_S = 0.1
"""How often one who waits looks whether the move was canceled."""


class Buffers:
    """How many bytes all moves of an endpoint may have in memory together; a file always gets one part."""

    def __init__(self, num_bytes: int) -> None:
        self._left = num_bytes
        self._changed = threading.Condition()

    def take(self, num_bytes: int, meter: Meter | None) -> bool:
        """Reserve so many; larger ones than all are given alone.

        Args:
            meter: who waits for them is asked by it whether to go on; None: nobody waits, and False says that they are
                not there.

        Raises:
            CanceledError: the move was canceled meanwhile.
        """
        while True:
            with self._changed:
                if self._left >= num_bytes or (meter is not None and self._left > 0):
                    self._left -= num_bytes
                    return True
                if meter is None:
                    return False
                self._changed.wait(LOOK_S)
            meter.advance(0)  # not with the lock: it may hold

    def give(self, num_bytes: int) -> None:
        """They are free again."""
        with self._changed:
            self._left += num_bytes
            self._changed.notify_all()

    @contextmanager
    def taken(self, num_bytes: int, meter: Meter) -> Iterator[None]:
        """Have so many until the context ends."""
        self.take(num_bytes, meter)
        try:
            yield
        finally:
            self.give(num_bytes)
