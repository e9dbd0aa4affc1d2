"""What a source's service knows of the content is compared, where no descriptor says what it must be."""

from __future__ import annotations

from uuid import uuid4

import pytest

from dts_fsm.endpoints.streaming import Entry
from dts_fsm.records import FileState
from dts_fsm.testing.endpoint_pair import checksum, file_of, wait_for_end
from dts_fsm.testing.memory import MemoryEndpoint, MemoryStorage


class _Knowing(MemoryStorage):
    """Says of every content that its SHA-256 is that of b"first"."""

    def look(self, path: str) -> Entry | None:
        entry = super().look(path)
        return entry and Entry(
            bytes=entry.bytes, version=entry.version, checksums={"sha256": checksum(b"first").digest}
        )

    def read(self, path: str, entry: Entry, start: int, stop: int) -> bytes:
        return super().read(path, Entry(bytes=entry.bytes, version=entry.version), start, stop)


@pytest.mark.parametrize(
    ("content", "hash_", "state"),
    [
        (b"first", None, FileState.TRANSFERRED),
        (b"third", None, FileState.FAILED),
        (b"third", checksum(b"third"), FileState.TRANSFERRED),
    ],
)
def test_content_that_its_service_knows_otherwise_is_not_delivered(content: bytes, hash_: object, state: str) -> None:
    source = MemoryEndpoint(_Knowing(files={"a": content}))
    destination = MemoryEndpoint(MemoryStorage(exclusive=False))
    handle = source.transfer(destination, [file_of("a", content, hash=hash_)], operation_id=uuid4())
    ended = wait_for_end(source, handle)
    assert [state] == [outcome.state for outcome in ended.files]
    assert (state is FileState.TRANSFERRED) == ("delivered/a" in destination.files.files)
    source.close()
