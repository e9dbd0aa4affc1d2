"""The objects of one bucket, by key."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import attrs

from dts_fsm.endpoints.s3.digests import PartChecksum, whole_checksums
from dts_fsm.endpoints.s3.faults import AbsentError, PreconditionError, told
from dts_fsm.endpoints.s3.multipart import Multipart, condition
from dts_fsm.endpoints.s3.service import Service
from dts_fsm.endpoints.s3.settings import S3Settings
from dts_fsm.endpoints.streaming import Entry
from dts_fsm.errors import DtsError, PermanentError, SourceChangedError, UnauthorizedError

_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})

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


class Bucket:
    """One bucket; safe for threads, raises as ``Service`` does.

    Attributes:
        service: who is asked.
        multipart: what is put in parts.
        checksum: what is sent with what is put.
    """

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self.checksum = PartChecksum(settings.checksum)
        self.service = Service(settings)
        self.multipart = Multipart(self.service, self.checksum)
        self._conditional: bool | None = None
        self._probing = threading.Lock()
        self._seen = False

    # Reading

    def head(self, key: str) -> Head | None:
        """Give what is there; None where there is nothing."""
        try:
            found = self.service.call("head_object", key, ChecksumMode="ENABLED")
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
                bytes=found.get("ContentLength", 0),
                version=_version(key, found),
                checksums=whole_checksums(found, etag_md5=self.settings.etag_md5),
            ),
            at_hand=not archived,
            media_type=found.get("ContentType"),
            modified_at=found.get("LastModified"),
            metadata=dict(found.get("Metadata") or {}),
        )

    def get(self, key: str, version: str, start: int, stop: int) -> bytes:
        """Give a range of this version's bytes, all of them.

        Raises:
            SourceChangedError: the object has gone, or is another.
        """
        if start == stop:
            found = self.head(key)
            if found is None or found.entry.version != version:
                raise SourceChangedError(f"{key}: the file changed while it was read")
            return b""
        return self._got(key, version, stop - start, Range=f"bytes={start}-{stop - 1}")

    def get_whole(self, key: str, version: str, num_bytes: int) -> bytes:
        """Give an object of this version and size; it is compared with the checksum that the service has of it.

        Raises:
            SourceChangedError: the object has gone, or is another.
        """
        return self._got(key, version, num_bytes, ChecksumMode="ENABLED")

    def _got(self, key: str, version: str, num_bytes: int, **arguments: str) -> bytes:
        try:
            answer = self.service.call("get_object", key, IfMatch=f'"{version}"', **arguments)
        except (AbsentError, PreconditionError) as error:
            raise SourceChangedError(f"{key}: the file changed while it was read") from error
        with answer["Body"] as body, told(key, self.settings.bucket):
            # before it is read: there may be more than fits the memory
            if answer.get("ContentLength") != num_bytes or _version(key, answer) != version:
                raise SourceChangedError(f"{key}: {num_bytes} bytes of the file were asked for, and others came")
            content: bytes = body.read()
        return content

    def _check_bucket(self) -> None:
        """An answer without a body does not say whether it is the key or the bucket that does not exist."""
        if not self._seen:
            next(self.keys(self.settings.prefix), None)
            self._seen = True

    def _explain(self, key: str) -> None:
        """Answers to HEAD have no body: ask for a byte, and have the reason."""
        self.service.call("get_object", key, Range="bytes=0-0")["Body"].close()

    def keys(self, prefix: str) -> Iterator[str]:
        """Give the keys that begin so, in the order of their bytes; a page is asked for when it is needed."""
        for page in self.service.pages("list_objects_v2", prefix):
            for item in page.get("Contents", ()):
                yield item["Key"]

    # Writing

    def put(self, key: str, content: bytes, *, exclusive: bool) -> str:
        """Put a whole object, and give its version.

        Raises:
            PreconditionError: something has that key, and ``exclusive`` was asked for.
        """
        value = self.checksum.of(content)
        answer = self.service.call("put_object", key, Body=content, **self.checksum.sent(value), **condition(exclusive))
        return _version(key, answer)

    def delete(self, key: str) -> None:
        """There is nothing at the key. Idempotent."""
        self.service.call("delete_object", key)

    @property
    def conditional(self) -> bool:
        """Whether the service puts an object only where there is none, if it is asked to; found out once."""
        with self._probing:
            if self._conditional is None:
                self._conditional = self._probed()
            return self._conditional

    def _probed(self) -> bool:
        key = f"{self.settings.prefix}{PROBE_PREFIX}{secrets.token_hex(8)}"
        self.put(key, b"", exclusive=False)
        try:
            self.put(key, b"", exclusive=True)
        except PreconditionError:
            return True
        else:
            return False
        finally:
            with suppress(DtsError):  # who may put need not be allowed to delete
                self.delete(key)

    def copy(self, key: str, source: dict[str, str], version: str) -> None:
        """Copy a whole object of up to 5 GiB.

        Raises:
            SourceChangedError: the source is of another version.
        """
        try:
            self.service.call("copy_object", key, CopySource=source, CopySourceIfMatch=f'"{version}"')
        except (AbsentError, PreconditionError) as error:
            raise SourceChangedError(f"{source['Key']}: the file changed while it was copied") from error


def _version(key: str, answer: Mapping[str, Any]) -> str:
    """Give the ETag of an answer, without quotation marks."""
    etag = str(answer.get("ETag") or "").strip('"')
    if not etag:
        raise PermanentError(f"{key}: the service gives no ETag, without which nobody knows which content this is")
    return etag
