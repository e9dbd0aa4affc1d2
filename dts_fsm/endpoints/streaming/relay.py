"""Moving one file from a storage to another: hashed on the way, in bounded memory, verified before it appears."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from typing import Any

import attrs

from dts_fsm.endpoints.batches import Meter
from dts_fsm.endpoints.outcomes import SourceMissingError, TargetExistsError
from dts_fsm.endpoints.streaming.storage import Entry, Storage, Writing
from dts_fsm.errors import (
    ChecksumMismatchError,
    PermanentError,
    ProviderError,
    SizeMismatchError,
    SourceChangedError,
    TransientError,
)
from dts_fsm.records import Checksum, FileOutcome, FileState, FileTransfer, Overwrite
from dts_fsm.records.checksum import DEFAULT_ALGORITHM, DIGEST_HEX_DIGITS, new_hasher

_AHEAD = 4
"""How many parts of one file are read, or put, at once."""


class Buffers:
    """How many bytes all moves of an endpoint may have in memory together; a file always gets one part."""

    def __init__(self, num_bytes: int) -> None:
        self._left = num_bytes
        self._changed = threading.Condition()

    def take(self, num_bytes: int, *, wait: bool) -> bool:
        """Reserve so many; False where they are not there, and nobody waits. Larger ones than all are given alone."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._left > 0)
            elif self._left < num_bytes:
                return False
            self._left -= num_bytes
            return True

    def give(self, num_bytes: int) -> None:
        """They are free again."""
        with self._changed:
            self._left += num_bytes
            self._changed.notify_all()


@attrs.frozen(kw_only=True)
class Relay:
    """Moves files between two storages; safe for threads, each with a file of its own.

    Attributes:
        source, destination: the storages.
        operation: the move's id in hexadecimal.
        algorithm: with what files are hashed that have no checksum to be compared with; None: they are not.
        lines: makes the calls of large files, several at once; they wait for nobody.
        buffers: bounds the memory.
    """

    source: Storage
    destination: Storage
    operation: str
    algorithm: str | None
    lines: Executor
    buffers: Buffers

    def move(self, file: FileTransfer, meter: Meter) -> FileOutcome:
        """Give the outcome TRANSFERRED or SKIPPED, with observed size and checksum.

        The meter is looked at after each part, and directly before the file appears.

        Raises:
            ProviderError, OSError: the file could not be moved; what was there is there as it was.
            CanceledError: the move was canceled.
        """
        if self.destination.can_copy(self.source):
            return self._copied(file, meter)
        if file.bytes is not None and file.bytes <= self.destination.part_bytes and self.destination.exclusive:
            return self._small(file, file.bytes, meter)
        return self._large(file, meter)

    # Files of one part: one call to read, one to write, and more only where something is there

    def _small(self, file: FileTransfer, num_bytes: int, meter: Meter) -> FileOutcome:
        found = self.source.fetch(file.source_path, num_bytes)
        if found is None:
            raise _missing(file)
        entry, content = found
        observed = self._checked(file, entry, [_hashed(content, name) for name in self._algorithms(file, entry)])
        meter.advance(len(content))
        free = file.overwrite is not Overwrite.ALWAYS
        while True:
            with self._writing(file, entry) as writing:
                writing.put(0, content)
                self._read_back(file, writing, len(content), observed)
                meter.hold()
                try:
                    writing.complete(observed, exclusive=free)
                except FileExistsError:
                    there = self.destination.look(file.destination_path)
                else:
                    return _outcome(file, FileState.TRANSFERRED, len(content), observed)
            if there is None:  # it has gone again
                continue
            expected = observed or _hashed(content, DEFAULT_ALGORITHM)
            if there.bytes == len(content) and expected == self._there(file, there, expected.algorithm, meter):
                return _outcome(file, FileState.SKIPPED, len(content), observed)
            _check_replaceable(file)
            free = False

    # Files of many parts

    def _large(self, file: FileTransfer, meter: Meter) -> FileOutcome:
        entry = self._source_entry(file)
        if (skipped := self._skipped(file, entry, meter)) is not None:
            return skipped
        before = meter.num_bytes
        try:
            observed = self._streamed(file, entry, meter)
        except _LeftoverError:  # what an earlier run had left is not what it should be, and is gone now
            meter.num_bytes = before
            observed = self._streamed(file, entry, meter)
        return _outcome(file, FileState.TRANSFERRED, entry.bytes, observed)

    def _streamed(self, file: FileTransfer, entry: Entry, meter: Meter) -> Checksum | None:
        with self._writing(file, entry) as writing:
            checksums, recalled = self._pumped(file, entry, writing, meter)
            try:
                observed = self._checked(file, entry, checksums)
            except ProviderError as error:
                if recalled:
                    raise _LeftoverError(str(error)) from error
                raise
            if self.source.look(file.source_path) != entry:
                raise SourceChangedError(f"{file.source_path}: the file changed while it was moved")
            self._read_back(file, writing, entry.bytes, observed)
            meter.hold()
            try:
                writing.complete(observed, exclusive=file.overwrite is Overwrite.NEVER)
            except FileExistsError as error:
                raise TargetExistsError(file.destination_path, "a file appeared there") from error
            return observed

    def _pumped(self, file: FileTransfer, entry: Entry, writing: Writing, meter: Meter) -> tuple[list[Checksum], bool]:
        """Put all parts; give the content's checksums, and whether some of it was found in what was put before.

        Several parts are read, and put, at once; they are hashed here, in their order. Each holds one buffer, from its
        reading to the end of its putting; who holds none waits for one, so that nobody waits for another who waits.
        """
        hashers = {algorithm: new_hasher(algorithm) for algorithm in self._algorithms(file, entry)}
        size, held, recalled = writing.part_bytes, 0, False
        begun, num_parts = 0, max(1, -(-entry.bytes // size))
        reads: deque[tuple[int, Future[tuple[bytes, bool]]]] = deque()
        puts: deque[Future[None]] = deque()
        try:
            while begun < num_parts or reads or puts:
                while begun < num_parts and len(reads) < _AHEAD and self.buffers.take(size, wait=held == 0):
                    held += 1
                    start, stop = begun * size, min((begun + 1) * size, entry.bytes)
                    reads.append((begun, self.lines.submit(self._part, file, entry, writing, begun, start, stop)))
                    begun += 1
                while puts and (not reads or len(puts) >= _AHEAD or puts[0].done()):
                    puts.popleft().result()
                    self.buffers.give(size)
                    held -= 1
                if reads:
                    number, read = reads.popleft()
                    content, old = read.result()
                    recalled |= old
                    for hasher in hashers.values():
                        hasher.update(content)
                    meter.advance(len(content))
                    if writing.in_order and puts:
                        wait(puts)
                    puts.append(self.lines.submit(_put, writing, number, content, old))
        finally:
            unfinished: list[Future[Any]] = [*puts, *(read for _, read in reads)]
            wait([future for future in unfinished if not future.cancel()])
            self.buffers.give(held * size)
        return [Checksum(algorithm, hasher.hexdigest()) for algorithm, hasher in hashers.items()], recalled

    def _part(
        self, file: FileTransfer, entry: Entry, writing: Writing, number: int, start: int, stop: int
    ) -> tuple[bytes, bool]:
        """Give a part's content, and whether it was put before."""
        content = writing.recall(number) if writing.checked else None
        if content is not None and len(content) == stop - start:
            return content, True
        return self.source.read(file.source_path, entry, start, stop), False

    # Copies inside a service

    def _copied(self, file: FileTransfer, meter: Meter) -> FileOutcome:
        entry = self._source_entry(file)
        if (skipped := self._skipped(file, entry, meter)) is not None:
            return skipped
        observed: Checksum | None = None
        if (algorithm := file.hash.algorithm if file.hash else self.algorithm) is not None:
            # before: a copy that has appeared cannot be taken back
            observed = self._digest(self.source, file.source_path, entry, algorithm, meter)
            if file.hash not in (None, observed):
                raise ChecksumMismatchError(file.source_path, str(file.hash), str(observed))
        meter.hold()
        try:
            there = self.destination.copy(
                self.source,
                file.source_path,
                entry,
                file.destination_path,
                operation=self.operation,
                exclusive=file.overwrite is Overwrite.NEVER,
            )
        except FileExistsError as error:
            raise TargetExistsError(file.destination_path, "a file appeared there") from error
        if there.bytes != entry.bytes:
            raise SizeMismatchError(file.destination_path, entry.bytes, there.bytes)
        meter.advance(there.bytes)
        return _outcome(file, FileState.TRANSFERRED, there.bytes, observed)

    # What is there already

    def _skipped(self, file: FileTransfer, entry: Entry, meter: Meter) -> FileOutcome | None:
        """Give the outcome of a file that is there, and right; None for one that is to be moved."""
        there = self.destination.look(file.destination_path)
        if there is None or file.overwrite is Overwrite.ALWAYS:
            return None
        if there.bytes == entry.bytes:
            algorithm = file.hash.algorithm if file.hash else self.algorithm or DEFAULT_ALGORITHM
            expected = file.hash or self._digest(self.source, file.source_path, entry, algorithm, meter)
            if self._there(file, there, algorithm, meter) == expected:
                return _outcome(file, FileState.SKIPPED, there.bytes, expected)
        _check_replaceable(file)
        return None

    def _there(self, file: FileTransfer, there: Entry, algorithm: str, meter: Meter) -> Checksum:
        return self._digest(self.destination, file.destination_path, there, algorithm, meter)

    def _digest(self, storage: Storage, path: str, entry: Entry, algorithm: str, meter: Meter) -> Checksum:
        """Give the checksum of a file, from the service where that knows it, else from the bytes."""
        if (known := entry.checksums.get(algorithm)) is not None:
            return Checksum(algorithm, known)
        hasher = new_hasher(algorithm)
        for start in range(0, entry.bytes, storage.part_bytes):
            hasher.update(storage.read(path, entry, start, min(start + storage.part_bytes, entry.bytes)))
            meter.advance(0)
        return Checksum(algorithm, hasher.hexdigest())

    # Checks

    def _source_entry(self, file: FileTransfer) -> Entry:
        entry = self.source.look(file.source_path)
        if entry is None:
            raise _missing(file)
        _check_size(file, entry.bytes)
        return entry

    @contextmanager
    def _writing(self, file: FileTransfer, entry: Entry) -> Iterator[Writing]:
        """A file that is being written: after a fault that may pass, what was put is kept for another attempt."""
        writing = self.destination.write(
            file.destination_path, num_bytes=entry.bytes, operation=self.operation, version=entry.version
        )
        try:
            yield writing
        except (PermanentError, _LeftoverError):
            writing.discard()
            raise
        except BaseException:
            writing.leave()
            raise
        else:
            writing.discard()

    def _algorithms(self, file: FileTransfer, entry: Entry) -> list[str]:
        """With what a content is hashed: the first is told; a second, where the source's service knows only that."""
        told = file.hash.algorithm if file.hash else self.algorithm
        if told is None:
            return []
        known = (
            []
            if file.hash or told in entry.checksums
            else [name for name in entry.checksums if name in DIGEST_HEX_DIGITS]
        )
        return [told, *known[:1]]

    def _checked(self, file: FileTransfer, entry: Entry, checksums: Sequence[Checksum]) -> Checksum | None:
        """Give the checksum that is told, compared with what the descriptor says, else with what the service knows."""
        if not checksums:
            return None
        observed = checksums[0]
        if file.hash is not None:
            if file.hash != observed:
                raise ChecksumMismatchError(file.source_path, str(file.hash), str(observed))
            return observed
        for checksum in checksums:
            if (known := entry.checksums.get(checksum.algorithm, checksum.digest)) != checksum.digest:
                raise TransientError(
                    f"{file.source_path}: its service knows {checksum.algorithm}:{known}, and {checksum} was read"
                )
        return observed

    def _read_back(self, file: FileTransfer, writing: Writing, num_bytes: int, observed: Checksum | None) -> None:
        """Compare what was put with what was read, where nobody else has."""
        if writing.checked or observed is None:
            return
        hasher = new_hasher(observed.algorithm)
        for number in range(-(-num_bytes // writing.part_bytes)):
            hasher.update(writing.recall(number) or b"")
        if (found := hasher.hexdigest()) != observed.digest:
            # not the source is wrong, but what has arrived of it: another attempt may go better
            writing.discard()
            raise TransientError(f"{file.destination_path}: {observed} was written, and {found} read back")


class _LeftoverError(Exception):
    """The content is wrong, and some of it was left by an earlier run: it may be that which is wrong."""


def _put(writing: Writing, number: int, content: bytes, old: bool) -> None:
    if not old and not writing.has(number, content):
        writing.put(number, content)


def _hashed(content: bytes, algorithm: str) -> Checksum:
    hasher = new_hasher(algorithm)
    hasher.update(content)
    return Checksum(algorithm, hasher.hexdigest())


def _missing(file: FileTransfer) -> SourceMissingError:
    return SourceMissingError(f"{file.source_path}: there is no such file at the source")


def _check_size(file: FileTransfer, num_bytes: int) -> None:
    if file.bytes not in (None, num_bytes):
        raise SizeMismatchError(file.source_path, file.bytes, num_bytes)


def _check_replaceable(file: FileTransfer) -> None:
    if file.overwrite is Overwrite.NEVER:
        raise TargetExistsError(file.destination_path, "a file with other content is there")


def _outcome(file: FileTransfer, state: FileState, num_bytes: int, observed: Checksum | None) -> FileOutcome:
    return FileOutcome(
        id=file.id, state=state, observed_bytes=num_bytes, observed_hash=None if observed is None else str(observed)
    )
