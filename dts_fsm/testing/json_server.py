"""A server on 127.0.0.1 that answers with JSON, and that can be told to answer late, wrongly, or not at all."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs


@attrs.frozen(kw_only=True)
class Asked:
    """A request as the server got it.

    Attributes:
        method: of HTTP.
        path: decoded, without the query.
        params: the query; of a parameter that is repeated the last value.
        headers: by name in lower case.
        body: as it was sent.
    """

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@attrs.frozen(kw_only=True)
class Reply:
    """What the server answers.

    Attributes:
        status: of HTTP.
        value: written as JSON; bytes are sent as they are.
        headers: more of them.
        delay_s: how long the client waits for it.
    """

    status: int = 200
    value: Any = None
    headers: Mapping[str, str] = attrs.field(factory=dict)
    delay_s: float = 0.0


class JsonServer:
    """Answers on a free port from ``start`` to ``close``; subclasses say what, in ``answer``.

    Safe for threads. As a context manager it is started on entry and closed on exit.

    Attributes:
        asked: every request, in the order in which they came.
        lock: held while ``answer`` runs: what it reads and changes is consistent.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.lock = threading.RLock()
        self._instead: list[tuple[str, Reply]] = []
        self._closed = threading.Event()
        self._connections: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None

    def answer(self, asked: Asked) -> Reply:
        """Give the reply to a request; called by several threads, one at a time."""
        raise NotImplementedError

    def instead(self, reply: Reply, *, path: str = "", times: int = 1) -> None:
        """Let the next ``times`` requests whose path begins so get this reply, and none of ``answer``."""
        with self.lock:
            self._instead += [(path, reply)] * times

    def asked_for(self, path: str) -> list[Asked]:
        """Give the requests whose path begins so."""
        with self.lock:
            return [asked for asked in self.asked if asked.path.startswith(path)]

    @property
    def url(self) -> str:
        """Where it answers: "http://127.0.0.1:<port>"; the last slash is not there."""
        if self._server is None:
            raise RuntimeError("the server does not run: call start() first, or use it in a with statement")
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> Self:
        """Begin to answer."""
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), name="json-server", daemon=True).start()
        return self

    def close(self) -> None:
        """Answer nobody any more; requests that wait for a late answer get none. Idempotent."""
        self._closed.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        with self.lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reply(self, asked: Asked) -> Reply:
        with self.lock:
            self.asked.append(asked)
            index = next((i for i, (path, _) in enumerate(self._instead) if asked.path.startswith(path)), None)
            reply = self.answer(asked) if index is None else self._instead.pop(index)[1]
        self._closed.wait(reply.delay_s)
        return reply


class _Handler(BaseHTTPRequestHandler):
    owner: JsonServer
    protocol_version = "HTTP/1.1"
    # else headers and body are two packets, and the second waits for the first's acknowledgement
    wbufsize = -1
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        with self.owner.lock:
            self.owner._connections.add(self.connection)

    def finish(self) -> None:
        with self.owner.lock:
            self.owner._connections.discard(self.connection)
        with suppress(OSError):  # the client has gone
            super().finish()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        reply = self.owner._reply(
            Asked(
                method=self.command,
                path=unquote(parts.path),
                params=dict(parse_qsl(parts.query, keep_blank_values=True)),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            )
        )
        body = reply.value if isinstance(reply.value, bytes) else json.dumps(reply.value).encode()
        with suppress(OSError):  # a client that waits no longer
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the standard library's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing: tests ask what was asked."""
