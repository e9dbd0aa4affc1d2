"""A bucket as a database: what is searched, and how its objects are described."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dts_fsm.config import DatabaseConfig
from dts_fsm.databases.bucket import BucketDatabase
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.endpoints.s3.endpoint import S3Endpoint
from dts_fsm.errors import (
    InvalidDatabaseConfigError,
    InvalidSearchParameterError,
    PermanentError,
    ResourcesNotFoundError,
)
from dts_fsm.records import Descriptor, SearchFileStatus, SearchParameters
from tests.s3.moves import PART, content_of, move
from tests.servers.s3 import S3Server

ORCID = "0000-0002-1825-0097"
FILES = ("Reads/b.fastq", "notes.txt", "reads/a.fastq", "reads/deep/c.fastq.gz")


@pytest.fixture
def store(s3_server: S3Server) -> Iterator[S3Endpoint]:
    endpoint = s3_server.endpoint(part_bytes=PART)
    for path in FILES:
        s3_server.client().put_object(
            Bucket=endpoint.settings.bucket,
            Key=endpoint.settings.prefix + path,
            Body=path.encode(),
            ContentType="text/x-reads",
            Metadata={"sample": "7"},
        )
    yield endpoint
    endpoint.close()


@pytest.fixture
def database(store: S3Endpoint) -> BucketDatabase:
    return BucketDatabase(name="reads", endpoint=store, endpoint_name="store")


def _found(database: BucketDatabase, query: str = "", **parameters: Any) -> list[str]:
    results = database.search(ORCID, SearchParameters(query=query, **parameters))
    return [descriptor.id for descriptor in results.descriptors]


@pytest.mark.parametrize(
    ("query", "prefix", "expected"),
    [
        ("", "", FILES),
        ("", "reads/", FILES[2:]),
        ("fastq", "", (FILES[0], *FILES[2:])),
        ("READS a.", "", FILES[2:3]),
        ("*.fastq", "", (FILES[0], FILES[2])),
        ("reads/*", "reads/d", FILES[3:]),
        ("[nr]*t?t", "", FILES[1:2]),
        ("*.bam", "", ()),
    ],
)
def test_files_are_found_by_words_patterns_and_prefix(
    database: BucketDatabase, query: str, prefix: str, expected: Sequence[str]
) -> None:
    assert list(expected) == _found(database, query, specific={"prefix": prefix})


def test_what_the_service_says_of_an_object_describes_it(database: BucketDatabase) -> None:
    (found,) = database.descriptors(ORCID, ["notes.txt"])
    assert (found.id, found.path, found.bytes) == ("notes.txt", "notes.txt", 9)
    assert f"md5:{hashlib.md5(b'notes.txt').hexdigest()}" == str(found.hash)
    assert (found.properties["mediatype"], found.properties["metadata"]) == ("text/x-reads", {"sample": "7"})


def test_what_was_put_with_a_checksum_has_that_one(store: S3Endpoint, database: BucketDatabase, tmp_path: Path) -> None:
    folder = LocalEndpoint(root=tmp_path)
    large = content_of(PART + 1)
    for path, content in (("small", b"few"), ("large", large)):
        (tmp_path / path).write_bytes(content)
        move(folder, store, path, content)
    small, big = database.descriptors(ORCID, ["small", "large"])
    assert (f"sha256:{hashlib.sha256(b'few').hexdigest()}", None) == (str(small.hash), big.hash)
    folder.close()


@pytest.mark.parametrize("value", ["a//b", "x" * 2000, "/notes.txt", "../x", "", "reads/", "nothing"])
def test_what_is_no_file_is_unknown(database: BucketDatabase, value: str) -> None:
    with pytest.raises(ResourcesNotFoundError) as caught:
        database.descriptors(ORCID, ["notes.txt", value])
    assert (value,) == caught.value.resource_ids


@pytest.mark.parametrize(
    ("specific", "words"), [({"prefix": 1}, "prefix must be text"), ({"bucket": "x"}, "known are: prefix")]
)
def test_a_wrong_parameter_is_named(database: BucketDatabase, specific: Mapping[str, Any], words: str) -> None:
    with pytest.raises(InvalidSearchParameterError, match=words):
        _found(database, specific=specific)
    with pytest.raises(InvalidSearchParameterError, match="longer than 4096"):
        _found(database, "x" * 5000)


class _Archive(LocalEndpoint):
    """Has one object, in an archive."""

    def paths(self, prefix: str = "") -> Iterator[str]:
        yield f"{prefix}old"

    def describe(self, paths: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        return {path: {"bytes": 3, "staged": False} for path in paths}


def test_what_is_in_an_archive_is_unstaged_and_cannot_be_staged(tmp_path: Path) -> None:
    database = BucketDatabase(name="reads", endpoint=_Archive(root=tmp_path), endpoint_name="store")
    assert (
        _found(database, status=SearchFileStatus.UNSTAGED),
        _found(database, status=SearchFileStatus.STAGED),
    ) == (["old"], [])
    with pytest.raises(PermanentError, match="have them restored first: 'old'"):
        database.stage_files(ORCID, ["old"], request_id=uuid4())


def _config(**changes: Any) -> DatabaseConfig:
    return DatabaseConfig(**{"key": "reads", "endpoints": {"": "store"}, **changes})


def test_a_database_is_made_from_its_section(store: S3Endpoint, tmp_path: Path) -> None:
    users = tmp_path / "users.csv"
    users.write_text(f"orcid,user\n{ORCID},ada\n", encoding="utf-8")
    database = BucketDatabase.from_config(_config(options={"users": str(users)}), endpoints={"store": store})
    assert (database.local_user(ORCID), list(database.endpoint_names())) == ("ada", ["store"])


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"options": {"bucket": "x"}}, "bucket", "its endpoint says"),
        ({"options": {"users": 5}}, "users", "must be a path"),
        ({"endpoints": {"": "other"}}, "endpoint", "must be configured, not 'other'"),
        ({"endpoints": {"": "folder"}}, "endpoint", "needs an endpoint with the provider s3"),
    ],
)
def test_a_wrong_section_is_told(store: S3Endpoint, tmp_path: Path, changes: Any, key: str, words: str) -> None:
    endpoints = {"store": store, "folder": LocalEndpoint(root=tmp_path)}
    with pytest.raises(InvalidDatabaseConfigError, match=words) as caught:
        BucketDatabase.from_config(_config(**changes), endpoints=endpoints)
    assert f"databases.reads.{key}" == caught.value.key


def test_what_the_endpoint_has_is_staged(store: S3Endpoint) -> None:
    descriptors = [Descriptor(id="1", path="notes.txt", bytes=9), Descriptor(id="2", path="notes.txt", bytes=8)]
    assert dict(store.files_staged(descriptors)) == {"1": True, "2": False}
