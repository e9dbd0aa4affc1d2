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
import time
from uuid import uuid4

from dts_fsm.errors import StoreError, StoreLeaseLostError
from dts_fsm.store.connections import Connections

_LOCKED = "+lock"
"""How an owner's name ends who also holds the lock: once somebody else can have the lock, that owner is dead."""


class Lease:
    """This process's part in the election of a store's scheduler."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._name = f"{os.uname().nodename}:{os.getpid()}:{uuid4().hex[:8]}"
        self._owner = self._name
        self._epoch: int | None = None
        self._time_s = 0.0
        self._lock_file: int | None = None
        self._seen: tuple[int, float] | None = None
        self._seen_at = 0.0

    def acquire(self, now: float, time_s: float) -> bool:
        """Become the scheduler if nobody else is, or go on being it; False where another process is it."""
        self._time_s = time_s
        with self._connections.transaction() as db:
            owner, epoch, expires_at = db.execute("SELECT owner, epoch, expires_at FROM lease").fetchone()
            if (owner, epoch) != (self._owner, self._epoch):
                locked = self._lock()
                dead = locked and owner.endswith(_LOCKED)
                if owner and not dead and expires_at > now and not self._silent(epoch, expires_at):
                    self._step_down()
                    return False
                self._epoch, self._owner = epoch + 1, self._name + (_LOCKED if locked else "")
            db.execute(
                "UPDATE lease SET owner = ?, epoch = ?, expires_at = ?", (self._owner, self._epoch, now + time_s)
            )
        # when it was kept, too: the commit that gave it may have raised, and have taken effect all the same
        self._connections.checkpoint_here(True)
        return True

    def _silent(self, epoch: int, expires_at: float) -> bool:
        """True where the owner has not renewed its lease for twice its time, whatever the clocks say."""
        if self._seen != (epoch, expires_at):
            self._seen, self._seen_at = (epoch, expires_at), time.monotonic()
        return time.monotonic() - self._seen_at > 2 * self._time_s

    def keep(self, db: sqlite3.Connection, now: float) -> None:
        """Extend the lease inside a commit; StoreLeaseLostError where another process has it."""
        kept = db.execute(
            "UPDATE lease SET expires_at = ? WHERE owner = ? AND epoch = ?",
            (now + self._time_s, self._owner, self._epoch),
        )
        if kept.rowcount != 1:
            raise self._lost()

    def check(self) -> None:
        """Raise StoreLeaseLostError where another process has been the scheduler since this one became it."""
        with self._connections.reader() as db:
            held = db.execute("SELECT owner, epoch FROM lease").fetchone()
        if held != (self._owner, self._epoch):
            raise self._lost()

    def release(self) -> None:
        """Let another process become the scheduler at once. Idempotent."""
        try:
            if self._epoch is not None:
                with self._connections.transaction() as db:
                    db.execute(
                        "UPDATE lease SET owner = '', expires_at = 0.0 WHERE owner = ? AND epoch = ?",
                        (self._owner, self._epoch),
                    )
        finally:
            self._step_down()

    def _lost(self) -> StoreLeaseLostError:
        self._step_down()
        return StoreLeaseLostError(f"another process has become the scheduler of {self._connections.path}")

    def _step_down(self) -> None:
        """Another is, or may become, the scheduler: it alone moves the log into the file, and has the lock."""
        self._epoch = None
        self._unlock()
        self._connections.checkpoint_here(False)

    def _lock(self) -> bool:
        """Hold the lock file that tells others that this process lives; False where another process holds it."""
        if self._lock_file is None:
            # one lock for one file, whichever link leads to it
            path = f"{os.path.realpath(self._connections.path)}.lock"
            try:
                descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except OSError as error:
                raise StoreError(f"the lock file {path} cannot be opened: {error.strerror}") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            self._lock_file = descriptor
        return True

    def _unlock(self) -> None:
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None
