"""Files that are being written to a bucket: small ones by one call, large ones in parts that are found again."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress

from dts_fsm.endpoints.s3.bucket import Bucket
from dts_fsm.endpoints.s3.digests import md5
from dts_fsm.endpoints.s3.faults import PreconditionError, UploadGoneError
from dts_fsm.endpoints.s3.multipart import Part, Upload
from dts_fsm.endpoints.s3.small import SmallObjects
from dts_fsm.endpoints.streaming import Entry
from dts_fsm.errors import DtsError, PermanentError
from dts_fsm.records import Checksum

MARK_NUMBER = 10_000
"""The part that says whose an upload is. It is never completed, and so no object has it."""

_MARK = b"dts-fsm "
_MAX_LISTED_ALONE = 100


def mark(operation: str) -> bytes:
    """Give the content of the part that marks an upload as one of this operation; all are of one size."""
    return _MARK + hashlib.sha256(operation.encode()).hexdigest().encode()


_MARK_BYTES = len(mark(""))


def begin(bucket: Bucket, key: str, operation: str) -> str:
    """Begin an upload that can be found again, and give its id."""
    upload, content = bucket.multipart.begin(key), mark(operation)
    bucket.multipart.put_part(key, upload, MARK_NUMBER, content, bucket.checksum.of(content))
    return upload


def is_marked(bucket: Bucket, upload: Upload, operation: str | None) -> bool:
    """Whether an upload is one of this operation; None: whether it is one of any of ours."""
    try:
        found = bucket.multipart.parts(upload.key, upload.id, after=MARK_NUMBER - 1).get(MARK_NUMBER)
    except UploadGoneError:
        return False
    if found is None or found.bytes != _MARK_BYTES:
        return False
    return operation is None or is_content(bucket, found, mark(operation))


def is_content(bucket: Bucket, part: Part, content: bytes) -> bool:
    """Whether a part that was put before has this content, as far as the service tells."""
    if part.bytes != len(content):
        return False
    if part.checksum is not None:
        return part.checksum == bucket.checksum.of(content)
    return part.etag == md5(content)


def of_operation(bucket: Bucket, keys: Collection[str], operation: str) -> Iterator[Upload]:
    """Give the unfinished uploads of an operation to these keys."""
    wanted = set(keys)
    # some services list uploads only by whole keys; by how many keys begin, it is one call instead of as many
    prefixes = {key: {key} for key in wanted} if len(wanted) <= _MAX_LISTED_ALONE else {_common(wanted): wanted}
    for prefix, meant in prefixes.items():
        for upload in bucket.multipart.uploads(prefix):
            if upload.key in meant and is_marked(bucket, upload, operation):
                yield upload


def _common(keys: Iterable[str]) -> str:
    """Give how all of them begin."""
    first, last = min(keys, default=""), max(keys, default="")
    return first[: next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]


class SingleWriting:
    """A file that is put by one call, when it is completed."""

    in_order = False
    checked = True

    def __init__(self, bucket: Bucket, small: SmallObjects, key: str, *, part_bytes: int) -> None:
        self._bucket, self._small, self._key, self.part_bytes = bucket, small, key, part_bytes
        self._content = b""

    def has(self, number: int, content: bytes) -> bool:  # noqa: ARG002 - the contract's
        """Never; see ``Writing``."""
        return False

    def recall(self, number: int) -> bytes | None:  # noqa: ARG002 - the contract's
        """Give nothing; see ``Writing``."""
        return None

    def put(self, number: int, content: bytes) -> None:  # noqa: ARG002 - there is one
        """See ``Writing``."""
        self._content = content

    def complete(self, checksum: Checksum | None, *, exclusive: bool) -> Entry:  # noqa: ARG002 - its own is sent
        """See ``Writing``."""
        exclusive = prepared(self._bucket, self._key, exclusive=exclusive)
        try:
            version = self._small.put(self._key, self._content, exclusive=exclusive)
            if version is None:
                version = self._bucket.put(self._key, self._content, exclusive=exclusive)
        except PreconditionError as error:
            raise FileExistsError(self._key) from error
        return Entry(bytes=len(self._content), version=version)

    def leave(self) -> None:
        """Nothing was sent yet."""

    def discard(self) -> None:
        """Nothing was sent yet."""


class MultipartWriting:
    """A file that is put in parts. An upload of the same operation that was left unfinished is gone on with."""

    in_order = False
    checked = True

    def __init__(self, bucket: Bucket, key: str, operation: str, *, num_bytes: int) -> None:
        self._bucket, self._key, self._num_bytes = bucket, key, num_bytes
        self.part_bytes = bucket.settings.part_bytes_of(num_bytes)
        self._done: dict[int, Part] = {}
        self._found: dict[int, Part] = {}
        self._open = True
        for upload in of_operation(bucket, [key], operation):
            with suppress(UploadGoneError):
                self._found = bucket.multipart.parts(key, upload.id)
                self._upload = upload.id
                return
        self._upload = begin(bucket, key, operation)

    def has(self, number: int, content: bytes) -> bool:
        """See ``Writing``."""
        part = self._found.get(number + 1)
        if part is None or not is_content(self._bucket, part, content):
            return False
        value = self._bucket.checksum.of(content)
        self._done[number + 1] = Part(bytes=part.bytes, etag=part.etag, checksum=value)
        return True

    def recall(self, number: int) -> bytes | None:  # noqa: ARG002 - the contract's
        """Give nothing: what a service has of an unfinished upload cannot be read."""
        return None

    def put(self, number: int, content: bytes) -> None:
        """See ``Writing``."""
        value = self._bucket.checksum.of(content)
        part = self._bucket.multipart.put_part(self._key, self._upload, number + 1, content, value)
        if part.checksum is None and self._bucket.checksum.name and part.etag != md5(content):
            raise PermanentError(
                f"{self._key}: the service does not say what it has received: set the endpoint's checksum to 'md5'"
            )
        self._done[number + 1] = Part(bytes=part.bytes, etag=part.etag, checksum=value if part.checksum else None)

    def complete(self, checksum: Checksum | None, *, exclusive: bool) -> Entry:  # noqa: ARG002 - of its own kind
        """See ``Writing``."""
        bucket, parts = self._bucket, self._done
        exclusive = prepared(bucket, self._key, exclusive=exclusive)
        values = [(part.checksum, part.bytes) for _, part in sorted(parts.items())]
        known = [(value, num_bytes) for value, num_bytes in values if value is not None]
        whole = bucket.checksum.whole(known) if len(known) == len(values) else None
        try:
            version = bucket.multipart.complete(self._key, self._upload, parts, whole=whole, exclusive=exclusive)
        except (PreconditionError, UploadGoneError) as error:
            # the library makes a call again whose answer was lost: it may have been this upload that appeared
            there = bucket.head(self._key)
            if there is None or there.entry.version != _etag(parts) or there.entry.bytes != self._num_bytes:
                if isinstance(error, PreconditionError):
                    raise FileExistsError(self._key) from error
                raise
            version = there.entry.version
        self._open = False
        return Entry(bytes=self._num_bytes, version=version)

    def leave(self) -> None:
        """See ``Writing``: the service keeps what was put."""

    def discard(self) -> None:
        """See ``Writing``."""
        if self._open:
            self._open = False
            with suppress(DtsError):
                self._bucket.multipart.abort(self._key, self._upload)


def prepared(bucket: Bucket, key: str, *, exclusive: bool) -> bool:
    """Give whether the service is to be asked for exclusiveness; one that does not know it is asked to look before.

    Raises:
        FileExistsError: something is there.
    """
    if exclusive and not bucket.conditional:
        if bucket.head(key) is not None:
            raise FileExistsError(key)
        return False
    return exclusive


def _etag(parts: dict[int, Part]) -> str | None:
    """Give the ETag of the object of these parts, where they have MD5 digests.

    Source: what Amazon S3 does, and others do like it: the MD5 of the parts' digests, and their number.
    """
    try:
        digests = b"".join(bytes.fromhex(part.etag) for _, part in sorted(parts.items()))
    except ValueError:
        return None
    return f"{md5(digests)}-{len(parts)}"
