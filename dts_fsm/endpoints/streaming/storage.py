"""The contract of a storage: how this machine reads and writes where an endpoint's files are.

What moves bytes between two storages (``relay``) is written once, against this. A storage knows its service's calls and
nothing of policies, of hashing or of moves. Everything may block, with time-outs, and is called from several threads.
Errors are ``TransientError`` and ``PermanentError``, with a sentence that names the file, and ``OSError`` where a file
system speaks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import attrs

from dts_fsm.records import Checksum


@attrs.frozen(kw_only=True)
class Entry:
    """A file as it is found.

    Attributes:
        bytes: its size.
        version: text that is another whenever the content may be another (an ETag, a time of modification with the
            size, ...); "" where nothing of that kind is known.
        checksums: digests in hexadecimal by algorithm (``dts_fsm.records.checksum``), of the whole content, which the
            service has computed from the bytes. Never the ETag of a multipart object.
    """

    bytes: int
    version: str
    checksums: Mapping[str, str] = attrs.field(factory=dict)


class Writing(Protocol):
    """A file that is being written, in parts, and appears whole when it is completed.

    Part number n (from 0) begins at n times ``part_bytes``; all parts but the last have that size. What was put stays
    after a kill where the service can keep it, and is found again by who begins to write the same content for the same
    operation.
    """

    @property
    def part_bytes(self) -> int:
        """The size of its parts."""
        ...

    @property
    def in_order(self) -> bool:
        """True where parts must be put one after the other; else several are put at once."""
        ...

    @property
    def checked(self) -> bool:
        """True where the service has compared what it has received with a checksum, or is this machine's file system.

        Where it is False, the content is read back (``recall``) and compared before the file is completed.
        """
        ...

    def has(self, number: int, content: bytes) -> bool:
        """True where this part, with this content, was put before; it need not be put again."""
        ...

    def recall(self, number: int) -> bytes | None:
        """Give a part that was put (before, too), or None where reading it is not possible, or as dear as its source.

        Only where ``checked`` is False must it give what was put.
        """
        ...

    def put(self, number: int, content: bytes) -> None:
        """Put a part. Idempotent."""
        ...

    def complete(self, checksum: Checksum | None, *, exclusive: bool) -> Entry:
        """Let the file appear, whole, in one step, and give what is there then.

        Args:
            checksum: of the whole content; the service keeps it, or checks it, where it can.
            exclusive: only if nothing has that name at that instant.

        Raises:
            FileExistsError: something has that name, and ``exclusive`` was asked for; nothing has changed.
        """
        ...

    def leave(self) -> None:
        """Give up for now: what was put is kept for another attempt where possible, and nothing is open. Idempotent."""
        ...

    def discard(self) -> None:
        """Nothing is left of it; a file that was completed stays. Idempotent."""
        ...


class Storage(Protocol):
    """The files below an endpoint's root.

    Paths are relative, with "/" between components, and come from outside: what would lead elsewhere is refused with
    ``UnsafePathError``.

    Attributes:
        name: the endpoint's name; for messages.
        part_bytes: in what portions its large files are best read. A file of up to that size is small: it is read by
            one ``fetch`` and written by one ``put``.
    """

    name: str
    part_bytes: int

    @property
    def exclusive(self) -> bool:
        """Whether ``Writing.complete`` can be exclusive without a race; may ask the service, once.

        Raises:
            TransientError, PermanentError: the service does not answer.
        """
        ...

    def look(self, path: str) -> Entry | None:
        """Give what is there; None where there is nothing.

        Raises:
            UnsafePathError: it is no regular file.
        """
        ...

    def fetch(self, path: str, num_bytes: int) -> tuple[Entry, bytes] | None:
        """Give a small file of this size and its content, in one call where possible; None where there is nothing.

        Raises:
            SizeMismatchError: it has another size; nothing of it was read, however much there is.
            SourceChangedError: it changed while it was read.
        """
        ...

    def read(self, path: str, entry: Entry, start: int, stop: int) -> bytes:
        """Give the bytes from ``start`` up to before ``stop``, all of them, of exactly this version.

        Raises:
            SourceChangedError: the file is not the one that was found.
        """
        ...

    def write(self, path: str, *, num_bytes: int, operation: str, version: str) -> Writing:
        """Begin to write a file, or go on with what an earlier run has left unfinished. Nothing appears.

        Args:
            num_bytes: its size.
            operation: the move's id in hexadecimal; others leave alone what this move has left unfinished.
            version: that of the source; parts of another are not gone on with.
        """
        ...

    def clear(self, paths: Collection[str], operation: str) -> None:
        """Nothing is left of what was begun to be written at these paths for this operation.

        What cannot be removed stays. Idempotent.
        """
        ...

    def can_copy(self, source: Storage) -> bool:
        """True where the service can copy files from that storage without their bytes passing through this machine."""
        ...

    def copy(
        self, source: Storage, source_path: str, entry: Entry, path: str, *, operation: str, exclusive: bool
    ) -> Entry:
        """Copy inside the service: the file of this version appears at ``path`` whole, in one step; give what is there.

        Only where ``can_copy``.

        Raises:
            SourceChangedError: the source is not the one that was found.
            FileExistsError: something is at ``path``, and ``exclusive`` was asked for.
        """
        ...
