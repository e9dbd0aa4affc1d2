"""When a request is made again: only where that cannot do anything twice, later each time, and when the server says."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from dts_fsm.web.deadlines import Deadline

T = TypeVar("T")

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""What may go better later. Source: RFC 9110, section 15; RFC 6585 (429), RFC 8470 (425)."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 20.0
"""A server that asks for more patience gets it from the caller, which tries again with back-off of its own."""


class FailedError(Exception):
    """A request has failed, and may be made again.

    Attributes:
        error: what the caller gets if it is not.
        received: whether the server may have got it, and done what it asks for.
        pause_s: for how long the server wants to be left alone; None: it does not say.
    """

    def __init__(self, error: Exception, *, received: bool, pause_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.received, self.pause_s = error, received, pause_s


def persistently(attempt: Callable[[], T], *, times: int, safe: bool, deadline: Deadline) -> T:
    """Give what an attempt gives, the first, or one of its repetitions.

    Args:
        attempt: makes the request, once; a ``FailedError`` says that it may be made again.
        times: how often it is made again, at most.
        safe: whether it can be made twice: it only reads, it is idempotent, or it carries an id that the server knows
            again. Any other is made again only where the server cannot have got it.
        deadline: when all of this ends; no pause goes beyond it.

    Raises:
        Exception: that of the last attempt.
    """
    number = 0
    while True:
        try:
            return attempt()
        except FailedError as failed:
            pause_s = _jittered(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**number))
            if failed.pause_s is not None:
                pause_s = failed.pause_s + random.uniform(0, 0.1)  # noqa: S311 - not for secrets
            hopeless = number == times or (failed.received and not safe)
            if hopeless or pause_s > min(_LONGEST_PAUSE_S, deadline.left_s()):
                raise failed.error from None
        time.sleep(pause_s)
        number += 1


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - not for secrets


def retry_after_s(text: str | None) -> float | None:
    """Give the pause of a header ``Retry-After``, a number of seconds or a date; None where it says none.

    Source: RFC 9110, section 10.2.3.
    """
    if text is None:
        return None
    try:
        return Retry().parse_retry_after(text)
    except (InvalidHeader, ValueError, OverflowError):
        return None
