"""Moves one file, and is killed when so many parts were moved: python -m tests.s3.interrupted, settings as JSON."""

from __future__ import annotations

import json
import sys
import threading
from uuid import UUID

from dts_fsm.config import EndpointConfig, Secret
from dts_fsm.endpoints.endpoint import MovingEndpoint
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.endpoints.s3.endpoint import S3Endpoint
from dts_fsm.records import FileTransfer
from dts_fsm.testing.endpoint_pair import wait_for_end
from tests.s3.moves import die


def made(given: dict[str, object]) -> MovingEndpoint:
    """Give the endpoint that is described."""
    if "folder" in given:
        return LocalEndpoint(root=str(given["folder"]))
    options = {**given, "secret_key": Secret(str(given["secret_key"]))}
    root = str(options.pop("root"))
    return S3Endpoint.from_config(EndpointConfig(key="store", provider="s3", root=root, options=options))


def main() -> None:
    """Do it."""
    given = json.loads(sys.argv[1])
    source, destination = made(given["source"]), made(given["destination"])
    left, lock = given["parts"], threading.Lock()

    def count(**_: object) -> None:
        nonlocal left
        with lock:
            left -= 1
            if left == 0:
                die()

    for endpoint in (source, destination):
        if isinstance(endpoint, S3Endpoint):
            events = endpoint.storage(arriving=True).bucket.service.client.meta.events  # type: ignore[attr-defined]
            events.register(f"after-call.s3.{given['operation']}", count)
    file = FileTransfer(id="a", source_path="a", destination_path="a", bytes=given["bytes"])
    handle = source.transfer(destination, [file], operation_id=UUID(given["id"]))
    wait_for_end(source, handle)


if __name__ == "__main__":
    main()
