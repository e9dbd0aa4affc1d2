"""The contract of endpoints, over a loopback Globus."""

from __future__ import annotations

from typing import ClassVar

import pytest

from dts_fsm.endpoints.globus.endpoint import GlobusEndpoint
from dts_fsm.testing.endpoint_pair import EndpointPair
from dts_fsm.testing.endpoint_suite import EndpointSuite
from tests.servers.globus import HERE, THERE, Globus


class TestGlobus(EndpointSuite):
    compares: ClassVar[bool] = False

    @pytest.fixture
    def pair(self, globus: Globus) -> EndpointPair:
        source, destination = globus.endpoint(HERE, root="/data"), globus.endpoint(THERE, name="there")

        def put(path: str, content: bytes) -> None:
            file = globus.root(HERE) / "data" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

        def read(path: str) -> bytes | None:
            file = globus.root(THERE) / path
            return file.read_bytes() if file.is_file() else None

        def restart() -> GlobusEndpoint:
            return globus.endpoint(HERE, root="/data")

        return EndpointPair(source=source, destination=destination, put=put, read=read, restart=restart)
