"""A local folder as a storage: what other services send arrives here, and what is here is sent to them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from dts_fsm.endpoints.beneath import components, make_folder, open_folder, open_regular, open_root, open_source
from dts_fsm.endpoints.durability import Durability
from dts_fsm.endpoints.moving import rename_to_nothing
from dts_fsm.endpoints.parts import clear, part_begins, part_prefix
from dts_fsm.endpoints.streaming import Entry, Storage, Writing
from dts_fsm.errors import PermanentError, SizeMismatchError, SourceChangedError
from dts_fsm.records import Checksum

_PART_BYTES = 8 << 20


class Folder:
    """The files of a local source: symbolic links are followed where they are relative and stay below the root."""

    exclusive = True
    part_bytes = _PART_BYTES

    def __init__(self, root: str, name: str) -> None:
        self.name = name
        self._root = root

    def look(self, path: str) -> Entry | None:
        """See ``Storage``."""
        try:
            fd = self._open(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return _entry(os.fstat(fd))
        finally:
            os.close(fd)

    def fetch(self, path: str, num_bytes: int) -> tuple[Entry, bytes] | None:
        """See ``Storage``."""
        entry = self.look(path)
        if entry is None:
            return None
        if entry.bytes != num_bytes:
            raise SizeMismatchError(path, num_bytes, entry.bytes)
        return entry, self.read(path, entry, 0, entry.bytes)

    def read(self, path: str, entry: Entry, start: int, stop: int) -> bytes:
        """See ``Storage``."""
        try:
            fd = self._open(path)
        except (FileNotFoundError, NotADirectoryError):
            raise SourceChangedError(f"{path}: the file has gone") from None
        try:
            content = _read(fd, start, stop)
            if len(content) != stop - start or _entry(os.fstat(fd)) != entry:
                raise SourceChangedError(f"{path}: the file changed while it was read")
            return content
        finally:
            os.close(fd)

    def write(self, path: str, *, num_bytes: int, operation: str, version: str) -> Writing:
        """Refused: see ``ArrivalFolder``."""
        raise PermanentError(f"{path}: a source is not written to ({num_bytes} bytes of {operation}, {version})")

    def clear(self, paths: Collection[str], operation: str) -> None:
        """There is nothing."""

    def can_copy(self, source: Storage) -> bool:  # noqa: ARG002 - the contract's
        """Not by this: local files go to local folders another way."""
        return False

    def copy(
        self, source: Storage, source_path: str, entry: Entry, path: str, *, operation: str, exclusive: bool
    ) -> Entry:
        """Never called; see ``can_copy``."""
        raise NotImplementedError

    def _open(self, path: str) -> int:
        root = open_root(self._root)
        try:
            return open_source(root, path)
        finally:
            os.close(root)


class ArrivalFolder(Folder):
    """The files of a local destination: no symbolic link is followed, and none is replaced."""

    def __init__(self, root: str, name: str, *, durable: Durability) -> None:
        super().__init__(root, name)
        self._durable = durable is not Durability.NONE
        self._lock = threading.Lock()
        self._left: dict[str, dict[str, list[str]]] = {}  # parts of earlier runs, by folder and by what they begin with

    def write(self, path: str, *, num_bytes: int, operation: str, version: str) -> Writing:
        """See ``Storage``."""
        *parts, name = components(path)
        root = open_root(self._root)
        try:
            folder = make_folder(root, parts, sync=self._durable)
        finally:
            os.close(root)
        try:
            part = _Part(folder, name, num_bytes, operation, version, durable=self._durable)
        except BaseException:
            os.close(folder)
            raise
        part.supersede(self._left_of("/".join(parts), folder, operation, part.begins))
        return part

    def _left_of(self, path: str, folder: int, operation: str, begins: str) -> list[str]:
        """Give the parts that earlier runs have left of one file; asked for the first time, all of the folder."""
        with self._lock:
            if path not in self._left:
                left = self._left[path] = {}
                with suppress(OSError):
                    for name in os.listdir(folder):
                        if name.startswith(part_prefix(operation)):
                            left.setdefault(name[: len(begins)], []).append(name)
            return self._left[path].pop(begins, [])

    def clear(self, paths: Collection[str], operation: str) -> None:
        """See ``Storage``."""
        clear(self._root, paths, operation)

    def _open(self, path: str) -> int:
        *parts, name = components(path)
        root = open_root(self._root)
        try:
            folder = open_folder(root, parts)
        finally:
            os.close(root)
        try:
            return open_regular(folder, name)
        finally:
            os.close(folder)


class _Part:
    """A file that is being written beside its target; who has it holds a lock on it.

    Its name says what belongs in it, so that the next run of the same move finds it and goes on after the last whole
    part: a killed process leaves no hole, as the parts come in their order. A power cut can: parts from before the
    machine was started are not gone on with.

    Attributes:
        begins: how the names of all parts of this file begin.
    """

    in_order = True
    checked = True
    part_bytes = _PART_BYTES

    def __init__(self, folder: int, name: str, num_bytes: int, operation: str, version: str, *, durable: bool) -> None:
        self._folder, self._name, self._durable = folder, name, durable
        self.begins = part_begins(operation, name)
        self._part = f"{self.begins}{_digest(f'{num_bytes} {_BOOT} {version}')}.part"
        fd = self._locked(self._part) if version else None
        if fd is None:  # a forgotten run is still at work
            self._part = f"{self.begins}{secrets.token_hex(12)}.part"
            fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666, dir_fd=folder)
        self._fd: int | None = fd
        num_bytes = os.fstat(fd).st_size
        self._num_kept = num_bytes // _PART_BYTES
        if num_bytes % _PART_BYTES:  # ext4 writes a file that was truncated to nothing to the disk when it is closed
            os.ftruncate(fd, self._num_kept * _PART_BYTES)

    def _locked(self, part: str) -> int | None:
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666, dir_fd=self._folder)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = os.stat(part, dir_fd=self._folder, follow_symlinks=False)
            if (there.st_dev, there.st_ino) == _identity(os.fstat(fd))[:2]:
                return fd
        except OSError:  # locked by another, or gone meanwhile
            pass
        os.close(fd)
        return None

    def supersede(self, parts: list[str]) -> None:
        """Nothing is left of these, unless one is this: a forgotten run that writes to them will not complete them."""
        for part in parts:
            if part != self._part and self._fd is not None:
                with suppress(OSError):
                    os.unlink(part, dir_fd=self._folder)

    def has(self, number: int, content: bytes) -> bool:  # noqa: ARG002 - the contract's
        """What was put before was recalled; see ``Writing``."""
        return False

    def recall(self, number: int) -> bytes | None:
        """See ``Writing``."""
        if self._fd is None or number >= self._num_kept:
            return None
        return _read(self._fd, number * _PART_BYTES, (number + 1) * _PART_BYTES)

    def put(self, number: int, content: bytes) -> None:
        """See ``Writing``."""
        if self._fd is None:
            raise ValueError("it was given up")
        view, offset = memoryview(content), number * _PART_BYTES
        while view:
            count = os.pwrite(self._fd, view, offset)
            view, offset = view[count:], offset + count

    def complete(self, checksum: Checksum | None, *, exclusive: bool) -> Entry:  # noqa: ARG002 - the contract's
        """See ``Writing``."""
        if self._fd is None:
            raise ValueError("it was given up")
        if self._durable:
            os.fsync(self._fd)
        if exclusive:
            rename_to_nothing(self._part, self._name, self._folder)
        else:
            os.rename(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        if self._durable:
            os.fsync(self._folder)
        return _entry(os.fstat(self._fd))

    def leave(self) -> None:
        """See ``Writing``."""
        if self._fd is not None:
            os.close(self._fd)
            os.close(self._folder)
            self._fd = None

    def discard(self) -> None:
        """See ``Writing``."""
        if self._fd is not None:
            with suppress(OSError):
                there = os.stat(self._part, dir_fd=self._folder, follow_symlinks=False)
                if (there.st_dev, there.st_ino) == _identity(os.fstat(self._fd))[:2]:
                    os.unlink(self._part, dir_fd=self._folder)
        self.leave()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _boot() -> str:
    """Text that is another after each start of the machine, or of this process where nothing better is known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(8)


_BOOT = _boot()


def _entry(status: os.stat_result) -> Entry:
    return Entry(bytes=status.st_size, version=".".join(map(str, _identity(status))))


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(fd: int, start: int, stop: int) -> bytes:
    pieces = []
    while start < stop and (piece := os.pread(fd, stop - start, start)):
        pieces.append(piece)
        start += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
