"""The checksums of many files of a folder, read by several threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from dts_fsm.databases.files import open_beneath
from dts_fsm.databases.finding import FoundFile, SkippedFile
from dts_fsm.errors import SourceChangedError, UnsafePathError
from dts_fsm.records.checksum import Checksum, new_hasher

MAX_THREADS = 8
"""More threads than that wait for the disk, and a spinning one grows slower with each."""

_CHUNK_BYTES = 1 << 20


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


def hash_files(
    folder: Path, files: Sequence[FoundFile], *, algorithm: str, progress: Progress | None = None
) -> tuple[dict[str, Checksum], list[SkippedFile]]:
    """Give the checksum of each file by its path, and the files that could not be hashed, in order of path.

    A file that is not what was found, or that changes while it is read, is among the latter. ``progress`` is called
    from the threads that read, one call at a time, after each mebibyte and each file; what it raises ends the work.

    Raises:
        ValueError: the algorithm is unknown.
        MissingHashError: the package that computes it is not installed.
    """
    new_hasher(algorithm)
    job = _Hashing(folder, files, algorithm, progress)
    num_threads = min(len(files), os.cpu_count() or 1, MAX_THREADS)
    if num_threads:
        with ThreadPoolExecutor(num_threads, thread_name_prefix="dts-fsm-hash") as pool:
            try:
                for future in [pool.submit(job.work) for _ in range(num_threads)]:
                    future.result()
            finally:
                # an interrupt ends the wait above, not the threads
                job.stopped = True
    return job.checksums, sorted(job.skipped, key=lambda file: file.path)


class _Hashing:
    def __init__(self, folder: Path, files: Sequence[FoundFile], algorithm: str, progress: Progress | None) -> None:
        self.checksums: dict[str, Checksum] = {}
        self.skipped: list[SkippedFile] = []
        self.stopped = False
        self._folder, self._algorithm, self._progress = folder, algorithm, progress
        self._waiting = iter(files)
        self._total_files, self._total_bytes = len(files), sum(file.bytes for file in files)
        self._num_files = self._num_bytes = 0
        self._lock = threading.Lock()

    def work(self) -> None:
        """Hash one waiting file after the other until there are no more, or somebody stops."""
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        try:
            while (file := self._next()) is not None:
                try:
                    self.checksums[file.path] = self._hash(file, buffer)
                except OSError as error:
                    self.skipped.append(SkippedFile(path=file.path, reason=error.strerror or "it cannot be read"))
                except (SourceChangedError, UnsafePathError) as error:
                    self.skipped.append(SkippedFile(path=file.path, reason=str(error)))
                self._advance(file, num_files=1)
        except BaseException:
            # the others need not go on for an answer that nobody gets
            self.stopped = True
            raise

    def _next(self) -> FoundFile | None:
        with self._lock:
            return None if self.stopped else next(self._waiting, None)

    def _hash(self, file: FoundFile, buffer: memoryview) -> Checksum:
        hasher = new_hasher(self._algorithm)
        num_bytes = 0
        with open(open_beneath(self._folder, file.path), "rb", buffering=0) as reader:
            # a file that grows as fast as it is read must not be followed for ever
            while num_bytes <= file.bytes and not self.stopped and (count := reader.readinto(buffer)):
                hasher.update(buffer[:count])
                num_bytes += count
                self._advance(file, num_bytes=count)
            info = os.fstat(reader.fileno())
        if num_bytes != file.bytes or (info.st_size, info.st_mtime_ns) != (file.bytes, file.modified_ns):
            raise SourceChangedError("it changed while it was read: run this again when nobody writes to it")
        return Checksum(self._algorithm, hasher.hexdigest())

    def _advance(self, file: FoundFile, *, num_files: int = 0, num_bytes: int = 0) -> None:
        with self._lock:
            self._num_files += num_files
            self._num_bytes += num_bytes
            if self._progress is not None:
                self._progress(
                    ScanProgress(
                        num_files=self._num_files,
                        num_bytes=self._num_bytes,
                        total_files=self._total_files,
                        total_bytes=self._total_bytes,
                        path=file.path,
                    )
                )
