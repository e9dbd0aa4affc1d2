"""The fast way for small objects: one call of a library that needs a fraction of the other's processor time.

It does not say why a call has failed, and cannot have keys of every form. Where it gives no answer, the ``Bucket`` is
asked, and that one's errors are told.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from dts_fsm.endpoints.s3.bucket import Bucket
from dts_fsm.endpoints.s3.digests import md5, md5_of_etag
from dts_fsm.endpoints.s3.faults import PreconditionError
from dts_fsm.errors import SizeMismatchError, UnauthorizedError

_CREDENTIALS_TTL = timedelta(minutes=5)


class SmallObjects:
    """Small objects of a bucket; safe for threads."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._store = _store(bucket)
        self._usable = bucket.settings.etag_md5  # else nothing says that what came is what was sent

    def get(self, key: str, num_bytes: int) -> tuple[str, bytes] | None:
        """Give the version of an object, and its content; None where this is not the way to have it.

        Raises:
            SizeMismatchError: it has another size; nothing of it was read.
        """
        if not self._usable or not _plain(key):
            return None
        try:
            answer = obstore.get(self._store, key)
            if answer.meta["size"] != num_bytes:
                raise SizeMismatchError(key, num_bytes, answer.meta["size"])
            content = bytes(answer.bytes())
        except (BaseError, OSError):
            return None
        version = (answer.meta["e_tag"] or "").strip('"')
        return (version, content) if self._confirmed(content, version) else None

    def put(self, key: str, content: bytes, *, exclusive: bool) -> str | None:
        """Put an object, and give its version; None where this is not the way to do it.

        The service compares it with the SHA-256 that is sent beside it.

        Raises:
            PreconditionError: something has that key, and ``exclusive`` was asked for.
        """
        if not self._usable or not _plain(key):
            return None
        try:
            answer = obstore.put(
                self._store, key, content, mode="create" if exclusive else "overwrite", use_multipart=False
            )
        except AlreadyExistsError as error:
            raise PreconditionError(f"{key}: something is there") from error
        except (BaseError, OSError):
            return None
        version = (answer["e_tag"] or "").strip('"')
        if self._confirmed(content, version):
            return version
        found = self._bucket.head(key)
        if found is not None and found.entry.checksums.get("sha256") == hashlib.sha256(content).hexdigest():
            return version
        return None

    def _confirmed(self, content: bytes, version: str) -> bool:
        if md5_of_etag(version, encryption=None) == md5(content):
            return True
        self._usable = False  # the service's ETags say nothing of the content
        return False


def _plain(key: str) -> bool:
    """Whether the library leaves a key as it is: it takes some signs for separators."""
    return "\\" not in key and "//" not in key and not key.startswith("/") and not key.endswith("/")


def _store(bucket: Bucket) -> S3Store:
    settings, url = bucket.settings, bucket.settings.endpoint_url
    plain = url is not None and urlsplit(url).scheme == "http"
    if url is not None and not settings.path_style:
        scheme, _, rest = url.partition("://")
        url = f"{scheme}://{settings.bucket}.{rest}"
    options: dict[str, Any] = {"endpoint": url} if url is not None else {}
    if settings.anonymous:
        options["skip_signature"] = True
    else:
        options["credential_provider"] = _Credentials(bucket)
    return S3Store(
        settings.bucket,
        region=bucket.service.region,
        virtual_hosted_style_request=not settings.path_style,
        checksum_algorithm="SHA256",
        client_options={
            "allow_http": plain,
            "connect_timeout": timedelta(seconds=10),
            "timeout": timedelta(seconds=60),
        },
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=60)},
        **options,
    )


class _Credentials:
    """The identity of the bucket's session, for the other library."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def __call__(self) -> Any:
        settings = self._bucket.settings
        expires_at = datetime.now(UTC) + _CREDENTIALS_TTL
        if settings.secret_key is not None:
            token = settings.session_token
            return {
                "access_key_id": settings.access_key_id,
                "secret_access_key": settings.secret_key.reveal(),
                "token": token.reveal() if token else None,
                "expires_at": expires_at,
            }
        found = self._bucket.service.session.get_credentials()
        if found is None:
            raise UnauthorizedError("nothing says who asks")
        frozen = found.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": expires_at,
        }
