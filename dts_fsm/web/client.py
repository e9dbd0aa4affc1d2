"""One client for everything that is asked over HTTP."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import attrs
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
from dts_fsm.web.retrying import TRANSIENT_STATUSES, retrying

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_IDEMPOTENT = _READS | {"PUT", "DELETE"}
"""Source: RFC 9110, section 9.2.2."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_QUOTED = 300
"""How many characters of an answer that says what is wrong are shown."""

_PIECE_BYTES = 1 << 18


@attrs.frozen(kw_only=True)
class Answer:
    """What a server has answered, whole.

    Attributes:
        status: of HTTP.
        headers: by name, in any case.
        body: not encoded any more.
        url: from where it came in the end, without its query, which may have secrets.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def json(self) -> Any:
        """Give the value that the body has as JSON.

        Raises:
            PermanentError: it is something else.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise PermanentError(f"{self.url} answered with something else than JSON: {error}") from error


@attrs.frozen(kw_only=True)
class Stream:
    """An answer whose body is read in pieces.

    Attributes:
        status, headers, url: as an ``Answer`` has them.
        pieces: the body as it was sent, encoded as the headers say, in bounded pieces. Iterating raises as
            ``HttpClient.request`` does where the connection breaks.
    """

    status: int
    headers: Mapping[str, str]
    url: str
    pieces: Iterator[bytes]


def _no_headers() -> Mapping[str, str | Secret]:
    return {}


class HttpClient:
    """Asks one service; safe for threads, which share its connections.

    TLS is verified, and no redirect leads from https to http. Headers of the client go to the origin of its URL alone:
    a redirect elsewhere does not get them. A request is made again, with jittered back-off and after the pause that the
    server asks for (``Retry-After``), where that cannot do anything twice.

    Args:
        base_url: what the paths of requests are relative to; "https://…", or "http://…" where nothing is secret.
        name: what the service is called in messages.
        headers: gives the headers of each request; called for each, from any thread. Secrets in them are masked.
        ca_file: certificates to trust instead of the system's.
        connect_timeout_s: how long a connection may take.
        read_timeout_s: how long a server may be silent.
        retries: how often a request is made again, at most.
        max_body_bytes: longer answers are refused, so that none fills the memory.
        connections: how many are kept open.
        secrets: more of what must not be seen in a text, for example of the URL.

    Raises:
        ConfigurationError: the URL is not one of HTTP, or the certificates cannot be read.
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
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"must be a URL such as https://example.org/api, not {base_url!r}", key="url")
        self.name, self._base = name, base_url.rstrip("/") + "/"
        self._headers, self._retries, self._max_body_bytes = headers, retries, max_body_bytes
        self._secrets = tuple(secrets)
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise ConfigurationError(f"the certificates {ca_file!r} cannot be read: {error}", key="ca_file") from error
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            block=False,
            ssl_context=context,
            timeout=urllib3.Timeout(connect=connect_timeout_s, read=read_timeout_s),
        )

    def close(self) -> None:
        """Close the connections; the client remains usable. Idempotent."""
        self._pool.clear()

    def url(self, path: str) -> str:
        """Give the whole URL of a path, which may be a URL itself."""
        return urljoin(self._base, path.lstrip("/") if "://" not in path else path)

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
        body, sent = _encoded(json_body, form)
        with self._opened(method, path, params, body, {**sent, **(headers or {})}, safe, accept) as (response, url):
            content = self._whole(response, url)
            return Answer(status=response.status, headers=response.headers, body=content, url=url)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str | Secret] | None = None,
        accept: Collection[int] = (),
        piece_bytes: int = _PIECE_BYTES,
    ) -> Iterator[Stream]:
        """Give the answer to a request that only reads, its body piece by piece; errors are those of ``request``."""
        with self._opened(method, path, None, None, headers or {}, True, accept) as (response, url):
            pieces = self._pieces(response, url, piece_bytes)
            yield Stream(status=response.status, headers=response.headers, url=url, pieces=pieces)

    @contextmanager
    def _opened(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        body: bytes | None,
        more: Mapping[str, str | Secret],
        safe: bool | None,
        accept: Collection[int],
    ) -> Iterator[tuple[urllib3.BaseHTTPResponse, str]]:
        url = self.url(path)
        if query := urlencode({key: value for key, value in (params or {}).items() if value is not None}, doseq=True):
            url = f"{url}{'&' if '?' in url else '?'}{query}"
        own = self._headers()
        redact = Redactor(own, more, self._secrets)
        safe = method in _IDEMPOTENT if safe is None else safe
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
            sent = {**(own if _origin(url) == _origin(self._base) else {}), **more}
            response = self._sent(method, url, body, sent, safe=safe, redact=redact)
            target = response.headers.get("Location")
            if response.status not in _REDIRECTS or target is None:
                return response, url
            response.drain_conn()
            response.release_conn()
            if method not in _READS:
                raise PermanentError(f"{self.name} redirects a {method} request: correct its URL")
            target = urljoin(url, target)
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise DowngradedRedirectError(self.name, redact(target.partition("?")[0]))
            if _origin(target) != _origin(url):
                more = {name: value for name, value in more.items() if not isinstance(value, Secret)}
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
        shown = {name: value.reveal() if isinstance(value, Secret) else value for name, value in headers.items()}
        try:
            return self._pool.request(
                method,
                url,
                body=body,
                headers=shown,
                retries=retrying(self._retries, safe=safe),
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except LocationParseError as error:
            raise PermanentError(redact(f"{self.name} cannot be asked: {error}")) from None
        except (HTTPError, OSError) as error:
            raise _unreachable(self.name, url, error, redact) from None

    def _whole(self, response: urllib3.BaseHTTPResponse, url: str) -> bytes:
        content = bytearray()
        try:
            for piece in response.stream(_PIECE_BYTES, decode_content=True):
                content += piece
                if len(content) > self._max_body_bytes:
                    response.close()
                    raise PermanentError(f"{url} answered with more than {self._max_body_bytes} bytes")
        except (HTTPError, OSError) as error:
            raise UnavailableError(f"the answer of {url} broke off: {error}") from error
        return bytes(content)

    def _pieces(self, response: urllib3.BaseHTTPResponse, url: str, piece_bytes: int) -> Iterator[bytes]:
        try:
            while piece := response.read(piece_bytes, decode_content=False):
                yield piece
        except (HTTPError, OSError) as error:
            raise UnavailableError(f"the answer of {url} broke off: {error}") from error

    def _fault(self, response: urllib3.BaseHTTPResponse, url: str, redact: Redactor) -> Exception:
        try:
            text = response.read(_QUOTED * 4, decode_content=True).decode("utf-8", "replace")
        except (HTTPError, OSError):
            text = ""
        response.close()
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
