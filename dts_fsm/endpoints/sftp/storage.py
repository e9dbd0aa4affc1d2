"""The files of an SFTP server as a storage, read and written by many requests in flight."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TypeVar

import asyncssh

from dts_fsm.endpoints.parts import part_prefix
from dts_fsm.endpoints.sftp.sessions import Session, Sessions
from dts_fsm.endpoints.sftp.tree import MISSING, Place, entry_of, find, make_folder
from dts_fsm.endpoints.streaming import Entry, Storage, Writing
from dts_fsm.errors import PermanentError, SizeMismatchError, SourceChangedError, TransientError
from dts_fsm.records import Checksum

T = TypeVar("T")

PART_BYTES = 8 << 20
_COPY_BYTES = 256 << 20
"""How much the server copies in one call: each has its time."""

_OPEN = asyncssh.FXF_READ | asyncssh.FXF_WRITE | asyncssh.FXF_CREAT


class SftpTree:
    """The files below the root of an endpoint.

    Args:
        sessions: asks the server.
        name: the endpoint's name; for messages.
        durable: whether files are on the server's disk before they appear.
    """

    part_bytes = PART_BYTES

    def __init__(self, sessions: Sessions, name: str, *, durable: bool) -> None:
        self.name = name
        self.sessions, self._durable = sessions, durable
        self._exclusive: bool | None = None

    @property
    def exclusive(self) -> bool:
        """Whether the server makes hard links: one fails where something is, which renaming does not."""
        if self._exclusive is None:
            self._exclusive = self.sessions.run(_makes_links, ".")
        return self._exclusive

    def look(self, path: str) -> Entry | None:
        """See ``Storage``."""
        place = self._find(path)
        return None if place is None else place.entry

    def _find(self, path: str) -> Place | None:
        async def act(session: Session) -> Place | None:
            return await find(session, path, follow=True)

        return self.sessions.run(act, path)

    def fetch(self, path: str, num_bytes: int) -> tuple[Entry, bytes] | None:
        """See ``Storage``."""
        place = self._find(path)
        if place is None:
            return None
        if place.entry.bytes != num_bytes:
            raise SizeMismatchError(path, num_bytes, place.entry.bytes)
        return place.entry, self.read(path, place.entry, 0, num_bytes)

    def read(self, path: str, entry: Entry, start: int, stop: int) -> bytes:
        """See ``Storage``."""

        async def act(session: Session) -> bytes:
            place = await find(session, path, follow=True)
            if place is None:
                raise SourceChangedError(f"{path}: the file has gone")
            async with session.sftp.open(place.path, asyncssh.FXF_READ, encoding=None) as file:
                content = await file.read(stop - start, start)
                found = entry_of(await file.stat(), path)
            if found != entry or place.entry != entry or len(content) != stop - start:
                raise SourceChangedError(f"{path}: the file changed while it was read")
            return _binary(content)

        return self.sessions.run(act, path)

    def write(self, path: str, *, num_bytes: int, operation: str, version: str) -> Writing:
        """See ``Storage``."""

        async def act(session: Session) -> _Part:
            folder = await make_folder(session, path)
            await find(session, path, follow=False)  # a link is not replaced
            name = PurePosixPath(path).name
            content = hashlib.sha256(f"{name}\0{num_bytes}\0{version}".encode("utf-8", "surrogateescape")).hexdigest()
            part = folder + f"/{part_prefix(operation)}{content[:24]}.part".encode()
            with suppress(*MISSING):
                there = await session.sftp.lstat(part)
                if not version or there.type != asyncssh.FILEXFER_TYPE_REGULAR:
                    await session.sftp.remove(part)
            file = await session.sftp.open(part, _OPEN, encoding=None)
            size = (await file.stat()).size or 0
            # the part that was written last may have holes; those before it were whole when it was begun
            kept = max(size - 1, 0) // PART_BYTES
            await file.truncate(kept * PART_BYTES)
            target = folder + b"/" + name.encode()
            return _Part(self, session, file, part, target, path, kept=kept, durable=self._durable)

        return self.sessions.run(act, path)

    def clear(self, paths: Collection[str], operation: str) -> None:
        """See ``Storage``."""
        prefix = part_prefix(operation).encode()

        async def act(session: Session) -> None:
            for folder in {str(PurePosixPath(path).parent) for path in paths}:
                try:
                    names = await session.sftp.listdir(session.root + b"/" + folder.encode())
                except asyncssh.SFTPError:
                    continue  # it was never made
                for name in names:
                    if isinstance(name, bytes) and name.startswith(prefix):
                        with suppress(asyncssh.SFTPError):
                            await session.sftp.remove(session.root + b"/" + folder.encode() + b"/" + name)

        self.sessions.run(act, next(iter(paths), "."))

    def can_copy(self, source: Storage) -> bool:
        """True for another tree of the same server, reached as the same user, if the server can copy."""
        if not isinstance(source, SftpTree) or source.sessions.login != self.sessions.login:
            return False

        async def act(session: Session) -> bool:
            return session.sftp.supports_remote_copy

        return self.sessions.run(act, ".")

    def copy(
        self, source: Storage, source_path: str, entry: Entry, path: str, *, operation: str, exclusive: bool
    ) -> Entry:
        """See ``Storage``."""
        if not isinstance(source, SftpTree):
            raise PermanentError(f"{source_path}: is not at this server")
        place = source._find(source_path)
        if place is None or place.entry != entry:
            raise SourceChangedError(f"{source_path}: the file changed before it was copied")
        part = self.write(path, num_bytes=entry.bytes, operation=operation, version="")
        try:
            if not isinstance(part, _Part):
                raise TypeError("what is written here is a part")
            part.copy(place.path, entry.bytes)
            if source.look(source_path) != entry:
                raise SourceChangedError(f"{source_path}: the file changed while it was copied")
            return part.complete(None, exclusive=exclusive)
        finally:
            part.discard()


class _Part:
    """A file that is being written beside its target, under a name that says of which move, and of what content.

    SFTP has no locks: that nobody else writes it rests on the move's id in its name, and on the one process that moves.
    """

    in_order = True
    checked = False
    part_bytes = PART_BYTES

    def __init__(
        self,
        tree: SftpTree,
        session: Session,
        file: asyncssh.SFTPClientFile,
        part: bytes,
        target: bytes,
        path: str,
        *,
        kept: int,
        durable: bool,
    ) -> None:
        self._tree, self._session, self._file = tree, session, file
        self._part, self._target, self._path = part, target, path
        self._kept, self._durable = kept, durable
        self._open = True

    def has(self, number: int, content: bytes) -> bool:  # noqa: ARG002 - all of it is read back in the end
        """See ``Writing``."""
        return number < self._kept

    def recall(self, number: int) -> bytes | None:
        """See ``Writing``."""

        async def act(session: Session) -> bytes:  # noqa: ARG001 - the file is of this session
            return _binary(await self._file.read(PART_BYTES, number * PART_BYTES))

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
            if exclusive:
                await _linked(session, self._part, self._target, self._path)
            else:
                await session.sftp.posix_rename(self._part, self._target)
            return entry_of(await session.sftp.lstat(self._target), self._path)

        return self._run(act)

    def leave(self) -> None:
        """See ``Writing``."""
        if not self._open:
            return
        self._open = False

        async def act(session: Session) -> None:  # noqa: ARG001 - as above
            await self._file.close()

        with suppress(TransientError, PermanentError, OSError):
            self._tree.sessions.run(act, self._path, session=self._session)

    def discard(self) -> None:
        """See ``Writing``."""
        self.leave()

        async def act(session: Session) -> None:
            with suppress(*MISSING):
                await session.sftp.remove(self._part)

        with suppress(TransientError, PermanentError, OSError):
            self._tree.sessions.run(act, self._path)

    def _run(self, act: Callable[[Session], Awaitable[T]]) -> T:
        if not self._open:
            raise ValueError("it was given up")
        return self._tree.sessions.run(act, self._path, session=self._session)


def _binary(content: bytes | str) -> bytes:
    """What was read of a file that was opened without an encoding; the library's types allow for text."""
    return content if isinstance(content, bytes) else content.encode()


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


async def _makes_links(session: Session) -> bool:
    nothing = session.root + b"/.dts-no-such-file"
    try:
        await session.sftp.link(nothing, nothing + b"-either")
    except asyncssh.SFTPOpUnsupported:
        return False
    except asyncssh.SFTPError:
        return True
    return True
