"""Files that are being written at an SFTP server, beside their places, under names that say of which move they are.

SFTP has no locks: that nobody else writes them rests on the move's id in the name, and on the one process that moves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import asyncssh

from dts_fsm.endpoints.sftp.sessions import Session, Sessions
from dts_fsm.endpoints.sftp.tree import MISSING, entry_of, make_room
from dts_fsm.endpoints.streaming import Entry
from dts_fsm.errors import PermanentError, TransientError
from dts_fsm.records import Checksum

T = TypeVar("T")

PART_BYTES = 8 << 20
_COPY_BYTES = 256 << 20
"""How much the server copies in one call: each has its time."""

_NEW = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_EXCL
_OLD = asyncssh.FXF_READ | asyncssh.FXF_WRITE | asyncssh.FXF_CREAT


class SmallFile:
    """A file of one part, all of which is written when it is completed: before that, nothing is asked of the server."""

    in_order = True
    checked = True
    part_bytes = PART_BYTES

    def __init__(self, sessions: Sessions, part_name: bytes, path: str, *, durable: bool) -> None:
        self._sessions, self._part_name, self._path, self._durable = sessions, part_name, path, durable
        self._content = b""

    def has(self, number: int, content: bytes) -> bool:  # noqa: ARG002 - nothing is kept
        """See ``Writing``."""
        return False

    def recall(self, number: int) -> bytes | None:  # noqa: ARG002 - nothing is kept
        """See ``Writing``."""
        return None

    def put(self, number: int, content: bytes) -> None:  # noqa: ARG002 - there is one
        """See ``Writing``."""
        self._content = content

    def complete(self, checksum: Checksum | None, *, exclusive: bool) -> Entry:  # noqa: ARG002 - nobody keeps it there
        """See ``Writing``."""

        async def act(session: Session) -> Entry:
            target = await make_room(session, self._path)
            part = beside(target, self._part_name)
            try:
                async with await _new_file(session, part) as file:
                    await file.write(self._content, 0)
                    if self._durable:
                        await file.fsync()
                return await _placed(session, part, target, self._path, exclusive=exclusive)
            except (asyncssh.SFTPError, FileExistsError):
                await _removed(session, part)
                raise

        return self._sessions.run(act, self._path)

    def leave(self) -> None:
        """See ``Writing``."""

    def discard(self) -> None:
        """See ``Writing``."""


class LargeFile:
    """A file of several parts, which are put in their order; a later run goes on with those that are whole.

    The server may have lost its power since an earlier run: what that has left is read back. The other parts came by a
    connection of which each packet is authenticated.

    Args:
        sessions, session: the file is of the one among the others.
        file: open.
        part, target: the server's paths of the file as it is now, and as it is to be.
        path: the latter below the root; for messages.
        kept: how many parts of an earlier run are in it.
        durable: whether it is on the server's disk before it appears.
        read_back: whether all of it is.
    """

    in_order = True
    part_bytes = PART_BYTES

    def __init__(
        self,
        sessions: Sessions,
        session: Session,
        file: asyncssh.SFTPClientFile,
        *,
        part: bytes,
        target: bytes,
        path: str,
        kept: int,
        durable: bool,
        read_back: bool,
    ) -> None:
        self._sessions, self._session, self._file = sessions, session, file
        self._part, self._target, self._path = part, target, path
        self._kept, self._durable = kept, durable
        self._open = True
        self.checked = not read_back and not kept

    @classmethod
    async def begun(
        cls, sessions: Sessions, session: Session, part_name: bytes, path: str, *, go_on: bool, **settings: bool
    ) -> LargeFile:
        """Give a file that is empty; or, where it is to go on, has what an earlier run has left, but for its last part.

        Args:
            part_name: of the file as long as it is written.
            go_on: whether what is there is of the same content.
            settings: ``durable`` and ``read_back``.
        """
        target = await make_room(session, path)
        part = beside(target, part_name)
        with suppress(*MISSING):
            there = await session.sftp.lstat(part)
            if not go_on or there.type != asyncssh.FILEXFER_TYPE_REGULAR:
                await session.sftp.remove(part)
        file = await session.sftp.open(part, _OLD, encoding=None)
        size = (await file.stat()).size or 0
        # the part that was written last may have holes; those before it were whole when it was begun
        kept = max(size - 1, 0) // PART_BYTES
        await file.truncate(kept * PART_BYTES)
        return cls(sessions, session, file, part=part, target=target, path=path, kept=kept, **settings)

    def has(self, number: int, content: bytes) -> bool:  # noqa: ARG002 - all of it is read back in the end
        """See ``Writing``."""
        return number < self._kept

    def recall(self, number: int) -> bytes | None:
        """See ``Writing``."""
        if self.checked:  # nothing is left of an earlier run
            return None

        async def act(session: Session) -> bytes:  # noqa: ARG001 - the file is of this session
            return binary(await self._file.read(PART_BYTES, number * PART_BYTES))

        return self._run(act)

    def put(self, number: int, content: bytes) -> None:
        """See ``Writing``."""

        async def act(session: Session) -> None:  # noqa: ARG001 - as above
            if content:
                await self._file.write(content, number * PART_BYTES)

        self._run(act)

    def copy(self, source: bytes, num_bytes: int) -> None:
        """The server has written the content of another of its files."""
        for start in range(0, num_bytes, _COPY_BYTES):
            length = min(_COPY_BYTES, num_bytes - start)

            async def act(session: Session, start: int = start, length: int = length) -> None:
                async with session.sftp.open(source, asyncssh.FXF_READ, encoding=None) as file:
                    await session.sftp.remote_copy(file, self._file, start, length, start)

            self._run(act)

    def complete(self, checksum: Checksum | None, *, exclusive: bool) -> Entry:  # noqa: ARG002 - nobody keeps it there
        """See ``Writing``."""

        async def act(session: Session) -> Entry:
            if self._durable:
                await self._file.fsync()
            await self._file.close()
            return await _placed(session, self._part, self._target, self._path, exclusive=exclusive)

        return self._run(act)

    def leave(self) -> None:
        """See ``Writing``."""
        if not self._open:
            return
        self._open = False

        async def act(session: Session) -> None:  # noqa: ARG001 - as above
            await self._file.close()

        with suppress(TransientError, PermanentError, OSError):
            self._sessions.run(act, self._path, session=self._session)

    def discard(self) -> None:
        """See ``Writing``."""
        self.leave()

        async def act(session: Session) -> None:
            await _removed(session, self._part)

        with suppress(TransientError, PermanentError, OSError):
            self._sessions.run(act, self._path)

    def _run(self, act: Callable[[Session], Awaitable[T]]) -> T:
        if not self._open:
            raise ValueError("it was given up")
        return self._sessions.run(act, self._path, session=self._session)


def beside(target: bytes, name: bytes) -> bytes:
    """Give the path of another file in the same folder."""
    return target[: target.rindex(b"/") + 1] + name


def binary(content: bytes | str) -> bytes:
    """What was read of a file that was opened without an encoding; the library's types allow for text."""
    return content if isinstance(content, bytes) else content.encode()


async def _new_file(session: Session, path: bytes) -> asyncssh.SFTPClientFile:
    """Give a file that was not there; what was there under this name of ours is gone, and no link was followed."""
    try:
        return await session.sftp.open(path, _NEW, encoding=None)
    except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
        await session.sftp.remove(path)
    return await session.sftp.open(path, _NEW, encoding=None)


async def _placed(session: Session, part: bytes, target: bytes, path: str, *, exclusive: bool) -> Entry:
    """The file has its name; give what is there then."""
    if exclusive:
        await _linked(session, part, target, path)
    else:
        await session.sftp.posix_rename(part, target)
    return entry_of(await session.sftp.lstat(target), path)


async def _linked(session: Session, part: bytes, target: bytes, path: str) -> None:
    """The file has its name, which nothing had before; where the server makes no links, that is looked up before."""
    try:
        await session.sftp.link(part, target)
    except asyncssh.SFTPOpUnsupported:
        with suppress(*MISSING):
            await session.sftp.lstat(target)
            raise FileExistsError(path) from None
        await session.sftp.posix_rename(part, target)
    except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
        with suppress(*MISSING):
            await session.sftp.lstat(target)
            raise FileExistsError(path) from None
        raise
    else:
        await session.sftp.remove(part)


async def _removed(session: Session, path: bytes) -> None:
    with suppress(*MISSING):
        await session.sftp.remove(path)
