"""The calls of one bucket, by key. What libraries answer, and what they raise, goes no further than this."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import attrs
import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.loaders import create_loader
from botocore.session import get_session

from dts_fsm.endpoints.s3.digests import PartChecksum, whole_checksums
from dts_fsm.endpoints.s3.faults import AbsentError, PreconditionError, told
from dts_fsm.endpoints.s3.settings import S3Settings
from dts_fsm.endpoints.streaming import Entry
from dts_fsm.errors import SourceChangedError, TransientError, UnauthorizedError

_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 60
_ATTEMPTS = 5
_CONNECTIONS = 64
_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})

_LOADER = create_loader()
"""Has the description of the service, which takes longer to read than all else that a client is made of."""

PROBE_PREFIX = ".dts-probe-"
"""How the key begins, below the root, of the object by which it is found out what a service can."""


@attrs.frozen(kw_only=True)
class Head:
    """What a service says of an object.

    Attributes:
        entry: as a storage has it.
        at_hand: whether it can be read now: it is not in an archive.
        media_type: its Content-Type, or None.
        modified_at: when it appeared.
        metadata: what its owner has written beside it.
    """

    entry: Entry
    at_hand: bool
    media_type: str | None
    modified_at: datetime | None
    metadata: dict[str, str]


@attrs.frozen(kw_only=True)
class Part:
    """A part of an unfinished upload.

    Attributes:
        etag: without quotation marks.
        checksum: in base64, or None where the service does not say it.
    """

    bytes: int
    etag: str
    checksum: str | None


@attrs.frozen(kw_only=True)
class Upload:
    """An unfinished multipart upload."""

    key: str
    id: str
    started_at: datetime


class Bucket:
    """One bucket; safe for threads. Nothing is asked before the first call.

    Everything raises ``TransientError``, ``PermanentError`` and ``UnauthorizedError``.
    """

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self.checksum = PartChecksum(settings.checksum)
        self._lock = threading.Lock()
        self._session: Any = None
        self._client: Any = None
        self._conditional: bool | None = None
        self._seen = False

    # The library's own objects

    @property
    def session(self) -> Any:
        """The session that knows who asks."""
        with self._lock:
            return self._made_session()

    @property
    def client(self) -> Any:
        """The client, made when it is first asked for."""
        if self._client is None:
            with self._lock, told("the endpoint", self.settings.bucket):
                if self._client is None:
                    self._client = self._made_client()
        return self._client

    def _made_session(self) -> Any:
        if self._session is None:
            with told("the endpoint", self.settings.bucket):
                session = get_session()
                session.register_component("data_loader", _LOADER)
                self._session = boto3.session.Session(botocore_session=session, profile_name=self.settings.profile)
        return self._session

    def _made_client(self) -> Any:
        settings, session = self.settings, self._made_session()
        revealed = {
            argument: secret.reveal()
            for argument, secret in (
                ("aws_secret_access_key", settings.secret_key),
                ("aws_session_token", settings.session_token),
            )
            if secret is not None
        }
        config = Config(
            signature_version=UNSIGNED if settings.anonymous else None,
            s3={"addressing_style": "path" if settings.path_style else "auto"},
            # ours are sent by name; the library would compute another for each call that has none
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_READ_TIMEOUT_S,
            max_pool_connections=_CONNECTIONS,
            tcp_keepalive=True,
        )
        return session.client(
            "s3",
            region_name=settings.region or session.region_name or "us-east-1",
            endpoint_url=settings.endpoint_url,
            aws_access_key_id=settings.access_key_id,
            config=config,
            **revealed,
        )

    def _call(self, operation: str, key: str | None, what: str, **arguments: Any) -> Any:
        if key is not None:
            arguments["Key"] = key
        with told(what, self.settings.bucket):
            return getattr(self.client, operation)(Bucket=self.settings.bucket, **arguments)

    def close(self) -> None:
        """Close the connections; the bucket remains usable. Idempotent."""
        with self._lock:
            client, self._client, self._session = self._client, None, None
        if client is not None:
            client.close()

    # Reading

    def head(self, key: str) -> Head | None:
        """Give what is there; None where there is nothing."""
        try:
            found = self._call("head_object", key, key, ChecksumMode="ENABLED")
        except AbsentError:
            self._check_bucket()
            return None
        except UnauthorizedError:
            self._explain(key)
            raise
        self._seen = True
        archived = found.get("StorageClass") in _ARCHIVES and 'ongoing-request="false"' not in found.get("Restore", "")
        return Head(
            entry=Entry(
                bytes=found["ContentLength"],
                version=found["ETag"].strip('"'),
                checksums=whole_checksums(found, etag_md5=self.settings.etag_md5),
            ),
            at_hand=not archived,
            media_type=found.get("ContentType"),
            modified_at=found.get("LastModified"),
            metadata=dict(found.get("Metadata") or {}),
        )

    def get(self, key: str, version: str, start: int, stop: int) -> bytes:
        """Give a range of this version's bytes, all of them; a whole object is compared with its checksum.

        Raises:
            SourceChangedError: the object has gone, or is another.
        """
        if start == stop:
            found = self.head(key)
            if found is None or found.entry.version != version:
                raise SourceChangedError(f"{key}: the file changed while it was read")
            return b""
        try:
            answer = self._call("get_object", key, key, IfMatch=f'"{version}"', Range=f"bytes={start}-{stop - 1}")
        except (AbsentError, PreconditionError) as error:
            raise SourceChangedError(f"{key}: the file changed while it was read") from error
        with answer["Body"] as body, told(key, self.settings.bucket):
            content: bytes = body.read(stop - start + 1)
        if len(content) != stop - start or answer["ETag"].strip('"') != version:
            raise SourceChangedError(f"{key}: {stop - start} bytes were asked for, and {len(content)} came")
        return content

    def _check_bucket(self) -> None:
        """An answer without a body does not say whether it is the key or the bucket that does not exist."""
        if not self._seen:
            self.keys("", limit=1)
            self._seen = True

    def _explain(self, key: str) -> None:
        """Answers to HEAD have no body: ask for a byte, and have the reason."""
        self._call("get_object", key, key, Range="bytes=0-0")["Body"].close()

    def keys(self, prefix: str, limit: int | None = None) -> list[tuple[str, int]]:
        """Give keys that begin so, in their order, with the sizes of their objects; at most ``limit``."""
        pages = self._pages("list_objects_v2", prefix, PageSize=min(limit or 1000, 1000))
        found = []
        for page in pages:
            found += [(item["Key"], item["Size"]) for item in page.get("Contents", ())]
            if limit is not None and len(found) >= limit:
                break
        return found[:limit]

    def _pages(self, operation: str, prefix: str, **config: int) -> Iterator[Any]:
        with told(f"the keys below {prefix!r}", self.settings.bucket):
            pages = self.client.get_paginator(operation).paginate(
                Bucket=self.settings.bucket, Prefix=prefix, PaginationConfig=config
            )
            yield from pages

    # Writing

    def put(self, key: str, content: bytes, *, exclusive: bool) -> str:
        """Put a whole object, and give its version.

        Raises:
            PreconditionError: something has that key, and ``exclusive`` was asked for.
        """
        value = self.checksum.of(content)
        answer = self._call("put_object", key, key, Body=content, **self.checksum.sent(value), **_condition(exclusive))
        return answer["ETag"].strip('"')  # type: ignore[no-any-return]

    def delete(self, key: str) -> None:
        """There is nothing at the key. Idempotent."""
        self._call("delete_object", key, key)

    @property
    def conditional(self) -> bool:
        """Whether the service puts an object only where there is none, if it is asked to; found out once."""
        if self._conditional is None:
            key = f"{self.settings.prefix}{PROBE_PREFIX}{secrets.token_hex(8)}"
            self.put(key, b"", exclusive=False)
            try:
                self.put(key, b"", exclusive=True)
                self._conditional = False
            except PreconditionError:
                self._conditional = True
            finally:
                self.delete(key)
        return self._conditional

    # Unfinished uploads

    def uploads(self, prefix: str) -> list[Upload]:
        """Give the unfinished multipart uploads of keys that begin so."""
        return [
            Upload(key=item["Key"], id=item["UploadId"], started_at=item["Initiated"])
            for page in self._pages("list_multipart_uploads", prefix)
            for item in page.get("Uploads", ())
        ]

    def begin(self, key: str) -> str:
        """Begin a multipart upload, and give its id."""
        return self._call("create_multipart_upload", key, key, **self.checksum.upload)["UploadId"]  # type: ignore[no-any-return]

    def parts(self, key: str, upload: str, *, after: int = 0) -> dict[int, Part]:
        """Give the parts of an upload by their numbers, those after a number."""
        found: dict[int, Part] = {}
        while True:
            answer = self._call("list_parts", key, key, UploadId=upload, PartNumberMarker=after)
            for item in answer.get("Parts", ()):
                found[item["PartNumber"]] = Part(
                    bytes=item["Size"],
                    etag=item["ETag"].strip('"'),
                    checksum=item.get(self.checksum.name) if self.checksum.name else None,
                )
            after = answer.get("NextPartNumberMarker") or 0
            if not answer.get("IsTruncated") or not after:
                return found

    def put_part(self, key: str, upload: str, number: int, content: bytes, value: str) -> Part:
        """Put a part with its checksum in base64.

        Raises:
            TransientError: the service has received something else.
        """
        answer = self._call(
            "upload_part", key, key, UploadId=upload, PartNumber=number, Body=content, **self.checksum.sent(value)
        )
        checksum = answer.get(self.checksum.name) if self.checksum.name else None
        if checksum not in (None, value):
            raise TransientError(f"{key}: part {number} was damaged on its way: {value} was sent, {checksum} received")
        return Part(bytes=len(content), etag=answer["ETag"].strip('"'), checksum=checksum)

    def copy_part(self, key: str, upload: str, number: int, source: dict[str, str], version: str, span: str) -> Part:
        """Copy a range of another object as a part.

        Raises:
            SourceChangedError: the source is of another version.
        """
        try:
            answer = self._call(
                "upload_part_copy",
                key,
                key,
                UploadId=upload,
                PartNumber=number,
                CopySource=source,
                CopySourceIfMatch=f'"{version}"',
                CopySourceRange=span,
            )["CopyPartResult"]
        except (AbsentError, PreconditionError) as error:
            raise SourceChangedError(f"{source['Key']}: the file changed while it was copied") from error
        return Part(bytes=0, etag=answer["ETag"].strip('"'), checksum=answer.get(self.checksum.name or "-"))

    def copy(self, key: str, source: dict[str, str], version: str) -> None:
        """Copy a whole object of up to 5 GiB.

        Raises:
            SourceChangedError: the source is of another version.
        """
        try:
            self._call("copy_object", key, key, CopySource=source, CopySourceIfMatch=f'"{version}"')
        except (AbsentError, PreconditionError) as error:
            raise SourceChangedError(f"{source['Key']}: the file changed while it was copied") from error

    def complete(self, key: str, upload: str, parts: dict[int, Part], *, whole: str | None, exclusive: bool) -> str:
        """Let the object of these parts appear, and give its version.

        Raises:
            PreconditionError: something has that key, and ``exclusive`` was asked for.
            UploadGoneError: there is no such upload any more.
        """
        listed = [
            {"PartNumber": number, "ETag": f'"{part.etag}"'}
            | ({self.checksum.name: part.checksum} if part.checksum else {})
            for number, part in sorted(parts.items())
        ]
        arguments = {self.checksum.name: whole, "ChecksumType": "FULL_OBJECT"} if whole else {}
        answer = self._call(
            "complete_multipart_upload",
            key,
            key,
            UploadId=upload,
            MultipartUpload={"Parts": listed},
            **arguments,
            **_condition(exclusive),
        )
        return answer["ETag"].strip('"')  # type: ignore[no-any-return]

    def abort(self, key: str, upload: str) -> None:
        """There is no such upload, and none of its parts."""
        self._call("abort_multipart_upload", key, key, UploadId=upload)


def _condition(exclusive: bool) -> dict[str, str]:
    return {"IfNoneMatch": "*"} if exclusive else {}
