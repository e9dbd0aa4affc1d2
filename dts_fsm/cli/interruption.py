"""Signals that ask the process to end: noted first, so that what is under way can be left in order."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

INTERRUPTED = 130
"""The exit status of what somebody interrupted. Source: the shells' 128 + SIGINT."""

_SHOW_CURSOR = b"\x1b[?25h"


class Interruption:
    """While entered, SIGINT and SIGTERM are noted instead of ending the process; a second one ends it at once.

    Only for the main thread.
    """

    def __init__(self) -> None:
        self.requested = False
        self._raises = False
        self._woken_before = -1
        self._previous: dict[signal.Signals, Any] = {}
        # A pipe, because an Event must not be set by a handler: it may have interrupted the very code that holds the
        # event's lock. The interpreter writes to it as soon as a signal comes, in whichever thread: the handlers run
        # in the main thread only, between two of its instructions, and not while it sleeps.
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def __enter__(self) -> Self:
        self._woken_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._woken_before)
        os.close(self._reader)
        os.close(self._writer)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.requested:
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), _SHOW_CURSOR)
            os._exit(128 + number)
        self.requested = True
        if self._raises:
            raise KeyboardInterrupt

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until a signal has come, or the time is over; True for the former."""
        ends_at = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.requested:
            left_s = None if ends_at is None else max(0.0, ends_at - time.monotonic())
            if not select.select([self._reader], [], [], left_s)[0]:
                return self.requested
            os.read(self._reader, 1024)
        return True

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Inside, a first signal raises KeyboardInterrupt: for work that has nowhere to look at ``requested``."""
        self._raises = True
        try:
            if self.requested:
                raise KeyboardInterrupt
            yield
        finally:
            self._raises = False
