"""Finding files below a root folder at the server, as far as SFTP can keep to it.

A server resolves the links of a path itself, whatever the path is asked for. So each component is looked at first, all
at once, and once more after a file was opened: who swaps a folder for a link between the two is noticed unless he swaps
it back in time. SFTP has no calls that would rule that out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncssh
import attrs

from dts_fsm.endpoints.beneath import components
from dts_fsm.endpoints.sftp.sessions import Session, real_path
from dts_fsm.endpoints.streaming import Entry
from dts_fsm.errors import PermanentError, UnsafePathError

MISSING = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPNotADirectory)
"""Nothing has that name."""

_LINK, _FOLDER, _FILE = (
    asyncssh.FILEXFER_TYPE_SYMLINK,
    asyncssh.FILEXFER_TYPE_DIRECTORY,
    asyncssh.FILEXFER_TYPE_REGULAR,
)


@attrs.frozen(kw_only=True)
class Place:
    """A regular file of the server.

    Attributes:
        path: the server's path of it, in which there is no link.
        entry: what it is like.
    """

    path: bytes
    entry: Entry


async def find(session: Session, path: str) -> Place | None:
    """Give the file at the path, relative to the root; None where there is nothing.

    Symbolic links are followed, as long as they lead to places below the root.

    Raises:
        UnsafePathError: a link leads elsewhere; or it is no regular file.
    """
    root = session.root
    names = [name.encode() for name in components(path)]
    found = await _walked(session.sftp, root, names, path)
    if found is not None and found.type == _LINK:
        try:
            real = await real_path(session.sftp, _joined(root, names))
        except MISSING:
            return None
        if not real.startswith(root + b"/"):
            raise UnsafePathError(f"{path}: a symbolic link leads outside the endpoint's root")
        names = real[len(root) + 1 :].split(b"/")
        found = await _walked(session.sftp, root, names, path)
    if found is None:
        return None
    if found.type != _FILE:
        raise UnsafePathError(f"{path}: is not a regular file")
    return Place(path=_joined(root, names), entry=entry_of(found, path))


async def make_room(session: Session, path: str) -> bytes:
    """Give the server's path of a file that is to be written; its folder is there, and so are those above.

    Raises:
        UnsafePathError: something on the way is a link, or no folder; or there is a link, or no regular file, already.
    """
    names = [name.encode() for name in components(path)]
    paths = [_joined(session.root, names[:number]) for number in range(1, len(names) + 1)]
    *folders, last = zip(paths, await _looked(session.sftp, paths), strict=True)
    for folder, there in folders:
        found = there
        if found is None:
            try:
                await session.sftp.mkdir(folder)
                continue
            except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
                (found,) = await _looked(session.sftp, [folder])  # another was faster, perhaps
                if found is None:
                    raise
        if found.type != _FOLDER:
            raise UnsafePathError(f"{path}: there is a link, or a file, in the place of a folder at the destination")
    target, there = last
    if there is not None and there.type == _LINK:
        raise UnsafePathError(f"{path}: there is a symbolic link at the destination, which is never followed")
    if there is not None and there.type != _FILE:
        raise UnsafePathError(f"{path}: is not a regular file")
    return target


def entry_of(found: asyncssh.SFTPAttrs, path: str) -> Entry:
    """Give what the server says of a file.

    Raises:
        PermanentError: it does not say its size, or a size that cannot be.
    """
    size = found.size
    if size is None or not 0 <= size < 2**63:
        raise PermanentError(f"{path}: the server does not say how large the file is")
    times = (found.mtime, found.mtime_ns or 0)
    return Entry(bytes=size, version="" if found.mtime is None else ".".join(map(str, (size, *times))))


async def _walked(
    sftp: asyncssh.SFTPClient, root: bytes, names: Sequence[bytes], path: str
) -> asyncssh.SFTPAttrs | None:
    """Give what is there; or the first link on the way; None where there is nothing."""
    paths = [_joined(root, names[:number]) for number in range(1, len(names) + 1)]
    *folders, last = await _looked(sftp, paths)
    for found in folders:
        if found is None or found.type == _LINK:
            return found
        if found.type == _FILE:
            return None
        if found.type != _FOLDER:
            raise UnsafePathError(f"{path}: leads through what is no folder")
    return last


async def _looked(sftp: asyncssh.SFTPClient, paths: Sequence[bytes]) -> list[asyncssh.SFTPAttrs | None]:
    """Give what is at each path, without following a link there; the questions are asked at once."""
    answers = await asyncio.gather(*(sftp.lstat(path) for path in paths), return_exceptions=True)
    found: list[asyncssh.SFTPAttrs | None] = []
    for answer in answers:
        if isinstance(answer, MISSING):
            found.append(None)
        elif isinstance(answer, BaseException):
            if found and (found[-1] is None or found[-1].type == _LINK):
                found.append(None)  # whatever is beyond does not count
                continue
            raise answer
        else:
            found.append(answer)
    return found


def _joined(root: bytes, names: Sequence[bytes]) -> bytes:
    return b"/".join([root, *names]) or b"/"
