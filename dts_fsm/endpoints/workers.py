"""The threads of a local endpoint: a file system that hangs can hold them, and nobody who waits for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue

from dts_fsm.endpoints.batches import Meter
from dts_fsm.endpoints.turns import Turns
from dts_fsm.records import FileOutcome

logger = logging.getLogger(__name__)

Work = Callable[[Meter, Turns], list[FileOutcome]]
"""Moves a batch of files: counts in the meter, and may take turns with other work on small files."""

_Waiting = tuple["Future[list[FileOutcome]]", Work, Meter]


class Workers:
    """Daemon threads that move batches, in the order in which they were submitted.

    Not a ``ThreadPoolExecutor``: the interpreter does not exit before the threads of all of those have ended, and a
    thread that reads from a dead mount never does.

    Args:
        num_threads: how many batches are moved at once.
        name: begins the names of the threads.
    """

    def __init__(self, num_threads: int, *, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._closed = False
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._turns = Turns(num_threads)
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}_{number}", daemon=True) for number in range(num_threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Work, meter: Meter) -> Future[list[FileOutcome]]:
        """Have the work done, and give what its outcomes come in. Does not wait.

        Raises:
            RuntimeError: the workers are closed.
        """
        future: Future[list[FileOutcome]] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the endpoint was closed")
            self._waiting.put((future, work, meter))
        return future

    def close(self, *, timeout_s: float) -> None:
        """Cancel what has not begun, and wait until the threads have ended, but no longer than this. Idempotent.

        A thread that has not ended by then is left to itself and logged; it ends with what it is doing, or with the
        process.
        """
        with self._lock:
            self._closed = True
        while (waiting := self._next_waiting()) is not None:
            waiting[0].cancel()
        for _ in self._threads:
            self._waiting.put(None)
        deadline_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        if num_alive := sum(thread.is_alive() for thread in self._threads):
            logger.warning(
                "threads of a closed endpoint are still at work: its file system may hang",
                extra={"action": "close", "workers": self._name, "num_threads": num_alive},
            )

    def _next_waiting(self) -> _Waiting | None:
        try:
            return self._waiting.get_nowait()
        except Empty:
            return None

    def _work(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            future, work, meter = waiting
            if not future.set_running_or_notify_cancel():
                continue
            try:
                outcomes = work(meter, self._turns)
            except BaseException as error:  # noqa: BLE001, RUF100 - the job makes failed files of whatever it is
                future.set_exception(error)
            else:
                future.set_result(outcomes)
            del waiting, future, work, meter  # or a thread without work would keep the last move's files in memory
