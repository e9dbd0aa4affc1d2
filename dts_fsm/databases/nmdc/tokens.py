"""The token that NMDC's API wants to see: asked for by a password, and again before it expires."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from dts_fsm.config import Secret
from dts_fsm.errors import DtsError, PermanentError, TransientError
from dts_fsm.web import HttpClient

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{1,8192}=*")
"""Anything else could not stand in a header. Source: RFC 6750, section 2.1."""

_UNITS_S = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0}
"""Source: NMDC's API, ``POST /token``: "expires" has these three."""

_EARLY_S = 120.0
"""How long before it expires a token is replaced; of one that lasts less than twice as long, half of its life."""

_PAUSE_S = 10.0
"""How long an old token is used on when there was no new one to be had."""


@attrs.frozen(kw_only=True)
class _Token:
    """A token, with the times of the clock from which on it is to be replaced, and is of no use any more."""

    secret: Secret
    due_s: float
    end_s: float


class Tokens:
    """Gives a token for each request.

    Safe for threads: while one of them asks for a token the others wait, and get what came of it, be it an error.

    Args:
        client: for the service.
        user, password: of the service.
        now: seconds of a clock that is never set back.
    """

    def __init__(
        self, client: HttpClient, *, user: str, password: Secret, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._user, self._password, self._now = client, user, password, now
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._rounds = 0
        self._failure: DtsError | None = None

    def token(self) -> Secret:
        """Give a token that has not expired, as far as the service has said.

        Raises:
            UnauthorizedError: the service does not accept user and password.
            TransientError, PermanentError: it gives no token, now or ever.
        """
        rounds, token = self._rounds, self._token
        if token is not None and self._now() < token.due_s:
            return token.secret
        return self._replaced(token, rounds)

    def renewed(self, refused: Secret) -> Secret:
        """Give another token than one that the service has refused; raises as ``token``."""
        rounds, token = self._rounds, self._token
        if token is not None and token.secret is not refused:
            return token.secret
        if token is not None:
            token = attrs.evolve(token, due_s=0.0, end_s=0.0)
        return self._replaced(token, rounds, refused=refused)

    def _replaced(self, old: _Token | None, rounds: int, *, refused: Secret | None = None) -> Secret:
        with self._lock:
            if self._rounds == rounds:
                self._ask(old)
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            if self._token is None or self._token.secret is refused:
                raise TransientError(f"{self._client.name} refuses its own token, and gives no new one now")
            return self._token.secret

    def _ask(self, old: _Token | None) -> None:
        self._failure = None
        try:
            self._token = self._granted()
        except TransientError as error:
            if old is not None and self._now() < old.end_s:
                self._token = attrs.evolve(old, due_s=min(self._now() + _PAUSE_S, old.end_s))
            else:
                self._failure = error
        except DtsError as error:
            self._failure = error
        finally:
            self._rounds += 1

    def _granted(self) -> _Token:
        # no slash at the end: NMDC redirects "token/" from https to http
        answer = self._client.request(
            "POST",
            "token",
            form={"grant_type": "password", "username": self._user, "password": self._password},
            headers={"Accept": "application/json"},
            safe=True,  # a second token does no harm
        )
        asked_s, said = self._now(), answer.json()
        text = said.get("access_token") if isinstance(said, dict) else None
        if not isinstance(text, str) or not _TOKEN.fullmatch(text):
            raise PermanentError(f"{self._client.name} answered {answer.url} without a token that can be used")
        lasts_s = _seconds(said.get("expires"))
        return _Token(
            secret=Secret(text),
            due_s=asked_s + lasts_s - min(_EARLY_S, lasts_s / 2),
            end_s=asked_s + lasts_s,
        )


def _seconds(expires: Any) -> float:
    """How long a token lasts; infinite where that is not said in a way to be believed: a refusal will tell."""
    if not isinstance(expires, Mapping):
        return float("inf")
    parts = [(expires.get(unit, 0), seconds) for unit, seconds in _UNITS_S.items()]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value, _ in parts):
        return float("inf")
    try:
        lasts_s = sum(float(value) * seconds for value, seconds in parts)
    except OverflowError:
        return float("inf")
    return lasts_s if lasts_s > 0 else float("inf")
