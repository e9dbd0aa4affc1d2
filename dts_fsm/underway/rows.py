"""The rows of transfers in memory: those that were decided on last, and their files once somebody looks at them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from dts_fsm.records import FileRecord
from dts_fsm.store import Store, TransferRow

_MOST_ROWS = 4000
"""Of how many transfers the rows stay in memory: about 3 kB each."""

_MOST_FILES = 40_000
"""How many files they have together: about 1 kB each, once they have been looked at."""

_MANY_FILES = 20_000
"""Transfers of more files are not kept, and their files are read in pages."""

_PAGE = 2000


class KeptRows:
    """The transfers that this process decided on last, as they are stored: nobody else writes them while it leads.

    Who changes a row takes it out, and puts it back once the change is committed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[int, TransferRow] = {}
        self._num_files = 0

    def take(self, rowids: Sequence[int]) -> dict[int, TransferRow]:
        """Give the rows, from memory or from the store; what is not there is left out."""
        rows = {rowid: self._out(rowid) for rowid in rowids if rowid in self._kept}
        return rows | self._store.load([rowid for rowid in rowids if rowid not in rows])

    def put(self, rows: Iterable[TransferRow]) -> None:
        """Keep the rows, which are as they are stored; those that nobody has asked for the longest go."""
        for row in rows:
            if row.completed_at is None and row.num_files <= _MANY_FILES:
                self._kept[row.rowid] = row
                self._num_files += row.num_files
        while len(self._kept) > _MOST_ROWS or self._num_files > _MOST_FILES:
            self._out(next(iter(self._kept)))

    def forget(self) -> None:
        """The store is right, whatever is in memory. Idempotent."""
        self._kept.clear()
        self._num_files = 0

    def _out(self, rowid: int) -> TransferRow:
        row = self._kept.pop(rowid)
        self._num_files -= row.num_files
        return row


class LazyFiles(Sequence[FileRecord]):
    """The files of a transfer, read when they are first looked at; those of a large one each time, in pages."""

    def __init__(self, store: Store, row: TransferRow) -> None:
        self._store, self._rowid = store, row.rowid
        self._paged = row.num_files > _MANY_FILES
        self._files: Sequence[FileRecord] | None = None

    def __iter__(self) -> Iterator[FileRecord]:
        return self._pages() if self._paged else iter(self._all())

    @overload
    def __getitem__(self, index: int) -> FileRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FileRecord]: ...
    def __getitem__(self, index: int | slice) -> FileRecord | Sequence[FileRecord]:
        return self._all()[index]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _all(self) -> Sequence[FileRecord]:
        files = self._files
        if files is None:
            files = self._store.files(self._rowid)
            if not self._paged:
                self._files = files
        return files

    def _pages(self) -> Iterator[FileRecord]:
        last = ""
        while page := self._store.files(self._rowid, after=last, limit=_PAGE):
            yield from page
            last = page[-1].id
