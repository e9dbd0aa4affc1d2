"""Copies inside a service: the bytes do not pass through this machine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import attrs

from dts_fsm.endpoints.s3 import uploads
from dts_fsm.endpoints.s3.bucket import Bucket
from dts_fsm.endpoints.s3.faults import PreconditionError
from dts_fsm.endpoints.s3.multipart import Part
from dts_fsm.endpoints.streaming import Entry
from dts_fsm.errors import DtsError, SourceChangedError, TransientError

_AT_ONCE = 4


@attrs.frozen(kw_only=True)
class Copying:
    """One file that is copied from a bucket to another, or to another key.

    Attributes:
        source_bucket, source_key, entry: what is copied, in exactly this version.
        bucket, key: where it appears.
        operation: whose unfinished copies are replaced.
    """

    source_bucket: Bucket
    source_key: str
    entry: Entry
    bucket: Bucket
    key: str
    operation: str

    def run(self, *, exclusive: bool) -> Entry:
        """Let the copy appear, whole, in one step; give what is there.

        Raises:
            SourceChangedError: the source is not the one that was found.
            FileExistsError: something is there, and ``exclusive`` was asked for; nothing has changed.
            TransientError: the service says that the copy has other content.
        """
        exclusive = uploads.prepared(self.bucket, self.key, exclusive=exclusive)
        try:
            # services know conditions on completions for longer than on copies, and some ignore what they do not know
            if exclusive and self.entry.bytes == 0:
                self._check_source()
                self.bucket.put(self.key, b"", exclusive=True)
            elif exclusive or self.entry.bytes > self.bucket.settings.copy_part_bytes:
                self._in_parts(exclusive=exclusive)
            else:
                self.bucket.copy(self.key, self._named(), self.entry.version)
        except PreconditionError as error:
            raise FileExistsError(self.key) from error
        return self._arrived()

    def _named(self) -> dict[str, str]:
        return {"Bucket": self.source_bucket.settings.bucket, "Key": self.source_key}

    def _check_source(self) -> None:
        found = self.source_bucket.head(self.source_key)
        if found is None or found.entry.version != self.entry.version:
            raise SourceChangedError(f"{self.source_key}: the file changed while it was copied")

    def _in_parts(self, *, exclusive: bool) -> None:
        bucket, size = self.bucket, self.entry.bytes
        # what a killed run has copied does not say of which version it is
        for old in uploads.of_operation(bucket, [self.key], self.operation):
            bucket.multipart.abort(self.key, old.id)
        step = max(bucket.settings.copy_part_bytes, bucket.settings.part_bytes_of(size))
        upload = uploads.begin(bucket, self.key, self.operation)

        def copied(number: int, start: int) -> Part:
            span = f"bytes={start}-{min(start + step, size) - 1}"
            return bucket.multipart.copy_part(self.key, upload, number, self._named(), self.entry.version, span)

        try:
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="dts-s3-copy") as threads:
                starts = range(0, size, step)
                parts = dict(enumerate(threads.map(copied, range(1, len(starts) + 1), starts), 1))
            bucket.multipart.complete(self.key, upload, parts, whole=None, exclusive=exclusive)
        except BaseException:
            with suppress(DtsError):
                bucket.multipart.abort(self.key, upload)
            raise

    def _arrived(self) -> Entry:
        found = self.bucket.head(self.key)
        if found is None:
            raise TransientError(f"{self.key}: the service has copied it, and does not have it")
        for algorithm, digest in found.entry.checksums.items():
            if self.entry.checksums.get(algorithm, digest) != digest:
                raise TransientError(f"{self.key}: the service's copy has another {algorithm} than its source")
        return found.entry
