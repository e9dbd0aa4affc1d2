"""The contract of endpoints, over moves that pass through this machine: from and to local folders and memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dts_fsm.endpoints.endpoint import MovingEndpoint
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.testing.endpoint_pair import EndpointPair
from dts_fsm.testing.endpoint_suite import EndpointSuite
from dts_fsm.testing.memory import MemoryEndpoint, MemoryStorage


def _memory_put(endpoint: MemoryEndpoint, path: str, content: bytes) -> None:
    endpoint.files.files[path] = content


def _local_put(root: Path, path: str, content: bytes) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content)


def _pair(source: MovingEndpoint, destination: MovingEndpoint) -> EndpointPair:
    def put(path: str, content: bytes) -> None:
        if isinstance(source, MemoryEndpoint):
            _memory_put(source, path, content)
        else:
            _local_put(Path(source.root), path, content)

    def read(path: str) -> bytes | None:
        if isinstance(destination, MemoryEndpoint):
            return destination.files.files.get(path)
        file = Path(destination.root) / path
        return file.read_bytes() if file.is_file() else None

    def restart() -> MovingEndpoint:
        source.close()
        return source

    return EndpointPair(source=source, destination=destination, put=put, read=read, restart=restart)


class TestFromMemoryToMemory(EndpointSuite):
    @pytest.fixture(params=["many parts", "one part", "read back", "in order", "copied"])
    def pair(self, request: pytest.FixtureRequest) -> Iterator[EndpointPair]:
        kind = request.param
        source = MemoryEndpoint(MemoryStorage(part_bytes=70_000))
        destination = MemoryEndpoint(
            MemoryStorage(
                part_bytes=100_000_000 if kind == "one part" else 70_000,
                exclusive=kind == "one part",
                checked=kind != "read back",
                in_order=kind == "in order",
                twin=source.files if kind == "copied" else None,
            )
        )
        yield _pair(source, destination)
        source.close()
        destination.close()


class TestFromMemoryToAFolder(EndpointSuite):
    @pytest.fixture
    def pair(self, tmp_path: Path) -> Iterator[EndpointPair]:
        source, destination = MemoryEndpoint(), LocalEndpoint(root=tmp_path)
        yield _pair(source, destination)
        source.close()
        destination.close()


class TestFromAFolderToMemory(EndpointSuite):
    @pytest.fixture
    def pair(self, tmp_path: Path) -> Iterator[EndpointPair]:
        source, destination = LocalEndpoint(root=tmp_path), MemoryEndpoint()
        yield _pair(source, destination)
        source.close()
        destination.close()
