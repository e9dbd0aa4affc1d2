"""One client for everything that is asked over HTTP."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, SSLError

from dts_fsm.config import Redactor, Secret
from dts_fsm.errors import (
    ConfigurationError,
    DowngradedRedirectError,
    PermanentError,
    TransientError,
    UnauthorizedError,
    UnavailableError,
)
from dts_fsm.web.answers import PIECE_BYTES, Answer, BrokenOffError, Stream, pieces, whole
from dts_fsm.web.credentials import CREDENTIAL_HEADERS
from dts_fsm.web.pools import connections as connected
from dts_fsm.web.retrying import TRANSIENT_STATUSES, persistently

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_IDEMPOTENT = _READS | {"PUT", "DELETE"}
"""Source: RFC 9110, section 9.2.2."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_QUOTED = 300
"""How many characters of an answer that says what is wrong are shown."""


def _no_headers() -> Mapping[str, str | Secret]:
    return {}


class HttpClient:
    """Asks one service; safe for threads, which share its connections.

    TLS is verified, no redirect leads from https to http, and no secret is sent over http except to this machine.
    Headers of the client, and credentials, go to the origin of its URL alone: a redirect elsewhere does not get them.
    A request is made again, with jittered back-off and after the pause that the server asks for (``Retry-After``),
    where that cannot do anything twice. A proxy that the environment names is used.

    Args:
        base_url: what the paths of requests are relative to; "https://…", or "http://…" where nothing is secret.
        name: what the service is called in messages.
        headers: gives the headers of each request; called for each, from any thread. Secrets in them are masked.
        ca_file: certificates to trust instead of the system's.
        connect_timeout_s: how long a connection may take.
        read_timeout_s: how long a server may be silent; a body that comes a few bytes at a time counts as silence. Who
            sends its headers so is stopped by nobody here: calls that must end have a time-out of their own.
        retries: how often a request is made again, at most.
        max_body_bytes: longer answers are refused, so that none fills the memory.
        connections: how many are kept open.
        secrets: more of what must not be seen in a text, for example of the URL.

    Raises:
        ConfigurationError: the URL is not one of HTTP, or has a user or a password, or the certificates cannot be
            read.
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
        retries: int = 3,
        max_body_bytes: int = 64 << 20,
        connections: int = 8,
        secrets: Collection[Secret] = (),
    ) -> None:
        parts = _parts(base_url)
        self.name, self._base = name, base_url.rstrip("/") + "/"
        self._origin, self._local = _origin(base_url), _is_local(parts.hostname or "")
        self._headers, self._retries = headers, retries
        self._max_body_bytes, self._read_timeout_s = max_body_bytes, read_timeout_s
        self._pool, more = connected(
            base_url,
            ca_file=ca_file,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
            kept=connections,
        )
        self._secrets = (*secrets, *more)

    def close(self) -> None:
        """Close the connections; the client remains usable. Idempotent."""
        self._pool.clear()

    def url(self, path: str) -> str:
        """Give the whole URL of a path, which may be a URL itself."""
        return path if path.startswith(("http://", "https://")) else self._base + path.lstrip("/")

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
            params: the query; a list is repeated, None is left out.
            json_body: sent as JSON, if it is not None.
            form: sent as a form.
            headers: more of them.
            safe: whether the request can be made twice; by default that goes by its method.
            accept: statuses besides 2xx that are answers, and no errors.

        Raises:
            UnauthorizedError: 401 or 403.
            UnavailableError: the service cannot be reached, or is silent.
            TransientError: it is overloaded, or faulty, and may not be later.
            DowngradedRedirectError: it redirects from https to http.
            PermanentError: it refuses the request for good, or its answer is too long.
        """
        if any(isinstance(value, Secret) for value in (form or {}).values()):
            self._keep_secret(self.url(path))
        body, sent = _encoded(json_body, form)
        safe = method in _IDEMPOTENT if safe is None else safe
        for again in (safe and self._retries > 0, False):
            try:
                with self._opened(method, path, params, body, {**sent, **(headers or {})}, safe, accept) as (got, url):
                    content = whole(got, url, most_bytes=self._max_body_bytes, patience_s=self._read_timeout_s)
                    return Answer(status=got.status, headers=got.headers, body=content, url=url)
            except BrokenOffError:
                if not again:
                    raise
        raise AssertionError("the last turn returns or raises")

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
        with self._opened(method, path, None, None, headers or {}, True, accept) as (response, url):
            body = pieces(response, url, piece_bytes=piece_bytes, patience_s=self._read_timeout_s)
            yield Stream(status=response.status, headers=response.headers, url=url, pieces=body)

    @contextmanager
    def _opened(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        body: bytes | None,
        more: Mapping[str, str | Secret],
        safe: bool,
        accept: Collection[int],
    ) -> Iterator[tuple[urllib3.BaseHTTPResponse, str]]:
        url = self.url(path)
        if query := urlencode({key: value for key, value in (params or {}).items() if value is not None}, doseq=True):
            url = f"{url}{'&' if '?' in url else '?'}{query}"
        own = self._headers()
        redact = Redactor(own, more, self._secrets)
        response, url = self._followed(method, url, body, own, more, safe=safe, redact=redact)
        bare = redact(url.partition("?")[0])
        try:
            if not (200 <= response.status < 300 or response.status in accept):
                raise self._fault(response, bare, redact)
            yield response, bare
        finally:
            response.close()  # one that was read to its end has given its connection back already

    def _followed(
        self,
        method: str,
        url: str,
        body: bytes | None,
        own: Mapping[str, str | Secret],
        more: Mapping[str, str | Secret],
        *,
        safe: bool,
        redact: Redactor,
    ) -> tuple[urllib3.BaseHTTPResponse, str]:
        """Give the answer at the end of the redirects, and its URL."""
        for _ in range(_MOST_REDIRECTS + 1):
            sent = {**(own if _origin(url) == self._origin else {}), **more}
            response = self._sent(method, url, body, sent, safe=safe, redact=redact)
            target = response.headers.get("Location")
            if response.status not in _REDIRECTS or target is None:
                return response, url
            response.close()  # its body may have no end
            if method not in _READS:
                raise PermanentError(f"{self.name} redirects a {method} request: correct its URL")
            try:
                target = urljoin(url, target)
                origin = _origin(target)
            except ValueError:
                raise PermanentError(f"{self.name} redirects to something that is no URL") from None
            if origin[0] != "https" and urlsplit(url).scheme == "https":
                raise DowngradedRedirectError(self.name, redact(target.partition("?")[0]))
            if origin[0] not in ("http", "https"):
                raise PermanentError(f"{self.name} redirects to something that is not on the web")
            if origin != _origin(url):
                more = {name: value for name, value in more.items() if not _secret(name, value)}
            url = target
        raise PermanentError(f"{self.name} redirects more than {_MOST_REDIRECTS} times")

    def _sent(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str | Secret],
        *,
        safe: bool,
        redact: Redactor,
    ) -> urllib3.BaseHTTPResponse:
        if any(_secret(*header) for header in headers.items()):
            self._keep_secret(url)
        shown = {name: value.reveal() if isinstance(value, Secret) else value for name, value in headers.items()}

        def ask() -> urllib3.BaseHTTPResponse:
            return self._pool.request(
                method,
                url,
                body=body,
                headers=shown,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )

        try:
            return persistently(ask, times=self._retries, safe=safe)
        except (LocationParseError, ValueError) as error:  # a URL, or a header with a line break, say
            raise PermanentError(redact(f"{self.name} cannot be asked: {type(error).__name__}")) from None
        except (HTTPError, OSError) as error:
            raise _unreachable(self.name, url, error, redact) from None

    def _keep_secret(self, url: str) -> None:
        if not url.startswith("https:") and not self._local:
            raise PermanentError(f"{self.name} is asked over http, where others can read secrets: give an https URL")

    def _fault(self, response: urllib3.BaseHTTPResponse, url: str, redact: Redactor) -> Exception:
        try:
            text = (response.read1(_QUOTED * 4, decode_content=False) or b"").decode("utf-8", "replace")
        except (HTTPError, OSError, ValueError):
            text = ""
        said = redact(" ".join(text.split())[:_QUOTED])
        message = f"{self.name} answered {response.status} {_phrase(response.status)} at {url}"
        message = f"{message}: {said}" if said else message
        if response.status in (401, 403):
            return UnauthorizedError(message)
        return (TransientError if response.status in TRANSIENT_STATUSES else PermanentError)(message)


def _encoded(json_body: Any, form: Mapping[str, str | Secret] | None) -> tuple[bytes | None, dict[str, str]]:
    if form is not None:
        values = {name: value.reveal() if isinstance(value, Secret) else value for name, value in form.items()}
        return urlencode(values).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
    if json_body is not None:
        return json.dumps(json_body).encode(), {"Content-Type": "application/json"}
    return None, {}


def _parts(base_url: str) -> SplitResult:
    try:
        parts = urlsplit(base_url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its port, or its brackets
        valid = False
    if not valid:
        shown = "this" if "@" in base_url else repr(base_url)
        raise ConfigurationError(f"must be a URL such as https://example.org/api, not {shown}", key="url")
    if "@" in parts.netloc:
        raise ConfigurationError("must have no user and no password: there are settings for them", key="url")
    return parts


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _secret(name: str, value: str | Secret) -> bool:
    return isinstance(value, Secret) or name.lower() in CREDENTIAL_HEADERS


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(unknown)"


def _unreachable(name: str, url: str, error: Exception, redact: Redactor) -> Exception:
    reason = getattr(error, "reason", None) or error
    host = urlsplit(url).hostname
    if isinstance(reason, SSLError):
        return PermanentError(redact(f"{name} at {host} does not prove who it is: {reason}"))
    return UnavailableError(redact(f"{name} at {host} cannot be reached: {reason}"))
