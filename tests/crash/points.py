"""The points at which a process can be killed: before and after each commit, call of a provider, and step on disk.

All of it is put over the product from outside, in a process that is going to be killed.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dts_fsm.databases.catalog import CatalogDatabase
from dts_fsm.endpoints import moving
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.handlers import manifestor
from dts_fsm.store import SqliteStore

_METHODS = {
    SqliteStore: ("create", "request", "commit"),
    LocalEndpoint: ("files_staged", "transfer", "statuses", "cancel", "clear"),
    CatalogDatabase: ("descriptors", "stage_files", "staging_status", "finalize"),
}
_ON_DISK = ("open", "mkdir", "write", "fchmod", "utime", "fsync", "rename", "replace", "link", "unlink")
"""What the endpoints, the staging and the manifest do with ``os``; ``open`` counts where it makes a file."""

_TRANSACTIONS = ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")


class Points:
    """Names and counts the points that this process passes, and kills it at one of them.

    A point is called by what is done there, "before" or "after" it, and how often that was done: threads make the order
    of different points vary from run to run, these names hardly.

    Args:
        kill: the name of the point to be killed at, or its number among all of them, counted from 1; None for none.
    """

    def __init__(self, kill: str | int | None = None) -> None:
        self.passed: list[str] = []
        self._kill = kill
        self._times: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, what: str) -> None:
        """The process is at a point."""
        with self._lock:
            self._times[what] += 1
            self.passed.append(f"{what}, {self._times[what]}")
            if self._kill in (self.passed[-1], len(self.passed)):
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, what: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Give the call with a point before it, and one after it where it did not raise."""

        @functools.wraps(call)
        def passing(*arguments: Any, **options: Any) -> Any:
            self(f"before {what}")
            answer = call(*arguments, **options)
            self(f"after {what}")
            return answer

        return passing


def install(points: Points) -> None:
    """This process passes the points from now on."""
    for kind, names in _METHODS.items():
        for name in names:
            setattr(kind, name, points.around(f"{kind.__name__}.{name}", getattr(kind, name)))
    for name in _ON_DISK:
        setattr(os, name, _on_disk(points, name, getattr(os, name)))
    moving.sync_file_system = points.around("syncfs", moving.sync_file_system)  # type: ignore[attr-defined]
    manifestor._write = points.around("writing the manifest", manifestor._write)
    sqlite3.connect = functools.partial(sqlite3.connect, factory=_connection(points))  # type: ignore[assignment]


def _on_disk(points: Points, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def passing(*arguments: Any, **options: Any) -> Any:
        if name == "open" and not arguments[1] & os.O_CREAT:
            return call(*arguments, **options)
        return points.around(f"{name} {_described(arguments)}".rstrip(), call)(*arguments, **options)

    return passing


def _described(arguments: tuple[Any, ...]) -> str:
    """The names in a call's arguments, without what is random in them."""
    names = [os.path.basename(os.fspath(path)) for path in arguments if isinstance(path, str | os.PathLike)]
    return " ".join("a part" if name.endswith(".part") else "an id" if len(name) > 32 else name for name in names)


def _connection(points: Points) -> type[sqlite3.Connection]:
    class Connection(sqlite3.Connection):
        def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
            execute = super().execute
            return (points.around(statement, execute) if statement in _TRANSACTIONS else execute)(statement, *arguments)

    return Connection


class Told:
    """What a process has told its user, or handed to a provider, in a file: it survives the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._append = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._write = os.write

    def add(self, word: str, value: object) -> None:
        """This has been told."""
        self._write(self._append, json.dumps([word, str(value)]).encode() + b"\n")

    def values(self, word: str) -> list[str]:
        """Give all that was told with this word, by earlier processes too."""
        lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [value for said, value in lines if said == word]


def note_submissions(told: Told) -> None:
    """What is handed to an endpoint or a database is told just before."""
    transfer, stage_files = LocalEndpoint.transfer, CatalogDatabase.stage_files

    def noted_transfer(self: LocalEndpoint, *arguments: Any, operation_id: Any) -> Any:
        told.add("submitted", operation_id)
        return transfer(self, *arguments, operation_id=operation_id)

    def noted_staging(self: CatalogDatabase, *arguments: Any, request_id: Any) -> Any:
        told.add("submitted", request_id)
        return stage_files(self, *arguments, request_id=request_id)

    LocalEndpoint.transfer = noted_transfer  # type: ignore[method-assign, assignment]
    CatalogDatabase.stage_files = noted_staging  # type: ignore[method-assign, assignment]
