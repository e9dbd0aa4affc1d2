"""Staging requests that are worked off one after the other, as a tape robot would."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from uuid import UUID

import attrs

from dts_fsm.records import Descriptor, StagingStatus

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 10.0
"""How long ``close`` waits for a copy under way: it stops with the next mebibyte, unless a file system hangs."""

_HOLD_S = 0.05
"""How often it is looked whether a request may be begun again, after it was not to be."""

MAX_REMEMBERED = 10_000
"""How many requests are remembered; one that is forgotten and asked for again ends at once: its files are there."""


@attrs.frozen
class _Request:
    id: UUID
    files: tuple[Descriptor, ...]
    due_s: float


class StagingQueue:
    """Requests for files, carried out in the background; all of it is in memory.

    A process that ends takes its requests with it, and their status becomes UNKNOWN: asking again with the same id
    carries on, since files that are in place are not asked for.

    Args:
        bring: brings the files of the request with this id to their endpoint, and gives up soon after the event is
            set; what it raises fails the request. After a crash it may be called again for the same request.
        delay_s: how long a request is ACTIVE before the first file is brought.
    """

    def __init__(
        self, bring: Callable[[UUID, Sequence[Descriptor], threading.Event], None], *, delay_s: float = 0
    ) -> None:
        self._bring, self._delay_s = bring, delay_s
        self._valid: Callable[[], bool] = lambda: True
        self._lock = threading.Lock()
        self._statuses: dict[UUID, StagingStatus] = {}
        self._waiting: deque[_Request] = deque()
        self._worker: threading.Thread | None = None
        self._stopped = threading.Event()

    def ask(self, request_id: UUID, files: Sequence[Descriptor]) -> None:
        """Have these files brought; without files the request has succeeded. Does not wait. Idempotent.

        A request that is under way is left alone; one that has ended, and whose files are missing, is made again.
        """
        with self._lock:
            if self._statuses.get(request_id) is StagingStatus.ACTIVE:
                return
            self._forget()
            self._statuses[request_id] = StagingStatus.ACTIVE if files else StagingStatus.SUCCEEDED
            if not files:
                return
            self._waiting.append(_Request(request_id, tuple(files), time.monotonic() + self._delay_s))
            if self._worker is None:
                # a daemon: a process that ends without close() must not wait for a long copy
                self._worker = threading.Thread(
                    target=self._work, args=(self._stopped, self._valid), name="dts-fsm-staging", daemon=True
                )
                self._worker.start()

    def status(self, request_id: UUID) -> StagingStatus:
        """Give how the request stands, UNKNOWN for one that was never made or is forgotten."""
        with self._lock:
            return self._statuses.get(request_id, StagingStatus.UNKNOWN)

    def close(self) -> None:
        """End the work within ``CLOSE_TIMEOUT_S``; requests that had not ended are forgotten.

        Idempotent; ``ask`` begins again.
        """
        self._end(self._valid)

    def fence(self, valid: Callable[[], bool]) -> None:
        """Begin requests only while ``valid()`` is True; those that have not ended are forgotten, as by ``close``."""
        self._end(valid)

    def _end(self, valid: Callable[[], bool]) -> None:
        with self._lock:
            # for workers that begin from now on: one that is held by the former fence stays held
            self._valid = valid
            worker, self._worker = self._worker, None
            self._stopped.set()
            self._stopped = threading.Event()
            self._waiting.clear()
            self._statuses = {
                request_id: status
                for request_id, status in self._statuses.items()
                if status is not StagingStatus.ACTIVE
            }
        if worker is not None:
            worker.join(CLOSE_TIMEOUT_S)

    def _forget(self) -> None:
        if len(self._statuses) >= MAX_REMEMBERED:
            ended = (key for key, status in self._statuses.items() if status is not StagingStatus.ACTIVE)
            if (oldest := next(ended, None)) is not None:
                del self._statuses[oldest]

    def _work(self, stopped: threading.Event, valid: Callable[[], bool]) -> None:
        while (request := self._next(stopped)) is not None:
            if stopped.wait(max(0.0, request.due_s - time.monotonic())):
                return
            while not valid():
                if stopped.wait(_HOLD_S):
                    return
            status = self._carry_out(request, stopped)
            with self._lock:
                if not stopped.is_set():
                    self._statuses[request.id] = status

    def _next(self, stopped: threading.Event) -> _Request | None:
        with self._lock:
            if stopped.is_set():
                return None
            if not self._waiting:
                self._worker = None
                return None
            return self._waiting.popleft()

    def _carry_out(self, request: _Request, stopped: threading.Event) -> StagingStatus:
        try:
            self._bring(request.id, request.files, stopped)
        except Exception:
            if not stopped.is_set():
                logger.exception("staging failed", extra={"action": "stage", "request_id": str(request.id)})
            return StagingStatus.FAILED
        return StagingStatus.SUCCEEDED
