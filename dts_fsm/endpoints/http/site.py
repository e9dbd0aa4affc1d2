"""A web server as a storage that is read from."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from urllib.parse import quote

from dts_fsm.endpoints.http.headers import content_range, entry_of, length, strong_etag
from dts_fsm.endpoints.http.in_order import InOrder
from dts_fsm.endpoints.streaming import Entry, Storage, Writing
from dts_fsm.errors import (
    PermanentError,
    SizeMismatchError,
    SourceChangedError,
    UnauthorizedError,
    UnavailableError,
    UnsafePathError,
)
from dts_fsm.records.checks import normal_path, path_fault
from dts_fsm.web import Answer, HttpClient, Stream

_PART_BYTES = 8 << 20

_ATTEMPTS = 3
"""How often something is asked for whose connection breaks; a portion, each time from the byte at which it broke."""

_PROGRESS_BYTES = 1 << 16
"""An attempt that has brought so much does not count: a bad network is no reason to give up while there is progress."""

_PAUSE_S = 0.2
"""Before what has broken is asked for again; the client pauses longer where nobody answers at all."""

_WANTED = {"Want-Repr-Digest": "sha-256=3, sha-512=2, md5=1", "Want-Digest": "sha-256;q=1, sha-512;q=0.6, md5;q=0.3"}
"""Many servers tell digests only if they are asked. Source: RFC 9530, section 4; RFC 3230, section 4.3.1."""

_MOST_STREAMS = 16
"""Of how many files without ranges the places are remembered; what is forgotten is begun again."""

_GONE = (404, 410)
_DENIED = 403
_CHANGED = (412, 416)
_UNKNOWN_METHOD = (405, 501)


class Site:
    """The files below a URL. Each answer is compared with the version that was found first: none is mixed of two.

    Bytes are taken as they are sent: a file that is stored compressed arrives compressed.
    """

    part_bytes = _PART_BYTES

    def __init__(self, client: HttpClient, root: str, name: str) -> None:
        self.name = name
        self._client, self._root = client, root
        self._lock = threading.Lock()
        self._streams: dict[tuple[str, str], InOrder] = {}

    @property
    def exclusive(self) -> bool:
        """Nothing is written here."""
        return False

    def look(self, path: str) -> Entry | None:
        """See ``Storage``."""
        accept = (*_GONE, *_UNKNOWN_METHOD, _DENIED)
        answer = self._client.request("HEAD", self._url(path), headers=_WANTED, accept=accept)
        if answer.status in _GONE:
            return None
        # some refuse that method alone, whether they say so or not
        size = None if answer.status in (*_UNKNOWN_METHOD, _DENIED) else length(answer.headers)
        if size is None:
            return self._peek(path)
        self._check_file(path, answer)
        return entry_of(answer.headers, size)

    def _peek(self, path: str) -> Entry | None:
        """Look by asking for the first byte: some servers know no HEAD, or tell no size by it."""
        with self._client.stream(
            self._url(path), headers={"Range": "bytes=0-0", **_WANTED}, accept=(*_GONE, 416, _DENIED)
        ) as stream:
            if stream.status in _GONE:
                return None
            self._check_file(path, stream)
            part = content_range(stream.headers)
            size = part[2] if part else length(stream.headers)
            if size is None:
                raise PermanentError(f"{path}: the server does not say how large it is")
            return entry_of(stream.headers, size)

    def fetch(self, path: str, num_bytes: int) -> tuple[Entry, bytes] | None:
        """See ``Storage``."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._fetch(path, num_bytes)
            except UnavailableError:
                if attempt == _ATTEMPTS:
                    raise
                time.sleep(_PAUSE_S)
        raise AssertionError("the last attempt returns or raises")

    def _fetch(self, path: str, num_bytes: int) -> tuple[Entry, bytes] | None:
        with self._client.stream(self._url(path), headers=_WANTED, accept=(*_GONE, _DENIED)) as stream:
            if stream.status in _GONE:
                return None
            self._check_file(path, stream)
            _check_whole(path, stream)
            if (size := length(stream.headers)) not in (None, num_bytes):
                raise SizeMismatchError(path, num_bytes, size or 0)
            content = b"".join(_first(stream.pieces, num_bytes + 1))
            if len(content) != num_bytes:
                raise SizeMismatchError(path, num_bytes, len(content))
            return entry_of(stream.headers, num_bytes), content

    def read(self, path: str, entry: Entry, start: int, stop: int) -> bytes:
        """See ``Storage``."""
        content: list[bytes] = []
        attempts, piece_bytes = 0, stop - start  # in one piece, so that it need not be put together
        while True:
            before = len(content)
            try:
                if not self._add(content, path, entry, start, stop, piece_bytes):
                    return self._in_order(path, entry).read(start, stop)
                return content[0] if len(content) == 1 else b"".join(content)
            except UnavailableError:
                piece_bytes = _PROGRESS_BYTES
                attempts = 0 if sum(map(len, content[before:])) >= _PROGRESS_BYTES else attempts + 1
                if attempts == _ATTEMPTS:
                    raise
                time.sleep(_PAUSE_S)

    def _add(self, content: list[bytes], path: str, entry: Entry, start: int, stop: int, piece_bytes: int) -> bool:
        """Add what is missing of a portion; False where the server gives nothing but the whole file."""
        start += sum(map(len, content))
        if start == stop:
            return True
        with self._lock:
            if (path, entry.version) in self._streams:
                return False
        headers = {"Range": f"bytes={start}-{stop - 1}", **_condition(entry)}
        with self._client.stream(
            self._url(path), headers=headers, accept=(*_GONE, *_CHANGED), piece_bytes=piece_bytes
        ) as stream:
            _check_same(path, entry, stream)
            if stream.status == 200:
                if (start, stop) != (0, entry.bytes):
                    return False
            elif stream.status != 206 or (content_range(stream.headers) or ())[:2] != (start, stop):
                raise PermanentError(f"{path}: the server was asked for bytes {start} to {stop - 1}, and sent others")
            for piece in _first(stream.pieces, stop - start):
                content.append(piece)
                start += len(piece)
        if start != stop:
            raise UnavailableError(f"{path}: the server sent less than it said")
        return True

    def _in_order(self, path: str, entry: Entry) -> InOrder:
        @contextmanager
        def body() -> Iterator[Iterator[bytes]]:
            with self._client.stream(self._url(path), headers=_condition(entry), accept=(*_GONE, *_CHANGED)) as stream:
                _check_same(path, entry, stream)
                _check_whole(path, stream)
                yield stream.pieces

        with self._lock:
            stream = self._streams.setdefault((path, entry.version), InOrder(body, entry.bytes))
            left = [self._streams.pop(next(iter(self._streams))) for _ in range(len(self._streams) - _MOST_STREAMS)]
        for old in left:
            old.close()
        return stream

    def close(self) -> None:
        """Nothing is open. Idempotent; the site remains usable."""
        with self._lock:
            streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.close()

    def write(self, path: str, *, num_bytes: int, operation: str, version: str) -> Writing:
        """Refused: a web server is a source."""
        raise PermanentError(
            f"{path}: nothing is written to a web server ({num_bytes} bytes of {operation}, {version})"
        )

    def clear(self, paths: Collection[str], operation: str) -> None:
        """There is nothing."""

    def can_copy(self, source: Storage) -> bool:  # noqa: ARG002 - the contract's
        """Never."""
        return False

    def copy(
        self, source: Storage, source_path: str, entry: Entry, path: str, *, operation: str, exclusive: bool
    ) -> Entry:
        """Never called; see ``can_copy``."""
        raise NotImplementedError

    def _check_file(self, path: str, answer: Answer | Stream) -> None:
        """Refuse a folder, to whose index servers redirect, and what nobody may read."""
        if answer.url.endswith("/"):
            raise UnsafePathError(f"{path} is a folder")
        if answer.status == _DENIED:
            raise UnauthorizedError(f"{path}: the endpoint {self.name!r} may not read it: see its credential")

    def _url(self, path: str) -> str:
        if fault := path_fault(path):
            raise UnsafePathError(fault)
        return quote(f"{self._root}{normal_path(path)}")


def _condition(entry: Entry) -> dict[str, str]:
    """The headers by which a server refuses another version. Source: RFC 9110, section 13.1."""
    if not entry.version:
        return {}
    return {"If-Match" if entry.version.startswith('"') else "If-Unmodified-Since": entry.version}


def _check_same(path: str, entry: Entry, stream: Stream) -> None:
    """Refuse an answer that is not of the version that was found; servers may know no conditions."""
    if stream.status in _GONE:
        raise SourceChangedError(f"{path}: the file has gone")
    part = content_range(stream.headers)
    size = part[2] if part else length(stream.headers)
    tagged = entry.version.startswith('"')
    version = strong_etag(stream.headers) if tagged else stream.headers.get("Last-Modified", "").strip()
    other = bool(version and entry.version) and version != entry.version
    if stream.status in _CHANGED or size not in (None, entry.bytes) or other:
        raise SourceChangedError(f"{path}: the file changed while it was read")


def _check_whole(path: str, stream: Stream) -> None:
    """Refuse a part, or what somebody on the way has changed: the whole file was asked for."""
    if stream.status != 200:
        raise PermanentError(f"{path}: the server was asked for the file, and answered {stream.status}")


def _first(pieces: Iterator[bytes], num_bytes: int) -> Iterator[bytes]:
    """The first so many bytes, whatever comes after them."""
    while num_bytes and (piece := next(pieces, b"")):
        yield piece[:num_bytes]
        num_bytes -= min(len(piece), num_bytes)
