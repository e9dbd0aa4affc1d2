"""The floors: what the same machine needs for the least that must happen, and for plain copies. No dts_fsm here."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

from transitions import Machine

from benchmarks.meter import Meter

_SCHEMA = """
CREATE TABLE items (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, state TEXT NOT NULL, version INTEGER NOT NULL,
                    updated_at REAL NOT NULL, message TEXT NOT NULL) STRICT;
CREATE TABLE files (item INTEGER NOT NULL, file_id TEXT NOT NULL, state TEXT NOT NULL, descriptor TEXT NOT NULL,
                    PRIMARY KEY (item, file_id)) STRICT, WITHOUT ROWID;
"""


def _database(folder: Path) -> sqlite3.Connection:
    """An empty database that is as durable as the store."""
    db = sqlite3.connect(folder / "floor.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL").fetchall()
    db.execute("PRAGMA synchronous=FULL")
    db.executescript(_SCHEMA)
    return db


def _add_items(db: sqlite3.Connection, count: int) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.executemany(
        "INSERT INTO items VALUES (?, ?, 'staging', 0, 0.0, 'the files are being brought to their endpoint')",
        ((item, f"{item:032x}") for item in range(count)),
    )
    db.execute("COMMIT")


class _Model:
    state = "active"


def triggers(folder: Path, *, count: int) -> dict[str, float]:
    """The library ``transitions`` takes one guarded transition, with a callback, so often; nothing is stored."""
    del folder
    machine = Machine(
        model=None,
        states=["active", {"name": "finalizing", "on_enter": lambda model: model}],
        initial="active",
        auto_transitions=False,
        transitions=[{"trigger": "finalize", "source": "active", "dest": "finalizing", "conditions": lambda _: True}],
    )
    models = [_Model() for _ in range(count)]
    with Meter() as meter:
        for model in models:
            machine.events["finalize"].trigger(model, model)
    return meter.figures


def file_rows(folder: Path, *, count: int) -> dict[str, float]:
    """A row is added for each of a transfer's files, in one commit, and updated, in another."""
    db = _database(folder)
    descriptor = '{"id": "file", "name": "file", "path": "run/file", "bytes": 1000}'
    with Meter() as meter:
        db.execute("BEGIN IMMEDIATE")
        added = ((1, f"file-{number:08}", "pending", descriptor) for number in range(count))
        db.executemany("INSERT INTO files VALUES (?, ?, ?, ?)", added)
        db.execute("COMMIT")
        db.execute("BEGIN IMMEDIATE")
        arrived = (("transferred", 1, f"file-{number:08}") for number in range(count))
        db.executemany("UPDATE files SET state = ? WHERE item = ? AND file_id = ?", arrived)
        db.execute("COMMIT")
    db.close()
    return meter.figures


def selects(folder: Path, *, items: int, count: int) -> dict[str, float]:
    """A row is read by its id, so many times."""
    db = _database(folder)
    _add_items(db, items)
    with Meter() as meter:
        for number in range(count):
            db.execute("SELECT state, message FROM items WHERE uuid = ?", (f"{number % items:032x}",)).fetchall()
    db.close()
    return meter.figures


def small_files(folder: Path, *, count: int) -> dict[str, float]:
    """So many files of 1 kB are made."""
    content = bytes(1000)
    with Meter() as meter:
        for number in range(count):
            (folder / f"{number}.json").write_bytes(content)
    return meter.figures


def copies(folder: Path, *, source: str, sync: bool) -> dict[str, float]:
    """The source folder is copied with ``cp -r``, and with ``sync`` is on the medium then."""
    target = folder / "copy"
    with Meter() as meter:
        subprocess.run(["cp", "-r", source, target], check=True)
        if sync:
            subprocess.run(["sync", "-f", target], check=True)
    return meter.figures
