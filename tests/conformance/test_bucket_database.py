"""The contract of databases, over a bucket of a real S3 server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from dts_fsm.databases.bucket import BucketDatabase
from dts_fsm.testing.database_suite import DatabaseSuite
from tests.servers.s3 import S3Server

FILES = {"reads/one.fastq": b"ACGT", "reads/two.fastq": b"", "Notes and more.txt": "ümlaut".encode()}


class TestBucketDatabase(DatabaseSuite):
    @pytest.fixture
    def database(self, s3_server: S3Server) -> Iterator[BucketDatabase]:
        endpoint = s3_server.endpoint()
        for path, content in FILES.items():
            key = endpoint.settings.prefix + path
            s3_server.client().put_object(Bucket=endpoint.settings.bucket, Key=key, Body=content)
        yield BucketDatabase(name="store", endpoint=endpoint, endpoint_name="bucket")
        endpoint.close()

    @pytest.fixture
    def known_ids(self) -> Sequence[str]:
        return sorted(FILES)

    @pytest.fixture
    def orcid(self) -> str:
        return "0000-0002-1825-0097"
