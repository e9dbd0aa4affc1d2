"""Two endpoints under test, and the few steps from which tests of endpoints are made."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import attrs

from dts_fsm.interfaces import Endpoint
from dts_fsm.records import Checksum, FileTransfer, OperationCode, OperationStatus

_LIVE = (OperationCode.RUNNING, OperationCode.SUSPENDED)


def _pause() -> None:
    threading.Event().wait(0.002)


@attrs.frozen(kw_only=True)
class EndpointPair:
    """Two endpoints between which files can be moved, and what a test needs to look behind them.

    Attributes:
        source, destination: nothing is at either of them yet. They may be one endpoint.
        put: makes, or replaces, the file of this path at the source. It makes the folders that the path needs.
        read: gives the content of the file of this path at the destination, or None where there is none.
        restart: gives the source endpoint as a new process would have it, after the old one was killed. Without it the
            source stays as it is.
        advance: called between two looks at an unfinished move; a short pause unless a fake needs to be driven.
    """

    source: Endpoint
    destination: Endpoint
    put: Callable[[str, bytes], object]
    read: Callable[[str], bytes | None]
    restart: Callable[[], Endpoint] | None = None
    advance: Callable[[], object] = _pause


def checksum(content: bytes, algorithm: str = "sha256") -> Checksum:
    """Give the content's checksum."""
    return Checksum(algorithm, hashlib.new(algorithm, content, usedforsecurity=False).hexdigest())


def file_of(path: str, content: bytes, **changes: Any) -> FileTransfer:
    """Give the order to move a file with this content to ``delivered/<path>``; ``changes`` replace fields of it."""
    file = FileTransfer(
        id=f"id of {path}",
        source_path=path,
        destination_path=f"delivered/{path}",
        bytes=len(content),
        hash=checksum(content),
    )
    return attrs.evolve(file, **changes)


def wait_for_end(
    endpoint: Endpoint, handle: UUID, *, timeout_s: float = 30.0, advance: Callable[[], object] = _pause
) -> OperationStatus:
    """Give the status with which the move ended.

    Raises:
        TimeoutError: it has not ended in time.
    """
    deadline = time.monotonic() + timeout_s
    while (status := endpoint.statuses([handle])[handle]).code in _LIVE:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the move {handle} is still {status.code} after {timeout_s:g} s")
        advance()
    return status
