"""Files of a folder that others can write to, opened and copied without ever leaving that folder."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar
from uuid import uuid4

from dts_fsm.errors import (
    InvalidDatabaseConfigError,
    SizeMismatchError,
    SourceChangedError,
    TransientError,
    UnsafePathError,
)

T = TypeVar("T")

TEMPORARY_PREFIX = ".dts-"
"""How the names of unfinished files begin; a scan leaves such files out."""

_CHUNK_BYTES = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# without O_NONBLOCK the opening of a FIFO that nobody writes to would never end
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@contextmanager
def folder_beneath(root: Path, parts: Sequence[str], *, create: bool = False) -> Iterator[int]:
    """Give a descriptor of the folder ``parts`` below ``root``, closed afterwards.

    The root itself may be a symbolic link, nothing below it. ``create`` makes folders that are missing.

    Raises:
        UnsafePathError: a component is a symbolic link, or no folder.
        OSError: a folder does not exist or may not be entered.
    """
    folder = os.open(root, _FOLDER)
    try:
        for part in parts:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=folder)
            try:
                inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            except OSError as error:
                raise _unsafe(error, "/".join(parts)) from error
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def open_beneath(root: Path, path: str) -> int:
    """Give a descriptor, opened for reading, of the regular file ``path`` below ``root``; the caller closes it.

    Raises:
        UnsafePathError: a component is a symbolic link, or the file is not a regular one.
        OSError: the file does not exist or may not be read.
    """
    *parents, name = path.split("/")
    with folder_beneath(root, parents) as folder:
        # looking first, because to open a FIFO or a device can have effects on whoever is at its other end
        looked = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if not stat.S_ISREG(looked) and not stat.S_ISLNK(looked):
            raise UnsafePathError(f"{path}: it is not a regular file")
        try:
            file = os.open(name, _FILE, dir_fd=folder)
        except OSError as error:
            raise _unsafe(error, path) from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise UnsafePathError(f"{path}: it is not a regular file")
    return file


def size_beneath(root: Path, path: str) -> int | None:
    """Give the size in bytes of the regular file ``path`` below ``root``; None where there is no such file."""
    try:
        file = open_beneath(root, path)
    except (OSError, UnsafePathError):
        return None
    try:
        return os.fstat(file).st_size
    finally:
        os.close(file)


def _unsafe(error: OSError, path: str) -> Exception:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return UnsafePathError(f"{path}: a component of it is a symbolic link, or not a folder")
    return error


def copy_beneath(
    source: Path,
    destination: Path,
    path: str,
    *,
    size_bytes: int,
    prefix: str = TEMPORARY_PREFIX,
    stopped: threading.Event | None = None,
) -> None:
    """Leave the file ``path`` of the folder ``source`` whole at the same path of ``destination``, or nothing new there.

    What was there is replaced by one rename. Durable and idempotent; a crash leaves at most a temporary file, see
    ``sweep_beneath``. The time of modification is kept.

    Args:
        size_bytes: the size that the file must have.
        prefix: how the temporary file's name begins; it begins with ``TEMPORARY_PREFIX`` itself.
        stopped: once it is set, the copy ends with the next mebibyte.

    Raises:
        UnsafePathError: a component on either side is a symbolic link, or the source is not a regular file.
        SizeMismatchError: the source does not have ``size_bytes``.
        SourceChangedError: the source was written to meanwhile.
        TransientError: ``stopped`` was set.
        OSError: it cannot be read or written.
    """
    *parents, name = path.split("/")
    temporary = f"{prefix}{uuid4().hex}.part"
    with (
        open(open_beneath(source, path), "rb", buffering=0) as reader,
        folder_beneath(destination, parents, create=True) as folder,
    ):
        before = os.fstat(reader.fileno())
        if before.st_size != size_bytes:
            raise SizeMismatchError(path, size_bytes, before.st_size)
        _refuse_link(folder, name, path)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(temporary, flags, 0o666, dir_fd=folder), "wb") as writer:
                _pump(reader, writer, path, before, stopped)
                writer.flush()
                os.utime(writer.fileno(), ns=(before.st_mtime_ns, before.st_mtime_ns))
                os.fsync(writer.fileno())
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)


def sweep_beneath(root: Path, paths: Iterable[str], prefix: str) -> None:
    """Leave no temporary file with this prefix beside the files ``paths`` below ``root``; what cannot be removed stays.

    Each folder is looked through once, and none is made. Idempotent.
    """
    for folder in {path.rpartition("/")[0] for path in paths}:
        with (
            suppress(OSError, UnsafePathError),  # litter is no reason to fail
            folder_beneath(root, folder.split("/") if folder else []) as descriptor,
        ):
            for name in os.listdir(descriptor):
                if name.startswith(prefix):
                    with suppress(OSError):
                        os.unlink(name, dir_fd=descriptor)


def _refuse_link(folder: int, name: str, path: str) -> None:
    with suppress(FileNotFoundError):
        if stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode):
            raise UnsafePathError(f"{path}: a symbolic link is in its place at the destination")


def _pump(
    reader: BinaryIO, writer: BinaryIO, path: str, before: os.stat_result, stopped: threading.Event | None
) -> None:
    num_bytes = 0
    # a file that grows as fast as it is copied must not be followed for ever
    while num_bytes <= before.st_size and (chunk := reader.read(_CHUNK_BYTES)):
        if stopped is not None and stopped.is_set():
            raise TransientError(f"{path}: the copy was stopped")
        writer.write(chunk)
        num_bytes += len(chunk)
    after = os.fstat(reader.fileno())
    if num_bytes != before.st_size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise SourceChangedError(f"{path}: the file changed while it was copied")


def write_file(path: Path, content: bytes) -> None:
    """Leave the file with this content, durable, or as it was.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{uuid4().hex}.part")
    try:
        with open(temporary, "xb") as writer:
            writer.write(content)
            writer.flush()
            os.fsync(writer.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with folder_beneath(path.parent, []) as folder:
        os.fsync(folder)


def read_file(path: Path, *, max_bytes: int, root: Path | None = None) -> bytes:
    """Give the content of a regular file of at most ``max_bytes``.

    Args:
        root: a folder that symbolic links must not lead out of, if the file is below it.

    Raises:
        FileNotFoundError: there is no such file.
        InvalidDatabaseConfigError: it is too large, is not a regular file, leads outside ``root``, or cannot be read.
    """
    with _opened(path, root) as file:
        return _content(path, file, max_bytes)


def _open_file(path: Path, root: Path | None) -> int:
    if root is None or not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root)):
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    real_root, real_path = Path(os.path.realpath(root)), Path(os.path.realpath(path))
    if not real_path.is_relative_to(real_root):
        raise UnsafePathError(f"it is a symbolic link that leads outside {str(root)!r}: put the file itself there")
    # no link is left in that path: one that somebody puts there now is refused
    return open_beneath(real_root, real_path.relative_to(real_root).as_posix())


@contextmanager
def _opened(path: Path, root: Path | None) -> Iterator[BinaryIO]:
    try:
        file = _open_file(path, root)
    except UnsafePathError as error:
        raise InvalidDatabaseConfigError(str(error), file=str(path)) from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InvalidDatabaseConfigError(f"it cannot be read: {error.strerror}", file=str(path)) from error
    try:
        # before open(), which would leave the descriptor of a folder open
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise InvalidDatabaseConfigError("it is not a regular file", file=str(path))
        with open(file, "rb", closefd=False) as reader:
            yield reader
    finally:
        os.close(file)


def _content(path: Path, file: BinaryIO, max_bytes: int) -> bytes:
    content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise InvalidDatabaseConfigError(f"it is larger than {max_bytes} bytes", file=str(path))
    return content


_Stamp = tuple[int, int, int, int]


def _stamp(info: os.stat_result) -> _Stamp:
    return info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino


class Rereader(Generic[T]):
    """What a file says, parsed again only after the file has changed (a time, its size or its inode).

    May be called from several threads; a file that changes is parsed once.

    Args:
        parse: makes of a file's path and content what it says.
        max_bytes, root: see ``read_file``.
    """

    def __init__(self, parse: Callable[[Path, bytes], T], *, max_bytes: int, root: Path | None = None) -> None:
        self._parse, self._max_bytes, self._root = parse, max_bytes, root
        self._lock = threading.Lock()
        self._last: tuple[Path, _Stamp, T] | None = None

    def get(self, path: Path) -> T:
        """Give what ``parse`` makes of the file's present content.

        Raises:
            FileNotFoundError: there is no such file.
            InvalidDatabaseConfigError: as ``read_file``, and whatever ``parse`` raises.
        """
        with self._lock, _opened(path, self._root) as file:
            stamp = _stamp(os.fstat(file.fileno()))
            if self._last is None or self._last[:2] != (path, stamp):
                self._last = path, stamp, self._parse(path, _content(path, file, self._max_bytes))
            return self._last[2]
