"""Moving a batch of files between two local folders.

What passes to and from ``move_batch`` can be pickled: it may run in a thread, a process, or on a cluster's worker.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress

import attrs

from dts_fsm.endpoints.batches import Batch, CanceledError, Meter
from dts_fsm.endpoints.beneath import Sources, components, make_folder, open_root
from dts_fsm.endpoints.copying import Copier
from dts_fsm.endpoints.durability import Durability, sync_file_system, syncs_at_once
from dts_fsm.endpoints.outcomes import failure, failures
from dts_fsm.endpoints.parts import part_names, sweep
from dts_fsm.endpoints.turns import Turn, Turns
from dts_fsm.errors import ProviderError
from dts_fsm.records import FileOutcome, FileState, FileTransfer, Overwrite

_MIN_FILES_AT_ONCE = 5
"""Fewer files than this are synced one by one: they should not wait for what others write to the file system."""

_MAX_OPEN_FOLDERS = 32  # a worker's share of the 1,024 files that a process may usually have open


_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def move_batch(batch: Batch, meter: Meter | None = None, turns: Turns | None = None) -> list[FileOutcome]:
    """Move the files, and give the outcome of each that was not prevented by a cancellation.

    One file's failure does not stop the others. The small files of a batch appear together, unless each is to be
    durable for itself: all are written under temporary names, made durable at once, and put in place. Safe to repeat
    after a crash, and beside a forgotten run of the same operation that still goes on: each run writes temporary files
    of its own and removes those of earlier ones. Only with a meter can it be canceled or held: it looks there after
    each chunk, and directly before it makes a folder or puts a file in place. With turns, several small files wait for
    theirs, and give it back while the disk writes.
    """
    roots: list[int] = []
    try:
        for root in (batch.source_root, batch.destination_root):
            roots.append(open_root(root))  # noqa: PERF401 - what was opened before a failure is closed below
        turn = Turn(turns if len(batch.files) >= _MIN_FILES_AT_ONCE else None)
        work = _Work(batch, meter or Meter(), turn, *roots)
        try:
            with turn:
                for file in batch.files:
                    work.move(file)
                    if batch.durable is Durability.FILE:
                        work.publish()
                work.publish()
            return work.outcomes
        finally:
            work.discard()
    except OSError as error:
        return failures(batch.files, error)
    finally:
        for root_fd in roots:
            os.close(root_fd)


@attrs.frozen
class _Folder:
    """A destination folder that is open.

    Attributes:
        device: the file system it is on.
        at_once: whether its files are made durable all at once, by syncing that file system.
        new: whether it was not there when it was opened. What others may have put there since is met when a file is put
            in place, as is what appears after a look.
    """

    fd: int
    device: int
    at_once: bool
    new: bool


@attrs.frozen
class _Copied:
    """A file that is complete and verified, but not published yet: ``part`` waits for it, or None if skipped."""

    file: FileTransfer
    folder: _Folder
    name: str
    part: str | None
    outcome: FileOutcome


class _Work:
    """A batch under way."""

    def __init__(self, batch: Batch, meter: Meter, turn: Turn, source: int, destination: int) -> None:
        self.outcomes: list[FileOutcome] = []
        self._batch, self._meter, self._turn, self._destination = batch, meter, turn, destination
        self._sources = Sources(source)
        self._durable = batch.durable is not Durability.NONE
        self._many = batch.durable is Durability.BATCH and len(batch.files) >= _MIN_FILES_AT_ONCE
        self._copier = Copier(self._sources, meter.advance, algorithm=batch.algorithm, write_back=self._durable)
        self._parts = part_names(batch.operation, batch.attempt)
        self._new_folders = set(batch.new_folders)
        self._folders: dict[str, _Folder] = {}
        self._copied: list[_Copied] = []

    def move(self, file: FileTransfer) -> None:
        """Make a verified copy beside the target, or note why that is impossible; nothing once it is canceled."""
        before = self._meter.num_bytes
        part = next(self._parts)
        try:
            self._meter.advance(0)
            *parts, name = components(file.destination_path)
            folder = self._open_folder(parts)
            sync = self._durable and not folder.at_once
            outcome = self._copier.copy(file, folder=folder.fd, name=name, part=part, sync=sync, new=folder.new)
        except CanceledError:
            self._meter.num_bytes = before
            return
        except (OSError, ProviderError) as error:
            self._meter.num_bytes = before
            self.outcomes.append(failure(file, error))
            return
        self._meter.num_bytes = before + (outcome.observed_bytes or 0)
        self._copied.append(_Copied(file, folder, name, None if outcome.state is FileState.SKIPPED else part, outcome))

    def publish(self) -> None:
        """Make the copies durable and put them in place; only now are they counted."""
        arrived: list[_Copied] = []
        try:
            with self._turn.aside():
                self._sync_contents()
            arrived = self._put_in_place()
            with self._turn.aside():
                self._sync_names(arrived)
            self._check_root()
        except OSError as error:  # nobody knows which of them are there, and would survive a power cut
            self.outcomes += failures((copied.file for copied in arrived or self._copied), error)
        else:
            for copied in arrived:
                self.outcomes.append(copied.outcome)
                self._meter.num_files += 1
                self._meter.num_skipped += copied.part is None
        self._remove_parts()

    def discard(self) -> None:
        """Remove what was not published, and close the folders. Idempotent."""
        self._remove_parts()
        for folder in self._folders.values():
            os.close(folder.fd)
        self._folders.clear()
        self._sources.close()

    def _remove_parts(self) -> None:
        for copied in self._copied:
            if copied.part is not None:
                with suppress(OSError):
                    os.unlink(copied.part, dir_fd=copied.folder.fd)
        self._copied.clear()

    def _open_folder(self, parts: Sequence[str]) -> _Folder:
        path = "/".join(parts)
        if (known := self._folders.get(path)) is not None:
            return known
        if len(self._folders) >= _MAX_OPEN_FOLDERS:
            self.publish()
            self.discard()
        made: list[int] = []

        def before() -> None:
            self._meter.hold()
            made.append(len(made))

        fd = make_folder(self._destination, parts, before=before)
        try:
            at_once = self._many and syncs_at_once(fd)
            folder = self._folders[path] = _Folder(fd, os.fstat(fd).st_dev, at_once, new=bool(made))
        except OSError:
            os.close(fd)
            raise
        if path in self._new_folders:
            if self._durable and not folder.at_once:
                os.close(make_folder(self._destination, parts, sync=True, before=self._meter.hold))
            self._new_folders.discard(path)
            self._meter.hold()  # what another process has begun since is not to be swept
            sweep(fd, self._batch.operation, before=self._batch.attempt)
        return folder

    def _sync_contents(self) -> None:
        for folder in _one_for_each_file_system(copied.folder for copied in self._copied):
            sync_file_system(folder.fd)

    def _put_in_place(self) -> list[_Copied]:
        """Put the copies in place and give those that are; the others stay behind for ``discard``."""
        arrived = []
        waiting, self._copied = self._copied, []
        for copied in waiting:
            try:
                arrived.append(self._placed(copied))
            except CanceledError:
                self._copied.append(copied)
            except (OSError, ProviderError) as error:
                self.outcomes.append(failure(copied.file, error))
                self._copied.append(copied)
        return arrived

    def _placed(self, copied: _Copied) -> _Copied:
        if copied.part is None:
            return copied
        folder, name = copied.folder.fd, copied.name
        self._meter.hold()
        if copied.file.overwrite is not Overwrite.NEVER:
            os.rename(copied.part, name, src_dir_fd=folder, dst_dir_fd=folder)
            return copied
        try:
            rename_to_nothing(copied.part, name, folder)
        except FileExistsError:  # it appeared after the look: perhaps from a forgotten run of the same operation
            found = self._copier.look(copied.file, folder, name, sync=self._durable)
            if found is None:  # and it has gone again
                raise
            if self._durable:
                os.fsync(folder)
            with suppress(OSError):
                os.unlink(copied.part, dir_fd=folder)
            return attrs.evolve(copied, part=None, outcome=found)
        return copied

    def _sync_names(self, arrived: Iterable[_Copied]) -> None:
        if not self._durable:
            return
        for fd in {copied.folder.fd for copied in arrived if not copied.folder.at_once}:
            os.fsync(fd)
        for folder in _one_for_each_file_system(copied.folder for copied in arrived if copied.part is not None):
            sync_file_system(folder.fd)

    def _check_root(self) -> None:
        """Refuse what arrived in a folder that is the destination no longer: the manifest would go to another one."""
        there, ours = os.stat(self._batch.destination_root), os.fstat(self._destination)
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            raise OSError(errno.ESTALE, "the destination's root was replaced meanwhile")


def rename_to_nothing(part: str, name: str, folder: int) -> None:
    """Give the file ``part`` this name, unless something has it: FileExistsError then, and all is as it was."""
    try:
        os.link(part, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # The file system has no hard links (vfat, some of FUSE). What appears between this look and the rename is
        # replaced: to reserve the name first would leave an empty file there after a crash.
        try:
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
            return
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
    with suppress(OSError):  # the file is in place: its other name is litter
        os.unlink(part, dir_fd=folder)


def _one_for_each_file_system(folders: Iterable[_Folder]) -> Iterable[_Folder]:
    return {folder.device: folder for folder in folders if folder.at_once}.values()
