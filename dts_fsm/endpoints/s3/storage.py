"""The files of a bucket as a storage."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from dts_fsm.endpoints.s3 import uploads
from dts_fsm.endpoints.s3.bucket import Bucket
from dts_fsm.endpoints.s3.copies import Copying
from dts_fsm.endpoints.s3.small import SmallObjects
from dts_fsm.endpoints.streaming import Entry, Storage, Writing
from dts_fsm.errors import DtsError, PermanentError, SizeMismatchError, UnsafePathError
from dts_fsm.records.checks import normal_path, path_fault

_MAX_KEY_BYTES = 1024
"""Source: Amazon S3 user guide, "Naming Amazon S3 objects"."""

_SMALL_BYTES = 8 << 20
"""Each worker has one small file in memory, however large the parts of others are."""


class BucketStorage:
    """The keys of a bucket that begin with the endpoint's root."""

    def __init__(self, bucket: Bucket, small: SmallObjects, name: str) -> None:
        self.name, self.bucket = name, bucket
        self.part_bytes = min(bucket.settings.part_bytes, _SMALL_BYTES)
        self._small = small

    @property
    def exclusive(self) -> bool:
        """See ``Storage``."""
        return self.bucket.conditional

    def key(self, path: str) -> str:
        """Give the key of a path.

        Raises:
            UnsafePathError: it would lead elsewhere.
            PermanentError: it is longer than a key can be.
        """
        if fault := path_fault(path):
            raise UnsafePathError(fault)
        key = self.bucket.settings.prefix + normal_path(path)
        if len(key.encode()) > _MAX_KEY_BYTES:
            raise PermanentError(f"{path}: its key would be longer than {_MAX_KEY_BYTES} bytes")
        return key

    def look(self, path: str) -> Entry | None:
        """See ``Storage``."""
        found = self.bucket.head(self.key(path))
        return None if found is None else found.entry

    def fetch(self, path: str, num_bytes: int) -> tuple[Entry, bytes] | None:
        """See ``Storage``."""
        key = self.key(path)
        if (quick := self._small.get(key, num_bytes)) is not None:
            version, content = quick
            return Entry(bytes=num_bytes, version=version), content
        if (entry := self.look(path)) is None:
            return None
        if entry.bytes != num_bytes:
            raise SizeMismatchError(path, num_bytes, entry.bytes)
        return entry, self.bucket.get_whole(key, entry.version, num_bytes)

    def read(self, path: str, entry: Entry, start: int, stop: int) -> bytes:
        """See ``Storage``."""
        return self.bucket.get(self.key(path), entry.version, start, stop)

    def write(self, path: str, *, num_bytes: int, operation: str, version: str) -> Writing:
        """See ``Storage``; parts of another version are recognized by their content."""
        del version
        key = self.key(path)
        part_bytes = self.bucket.settings.part_bytes
        if num_bytes <= part_bytes:
            return uploads.SingleWriting(self.bucket, self._small, key, part_bytes=part_bytes)
        return uploads.MultipartWriting(self.bucket, key, operation, num_bytes=num_bytes)

    def clear(self, paths: Collection[str], operation: str) -> None:
        """See ``Storage``."""
        keys = []
        for path in paths:
            with suppress(PermanentError):
                keys.append(self.key(path))
        with suppress(DtsError):
            for upload in uploads.of_operation(self.bucket, keys, operation):
                with suppress(DtsError):
                    self.bucket.multipart.abort(upload.key, upload.id)

    def can_copy(self, source: Storage) -> bool:
        """True for the buckets that one request can name beside this."""
        return isinstance(source, BucketStorage) and self.bucket.settings.reaches(source.bucket.settings)

    def copy(
        self, source: Storage, source_path: str, entry: Entry, path: str, *, operation: str, exclusive: bool
    ) -> Entry:
        """See ``Storage``."""
        if not isinstance(source, BucketStorage):
            raise TypeError("only buckets can be copied from: ask can_copy first")
        return Copying(
            source_bucket=source.bucket,
            source_key=source.key(source_path),
            entry=entry,
            bucket=self.bucket,
            key=self.key(path),
            operation=operation,
        ).run(exclusive=exclusive)
