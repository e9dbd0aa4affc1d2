"""Between buckets of one service its own copies are made; no byte passes through this machine."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from dts_fsm.config import Secret
from dts_fsm.endpoints.s3.endpoint import S3Endpoint
from dts_fsm.records import FileState, OperationCode, Overwrite
from dts_fsm.testing.endpoint_pair import checksum
from tests.s3.moves import PART, Calls, content_of, move, outcome
from tests.servers.proxy import Request, proxy
from tests.servers.s3 import S3Server

CONTENT = content_of(2 * PART + 99)


@pytest.fixture
def source(s3_server: S3Server) -> Iterator[S3Endpoint]:
    endpoint = s3_server.endpoint()
    put = s3_server.client().put_object
    put(Bucket=endpoint.settings.bucket, Key=f"{endpoint.settings.prefix}a", Body=CONTENT)
    put(Bucket=endpoint.settings.bucket, Key=f"{endpoint.settings.prefix}empty", Body=b"")
    yield endpoint
    endpoint.close()


def _content(server: S3Server, endpoint: S3Endpoint, path: str = "a") -> bytes:
    answer = server.client().get_object(Bucket=endpoint.settings.bucket, Key=endpoint.settings.prefix + path)
    content: bytes = answer["Body"].read()
    return content


@pytest.mark.parametrize(
    ("options", "overwrite", "used"),
    [
        ({}, Overwrite.IF_DIFFERENT, {"CopyObject": 1}),
        ({}, Overwrite.NEVER, {"UploadPartCopy": 1}),
        ({"copy_part_bytes": PART, "part_bytes": PART}, Overwrite.IF_DIFFERENT, {"UploadPartCopy": 2 + 1}),
        ({"copy_part_bytes": PART, "part_bytes": PART}, Overwrite.NEVER, {"UploadPartCopy": 2 + 1}),
    ],
)
@pytest.mark.parametrize("bucket", ["tests", "others"])
def test_the_service_copies_in_the_fewest_calls(
    s3_server: S3Server,
    source: S3Endpoint,
    bucket: str,
    options: dict[str, int],
    overwrite: Overwrite,
    used: dict[str, int],
) -> None:
    destination = s3_server.endpoint(bucket=bucket, **options)
    calls = Calls.of(destination)
    status = move(source, destination, "a", CONTENT, overwrite=overwrite, hash=checksum(CONTENT, "md5"))
    assert status.code == OperationCode.SUCCEEDED, status
    assert used == {name: calls[name] for name in ("CopyObject", "UploadPartCopy") if calls[name]}
    assert (calls["GetObject"], _content(s3_server, destination)) == (0, CONTENT)
    assert move(source, destination, "empty", b"", overwrite=overwrite).code == OperationCode.SUCCEEDED
    assert _content(s3_server, destination, "empty") == b""
    destination.close()


@pytest.mark.parametrize("path", ["a", "empty"])
def test_what_is_there_is_not_replaced_by_a_copy_that_must_not(
    s3_server: S3Server, source: S3Endpoint, path: str
) -> None:
    destination = s3_server.endpoint()
    key = f"{destination.settings.prefix}{path}"
    s3_server.client().put_object(Bucket=destination.settings.bucket, Key=key, Body=b"other")
    storage, origin = destination.storage(arriving=True), source.storage(arriving=False)
    entry = origin.look(path)
    assert entry is not None
    with pytest.raises(FileExistsError):
        storage.copy(origin, path, entry, path, operation="op", exclusive=True)
    assert _content(s3_server, destination, path) == b"other"
    assert s3_server.client().list_multipart_uploads(Bucket=s3_server.bucket, Prefix=key).get("Uploads", []) == []
    destination.close()


def test_a_source_that_changes_before_its_copy_is_not_copied(s3_server: S3Server, source: S3Endpoint) -> None:
    key, changed = f"{source.settings.prefix}a", []

    def change(request: Request) -> None:
        if "x-amz-copy-source" in {name.lower() for name in request.headers} and not changed:
            changed.append(True)
            s3_server.client().put_object(Bucket=source.settings.bucket, Key=key, Body=b"other")

    with proxy(s3_server.url, change) as url:
        near = s3_server.endpoint(endpoint_url=url, root=source.root)
        far = s3_server.endpoint(endpoint_url=url)
        status = move(near, far, "a", CONTENT, hash=None)
        assert outcome(status) == ("failed", "source changed", True)
        assert list(far.paths()) == []
        near.close()
        far.close()


def test_buckets_that_are_reached_otherwise_are_streamed(s3_server: S3Server, source: S3Endpoint) -> None:
    key, secret = s3_server.reader
    reader = s3_server.endpoint(root=source.root, access_key_id=key, secret_key=Secret(secret))
    destination = s3_server.endpoint(part_bytes=PART)
    calls = Calls.of(destination)
    status = move(reader, destination, "a", CONTENT)
    assert (status.code, calls["UploadPart"], calls["CopyObject"]) == (OperationCode.SUCCEEDED, 3, 0)
    assert _content(s3_server, destination) == CONTENT
    reader.close()
    destination.close()


def test_what_a_killed_copy_has_left_is_replaced(s3_server: S3Server, source: S3Endpoint) -> None:
    destination, operation_id = s3_server.endpoint(copy_part_bytes=PART), uuid4()
    destination.storage(arriving=True).write("a", num_bytes=9 << 20, operation=operation_id.hex, version="1").leave()
    status = move(source, destination, "a", CONTENT, operation_id=operation_id)
    assert status.files[0].state is FileState.TRANSFERRED
    prefix = destination.settings.prefix
    assert s3_server.client().list_multipart_uploads(Bucket=s3_server.bucket, Prefix=prefix).get("Uploads", []) == []
    destination.close()
