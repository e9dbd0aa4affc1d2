"""Operations along their chart: what providers answer becomes events, and events become history."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from uuid import uuid4

from dts_fsm.engine.guards import ENDED, operation_guards
from dts_fsm.engine.timing import Timing
from dts_fsm.errors import PermanentError, ProviderError, StoreChartError
from dts_fsm.records import FileOutcome, FileState, OperationCode, OperationRequest, OperationStatus
from dts_fsm.statechart import Chart, OperationEvent, StateMachine
from dts_fsm.store.rows import Change, HistoryEntry, OperationRow, TransferRow, time_of

_log = logging.getLogger(__name__)

UPGRADE = "upgrade"
"""The event in the history by which a machine came from another chart to the present one."""

_NO_PROGRESS = "it has made no progress since"

Answer = OperationStatus | ProviderError | None
"""What came of a call of a handler: a status, the error that it raised, or None for no news."""


class OperationEngine:
    """Moves operations along their chart, and notes on their transfer what their answers say of it."""

    def __init__(self, chart: Chart, timing: Timing) -> None:
        self._timing = timing
        self._guards = operation_guards(timing.settings.max_attempts)
        self.machine = StateMachine(chart, callbacks={}, guards=self._guards)

    def begin(self, change: Change, wish: OperationRequest, now: float) -> None:
        """Make a new operation, which waits to be handed over."""
        row, chart = change.transfer, self.machine.chart
        operation = OperationRow(
            rowid=0,
            uuid=str(uuid4()),
            transfer=row.rowid,
            handler=wish.handler,
            kind=wish.kind,
            endpoint=wish.endpoint,
            phase=row.phase,
            began_at=now,
            state=chart.initial,
            version=0,
            chart=chart.fingerprint,
            due_at=now,
            changed_at=now,
            progressed_at=now,
        )
        row.operations.append(operation)
        change.new_operations.append(operation)
        change.history.append(HistoryEntry(operation, "create", "", chart.initial, now))

    def carry(self, change: Change, operation: OperationRow, now: float) -> None:
        """Let an operation that was begun under another chart go on under the present one; its history says so."""
        chart = self.machine.chart
        if operation.chart == chart.fingerprint or operation.due_at is None:
            return
        former, source = operation.chart, operation.state
        target = chart.carried(former, source)
        if target is None:
            raise StoreChartError(
                f"the statechart 'operation' has no state {source!r}, in which one is that was begun under the chart "
                f"{former}, and no migration from there"
            )
        operation.state, operation.chart, operation.dirty = target, chart.fingerprint, True
        operation.due_at = min(operation.due_at, now)
        message = upgraded(former, chart.fingerprint)
        change.history.append(HistoryEntry(operation, UPGRADE, source, target, now, message, operation.reason))

    def submit(self, change: Change, operation: OperationRow, now: float) -> None:
        """Record the intention to hand the operation over."""
        operation.reason = None
        self._fire(change, operation, "submit", now, due_at=now)
        operation.submitted = 1

    def cancel(self, change: Change, operation: OperationRow, now: float) -> None:
        """Have the operation stopped; one that was never handed over has stopped at once."""
        self._fire(change, operation, "cancel", now, due_at=now)
        if not operation.submitted:
            self._fire(change, operation, "acknowledge", now, "it had not been handed over")

    def abandon(self, change: Change, operation: OperationRow, now: float) -> None:
        """End an operation whose transfer has ended; whatever its provider does."""
        if operation.state != "canceling":
            self._fire(change, operation, "cancel", now)
        self._fire(change, operation, "abandon", now, "its transfer had ended")

    def give_up(self, change: Change, operation: OperationRow, now: float) -> None:
        """End a cancellation that its provider has had its time to acknowledge, whether or not it can be asked."""
        self._abandoned(change, operation, "the provider did not acknowledge in time", now)

    def answer(self, change: Change, operation: OperationRow, answer: Answer, now: float) -> None:
        """Take in what a provider answered."""
        if operation.state in ENDED or operation.state == "pending":
            return  # another answer came first, and this one says nothing of the submission that is to come
        if isinstance(answer, ProviderError):
            self._error(change, operation, answer, now)
            return
        if answer is None:
            self._go_on(change, operation, None, operation.message, now)
            return
        _progress(change.transfer, operation, answer, now)
        canceling = operation.state == "canceling"
        match answer.code:
            case OperationCode.RUNNING:
                begun: dict[str, OperationEvent] = {"submitting": "start", "suspended": "resume"}
                self._go_on(change, operation, begun.get(operation.state), answer.message, now)
            case OperationCode.SUSPENDED:
                event: OperationEvent | None = "suspend" if operation.state in ("submitting", "running") else None
                self._go_on(change, operation, event, answer.message, now)
            case OperationCode.SUCCEEDED:
                _take_files(change, answer.files)
                change.manifest = answer.manifest or change.manifest
                self._fire(change, operation, "succeed", now, answer.message)
                change.transfer.succeeded.append(operation)
            case OperationCode.LOST if canceling:
                self._fire(change, operation, "acknowledge", now, "the provider knows nothing of it")
            case OperationCode.LOST:
                self._lost(change, operation, answer.message, now)
            case OperationCode.CANCELED if canceling:
                _take_files(change, answer.files)
                self._fire(change, operation, "acknowledge", now, answer.message)
            case OperationCode.CANCELED | OperationCode.FAILED:
                _take_files(change, answer.files)
                self._failed(change, operation, answer, now)

    def _go_on(
        self, change: Change, operation: OperationRow, event: OperationEvent | None, message: str, now: float
    ) -> None:
        if event is not None:
            self._fire(change, operation, event, now, message)
        elif operation.state == "canceling" and self._abandoned(change, operation, message, now):
            return
        operation.due_at = self._timing.next_poll_at(operation, now)
        operation.message, operation.dirty = message, True
        self._tell_whether_it_stalls(change.transfer, operation, now)

    def _tell_whether_it_stalls(self, row: TransferRow, operation: OperationRow, now: float) -> None:
        """The transfer's message says that the operation makes no progress; an older difficulty is over."""
        told, message = row.message.startswith(trouble(operation)), ""
        # no progress is told of staging: it takes as long as it takes, and has a deadline
        idle_s = 0.0 if operation.kind == "stage" else now - operation.progressed_at
        if operation.state == "running" and idle_s >= self._timing.settings.stall_after_s:
            message = f"{trouble(operation)}{_NO_PROGRESS} {time_of(operation.progressed_at):%F %TZ}"
        if message and not told and _NO_PROGRESS in row.message:
            return  # another one stalls as well: one is enough to say so
        if (told or message) and message != row.message:
            row.message, row.dirty = message, True
            if message:
                _log.warning(
                    "stalled", extra={"action": "poll", "transfer_id": row.uuid, "endpoint": operation.endpoint}
                )

    def _failed(self, change: Change, operation: OperationRow, answer: OperationStatus, now: float) -> None:
        by_provider = answer.code is OperationCode.CANCELED
        message = answer.message or ("the provider canceled it" if by_provider else "the provider says that it failed")
        operation.reason = answer.reason or ("canceled by the provider" if by_provider else None)
        if operation.reason == "canceled":  # that is what a user does
            operation.reason = "canceled by the provider"
        if operation.state == "canceling":
            # a failure that may pass is no reason not to go on after a suspension
            self._fire(change, operation, "acknowledge" if answer.transient else "fail", now, message)
            return
        operation.permanent = not answer.transient
        if self._try_again(change, operation, message, now):
            # the provider has answered for this submission: the next one is another
            operation.generation += 1
            operation.submitted, operation.handle = 0, None
            operation.files_transferred = operation.files_skipped = operation.bytes_transferred = 0
        change.transfer.message = trouble(operation) + message
        change.transfer.dirty = True

    def _try_again(self, change: Change, operation: OperationRow, message: str, now: float) -> bool:
        """Send a failed attempt back to be tried again, or end the operation; True for the former."""
        again = self._guards["attempts_left"](operation)
        retry_at = self._timing.retry_at(operation.attempts + 1, now) if again else None
        reason = operation.reason or "transient error"
        self._fire(change, operation, "retry" if again else "fail", now, message, due_at=retry_at, reason=reason)
        operation.attempts += 1
        return again

    def _lost(self, change: Change, operation: OperationRow, message: str, now: float) -> None:
        operation.lost = True
        operation.losses += 1
        again_at = now if operation.losses == 1 else self._timing.retry_at(operation.losses - 1, now)
        message = message or "the provider has lost it: it is submitted again"
        self._fire(change, operation, "retry", now, message, due_at=again_at, reason="lost")
        operation.lost = False

    def _error(self, change: Change, operation: OperationRow, error: ProviderError, now: float) -> None:
        """A call raised: nobody knows whether it took effect, unless the error is permanent."""
        message = str(error) or type(error).__name__
        permanent = isinstance(error, PermanentError)
        if operation.state == "canceling":
            if permanent:
                self._fire(change, operation, "abandon", now, message)
            elif not self._abandoned(change, operation, message, now):
                self._look_later(operation, message, now)
        elif permanent or operation.state == "submitting":
            operation.permanent = permanent
            self._try_again(change, operation, message, now)
        else:
            self._look_later(operation, message, now)
        if operation.state != "canceled":
            change.transfer.message = trouble(operation) + message
            change.transfer.updated_at, change.transfer.dirty = now, True

    def _look_later(self, operation: OperationRow, message: str, now: float) -> None:
        operation.message, operation.dirty = message, True
        operation.due_at = max(self._timing.retry_at(1, now), self._timing.next_poll_at(operation, now))

    def _abandoned(self, change: Change, operation: OperationRow, message: str, now: float) -> bool:
        """End a cancellation that the provider has had its time for; True if it has."""
        setting = self.machine.chart.state(operation.state).deadline
        deadline_at = self._timing.deadline_at(setting, operation.changed_at)
        if deadline_at is None or now < deadline_at:
            return False
        self._fire(change, operation, "abandon", now, message)
        return True

    def _fire(
        self,
        change: Change,
        operation: OperationRow,
        event: OperationEvent,
        now: float,
        message: str = "",
        *,
        due_at: float | None = None,
        reason: str | None = None,
    ) -> None:
        source = operation.state
        self.machine.fire(operation, event)
        if source == "suspended":
            # the time for which it was suspended does not count, neither for nor against it
            operation.progressed_at += now - operation.changed_at
        operation.changed_at = now
        operation.dirty = True
        if message:
            operation.message = message
        ended = operation.state in ENDED
        operation.due_at = None if ended else now if due_at is None else due_at
        reason = operation.reason if ended else reason
        change.history.append(HistoryEntry(operation, event, source, operation.state, now, message, reason))


def upgraded(former: str, present: str) -> str:
    """What the history says of a machine that came from one chart to another, by their fingerprints."""
    return f"from chart {former} to {present}"


def trouble(operation: OperationRow) -> str:
    """How a transfer's message begins while it is about a difficulty of this operation."""
    return f"{operation.kind} at {operation.endpoint}: "


def _progress(row: TransferRow, operation: OperationRow, answer: OperationStatus, now: float) -> None:
    if answer.handle is not None:
        operation.handle = str(answer.handle)
    before = (operation.files_transferred, operation.files_skipped, operation.bytes_transferred)
    # a provider that tells of more than there is could otherwise make progress, and so last, for ever
    told = (
        min(answer.num_files_transferred, row.num_files),
        min(answer.num_files_skipped, row.num_files),
        min(answer.num_bytes_transferred, row.num_bytes),
    )
    # only what goes beyond the furthest point counts: work that is lost and begun again for ever must end some time
    furthest = tuple(map(max, before, told))
    if furthest != before:
        operation.files_transferred, operation.files_skipped, operation.bytes_transferred = furthest
        operation.progressed_at = now


def _take_files(change: Change, outcomes: Sequence[FileOutcome]) -> None:
    row = change.transfer
    for outcome in outcomes:
        if outcome.state.arrived:
            row.files_transferred += 1
            row.files_skipped += outcome.state is FileState.SKIPPED
            row.bytes_transferred = min(row.bytes_transferred + (outcome.observed_bytes or 0), row.num_bytes)
        elif outcome.state is FileState.UNSTAGED:
            row.num_unstaged += 1
        elif outcome.state is FileState.STAGED:
            row.num_unstaged = max(row.num_unstaged - 1, 0)
    if outcomes:
        row.dirty = True
        change.files.extend(outcomes)
