"""How requests to Globus travel: with time-outs, few repetitions, no redirects, and answers of bounded size."""

from __future__ import annotations

import io
import time
from typing import Any

import requests
from globus_sdk.transport import RequestsTransport, RetryConfig
from requests.adapters import HTTPAdapter

CONNECT_TIMEOUT_S = 10.0

READ_TIMEOUT_S = 25.0
"""How long an answer may take, as a whole.

It is more than a cancellation needs: Globus answers one after up to 10 s. Source:
https://docs.globus.org/api/transfer/task/#cancel_task_by_id
"""

MAX_ANSWER_BYTES = 64 << 20
"""A listing of 100,000 files, the most that Globus gives, has about half as much."""

_RETRIES = 1
_MAX_PAUSE_S = 2.0
_REPEATED = (500, 502, 504)
_CHUNK_BYTES = 1 << 16


class AnswerTooLargeError(requests.RequestException):
    """An answer was larger than any that Globus gives."""


class _Adapter(HTTPAdapter):
    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Give the response with its whole body, which is in memory."""
        ends_at = time.monotonic() + CONNECT_TIMEOUT_S + READ_TIMEOUT_S
        options |= {"stream": True, "timeout": (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)}
        response = super().send(request, *args, **options)
        try:
            return _whole(response, _body(response, ends_at))
        except BaseException:
            response.close()
            raise


def _body(response: requests.Response, ends_at: float) -> bytes:
    """Give the whole body; requests by itself would read whatever comes, for as long as it comes."""
    content = io.BytesIO()
    for chunk in response.iter_content(_CHUNK_BYTES):
        content.write(chunk)
        if content.tell() > MAX_ANSWER_BYTES:
            raise AnswerTooLargeError(f"more than {MAX_ANSWER_BYTES >> 20} MiB came")
        if time.monotonic() > ends_at:
            raise requests.ReadTimeout(f"it was not complete after {READ_TIMEOUT_S:g} s")
    return content.getvalue()


def _whole(response: requests.Response, content: bytes) -> requests.Response:
    """Give a response like this one whose body is the content."""
    whole = requests.Response()
    for name in ("status_code", "headers", "url", "reason", "encoding", "request", "cookies", "connection", "elapsed"):
        setattr(whole, name, getattr(response, name, None))
    whole.raw = io.BytesIO(content)
    return whole


def transport() -> RequestsTransport:
    """Give a transport of the SDK that travels so."""
    made = RequestsTransport()
    for scheme in ("https://", "http://"):
        made.session.mount(scheme, _Adapter())
    made.session.max_redirects = 0  # Globus redirects nobody, and a token goes nowhere else
    return made


def retries() -> RetryConfig:
    """Give how often the SDK repeats a request: what is still refused then is asked for again by the next poll.

    It repeats none that was refused with 429 or 503: it would wait for ``max_sleep`` where Globus wants a longer time.
    """
    return RetryConfig(
        max_retries=_RETRIES,
        max_sleep=_MAX_PAUSE_S,
        retry_after_status_codes=(),
        transient_error_status_codes=_REPEATED,
    )
