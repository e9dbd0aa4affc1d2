"""One client for everything that is asked over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from ssl import SSLCertVerificationError
from typing import Any, TypeVar
from urllib.parse import urlencode

import attrs
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

from dts_fsm.config import Redactor, Secret
from dts_fsm.errors import PermanentError, TransientError, UnauthorizedError, UnavailableError
from dts_fsm.web.addresses import base_of, is_local, joined, origin, redirected, shown
from dts_fsm.web.answers import PIECE_BYTES, Answer, Stream, excerpt, pieces, whole
from dts_fsm.web.credentials import is_credential, is_harmless
from dts_fsm.web.deadlines import Deadline
from dts_fsm.web.masking import Masks, has_secret, revealed
from dts_fsm.web.pools import Connections
from dts_fsm.web.retrying import TRANSIENT_STATUSES, FailedError, persistently, retry_after_s

T = TypeVar("T")

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_IDEMPOTENT = _READS | {"PUT", "DELETE"}
"""Source: RFC 9110, section 9.2.2."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5

_NOT_RECEIVED = (NewConnectionError, ConnectTimeoutError, ProxyError)
"""The server cannot have got the request."""


def _no_headers() -> Mapping[str, str | Secret]:
    return {}


@attrs.frozen(kw_only=True)
class _Request:
    """A request, and what it may cost.

    Attributes:
        own: the client's headers, for its origin alone.
        more: the caller's headers.
        safe: whether it can be made twice.
        accept: statuses besides 2xx that are answers.
        redact: masks what must not be seen of it.
    """

    method: str
    url: str
    own: Mapping[str, str | Secret]
    more: Mapping[str, str | Secret]
    body: bytes | None
    safe: bool
    accept: Collection[int]
    redact: Redactor
    deadline: Deadline


class HttpClient:
    """Asks one service; safe for threads, which share its connections.

    TLS is verified, no redirect leads from https to http, and no secret is sent over http except to this machine.
    The headers of the client, and all of a request but those that say what is asked for (``Accept``, ``Range``, ...),
    go to their origin alone: a redirect elsewhere does not get them. A request is made again, with jittered back-off
    and after the pause that the server asks for (``Retry-After``), where that cannot do anything twice. A proxy that
    the environment names is used.

    Args:
        base_url: what the paths of requests are relative to; "https://…", or "http://…" where nothing is secret.
        name: what the service is called in messages.
        headers: gives the headers of each request; called for each, from any thread. Secrets in them are masked.
        ca_file: certificates to trust instead of the system's.
        connect_timeout_s: how long a connection may take.
        read_timeout_s: how long a server may be silent; a body that comes a few bytes at a time counts as silence.
        total_timeout_s: how long a request may take with everything, repetitions, pauses and the body included; of a
            stream, until its body begins.
        retries: how often a request is made again, at most.
        max_body_bytes: longer answers are refused, so that none fills the memory.
        connections: how many are kept open.
        secrets: more of what must not be seen in a text, for example of the URL.

    Raises:
        ConfigurationError: the URL is not one of HTTP, or has a user, a password or a query; the certificates cannot
            be read.
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str = "the service",
        headers: Callable[[], Mapping[str, str | Secret]] = _no_headers,
        ca_file: str | None = None,
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 30.0,
        total_timeout_s: float = 300.0,
        retries: int = 3,
        max_body_bytes: int = 64 << 20,
        connections: int = 8,
        secrets: Collection[Secret] = (),
    ) -> None:
        self.name, self._base = name, base_of(base_url)
        self._headers, self._retries, self._max_body_bytes = headers, retries, max_body_bytes
        self._total_timeout_s = total_timeout_s
        self._connections = Connections(
            ca_file=ca_file, connect_timeout_s=connect_timeout_s, read_timeout_s=read_timeout_s, kept=connections
        )
        self._masks = Masks((*secrets, *self._connections.secrets))

    def close(self) -> None:
        """Close the connections; the client remains usable. Idempotent."""
        self._connections.close()

    def url(self, path: str) -> str:
        """Give the whole URL of a path, which may be a URL itself.

        Raises:
            PermanentError: the path leads out of the base URL, or a whole URL is http where the base is https.
        """
        return joined(self._base, path)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json_body: Any = None,
        form: Mapping[str, str | Secret] | None = None,
        headers: Mapping[str, str | Secret] | None = None,
        safe: bool | None = None,
        accept: Collection[int] = (),
    ) -> Answer:
        """Give the service's answer; its body has been read.

        Args:
            path: relative to the base URL, or a whole URL.
            params: the query; a list is repeated, None is left out. Servers, proxies and urllib3's own debugging write
                queries to their logs: what is secret belongs into a header.
            json_body: sent as JSON, if it is not None.
            form: sent as a form. In all three, and in headers, secrets are sent and masked.
            headers: more of them.
            safe: whether the request can be made twice; by default that goes by its method.
            accept: statuses besides 2xx that are answers, and no errors.

        Raises:
            UnauthorizedError: 401 or 403.
            UnavailableError: the service cannot be reached, or is silent.
            TransientError: it is overloaded, or faulty, and may not be later.
            DowngradedRedirectError: it redirects from https to http.
            PermanentError: it refuses the request for good, or its answer is too long; or a secret would be sent in
                clear.
        """
        sent = {**_content_type(json_body, form), **(headers or {})}
        safe = method in _IDEMPOTENT if safe is None else safe
        request = self._request(method, path, params, json_body, form, sent, safe, accept)

        def use(response: urllib3.BaseHTTPResponse, url: str) -> Answer:
            with response:
                content = whole(response, url, most_bytes=self._max_body_bytes, deadline=request.deadline)
            return Answer(status=response.status, headers=response.headers, body=content, url=url)

        return self._answered(request, use)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str | Secret] | None = None,
        accept: Collection[int] = (),
        piece_bytes: int = PIECE_BYTES,
    ) -> Iterator[Stream]:
        """Give the answer to a request that only reads, its body piece by piece; errors are those of ``request``."""
        request = self._request(method, path, None, None, None, headers or {}, True, accept)
        response, url = self._answered(request, lambda response, url: (response, url))
        request.deadline.lift()
        with response:
            body = pieces(response, url, piece_bytes=piece_bytes, deadline=request.deadline)
            yield Stream(status=response.status, headers=response.headers, url=url, pieces=body)

    def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        json_body: Any,
        form: Mapping[str, str | Secret] | None,
        more: Mapping[str, str | Secret],
        safe: bool,
        accept: Collection[int],
    ) -> _Request:
        url, own = self.url(path), self._headers()
        if has_secret((params, json_body, form)):
            self._keep_secret(url)
        asked = {key: revealed(value) for key, value in (params or {}).items() if value is not None}
        if query := urlencode(asked, doseq=True):
            url = f"{url}{'&' if '?' in url else '?'}{query}"
        return _Request(
            method=method,
            url=url,
            own=own,
            more=more,
            body=_encoded(json_body, form),
            safe=safe,
            accept=accept,
            redact=self._masks.of((own, more), params, json_body, form),
            deadline=Deadline(self._total_timeout_s),
        )

    def _answered(self, request: _Request, use: Callable[[urllib3.BaseHTTPResponse, str], T]) -> T:
        """Give what ``use`` makes of the answer; what fails in between is tried again, where that is safe."""

        def attempt() -> T:
            response, url = self._followed(request)
            bare = request.redact(shown(url))
            if not (200 <= response.status < 300 or response.status in request.accept):
                with response:
                    raise self._fault(response, bare, request)
            try:
                return use(response, bare)
            except UnavailableError as error:
                raise FailedError(error, received=True) from error

        return persistently(attempt, times=self._retries, safe=request.safe, deadline=request.deadline)

    def _followed(self, request: _Request) -> tuple[urllib3.BaseHTTPResponse, str]:
        """Give the answer at the end of the redirects, and its URL."""
        url, more = request.url, request.more
        for _ in range(_MOST_REDIRECTS + 1):
            headers = {**(request.own if origin(url) == origin(self._base) else {}), **more}
            response = self._sent(request, url, headers)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response, url
            response.close()  # its body may have no end
            if request.method not in _READS:
                raise PermanentError(f"{self.name} redirects a {request.method} request: correct its URL")
            target = redirected(self.name, url, location)
            if origin(target) != origin(url):
                more = {name: value for name, value in more.items() if is_harmless(name, value)}
            url = target
        raise PermanentError(f"{self.name} redirects more than {_MOST_REDIRECTS} times")

    def _sent(self, request: _Request, url: str, headers: Mapping[str, str | Secret]) -> urllib3.BaseHTTPResponse:
        if any(is_credential(*header) for header in headers.items()):
            self._keep_secret(url)
        try:
            return self._connections.send(
                request.method, url, body=request.body, headers=revealed(headers), deadline=request.deadline
            )
        except (HTTPError, OSError, ValueError) as error:
            raise self._unreachable(error, url, request) from None

    def _unreachable(self, error: Exception, url: str, request: _Request) -> Exception:
        if isinstance(error, LocationValueError) or not isinstance(error, HTTPError | OSError):
            return PermanentError(f"{self.name} cannot be asked: its URL or a header is not valid")
        where = f"{self.name} at {origin(url)[1]}"
        if isinstance(error, SSLError) and any(isinstance(cause, SSLCertVerificationError) for cause in error.args):
            return PermanentError(request.redact(f"{where} does not prove who it is: {error}"))
        fault = UnavailableError(request.redact(f"{where} cannot be reached: {request.deadline.fault or error}"))
        return FailedError(fault, received=not isinstance(error, _NOT_RECEIVED))

    def _keep_secret(self, url: str) -> None:
        if not url.startswith("https:") and not is_local(url):
            raise PermanentError(f"{self.name} is asked over http, where others can read secrets: give an https URL")

    def _fault(self, response: urllib3.BaseHTTPResponse, url: str, request: _Request) -> Exception:
        said = excerpt(response, url, deadline=request.deadline, redact=request.redact)
        message = f"{self.name} answered {response.status} {_phrase(response.status)} at {url}"
        message = f"{message}: {said}" if said else message
        if response.status in (401, 403):
            return UnauthorizedError(message)
        if response.status not in TRANSIENT_STATUSES:
            return PermanentError(message)
        pause_s = retry_after_s(response.headers.get("Retry-After"))
        if pause_s:
            message += f"; it wants to be left alone for {pause_s:.0f} seconds"
        return FailedError(TransientError(message), received=True, pause_s=pause_s)


def _content_type(json_body: Any, form: object) -> dict[str, str]:
    if form is not None:
        return {"Content-Type": "application/x-www-form-urlencoded"}
    return {} if json_body is None else {"Content-Type": "application/json"}


def _encoded(json_body: Any, form: Mapping[str, str | Secret] | None) -> bytes | None:
    if form is not None:
        return urlencode(revealed(form)).encode()
    return None if json_body is None else json.dumps(revealed(json_body)).encode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(unknown)"
