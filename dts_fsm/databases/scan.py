"""The files of a folder, found and hashed without leaving it."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import attrs

from dts_fsm.databases.files import TEMPORARY_PREFIX, open_beneath
from dts_fsm.errors import UnsafePathError
from dts_fsm.records.checks import path_fault
from dts_fsm.records.checksum import Checksum, new_hasher

MAX_DEPTH = 100
"""How deep folders may be nested: each level costs one open file and one stack frame."""

_CHUNK_BYTES = 1 << 20


@attrs.frozen(kw_only=True)
class FoundFile:
    """A regular file: its path below the scanned folder, its size, and its time of modification since 1970."""

    path: str
    bytes: int
    modified_ns: int


@attrs.frozen(kw_only=True)
class ScanProgress:
    """How far the hashing of a folder is; files that had not changed do not count.

    Attributes:
        num_files, num_bytes: hashed so far.
        total_files, total_bytes: to be hashed altogether.
        path: the file that is being hashed.
    """

    num_files: int
    num_bytes: int
    total_files: int
    total_bytes: int
    path: str


Progress = Callable[[ScanProgress], None]


def find_files(folder: Path, *, exclude: Sequence[str] = ()) -> tuple[list[FoundFile], list[tuple[str, str]]]:
    """Give the regular files below a folder in order of path, and what was left out, each with the reason.

    Temporary files of dts_fsm are left out without a word, and so is what matches one of the patterns ``exclude``.

    Raises:
        OSError: the folder itself cannot be read.
    """
    found: list[FoundFile] = []
    skipped: list[tuple[str, str]] = []
    for path, look in _walk(folder, skipped):
        if path.rpartition("/")[2].startswith(TEMPORARY_PREFIX) or any(fnmatchcase(path, glob) for glob in exclude):
            continue
        try:
            info = look()
        except OSError as error:
            skipped.append((_printable(path), error.strerror))
            continue
        if fault := path_fault(path) or _kind_fault(info.st_mode):
            skipped.append((_printable(path), fault))
        elif stat.S_ISREG(info.st_mode):
            found.append(FoundFile(path=path, bytes=info.st_size, modified_ns=info.st_mtime_ns))
    return sorted(found, key=lambda file: file.path), sorted(skipped)


def _walk(folder: Path, skipped: list[tuple[str, str]]) -> Iterator[tuple[str, Callable[[], os.stat_result]]]:
    """Give every entry below the folder with what looks at it; faulty folders are given but not entered."""

    def unreadable(error: OSError) -> None:
        if error.filename is None or os.fspath(error.filename) == os.fspath(folder):
            raise error
        skipped.append((_printable(os.fspath(error.filename)), f"the folder cannot be read: {error.strerror}"))

    # fwalk goes by descriptors of folders: a folder that is exchanged for a symbolic link meanwhile is not followed
    for here, folders, files, fd in os.fwalk(folder, follow_symlinks=False, onerror=unreadable):
        relative = os.path.relpath(here, folder)
        prefix = "" if relative == "." else relative + "/"
        for name in (*folders, *files):
            yield prefix + name, lambda name=name, fd=fd: os.stat(name, dir_fd=fd, follow_symlinks=False)
        folders[:] = [name for name in folders if path_fault(name) is None]
        if folders and prefix.count("/") >= MAX_DEPTH:
            skipped.append((_printable(prefix), f"folders are nested more than {MAX_DEPTH} deep"))
            folders.clear()


def _kind_fault(mode: int) -> str | None:
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    if stat.S_ISLNK(mode):
        return "it is a symbolic link: links are not followed"
    return "it is not a regular file"


def _printable(path: str) -> str:
    return path if path.isprintable() else ascii(path)[1:-1]


def hash_files(
    folder: Path, files: Sequence[FoundFile], *, algorithm: str, progress: Progress | None = None
) -> tuple[dict[str, Checksum], list[tuple[str, str]]]:
    """Give the checksum of each file by its path, and the files that could not be hashed, each with the reason.

    A file that is not what was found, or that changes while it is read, is among the latter. Several threads read and
    hash; ``progress`` is called from them, one call at a time, after each mebibyte and each file.

    Raises:
        ValueError: the algorithm is unknown.
    """
    new_hasher(algorithm)
    job = _Hashing(folder, files, algorithm, progress)
    num_threads = min(len(files), os.cpu_count() or 1, 8)
    if num_threads:
        with ThreadPoolExecutor(num_threads, thread_name_prefix="dts-fsm-hash") as pool:
            try:
                for future in [pool.submit(job.work) for _ in range(num_threads)]:
                    future.result()
            finally:
                # an interrupt ends the wait above, not the threads
                job.stopped = True
    return job.checksums, sorted(job.skipped)


class _Hashing:
    def __init__(self, folder: Path, files: Sequence[FoundFile], algorithm: str, progress: Progress | None) -> None:
        self.checksums: dict[str, Checksum] = {}
        self.skipped: list[tuple[str, str]] = []
        self.stopped = False
        self._folder, self._algorithm, self._progress = folder, algorithm, progress
        self._waiting: Iterable[FoundFile] = iter(files)
        self._totals: dict[str, Any] = {"total_files": len(files), "total_bytes": sum(file.bytes for file in files)}
        self._num_files = self._num_bytes = 0
        self._lock = threading.Lock()

    def work(self) -> None:
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        while not self.stopped:
            with self._lock:
                file = next(iter(self._waiting), None)
            if file is None:
                return
            try:
                self.checksums[file.path] = self._hash(file, buffer)
            except (OSError, UnsafePathError) as error:
                self.skipped.append((file.path, getattr(error, "strerror", None) or str(error)))
            self._advance(file, num_files=1)

    def _hash(self, file: FoundFile, buffer: memoryview) -> Checksum:
        hasher = new_hasher(self._algorithm)
        with open(open_beneath(self._folder, file.path), "rb", buffering=0) as reader:
            while not self.stopped and (count := reader.readinto(buffer)):
                hasher.update(buffer[:count])
                self._advance(file, num_bytes=count)
            info = os.fstat(reader.fileno())
        if (info.st_size, info.st_mtime_ns) != (file.bytes, file.modified_ns):
            raise UnsafePathError("it changed while it was read: run this again when nobody writes to it")
        return Checksum(self._algorithm, hasher.hexdigest())

    def _advance(self, file: FoundFile, *, num_files: int = 0, num_bytes: int = 0) -> None:
        with self._lock:
            self._num_files += num_files
            self._num_bytes += num_bytes
            if self._progress:
                self._progress(
                    ScanProgress(num_files=self._num_files, num_bytes=self._num_bytes, path=file.path, **self._totals)
                )
