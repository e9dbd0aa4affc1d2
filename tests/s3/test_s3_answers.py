"""Every refusal of a service becomes one of our errors, which says whether to try again, and what to do."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    ParamValidationError,
    ProfileNotFound,
    ReadTimeoutError,
    SSLError,
)

from dts_fsm.endpoints.s3.faults import AbsentError, DamagedError, PreconditionError, UploadGoneError, told
from dts_fsm.endpoints.s3.settings import S3Settings
from dts_fsm.endpoints.s3.storage import BucketStorage
from dts_fsm.endpoints.s3.uploads import begin, is_marked, of_operation
from dts_fsm.errors import (
    InvalidEndpointConfigError,
    PermanentError,
    TransientError,
    UnauthorizedError,
    UnavailableError,
)
from tests.s3.moves import PART
from tests.servers.s3 import S3Server


@pytest.mark.parametrize(
    ("code", "status", "kind", "words"),
    [
        ("NoSuchBucket", 404, PermanentError, "does not exist: make it"),
        ("NoSuchUpload", 404, UploadGoneError, "has gone"),
        ("NoSuchKey", 404, AbsentError, "no such file"),
        ("404", 404, AbsentError, "no such file"),
        ("PreconditionFailed", 412, PreconditionError, "said"),
        ("412", 412, PreconditionError, "said"),
        ("RequestTimeTooSkewed", 403, TransientError, "set it by NTP"),
        ("BadDigest", 400, DamagedError, "damaged on its way"),
        ("InvalidObjectState", 403, PermanentError, "have it restored first"),
        ("SlowDown", 503, TransientError, "cannot be asked now"),
        ("RequestTimeout", 400, TransientError, "cannot be asked now"),
        ("500", 500, TransientError, "cannot be asked now"),
        ("429", 429, TransientError, "cannot be asked now"),
        ("NotImplemented", 501, PermanentError, "cannot do this"),
        ("PermanentRedirect", 301, PermanentError, "correct the endpoint's region"),
        ("AuthorizationHeaderMalformed", 400, PermanentError, "correct the endpoint's region"),
        ("AccessDenied", 403, UnauthorizedError, "check the endpoint's credential"),
        ("401", 401, UnauthorizedError, "check the endpoint's credential"),
        ("ExpiredToken", 400, UnauthorizedError, "check the endpoint's credential"),
        ("ConditionalRequestConflict", 409, TransientError, "busy with another call"),
        ("EntityTooLarge", 400, PermanentError, "cannot do this"),
    ],
)
def test_an_answer_becomes_an_error_of_ours(code: str, status: int, kind: type[Exception], words: str) -> None:
    answer: Any = {"Error": {"Code": code, "Message": "said"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(kind, match=words) as caught, told("a", "data"):
        raise ClientError(answer, "PutObject")
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ProfileNotFound(profile="me"), InvalidEndpointConfigError),
        (CredentialRetrievalError(provider="x", error_msg="y"), UnauthorizedError),
        (SSLError(endpoint_url="https://x", error="y"), PermanentError),
        (ParamValidationError(report="x"), PermanentError),
        (EndpointConnectionError(endpoint_url="https://x"), UnavailableError),
        (ReadTimeoutError(endpoint_url="https://x"), UnavailableError),
        (BotoCoreError(), TransientError),
    ],
)
def test_what_the_library_raises_becomes_an_error_of_ours(error: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught, told("a", "data"):
        raise error
    assert (kind, error) == (type(caught.value), caught.value.__cause__)


def test_only_buckets_of_one_service_and_one_who_asks_reach_each_other() -> None:
    settings = S3Settings(bucket="a", endpoint_url="https://x", access_key_id="me")
    others = [
        S3Settings(bucket="b", endpoint_url="https://x", access_key_id="me", prefix="else/"),
        S3Settings(bucket="a", endpoint_url="https://y", access_key_id="me"),
        S3Settings(bucket="a", endpoint_url="https://x", access_key_id="you"),
        S3Settings(bucket="a", endpoint_url="https://x", access_key_id="me", region="r"),
    ]
    assert [settings.reaches(other) for other in others] == [True, False, False, False]


def test_an_upload_that_has_gone_is_nobodys_and_is_not_gone_on_with(s3_server: S3Server) -> None:
    store = s3_server.endpoint()
    storage = store.storage(arriving=True)
    assert isinstance(storage, BucketStorage)
    bucket, key = storage.bucket, storage.key("a")
    begin(bucket, key, "op")
    (upload,) = of_operation(bucket, [key], "op")
    assert [upload] == list(of_operation(bucket, [storage.key(f"{n}") for n in range(200)] + [key], "op"))
    writing = storage.write("a", num_bytes=2 * PART, operation="op", version="1")
    bucket.multipart.abort(key, upload.id)
    assert (is_marked(bucket, upload, "op"), is_marked(bucket, upload, None)) == (False, False)
    with pytest.raises(TransientError):
        writing.put(0, bytes(PART))
    with pytest.raises(TransientError):
        writing.complete(None, exclusive=False)
    writing.discard()
    store.close()


def test_parts_are_listed_page_by_page(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = s3_server.endpoint()
    storage = store.storage(arriving=True)
    assert isinstance(storage, BucketStorage)
    bucket, key = storage.bucket, storage.key("a")
    upload = begin(bucket, key, "op")
    for number in range(1, 6):
        bucket.multipart.put_part(key, upload, number, b"%d" % number, bucket.checksum.of(b"%d" % number))
    call = bucket.service.call
    monkeypatch.setattr(bucket.service, "call", lambda name, key, **given: call(name, key, MaxParts=2, **given))
    assert list(bucket.multipart.parts(key, upload)) == [1, 2, 3, 4, 5, 10_000]
    store.close()
