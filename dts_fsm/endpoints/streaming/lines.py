"""The threads in which large files are read and written: a service that hangs can hold them, and nobody who waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_Call = tuple["Future[Any]", Callable[[], Any]]


class Lines(Executor):
    """Daemon threads that make calls, in the order in which they were submitted.

    Not a ``ThreadPoolExecutor``: the interpreter does not exit before the threads of all of those have ended.

    Args:
        num_threads: how many calls are made at once.
        name: begins the names of the threads.
    """

    def __init__(self, num_threads: int, *, name: str) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._waiting: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}_{number}", daemon=True) for number in range(num_threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have the call made, and give what its result comes in. Does not wait.

        Raises:
            RuntimeError: the lines are shut down.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the endpoint was closed")
            self._waiting.put((future, partial(fn, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; the threads end once those that were taken are made, or canceled. Idempotent."""
        with self._lock:
            self._closed = True
        if cancel_futures:
            while (call := self._next()) is not None:
                call[0].cancel()
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def _next(self) -> _Call | None:
        try:
            return self._waiting.get_nowait()
        except Empty:
            return None

    def _work(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            future, call = waiting
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:  # noqa: BLE001, RUF100 - it is raised where it is waited for
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
            del waiting, future, call  # or a thread without work would keep the last part in memory
