"""The scheduler: the tick that advances all transfers, and the thread that ticks.

One tick: collect the answers of earlier calls, claim what is due, let the engine decide, commit it all in one
transaction, and only then make the calls that the committed state asks for. So a provider is never called before the
intention to call it is durable.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import cast
from uuid import UUID

from dts_fsm.config import Redactor, ServiceConfig
from dts_fsm.config.redaction import words
from dts_fsm.engine import Answer, Engine
from dts_fsm.engine.transfers import COMPLAINT_PAUSE_S
from dts_fsm.errors import StoreChartError, StoreError, StoreLeaseLostError
from dts_fsm.interfaces import Clock, Handler
from dts_fsm.lanes import Dispatcher
from dts_fsm.store import Change, OperationRow, RequestRow, Store, TransferRow
from dts_fsm.underway import Calls, Ends, KeptRows

_log = logging.getLogger(__name__)

_CLAIM = 1000
"""How many operations a tick takes at most: above some hundreds the cost of a commit is spread thinly enough."""

_FEWEST = 20
"""How many it takes at least, and how many more than the last one that had room for all.

Taking what there is no room for costs twice: it is read in vain, and drives those out of memory that go on.
"""

_GATHER_S = 0.02
"""How long a tick waits for the calls of the one before, so that quick answers share a commit."""

_LONGEST_SLEEP_S = 0.25
"""How soon what another process has asked for is found."""

_PRUNE_INTERVAL_S = 60.0
_SWEEP_INTERVAL_S = 10.0
_SWEEP_BATCH = 2000
"""How many transfers are looked through for contradictions at a time: about 10 ms."""

_NOTHING_DONE_S = 0.1
"""How long a tick waits after one that found nothing it could do, although something is due (its lane is full, say)."""


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
        self._store, self._engine = store, engine
        self._settings, self._clock = settings, clock
        self._published, self._fence = published, fence
        self._redact = redact or Redactor()
        self._rows, self._ends = KeptRows(store), Ends()
        self._calls = Calls(
            store=store, engine=engine, handlers=handlers, dispatcher=dispatcher, in_office=self.in_office
        )
        self._set_back: dict[int, float] = {}
        self._leading = False
        self._renew_at = self._lease_ends_at = 0.0
        self._in_office_since = self._no_deadline_before = 0.0
        self._last_tick_at = 0.0
        self._grace_s = 2 * settings.poll_interval_s + settings.call_timeout_s
        self._one_by_one = False
        self._prune_at = self._sweep_at = 0.0
        self._swept = 0
        self._most, self._cut = _CLAIM, False
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
            answers = self._calls.answers(wait_s)
            if (now := self._clock.time()) > began_at + wait_s + self._grace_s:
                self._hear_first(now)  # this process stood still while it waited
            return self._tick(answers)
        except Exception:
            # what is in memory may be wrong: the store is right
            self._calls.forget_submissions()
            self._rows.forget()
            raise

    def _tick(self, answers: Mapping[int, list[tuple[int, Answer]]]) -> int:
        now = self._now()
        self._set_back = {rowid: until for rowid, until in self._set_back.items() if until > now}
        due = self._claim(now)
        looked_at = dict.fromkeys((*answers, *self._ends.heard(), *due))
        rowids = [rowid for rowid in looked_at if rowid not in self._set_back]
        if not rowids:
            return 0
        self._store.check_lease()  # while nobody else writes rows, those in memory are as they are stored
        rows = self._rows.take(rowids)
        requests = self._requests(rowids)
        changes = []
        for rowid, row in rows.items():
            operations = {operation.rowid: operation for operation in row.operations}
            heard = [(operations[number], answer) for number, answer in answers.get(rowid, ()) if number in operations]
            change = self._decided(row, now, heard, requests[rowid])
            self._ends.bring_forward(change.transfer, now)
            if _has_news(change):
                changes.append(change)
        if changes:
            written = self._commit(changes, now)
            self._calls.note(written)
            if any(change.history for change in written):
                self._published()
        rows |= {change.transfer.rowid: change.transfer for change in changes}
        # what is in memory of those that were set back was not written
        sound = [row for rowid, row in rows.items() if rowid not in self._set_back]
        calls, stranded = self._calls.make(sound, now)
        self._most = _after(self._most, self._calls.refused)
        self._set_back |= {row.rowid: now + COMPLAINT_PAUSE_S for row in stranded}
        self._rows.put(sound)
        return len(changes) + calls

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
            self._rows.forget()
            self._write(changes, now)
            self._published()
        return len(changes)

    def _claim(self, now: float) -> list[int]:
        full, busy = self._calls.dispatcher.full_lanes(), self._calls.busy
        crowded = self._calls.crowded if self._cut else frozenset()
        due = self._store.due(now, self._most, without=full | crowded, busy=busy) if crowded else []
        due = due or self._store.due(now, self._most, without=full, busy=busy)
        self._cut = len(due) >= self._most
        return due

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
        self._rows.forget()
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

    def watch(self, endpoints: Mapping[str, object]) -> Callable[[], None]:
        """Let this scheduler hear of the ends of moves, from the endpoints that tell; what is given ends that.

        To be called before the first tick.
        """
        with ExitStack() as watches:
            for name in endpoints:
                watch = getattr(endpoints[name], "watch", None)
                if watch is not None:
                    self._ends.watched.add(name)
                    watches.callback(watch(self._ended))
            return watches.pop_all().close

    def _ended(self, move: UUID) -> None:
        """A move has ended, of which its endpoint tells: it is asked for now. From any thread."""
        self._ends.tell(move)
        self._wake.set()

    def wake(self) -> None:
        """There may be something to do: look now."""
        self._wake.set()

    @property
    def leading(self) -> bool:
        """True while this process is the scheduler of the store."""
        return self._leading

    def full_lanes(self) -> frozenset[str]:
        """Give the names of the lanes that take no further calls now, but cancellations."""
        return self._calls.dispatcher.full_lanes()

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
        self._calls.forget_submissions()
        self._rows.forget()
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
        self._leading = False
        self._calls.drop()
        self._ends.forget()

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
        worked = self.tick(_GATHER_S if self._calls.busy else 0.0) > 0
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
        if self._calls.busy:
            return 0.0  # the next tick waits for answers
        try:
            next_due_at = self._store.next_due_at()
        except StoreError:
            return _LONGEST_SLEEP_S
        if next_due_at is None:
            return _LONGEST_SLEEP_S
        left_s = next_due_at - self._clock.time()
        return min(left_s if left_s > 0 else _NOTHING_DONE_S, _LONGEST_SLEEP_S)


def _after(most: int, refused: int) -> int:
    """Give how many operations the next tick takes: fewer where there was no room for some."""
    return max(most - refused, _FEWEST) if refused else min(most + _FEWEST, _CLAIM)


def _has_news(change: Change) -> bool:
    return bool(
        change.history
        or change.requests
        or change.transfer.dirty
        or any(operation.dirty for operation in change.transfer.operations)
    )
