"""Copying one file: open safely, copy and hash in one pass, verify, and leave it beside its target."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress

from dts_fsm.endpoints.beneath import Sources, open_regular
from dts_fsm.endpoints.outcomes import SourceMissingError, TargetExistsError
from dts_fsm.errors import ChecksumMismatchError, SizeMismatchError, SourceChangedError
from dts_fsm.records import Checksum, FileOutcome, FileState, FileTransfer, Overwrite
from dts_fsm.records.checksum import DEFAULT_ALGORITHM, new_hasher

CHUNK_BYTES = 128 << 10
"""How much is read, hashed and written at once, and how often a cancellation is looked for.

A mebibyte is no faster; and this is all the memory that a file needs, of which 256 may be under way.
"""

_WRITE_BACK_BYTES = 8 << 20
"""The disk is kept busy in steps of this size, so that the final fsync has little to wait for."""

_PERMISSION_BITS = 0o777  # never setuid, setgid or sticky


class Copier:
    """Copies files of one source, one after the other, through one buffer: all the memory that any file needs.

    Args:
        sources: opens the source's files; it remains the caller's to close.
        advance: called with the number of bytes of each chunk that was written, and with 0 for one that was only
            looked at; what it raises ends the copying.
        algorithm: with what a file is hashed that has no checksum to be compared with; None: it is not.
        write_back: whether the disk begins with a large file while it is still being copied.
    """

    def __init__(
        self,
        sources: Sources,
        advance: Callable[[int], None],
        *,
        algorithm: str | None = DEFAULT_ALGORITHM,
        write_back: bool = True,
    ) -> None:
        self._sources, self._advance, self._algorithm, self._write_back = sources, advance, algorithm, write_back
        self._buffer = memoryview(bytearray(CHUNK_BYTES))

    def copy(
        self, file: FileTransfer, *, folder: int, name: str, part: str, sync: bool, new: bool = False
    ) -> FileOutcome:
        """Make ``part`` a complete and verified copy that is ready to be published, or find that the target is one.

        The copy has the source's permission bits and modification time. After an error there is no ``part``.

        Args:
            folder: file descriptor of the folder in which the target lies.
            name: the target's name in it.
            part: a name beside the target that nobody else uses.
            sync: the content, of a target that was found as well, survives a power cut once this returns.
            new: nobody need look for the target, as the folder has only just been made.

        Returns:
            The outcome TRANSFERRED or, without any ``part``, SKIPPED, with the observed size and checksum; without the
            latter where neither the file nor the copier has an algorithm.

        Raises:
            SourceMissingError, UnsafePathError, SizeMismatchError, ChecksumMismatchError, SourceChangedError,
            MissingHashError: the file cannot be copied as asked.
            TargetExistsError: the target has other content, and is never to be overwritten.
            OSError: what the operating system said.
        """
        outcome = None if new else self.look(file, folder, name, sync=sync)
        if outcome is not None:
            return outcome
        fd = self._open(file)
        try:
            before = os.fstat(fd)
            if file.bytes is not None and file.bytes != before.st_size:
                raise SizeMismatchError(file.source_path, file.bytes, before.st_size)
            out = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
            try:
                try:
                    _check_space(out, before.st_size)
                    checksum = self._pump(file, fd, out, before)
                    _keep_attributes(out, before)
                    if sync:
                        os.fsync(out)
                finally:
                    os.close(out)  # before it is published: some file systems report a failed write only here
            except BaseException:
                with suppress(OSError):
                    os.unlink(part, dir_fd=folder)
                raise
        finally:
            os.close(fd)
        return FileOutcome(
            id=file.id,
            state=FileState.TRANSFERRED,
            observed_bytes=before.st_size,
            observed_hash=None if checksum is None else str(checksum),
        )

    def look(self, file: FileTransfer, folder: int, name: str, *, sync: bool) -> FileOutcome | None:
        """Give the outcome SKIPPED if the target is there, right, and may stay, or None if the file is to be copied.

        Raises:
            UnsafePathError: what is there is not a regular file.
            TargetExistsError: it has other content, or cannot be compared, and is never to be overwritten.
            SourceMissingError, SourceChangedError: there is no checksum, nor a source that has one.
            OSError: what the operating system said.
        """
        try:
            there = open_regular(folder, name)
        except FileNotFoundError:
            return None
        except PermissionError as error:  # it may be replaced all the same: that takes rights in the folder only
            if file.overwrite is Overwrite.NEVER:
                raise TargetExistsError(file.destination_path, "a file is there that may not be read") from error
            return None
        try:
            outcome = None if file.overwrite is Overwrite.ALWAYS else self._compare(file, there)
            if outcome is None and file.overwrite is Overwrite.NEVER:
                raise TargetExistsError(file.destination_path, "a file with other content is there")
            if outcome is not None and sync:
                os.fsync(there)  # whoever wrote it may not have
        finally:
            os.close(there)
        return outcome

    def _open(self, file: FileTransfer) -> int:
        try:
            return self._sources.open(file.source_path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SourceMissingError(f"{file.source_path}: there is no such file at the source") from error

    def _compare(self, file: FileTransfer, there: int) -> FileOutcome | None:
        size_bytes = os.fstat(there).st_size
        if file.bytes not in (None, size_bytes):
            return None
        expected = file.hash or self._digest_source(file, size_bytes)
        if expected is None or self._digest(there, expected.algorithm) != expected:
            return None
        return FileOutcome(id=file.id, state=FileState.SKIPPED, observed_bytes=size_bytes, observed_hash=str(expected))

    def _digest_source(self, file: FileTransfer, size_bytes: int) -> Checksum | None:
        """Give the checksum of a source file of this size, or None if it has another size."""
        fd = self._open(file)
        try:
            before = os.fstat(fd)
            if before.st_size != size_bytes:
                return None
            checksum = self._digest(fd, self._algorithm or DEFAULT_ALGORITHM)
            _check_unchanged(file, fd, before, size_bytes)
            return checksum
        finally:
            os.close(fd)

    def _digest(self, fd: int, algorithm: str) -> Checksum:
        hasher = new_hasher(algorithm)
        while count := os.readv(fd, [self._buffer]):
            hasher.update(self._buffer[:count])
            self._advance(0)
        return Checksum(algorithm, hasher.hexdigest())

    def _pump(self, file: FileTransfer, fd: int, out: int, before: os.stat_result) -> Checksum | None:
        """Copy all bytes, and give their checksum, if any, once source and checksum are found to be as they should."""
        algorithm = file.hash.algorithm if file.hash else self._algorithm
        hasher = None if algorithm is None else new_hasher(algorithm)
        num_bytes = written_back = 0
        while count := os.readv(fd, [self._buffer]):
            num_bytes += count
            if num_bytes > before.st_size:  # it grows, perhaps for ever
                break
            chunk = self._buffer[:count]
            if hasher is not None:
                hasher.update(chunk)
            while chunk:
                chunk = chunk[os.write(out, chunk) :]
            if self._write_back and num_bytes - written_back >= _WRITE_BACK_BYTES:
                _begin_write_back(out, written_back, num_bytes - written_back)
                written_back = num_bytes
            self._advance(count)
            if num_bytes == before.st_size:  # it may grow only now: its status tells, without another read
                break
        _check_unchanged(file, fd, before, num_bytes)
        if algorithm is None or hasher is None:
            return None
        observed = Checksum(algorithm, hasher.hexdigest())
        if file.hash not in (None, observed):
            raise ChecksumMismatchError(file.source_path, str(file.hash), str(observed))
        return observed


def _check_space(out: int, size_bytes: int) -> None:
    """Find out now, not after hours, that a large file does not fit.

    posix_fallocate would reserve the space, but where the file system cannot, glibc writes to every block of the file.
    """
    if size_bytes > CHUNK_BYTES:
        space = os.fstatvfs(out)
        if space.f_blocks > 0 and space.f_bfree * space.f_frsize < size_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _keep_attributes(out: int, before: os.stat_result) -> None:
    try:
        os.fchmod(out, before.st_mode & _PERMISSION_BITS)
        os.utime(out, ns=(before.st_atime_ns, before.st_mtime_ns))
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP):  # on our own file: the file system has no such attributes
            raise


def _begin_write_back(out: int, offset: int, count: int) -> None:
    if hasattr(os, "posix_fadvise"):  # on Linux this starts to write dirty pages, and does not wait for them
        os.posix_fadvise(out, offset, count, os.POSIX_FADV_DONTNEED)


def _check_unchanged(file: FileTransfer, fd: int, before: os.stat_result, num_bytes: int) -> None:
    """Refuse a copy of a file that was written to, replaced or removed meanwhile: all of them set its ctime."""
    if num_bytes != before.st_size or _identity(os.fstat(fd)) != _identity(before):
        raise SourceChangedError(f"{file.source_path}: the file changed while it was copied")


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
