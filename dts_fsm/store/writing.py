"""Changes into rows: what a tick has decided, and the first rows of a new transfer."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain, islice
from operator import attrgetter

from dts_fsm.errors import StoreError
from dts_fsm.records import FileOutcome, FileState
from dts_fsm.store.reading import packed_failed_files
from dts_fsm.store.rows import OPERATION_COLUMNS, OPERATION_HOT, TRANSFER_HOT, Change, OperationRow, TransferRow


def columns(names: Iterable[str]) -> str:
    """Columns as SQL lists them."""
    return ", ".join(names)


def plain(names: Iterable[str]) -> Mapping[str, str]:
    """The columns, whose values are given as they are."""
    return dict.fromkeys(names, "?")


def marks(values: Collection[object]) -> str:
    """As many question marks as there are values."""
    return ", ".join("?" * len(values))


_HISTORY = {
    "transfer": "?",
    "operation": "nullif(?, 0)",
    "event": "?",
    "source": "?",
    "target": "?",
    "at": "?",
    "message": "?",
    "reason": "nullif(?, '')",
    "files_transferred": "nullif(?, -1)",
    "files_skipped": "nullif(?, -1)",
    "bytes_transferred": "nullif(?, -1)",
}
"""The columns of a row of the history, and how each is given: to hand over None takes the library ten times as long."""

_NO_PROGRESS = (-1, -1, -1)

_TOGETHER = 32
"""How many rows one statement inserts: each statement costs more than a row, and gives other threads their turn."""


def insert(db: sqlite3.Connection, table: str, given: Mapping[str, str], rows: Iterable[Sequence[object]]) -> None:
    """The rows are in the transaction.

    Args:
        given: the columns, and the expression for each, "?" for the value itself.
        rows: each with a value for each column.
    """
    left, statements = iter(rows), {}
    while some := list(islice(left, _TOGETHER)):
        if len(some) not in statements:
            values = ", ".join([f"({', '.join(given.values())})"] * len(some))
            statements[len(some)] = f"INSERT INTO {table} ({', '.join(given)}) VALUES {values}"
        db.execute(statements[len(some)], list(chain.from_iterable(some)))


def _setting(names: Iterable[str]) -> str:
    return ", ".join(f"{name} = ?" for name in names)


_TRANSFER_HOT = attrgetter(*TRANSFER_HOT)
_OPERATION_VALUES, _OPERATION_HOT = attrgetter("rowid", *OPERATION_COLUMNS[1:]), attrgetter(*OPERATION_HOT)

_UPDATE_TRANSFER = f"UPDATE transfers SET {_setting(TRANSFER_HOT)} WHERE id = ? AND version = ?"
_UPDATE_OPERATION = f"UPDATE operations SET {_setting(OPERATION_HOT)} WHERE id = ? AND version = ?"
_UPDATE_FILE = """
UPDATE files SET state = ?, observed_bytes = ?, observed_hash = ?, error = ?, reason = ?, attempts = attempts + ?
WHERE transfer = ? AND file_id = ?"""
_GIVE_FILES_UP = """
UPDATE files SET state = 'failed', reason = ?, error = ?
WHERE transfer = ? AND state IN ('pending', 'unstaged', 'staged') AND endpoint = coalesce(?, endpoint)"""
_INSERT_JOURNAL = """
INSERT INTO journal (uuid, source, destination, orcid, start_time, stop_time, status, reason, payload_size, num_files,
                     description, failed_files, manifest)
SELECT uuid, source, destination, orcid, created_at, completed_at, ?, reason, num_bytes, num_files, ?, ?, manifest
FROM transfers LEFT JOIN manifests ON transfer = id WHERE id = ?"""

_ATTEMPTED = (FileState.TRANSFERRED, FileState.SKIPPED, FileState.FAILED)


def write(db: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Everything that the changes say is in the transaction; their rows' versions have moved on.

    Raises:
        StoreError: a row is not in the store as it was read.
    """
    _insert_operations(db, changes)
    transfers, operations, history, ended, manifests = [], [], [], [], []
    for change in changes:
        row = change.transfer
        if row.dirty:
            transfers.append(_versioned(row, _TRANSFER_HOT))
        operations += [_versioned(operation, _OPERATION_HOT) for operation in row.operations if operation.dirty]
        for entry in change.history:
            owner = entry.operation.rowid if entry.operation else 0
            what = (entry.event, entry.source, entry.target, entry.at, entry.message, entry.reason or "")
            history.append((row.rowid, owner, *what, *(entry.progress or _NO_PROGRESS)))
        if change.journal:
            ended.append((change.journal, row.rowid))
        if change.manifest is not None:
            text = change.manifest
            manifests.append((row.rowid, text if isinstance(text, bytes) else zlib.compress(text.encode())))
    _compare_and_set(db, _UPDATE_TRANSFER, transfers)
    _compare_and_set(db, _UPDATE_OPERATION, operations)
    db.executemany(_UPDATE_FILE, (_file(change, outcome) for change in changes for outcome in change.files))
    given_up = [
        (reason, sentence, change.transfer.rowid, endpoint)
        for change in changes
        for endpoint, reason, sentence in change.given_up
    ]
    db.executemany(_GIVE_FILES_UP, given_up)
    insert(db, "history", _HISTORY, history)
    db.executemany("INSERT OR REPLACE INTO manifests VALUES (?, ?)", manifests)
    for record, rowid in ended:
        db.execute(_INSERT_JOURNAL, (record.status, record.description, packed_failed_files(db, rowid), rowid))
    db.executemany("DELETE FROM manifests WHERE transfer = ?", [(rowid,) for _, rowid in ended])
    requests = [(request,) for change in changes for request in change.requests]
    db.executemany("DELETE FROM requests WHERE id = ?", requests)


def _file(change: Change, outcome: FileOutcome) -> tuple[object, ...]:
    what = (outcome.state.value, outcome.observed_bytes, outcome.observed_hash, outcome.error, outcome.reason)
    return (*what, int(outcome.state in _ATTEMPTED), change.transfer.rowid, outcome.id)


def _insert_operations(db: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """The changes' new operations are in the transaction, and have their row ids."""
    fresh = [operation for change in changes for operation in change.new_operations]
    if not fresh:
        return
    for change in changes:
        for operation in change.new_operations:
            operation.transfer = change.transfer.rowid
    (last,) = db.execute("SELECT coalesce(max(id), 0) FROM operations").fetchone()
    for rowid, operation in enumerate(fresh, last + 1):
        operation.rowid, operation.dirty = rowid, False
    insert(db, "operations", plain(OPERATION_COLUMNS), map(_OPERATION_VALUES, fresh))


def _versioned(row: TransferRow | OperationRow, hot: Callable[[object], tuple[object, ...]]) -> tuple[object, ...]:
    """The values for a compare-and-set of the row; its version moves on."""
    expected = row.version
    row.version += 1
    row.dirty = False
    return (*hot(row), row.rowid, expected)


def _compare_and_set(db: sqlite3.Connection, statement: str, rows: Sequence[Sequence[object]]) -> None:
    if rows and db.executemany(statement, rows).rowcount != len(rows):
        raise StoreError("a row had changed since it was read: nothing was written, and it is read again")
