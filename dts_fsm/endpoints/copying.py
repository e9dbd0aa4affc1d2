"""Copying one file: open safely, copy and hash in one pass, verify, make durable, rename into place."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress

from dts_fsm.endpoints.beneath import components, open_regular, open_source
from dts_fsm.errors import ChecksumMismatchError, PermanentError, SizeMismatchError, SourceChangedError
from dts_fsm.records import Checksum, FileOutcome, FileState, FileTransfer
from dts_fsm.records.checksum import DEFAULT_ALGORITHM, new_hasher

CHUNK_BYTES = 1 << 20
"""How much is read, hashed and written at once, and how often a cancellation is looked for."""

_WRITE_BACK_BYTES = (
    8 << 20
)  # the disk is kept busy in steps of this size, so that the final fsync has little to wait for
_OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PERMISSION_BITS = 0o777  # never setuid, setgid or sticky


class SourceMissingError(PermanentError):
    """There is no file at the source path."""


def copy_file(
    file: FileTransfer,
    *,
    source: int,
    folder: int,
    part: str,
    buffer: memoryview,
    advance: Callable[[int], None],
    durable: bool,
) -> FileOutcome:
    """Put a verified copy of the file in place, or find that it is there already.

    The copy has the source's permission bits and modification time. It is written as ``part`` and renamed when it is
    complete and verified: the target is whole, old or new, at every instant, and after an error ``part`` is gone.

    Args:
        source: file descriptor of the source's root.
        folder: file descriptor of the folder in which the target lies.
        part: a name beside the target that nobody else uses.
        buffer: what the bytes pass through; all the memory that is needed, whatever the file's size.
        advance: called with the number of bytes of each chunk that was written, and with 0 for one that was only
            looked at; what it raises ends the copying.
        durable: the content survives a power cut once this returns, the name once the caller has synced the folder.

    Returns:
        The outcome TRANSFERRED or SKIPPED, with the observed size and checksum.

    Raises:
        SourceMissingError, UnsafePathError, SizeMismatchError, ChecksumMismatchError, SourceChangedError: the file
            cannot be copied as asked.
        OSError: what the operating system said.
    """
    name = components(file.destination_path)[-1]
    try:
        there = open_regular(folder, name)
    except FileNotFoundError:
        return _copy(file, source, folder, part, name, buffer, advance, durable)
    try:
        outcome = _skip(file, source, there, buffer, advance)
        if outcome is not None and durable:
            os.fsync(there)  # whoever wrote it may not have
    finally:
        os.close(there)
    return outcome or _copy(file, source, folder, part, name, buffer, advance, durable)


def _skip(
    file: FileTransfer, source: int, there: int, buffer: memoryview, advance: Callable[[int], None]
) -> FileOutcome | None:
    size_bytes = os.fstat(there).st_size
    if file.bytes not in (None, size_bytes):
        return None
    expected = file.hash
    if expected is None:
        fd = _open(file, source)
        try:
            before = os.fstat(fd)
            if before.st_size != size_bytes:
                return None
            expected = _digest(fd, DEFAULT_ALGORITHM, buffer, advance)
            _check_unchanged(file, fd, before, size_bytes)
        finally:
            os.close(fd)
    if _digest(there, expected.algorithm, buffer, advance) != expected:
        return None
    return FileOutcome(id=file.id, state=FileState.SKIPPED, observed_bytes=size_bytes, observed_hash=str(expected))


def _copy(
    file: FileTransfer,
    source: int,
    folder: int,
    part: str,
    name: str,
    buffer: memoryview,
    advance: Callable[[int], None],
    durable: bool,
) -> FileOutcome:
    fd = _open(file, source)
    try:
        before = os.fstat(fd)
        if file.bytes not in (None, before.st_size):
            raise SizeMismatchError(file.source_path, file.bytes or 0, before.st_size)
        out = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        try:
            try:
                _reserve(out, before.st_size)
                checksum = _pump(file, fd, out, before, buffer, advance)
                os.fchmod(out, before.st_mode & _PERMISSION_BITS)
                os.utime(out, ns=(before.st_atime_ns, before.st_mtime_ns))
                if durable:
                    os.fsync(out)
            finally:
                os.close(out)  # before the rename: some file systems report a failed write only here
            os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(part, dir_fd=folder)
            raise
    finally:
        os.close(fd)
    return FileOutcome(
        id=file.id, state=FileState.TRANSFERRED, observed_bytes=before.st_size, observed_hash=str(checksum)
    )


def _open(file: FileTransfer, source: int) -> int:
    try:
        return open_source(source, file.source_path)
    except FileNotFoundError as error:
        raise SourceMissingError(f"{file.source_path}: there is no such file at the source") from error


def _reserve(out: int, size_bytes: int) -> None:
    """Find out now, not after hours, that a large file does not fit."""
    if size_bytes > CHUNK_BYTES and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(out, 0, size_bytes)
        except OSError as error:  # many file systems cannot reserve, and need not
            if error.errno in _OUT_OF_SPACE:
                raise


def _pump(
    file: FileTransfer, fd: int, out: int, before: os.stat_result, buffer: memoryview, advance: Callable[[int], None]
) -> Checksum:
    """Copy all bytes, and give their checksum once source and checksum are found to be as they should."""
    algorithm = file.hash.algorithm if file.hash else DEFAULT_ALGORITHM
    hasher = new_hasher(algorithm)
    num_bytes = written_back = 0
    while count := os.readv(fd, [buffer]):
        num_bytes += count
        if num_bytes > before.st_size:  # it grows, perhaps for ever
            break
        chunk = buffer[:count]
        hasher.update(chunk)
        while chunk:
            chunk = chunk[os.write(out, chunk) :]
        if num_bytes - written_back >= _WRITE_BACK_BYTES:
            _begin_write_back(out, written_back, num_bytes - written_back)
            written_back = num_bytes
        advance(count)
    _check_unchanged(file, fd, before, num_bytes)
    observed = Checksum(algorithm, hasher.hexdigest())
    if file.hash not in (None, observed):
        raise ChecksumMismatchError(file.source_path, str(file.hash), str(observed))
    return observed


def _begin_write_back(out: int, offset: int, count: int) -> None:
    if hasattr(os, "posix_fadvise"):  # on Linux this starts to write dirty pages, and does not wait for them
        os.posix_fadvise(out, offset, count, os.POSIX_FADV_DONTNEED)


def _check_unchanged(file: FileTransfer, fd: int, before: os.stat_result, num_bytes: int) -> None:
    after = os.fstat(fd)
    if num_bytes != before.st_size or (before.st_size, before.st_mtime_ns, before.st_ctime_ns) != (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    ):
        raise SourceChangedError(f"{file.source_path}: the file changed while it was copied")


def _digest(fd: int, algorithm: str, buffer: memoryview, advance: Callable[[int], None]) -> Checksum:
    hasher = new_hasher(algorithm)
    while count := os.readv(fd, [buffer]):
        hasher.update(buffer[:count])
        advance(0)
    return Checksum(algorithm, hasher.hexdigest())
