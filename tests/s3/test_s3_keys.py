"""Keys of every form, and settings that are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from dts_fsm.config import Config, Credential, EndpointConfig, Secret
from dts_fsm.databases.bucket import BucketDatabase
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.endpoints.s3.endpoint import S3Endpoint
from dts_fsm.endpoints.s3.settings import S3Settings
from dts_fsm.errors import InvalidEndpointConfigError, PermanentError, UnsafePathError
from dts_fsm.records import FileState, OperationCode
from dts_fsm.registry import build_databases, build_endpoints
from tests.s3.moves import move, outcome
from tests.servers.s3 import S3Server

ODD = (
    "a b",
    "a+b=c&d?e#f",
    "100%25",
    "<x>\"'`|^{}[]~",
    "ümläut/日本語/🧬",
    "-- .hidden",
    "a*b",
    ".../...",
    "x" * 200 + "/" + "y" * 200,
)


@pytest.fixture
def store(s3_server: S3Server) -> Iterator[S3Endpoint]:
    endpoint = s3_server.endpoint()
    yield endpoint
    endpoint.close()


@pytest.mark.parametrize("path", ODD)
def test_a_key_may_have_any_character(s3_server: S3Server, store: S3Endpoint, tmp_path: Path, path: str) -> None:
    content = path.encode()
    folder = LocalEndpoint(root=tmp_path)
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_bytes(content)
    assert move(folder, store, path, content).code == OperationCode.SUCCEEDED
    key = store.settings.prefix + path
    assert s3_server.client().get_object(Bucket=store.settings.bucket, Key=key)["Body"].read() == content
    assert list(store.paths()) == [path]
    assert move(store, folder, path, content, destination_path="back").code == OperationCode.SUCCEEDED
    assert (tmp_path / "back").read_bytes() == content
    folder.close()


def test_what_ends_as_a_folder_does_is_no_file(s3_server: S3Server, store: S3Endpoint) -> None:
    for key in ("folder/", "other/file"):
        s3_server.client().put_object(Bucket=store.settings.bucket, Key=store.settings.prefix + key, Body=b"")
    storage = store.storage(arriving=False)
    assert [storage.look(path) for path in ("folder", "other")] == [None, None]
    assert list(store.paths()) == ["other/file"]


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b", "", "a\nb"])
def test_a_path_that_leads_elsewhere_is_refused(store: S3Endpoint, path: str) -> None:
    with pytest.raises(UnsafePathError):
        store.storage(arriving=True).look(path)


def test_a_key_that_is_too_long_fails_for_good(store: S3Endpoint, tmp_path: Path) -> None:
    folder = LocalEndpoint(root=tmp_path)
    (tmp_path / "a").write_bytes(b"x")
    status = move(folder, store, "a", b"x", destination_path="ü" * 600)
    assert outcome(status) == ("failed", "error", False)
    with pytest.raises(PermanentError, match="longer than 1024 bytes"):
        store.storage(arriving=True).look("ü" * 600)
    folder.close()


def test_more_than_a_thousand_keys_are_listed_in_their_order(s3_server: S3Server, store: S3Endpoint) -> None:
    small = store._small_objects()
    names = [f"{number:04}" for number in range(1100)]
    for name in names:
        small.put(store.settings.prefix + name, b"", exclusive=False)
    assert names == list(store.paths())
    assert names[1000:] == list(store.paths("1"))[:100] == list(store.paths("10"))


def test_in_a_versioned_bucket_the_newest_content_counts(s3_server: S3Server, tmp_path: Path) -> None:
    s3_server.client().create_bucket(Bucket="versioned")
    s3_server.client().put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    store, folder = s3_server.endpoint(bucket="versioned"), LocalEndpoint(root=tmp_path)
    for content in (b"first", b"second"):
        (tmp_path / "a").write_bytes(content)
        assert move(folder, store, "a", content).files[0].state is FileState.TRANSFERRED
    assert move(store, folder, "a", b"second", destination_path="back").code == OperationCode.SUCCEEDED
    assert (tmp_path / "back").read_bytes() == b"second"
    s3_server.client().delete_object(Bucket="versioned", Key=f"{store.settings.prefix}a")
    assert store.storage(arriving=False).look("a") is None
    store.close()
    folder.close()


# Settings

GIVEN = EndpointConfig(key="store", provider="s3", options={"bucket": "data"})


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"bukket": "x"}, "bukket", "has no such option: it has bucket, region, endpoint_url"),
        ({"bucket": "no/bucket"}, "bucket", "must be the name of a bucket"),
        ({"bucket": None}, "bucket", "must be the name of a bucket"),
        ({"path_style": "yes"}, "path_style", "must be true or false"),
        ({"workers": True}, "workers", "must be a whole number"),
        ({"workers": 0}, "workers", "must be above 0"),
        ({"part_bytes": 1000}, "part_bytes", r"must be from 5242880 \(5 MiB\)"),
        ({"max_parts": 10_000}, "max_parts", "can be 9999 at most"),
        ({"checksum": "crc"}, "checksum", "must be one of crc64nvme, crc32c, sha256, md5"),
        ({"default_checksum": "crc"}, "default_checksum", "must be 'none' or one of"),
        ({"endpoint_url": "ftp://x"}, "endpoint_url", "must be a URL such as"),
        ({"endpoint_url": "https://x", "base_url": "https://y"}, "base_url", "give one of them"),
        ({"endpoint_url": "https://x", "disable_ssl": True}, "disable_ssl", "contradicts endpoint_url"),
        ({"disable_ssl": True}, "disable_ssl", "needs an endpoint_url"),
        ({"access_key_id": "me"}, "secret_key", "is missing beside access_key_id"),
        ({"secret_key": Secret("s")}, "access_key_id", "is missing beside secret_key"),
        ({"secret_key": "plain"}, "secret_key", "must be a Secret"),
        ({"session_token": Secret("s")}, "session_token", "needs access_key_id"),
        ({"anonymous": True, "profile": "me"}, "anonymous", "contradicts profile"),
        ({"base_path": "/a/../b"}, "root", "must be a folder"),
    ],
)
def test_a_wrong_setting_is_named(options: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(InvalidEndpointConfigError, match=words) as caught:
        S3Endpoint.from_config(attrs.evolve(GIVEN, options={**GIVEN.options, **options}))
    assert f"endpoints.store.{key}" == caught.value.key


def test_settings_have_the_names_of_dts_too() -> None:
    options = {
        "bucket": "data",
        "base_url": "localhost:9000",
        "use_path_style": False,
        "disable_ssl": True,
        "base_path": "/base//",
        "data_path": "below",
    }
    settings, rest = S3Settings.from_config(attrs.evolve(GIVEN, options=options))
    assert (settings.endpoint_url, settings.path_style, settings.prefix, rest) == (
        "http://localhost:9000",
        False,
        "base/below/",
        {},
    )


def test_a_credential_of_the_configuration_is_who_asks() -> None:
    credential = Credential(name="me", id="AKIA", secret=Secret("quiet"))
    settings, _ = S3Settings.from_config(attrs.evolve(GIVEN, credential=credential))
    assert (settings.access_key_id, settings.secret_key) == ("AKIA", Secret("quiet"))
    assert "quiet" not in repr(settings)
    with pytest.raises(InvalidEndpointConfigError, match="stands beside 'credential'"):
        S3Settings.from_config(
            attrs.evolve(GIVEN, credential=credential, options={**GIVEN.options, "access_key_id": "x"})
        )


def test_large_files_have_larger_parts() -> None:
    settings = S3Settings(bucket="data")
    assert settings.part_bytes_of(1 << 30) == 8 << 20
    assert -(-(5 << 40) // settings.part_bytes_of(5 << 40)) <= 9999


def test_an_endpoint_is_made_from_a_configuration_file(s3_server: S3Server) -> None:
    text = f"""
service: {{endpoint: store, data_dir: state, secret: x}}
endpoints:
  store:
    provider: s3
    bucket: {s3_server.bucket}
    endpoint_url: {s3_server.url}
    access_key_id: {s3_server.access_key}
    secret_key: {s3_server.secret}
    part_bytes: 5242880
    checksum: crc32c
    etag_md5: true
    copy_part_bytes: 5242880
    default_checksum: md5
    workers: 2
databases:
  store: {{endpoint: store, name: Store, organization: Us}}
"""
    endpoints = build_endpoints(Config.parse(text))
    store = endpoints["store"]
    assert isinstance(store, S3Endpoint)
    assert store.storage(arriving=False).look("nothing/here") is None
    assert isinstance(build_databases(Config.parse(text), endpoints)["store"], BucketDatabase)
    store.close()
