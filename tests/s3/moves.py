"""The few steps of which tests of moves from and to buckets are made."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import attrs

from dts_fsm.endpoints.endpoint import MovingEndpoint
from dts_fsm.endpoints.s3.endpoint import S3Endpoint
from dts_fsm.records import FileOutcome, OperationStatus
from dts_fsm.testing.endpoint_pair import file_of, wait_for_end

MIB = 1 << 20
PART = 5 * MIB


def content_of(num_bytes: int, seed: int = 0) -> bytes:
    """Give content that no two parts of have in common."""
    return random.Random(seed).randbytes(num_bytes)


def move(
    source: MovingEndpoint,
    destination: MovingEndpoint,
    path: str,
    content: bytes,
    *,
    operation_id: UUID | None = None,
    **changes: Any,
) -> OperationStatus:
    """Move one file with this content, to the same path."""
    changes = {"destination_path": path, **changes}
    handle = source.transfer(destination, [file_of(path, content, **changes)], operation_id=operation_id or uuid4())
    return wait_for_end(source, handle)


def outcome(status: OperationStatus) -> tuple[str, str, bool]:
    """Give the state of the one file, the reason, and whether it may go better later."""
    (file,) = status.files
    return file.state.value, file.reason or "", file.transient if isinstance(file, FileOutcome) else False


@attrs.frozen
class Calls:
    """How often each operation of the service was called by an endpoint."""

    counts: Counter[str] = attrs.field(factory=Counter)
    lock: threading.Lock = attrs.field(factory=threading.Lock)

    @classmethod
    def of(cls, endpoint: S3Endpoint) -> Calls:
        """Count from now on; parts that only mark an upload do not count."""
        calls = cls()

        def count(model: Any, params: dict[str, Any], **_: Any) -> None:
            if params["query_string"].get("partNumber") not in (10_000, "10000"):
                with calls.lock:
                    calls.counts[model.name] += 1

        endpoint.storage(arriving=True).bucket.service.client.meta.events.register("before-call.s3", count)  # type: ignore[attr-defined]
        return calls

    def __getitem__(self, operation: str) -> int:
        """Give how often it was called."""
        return self.counts[operation]


def die() -> None:
    """End this process as by kill -9."""
    os.kill(os.getpid(), 9)
