"""What a service answers, and how its body is read: bounded in size, and never for longer than it brings something."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import urllib3
from urllib3.exceptions import HTTPError

from dts_fsm.errors import PermanentError, UnavailableError
from dts_fsm.web.deadlines import Deadline

PIECE_BYTES = 1 << 18

_LOOKED_AT_BYTES, _LONGEST_SECRET, _QUOTED = 1 << 13, 1 << 12, 300
"""How much of a refusal is read, how long a secret in it may be, and how many characters of it are shown."""


@attrs.frozen(kw_only=True)
class Answer:
    """What a server has answered, whole.

    Attributes:
        status: of HTTP.
        headers: by name, in any case.
        body: as it was sent; nothing is asked for, or taken, in a compressed form.
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


def pieces(response: urllib3.BaseHTTPResponse, url: str, *, piece_bytes: int, deadline: Deadline) -> Iterator[bytes]:
    """Give the body as it was sent, undecoded, in pieces of that size but for the last.

    Args:
        url: for messages.
        deadline: of the request that it is the answer to.

    Raises:
        UnavailableError: the connection broke, or the body is too slow. Where the server has closed the connection,
            what had come before was given; where it broke in another way, the last piece may be lost.
    """
    try:
        while piece := response.read(piece_bytes, decode_content=False):
            yield piece
    except (HTTPError, OSError, ValueError) as error:
        raise UnavailableError(f"the answer of {url} broke off: {deadline.fault or error}") from error


def whole(response: urllib3.BaseHTTPResponse, url: str, *, most_bytes: int, deadline: Deadline) -> bytes:
    """Give the body; it is not compressed.

    Raises:
        UnavailableError: as ``pieces``.
        PermanentError: it is longer than ``most_bytes``, or compressed, though that was not asked for: nobody knows
            what would come out of it.
    """
    content = bytearray()
    for piece in pieces(response, url, piece_bytes=PIECE_BYTES, deadline=deadline):
        content += piece
        if len(content) > most_bytes:
            raise PermanentError(f"{url} answered with more than {most_bytes} bytes")
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if content and encoding not in ("", "identity"):
        raise PermanentError(f"{url} answered in the encoding {encoding[:40]!r}, which nobody asked for")
    return bytes(content)


def excerpt(response: urllib3.BaseHTTPResponse, url: str, *, deadline: Deadline, redact: Callable[[str], str]) -> str:
    """Give what a body says in its first words, on one line, without secrets; that it breaks off is no error."""
    content = bytearray()
    try:
        for piece in pieces(response, url, piece_bytes=1 + _LOOKED_AT_BYTES, deadline=deadline):
            content += piece
            if len(content) > _LOOKED_AT_BYTES:
                break
    except UnavailableError:
        pass
    text = redact(content[:_LOOKED_AT_BYTES].decode("utf-8", "replace"))
    if len(content) > _LOOKED_AT_BYTES:
        text = text[:-_LONGEST_SECRET]  # it was cut, and that may have been within a secret
    return redact(" ".join("".join(sign if sign.isprintable() else " " for sign in text).split()))[:_QUOTED]
