"""The contract of endpoints, over a real S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from dts_fsm.endpoints.endpoint import MovingEndpoint
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.endpoints.s3.endpoint import S3Endpoint
from dts_fsm.testing.endpoint_pair import EndpointPair
from dts_fsm.testing.endpoint_suite import EndpointSuite
from tests.servers.s3 import S3Server


def _put(server: S3Server, endpoint: MovingEndpoint, path: str, content: bytes) -> None:
    if isinstance(endpoint, S3Endpoint):
        settings = endpoint.settings
        server.client().put_object(Bucket=settings.bucket, Key=settings.prefix + path, Body=content)
    else:
        file = Path(endpoint.root) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _read(server: S3Server, endpoint: MovingEndpoint, path: str) -> bytes | None:
    if isinstance(endpoint, S3Endpoint):
        settings = endpoint.settings
        client = server.client()
        try:
            answer = client.get_object(Bucket=settings.bucket, Key=settings.prefix + path)
        except client.exceptions.NoSuchKey:
            return None
        content: bytes = answer["Body"].read()
        return content
    file = Path(endpoint.root) / path
    return file.read_bytes() if file.is_file() else None


def _pair(server: S3Server, source: MovingEndpoint, destination: MovingEndpoint) -> EndpointPair:
    def restart() -> MovingEndpoint:
        source.close()
        return source

    return EndpointPair(
        source=source,
        destination=destination,
        put=lambda path, content: _put(server, source, path, content),
        read=lambda path: _read(server, destination, path),
        restart=restart,
    )


class TestFromAFolderToABucket(EndpointSuite):
    @pytest.fixture
    def pair(self, s3_server: S3Server, tmp_path: Path) -> Iterator[EndpointPair]:
        source, destination = LocalEndpoint(root=tmp_path), s3_server.endpoint()
        yield _pair(s3_server, source, destination)
        source.close()
        destination.close()


class TestFromABucketToAFolder(EndpointSuite):
    @pytest.fixture
    def pair(self, s3_server: S3Server, tmp_path: Path) -> Iterator[EndpointPair]:
        source, destination = s3_server.endpoint(), LocalEndpoint(root=tmp_path)
        yield _pair(s3_server, source, destination)
        source.close()
        destination.close()


class TestInsideOfAService(EndpointSuite):
    @pytest.fixture
    def pair(self, s3_server: S3Server) -> Iterator[EndpointPair]:
        root = f"/{uuid4().hex}"
        source = s3_server.endpoint(root=root)
        destination = s3_server.endpoint(root=root, bucket=s3_server.other_bucket)
        yield _pair(s3_server, source, destination)
        source.close()
        destination.close()
