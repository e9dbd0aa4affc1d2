"""The leader lease: exactly one process is the scheduler of a store.

The lease is a row with an owner, an epoch and a time; every commit of the scheduler checks owner and epoch, so that a
former scheduler that was paused and woken can write nothing. Beside it the scheduler holds a lock on ``<store>.lock``,
which the kernel takes away when the process dies: a killed scheduler is replaced at once, a silent one when its lease
is over.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from uuid import uuid4

from dts_fsm.errors import StoreLeaseLostError
from dts_fsm.store.connections import Connections


class Lease:
    """This process's part in the election of a store's scheduler."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._owner = f"{os.uname().nodename}:{os.getpid()}:{uuid4().hex[:8]}"
        self._epoch: int | None = None
        self._time_s = 0.0
        self._lock_file: int | None = None

    def acquire(self, now: float, time_s: float) -> bool:
        """Become the scheduler if nobody else is, or go on being it; False where another process is it."""
        self._time_s = time_s
        with self._connections.transaction() as db:
            owner, epoch, expires_at = db.execute("SELECT owner, epoch, expires_at FROM lease").fetchone()
            alone = self._lock()
            if owner == self._owner and epoch == self._epoch:
                db.execute("UPDATE lease SET expires_at = ?", (now + time_s,))
                return True
            # a clock that was set back must not make an old lease eternal
            expired = expires_at <= now or expires_at > now + 10 * time_s
            if owner and not alone and not expired:
                return False
            self._epoch = epoch + 1
            db.execute(
                "UPDATE lease SET owner = ?, epoch = ?, expires_at = ?", (self._owner, self._epoch, now + time_s)
            )
        self._connections.checkpoint_here(True)
        return True

    def keep(self, db: sqlite3.Connection, now: float) -> None:
        """Extend the lease inside a commit; StoreLeaseLostError where another process has it."""
        kept = db.execute(
            "UPDATE lease SET expires_at = ? WHERE owner = ? AND epoch = ?",
            (now + self._time_s, self._owner, self._epoch),
        )
        if kept.rowcount != 1:
            self._epoch = None
            raise StoreLeaseLostError(f"another process has become the scheduler of {self._connections.path}")

    def release(self) -> None:
        """Let another process become the scheduler at once. Idempotent."""
        try:
            if self._epoch is not None:
                with self._connections.transaction() as db:
                    db.execute(
                        "UPDATE lease SET owner = '', expires_at = 0.0 WHERE owner = ? AND epoch = ?",
                        (self._owner, self._epoch),
                    )
                self._connections.checkpoint_here(False)
        finally:
            self._epoch = None
            if self._lock_file is not None:
                os.close(self._lock_file)
                self._lock_file = None

    def _lock(self) -> bool:
        """Hold the lock file that tells others that this process lives; False where another process holds it."""
        if self._lock_file is None:
            descriptor = os.open(f"{self._connections.path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            self._lock_file = descriptor
        return True
