"""What goes wrong at a service, in our terms; a sentence says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - the library's name
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from dts_fsm.errors import (
    InvalidEndpointConfigError,
    PermanentError,
    TransientError,
    UnauthorizedError,
    UnavailableError,
)


class AbsentError(PermanentError):
    """There is no such key."""


class PreconditionError(PermanentError):
    """What is there is not what the call was to be done for."""


class UploadGoneError(TransientError):
    """The multipart upload was completed or aborted by another."""


class DamagedError(TransientError):
    """The service has received something else than was sent."""


_ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
_DAMAGED = frozenset({"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"})
_LATER = frozenset(
    {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequests", "InternalError"}
)
_REFUSED = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId"})
_ELSEWHERE = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
_NO_IDENTITY = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)


@contextmanager
def told(what: str, bucket: str) -> Iterator[None]:
    """Errors of the library become ours.

    Args:
        what: begins the message: the path, or what was asked for.
        bucket: its name; for messages.
    """
    try:
        yield
    except ClientError as error:
        raise _answered(what, bucket, error) from error
    except ProfileNotFound as error:
        raise InvalidEndpointConfigError(str(error), key="profile") from error
    except _NO_IDENTITY as error:
        raise UnauthorizedError(
            f"{what}: nothing says who asks for the bucket {bucket!r} ({error}): give the endpoint a credential, "
            "a profile, or anonymous: true"
        ) from error
    except SSLError as error:
        raise PermanentError(f"{what}: the service's certificate is not accepted: {error}") from error
    except ParamValidationError as error:
        raise PermanentError(f"{what}: {error}") from error
    except (ConnectionError, HTTPClientError) as error:
        raise UnavailableError(f"{what}: the service of the bucket {bucket!r} cannot be reached: {error}") from error
    except BotoCoreError as error:
        raise TransientError(f"{what}: {error}") from error


def _answered(what: str, bucket: str, error: ClientError) -> Exception:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    said = error.response.get("Error", {}).get("Message") or code
    where = f"{what}: the bucket {bucket!r}"
    if code == "NoSuchBucket":
        return PermanentError(f"{where} does not exist: make it, or correct the endpoint's bucket or endpoint_url")
    if code == "NoSuchUpload":
        return UploadGoneError(f"{what}: the upload has gone")
    if code in _ABSENT:
        return AbsentError(f"{what}: there is no such file")
    if code == "PreconditionFailed" or status == 412:
        return PreconditionError(f"{what}: {said}")
    if code == "RequestTimeTooSkewed":
        return TransientError(f"{what}: this machine's clock and the service's differ too much: set it by NTP ({said})")
    if code in _DAMAGED:
        return DamagedError(f"{what}: it was damaged on its way: {said}")
    if code == "InvalidObjectState":
        return PermanentError(f"{what}: it is in an archive: have it restored first ({said})")
    if code in _LATER or status == 429 or (status >= 500 and status != 501):
        return TransientError(f"{where} cannot be asked now ({code}): {said}")
    if code in _ELSEWHERE or status == 301:
        return PermanentError(f"{where} is in another region: correct the endpoint's region ({said})")
    if status in (401, 403) or code in _REFUSED:
        return UnauthorizedError(
            f"{where} refuses this: {said} ({code}): check the endpoint's credential and its rights"
        )
    if status == 409:
        return TransientError(f"{where} is busy with another call for the same key: {said}")
    return PermanentError(f"{where} cannot do this: {said} ({code})")
