"""The parts of one large file, on their way from a storage to another."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future, wait
from typing import TypeVar

import attrs

from dts_fsm.endpoints.batches import Meter
from dts_fsm.endpoints.streaming.buffers import LOOK_S, Buffers
from dts_fsm.endpoints.streaming.storage import Entry, Storage, Writing
from dts_fsm.errors import TransientError
from dts_fsm.records import Checksum
from dts_fsm.records.checksum import new_hasher

T = TypeVar("T")

_AHEAD = 4
"""How many parts of one file are read, or put, at once."""


@attrs.frozen(kw_only=True)
class Pump:
    """Puts every part of a file.

    Attributes:
        source, path, entry: what is read.
        writing: where it is put.
        algorithms: with what it is hashed on the way.
        lines: makes the calls.
        buffers: bounds the memory.
    """

    source: Storage
    path: str
    entry: Entry
    writing: Writing
    algorithms: Sequence[str]
    lines: Executor
    buffers: Buffers

    def pumped(self, meter: Meter) -> tuple[list[Checksum], bool]:
        """Put all parts; give the content's checksums, and whether some of it was found in what was put before.

        Several parts are read, and put, at once; they are hashed here, in their order. Each holds one buffer, from its
        reading to the end of its putting; who holds none waits for one, so that nobody waits for another who waits.
        """
        entry, writing, size = self.entry, self.writing, self.writing.part_bytes
        hashers = {algorithm: new_hasher(algorithm) for algorithm in self.algorithms}
        held, recalled = 0, False
        parts = enumerate(range(0, max(entry.bytes, 1), size))
        part = next(parts, None)
        reads: deque[tuple[int, Future[tuple[bytes, bool]]]] = deque()
        puts: deque[Future[None]] = deque()
        try:
            while part is not None or reads or puts:
                while part is not None and len(reads) < _AHEAD and self.buffers.take(size, None if held else meter):
                    held += 1
                    number, start = part
                    part = next(parts, None)
                    stop = min(start + size, entry.bytes)
                    reads.append((number, self.lines.submit(self._part, number, start, stop)))
                while puts and (not reads or len(puts) >= _AHEAD or puts[0].done()):
                    self._put_ended(puts, size, meter)
                    held -= 1
                if reads:
                    content, old = _result(reads[0][1], meter)
                    number, _ = reads.popleft()
                    recalled |= old
                    for hasher in hashers.values():
                        hasher.update(content)
                    meter.advance(len(content))
                    while writing.in_order and puts:  # after one that has failed comes none: it would leave a hole
                        self._put_ended(puts, size, meter)
                        held -= 1
                    puts.append(self.lines.submit(_put, writing, number, content, old))
        finally:
            held -= self._left_behind([read for _, read in reads], size)
            wait([put for put in puts if not put.cancel()])
            self.buffers.give(held * size)
        return [Checksum(algorithm, hasher.hexdigest()) for algorithm, hasher in hashers.items()], recalled

    def _put_ended(self, puts: deque[Future[None]], size: int, meter: Meter) -> None:
        """The first of them has ended, and its buffer is free."""
        _result(puts[0], meter)
        puts.popleft()
        self.buffers.give(size)

    def _left_behind(self, reads: list[Future[tuple[bytes, bool]]], size: int) -> int:
        """Nobody waits for these reads any more; give how many of them give their buffer back by themselves."""
        num_left = 0
        for read in reads:
            if not read.cancel() and not read.done():
                num_left += 1
                read.add_done_callback(lambda _: self.buffers.give(size))
        return num_left

    def _part(self, number: int, start: int, stop: int) -> tuple[bytes, bool]:
        """Give a part's content, and whether it was put before."""
        content = self.writing.recall(number) if self.writing.checked else None
        if content is not None and len(content) == stop - start:
            return content, True
        content = self.source.read(self.path, self.entry, start, stop)
        check_length(self.path, content, stop - start)
        return content, False


def _put(writing: Writing, number: int, content: bytes, old: bool) -> None:
    if not old and not writing.has(number, content):
        writing.put(number, content)


def _result(future: Future[T], meter: Meter) -> T:
    """Give what the call gives, however long that takes, unless the move is canceled.

    Raises:
        CanceledError: it was; the call goes on.
    """
    while not wait([future], LOOK_S).done:
        meter.advance(0)
    return future.result()


def check_length(path: str, content: bytes, num_bytes: int) -> None:
    """Refuse content of another length than was asked for.

    Raises:
        TransientError: it is.
    """
    if len(content) != num_bytes:
        raise TransientError(f"{path}: {len(content)} bytes were read where there are {num_bytes}")
