"""A web service of JSON whose next answers a test decides: late ones, wrong ones, none."""

from __future__ import annotations

import threading
from abc import abstractmethod
from typing import Any
from urllib.parse import parse_qsl, unquote

import attrs

from dts_fsm.testing.json_service import JsonService, Reply, Request


@attrs.frozen
class _Instead:
    """A reply to the next request whose path begins so, and how long the client waits for it."""

    path: str
    reply: Reply
    delay_s: float


class ScriptedService(JsonService):
    """Answers as its subclass says, in ``answer``, unless a test has said otherwise. Safe for threads.

    Attributes:
        lock: held while ``answer`` runs: what it reads and changes is consistent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()
        self._instead: list[_Instead] = []
        self._closed = threading.Event()

    @abstractmethod
    def answer(self, request: Request) -> Reply:
        """Give what a good service would; the request's path is decoded."""

    def instead(
        self, path: str = "", *, status: int = 200, value: Any = None, times: int = 1, delay_s: float = 0.0
    ) -> None:
        """Let the next ``times`` requests whose path begins so get this, and not what ``answer`` would give."""
        with self.lock:
            self._instead += [_Instead(path, (status, value), delay_s)] * times

    def asked_for(self, path: str) -> list[Request]:
        """Give the requests whose path begins so, in order."""
        return [request for request in list(self.requests) if request.path.startswith(path)]

    def reply(self, request: Request) -> Reply:
        """Give the reply that a test wants, or that of ``answer``."""
        with self.lock:
            index = next((i for i, each in enumerate(self._instead) if request.path.startswith(each.path)), None)
            if index is None:
                return self.answer(attrs.evolve(request, path=unquote(request.path)))
            instead = self._instead.pop(index)
        self._closed.wait(instead.delay_s)
        return instead.reply

    def server_close(self) -> None:
        """Answer nobody any more; who waits for a late answer gets it at once."""
        self._closed.set()
        super().server_close()


def form(request: Request) -> dict[str, str]:
    """Give the fields of a form that was sent."""
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))
