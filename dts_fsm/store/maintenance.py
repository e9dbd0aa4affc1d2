"""Looking after a store's file: copies, checks, and its size.

Everything here opens connections of its own, and none of it makes or migrates a store.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import stat
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from dts_fsm.errors import StoreDamagedError, StoreError
from dts_fsm.store.connections import FAULTS, translated
from dts_fsm.store.pruning import IN_PIECES
from dts_fsm.store.schema import is_current
from dts_fsm.store.sqlite import SqliteStore

_BUSY_TIMEOUT_S = 30.0
_MAX_FINDINGS = 100
_VACUUM_LEASE_S = 60.0
"""Short enough that a scheduler with another idea of lease times takes it for one; see ``Lease.acquire``."""

_PIECE_BYTES = 1 << 20

_FORGOTTEN = "SELECT transfer FROM pruned"
_FINAL = "('succeeded', 'failed')"

_CONTRADICTIONS = {
    "is {1} and has no time of completion": (
        f"SELECT uuid, state FROM transfers WHERE state IN {_FINAL} AND completed_at IS NULL"
    ),
    "has a time of completion and is {1}": (
        f"SELECT uuid, state FROM transfers WHERE state NOT IN {_FINAL} AND completed_at IS NOT NULL"
    ),
    "is {1}, and has neither a deadline nor an operation under way: nothing would ever wake it": (
        "SELECT uuid, state FROM transfers t WHERE completed_at IS NULL AND due_at IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.transfer = t.id AND o.due_at IS NOT NULL) "
        "AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.transfer = t.id)"
    ),
    "has ended and is still to be looked at": (
        "SELECT uuid FROM transfers WHERE completed_at IS NOT NULL AND due_at IS NOT NULL"
    ),
    "has ended, and its operation {1} has not": (
        "SELECT t.uuid, o.uuid FROM transfers t JOIN operations o ON o.transfer = t.id "
        "WHERE t.completed_at IS NOT NULL AND o.due_at IS NOT NULL"
    ),
    "has ended and is not in the journal": (
        "SELECT uuid FROM transfers t WHERE completed_at IS NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.uuid = t.uuid)"
    ),
    "lives, and is in the journal as {1}": (
        "SELECT t.uuid, j.status FROM transfers t JOIN journal j ON j.uuid = t.uuid WHERE t.completed_at IS NULL"
    ),
    "has no specification": (
        "SELECT uuid FROM transfers t WHERE NOT EXISTS (SELECT 1 FROM specifications s WHERE s.transfer = t.id)"
    ),
    "says that it has {1} files, and has {2}": (
        "SELECT uuid, num_files, "
        "(SELECT count(*) FROM files f WHERE f.transfer = t.id AND f.state <> 'inline') AS found "
        "FROM transfers t WHERE num_files <> found"
    ),
    "succeeded, and {1} of its files did not arrive": (
        "SELECT uuid, (SELECT count(*) FROM files f WHERE f.transfer = t.id "
        "AND f.state NOT IN ('transferred', 'skipped', 'inline')) AS missing "
        "FROM transfers t WHERE state = 'succeeded' AND reason IS NULL AND missing > 0"
    ),
    "is {1}, and the last entry of its history says {2}": (
        "SELECT uuid, state, (SELECT target FROM history h WHERE h.transfer = t.id AND h.operation IS NULL "
        "ORDER BY seq DESC LIMIT 1) AS last FROM transfers t WHERE last IS NOT state"
    ),
}
"""What must not be: the rest of a sentence that begins with a transfer, and the query that finds such transfers."""


def backup(store: Path, target: Path) -> None:
    """The target is a verified copy of the store as it was at one instant, readable by its owner only.

    The store may be in use meanwhile. After an error there is no target.

    Raises:
        StoreError: there is no store, the target exists or cannot be written, or the copy is not right.
        StoreForeignError, StoreDamagedError: the file is not a store, or is damaged.
    """
    target = Path(target)
    part = target.with_name(f".{target.name}.{uuid4().hex}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with reading(store) as source, contextlib.closing(sqlite3.connect(part)) as copy:
            source.backup(copy)
            # one file that can be moved about, without a log beside it; a store that opens it makes it WAL again
            copy.execute("PRAGMA journal_mode=DELETE").fetchall()
            if findings := _damage(copy):
                raise StoreDamagedError(f"the copy of {store} is damaged: {findings[0]}")
        with part.open("rb") as written:
            os.fsync(written.fileno())
        os.link(part, target)  # unlike a rename, this never replaces what somebody has put there meanwhile
        _sync_folder(target)
    except FileExistsError:
        raise StoreError(f"{target} exists: a backup overwrites nothing; give another name") from None
    except OSError as error:
        raise StoreError(f"the backup {target} cannot be written: {error.strerror}") from error
    except sqlite3.Error as error:
        raise translated(error, str(store)) from error
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.unlink(f"{part}{suffix}")


def check(store: Path) -> list[str]:
    """Give one sentence for each thing that is wrong with the store, none for a good one; nothing is changed.

    SQLite's own checks, then what contradicts itself: transfers that nothing would wake, ended ones that are not in
    the journal, counts that are not right. A damaged file gives what could be found out.

    Raises:
        StoreError: there is no store, or it cannot be read.
        StoreForeignError: the file is some other program's database, or was written by a newer version.
    """
    findings: list[str] = []
    refuse_odd_file(store)
    if store.exists() and store.stat().st_size == 0:
        return ["the file is empty: it has nothing of a store; restore a backup, or remove it if it was never used"]
    try:
        with reading(store) as db:
            findings += _damage(db) or _emptiness(db)
            if not findings:
                db.execute("BEGIN")  # one instant for all queries: a service may be changing what they read
                findings += _contradictions(db)
                findings += _unreadable_documents(db)
    except StoreDamagedError as error:
        # not the error's own advice, which is to do what has just been done
        findings.append(f"the file is damaged, restore a backup: {error.__cause__ or error}")
    return findings[:_MAX_FINDINGS]


def vacuum(store: Path) -> tuple[int, int]:
    """The store's file is as small as its content allows; gives its size in bytes before and after.

    Raises:
        StoreError: a service runs on the store; there is no store; or there is no room for the copy that is made.
        StoreForeignError, StoreDamagedError: the file is not a store, or is damaged.
    """
    refuse_odd_file(store)
    with contextlib.closing(SqliteStore(store, create=False)) as opened:
        # with the lease, a service that starts meanwhile waits, and its connections do not checkpoint
        if is_scheduled(store) or not opened.acquire_lease(time.time(), _VACUUM_LEASE_S):
            raise StoreError(f"a service runs on the store {store}: stop it first")
        before_bytes = store.stat().st_size
        try:
            with contextlib.closing(_connect(store, "rw")) as db:
                db.execute("VACUUM")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise translated(error, str(store)) from error
        return before_bytes, store.stat().st_size


def refuse_odd_file(store: Path) -> None:
    """What is at the path can be opened without waiting: it is a regular file, or nothing.

    Raises:
        StoreError: it is a folder, a named pipe or a device, or it cannot be looked at.
    """
    try:
        mode = store.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"the store {store} cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise StoreError(f"the store {store} is not a regular file: give another folder, or move away what is there")


def is_scheduled(store: Path) -> bool:
    """True while some process is the scheduler of the store; False where there is no store."""
    try:
        descriptor = os.open(f"{os.path.realpath(store)}.lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # shared, so that two who ask at once are not taken for a scheduler by each other
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _connect(store: Path, mode: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(store.absolute()))}?mode={mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT_S)


@contextlib.contextmanager
def reading(store: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that cannot write, to a file that is a store."""
    refuse_odd_file(store)
    if not store.exists():
        raise StoreError(f"there is no store {store}: check the folder, or the configuration")
    try:
        with contextlib.closing(_connect(store, "ro")) as db:
            is_current(db, str(store))  # raises for what is not ours
            yield db
    except FAULTS as error:
        raise translated(error, str(store)) from error


def _damage(db: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with the file and with the references between its rows."""
    findings = [
        f"the file is damaged: {text}"
        for (text,) in db.execute(f"PRAGMA integrity_check({_MAX_FINDINGS})").fetchall()
        if text != "ok"
    ]
    return findings + _dangling(db)


def _dangling(db: sqlite3.Connection) -> list[str]:
    """What refers to rows that do not exist, but for the rows of transfers that are being forgotten."""
    findings, in_pieces = [], False
    for table, row, parent, _ in db.execute("PRAGMA foreign_key_check"):
        if parent == "transfers" and table in IN_PIECES:
            in_pieces = True
        else:
            findings.append(f"row {row} of {table} refers to a row of {parent} that does not exist")
    for table, key in IN_PIECES.items() if in_pieces else ():
        strays = db.execute(
            f"SELECT {key} FROM {table} WHERE transfer NOT IN (SELECT id FROM transfers) AND transfer NOT IN "
            f"({_FORGOTTEN if _has_table(db, 'pruned') else 'SELECT 0'}) LIMIT {_MAX_FINDINGS}"
        ).fetchall()
        findings += [f"row {row} of {table} refers to a row of transfers that does not exist" for (row,) in strays]
    return findings


def _has_table(db: sqlite3.Connection, name: str) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None


def _emptiness(db: sqlite3.Connection) -> list[str]:
    if _has_table(db, "transfers"):
        return []
    return ["the file is empty: no transfer was ever stored in it"]


def _contradictions(db: sqlite3.Connection) -> list[str]:
    return [
        f"the transfer {row[0]} {sentence.format(*row)}"
        for sentence, query in _CONTRADICTIONS.items()
        for row in db.execute(f"{query} LIMIT {_MAX_FINDINGS}").fetchall()
    ]


def _unreadable_documents(db: sqlite3.Connection) -> list[str]:
    findings = []
    # a store of an older version does not have all of them
    columns = {row[1] for row in db.execute("PRAGMA table_info(journal)")} & {"manifest", "failed_files"}
    for column in sorted(columns):
        for uuid, document in db.execute(f"SELECT uuid, {column} FROM journal WHERE {column} IS NOT NULL"):
            try:
                _unpack(document)
            except zlib.error as error:
                findings.append(f"the {column.replace('_', ' ')} of {uuid} in the journal cannot be read: {error}")
    return findings


def _unpack(document: bytes) -> None:
    """Raises zlib.error where it is not whole; what is in it may be larger than memory."""
    unpacker = zlib.decompressobj()
    while document and not unpacker.eof:
        unpacker.decompress(document, _PIECE_BYTES)
        document = unpacker.unconsumed_tail
    if not unpacker.eof:
        raise zlib.error("it ends too early")


def _sync_folder(file: Path) -> None:
    folder = os.open(file.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
