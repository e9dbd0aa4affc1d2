"""A web service of JSON on this machine, for tests of those who ask one: it answers as its subclass says, or worse."""

from __future__ import annotations

import contextlib
import json
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import attrs


@attrs.frozen
class Request:
    """What a client asks.

    Attributes:
        method: of HTTP.
        path: below the service's URL, without a slash at its beginning.
        query: the last value of each parameter.
        headers: names in lower case.
        body: as it came.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Give the object that the body has.

        Raises:
            ValueError: it is something else.
        """
        value = json.loads(self.body)
        if not isinstance(value, dict):
            raise ValueError("the body must be a JSON object")  # noqa: TRY004 - as json says of what is none
        return value


@attrs.frozen
class WithHeaders:
    """A body with headers that belong to it.

    Attributes:
        value: what becomes the body.
        headers: beside those that every answer has.
    """

    value: Any
    headers: Mapping[str, str]


Reply = tuple[int, Any]
"""A status of HTTP, and what becomes the body, as JSON; bytes are sent as they are. It may be ``WithHeaders``."""

Alteration = Callable[[Request, Reply], Reply]
"""Makes another reply of that which would be given; it may wait, or raise ``ConnectionAbortedError`` for none."""


class JsonService(ThreadingHTTPServer):
    """Listens on a port of 127.0.0.1, 0 for a free one.

    Attributes:
        requests: what was asked, in order.
        alter: changes replies; None: none.
        most_body_bytes: requests with larger bodies are refused.
    """

    daemon_threads = True
    most_body_bytes = 1 << 20

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.requests: list[Request] = []
        self.alter: Alteration | None = None

    @property
    def url(self) -> str:
        """Where it is, without a slash at its end."""
        return f"http://127.0.0.1:{self.server_port}"

    @abstractmethod
    def reply(self, request: Request) -> Reply:
        """Give what a good service would; called from several threads."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # headers and body are two packets: without this the second waits 40 ms for the first to be acknowledged
    disable_nagle_algorithm = True
    server: JsonService

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        said = self.headers.get("Content-Length", "0")
        if not (said.isascii() and said.isdigit()):
            self.close_connection = True
            return self._send((400, {"error": "the Content-Length is no number"}))
        length = int(said)
        if length > self.server.most_body_bytes:
            self.close_connection = True
            return self._send((413, {"error": "the body is too large"}))
        request = Request(
            method=self.command,
            path=parts.path.lstrip("/"),
            query={name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()},
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
        )
        self.server.requests.append(request)
        reply = self.server.reply(request)
        try:
            self._send(self.server.alter(request, reply) if self.server.alter else reply)
        except ConnectionError:
            self.close_connection = True
        return None

    do_GET = do_POST = _handle  # noqa: N815 - the library's names

    def _send(self, reply: Reply) -> None:
        status, value = reply
        headers: Mapping[str, str] = {}
        if isinstance(value, WithHeaders):
            value, headers = value.value, value.headers
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(value, bytes) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


Service = TypeVar("Service", bound=JsonService)


@contextlib.contextmanager
def served(service: Service) -> Iterator[Service]:
    """The service answers, until the end of the block."""
    with service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join()
