"""An endpoint whose files are in memory: what moves between storages can be tried on it, faults included."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Mapping, Sequence

import attrs

from dts_fsm.endpoints.endpoint import MovingEndpoint
from dts_fsm.endpoints.streaming import Entry, Storage, Writing
from dts_fsm.errors import SizeMismatchError, SourceChangedError, UnsafePathError
from dts_fsm.records import Checksum, Descriptor
from dts_fsm.records.checks import normal_path, path_fault


@attrs.define(kw_only=True)
class MemoryStorage:
    """Files by path. What was begun and not completed is kept by operation and path, as a service would.

    Attributes:
        parts: what unfinished files have, by operation and path, then by number.
        num_read, num_put: how many bytes were read, and put, altogether.
        checked: as ``Writing`` says.
        in_order: as ``Writing`` says.
        twin: the storage from which this can copy by itself.
    """

    name: str = "memory"
    part_bytes: int = 1000
    exclusive: bool = True
    files: dict[str, bytes] = attrs.field(factory=dict)
    parts: dict[tuple[str, str], dict[int, bytes]] = attrs.field(factory=dict)
    num_read: int = 0
    num_put: int = 0
    checked: bool = True
    in_order: bool = False
    twin: Storage | None = None
    lock: threading.Lock = attrs.field(factory=threading.Lock, repr=False, eq=False)

    def look(self, path: str) -> Entry | None:
        """See ``Storage``."""
        content = self.files.get(_checked(path))
        return None if content is None else _entry(content)

    def fetch(self, path: str, num_bytes: int) -> tuple[Entry, bytes] | None:
        """See ``Storage``."""
        content = self.files.get(_checked(path))
        if content is None:
            return None
        if len(content) != num_bytes:
            raise SizeMismatchError(path, num_bytes, len(content))
        with self.lock:
            self.num_read += len(content)
        return _entry(content), content

    def read(self, path: str, entry: Entry, start: int, stop: int) -> bytes:
        """See ``Storage``."""
        content = self.files.get(_checked(path), b"")
        if _entry(content) != entry:
            raise SourceChangedError(f"{path}: the file changed while it was read")
        with self.lock:
            self.num_read += stop - start
        return content[start:stop]

    def write(self, path: str, *, num_bytes: int, operation: str, version: str) -> Writing:
        """See ``Storage``."""
        del num_bytes
        with self.lock:
            kept = self.parts.setdefault((f"{operation} {version}", _checked(path)), {})
        return _Writing(self, normal_path(path), kept)

    def clear(self, paths: Collection[str], operation: str) -> None:
        """See ``Storage``."""
        there = {normal_path(path) for path in paths}
        with self.lock:
            for key in [key for key in self.parts if key[0].startswith(f"{operation} ") and key[1] in there]:
                del self.parts[key]

    def can_copy(self, source: Storage) -> bool:
        """True for the twin."""
        return source is self.twin

    def copy(
        self, source: Storage, source_path: str, entry: Entry, path: str, *, operation: str, exclusive: bool
    ) -> Entry:
        """See ``Storage``."""
        del operation
        content = source.read(source_path, entry, 0, entry.bytes)
        return self.appear(_checked(path), content, exclusive=exclusive)

    def appear(self, path: str, content: bytes, *, exclusive: bool) -> Entry:
        """The file is there, whole."""
        with self.lock:
            if exclusive and path in self.files:
                raise FileExistsError(path)
            self.files[path] = content
        return _entry(content)


class _Writing:
    def __init__(self, storage: MemoryStorage, path: str, parts: dict[int, bytes]) -> None:
        self._storage, self._path, self._parts = storage, path, parts
        self.part_bytes, self.in_order, self.checked = storage.part_bytes, storage.in_order, storage.checked

    def has(self, number: int, content: bytes) -> bool:
        return self._parts.get(number) == content

    def recall(self, number: int) -> bytes | None:
        return None if self.checked else self._parts.get(number)

    def put(self, number: int, content: bytes) -> None:
        with self._storage.lock:
            self._storage.num_put += len(content)
        self._parts[number] = content

    def complete(self, checksum: Checksum | None, *, exclusive: bool) -> Entry:
        del checksum
        content = b"".join(self._parts[number] for number in range(len(self._parts)))
        entry = self._storage.appear(self._path, content, exclusive=exclusive)
        self.discard()
        return entry

    def leave(self) -> None:
        """What was put is kept."""

    def discard(self) -> None:
        with self._storage.lock:
            for key in [key for key, kept in self._storage.parts.items() if kept is self._parts]:
                del self._storage.parts[key]


class MemoryEndpoint(MovingEndpoint):
    """An endpoint over a ``MemoryStorage``."""

    provider = "memory"

    def __init__(self, storage: MemoryStorage | None = None, *, workers: int = 4) -> None:
        self.files = storage or MemoryStorage()
        super().__init__(root="/", name=self.files.name, workers=workers)

    def storage(self, *, arriving: bool) -> Storage:
        """Give the one storage."""
        del arriving
        return self.files

    def files_staged(self, descriptors: Sequence[Descriptor]) -> Mapping[str, bool]:
        """See ``Endpoint``."""
        found = {descriptor.id: self.files.look(descriptor.path or "") for descriptor in descriptors}
        return {
            descriptor.id: (entry := found[descriptor.id]) is not None and entry.bytes == descriptor.bytes
            for descriptor in descriptors
        }


def _checked(path: str) -> str:
    if fault := path_fault(path):
        raise UnsafePathError(fault)
    return normal_path(path)


def _entry(content: bytes) -> Entry:
    return Entry(bytes=len(content), version=hashlib.md5(content, usedforsecurity=False).hexdigest())
