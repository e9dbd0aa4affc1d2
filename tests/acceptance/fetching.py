"""Fetches one file, and is killed in the middle: ``python -m tests.acceptance.fetching``, with its settings as JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch
from uuid import UUID

from dts_fsm.config import EndpointConfig
from dts_fsm.endpoints.folder import _Part
from dts_fsm.endpoints.http.endpoint import HttpEndpoint
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.testing.endpoint_pair import file_of, wait_for_end


def site(options: dict[str, Any], run: str) -> HttpEndpoint:
    """The server's files; its log tells which run has asked."""
    options = {**options, "headers": {"X-Run": run}}
    return HttpEndpoint.from_config(EndpointConfig(key="web", provider="http", options=options))


def before_part(number: int, act: Callable[[], object]) -> AbstractContextManager[object]:
    """In the block, this is done before a part of that number is put into a folder."""
    put = _Part.put

    def hooked(part: _Part, now: int, content: bytes) -> None:
        if now == number:
            act()
        put(part, now, content)

    return patch.object(_Part, "put", hooked)


def main(options: dict[str, Any], root: str, name: str, operation_id: str, kept: int) -> None:
    """So many parts have been put, and this process is dead."""
    source = site(options, "killed")
    file = file_of(name, b"", destination_path="arrived", bytes=None, hash=None)
    with before_part(kept, lambda: os.kill(os.getpid(), signal.SIGKILL)):
        source.transfer(LocalEndpoint(root=root, durable="none"), [file], operation_id=UUID(operation_id))
        wait_for_end(source, UUID(operation_id))


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
