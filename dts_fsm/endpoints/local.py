"""The endpoint of local folders: whatever this machine's file systems reach."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self
from uuid import UUID

from dts_fsm.endpoints.batches import BATCH_FILES, batches
from dts_fsm.endpoints.beneath import Sources, open_root
from dts_fsm.endpoints.durability import Durability
from dts_fsm.endpoints.endpoint import MovingEndpoint
from dts_fsm.endpoints.folder import ArrivalFolder, Folder
from dts_fsm.endpoints.jobs import Portion, Submit
from dts_fsm.endpoints.moving import move_batch
from dts_fsm.endpoints.parts import clear_folders
from dts_fsm.endpoints.streaming import Storage
from dts_fsm.errors import InvalidEndpointConfigError, PermanentError, TransientError, UnsafePathError
from dts_fsm.records import Descriptor, FileTransfer
from dts_fsm.records.checksum import DEFAULT_ALGORITHM

if TYPE_CHECKING:
    from dts_fsm.config import EndpointConfig

_HOPELESS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP})

_LEFT_TO_THE_MOVE = frozenset({errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP})
"""What keeps one file from being looked at, for good, and says nothing of the others."""


class LocalEndpoint(MovingEndpoint):
    """A folder of this machine, and workers that copy, verified, from it to the folders of other local endpoints.

    Each file is copied in bounded memory, hashed on the way, compared with its size and checksum, written beside its
    target and renamed: a target is whole, old or new, at every instant. Permission bits and modification times are
    kept, ownership, setuid bits and extended attributes are not. A target that is already there, with the right size
    and checksum, is skipped; without a checksum to compare with, source and target are both hashed. What becomes of one
    with other content, ``FileTransfer.overwrite`` says; where it is "never", one that appears during the copy is left
    as it is, too (on a file system without hard links up to the instant of a last look).

    Nothing leaves the root. At a source, symbolic links are followed where they are relative and stay below the root;
    at a destination none is followed, and none is replaced. What is not a regular file is refused, without blocking.

    What a killed process has begun is not known to the next: ``statuses`` answers LOST, and the same submission
    finishes the work, skips what had arrived, and clears away the unfinished files.

    Args:
        root: an existing folder.
        name: the endpoint's name in the configuration; for messages.
        workers: how many files are moved at once, at least 1.
        executor: what moves the bytes instead of the endpoint's own threads: processes, or a cluster whose workers see
            both roots under the same paths. It remains the caller's to shut down. Work is given to it in small batches
            of files; progress and cancellation then go batch by batch, not within a file, and what a canceled batch
            still does is ignored. A fence does not hold it: see ``fence``.
        durable: what survives a power cut of the files that arrive here: a ``Durability`` or its name; True is "batch",
            False "none".
        default_checksum: with what files that arrive here are hashed where nobody says which checksum they must have,
            so that it can be told; "none": they are not. Those that must have one are always verified.

    Raises:
        InvalidEndpointConfigError: the root is not an existing folder, ``workers`` is not a whole number above 0,
            ``durable`` or ``default_checksum`` is not one of these, or what the latter needs is not installed.
    """

    provider = "local"

    def __init__(
        self,
        *,
        root: str | Path,
        name: str = "local",
        workers: int = 4,
        executor: Executor | None = None,
        durable: bool | str = Durability.BATCH,
        default_checksum: str = DEFAULT_ALGORITHM,
    ) -> None:
        super().__init__(root=os.path.abspath(root), name=name, workers=workers, default_checksum=default_checksum)
        if not os.path.isdir(self._root):
            raise InvalidEndpointConfigError(
                f"{self._root!r} is not an existing folder: make it, or correct the root", key=f"endpoints.{name}.root"
            )
        try:
            self._durable = Durability.of(durable)
        except ValueError:
            words = ", ".join(map(repr, map(str, Durability)))
            raise InvalidEndpointConfigError(
                f"must be one of {words}, true or false, not {durable!r}", key=f"endpoints.{name}.durable"
            ) from None
        self._executor = executor

    @classmethod
    def from_config(cls, config: EndpointConfig, *, executor: Executor | None = None) -> Self:
        """Make the endpoint that a section of the configuration describes.

        Its options are ``workers``, ``durable`` and ``default_checksum``.

        Raises:
            InvalidEndpointConfigError: the root is not an existing folder, or an option is unknown or wrong.
        """
        for option in config.options:
            if option not in ("workers", "durable", "default_checksum"):
                raise InvalidEndpointConfigError(
                    "a local endpoint has no such option: it has 'workers', 'durable' and 'default_checksum'",
                    key=f"endpoints.{config.key}.{option}",
                )
        return cls(root=config.root, name=config.key, executor=executor, **config.options)

    def storage(self, *, arriving: bool) -> Storage:
        """Give how files of the root are read, or, ``arriving``, written; see ``MovingEndpoint``."""
        return (
            ArrivalFolder(self._root, self.name, durable=self._durable) if arriving else Folder(self._root, self.name)
        )

    def files_staged(self, descriptors: Sequence[Descriptor]) -> Mapping[str, bool]:
        """Give for each descriptor's id whether a regular file of its size is at its path, links as for a source.

        A file that this process may not look at (below a folder that it may not search, or with a name that is too
        long) counts as staged: the move then says what is wrong with that file, and the others are not held up. To
        wait for such a file would be in vain.

        Raises:
            PermanentError: the root does not exist, or may not be read.
            TransientError: the file system cannot answer now.
        """
        where = self._root
        try:
            root = open_root(self._root)
            sources = Sources(root)
            try:
                answer = {}
                for descriptor in descriptors:
                    where = os.path.join(self._root, descriptor.path or "")
                    answer[descriptor.id] = _is_staged(sources, descriptor)
                return answer
            finally:
                sources.close()
                os.close(root)
        except OSError as error:
            kind = PermanentError if error.errno in _HOPELESS else TransientError
            raise kind(f"the endpoint {self.name!r} cannot look at {where!r}: {error.strerror}") from error

    def _work(
        self, destination: MovingEndpoint, files: Sequence[FileTransfer], operation_id: UUID
    ) -> tuple[Iterator[Portion], Submit]:
        if not isinstance(destination, LocalEndpoint):
            return super()._work(destination, files, operation_id)
        work = batches(
            files,
            source_root=self._root,
            destination_root=destination.root,
            operation_id=operation_id,
            durable=destination._durable,
            algorithm=destination._algorithm,
            max_files=min(BATCH_FILES, 1 + len(files) // (2 * self._workers)),
        )
        if (executor := self._executor) is not None:
            return work, lambda batch, _meter: executor.submit(move_batch, batch)
        pool = self._threads()
        return work, lambda batch, meter: pool.submit(partial(move_batch, batch), meter)

    def _clear(self, files: Sequence[FileTransfer], operation_id: UUID) -> None:
        clear_folders(self._root, [file.destination_path for file in files], operation_id.hex)


def _is_staged(sources: Sources, descriptor: Descriptor) -> bool:
    try:
        return sources.look(descriptor.path or "").st_size == descriptor.bytes
    except (FileNotFoundError, NotADirectoryError, UnsafePathError):
        return False
    except OSError as error:
        if error.errno in _LEFT_TO_THE_MOVE:
            return True
        raise
