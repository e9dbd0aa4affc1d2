"""Moving one file from a storage to another: hashed on the way, in bounded memory, verified before it appears."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager

import attrs

from dts_fsm.endpoints.batches import Meter
from dts_fsm.endpoints.outcomes import SourceMissingError, TargetExistsError
from dts_fsm.endpoints.streaming.buffers import Buffers
from dts_fsm.endpoints.streaming.pump import Pump, check_length
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

logger = logging.getLogger(__name__)

_ATTEMPTS = 3
"""How often a file is written that has to be there alone, where others appear and vanish in its place."""


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
        with self.buffers.taken(num_bytes, meter):
            found = self.source.fetch(file.source_path, num_bytes)
            if found is None:
                raise _missing(file)
            entry, content = found
            check_length(file.source_path, content, num_bytes)
            observed = self._checked(file, entry, [_hashed(content, name) for name in self._algorithms(file, entry)])
            meter.advance(len(content))
            free = file.overwrite is not Overwrite.ALWAYS
            for _ in range(_ATTEMPTS):
                with self._writing(file, entry) as writing:
                    writing.put(0, content)
                    self._read_back(file, writing, len(content), observed, meter)
                    meter.hold()
                    try:
                        _check_arrived(file, writing.complete(observed, exclusive=free), len(content))
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
            raise TransientError(f"{file.destination_path}: something appears there and vanishes again")

    # Files of many parts

    def _large(self, file: FileTransfer, meter: Meter) -> FileOutcome:
        entry = self._source_entry(file)
        if (skipped := self._skipped(file, entry, meter)) is not None:
            return skipped
        before = meter.num_bytes
        try:
            return self._streamed(file, entry, meter)
        except _LeftoverError:  # what an earlier run had left is not what it should be, and is gone now
            meter.num_bytes = before
        try:
            return self._streamed(file, entry, meter)
        except _LeftoverError as error:
            raise TransientError(f"{error}; what an earlier attempt has left there cannot be removed") from None

    def _streamed(self, file: FileTransfer, entry: Entry, meter: Meter) -> FileOutcome:
        with self._writing(file, entry) as writing:
            checksums, recalled = self._pump(file, entry, writing).pumped(meter)
            try:
                observed = self._checked(file, entry, checksums)
            except ProviderError as error:
                if recalled:
                    raise _LeftoverError(str(error)) from error
                raise
            if self.source.look(file.source_path) != entry:
                raise SourceChangedError(f"{file.source_path}: the file changed while it was moved")
            self._read_back(file, writing, entry.bytes, observed, meter)
            meter.hold()
            try:
                there = writing.complete(observed, exclusive=file.overwrite is Overwrite.NEVER)
            except FileExistsError as error:
                # it may be this very file: a service that was asked twice, as its first answer was lost
                if (skipped := self._skipped(file, entry, meter)) is not None:
                    return skipped
                raise TransientError(f"{file.destination_path}: something was there, and has gone") from error
            _check_arrived(file, there, entry.bytes)
            return _outcome(file, FileState.TRANSFERRED, entry.bytes, observed)

    def _pump(self, file: FileTransfer, entry: Entry, writing: Writing) -> Pump:
        return Pump(
            source=self.source,
            path=file.source_path,
            entry=entry,
            writing=writing,
            algorithms=self._algorithms(file, entry),
            lines=self.lines,
            buffers=self.buffers,
        )

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
            if (skipped := self._skipped(file, entry, meter)) is not None:
                return skipped
            raise TransientError(f"{file.destination_path}: something was there, and has gone") from error
        _check_arrived(file, there, entry.bytes)
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
            meter.advance(0)
            stop = min(start + storage.part_bytes, entry.bytes)
            content = storage.read(path, entry, start, stop)
            check_length(path, content, stop - start)
            hasher.update(content)
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
            _tidied(file, writing.discard)
            raise
        except BaseException:
            _tidied(file, writing.leave)
            raise
        else:
            _tidied(file, writing.discard)

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

    def _read_back(
        self, file: FileTransfer, writing: Writing, num_bytes: int, observed: Checksum | None, meter: Meter
    ) -> None:
        """Compare what was put with what was read, where nobody else has."""
        if writing.checked or observed is None:
            return
        hasher = new_hasher(observed.algorithm)
        for number in range(-(-num_bytes // writing.part_bytes)):
            meter.advance(0)
            hasher.update(writing.recall(number) or b"")
        if (found := hasher.hexdigest()) != observed.digest:
            # not the source is wrong, but what has arrived of it: another attempt may go better
            _tidied(file, writing.discard)
            raise TransientError(f"{file.destination_path}: {observed} was written, and {found} read back")


class _LeftoverError(Exception):
    """The content is wrong, and some of it was left by an earlier run: it may be that which is wrong."""


def _tidied(file: FileTransfer, tidy: Callable[[], None]) -> None:
    """Litter is no reason to fail, nor to hide why a file has failed."""
    try:
        tidy()
    except Exception:
        logger.warning(
            "what is left of a file could not be tidied up",
            exc_info=True,
            extra={"action": "move", "file_id": file.id},
        )


def _check_arrived(file: FileTransfer, there: Entry, num_bytes: int) -> None:
    if there.bytes != num_bytes:
        raise SizeMismatchError(file.destination_path, num_bytes, there.bytes)


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
