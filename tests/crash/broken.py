"""Defects of the product, for the proof that the enumeration of crash points would find them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from dts_fsm.endpoints.copying import Copier
from dts_fsm.records import FileTransfer
from dts_fsm.scheduler import Scheduler
from dts_fsm.store import Change, SqliteStore, sqlite


def _nothing() -> None:
    """The product as it is."""


def _call_before_commit() -> None:
    """Providers are called before the intention to call them is durable."""
    commit = Scheduler._commit

    def late(self: Scheduler, changes: Sequence[Change], now: float) -> Sequence[Change]:
        rows = {change.transfer.rowid: change.transfer for change in changes}
        self._calls.make(rows.values(), now)
        self._calls.dispatcher._changed.acquire()  # type: ignore[attr-defined]
        self._calls.dispatcher._changed.wait_for(lambda: self._calls.dispatcher._outstanding == 0, 1.0)  # type: ignore[attr-defined]
        self._calls.dispatcher._changed.release()  # type: ignore[attr-defined]
        return commit(self, changes, now)

    Scheduler._commit = late  # type: ignore[method-assign]


def _publish_before_verification() -> None:
    """A file has its name before all of it is there and verified."""
    pump = Copier._pump

    def early(self: Copier, file: FileTransfer, fd: int, out: int, *arguments: Any) -> Any:
        part = os.readlink(f"/proc/self/fd/{out}")
        target = os.path.join(os.path.dirname(part), os.path.basename(file.destination_path))
        os.link(part, target)
        checksum = pump(self, file, fd, out, *arguments)
        os.unlink(target)
        return checksum

    Copier._pump = early  # type: ignore[method-assign, assignment]


def _split_commit() -> None:
    """The journal is written by a transaction of its own."""
    write = sqlite.write

    def split(db: sqlite3.Connection, changes: Sequence[Change]) -> None:
        ended = [change for change in changes if change.journal is not None]
        entries = [change.journal for change in ended]
        for change in ended:
            change.journal = None
        write(db, changes)
        if ended:
            db.execute("COMMIT")
            db.execute("BEGIN IMMEDIATE")
            write(db, [Change(transfer=c.transfer, journal=entry) for c, entry in zip(ended, entries, strict=True)])

    sqlite.write = split


def _forgotten_key() -> None:
    """The same idempotency key makes another transfer."""
    create = SqliteStore.create
    SqliteStore.keyed = lambda self, key: None  # type: ignore[method-assign]
    SqliteStore.create = (  # type: ignore[method-assign]
        lambda self, admissions: create(self, [attrs.evolve(admission, key=None) for admission in admissions])
    )


def _forgotten_request() -> None:
    """What a user asks for is in memory only until a tick takes it up."""
    request, requests = SqliteStore.request, SqliteStore.requests
    kept: list[tuple[Any, ...]] = []

    def keeping(self: SqliteStore, *arguments: Any) -> bool:
        kept.append(arguments)
        return True

    def later(self: SqliteStore, rowids: Any) -> Any:
        while kept:
            request(self, *kept.pop())
        return requests(self, rowids)

    SqliteStore.request = keeping  # type: ignore[method-assign, assignment]
    SqliteStore.requests = later  # type: ignore[method-assign]


DEFECTS: dict[str, Callable[[], None]] = {
    "": _nothing,
    "call before commit": _call_before_commit,
    "publish before verification": _publish_before_verification,
    "split commit": _split_commit,
    "forgotten key": _forgotten_key,
    "forgotten request": _forgotten_request,
}
