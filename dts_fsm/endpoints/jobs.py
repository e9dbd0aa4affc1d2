"""One move under way: batches handed to an executor, a few at a time, and what has become of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol

from dts_fsm.endpoints.batches import Meter, always, never
from dts_fsm.endpoints.outcomes import failures
from dts_fsm.records import FileOutcome, FileState, FileTransfer, OperationCode, OperationStatus


class Portion(Protocol):
    """Files that one worker moves."""

    @property
    def files(self) -> tuple[FileTransfer, ...]:
        """All of them."""
        ...


Submit = Callable[[Any, Meter], "Future[list[FileOutcome]]"]
"""Hands a batch to an executor; the meter may be left unused where it cannot be shared."""


def _nothing() -> None:
    """Nobody waits for the end."""


class Job:
    """Moves all files of an iterator of batches, at most ``window`` batches at once.

    A batch that cannot be worked on (an executor that is shut down, a process that was killed) makes its files fail,
    transiently, and the others go on. All methods may be called from any thread.

    Args:
        valid: while it gives False, shared meters hold the work.
        ended: is called once, when the final status is there.
    """

    def __init__(
        self,
        batches: Iterator[Portion],
        *,
        num_files: int,
        submit: Submit,
        window: int,
        valid: Callable[[], bool] = always,
        ended: Callable[[], None] = _nothing,
    ) -> None:
        self._batches, self._num_files, self._submit, self._window = batches, num_files, submit, window
        self._valid, self._ended = valid, ended
        self._lock = threading.Lock()
        self._under_way: dict[Meter, Future[list[FileOutcome]] | None] = {}
        self._outcomes: list[FileOutcome] = []
        self._total = Meter()  # of the batches that have ended
        self._feeding = self._canceled = False
        self._fault: Exception | None = None  # why no more files could be had
        self._final: OperationStatus | None = None

    def start(self) -> None:
        """Begin; returns once the first batches are handed over."""
        self._feed()

    def cancel(self) -> None:
        """Ask the job to stop: no further batch is begun, and shared meters stop those under way. Idempotent."""
        with self._lock:
            self._canceled = True
            under_way = dict(self._under_way)
        for meter, future in under_way.items():
            meter.canceled = True
            if future is not None:
                future.cancel()
        self._feed()

    def abandon(self) -> None:
        """Stop the job for good: unlike a canceled one, it does not even put in place what is complete. Idempotent."""
        with self._lock:
            self._valid = never
            for meter in self._under_way:
                meter.valid = never
        self.cancel()

    def status(self) -> OperationStatus:
        """Give the present status; its cost does not depend on the number of files. The final one never changes."""
        with self._lock:
            if self._final is not None:
                return self._final
            meters = (self._total, *self._under_way)
            return OperationStatus(
                code=OperationCode.RUNNING,
                num_files_transferred=sum(meter.num_files for meter in meters),
                num_files_skipped=sum(meter.num_skipped for meter in meters),
                num_bytes_transferred=sum(meter.num_bytes for meter in meters),
            )

    def _feed(self) -> None:
        """Hand batches over until the window is full or nothing is left.

        One caller does it at a time. The others leave it to that one, which looks again after each batch: an executor
        that works inside ``submit`` leads to a loop here, not to a recursion.
        """
        with self._lock:
            if self._feeding:
                return
            self._feeding = True
        while (work := self._next()) is not None:
            batch, meter = work
            try:
                future = self._submit(batch, meter)
            except Exception as error:  # noqa: BLE001, RUF100 - executors raise what they like
                self._absorb(meter, failures(batch.files, error))
                continue
            with self._lock:
                if meter in self._under_way:
                    self._under_way[meter] = future
                canceled = self._canceled
            if canceled:
                future.cancel()
            future.add_done_callback(partial(self._collect, batch, meter))
        with self._lock:
            ended = _nothing if self._final is None else self._ended
            if self._final is not None:
                self._ended = _nothing
        ended()

    def _next(self) -> tuple[Portion, Meter] | None:
        with self._lock:
            if len(self._under_way) < self._window and self._final is None:
                batch = self._next_batch()
                if batch is not None:
                    meter = Meter(valid=self._valid)
                    self._under_way[meter] = None
                    return batch, meter
                if not self._under_way:
                    self._final = self._conclude()
            self._feeding = False
            return None

    def _next_batch(self) -> Portion | None:
        if self._canceled or self._fault is not None:
            return None
        try:
            return next(self._batches, None)
        except Exception as error:  # noqa: BLE001, RUF100 - the files may come from anywhere
            self._fault = error
            return None

    def _collect(self, batch: Portion, meter: Meter, future: Future[Any]) -> None:
        if future.cancelled():
            outcomes = [] if self._canceled else failures(batch.files, RuntimeError("the executor dropped the work"))
        elif (error := future.exception()) is not None:
            outcomes = failures(batch.files, error)
        else:
            outcomes = future.result()
        self._absorb(meter, outcomes)
        self._feed()

    def _absorb(self, meter: Meter, outcomes: list[FileOutcome]) -> None:
        with self._lock:
            del self._under_way[meter]
            self._outcomes += outcomes
            for outcome in outcomes:
                if outcome.state is not FileState.FAILED:
                    self._total.num_files += 1
                    self._total.num_skipped += outcome.state is FileState.SKIPPED
                    self._total.num_bytes += outcome.observed_bytes or 0

    def _conclude(self) -> OperationStatus:
        failed = [outcome for outcome in self._outcomes if outcome.state is FileState.FAILED]
        code, transient = OperationCode.SUCCEEDED, False
        reason: str | None = None
        message = f"{self._total.num_files} of {self._num_files} files are there, {self._total.num_skipped} were before"
        if self._fault is not None:
            code, reason, transient = OperationCode.FAILED, "error", True
            message = f"the files to move could not be listed: {self._fault!r}"
        elif len(self._outcomes) < self._num_files:
            code, message = OperationCode.CANCELED, f"canceled: {message}"
        elif failed:
            code, transient = OperationCode.FAILED, all(outcome.transient for outcome in failed)
            reason, _ = Counter(outcome.reason for outcome in failed).most_common(1)[0]
            example = next(outcome.error for outcome in failed if outcome.reason == reason)
            message = f"{len(failed)} of {self._num_files} files failed, most often: {example}"
        return OperationStatus(
            code=code,
            message=message,
            reason=reason,
            transient=transient,
            num_files_transferred=self._total.num_files,
            num_files_skipped=self._total.num_skipped,
            num_bytes_transferred=self._total.num_bytes,
            files=tuple(self._outcomes),
        )
