"""A web server whose every answer a test decides, down to the bytes: for faults that well-kept servers do not make."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import trustme


@attrs.frozen
class Request:
    """What a client has asked; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the test's function for its path, which writes the answer."""

    protocol_version = "HTTP/1.1"
    server: WebServer

    def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Send an answer as it should be."""
        headers = {"Content-Length": str(len(body)), **(headers or {})}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def raw(self, content: bytes) -> None:
        """Send these bytes, and nothing more."""
        self.wfile.write(content)
        self.close_connection = True

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        self.server.requests.append(request)
        answer = self.server.answers.get(self.path.partition("?")[0])
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # the client has had enough
            if answer is None:
                self.answer(404, b"no such page")
            else:
                answer(self, request)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_CONNECT = _handle  # noqa: N815 - the library's names

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class WebServer(ThreadingHTTPServer):
    """The server.

    Attributes:
        answers: by path, without the query.
        requests: what was asked, in order.
        url: where it is, without a slash at the end.
    """

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), Handler)
        self.answers: dict[str, Callable[[Handler, Request], None]] = {}
        self.requests: list[Request] = []
        self.url = f"{'https' if context else 'http'}://{f'[{host}]' if ':' in host else host}:{self.server_port}"
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that do not trust the certificate go away, and nobody need be told."""

    def says(self, path: str, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """A path is answered in the same way every time."""
        self.answers[path] = lambda handler, _: handler.answer(status, body, headers)

    def in_turn(self, path: str, *answers: Callable[[Handler, Request], None]) -> None:
        """A path is answered differently each time, and in the end always as the last time."""
        left = list(answers)

        def answer(handler: Handler, request: Request) -> None:
            now = left.pop(0) if len(left) > 1 else left[0]
            now(handler, request)

        self.answers[path] = answer


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[WebServer]:
    """A server runs on a free port of this machine."""
    with WebServer(context, host) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@attrs.frozen
class Authority:
    """A certificate authority that nobody but the tests trusts.

    Attributes:
        ca_file: its certificate.
        context: with which a server at 127.0.0.1 proves who it is.
        certificate, key: files with that server's certificate and key.
    """

    ca_file: str
    context: ssl.SSLContext
    certificate: str
    key: str


def authority(folder: Path) -> Authority:
    """Give an authority whose files are in the folder."""
    ca = trustme.CA()
    issued = ca.issue_cert("127.0.0.1", "localhost")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(folder / "certificate.pem", append=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    return Authority(str(folder / "ca.pem"), context, str(folder / "certificate.pem"), str(folder / "key.pem"))


def free_port() -> int:
    """Give a port of 127.0.0.1 on which nobody listens now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
