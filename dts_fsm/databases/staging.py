"""Staging requests that are worked off one after the other, as a tape robot would."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from uuid import UUID

from dts_fsm.records import Descriptor, StagingStatus

logger = logging.getLogger(__name__)

MAX_REMEMBERED = 10_000
"""How many requests are remembered; one that is forgotten and asked for again ends at once: its files are there."""


class StagingQueue:
    """Requests for files, carried out in the background; all of it is in memory.

    A process that ends takes its requests with it, and their status becomes UNKNOWN: asking again with the same id
    carries on, since files that are in place are not asked for.

    Args:
        bring: brings one file to its endpoint; what it raises fails the request.
        delay_s: how long a request is ACTIVE before the first file is brought.
    """

    def __init__(self, bring: Callable[[Descriptor], None], *, delay_s: float = 0) -> None:
        self._bring, self._delay_s = bring, delay_s
        self._lock = threading.Lock()
        self._statuses: dict[UUID, StagingStatus] = {}
        self._waiting: deque[tuple[float, UUID, tuple[Descriptor, ...]]] = deque()
        self._worker: threading.Thread | None = None

    def ask(self, request_id: UUID, files: Sequence[Descriptor]) -> None:
        """Have these files brought; without files the request has succeeded. Does not wait. Idempotent.

        A request that is under way is left alone; one that has ended, and whose files are missing, is made again.
        """
        with self._lock:
            if self._statuses.get(request_id) is StagingStatus.ACTIVE:
                return
            self._statuses[request_id] = StagingStatus.ACTIVE if files else StagingStatus.SUCCEEDED
            self._forget()
            if not files:
                return
            self._waiting.append((time.monotonic() + self._delay_s, request_id, tuple(files)))
            if self._worker is None:
                # a daemon: a long copy must not keep a process alive that wants to end
                self._worker = threading.Thread(target=self._work, name="dts-fsm-staging", daemon=True)
                self._worker.start()

    def status(self, request_id: UUID) -> StagingStatus:
        """Give how the request stands, UNKNOWN for one that was never made or is forgotten."""
        with self._lock:
            return self._statuses.get(request_id, StagingStatus.UNKNOWN)

    def _forget(self) -> None:
        if len(self._statuses) > MAX_REMEMBERED:
            ended = (key for key, status in self._statuses.items() if status is not StagingStatus.ACTIVE)
            if (oldest := next(ended, None)) is not None:
                del self._statuses[oldest]

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._worker = None
                    return
                due, request_id, files = self._waiting.popleft()
            time.sleep(max(0.0, due - time.monotonic()))
            status = self._carry_out(request_id, files)
            with self._lock:
                self._statuses[request_id] = status

    def _carry_out(self, request_id: UUID, files: Sequence[Descriptor]) -> StagingStatus:
        try:
            for file in files:
                self._bring(file)
        except Exception:
            logger.exception("staging failed", extra={"action": "stage", "request_id": str(request_id)})
            return StagingStatus.FAILED
        return StagingStatus.SUCCEEDED
