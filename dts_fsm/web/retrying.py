"""When a request is made again: only where that cannot do anything twice, later each time, and when the server says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError
from urllib3.util import Retry

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""What may go better later. Source: RFC 9110, section 15; RFC 6585 (429), RFC 8470 (425)."""

_LONGEST_WAIT_S = 20.0
"""A server that asks for more patience gets it from the caller, which tries again with back-off of its own."""


def persistently(ask: Callable[[], BaseHTTPResponse], *, times: int, safe: bool) -> BaseHTTPResponse:
    """Give the answer to a request, or to one of its repetitions.

    The library counts, and waits: exponentially, with jitter, or as ``Retry-After`` says. That it makes the requests as
    well is not wanted: it would read the bodies of refusals to their end, wherever that is.

    Args:
        ask: makes the request, once.
        times: how often it is made again, at most.
        safe: whether it can be made twice: it only reads, it is idempotent, or it carries an id that the server knows
            again. Any other is made again only where the server cannot have got it.

    Raises:
        HTTPError, OSError: it failed for the last time.
    """
    left = _retries(times, safe=safe)
    while True:
        try:
            response = ask()
        except HTTPError as error:
            left = left.increment("", error=error)
            left.sleep()
            continue
        if response.status not in TRANSIENT_STATUSES or not safe or _wait_s(left, response) > _LONGEST_WAIT_S:
            return response
        try:
            left = left.increment("", response=response)
        except MaxRetryError:
            return response
        response.close()
        left.sleep(response)


def _wait_s(left: Retry, response: BaseHTTPResponse) -> float:
    try:
        return left.get_retry_after(response) or 0.0
    except InvalidHeader:
        del response.headers["Retry-After"]
        return 0.0


def _retries(times: int, *, safe: bool) -> Retry:
    options: dict[str, Any] = {"read": None, "other": None} if safe else {"read": 0, "other": 0}
    return Retry(
        total=times,
        **options,
        allowed_methods=None,
        backoff_factor=0.1,
        backoff_max=_LONGEST_WAIT_S,
        backoff_jitter=0.25,
    )
