"""The files of an SFTP server as a storage, read and written by many requests in flight."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import suppress
from pathlib import PurePosixPath

import asyncssh

from dts_fsm.endpoints.parts import is_part_of, part_begins
from dts_fsm.endpoints.sftp.sessions import Session, Sessions
from dts_fsm.endpoints.sftp.tree import Place, entry_of, find
from dts_fsm.endpoints.sftp.writing import PART_BYTES, LargeFile, SmallFile, binary
from dts_fsm.endpoints.streaming import Entry, Storage, Writing
from dts_fsm.errors import PermanentError, SizeMismatchError, SourceChangedError
from dts_fsm.records.checks import normal_path


class SftpTree:
    """The files below the root of an endpoint.

    Args:
        sessions: asks the server.
        name: the endpoint's name; for messages.
        durable: whether files are on the server's disk before they appear.
        read_back: whether all that was written is read back before it appears.
    """

    part_bytes = PART_BYTES

    def __init__(self, sessions: Sessions, name: str, *, durable: bool, read_back: bool) -> None:
        self.name = name
        self.sessions, self._durable, self._read_back = sessions, durable, read_back
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

    def fetch(self, path: str, num_bytes: int) -> tuple[Entry, bytes] | None:
        """See ``Storage``."""

        async def act(session: Session) -> tuple[Entry, bytes] | None:
            place = await find(session, path)
            if place is None:
                return None
            if place.entry.bytes != num_bytes:
                raise SizeMismatchError(path, num_bytes, place.entry.bytes)
            return place.entry, await _read(session, place, path, 0, num_bytes)

        return self.sessions.run(act, path)

    def read(self, path: str, entry: Entry, start: int, stop: int) -> bytes:
        """See ``Storage``."""

        async def act(session: Session) -> bytes:
            place = await find(session, path)
            if place is None or place.entry != entry:
                raise SourceChangedError(f"{path}: the file changed while it was read")
            return await _read(session, place, path, start, stop)

        return self.sessions.run(act, path)

    def write(self, path: str, *, num_bytes: int, operation: str, version: str) -> Writing:
        """See ``Storage``."""
        part_name = _part_name(path, num_bytes=num_bytes, operation=operation, version=version)
        if num_bytes <= PART_BYTES and not self._read_back:
            return SmallFile(self.sessions, part_name, path, durable=self._durable)
        return self._begun(part_name, path, go_on=bool(version))

    def clear(self, paths: Collection[str], operation: str) -> None:
        """See ``Storage``."""
        begins: dict[str, set[str]] = {}
        for path, _, name in (normal_path(path).rpartition("/") for path in paths):
            begins.setdefault(path, set()).add(part_begins(operation, name))

        async def act(session: Session) -> None:
            for path, unwanted in begins.items():
                folder = session.root + b"/" + path.encode()
                try:
                    names = await session.sftp.listdir(folder)
                except asyncssh.SFTPError:
                    continue  # it was never made
                for name in map(binary, names):
                    if is_part_of(unwanted, name.decode("utf-8", "replace")):
                        with suppress(asyncssh.SFTPError):
                            await session.sftp.remove(folder + b"/" + name)

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
        part_name = _part_name(path, num_bytes=entry.bytes, operation=operation, version="")
        part = self._begun(part_name, path, go_on=False)
        try:
            part.copy(place.path, entry.bytes)
            if source.look(source_path) != entry:
                raise SourceChangedError(f"{source_path}: the file changed while it was copied")
            return part.complete(None, exclusive=exclusive)
        finally:
            part.discard()

    def _find(self, path: str) -> Place | None:
        async def act(session: Session) -> Place | None:
            return await find(session, path)

        return self.sessions.run(act, path)

    def _begun(self, part_name: bytes, path: str, *, go_on: bool) -> LargeFile:
        async def act(session: Session) -> LargeFile:
            settings = {"durable": self._durable, "read_back": self._read_back}
            return await LargeFile.begun(self.sessions, session, part_name, path, go_on=go_on, **settings)

        return self.sessions.run(act, path)


def _part_name(path: str, *, num_bytes: int, operation: str, version: str) -> bytes:
    content = hashlib.sha256(f"{num_bytes}\0{version}".encode("utf-8", "surrogateescape")).hexdigest()
    return f"{part_begins(operation, PurePosixPath(path).name)}{content[:24]}.part".encode()


async def _read(session: Session, place: Place, path: str, start: int, stop: int) -> bytes:
    """Give part of a file, which is the one that was found."""
    async with session.sftp.open(place.path, asyncssh.FXF_READ, encoding=None) as file:
        content = binary(await file.read(stop - start, start))
        found = entry_of(await file.stat(), path)
    if found != place.entry or len(content) != stop - start:
        raise SourceChangedError(f"{path}: the file changed while it was read")
    return content


async def _makes_links(session: Session) -> bool:
    nothing = session.root + b"/.dts-no-such-file"
    try:
        await session.sftp.link(nothing, nothing + b"-either")
    except asyncssh.SFTPOpUnsupported:
        return False
    except asyncssh.SFTPError:
        return True
    return True
