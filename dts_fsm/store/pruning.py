"""Forgetting transfers, some rows at a time: no tick waits for it.

A transfer that is to be forgotten goes at once, with what is found by it. Its history, files and operations, which may
be a million rows, follow in pieces; nobody finds them any more.
"""

from __future__ import annotations

import sqlite3

_MOST_ROWS = 4000
"""How many rows one call deletes: about 20 ms."""

_AT_ONCE = {"requests": "transfer", "manifests": "transfer", "specifications": "transfer", "transfers": "id"}

IN_PIECES = {"history": "seq", "files": "file_id", "operations": "id"}
"""The keys of the tables that may have many rows of a transfer, in the order in which they refer to each other."""


def prune(db: sqlite3.Connection, before: float, limit: int) -> list[int]:
    """Forget transfers that ended before the time; give the row ids of those that had something to delete."""
    left = _MOST_ROWS
    worked_on: list[int] = []
    while left > 0:
        found = db.execute("SELECT transfer FROM pruned LIMIT ?", (limit - len(worked_on),)).fetchall()
        if not found and len(worked_on) < limit:
            found = _begin(db, before, limit - len(worked_on))
        if not found:
            break
        for (rowid,) in found:
            left = _delete(db, rowid, left)
            worked_on.append(rowid)
            if left <= 0:
                break
    return worked_on


def _begin(db: sqlite3.Connection, before: float, limit: int) -> list[tuple[int]]:
    """The longest-ended of the transfers are gone, and what is left of them is to be deleted."""
    ended = db.execute(
        "SELECT id FROM transfers WHERE completed_at < ? ORDER BY completed_at LIMIT ?", (before, limit)
    ).fetchall()
    db.executemany("INSERT INTO pruned VALUES (?)", ended)
    for table, key in _AT_ONCE.items():
        db.executemany(f"DELETE FROM {table} WHERE {key} = ?", ended)
    return ended


def _delete(db: sqlite3.Connection, rowid: int, most: int) -> int:
    """Delete so many rows of a transfer at most, and give how many more may be deleted; none if some are left."""
    for table, key in IN_PIECES.items():
        deleted = db.execute(
            f"DELETE FROM {table} WHERE transfer = ? AND {key} IN "
            f"(SELECT {key} FROM {table} WHERE transfer = ? LIMIT ?)",
            (rowid, rowid, most),
        )
        most -= deleted.rowcount
        if most <= 0:
            return 0
    db.execute("DELETE FROM pruned WHERE transfer = ?", (rowid,))
    return most
