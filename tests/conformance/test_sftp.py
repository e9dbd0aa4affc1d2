"""The contract of endpoints, over a real SFTP server: from it, to it, and inside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dts_fsm.endpoints.endpoint import MovingEndpoint
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.testing.endpoint_pair import EndpointPair
from dts_fsm.testing.endpoint_suite import EndpointSuite
from tests.servers.sftp import SftpServer


def _pair(source: MovingEndpoint, destination: MovingEndpoint) -> EndpointPair:
    def put(path: str, content: bytes) -> None:
        file = Path(source.root) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def read(path: str) -> bytes | None:
        file = Path(destination.root) / path
        return file.read_bytes() if file.is_file() else None

    def restart() -> MovingEndpoint:
        source.close()
        return source

    return EndpointPair(source=source, destination=destination, put=put, read=read, restart=restart)


class TestSftp(EndpointSuite):
    @pytest.fixture(params=["from it", "to it", "inside it"])
    def pair(self, request: pytest.FixtureRequest, sftp_server: SftpServer, tmp_path: Path) -> Iterator[EndpointPair]:
        here = LocalEndpoint(root=tmp_path)
        there, also = (sftp_server.endpoint(sftp_server.folder()) for _ in range(2))
        ends = {"from it": (there, here), "to it": (here, there), "inside it": (there, also)}
        yield _pair(*ends[request.param])
        for endpoint in (here, there, also):
            endpoint.close()
