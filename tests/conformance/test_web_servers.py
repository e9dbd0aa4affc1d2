"""The contract of endpoints, over files that are fetched from a real web server into a local folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from dts_fsm.config import EndpointConfig
from dts_fsm.endpoints.http.endpoint import HttpEndpoint
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.testing.endpoint_pair import EndpointPair
from dts_fsm.testing.endpoint_suite import EndpointSuite
from tests.servers.nginx import Nginx


class TestFromAWebServer(EndpointSuite):
    @pytest.fixture(params=["ranges", "tls", "whole"])
    def pair(self, nginx: Nginx, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[EndpointPair]:
        root = nginx.folder / uuid4().hex
        root.mkdir()
        tls = request.param == "tls"
        options = {"url": nginx.secure_url, "ca_file": nginx.ca_file} if tls else {"url": nginx.url}
        below = f"/whole/{root.name}" if request.param == "whole" else f"/{root.name}"
        source = HttpEndpoint.from_config(EndpointConfig(key="web", provider="http", root=below, options=options))
        destination = LocalEndpoint(root=tmp_path)

        def put(path: str, content: bytes) -> None:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)

        def read(path: str) -> bytes | None:
            return (tmp_path / path).read_bytes() if (tmp_path / path).is_file() else None

        def restart() -> HttpEndpoint:
            source.close()
            return source

        yield EndpointPair(source=source, destination=destination, put=put, read=read, restart=restart)
        source.close()
        destination.close()
