"""A proxy on this machine that does to requests and answers what servers and networks do on bad days."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import attrs

SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


@attrs.define
class Request:
    """A request on its way; what is changed in it is sent on.

    Attributes:
        answer: (status, body) with which it is answered at once, without the server.
        lose_answer: the server does it, and the connection breaks before the answer.
        hidden: headers of the answer whose names begin so, in small letters, are left out.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    answer: tuple[int, bytes] | None = None
    lose_answer: bool = False
    hidden: tuple[str, ...] = ()


@contextmanager
def proxy(url: str, meddle: Callable[[Request], object]) -> Iterator[str]:
    """Give the URL of a proxy before this server; ``meddle`` is called with each request, one at a time."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(self.command, self.path, dict(self.headers.items()), body)
            with lock:
                meddle(request)
            if request.answer is not None:
                self._send(request.answer[0], {}, request.answer[1])
                return
            there = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
            there.request(request.method, request.path, request.body, request.headers)
            answer = there.getresponse()
            content, headers = answer.read(), dict(answer.getheaders())
            there.close()
            if request.lose_answer:
                self.close_connection = True
                return
            kept = {name: value for name, value in headers.items() if not name.lower().startswith(request.hidden)}
            self._send(answer.status, kept, content)

        def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815 - the library's names

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
