"""A folder of any service as a storage, by a driver of fsspec."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from fsspec import AbstractFileSystem

from dts_fsm.config import Redactor
from dts_fsm.endpoints.fsspec.drivers import Drivers, abandon, found, make_folders, names, read
from dts_fsm.endpoints.fsspec.faults import translated
from dts_fsm.endpoints.streaming import Entry, Storage, Writing
from dts_fsm.errors import (
    PermanentError,
    SizeMismatchError,
    SourceChangedError,
    TransientError,
    UnsafePathError,
)
from dts_fsm.records import Checksum
from dts_fsm.records.checks import normal_path, path_fault

PART_BYTES = 8 << 20

_VERSIONS = (
    *("ETag", "etag", "md5", "md5Hash", "checksum", "content_hash", "version_id", "VersionId", "generation", "unique"),
    *("ino", "mtime", "modified", "modify", "LastModified", "last_modified", "updated", "created"),
)
"""What drivers call that which changes with a file, in what they say of it."""


class FsspecStorage:
    """The files below a folder of a service, for one run of a move.

    Args:
        part_bytes: how much is read, and written, at once.
        redact: takes secrets out of messages.
    """

    exclusive = False

    def __init__(self, drivers: Drivers, root: str, name: str, *, part_bytes: int, redact: Redactor) -> None:
        self.name, self.part_bytes = name, part_bytes
        self.drivers, self._root, self._redact = drivers, root, redact
        self._attempt = f"{time.time_ns():016x}{secrets.token_hex(4)}"
        self._prepared: set[tuple[str, str]] = set()

    def look(self, path: str) -> Entry | None:
        """See ``Storage``."""
        full = self._full(path)
        try:
            with self.lent(path) as driver:
                return _entry(path, found(driver, full))
        except FileNotFoundError:
            return None

    def look_at(self, paths: Collection[str]) -> dict[str, Entry | UnsafePathError | None]:
        """Give what is at each path, asking for it as seldom as the driver can."""
        answer: dict[str, Entry | UnsafePathError | None] = {}
        with self.lent("") as driver:
            driver.invalidate_cache()
            for path in paths:
                try:
                    answer[path] = _entry(path, driver.info(self._full(path)))
                except (FileNotFoundError, NotADirectoryError):
                    answer[path] = None
                except UnsafePathError as error:
                    answer[path] = error
        return answer

    def fetch(self, path: str, num_bytes: int) -> tuple[Entry, bytes] | None:
        """See ``Storage``."""
        entry = self.look(path)
        if entry is None:
            return None
        if entry.bytes != num_bytes:
            raise SizeMismatchError(path, num_bytes, entry.bytes)
        return entry, self.read(path, entry, 0, num_bytes)

    def read(self, path: str, entry: Entry, start: int, stop: int) -> bytes:
        """See ``Storage``."""
        full = self._full(path)
        try:
            with self.lent(path) as driver:
                content = read(driver, full, start, stop)
                there = _entry(path, found(driver, full))
        except FileNotFoundError:
            raise SourceChangedError(f"{path}: the file has gone") from None
        except PermanentError:
            if self.look(path) is None:  # some drivers remember what there was, and do not say that it has gone
                raise SourceChangedError(f"{path}: the file has gone") from None
            raise
        if there != entry:
            raise SourceChangedError(f"{path}: the file changed while it was read")
        if len(content) > stop - start:
            raise PermanentError(f"{self.name}: {path}: the service gives more than the part that it is asked for")
        if len(content) < stop - start:
            raise TransientError(f"{self.name}: {path}: the service gave {len(content)} bytes of {stop - start}")
        return content

    def write(self, path: str, *, num_bytes: int, operation: str, version: str) -> Writing:
        """See ``Storage``. What an earlier run has left is not gone on with, and removed.

        Raises:
            PermanentError: the driver cannot rename, and so files would not appear whole.
        """
        del version
        if not self.drivers.can_rename:
            raise PermanentError(
                f"{self.name}: the driver of {self.drivers.protocol!r} cannot rename or copy files: nothing could "
                "appear whole and verified, and so nothing is written with it"
            )
        target = self._full(path)
        *parts, _ = normal_path(path).split("/")
        folder = "/".join((self._root, *parts))
        if (folder, operation) not in self._prepared:
            with self.lent(path) as driver:
                make_folders(driver, self._root, parts)
                self._remove(driver, folder, operation, lambda name: name < self._attempt)
            self._prepared.add((folder, operation))
        part = f"{folder}/{_prefix(operation)}{self._attempt}-{_digest(path)}-{secrets.token_hex(8)}.part"
        return _Arriving(self, path, self.drivers.stripped(part), target, num_bytes)

    def clear(self, paths: Collection[str], operation: str) -> None:
        """See ``Storage``."""
        unwanted = {_digest(path) for path in paths}
        for folder in {normal_path(path).rpartition("/")[0] for path in paths}:
            with suppress(Exception), self.lent(folder) as driver:
                self._remove(
                    driver,
                    f"{self._root}/{folder}" if folder else self._root,
                    operation,
                    lambda name: name.partition("-")[2].partition("-")[0] in unwanted,
                )

    def can_copy(self, source: Storage) -> bool:  # noqa: ARG002 - the contract's
        """Never: fsspec has no copies between file systems but through this machine."""
        return False

    def copy(
        self, source: Storage, source_path: str, entry: Entry, path: str, *, operation: str, exclusive: bool
    ) -> Entry:
        """Never called; see ``can_copy``."""
        raise NotImplementedError

    @contextmanager
    def lent(self, path: str) -> Iterator[AbstractFileSystem]:
        """Give a file system for one call; what it raises is translated."""
        with self.translated(path), self.drivers.lent() as driver:
            yield driver

    @contextmanager
    def translated(self, path: str) -> Iterator[None]:
        """What a driver raises is raised as our errors."""
        try:
            yield
        except Exception as error:
            fault = translated(error, f"{self.name}: {path}" if path else self.name, self._redact)
            if fault is error:
                raise
            raise fault from self._redact.error(error)

    def rename(self, path: str, part: str, target: str, *, exclusive: bool) -> None:
        """The part has the target's name.

        Raises:
            PermanentError: the service does not put a file in place of another.
        """
        try:
            with self.lent(path) as driver:
                self.drivers.rename(driver, part, target, exclusive=exclusive)
        except FileExistsError as error:
            if exclusive:
                raise
            raise PermanentError(
                f"{self.name}: {path}: the service does not rename a file onto another: remove the one that is there"
            ) from error

    def _remove(self, driver: AbstractFileSystem, folder: str, operation: str, unwanted: Callable[[str], bool]) -> None:
        """Of the parts of the operation in a folder those are gone that are unwanted; what cannot be removed stays.

        Args:
            unwanted: is asked with what follows the operation in a part's name.
        """
        prefix = _prefix(operation)
        with suppress(Exception):  # litter is no reason to fail
            for name in names(driver, folder):
                if name.startswith(prefix) and unwanted(name[len(prefix) :]):
                    with suppress(Exception):
                        driver.rm_file(f"{folder}/{name}")

    def _full(self, path: str) -> str:
        if fault := path_fault(path):
            raise UnsafePathError(fault)
        return self.drivers.stripped(f"{self._root}/{normal_path(path)}")


class _Arriving:
    """A file that is being written, in order, to a name that only this writing knows."""

    in_order = True
    checked = False

    def __init__(self, storage: FsspecStorage, path: str, part: str, target: str, num_bytes: int) -> None:
        self.part_bytes = storage.part_bytes
        self._storage, self._path, self._part, self._target = storage, path, part, target
        self._num_bytes, self._next = num_bytes, 0
        self._driver: AbstractFileSystem | None = None
        self._stream: Any = None
        self._is_there = False  # as far as anybody knows

    def has(self, number: int, content: bytes) -> bool:  # noqa: ARG002 - the contract's
        """Nothing is kept for another attempt; see ``Writing``."""
        return False

    def recall(self, number: int) -> bytes:
        """See ``Writing``."""
        self._finish()
        start = number * self.part_bytes
        with self._storage.lent(self._path) as driver:
            return read(driver, self._part, start, min(start + self.part_bytes, self._num_bytes))

    def put(self, number: int, content: bytes) -> None:
        """See ``Writing``."""
        if number != self._next:
            raise TransientError(f"{self._path}: part {number} was to be put where {self._next} is next")
        self._next = -1  # until it is known that this part was taken, there is no next
        with self._storage.translated(self._path):
            if self._driver is None:
                self._driver = self._storage.drivers.take()
                self._is_there = True
                self._stream = self._driver.open(self._part, "wb", block_size=self.part_bytes)
            self._stream.write(content)
        self._next = number + 1

    def complete(self, checksum: Checksum | None, *, exclusive: bool) -> Entry:  # noqa: ARG002 - the contract's
        """See ``Writing``. Exclusive it is up to the instant between a last look and the renaming."""
        self._finish()
        written = self._looked_at(self._part)
        if written is None or written.bytes != self._num_bytes:
            there = "nothing" if written is None else f"{written.bytes} bytes"
            raise TransientError(f"{self._path}: {self._num_bytes} bytes were written, and {there} can be found")
        if exclusive and self._looked_at(self._target) is not None:
            raise FileExistsError(self._path)
        self._storage.rename(self._path, self._part, self._target, exclusive=exclusive)
        self._is_there = False
        arrived = self._looked_at(self._target)
        if arrived is None or arrived.bytes != self._num_bytes:
            raise TransientError(f"{self._path}: the file cannot be found after it was renamed")
        return arrived

    def leave(self) -> None:
        """See ``Writing``: no driver goes on with what was written, and so nothing is kept."""
        self.discard()

    def discard(self) -> None:
        """See ``Writing``."""
        if self._stream is not None:
            abandon(self._stream)
        if self._driver is not None:
            self._storage.drivers.drop(self._driver)
        self._stream, self._driver, self._next = None, None, -1
        if self._is_there:
            self._is_there = False
            with suppress(Exception), self._storage.lent(self._path) as driver:
                driver.rm_file(self._part)

    def _finish(self) -> None:
        """All that was put has been sent."""
        if self._stream is None:
            return
        stream, driver = self._stream, self._driver
        self._next = -1
        with self._storage.translated(self._path):
            stream.close()
        self._stream = self._driver = None
        self._storage.drivers.give_back(driver)

    def _looked_at(self, full: str) -> Entry | None:
        try:
            with self._storage.lent(self._path) as driver:
                return _entry(self._path, found(driver, full))
        except FileNotFoundError:
            return None


def _prefix(operation: str) -> str:
    """How the names of unfinished files begin; without a dot, for some servers list no names that begin with one."""
    return f"dts-{operation}-"


def _digest(path: str) -> str:
    return hashlib.sha256(normal_path(path).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _entry(path: str, info: Mapping[str, Any]) -> Entry:
    if (kind := info.get("type")) != "file":
        raise UnsafePathError(f"{path}: is not a file, but a {kind or 'thing of an unknown kind'}")
    if not isinstance(size := info.get("size"), int) or size < 0:
        raise PermanentError(f"{path}: the service does not say how large the file is")
    known = [f"{key}={info[key]}" for key in _VERSIONS if info.get(key) is not None]
    return Entry(bytes=size, version=" ".join((str(size), *known)) if known else "")
