"""Transfers along their chart: from requests and answers to transitions, and to what they change.

Pure but for the rows it is given: no provider is called, and no store. A transfer's rows go in with what has happened,
the machines of the two charts move them, the handlers say what to begin next, and a ``Change`` comes out for the store
to write whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from uuid import uuid4

from dts_fsm.engine.guards import (
    CANCEL,
    ENDED,
    EXPIRE,
    RESUME,
    SUSPEND,
    latest,
    live,
    partly_moved,
    transfer_guards,
)
from dts_fsm.engine.operations import UPGRADE, Answer, OperationEngine, trouble, upgraded
from dts_fsm.engine.timing import Timing
from dts_fsm.errors import StoreChartError
from dts_fsm.interfaces import Handler
from dts_fsm.records import OperationRequest, Plan, Transfer, TransferStatusCode
from dts_fsm.records.checks import readable
from dts_fsm.statechart import Callback, Chart, Guard, StateMachine, load_chart
from dts_fsm.store.rows import (
    Change,
    HistoryEntry,
    JournalEntry,
    OperationRow,
    RequestRow,
    Stored,
    TransferRow,
    time_of,
)
from dts_fsm.store.upgrade import too_early

COMPLAINT_PAUSE_S = 5.0
"""How long a transfer is left alone on which a handler's or the engine's fault made it impossible to decide."""


class Engine:
    """Moves transfers along their chart, and their operations along theirs.

    Args:
        handlers: by the names that the transfer chart's callbacks use: ``mover.begin`` is the ``begin`` of "mover". A
            handler may offer further guards in an attribute ``guards`` (name -> predicate on the transfer's row), say
            why these say no in an attribute ``reasons`` (name -> function that gives a sentence for the row), and in a
            method ``follow(transfer, request)`` what is to be begun after an operation that has succeeded.
        timing: polls, back-off and deadlines.
        stored: gives what never changes of a transfer, by row id.
        transfer_chart, operation_chart: other charts than the package's own.

    Attributes:
        reasons: by the guards that handlers offer: what says why they say no, or None where nothing does.

    Raises:
        StatechartError: a chart has faults, or asks for callbacks or guards that nobody offers; all are listed.
        InvalidServiceConfigError: a chart names a deadline that is no setting.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        timing: Timing,
        stored: Callable[[int], Stored],
        *,
        transfer_chart: Chart | None = None,
        operation_chart: Chart | None = None,
    ) -> None:
        self._timing, self._stored, self._handlers = timing, stored, handlers
        self._callbacks: dict[str, Callback] = {"journal.record": _record}
        guards: dict[str, Guard] = dict(transfer_guards(keep=timing.settings.partial == "keep"))
        self.reasons: dict[str, Callable[[TransferRow], str] | None] = {}
        for name, handler in handlers.items():
            self._callbacks[f"{name}.begin"] = partial(self._begin, handler)
            guards |= getattr(handler, "guards", {})
            self.reasons |= dict.fromkeys(getattr(handler, "guards", {}))
            self.reasons |= getattr(handler, "reasons", {})
        chart = transfer_chart or load_chart("transfer")
        self.machine = StateMachine(chart, callbacks=self._callbacks, guards=guards)
        self.operations = OperationEngine(operation_chart or load_chart("operation"), timing)
        for state in (*chart.states, *self.operations.machine.chart.states):
            timing.deadline_at(state.deadline, 0.0)  # a misspelt setting is found now, not when it is needed
        self._suspendable = {
            state
            for transition in chart.transitions
            if transition.event == "suspend"
            for state in (*transition.sources, transition.target)
        }

    @property
    def charts(self) -> Mapping[str, Chart]:
        """The charts that run: "transfer" and "operation"."""
        return {"transfer": self.machine.chart, "operation": self.operations.machine.chart}

    @property
    def timing(self) -> Timing:
        """Polls, back-off and deadlines, as they were given."""
        return self._timing

    def check(self, charts: Iterable[tuple[str, str, str]]) -> None:
        """Refuse a store whose rows are in states that the charts neither have nor have a migration for.

        Args:
            charts: machine ("transfer" or "operation"), fingerprint and state of all that lives, as the store has it.

        Raises:
            StoreChartError: each stranded state is named.
        """
        stranded = sorted(
            {
                f"{machine} in state {state!r} (made under the chart {fingerprint})"
                for machine, fingerprint, state in charts
                if self.charts[machine].carried(fingerprint, state) is None
            }
        )
        if stranded:
            raise StoreChartError(
                "the store has transfers that the present statecharts could never end: "
                + "; ".join(stranded)
                + ". Let them end under the charts that created them, or add [[migrations]] that say where they go on; "
                "`dts-fsm store upgrade --plan` lists all of them"
            )

    def admit(self, plan: Plan, now: float) -> Change:
        """Give the change that creates a transfer: its row, its first operations, and their history."""
        chart = self.machine.chart
        state = chart.state(chart.initial)
        row = TransferRow(
            rowid=0,
            uuid=str(uuid4()),
            state=chart.initial,
            version=0,
            chart=chart.fingerprint,
            due_at=None,
            deadline_at=None,
            updated_at=now,
            completed_at=None,
            suspended_from="",
            wanted="",
            reason=None,
            message=state.description,
            num_unstaged=0,
            files_transferred=0,
            files_skipped=0,
            bytes_transferred=0,
            num_files=plan.num_files,
            num_bytes=plan.num_bytes,
            created_at=now,
            stored=Stored(specification=plan.specification, destination=plan.destination, sources=plan.sources),
        )
        change = Change(transfer=row)
        self._enter(row, now, since=now)
        _note(change, "create", "", now)
        if state.enter is not None:
            self._callbacks[state.enter](row)
        self._settle(change, now)
        return change

    def decide(
        self,
        row: TransferRow,
        now: float,
        *,
        answers: Sequence[tuple[OperationRow, Answer]] = (),
        requests: Sequence[RequestRow] = (),
        not_before: float = 0.0,
    ) -> Change:
        """Give what the answers, the requests and the time change of a transfer.

        Args:
            row: the transfer as it is stored; it is changed.
            answers: what came of calls for the row's operations, in the order of arrival.
            requests: what users ask, in the order of asking.
            not_before: no deadline passes before this time: nobody may have asked the providers for a while.
        """
        change = Change(transfer=row, requests=[request.rowid for request in requests])
        if row.completed_at is not None:
            return change
        self._carry(change, now)
        for request in requests:
            self._request(row, request.kind)
        self._expire(row, now, not_before)
        for operation, answer in answers:
            self.operations.answer(change, operation, answer, now)
        row.message = row.message or self.machine.chart.state(row.state).description
        self._settle(change, now, not_before)
        return change

    def mend(self, row: TransferRow, now: float) -> Change:
        """Give the change after which a transfer and its operations agree, and something will wake the transfer.

        For rows that the engine never leaves like this: after a damage, say, or somebody's hand in the store. What is
        right is left as it is.
        """
        change = Change(transfer=row)
        self._carry(change, now)
        for operation in row.operations:
            ended = operation.state in ENDED
            if ended is not (operation.due_at is None):
                operation.due_at, operation.dirty = None if ended else now, True
            if not ended and row.completed_at is not None:
                self.operations.abandon(change, operation, now)
        if row.completed_at is not None:
            row.dirty = row.due_at is not None
            row.due_at = None
            return change
        state = self.machine.chart.state(row.state)
        if row.due_at is None and row.wanted == "":
            row.due_at = row.deadline_at = self._timing.deadline_at(state.deadline, now)
            row.dirty = row.due_at is not None
        if state.enter is not None and not live(row.operations):
            self._callbacks[state.enter](row)
        self._settle(change, now)
        return change

    def complain(self, row: TransferRow, message: str, now: float) -> Change:
        """Give the change that says why nothing could be decided on a transfer, and lets it rest for a while."""
        row.message, row.updated_at, row.dirty = readable(message), now, True
        later = now + COMPLAINT_PAUSE_S
        if row.chart != self.machine.chart.fingerprint:
            row.due_at = later  # it has not come to this chart yet, and perhaps no operation wakes it
        elif row.due_at is not None:
            row.due_at = max(row.due_at, later)
        for operation in row.operations:
            if operation.due_at is not None and operation.due_at < later:
                operation.due_at, operation.dirty = later, True
        return Change(transfer=row)

    def view(self, row: TransferRow) -> Transfer:
        """Give the transfer as handlers see it."""
        known = row.view
        if known is not None and known.state == row.state and known.num_unstaged == row.num_unstaged:
            return known
        static = self._static(row)
        row.view = Transfer(
            id=row.id,
            state=TransferStatusCode(row.state),
            specification=static.specification,
            destination=static.destination,
            sources=static.sources,
            num_unstaged=row.num_unstaged,
            created_at=time_of(row.created_at),
        )
        return row.view

    def _static(self, row: TransferRow) -> Stored:
        if row.stored is None:
            row.stored = self._stored(row.rowid)
        return row.stored

    def carried(self, row: TransferRow) -> str:
        """Give the state in which a live transfer goes on that was made under other charts, or the same.

        Raises:
            StoreChartError: there is none, or a migration leads to one whose work would begin too early.
        """
        chart = self.machine.chart
        if row.chart == chart.fingerprint or row.completed_at is not None:
            return row.state
        self.check(("transfer", row.chart, name) for name in (row.state, row.suspended_from) if name)
        target = chart.carried(row.chart, row.state, row.suspended_from) or row.state
        early = too_early(chart, row, lambda: {source.endpoint for source in self._static(row).sources})
        if early is not None:
            raise StoreChartError(
                f"a migration leads the transfer {row.uuid} from {row.phase!r} to {early!r}, and the work that must "
                "come before is not done: lead to a state in which it is done again"
            )
        return target

    def _carry(self, change: Change, now: float) -> None:
        """Let a transfer that was made under other charts go on under the present ones; its history says so.

        Raises:
            StoreChartError: nothing says where.
        """
        row, chart = change.transfer, self.machine.chart
        target = self.carried(row)
        for operation in row.operations:
            self.operations.carry(change, operation, now)
        if row.chart == chart.fingerprint:
            return
        former, source = row.chart, row.state
        row.state = target
        row.suspended_from = chart.carried(former, row.suspended_from) or "" if target == source else ""
        for operation in row.operations:
            phase = chart.carried(former, operation.phase) or operation.phase
            operation.dirty = operation.dirty or phase != operation.phase
            operation.phase = phase
        row.chart, row.dirty = chart.fingerprint, True
        if row.wanted in (SUSPEND, RESUME) and (row.state != source or row.state not in self._suspendable):
            row.wanted = ""  # what was stopped for it, the sweep begins again
        state = chart.state(row.state)
        if row.state != source:
            row.message = state.description
            self._enter(row, now, since=now)
            if state.enter is not None:
                self._callbacks[state.enter](row)
        elif row.wanted != EXPIRE:
            row.deadline_at = self._timing.deadline_at(state.deadline, row.updated_at)
            row.due_at = row.deadline_at = self._timing.extended(row, state.deadline)
        change.history.append(
            HistoryEntry(None, UPGRADE, source, row.state, now, upgraded(former, chart.fingerprint), row.reason)
        )

    def _settle(self, change: Change, now: float, not_before: float = 0.0) -> None:
        """Take every transition that can be taken now, and hand over what is due."""
        while True:
            self._follow(change.transfer)
            self._begin_wishes(change, now)
            self._stop_or_submit(change, now, not_before)
            event = self.machine.next_event(change.transfer)
            if event is None:
                return
            self._fire(change, event, now)

    def _fire(self, change: Change, event: str, now: float) -> None:
        row = change.transfer
        source = row.state
        partly = event == "finalize" and partly_moved(row)
        if row.wanted == EXPIRE and event != "fail":
            row.wanted = ""
        failure = _failure(row) if event == "fail" or partly else None
        troubles = _troubles(row) if failure else []
        transition = self.machine.fire(row, event)
        row.dirty = True
        row.message = transition.description
        if event == "suspend":
            row.suspended_from = source
        elif event == "resume":
            row.suspended_from, row.wanted = "", ""
        elif event == "cancel":
            row.reason = "canceled"
            if row.files_transferred:
                row.message += f" {row.files_transferred} of {row.num_files} files had arrived before, and stay."
        elif failure is not None:
            row.reason, row.message = ("partial", row.message) if partly else failure
            change.given_up = [*troubles, (None, *failure)]
        if row.reason == "partial":
            row.message += f" {row.num_files - row.files_transferred} of {row.num_files} files could not be moved."
        working = [op.progressed_at for op in row.operations if event == "resume" and op.state not in ENDED]
        # a provider that suspends and resumes again and again gets no more time by it
        self._enter(row, now, since=max(working, default=now))
        _note(change, event, source, now)
        if row.journal_due:
            row.journal_due = False
            row.completed_at, row.due_at, row.deadline_at = now, None, None
            status = "canceled" if row.reason == "canceled" else row.state
            description = self._static(row).specification.description
            change.journal = JournalEntry(status=status, description=description)

    def _enter(self, row: TransferRow, now: float, since: float) -> None:
        row.updated_at = now
        row.deadline_at = self._timing.deadline_at(self.machine.chart.state(row.state).deadline, since)
        row.due_at = row.deadline_at

    def _request(self, row: TransferRow, kind: str) -> None:
        """Take up what a user asks; what is already under way is left alone."""
        wanted = row.wanted
        if kind == CANCEL:
            row.wanted = CANCEL
        elif kind == SUSPEND and wanted in ("", RESUME):
            row.wanted = SUSPEND
        elif kind == RESUME and wanted == SUSPEND:
            # a suspension that has begun is carried out first: work that is being stopped cannot go on
            row.wanted = RESUME if row.state in self._suspendable else ""
        row.dirty = row.dirty or row.wanted != wanted

    def _expire(self, row: TransferRow, now: float, not_before: float) -> None:
        """Note that the state's time is over, unless progress has moved its deadline on."""
        if row.due_at is None or row.due_at > now:
            return
        setting = self.machine.chart.state(row.state).deadline
        row.due_at = row.deadline_at = self._timing.extended(row, setting)
        if row.due_at is not None and row.due_at <= now < not_before:
            row.due_at = row.deadline_at = not_before
        row.dirty = True
        if row.deadline_at is not None and row.deadline_at <= now:
            # from here on the deadline for cancellations sees to an end
            row.due_at = None
            row.wanted = row.wanted if row.wanted == CANCEL else EXPIRE

    def _stop_or_submit(self, change: Change, now: float, not_before: float) -> None:
        stopping = self._stopping(change.transfer)
        for operation in change.transfer.operations:
            if operation.state in ENDED:
                continue
            if operation.state == "canceling":
                if now >= not_before:
                    self.operations.give_up(change, operation, now)
            elif stopping:
                self.operations.cancel(change, operation, now)
            elif operation.state == "pending" and operation.due_at is not None and operation.due_at <= now:
                self.operations.submit(change, operation, now)

    def _stopping(self, row: TransferRow) -> bool:
        """True while the transfer's operations are to be stopped."""
        if row.wanted in (SUSPEND, RESUME):
            return row.state in self._suspendable
        return row.wanted != ""

    def _begin(self, handler: Handler, row: TransferRow) -> None:
        """The callback ``<handler>.begin`` of the chart."""
        row.wishes.extend(handler.begin(self.view(row)))

    def _follow(self, row: TransferRow) -> None:
        succeeded, row.succeeded = row.succeeded, []
        for operation in succeeded:
            follow = getattr(self._handlers.get(operation.handler), "follow", None)
            if follow is not None and operation.phase == row.phase:
                request = OperationRequest(handler=operation.handler, kind=operation.kind, endpoint=operation.endpoint)
                row.wishes.extend(follow(self.view(row), request))

    def _begin_wishes(self, change: Change, now: float) -> None:
        row = change.transfer
        if not row.wishes:
            return
        wishes, row.wishes = row.wishes, []
        here = {
            (operation.handler, operation.kind, operation.endpoint)
            for operation in latest(row)
            if operation.state != "canceled"
        }
        for wish in wishes:
            if wish.handler not in self._handlers:
                raise LookupError(f"{wish} asks for a handler that there is not")
            if (wish.handler, wish.kind, wish.endpoint) not in here:
                here.add((wish.handler, wish.kind, wish.endpoint))
                self.operations.begin(change, wish, now)


def _record(row: TransferRow) -> None:
    """The callback ``journal.record`` of the chart."""
    row.journal_due = True


def _failure(row: TransferRow) -> tuple[str, str]:
    """Why a transfer is about to fail: one or two words, and a sentence."""
    if row.wanted == EXPIRE:
        return "deadline", f"it was {row.state} for too long without progress"
    troubles = _troubles(row)
    return troubles[0][1], "; ".join(sentence for _, _, sentence in troubles)


def _troubles(row: TransferRow) -> list[tuple[str | None, str, str]]:
    """Of each operation of this phase that failed: its endpoint, one or two words, and a sentence."""
    words = {"stage": "staging"}
    return [
        (op.endpoint, op.reason or f"{words.get(op.kind, op.kind)} failed", trouble(op) + op.message)
        for op in latest(row)
        if op.state == "failed"
    ]


def _note(change: Change, event: str, source: str, now: float) -> None:
    row = change.transfer
    progress = (row.files_transferred, row.files_skipped, row.bytes_transferred)
    change.history.append(
        HistoryEntry(None, event, source, row.state, now, row.message if source else "", row.reason, progress)
    )
