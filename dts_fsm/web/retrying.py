"""When a request is made again: only where that cannot do anything twice, later each time, and when the server says."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from urllib3 import BaseHTTPResponse
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import MaxRetryError, ResponseError
from urllib3.util import Retry

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""What may go better later. Source: RFC 9110, section 15; RFC 6585 (429), RFC 8470 (425)."""

_LONGEST_WAIT_S = 20.0
"""A server that asks for more patience gets it from the caller, which tries again with back-off of its own."""


class Retrying(Retry):
    """The library's retries; a server that wants to be left alone for long is not asked again at all."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        """Give what is left of the retries, or raise ``MaxRetryError``."""
        if response is not None and (self.get_retry_after(response) or 0.0) > _LONGEST_WAIT_S:
            raise MaxRetryError(_pool, url or "", ResponseError("the server asks for a long pause"))  # type: ignore[arg-type]
        return super().increment(method, url, response, error, _pool, _stacktrace)


def retrying(times: int, *, safe: bool) -> Retrying:
    """Give retries for one request.

    Args:
        times: how often it is made again, at most.
        safe: whether it can be made twice: it only reads, it is idempotent, or it carries an id that the server knows
            again. Any other is made again only where the server cannot have got it.
    """
    options: dict[str, Any] = {"read": None, "status": None, "other": None} if safe else {}
    return Retrying(
        total=times,
        **({"read": 0, "status": 0, "other": 0} | options),
        redirect=0,
        allowed_methods=None,
        status_forcelist=TRANSIENT_STATUSES,
        backoff_factor=0.1,
        backoff_max=_LONGEST_WAIT_S,
        backoff_jitter=0.25,
        raise_on_redirect=False,
        raise_on_status=False,
    )
