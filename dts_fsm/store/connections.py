"""Connections to the store's file: one that writes, a few that read.

Every SQLite fault leaves this module as one of our own errors. A commit that raised is unknown: the writing connection
is closed and opened again, and the caller reads what is there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from dts_fsm.errors import DtsError, StoreDamagedError, StoreError
from dts_fsm.store.schema import is_current, migrate

_BUSY_TIMEOUT_S = 30.0
_CHECKPOINT_PAGES = 1000
"""How long the write-ahead log becomes before it is moved into the file. Source: SQLite's own default."""

_LOG_BYTES = 64 << 20
"""A write-ahead log that is longer is held back by a reader: it is shortened as soon as that can be done."""

_LOG_LOOK_S = 5.0
_LOG_WARNING_S = 300.0

_making = threading.Lock()

_log = logging.getLogger(__name__)

_MINIMUM = (3, 37, 0)
"""STRICT tables. Source: SQLite release history, 3.37.0."""


FAULTS = (sqlite3.Error, UnicodeDecodeError)
"""What sqlite3 raises; the second where damage is in the text of SQLite's own message."""

_DAMAGE = ("malformed", "decode", "unsupported file format")


def translated(error: sqlite3.Error | UnicodeDecodeError, file: str) -> StoreError:
    """The error of ours for one of SQLite's."""
    text = str(error)
    if "not a database" in text:
        return StoreDamagedError(
            f"{file} is not an SQLite database and was left as it is: give another file or data_dir"
        )
    if any(word in text for word in _DAMAGE):
        return StoreDamagedError(
            f"the store {file} is damaged ({text}); it was left as it is: restore a backup, or run "
            "`dts-fsm store check` to see what is wrong"
        )
    if "locked" in text or "busy" in text:
        return StoreError(f"the store {file} is locked by another program for more than {_BUSY_TIMEOUT_S:g} s: {text}")
    if "readonly" in text:
        return StoreError(f"the store {file} cannot be written: {text}; check the permissions of file and folder")
    if "unable to open" in text:
        return StoreError(f"the store {file} cannot be opened: {text}; check the permissions of file and folder")
    if "full" in text:
        return StoreError(f"the store {file} cannot be written: {text}; make room")
    return StoreError(f"the store {file} failed: {text}")


class Connections:
    """The open connections to one store file.

    Args:
        path: the file; it is made (mode 0600) where it does not exist, unless ``create`` is False.
        synchronous: "full" survives a power cut, "normal" may lose what the log has in one.

    Raises:
        StoreForeignError, StoreDamagedError, StoreError: see ``errors``.
    """

    def __init__(self, path: Path, *, synchronous: Literal["full", "normal"] = "full", create: bool = True) -> None:
        if sqlite3.sqlite_version_info < _MINIMUM:
            raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer is needed")
        self.path = path
        self._synchronous = synchronous
        self._checkpoints = False
        self._log_look_at = self._log_warning_at = 0.0
        self._lock = threading.RLock()
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._closed = False
        self._prepare_file(create)
        self._look()
        try:
            writer = self._connect()
            try:
                self._prepare_schema(writer)
            except BaseException:
                writer.close()
                raise
            self._writer: sqlite3.Connection | None = writer
        except FAULTS as error:
            raise translated(error, str(path)) from error

    def _look(self) -> None:
        """Refuse a file that is no store of ours: a connection that may write would move its log into it, and close."""
        try:
            uri = f"file:{quote(str(self.path.absolute()))}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0.0)) as db:
                is_current(db, str(self.path))
        except FAULTS as error:
            refused = translated(error, str(self.path))
            if isinstance(refused, StoreDamagedError):
                raise refused from error
            # a journal to be rolled back, say, for which one must write

    def _prepare_schema(self, writer: sqlite3.Connection) -> None:
        # SQLite does not wait for its busy time-out when two connections want to make a new file WAL at once
        deadline = time.monotonic() + _BUSY_TIMEOUT_S
        while True:
            try:
                # without a write where there is nothing to do: who only asks may not be allowed to write
                if not is_current(writer, str(self.path)):
                    migrate(writer, str(self.path))
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def _prepare_file(self, create: bool) -> None:
        # Only a file that nobody can have open yet is opened here: POSIX takes all of a process's locks on a file away
        # when the process closes it once, and another would then remove the log that this one writes.
        # Source: sqlite.org, "How To Corrupt An SQLite Database File", 2.2
        try:
            with _making:
                if create and not self.path.exists():
                    with contextlib.suppress(FileExistsError):  # another process was quicker, or a link leads nowhere
                        os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise StoreError(f"the store {self.path} cannot be opened: it is not a regular file")
        except OSError as error:
            raise StoreError(f"the store {self.path} cannot be opened: {error.strerror or error}") from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, timeout=_BUSY_TIMEOUT_S, check_same_thread=False, cached_statements=256
        )
        try:
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
            connection.execute("PRAGMA temp_store=MEMORY")
            connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES if self._checkpoints else 0}")
        except BaseException:
            connection.close()
            raise
        return connection

    def checkpoint_here(self, here: bool) -> None:
        """From now on this process moves the write-ahead log into the file, or leaves that to the scheduler's process.

        Source: sqlite.org, "WAL-reset bug": several processes that write and checkpoint may damage a file.
        """
        with self._lock:
            self._checkpoints = here
            if self._writer is not None:
                self._writer.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES if here else 0}")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the writing connection inside BEGIN IMMEDIATE; commit at the end, roll back on an exception.

        Raises:
            StoreError: whether the transaction took effect is unknown; the next one sees what is true.
        """
        with self._lock:
            if self._closed:
                raise StoreError(f"the store {self.path} is closed")
            try:
                if self._writer is None:
                    self._writer = self._connect()
                self._writer.execute("BEGIN IMMEDIATE")
                try:
                    yield self._writer
                except DtsError:
                    if self._writer.in_transaction:
                        self._writer.execute("ROLLBACK")
                    raise
                self._writer.execute("COMMIT")
                if self._checkpoints and time.monotonic() >= self._log_look_at:
                    self._shorten_log(self._writer)
            except FAULTS as error:
                self._abandon_writer()
                raise translated(error, str(self.path)) from error
            except DtsError:
                raise
            except BaseException:
                self._abandon_writer()
                raise

    def _shorten_log(self, writer: sqlite3.Connection) -> None:
        """A log that has become long is empty again, unless a reader still needs it; that is reported."""
        now = time.monotonic()
        self._log_look_at = now + _LOG_LOOK_S
        # the commit has taken effect, whatever becomes of this
        with contextlib.suppress(OSError, sqlite3.Error):
            num_bytes = os.stat(f"{self.path}-wal").st_size
            if num_bytes < _LOG_BYTES:
                return
            writer.execute("PRAGMA busy_timeout=0").fetchall()  # nobody waits for a reader
            try:
                ((held_back, *_),) = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                writer.execute(f"PRAGMA busy_timeout={int(_BUSY_TIMEOUT_S * 1000)}").fetchall()
            if held_back and now >= self._log_warning_at:
                self._log_warning_at = now + _LOG_WARNING_S
                _log.warning(
                    "the write-ahead log grows: somebody has been reading the store for long (a backup, a shell of "
                    "sqlite3, a program that was stopped), and it cannot be shortened until that ends",
                    extra={"action": "checkpoint", "store": str(self.path), "log_bytes": num_bytes},
                )

    def _abandon_writer(self) -> None:
        if self._writer is not None:
            with contextlib.suppress(sqlite3.Error):
                self._writer.close()
            self._writer = None

    @contextlib.contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """Give a reading connection for a while; what it reads is one consistent state per statement."""
        try:
            connection = self._readers.get_nowait()
        except queue.Empty:
            try:
                connection = self._connect()
                connection.execute("PRAGMA query_only=ON")
            except FAULTS as error:
                raise translated(error, str(self.path)) from error
        try:
            yield connection
        except FAULTS as error:
            connection.close()
            raise translated(error, str(self.path)) from error
        except BaseException:
            connection.close()
            raise
        if self._closed:
            connection.close()
        else:
            self._readers.put(connection)

    def close(self) -> None:
        """Close every connection. Readers that are in use close when they are done. Idempotent."""
        with self._lock:
            self._closed = True
            self._abandon_writer()
            while True:
                try:
                    self._readers.get_nowait().close()
                except queue.Empty:
                    return
