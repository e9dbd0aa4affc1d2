"""What goes wrong at a service is told in our terms, with what to do, and without secrets."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dts_fsm.config import Secret
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.endpoints.s3.endpoint import S3Endpoint
from dts_fsm.errors import DtsError, PermanentError, TransientError, UnauthorizedError, UnavailableError
from dts_fsm.records import Descriptor, FileState, OperationCode, Overwrite
from tests.s3.moves import PART, Calls, content_of, move, outcome
from tests.servers.proxy import SLOW_DOWN, Request, proxy
from tests.servers.s3 import S3Server

FILE = Descriptor(id="a", path="a", bytes=1)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[LocalEndpoint]:
    (tmp_path / "a").write_bytes(b"first")
    endpoint = LocalEndpoint(root=tmp_path)
    yield endpoint
    endpoint.close()


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who runs the tests is nobody to Amazon."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def _looked(endpoint: S3Endpoint) -> DtsError:
    """Give the error of looking at a file."""
    with pytest.raises((DtsError, PermissionError)) as caught:
        endpoint.storage(arriving=False).look("a")
    endpoint.close()
    assert isinstance(caught.value, DtsError)
    return caught.value


def test_a_service_that_is_asked_too_often_is_asked_again(s3_server: S3Server, folder: LocalEndpoint) -> None:
    refused = []

    def refuse(request: Request) -> None:
        if len(refused) < 2:
            refused.append(request.path)
            request.answer = 503, SLOW_DOWN

    with proxy(s3_server.url, refuse) as url:
        store = s3_server.endpoint(endpoint_url=url)
        assert move(folder, store, "a", b"first").code == OperationCode.SUCCEEDED
        assert len(refused) == 2
        assert list(store.paths()) == ["a"]
        store.close()


def test_a_service_that_stays_busy_is_a_matter_of_time(
    s3_server: S3Server, folder: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dts_fsm.endpoints.s3.service._ATTEMPTS", 1)

    def refuse(request: Request) -> None:
        request.answer = 503, SLOW_DOWN

    with proxy(s3_server.url, refuse) as url:
        store = s3_server.endpoint(endpoint_url=url)
        status = move(folder, store, "a", b"first")
        assert outcome(status) == ("failed", "error", True)
        assert "SlowDown" in (status.files[0].error or "")
        store.close()


def test_nobody_writes_who_may_only_read(s3_server: S3Server, folder: LocalEndpoint) -> None:
    key, secret = s3_server.reader
    store = s3_server.endpoint(access_key_id=key, secret_key=Secret(secret))
    status = move(folder, store, "a", b"first")
    assert outcome(status) == ("failed", "denied", False)
    assert "check the endpoint's credential" in (status.files[0].error or "")
    store.close()


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"secret_key": Secret("not-the-secret")}, UnauthorizedError, "SignatureDoesNotMatch"),
        ({"access_key_id": "NOBODY"}, UnauthorizedError, "InvalidAccessKeyId"),
        ({"bucket": "no-such-bucket"}, PermanentError, "'no-such-bucket' does not exist: make it, or correct"),
        ({"access_key_id": None, "secret_key": None}, UnauthorizedError, "nothing says who asks"),
        ({"access_key_id": None, "secret_key": None, "profile": "no-such"}, DtsError, "no-such"),
    ],
)
def test_what_is_wrong_is_said(s3_server: S3Server, options: dict[str, Any], kind: type[DtsError], words: str) -> None:
    error = _looked_at(s3_server, options)
    assert isinstance(error, kind)
    assert words in str(error)
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    assert (s3_server.secret in shown, "not-the-secret" in shown) == (False, False)


def _looked_at(server: S3Server, options: dict[str, Any]) -> DtsError:
    with pytest.raises(DtsError) as caught:
        server.endpoint(**options).storage(arriving=False).look("a")
    return caught.value


def test_a_service_that_is_not_there_is_unavailable(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dts_fsm.endpoints.s3.service._ATTEMPTS", 1)
    error = _looked(s3_server.endpoint(endpoint_url="http://127.0.0.1:9"))
    assert isinstance(error, UnavailableError)


def test_a_clock_that_is_wrong_is_to_be_set(s3_server: S3Server) -> None:
    def refuse(request: Request) -> None:
        request.answer = 403, b"<Error><Code>RequestTimeTooSkewed</Code><Message>15 minutes</Message></Error>"

    with proxy(s3_server.url, refuse) as url:
        error = _looked(s3_server.endpoint(endpoint_url=url))
    assert isinstance(error, TransientError)
    assert "set it by NTP" in str(error)


def test_who_may_not_look_cannot_say_what_is_staged(s3_server: S3Server) -> None:
    store = s3_server.endpoint(secret_key=Secret("not-the-secret"))
    with pytest.raises(PermanentError, match="check the endpoint's credential"):
        store.files_staged([FILE])
    store.close()


def test_a_bucket_that_is_open_to_all_is_read_by_nobody(s3_server: S3Server, tmp_path: Path) -> None:
    public = s3_server.endpoint(
        bucket=s3_server.other_bucket, access_key_id=None, secret_key=None, anonymous=True, part_bytes=PART
    )
    destination = LocalEndpoint(root=tmp_path)
    for path, content in (("small", b"first"), ("large", content_of(PART + 1))):
        s3_server.client().put_object(
            Bucket=s3_server.other_bucket, Key=f"{public.settings.prefix}{path}", Body=content
        )
        assert move(public, destination, path, content).code == OperationCode.SUCCEEDED
        assert (tmp_path / path).read_bytes() == content
    public.close()
    destination.close()


@pytest.mark.parametrize("profile", [None, "me"])
def test_environment_and_profiles_say_who_asks(
    s3_server: S3Server, folder: LocalEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str | None
) -> None:
    if profile is None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret)
    else:
        file = tmp_path / "credentials"
        secrets = f"aws_access_key_id={s3_server.access_key}\naws_secret_access_key={s3_server.secret}"
        file.write_text(f"[me]\n{secrets}\n", encoding="utf-8")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    store = s3_server.endpoint(access_key_id=None, secret_key=None, profile=profile)
    calls = Calls.of(store)
    assert move(folder, store, "a", b"first").code == OperationCode.SUCCEEDED
    assert move(store, folder, "a", b"first", destination_path="b").code == OperationCode.SUCCEEDED
    # two probes, and nothing of the files: they went the fast way
    assert (calls["PutObject"], calls["GetObject"]) == (2, 0)
    store.close()


@pytest.mark.parametrize("options", [{"etag_md5": False}, {}])
def test_where_etags_are_no_digests_other_checksums_are_compared(
    s3_server: S3Server, folder: LocalEndpoint, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dts_fsm.endpoints.s3.small.md5_of_etag", lambda *_, **__: None)
    store = s3_server.endpoint(**options)
    calls = Calls.of(store)
    assert move(folder, store, "a", b"first").code == OperationCode.SUCCEEDED
    assert move(store, folder, "a", b"first", destination_path="b").code == OperationCode.SUCCEEDED
    assert (Path(folder.root) / "b").read_bytes() == b"first"
    assert (3 if options else 2, 1) == (calls["PutObject"], calls["GetObject"])
    store.close()


@pytest.mark.parametrize(
    ("hidden", "expected"),
    [
        (("x-amz-checksum",), ("transferred", "", False)),
        (("x-amz-checksum", "etag"), ("failed", "error", False)),
    ],
)
def test_a_service_must_say_what_it_has_received(
    s3_server: S3Server, folder: LocalEndpoint, hidden: tuple[str, ...], expected: tuple[str, str, bool]
) -> None:
    content = content_of(PART + 1)
    (Path(folder.root) / "a").write_bytes(content)

    def hide(request: Request) -> None:
        if "partNumber=" in request.path:
            request.hidden = hidden

    with proxy(s3_server.url, hide) as url:
        store = s3_server.endpoint(endpoint_url=url, part_bytes=PART)
        status = move(folder, store, "a", content)
        assert expected == outcome(status), status
        store.close()


@pytest.mark.parametrize("size", [5, PART + 1])
def test_where_a_service_ignores_conditions_files_are_looked_for_before(
    s3_server: S3Server, folder: LocalEndpoint, size: int
) -> None:
    old, new = content_of(size), content_of(size, seed=1)
    (Path(folder.root) / "a").write_bytes(new)

    def ignore(request: Request) -> None:
        request.headers.pop("If-None-Match", None)

    with proxy(s3_server.url, ignore) as url:
        store = s3_server.endpoint(
            endpoint_url=url,
            bucket=s3_server.open_bucket,
            access_key_id=None,
            secret_key=None,
            anonymous=True,  # what is signed cannot be changed on its way
            part_bytes=PART,
        )
        key = f"{store.settings.prefix}a"
        s3_server.client().put_object(Bucket=s3_server.open_bucket, Key=key, Body=old)
        assert store.storage(arriving=True).exclusive is False
        status = move(folder, store, "a", new, overwrite=Overwrite.NEVER)
        assert outcome(status) == ("failed", "exists", False)
        assert s3_server.client().get_object(Bucket=s3_server.open_bucket, Key=key)["Body"].read() == old
        assert move(folder, store, "a", new).files[0].state is FileState.TRANSFERRED
        assert s3_server.client().get_object(Bucket=s3_server.open_bucket, Key=key)["Body"].read() == new
        store.close()
