"""The scheduler: the tick that advances all transfers, and the thread that ticks.

One tick: collect the answers of earlier calls, claim what is due, let the engine decide, commit it all in one
transaction, and only then make the calls that the committed state asks for. So a provider is never called before the
intention to call it is durable.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import cast, overload
from uuid import UUID

from dts_fsm.config import Redactor, ServiceConfig
from dts_fsm.config.redaction import words
from dts_fsm.engine import Answer, Engine
from dts_fsm.engine.guards import ENDED
from dts_fsm.engine.transfers import COMPLAINT_PAUSE_S
from dts_fsm.errors import StoreChartError, StoreError, StoreLeaseLostError
from dts_fsm.interfaces import Clock, Handler
from dts_fsm.lanes import Call, Dispatcher, Verb, lane_of
from dts_fsm.records import FileRecord, Operation
from dts_fsm.store import Change, OperationRow, RequestRow, Store, TransferRow, time_of

_log = logging.getLogger(__name__)

_CLAIM = 1000
"""How many operations a tick takes at most: above some hundreds the cost of a commit is spread thinly enough."""

_GATHER_S = 0.02
"""How long a tick waits for the calls of the one before, so that quick answers share a commit."""

_POLL_BATCH = 200
_LONGEST_SLEEP_S = 0.25
"""How soon what another process has asked for is found."""

_PRUNE_INTERVAL_S = 60.0
_SWEEP_INTERVAL_S = 10.0
_SWEEP_BATCH = 2000
"""How many transfers are looked through for contradictions at a time: about 10 ms."""

_NOTHING_DONE_S = 0.1
"""How long a tick waits after one that found nothing it could do, although something is due (its lane is full, say)."""


_UNCALLED = ENDED | {"pending"}

_View = tuple[Operation, tuple[int, int]]
"""An operation for its handler, and the row ids of its transfer and of itself."""


class _Files(Sequence[FileRecord]):
    """The files of a transfer, read when they are first looked at."""

    def __init__(self, read: Callable[[], Sequence[FileRecord]]) -> None:
        self._read = read
        self._files: Sequence[FileRecord] | None = None

    def _loaded(self) -> Sequence[FileRecord]:
        if self._files is None:
            self._files = self._read()
        return self._files

    @overload
    def __getitem__(self, index: int) -> FileRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FileRecord]: ...
    def __getitem__(self, index: int | slice) -> FileRecord | Sequence[FileRecord]:
        return self._loaded()[index]

    def __len__(self) -> int:
        return len(self._loaded())

    def __iter__(self) -> Iterator[FileRecord]:
        return iter(self._loaded())


class Scheduler:
    """Advances all transfers of a store while it holds the store's lease.

    Args:
        published: is called after each commit that recorded transitions.
        fence: is called before this scheduler takes office and after another has taken it, with ``in_office``: what was
            begun before is to stop, and what is begun then to go on only while that is True.
        redact: takes secrets out of what handlers raise while it is decided which operations come next.
    """

    def __init__(
        self,
        *,
        store: Store,
        engine: Engine,
        handlers: Mapping[str, Handler],
        dispatcher: Dispatcher,
        settings: ServiceConfig,
        clock: Clock,
        published: Callable[[], None],
        fence: Callable[[Callable[[], bool]], None] = lambda valid: None,  # noqa: ARG005 - nothing is to be fenced
        redact: Redactor | None = None,
    ) -> None:
        self._store, self._engine, self._handlers = store, engine, handlers
        self._dispatcher, self._settings, self._clock = dispatcher, settings, clock
        self._published, self._fence = published, fence
        self._redact = redact or Redactor()
        self._in_flight: dict[int, Call] = {}
        self._alone: set[int] = set()
        self._crowded: frozenset[str] = frozenset()
        self._fresh: set[str] = set()
        self._set_back: dict[int, float] = {}
        self._leading = False
        self._renew_at = self._lease_ends_at = 0.0
        self._in_office_since = self._no_deadline_before = 0.0
        self._last_tick_at = 0.0
        self._grace_s = 2 * settings.poll_interval_s + settings.call_timeout_s
        self._term = 0
        self._one_by_one = False
        self._prune_at = self._sweep_at = 0.0
        self._swept = 0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # The tick

    def tick(self, wait_s: float = 0.0) -> int:
        """Advance everything that can be advanced now; give how many transfers changed and calls were made.

        Args:
            wait_s: how long to wait for answers of calls under way first.

        Raises:
            StoreLeaseLostError: another process is the scheduler; nothing was written.
            StoreError: nothing is lost; the next tick reads what is true.
        """
        began_at = self._clock.time()
        try:
            answers = self._answers(wait_s)
            if (now := self._clock.time()) > began_at + wait_s + self._grace_s:
                self._hear_first(now)  # this process stood still while it waited
            return self._tick(answers)
        except Exception:
            # what is in memory may be wrong: the store is right
            self._fresh.clear()
            raise

    def _tick(self, answers: Mapping[int, list[tuple[int, Answer]]]) -> int:
        now = self._now()
        self._set_back = {rowid: until for rowid, until in self._set_back.items() if until > now}
        due = self._claim(now)
        rowids = [rowid for rowid in dict.fromkeys((*answers, *due)) if rowid not in self._set_back]
        if not rowids:
            return 0
        rows = self._store.load(rowids)
        requests = self._requests(rowids)
        changes = []
        for rowid, row in rows.items():
            operations = {operation.rowid: operation for operation in row.operations}
            heard = [(operations[number], answer) for number, answer in answers.get(rowid, ()) if number in operations]
            change = self._decided(row, now, heard, requests[rowid])
            if _has_news(change):
                changes.append(change)
        if changes:
            written = self._commit(changes, now)
            self._note_submissions(written)
            if any(change.history for change in written):
                self._published()
        return len(changes) + self._make_calls([change.transfer for change in changes], rows, now)

    def sweep(self) -> int:
        """Repair some of the transfers that contradict their operations, and report them; give how many.

        Each call looks at the next of them, and after the last at the first again.

        Raises:
            StoreError: as ``tick``.
        """
        now = self._clock.time()
        rowids, self._swept = self._store.contradicting(self._swept, _SWEEP_BATCH)
        changes = []
        for row in self._store.load(rowids).values():
            state = row.state
            try:
                change = self._engine.mend(row, now)
            except Exception as error:
                _log.error(
                    "a contradiction cannot be repaired",
                    exc_info=self._redact.error(error),
                    extra={"action": "sweep", "transfer_id": row.uuid},
                )
                continue
            if _has_news(change):
                changes.append(change)
                _log.warning(
                    "a transfer and its operations contradicted each other: repaired",
                    extra={"action": "sweep", "transfer_id": row.uuid, "state": state, "new_state": row.state},
                )
        if changes:
            self._write(changes, now)
            self._published()
        return len(changes)

    def _claim(self, now: float) -> list[int]:
        full = self._dispatcher.full_lanes()
        crowded, self._crowded = self._crowded, frozenset()
        due = self._store.due(now, _CLAIM, without=full | crowded, busy=self._in_flight) if crowded else []
        return due or self._store.due(now, _CLAIM, without=full, busy=self._in_flight)

    def _answers(self, wait_s: float) -> dict[int, list[tuple[int, Answer]]]:
        answers = defaultdict(list)
        for call in self._dispatcher.collect(wait_s):
            if call.term != self._term:
                continue  # asked for in an earlier term of office: another scheduler has acted since
            numbers = {number for _, number in call.rowids}
            # one of them may make the others wait in vain, every time
            self._alone = self._alone | numbers if call.given_up else self._alone - numbers
            for operation, (transfer, number) in zip(call.operations, call.rowids, strict=True):
                self._in_flight.pop(number, None)
                answers[transfer].append((number, call.answers[operation.id]))
        return answers

    def _decided(
        self,
        row: TransferRow,
        now: float,
        answers: Sequence[tuple[OperationRow, Answer]] = (),
        requests: Sequence[RequestRow] = (),
    ) -> Change:
        not_before = self._no_deadline_before if row.updated_at < self._in_office_since else 0.0
        try:
            return self._engine.decide(row, now, answers=answers, requests=requests, not_before=not_before)
        except Exception as error:
            return self._complain(row, error, now)

    def _complain(self, row: TransferRow, error: Exception, now: float) -> Change:
        self._set_back[row.rowid] = now + COMPLAINT_PAUSE_S
        _log.error(
            "deciding on a transfer raised",
            exc_info=self._redact.error(error),
            extra={"action": "decide", "transfer_id": row.uuid, "state": row.state},
        )
        fresh = self._store.load([row.rowid])[row.rowid]
        return self._engine.complain(fresh, self._redact(f"{type(error).__name__}: {words(error)}"), now)

    def _commit(self, changes: Sequence[Change], now: float) -> Sequence[Change]:
        """Write the changes, and give those that were written."""
        if not self._one_by_one:
            try:
                self._write(changes, now)
            except StoreError:
                raise
            except Exception:
                # one of them has what cannot be stored: in the next tick it shall keep back no other
                self._one_by_one = True
                raise
            return changes
        written = []
        for change in changes:
            try:
                self._write([change], now)
            except StoreError:
                raise
            except Exception as error:
                self._write([self._complain(change.transfer, error, now)], now)
            else:
                written.append(change)
        self._one_by_one = False
        return written

    def _write(self, changes: Sequence[Change], now: float) -> None:
        """Commit, which also renews the lease."""
        ends_at = self._lease_from(now)
        self._store.commit(changes, now)
        self._lease_ends_at = ends_at

    def _note_submissions(self, changes: Sequence[Change]) -> None:
        for change in changes:
            for entry in change.history:
                if entry.operation is not None and entry.event == "submit":
                    self._fresh.add(entry.operation.uuid)

    def _make_calls(self, changed: Collection[TransferRow], rows: Mapping[int, TransferRow], now: float) -> int:
        polls: defaultdict[tuple[str, str, str], list[_View]] = defaultdict(list)
        calls = 0
        due = self._to_call({**rows, **{row.rowid: row for row in changed}}.values(), now)
        # who takes up most of this claim is left out of the next one: it may have a long queue, and others a short one
        crowds = Counter(lane_of(operation.kind, operation.endpoint) for _, operation in due)
        self._crowded = frozenset(name for name, count in crowds.items() if count > _CLAIM / 2)
        for row, operation in due:
            if operation.handler not in self._handlers:
                self._set_back[row.rowid] = now + COMPLAINT_PAUSE_S
                _log.error("no such handler", extra={"action": "call", "handler": operation.handler})
                continue
            if not self._free(operation):
                continue
            calls += 1
            view = (self._view(row, operation), (row.rowid, operation.rowid))
            lane = lane_of(operation.kind, operation.endpoint)
            if operation.state in ("running", "suspended") and operation.rowid in self._alone:
                self._call("poll", operation.handler, lane, [view])
            elif operation.state in ("running", "suspended"):
                polls[operation.handler, operation.endpoint, lane].append(view)
            else:
                verb: Verb = "submit" if operation.state == "submitting" else "cancel"
                self._call(verb, operation.handler, lane, [view])
        for (name, _, lane), views in polls.items():
            for first in range(0, len(views), _POLL_BATCH):
                self._call("poll", name, lane, views[first : first + _POLL_BATCH])
        return calls

    def _to_call(self, rows: Iterable[TransferRow], now: float) -> list[tuple[TransferRow, OperationRow]]:
        """The operations that are due for a call, the longest-waiting first."""
        due = [
            (operation.due_at, row, operation)
            for row in rows
            if row.rowid not in self._set_back  # what is in memory of it was not written
            for operation in row.operations
            if operation.state not in _UNCALLED and operation.due_at is not None and operation.due_at <= now
        ]
        due.sort(key=itemgetter(0))
        return [(row, operation) for _, row, operation in due]

    def _free(self, operation: OperationRow) -> bool:
        """True where a call can be made for it: none is under way, and its lane has room."""
        call = self._in_flight.get(operation.rowid)
        if operation.state == "canceling":
            # what has not begun need not be done any more; a cancellation does not wait for room behind other work
            return call is None or (call.verb != "cancel" and self._dispatcher.withdraw(call))
        return call is None and not self._dispatcher.full(lane_of(operation.kind, operation.endpoint))

    def _call(self, verb: Verb, handler: str, lane: str, views: Sequence[_View]) -> None:
        operations, rowids = zip(*views, strict=True)
        call = Call(verb, self._handlers[handler], lane, operations, rowids, self._term, self.in_office)
        self._in_flight.update((number, call) for _, number in rowids)
        self._dispatcher.offer(call)

    def _view(self, row: TransferRow, operation: OperationRow) -> Operation:
        uuid = operation.uuid
        work = (operation.handler, operation.kind, operation.endpoint, operation.phase)
        same = [op for op in row.operations if (op.handler, op.kind, op.endpoint, op.phase) == work]
        # a fresh submission was called for by nobody yet; but its work may have been done for one that was stopped
        again = uuid not in self._fresh or operation.losses > 0 or any(op.submitted for op in same[:-1])
        self._fresh.discard(uuid)
        rowid = row.rowid
        return Operation(
            id=operation.id,
            submission_id=operation.submission_id,
            handler=operation.handler,
            kind=operation.kind,
            endpoint=operation.endpoint,
            transfer=self._engine.view(row),
            began_at=time_of(same[0].began_at),
            handle=UUID(operation.handle) if operation.handle else None,
            attempt=operation.attempts,
            resubmitted=again and operation.state in ("submitting", "canceling"),
            files=_Files(lambda: self._store.files(rowid)),
        )

    def _now(self) -> float:
        """The time; where it was set back, what waits for a time that is now far away waits no longer."""
        now = self._clock.time()
        if now < self._last_tick_at - 1.0:
            self._bring_forward(now)
        self._last_tick_at = now
        return now

    def _hear_first(self, now: float) -> None:
        """No deadline passes before providers are heard: nobody may have asked them for a while."""
        self._in_office_since = now
        self._no_deadline_before = now + self._grace_s

    def _bring_forward(self, now: float) -> None:
        settings = self._settings
        self._store.bring_forward(now + max(settings.poll_interval_s, settings.max_retry_delay_s))

    # The thread

    def start(self) -> None:
        """The thread ticks, or waits for the lease while another process has it."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="dts-scheduler", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float | None = None) -> bool:
        """Let the tick in progress finish, and end the thread; False where it did not end in time."""
        self._stopping.set()
        self._wake.set()
        thread = cast(threading.Thread, self._thread)
        thread.join(timeout_s)
        return not thread.is_alive()

    def wake(self) -> None:
        """There may be something to do: look now."""
        self._wake.set()

    @property
    def leading(self) -> bool:
        """True while this process is the scheduler of the store."""
        return self._leading

    def full_lanes(self) -> frozenset[str]:
        """Give the names of the lanes that take no further calls now, but cancellations."""
        return self._dispatcher.full_lanes()

    def in_office(self) -> bool:
        """True while this process is the scheduler and no other can have become it, not even if it stood still.

        It may be asked from any thread, and is right before the scheduler's own thread has noticed anything. What
        counts is the monotonic clock: a clock that is set is not noticed.
        """
        return self._leading and time.monotonic() < self._lease_ends_at

    def lead(self) -> bool:
        """Become the scheduler of the store, or stay it; False while another process is.

        Raises:
            StoreChartError: the store has transfers that the present charts could never end.
        """
        if self._leading and time.monotonic() < self._renew_at:
            return True
        settings, now = self._settings, self._clock.time()
        ends_at = self._lease_from(now)
        leads = self._keeps_office(now) if self._leading else self._store.acquire_lease(now, settings.lease_time_s)
        if leads and not self._leading:
            self._take_office(now)
            self._lease_ends_at = ends_at
        elif self._leading and not leads:
            self._step_down()
        self._leading = leads
        self._renew_at = time.monotonic() + settings.lease_time_s / 3
        return leads

    def _keeps_office(self, now: float) -> bool:
        """Renew the lease; False where another has been the scheduler, though it may be free again: it has acted."""
        try:
            self._write([], now)
        except StoreLeaseLostError:
            return False
        return True

    def _take_office(self, now: float) -> None:
        self._fresh.clear()
        self._swept = 0
        self._bring_forward(now)
        self._hear_first(now)
        self._fence(self.in_office)
        try:
            self._engine.check(self._store.charts())
            self._carry_over()
        except StoreChartError:
            self._store.release_lease()
            raise
        _log.info("leading", extra={"action": "lead", "store": str(self._store.path)})

    def _carry_over(self) -> None:
        """Let what was made under other charts go on under the present ones, before anything else is done."""
        transfer, operation = (self._engine.charts[machine].fingerprint for machine in ("transfer", "operation"))
        if all(fingerprint in (transfer, operation) for _, fingerprint, _ in self._store.charts()):
            return
        pages = partial(self._outdated, transfer, operation)
        for rowids in pages():
            for row in self._store.load(rowids).values():
                self._engine.carried(row)  # nothing is changed unless all of them can go on
            self._write([], self._clock.time())  # the lease must not end meanwhile
        number = 0
        for rowids in pages():
            rows, requests = self._store.load(rowids), self._requests(rowids)
            now = self._clock.time()
            self._write([self._decided(row, now, requests=requests[rowid]) for rowid, row in rows.items()], now)
            self._published()
            number += len(rowids)
        _log.info("carried over to changed statecharts", extra={"action": "upgrade", "num_transfers": number})

    def _outdated(self, transfer: str, operation: str) -> Iterator[list[int]]:
        last = 0
        while rowids := self._store.outdated(transfer, operation, last, _CLAIM):
            last = rowids[-1]
            yield rowids

    def _requests(self, rowids: Collection[int]) -> Mapping[int, list[RequestRow]]:
        requests: defaultdict[int, list[RequestRow]] = defaultdict(list)
        for request in self._store.requests(rowids):
            requests[request.transfer].append(request)
        return requests

    def _lease_from(self, now: float) -> float:
        """The monotonic time at which a lease ends that is renewed with this time, which has passed already."""
        return time.monotonic() - max(self._clock.time() - now, 0.0) + self._settings.lease_time_s

    def _step_down(self) -> None:
        """Leave the office to another, which has taken it: nothing that was begun here may go on beside its work."""
        self._leave_office()
        self._fence(self.in_office)

    def _leave_office(self) -> None:
        """Forget all calls, and take back those that have not begun: whoever schedules now makes them again."""
        self._leading = False
        self._term += 1
        for call in dict.fromkeys(self._in_flight.values()):
            self._dispatcher.withdraw(call)
        self._in_flight.clear()
        self._alone.clear()
        self._fresh.clear()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                worked = self.lead() and self._round()
            except StoreLeaseLostError as error:
                self._step_down()
                _log.warning("not leading", extra={"action": "lead", "error": str(error)})
                worked = False
            except Exception:
                _log.exception("a tick failed: it is tried again", extra={"action": "tick"})
                self._stopping.wait(_LONGEST_SLEEP_S)
                worked = True
            if not worked:
                self._wake.wait(self._sleep_s())
        self._leave_office()

    def _round(self) -> bool:
        if self._clock.time() > self._last_tick_at + self._grace_s:
            self._hear_first(self._clock.time())  # this process was frozen, or its clock was set
        worked = self.tick(_GATHER_S if self._in_flight else 0.0) > 0
        now = self._clock.time()
        if now >= self._prune_at:
            pruned = self._store.prune(now - self._settings.delete_after_s)
            self._prune_at = now if pruned else now + _PRUNE_INTERVAL_S
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + _SWEEP_INTERVAL_S
            self.sweep()
        return worked

    def _sleep_s(self) -> float:
        if not self._leading:
            return _LONGEST_SLEEP_S
        if self._in_flight:
            return 0.0  # the next tick waits for answers
        try:
            next_due_at = self._store.next_due_at()
        except StoreError:
            return _LONGEST_SLEEP_S
        if next_due_at is None:
            return _LONGEST_SLEEP_S
        left_s = next_due_at - self._clock.time()
        return min(left_s if left_s > 0 else _NOTHING_DONE_S, _LONGEST_SLEEP_S)


def _has_news(change: Change) -> bool:
    return bool(
        change.history
        or change.requests
        or change.transfer.dirty
        or any(operation.dirty for operation in change.transfer.operations)
    )
