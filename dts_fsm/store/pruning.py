"""Forgetting transfers, some rows at a time: no tick waits for it.

A transfer that is to be forgotten goes at once, with what is found by it. Its history, files and operations, which may
be a million rows, follow in pieces; nobody finds them any more.
"""

from __future__ import annotations

import sqlite3
import time

_MOST_ROWS = 4000
"""How many rows one call deletes."""

_TIME_S = 0.005
"""How long one call goes on deleting: rows of long ago are not in memory, and each may be on a page of its own."""

_PIECE = 50
"""How many rows one statement deletes, and one call at least."""

_AT_ONCE = {"requests": "transfer", "manifests": "transfer", "specifications": "transfer", "transfers": "id"}

IN_PIECES = {"history": "seq", "files": "file_id", "operations": "id"}
"""The keys of the tables that may have many rows of a transfer, in the order in which they refer to each other."""


def prune(db: sqlite3.Connection, before: float, limit: int) -> list[int]:
    """Forget transfers that ended before the time; give the row ids of those that had something to delete."""
    deadline = time.monotonic() + _TIME_S
    left = _MOST_ROWS
    worked_on: list[int] = []
    while left > 0 and len(worked_on) < limit and (rowid := _next(db, before)) is not None:
        worked_on.append(rowid)
        left = _delete(db, rowid, left, deadline)
    return worked_on


def _next(db: sqlite3.Connection, before: float) -> int | None:
    """Give a transfer of which rows are left, else the longest-ended one, which nobody finds any more; or None."""
    for (rowid,) in db.execute("SELECT transfer FROM pruned LIMIT 1").fetchall():
        return int(rowid)
    ended = "SELECT id FROM transfers WHERE completed_at < ? ORDER BY completed_at LIMIT 1"
    for (rowid,) in db.execute(ended, (before,)).fetchall():
        db.execute("INSERT INTO pruned VALUES (?)", (rowid,))
        for table, key in _AT_ONCE.items():
            db.execute(f"DELETE FROM {table} WHERE {key} = ?", (rowid,))
        return int(rowid)
    return None


def _delete(db: sqlite3.Connection, rowid: int, most: int, deadline: float) -> int:
    """Delete so many rows of a transfer at most, and give how many more may be deleted; none if some are left."""
    for table, key in IN_PIECES.items():
        statement = (
            f"DELETE FROM {table} WHERE transfer = ? AND {key} IN "
            f"(SELECT {key} FROM {table} WHERE transfer = ? LIMIT ?)"
        )
        while deleted := db.execute(statement, (rowid, rowid, min(most, _PIECE))).rowcount:
            most -= deleted
            if most <= 0 or (most <= _MOST_ROWS - _PIECE and time.monotonic() > deadline):
                return 0
    db.execute("DELETE FROM pruned WHERE transfer = ?", (rowid,))
    return most
