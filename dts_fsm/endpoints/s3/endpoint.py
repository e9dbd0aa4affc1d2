"""The endpoint of a bucket."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import attrs

from dts_fsm.endpoints.endpoint import MovingEndpoint
from dts_fsm.endpoints.s3 import uploads
from dts_fsm.endpoints.s3.bucket import Bucket, Head
from dts_fsm.endpoints.s3.faults import UploadGoneError
from dts_fsm.endpoints.s3.settings import S3Settings
from dts_fsm.endpoints.s3.small import SmallObjects
from dts_fsm.endpoints.s3.storage import BucketStorage
from dts_fsm.endpoints.streaming import Storage
from dts_fsm.errors import PermanentError, UnauthorizedError
from dts_fsm.records import Descriptor
from dts_fsm.records.checks import normal_path, path_fault
from dts_fsm.records.checksum import DEFAULT_ALGORITHM

if TYPE_CHECKING:
    from dts_fsm.config import EndpointConfig

_WORKERS = 16
_AT_ONCE = 16
"""How many objects are looked at at once."""


@attrs.frozen(kw_only=True)
class Orphan:
    """An unfinished upload of a move, which nobody may go on with any more.

    Attributes:
        path: of the file that was to appear, below the root.
        upload_id: the service's name of it.
        started_at: when it was begun.
    """

    path: str
    upload_id: str
    started_at: datetime


class S3Endpoint(MovingEndpoint):
    """The objects of a bucket, and threads that move them: S3, or a service that speaks as it does.

    Files appear whole and verified: each part is sent with a checksum, which the service compares with what it has
    received. Between buckets of one service, reached with one credential, the service copies by itself. A move that
    was interrupted is gone on with by the next run of the same operation: what whole parts it had put are not put
    again.

    Args:
        settings: how the bucket is reached.
        name: the endpoint's name in the configuration; for messages.
        workers: how many files are moved at once, at least 1.
        default_checksum: see ``MovingEndpoint``.
    """

    provider = "s3"

    def __init__(
        self,
        settings: S3Settings,
        *,
        name: str = "s3",
        workers: int = _WORKERS,
        default_checksum: str = DEFAULT_ALGORITHM,
    ) -> None:
        super().__init__(root=f"/{settings.prefix}", name=name, workers=workers, default_checksum=default_checksum)
        self.settings = settings
        self._bucket = Bucket(settings)
        self._small: SmallObjects | None = None

    @classmethod
    def from_config(cls, config: EndpointConfig, *, executor: Executor | None = None) -> Self:
        """Make the endpoint that a section of the configuration describes; nothing is asked of the service yet.

        Raises:
            InvalidEndpointConfigError: an option is unknown or wrong.
        """
        del executor  # connections cannot be handed to another process
        settings, options = S3Settings.from_config(config)
        return cls(settings, name=config.key, **options)

    def storage(self, *, arriving: bool) -> Storage:
        """Give how objects are read and written; see ``MovingEndpoint``."""
        del arriving
        return self._storage()

    def _storage(self) -> BucketStorage:
        return BucketStorage(self._bucket, self._small_objects(), self.name)

    def _small_objects(self) -> SmallObjects:
        if self._small is None:
            self._small = SmallObjects(self._bucket)
        return self._small

    def close(self) -> None:
        """Stop the workers, and close the connections; see ``MovingEndpoint``."""
        super().close()
        self._bucket.service.close()

    def files_staged(self, descriptors: Sequence[Descriptor]) -> Mapping[str, bool]:
        """Give for each descriptor's id whether its object is there with its size, and not in an archive.

        Raises:
            TransientError: the service cannot answer now.
            PermanentError: it refuses, or the bucket does not exist.
        """
        storage = self._storage()

        def is_staged(descriptor: Descriptor) -> bool:
            try:
                key = storage.key(descriptor.path or "")
            except PermanentError:  # no object can have it
                return False
            found = self._bucket.head(key)
            return found is not None and found.at_hand and found.entry.bytes == descriptor.bytes

        try:
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=f"dts-{self.name}-look") as threads:
                answers = list(threads.map(is_staged, descriptors))
        except UnauthorizedError as error:
            raise PermanentError(str(error)) from error
        return {descriptor.id: answer for descriptor, answer in zip(descriptors, answers, strict=True)}

    # What a database of this bucket asks

    def paths(self, prefix: str = "") -> Iterator[str]:
        """Give the paths of the objects below the root that begin so, in the order of their keys.

        Left out are keys that are no path of a file ("a//b", "folder/"), and unfinished probes.
        """
        root = self._bucket.settings.prefix
        for key in self._bucket.keys(root + prefix):
            path = key.removeprefix(root)
            if path_fault(path) is None and normal_path(path) == path and _is_file(path):
                yield path

    def describe(self, paths: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Give what the service says of the objects at these paths, by path; what is not there is left out.

        It is in the words of Frictionless: bytes, hash where the service has one of the whole content, mediatype,
        modified, metadata; and staged: whether the object can be read now.
        """
        storage = self._storage()

        def head(path: str) -> Head | None:
            try:
                key = storage.key(path)
            except PermanentError:  # no object can have it
                return None
            return self._bucket.head(key)

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=f"dts-{self.name}-look") as threads:
            heads = list(threads.map(head, paths))
        described = {}
        for path, found in zip(paths, heads, strict=True):
            if found is not None:
                known = found.entry.checksums
                algorithm = next((name for name in ("sha256", "sha1", "md5") if name in known), None)
                described[path] = {
                    "bytes": found.entry.bytes,
                    "hash": f"{algorithm}:{known[algorithm]}" if algorithm else None,
                    "mediatype": found.media_type,
                    "modified": found.modified_at.isoformat() if found.modified_at else None,
                    "metadata": found.metadata,
                    "staged": found.at_hand,
                }
        return described

    # What moves have left that nobody goes on with

    def orphans(self, *, older_than: timedelta, live: Collection[UUID] = ()) -> Sequence[Orphan]:
        """Give the unfinished uploads of moves below the root that were begun so long ago, the oldest first.

        Args:
            older_than: a move that is under way has uploads, too: choose a time in which a file is moved.
            live: operations whose uploads are left out.
        """
        root, before = self._bucket.settings.prefix, datetime.now(UTC) - older_than
        found = [
            Orphan(path=upload.key.removeprefix(root), upload_id=upload.id, started_at=upload.started_at)
            for upload in self._bucket.multipart.uploads(root)
            if upload.started_at <= before
            and uploads.is_marked(self._bucket, upload, None)
            and not any(uploads.is_marked(self._bucket, upload, operation.hex) for operation in live)
        ]
        return sorted(found, key=lambda orphan: orphan.started_at)

    def abort(self, orphan: Orphan) -> None:
        """Nothing is left of it at the service. Idempotent."""
        try:
            self._bucket.multipart.abort(self._bucket.settings.prefix + orphan.path, orphan.upload_id)
        except UploadGoneError:
            return


def _is_file(path: str) -> bool:
    return not path.rpartition("/")[2].startswith(".dts-")
