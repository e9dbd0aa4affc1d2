"""A file of a server that knows no ranges: one stream, from which portions are taken in their order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

from dts_fsm.errors import UnavailableError

_TURN_S = 0.2
"""How long a portion waits for those before it, unless they are just coming; they may have been moved before."""


class InOrder:
    """Gives portions of a body to several threads; one that is asked for too late costs a beginning from the start.

    Args:
        open_body: gives the body, from its first byte, in pieces.
        num_bytes: its size.
    """

    def __init__(self, open_body: Callable[[], AbstractContextManager[Iterator[bytes]]], num_bytes: int) -> None:
        self._open_body, self._num_bytes = open_body, num_bytes
        self._turn = threading.Condition()
        self._open = ExitStack()
        self._pieces: Iterator[bytes] | None = None
        self._rest = b""
        self._position = 0

    def read(self, start: int, stop: int) -> bytes:
        """Give the bytes from ``start`` up to before ``stop``.

        Raises:
            UnavailableError: the body ended before, or broke off.
        """
        with self._turn:
            self._turn.wait_for(lambda: self._position >= start, _TURN_S)
            try:
                if self._pieces is None or self._position > start:
                    self._begin()
                for _ in self._taken(start - self._position):
                    pass
                content = b"".join(self._taken(stop - start))
            except BaseException:
                self._end()
                raise
            else:
                if stop == self._num_bytes:
                    self._end()
                return content
            finally:
                self._turn.notify_all()

    def close(self) -> None:
        """Nothing is open, unless somebody is just reading: then it is closed with the end of that. Idempotent."""
        if self._turn.acquire(timeout=1.0):
            try:
                self._end()
            finally:
                self._turn.release()

    def _begin(self) -> None:
        self._end()
        self._pieces = self._open.enter_context(self._open_body())

    def _end(self) -> None:
        self._open.close()
        self._pieces, self._rest, self._position = None, b"", 0

    def _taken(self, num_bytes: int) -> Iterator[bytes]:
        while num_bytes:
            piece = self._rest or next(self._pieces or iter(()), b"")
            if not piece:
                raise UnavailableError("the body ended before its end")
            taken, self._rest = piece[:num_bytes], piece[num_bytes:]
            num_bytes -= len(taken)
            self._position += len(taken)
            yield taken
