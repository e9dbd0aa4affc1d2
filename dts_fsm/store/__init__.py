"""The store: the only package that knows rows. ``SqliteStore`` keeps them in one SQLite file."""

from dts_fsm.store.contract import Admission, Store
from dts_fsm.store.rows import (
    Change,
    HistoryEntry,
    JournalEntry,
    OperationRow,
    RequestRow,
    Stored,
    TransferRow,
    time_of,
)
from dts_fsm.store.sqlite import SqliteStore

__all__ = [
    "Admission",
    "Change",
    "HistoryEntry",
    "JournalEntry",
    "OperationRow",
    "RequestRow",
    "SqliteStore",
    "Store",
    "Stored",
    "TransferRow",
    "time_of",
]
