"""Finding and opening files below a root folder: no link, no race and no odd file leads outside it or blocks.

Paths are walked one component at a time, each opened relative to the folder before it and never through a link that
the kernel would follow. Whatever somebody renames meanwhile, every folder reached was below the root.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from dts_fsm.errors import UnsafePathError
from dts_fsm.records.checks import normal_path, path_fault

MAX_LINKS = 40
"""How many symbolic links one path may lead through, and how often back up. Source: Linux, path_resolution(7)."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_STEP = os.O_DIRECTORY | os.O_NOFOLLOW | getattr(os, "O_PATH", os.O_RDONLY)  # O_PATH needs no read permission
_REGULAR = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


def open_root(root: str) -> int:
    """Give a file descriptor of the root folder, which may itself be reached through links; the caller closes it.

    Raises:
        OSError: it does not exist, is no folder, or may not be read.
    """
    return os.open(root, os.O_RDONLY | os.O_DIRECTORY)


def components(path: str) -> list[str]:
    """Give the components of a relative path, at least one.

    Raises:
        UnsafePathError: the path is absolute, leads upwards, names nothing, or has control characters.
    """
    if fault := path_fault(path):
        raise UnsafePathError(fault)
    return normal_path(path).split("/")


@contextmanager
def found(root: int, path: str) -> Iterator[tuple[int, str, os.stat_result]]:
    """Give the folder, the name in it and the status of the regular file at ``path`` below ``root``.

    The folder is a file descriptor, good for the ``dir_fd`` of other calls until the context ends. Symbolic links are
    followed as long as they are relative and stay below the root.

    Raises:
        UnsafePathError: a link leads outside the root, or what is there is not a regular file.
        FileNotFoundError, NotADirectoryError: it is not there.
        OSError: a folder on the way may not be searched.
    """
    pending = components(path)[::-1]
    walked: list[str] = []  # the real folders on the way: by their names, as deep paths have more than may be open
    here = os.dup(root)
    num_links = num_returns = 0
    try:
        while pending:
            if max(num_links, num_returns) > MAX_LINKS:
                raise UnsafePathError(f"{path}: leads through too many symbolic links, or in circles")
            name = pending.pop()
            if name == "..":  # from a link: back to the folder through which we came, never to the kernel's ".."
                num_returns += 1
                here = _replaced(here, _walk(root, _left(walked, pending, path)))
                continue
            status = os.stat(name, dir_fd=here, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                target = os.readlink(name, dir_fd=here)
                num_links += 1
                if target.startswith("/"):
                    raise _outside(path)
                pending.extend(part for part in reversed(target.split("/")) if part not in ("", "."))
            elif stat.S_ISDIR(status.st_mode) and pending:
                here = _replaced(here, os.open(name, _STEP, dir_fd=here))
                walked.append(name)
            elif stat.S_ISREG(status.st_mode) and not pending:
                yield here, name, status
                return
            elif stat.S_ISREG(status.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            else:
                break
        raise UnsafePathError(f"{path}: is not a regular file")
    finally:
        os.close(here)


def _outside(path: str) -> UnsafePathError:
    return UnsafePathError(f"{path}: a symbolic link leads outside the endpoint's root")


def _left(walked: list[str], pending: list[str], path: str) -> list[str]:
    """Take from ``walked`` the folder that is left, and those that the next components leave as well; give it."""
    num_left = 1
    while pending and pending[-1] == "..":
        pending.pop()
        num_left += 1
    if num_left > len(walked):
        raise _outside(path)
    del walked[len(walked) - num_left :]
    return walked


def open_folder(root: int, parts: Sequence[str]) -> int:
    """Give a file descriptor of the folder ``parts`` below ``root``, reached through no link; the caller closes it.

    Raises:
        OSError: it is not there, a component is a link or no folder, or it may not be read.
    """
    return _walk(root, parts, _FOLDER)


def _walk(root: int, names: Sequence[str], flags: int = _STEP) -> int:
    here = os.dup(root)
    try:
        for name in names:
            here = _replaced(here, os.open(name, flags, dir_fd=here))
    except BaseException:
        os.close(here)
        raise
    return here


def _replaced(folder: int, by: int) -> int:
    os.close(folder)
    return by


class Sources:
    """Looks at files below a root, and opens them; those of one folder, one after the other, share the walk to it.

    Args:
        root: a file descriptor, which remains the caller's to close.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._folder: int | None = None
        self._parts: list[str] = []

    def open(self, path: str) -> int:
        """Give a file descriptor of the regular file at ``path``; raises what ``found`` raises."""
        *parts, name = components(path)
        try:
            return open_regular(self._enter(parts), name)
        except (OSError, UnsafePathError):  # a link, or something wrong: what it is, the walk step by step says
            return open_source(self._root, path)

    def look(self, path: str) -> os.stat_result:
        """Give the status of the regular file at ``path``; raises what ``found`` raises."""
        *parts, name = components(path)
        with suppress(OSError):
            status = os.stat(name, dir_fd=self._enter(parts), follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                return status
        with found(self._root, path) as (_, _, status):
            return status

    def _enter(self, parts: list[str]) -> int:
        if self._folder is None or parts != self._parts:
            self.close()
            self._folder, self._parts = _walk(self._root, parts), parts
        return self._folder

    def close(self) -> None:
        """No folder is open any more. Idempotent; the next file opens one again."""
        folder, self._folder = self._folder, None
        if folder is not None:
            os.close(folder)


def open_regular(folder: int, name: str) -> int:
    """Give a file descriptor for reading the regular file ``name`` in ``folder``, without following a link or blocking.

    Raises:
        UnsafePathError: it is a link, folder, FIFO, socket or device.
        OSError: it is not there or may not be read.
    """
    # Looking first, because opening a FIFO or a device can have effects on whoever is at its other end.
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise UnsafePathError(f"{name}: is not a regular file")
    fd = os.open(name, _REGULAR, dir_fd=folder)
    regular = False
    try:
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
    finally:
        if not regular:
            os.close(fd)
    if not regular:
        raise UnsafePathError(f"{name}: is not a regular file")
    return fd


def open_source(root: int, path: str) -> int:
    """Give a file descriptor for reading the regular file at ``path`` below ``root``; raises what ``found`` raises."""
    with found(root, path) as (folder, name, _):
        return open_regular(folder, name)


def make_folder(
    root: int, parts: Sequence[str], *, sync: bool = False, before: Callable[[], None] = lambda: None
) -> int:
    """Make the folder ``parts`` below ``root`` where it is missing, and give a file descriptor of it.

    No symbolic link is followed here, not even one that stays below the root: whoever may make links in one folder of
    a destination could otherwise direct deliveries into another.

    Args:
        sync: also make the entries of all folders on the way durable, whoever made them.
        before: called directly before each folder that is made; what it raises ends it.

    Raises:
        UnsafePathError: a component is a link or a file.
        OSError: a folder may not be read or made.
    """
    here = os.dup(root)
    try:
        for part in parts:
            try:
                below = _enter(here, part, before)
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP):
                    raise UnsafePathError(f"{'/'.join(parts)}: {part!r} is not a folder") from error
                raise
            try:
                if sync:
                    os.fsync(here)
            finally:
                os.close(here)
                here = below
    except BaseException:
        os.close(here)
        raise
    return here


def _enter(here: int, part: str, before: Callable[[], None]) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=here)
    except FileNotFoundError:
        before()
        with suppress(FileExistsError):  # another worker was first
            os.mkdir(part, dir_fd=here)
        return os.open(part, _FOLDER, dir_fd=here)
