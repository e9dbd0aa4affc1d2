"""Stores with a defect, for the proof that the tests of faults would find it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence

from dts_fsm.store import Change, sqlite
from dts_fsm.store.connections import Connections


def _nothing() -> None:
    """The store as it is."""


def _split_commit() -> None:
    """A commit's rows are durable before its history is."""
    write = sqlite.write

    def split(db: sqlite3.Connection, changes: Sequence[Change]) -> None:
        kept = [change.history for change in changes]
        for change in changes:
            change.history = []
        write(db, changes)
        db.execute("COMMIT")
        db.execute("BEGIN IMMEDIATE")
        for change, history in zip(changes, kept, strict=True):
            write(db, [Change(transfer=change.transfer, history=history)])

    sqlite.write = split


def _ignored_error() -> None:
    """A transaction that failed is taken for one that succeeded."""
    transaction = Connections.transaction

    @contextlib.contextmanager
    def ignoring(self: Connections) -> Iterator[sqlite3.Connection]:
        entered = False
        try:
            with transaction(self) as db:
                entered = True
                yield db
        except Exception:
            if not entered:
                raise

    Connections.transaction = ignoring  # type: ignore[method-assign, assignment]


def _no_log() -> None:
    """Pages are written where they belong, and what they replace is kept in memory."""
    prepare = Connections._prepare_schema

    def prepared(self: Connections, writer: sqlite3.Connection) -> None:
        prepare(self, writer)
        writer.execute("PRAGMA journal_mode=MEMORY").fetchall()

    Connections._prepare_schema = prepared  # type: ignore[method-assign]


DEFECTS: dict[str, Callable[[], None]] = {
    "": _nothing,
    "split commit": _split_commit,
    "ignored error": _ignored_error,
    "no log": _no_log,
}
