"""Large files are put in parts; what was interrupted is gone on with, and nothing of it is left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.endpoints.s3.endpoint import S3Endpoint
from dts_fsm.endpoints.s3.storage import BucketStorage
from dts_fsm.records import FileState, OperationCode, Overwrite
from dts_fsm.testing.endpoint_pair import checksum, file_of
from tests.s3.moves import MIB, PART, Calls, content_of, move, outcome
from tests.servers.proxy import Request, proxy
from tests.servers.s3 import S3Server

CONTENT = content_of(8 * PART + 1234)
NUM_PARTS = 9


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[LocalEndpoint]:
    endpoint = LocalEndpoint(root=tmp_path)
    yield endpoint
    endpoint.close()


@pytest.fixture
def store(s3_server: S3Server) -> Iterator[S3Endpoint]:
    endpoint = s3_server.endpoint(part_bytes=PART)
    yield endpoint
    endpoint.close()


def _read(server: S3Server, store: S3Endpoint, path: str) -> bytes:
    answer = server.client().get_object(Bucket=store.settings.bucket, Key=store.settings.prefix + path)
    content: bytes = answer["Body"].read()
    return content


def _uploads(server: S3Server, store: S3Endpoint) -> list[dict[str, Any]]:
    answer = server.client().list_multipart_uploads(Bucket=store.settings.bucket, Prefix=store.settings.prefix)
    found: list[dict[str, Any]] = answer.get("Uploads", [])
    return found


def _described(server: S3Server, endpoint: S3Endpoint) -> dict[str, object]:
    return {
        "bucket": endpoint.settings.bucket,
        "endpoint_url": server.url,
        "access_key_id": server.access_key,
        "secret_key": server.secret,
        "root": endpoint.root,
        "part_bytes": PART,
    }


def _kill_in_the_middle(source: object, destination: object, operation: str, parts: int) -> str:
    operation_id = str(uuid4())
    given = {
        "source": source,
        "destination": destination,
        "id": operation_id,
        "operation": operation,
        "parts": parts,
        "bytes": len(CONTENT),
    }
    run = subprocess.run(
        [sys.executable, "-m", "tests.s3.interrupted", json.dumps(given)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == -9, run.stderr
    return operation_id


def test_parts_that_a_killed_process_has_put_are_not_put_again(
    s3_server: S3Server, folder: LocalEndpoint, store: S3Endpoint
) -> None:
    (Path(folder.root) / "a").write_bytes(CONTENT)
    operation_id = _kill_in_the_middle({"folder": folder.root}, _described(s3_server, store), "UploadPart", 5)
    (upload,) = _uploads(s3_server, store)
    parts = s3_server.client().list_parts(Bucket=store.settings.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    kept = [part for part in parts["Parts"] if part["PartNumber"] < 10_000]
    assert len(kept) >= 4  # one of the five was the mark

    calls = Calls.of(store)
    status = move(folder, store, "a", CONTENT, operation_id=UUID(operation_id))

    assert status.code == OperationCode.SUCCEEDED, status
    assert 1 <= calls["UploadPart"] <= NUM_PARTS - len(kept)  # the service may have got more than it had told of
    assert calls["CreateMultipartUpload"] == 0
    assert _read(s3_server, store, "a") == CONTENT
    assert _uploads(s3_server, store) == []


def test_parts_that_a_killed_process_has_fetched_are_not_fetched_again(
    s3_server: S3Server, folder: LocalEndpoint, store: S3Endpoint
) -> None:
    s3_server.client().put_object(Bucket=store.settings.bucket, Key=f"{store.settings.prefix}a", Body=CONTENT)
    operation_id = _kill_in_the_middle(_described(s3_server, store), {"folder": folder.root}, "GetObject", 5)
    (left,) = (file for file in Path(folder.root).iterdir() if file.name.endswith(".part"))
    kept = left.stat().st_size // (8 * MIB)

    calls = Calls.of(store)
    status = move(store, folder, "a", CONTENT, operation_id=UUID(operation_id))

    assert status.code == OperationCode.SUCCEEDED, status
    assert -(-len(CONTENT) // (8 * MIB)) - kept == calls["GetObject"]
    assert (Path(folder.root) / "a").read_bytes() == CONTENT


def test_parts_of_an_older_content_are_replaced(s3_server: S3Server, folder: LocalEndpoint, store: S3Endpoint) -> None:
    operation_id = uuid4()
    storage = store.storage(arriving=True)
    writing = storage.write("a", num_bytes=3 * PART, operation=operation_id.hex, version="1")
    for number in range(3):
        writing.put(number, CONTENT[number * PART : (number + 1) * PART])
    writing.leave()
    newer = CONTENT[:PART] + content_of(PART, seed=1) + b"end"
    (Path(folder.root) / "a").write_bytes(newer)

    calls = Calls.of(store)
    status = move(folder, store, "a", newer, operation_id=operation_id)

    assert status.code == OperationCode.SUCCEEDED, status
    assert calls["UploadPart"] == 2
    assert _read(s3_server, store, "a") == newer


def test_what_cannot_go_well_leaves_no_upload(s3_server: S3Server, folder: LocalEndpoint, store: S3Endpoint) -> None:
    (Path(folder.root) / "a").write_bytes(CONTENT)
    status = move(folder, store, "a", CONTENT, hash=checksum(b"other"))
    assert outcome(status) == ("failed", "checksum mismatch", False)
    assert _uploads(s3_server, store) == []
    assert list(store.paths()) == []


def test_to_clear_aborts_the_uploads_of_this_operation_alone(s3_server: S3Server, store: S3Endpoint) -> None:
    storage = store.storage(arriving=True)
    ours, theirs = uuid4(), uuid4()
    for operation, path in ((ours, "a"), (ours, "deep/b"), (theirs, "a")):
        storage.write(path, num_bytes=2 * PART, operation=operation.hex, version="1").leave()
    foreign = s3_server.client().create_multipart_upload(Bucket=store.settings.bucket, Key=f"{store.settings.prefix}a")[
        "UploadId"
    ]

    files = [file_of(path, b"", destination_path=path) for path in ("a", "deep/b", "../never")]
    for _ in range(2):
        store.clear(store, files, operation_id=ours)

    left = {upload["UploadId"] for upload in _uploads(s3_server, store)}
    assert (len(left), foreign in left) == (2, True)


def test_orphans_are_what_is_old_and_ours_and_of_nobody(s3_server: S3Server, store: S3Endpoint) -> None:
    storage = store.storage(arriving=True)
    dead, live = uuid4(), uuid4()
    storage.write("dead", num_bytes=2 * PART, operation=dead.hex, version="1").leave()
    storage.write("live", num_bytes=2 * PART, operation=live.hex, version="1").leave()
    s3_server.client().create_multipart_upload(Bucket=store.settings.bucket, Key=f"{store.settings.prefix}foreign")

    assert store.orphans(older_than=timedelta(hours=1)) == []
    (orphan,) = store.orphans(older_than=timedelta(0), live=[live])
    assert orphan.path == "dead"
    for _ in range(2):
        store.abort(orphan)
    assert [orphan.path for orphan in store.orphans(older_than=timedelta(0))] == ["live"]


def test_an_upload_whose_last_answer_was_lost_is_known_to_be_ours(s3_server: S3Server, folder: LocalEndpoint) -> None:
    (Path(folder.root) / "a").write_bytes(CONTENT)
    lost = []

    def lose(request: Request) -> None:
        if request.method == "POST" and "uploadId=" in request.path and not lost:
            request.lose_answer = True
            lost.append(request.path)

    with proxy(s3_server.url, lose) as url:
        store = s3_server.endpoint(endpoint_url=url, part_bytes=PART)
        status = move(folder, store, "a", CONTENT, overwrite=Overwrite.NEVER)
        assert (len(lost), status.files[0].state) == (1, FileState.TRANSFERRED), status
        assert _read(s3_server, store, "a") == CONTENT
        store.close()


@pytest.mark.parametrize(("mark", "num_bytes"), [("partNumber=3", len(CONTENT)), ("/small", 1000)])
def test_what_is_damaged_on_its_way_is_noticed_by_the_service_and_sent_again(
    s3_server: S3Server, folder: LocalEndpoint, mark: str, num_bytes: int
) -> None:
    content, damaged = CONTENT[:num_bytes], []
    (Path(folder.root) / "small").write_bytes(content)

    def damage(request: Request) -> None:
        if request.method == "PUT" and mark in request.path and not damaged:
            request.body = b"?" + request.body[1:]
            damaged.append(request.path)

    with proxy(s3_server.url, damage) as url:
        store = s3_server.endpoint(endpoint_url=url, part_bytes=PART)
        status = move(folder, store, "small", content)
        assert (len(damaged), status.code) == (1, OperationCode.SUCCEEDED), status
        assert _read(s3_server, store, "small") == content
        store.close()


@pytest.mark.parametrize("algorithm", ["crc64nvme", "crc32c", "sha256", "md5"])
def test_parts_are_sent_with_the_checksum_that_is_set(
    s3_server: S3Server, folder: LocalEndpoint, algorithm: str
) -> None:
    store = s3_server.endpoint(part_bytes=PART, checksum=algorithm)
    content = CONTENT[: 2 * PART + 7]
    for path, part in (("large", content), ("small", b"few bytes"), ("empty", b"")):
        (Path(folder.root) / path).write_bytes(part)
        assert move(folder, store, path, part).code == OperationCode.SUCCEEDED
        assert _read(s3_server, store, path) == part
    head = s3_server.client().head_object(
        Bucket=store.settings.bucket, Key=f"{store.settings.prefix}large", ChecksumMode="ENABLED"
    )
    storage = store.storage(arriving=True)
    assert isinstance(storage, BucketStorage)
    name = storage.bucket.checksum.name
    if algorithm.startswith("crc"):
        assert storage.bucket.checksum.of(content) == head[name]
    assert "-" in head["ETag"]
    assert (storage.look("large") or head).checksums == {}
    store.close()


def test_a_source_that_changes_while_it_is_read_is_noticed(s3_server: S3Server, folder: LocalEndpoint) -> None:
    changed = []

    def change(request: Request) -> None:
        if request.headers.get("Range", "").startswith(f"bytes={8 * MIB}-") and not changed:
            changed.append(True)
            s3_server.client().put_object(Bucket=s3_server.bucket, Key=key, Body=content_of(len(CONTENT), seed=2))

    with proxy(s3_server.url, change) as url:
        store = s3_server.endpoint(endpoint_url=url)
        key = f"{store.settings.prefix}a"
        s3_server.client().put_object(Bucket=s3_server.bucket, Key=key, Body=CONTENT)
        status = move(store, folder, "a", CONTENT, hash=None)
        assert outcome(status) == ("failed", "source changed", True)
        assert not (Path(folder.root) / "a").exists()
        store.close()
