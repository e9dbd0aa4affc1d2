"""Connections whose every wait has an end: a time-out of reads alone lets a server go on with a byte now and then."""

from __future__ import annotations

import http.client
import io
import math
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_LEAST_BYTES_PER_S = 100
"""An answer that comes more slowly than this is one that does not come."""


class Deadline:
    """The time until which an answer may be waited for.

    Args:
        seconds: from now.

    Attributes:
        fault: why it is waited for no more; "" while it is.
    """

    def __init__(self, seconds: float) -> None:
        self._end_s = time.monotonic() + seconds
        self.fault = ""

    def lift(self) -> None:
        """An answer may take as long as it takes, if only it goes on to bring something."""
        self._end_s = math.inf

    def left_s(self) -> float:
        """Give how many seconds are left; none, or fewer, when it is over."""
        return self._end_s - time.monotonic()


_CURRENT: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def until(deadline: Deadline) -> Iterator[None]:
    """Answers that begin to be read in the block, by this thread, are read until then, also after the block."""
    token = _CURRENT.set(deadline)
    try:
        yield
    finally:
        _CURRENT.reset(token)


class _Bounded(io.RawIOBase):
    """What comes from a socket until the deadline, unless it comes too slowly."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: Deadline) -> None:
        self._raw, self._sock, self._deadline = raw, sock, deadline
        self._patience_s = self._silence_s = sock.gettimeout() or math.inf
        self.begin()

    def begin(self) -> None:
        """From here on it is counted what comes in which time."""
        self._waited_s, self._num_bytes = 0.0, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._deadline.left_s()
        if left_s <= 0:
            self._end("it takes too long")
        if (patience_s := min(left_s, self._silence_s)) != self._patience_s:  # each is a call of the system
            self._sock.settimeout(patience_s if patience_s < math.inf else None)
            self._patience_s = patience_s
        began_s = time.monotonic()
        count = self._raw.readinto(buffer)
        self._waited_s += time.monotonic() - began_s
        self._num_bytes += count or 0
        if self._waited_s > self._silence_s:
            if count and self._num_bytes < _LEAST_BYTES_PER_S * self._waited_s:
                self._end(f"it is too slow: {self._num_bytes} bytes in {self._waited_s:.1f} seconds")
            self.begin()
        return count

    def _end(self, fault: str) -> NoReturn:
        self._deadline.fault = fault
        raise TimeoutError(fault)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """The library's, read through ``_Bounded``."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._bounded: _Bounded | None = None
        if (deadline := _CURRENT.get()) is not None:
            self._bounded = _Bounded(self.fp.detach(), sock, deadline)
            self.fp = io.BufferedReader(self._bounded)

    def begin(self) -> None:
        super().begin()
        if self._bounded is not None:  # how long the server has thought about it does not count
            self._bounded.begin()


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


POOLS = {"http": _Pool, "https": _SecurePool}
"""The classes of connections, by scheme."""
