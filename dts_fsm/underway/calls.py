"""The calls of handlers: which are under way, which the rows ask for next, and what came of them."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from uuid import UUID

from dts_fsm.engine import Answer, Engine
from dts_fsm.engine.guards import ENDED
from dts_fsm.interfaces import Handler
from dts_fsm.lanes import Call, Dispatcher, Verb, lane_of
from dts_fsm.records import FileRecord, Operation
from dts_fsm.store import Change, OperationRow, Store, TransferRow, time_of
from dts_fsm.underway.rows import LazyFiles

_log = logging.getLogger(__name__)

_POLL_BATCH = 200
_CROWD = 500
"""How many due operations of one lane are a crowd, which may keep those of other lanes out of a claim."""

_UNCALLED = ENDED | {"pending"}

_View = tuple[Operation, tuple[int, int]]
"""An operation for its handler, and the row ids of its transfer and of itself."""


class Calls:
    """Makes the calls that committed rows ask for, each once, and collects the answers.

    Args:
        in_office: says whether a call may still be made that was asked for before.

    Attributes:
        dispatcher: makes them.
        crowded: the lanes that took up most of what was due last, or had no room for all of it: they have a long queue,
            and are left out of the next claim, as others may have a short one.
        refused: for how many operations there was no room.
    """

    def __init__(
        self,
        *,
        store: Store,
        engine: Engine,
        handlers: Mapping[str, Handler],
        dispatcher: Dispatcher,
        in_office: Callable[[], bool],
    ) -> None:
        self._store, self._engine, self._handlers = store, engine, handlers
        self.dispatcher, self._in_office = dispatcher, in_office
        self._in_flight: dict[int, Call] = {}
        self._alone: set[int] = set()
        self._fresh: set[str] = set()
        self._term = 0
        self.crowded: frozenset[str] = frozenset()
        self.refused = 0

    @property
    def busy(self) -> Collection[int]:
        """The row ids of the operations for which a call is under way."""
        return self._in_flight.keys()

    def answers(self, wait_s: float) -> dict[int, list[tuple[int, Answer]]]:
        """Give what has been answered, after waiting for so long at most: by transfer, each with its operation."""
        answers = defaultdict(list)
        for call in self.dispatcher.collect(wait_s):
            if call.term != self._term:
                continue  # asked for in an earlier term of office: another scheduler has acted since
            numbers = [number for _, number in call.rowids]
            # one of them may make the others wait in vain, every time
            if call.given_up:
                self._alone.update(numbers)
            else:
                self._alone.difference_update(numbers)
            for operation, (transfer, number) in zip(call.operations, call.rowids, strict=True):
                self._in_flight.pop(number, None)
                answers[transfer].append((number, call.answers[operation.id]))
        return answers

    def note(self, changes: Iterable[Change]) -> None:
        """The changes are committed: what they submit, nobody has been called for yet, and their files are others."""
        for change in changes:
            if change.files or change.given_up:
                change.transfer.files = None
            for entry in change.history:
                if entry.operation is not None and entry.event == "submit":
                    self._fresh.add(entry.operation.uuid)

    def make(self, rows: Iterable[TransferRow], now: float) -> tuple[int, list[TransferRow]]:
        """Make the calls that are due; give their number, and the transfers that ask for handlers that there are not.

        Args:
            rows: as they are stored.
        """
        polls: defaultdict[tuple[str, str, str], list[_View]] = defaultdict(list)
        calls, stranded, self.refused = 0, [], 0
        lanes: Counter[str] = Counter()
        full = set()
        for row, operation in _due(rows, now):
            lane = lane_of(operation.kind, operation.endpoint)
            lanes[lane] += 1
            if operation.handler not in self._handlers:
                stranded.append(row)
                _log.error("no such handler", extra={"action": "call", "handler": operation.handler})
                continue
            if not self._free(operation, lane):
                if operation.rowid not in self._in_flight:
                    self.refused += 1
                    full.add(lane)
                continue
            calls += 1
            view = (self._view(row, operation), (row.rowid, operation.rowid))
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
        self.crowded = frozenset(full | {lane for lane, count in lanes.items() if count > _CROWD})
        return calls, stranded

    def forget_submissions(self) -> None:
        """Whether somebody has been called for what was submitted is not known. Idempotent."""
        self._fresh.clear()

    def drop(self) -> None:
        """Forget all calls, and take back those that have not begun: whoever schedules now makes them again."""
        self._term += 1
        for call in dict.fromkeys(self._in_flight.values()):
            self.dispatcher.withdraw(call)
        self._in_flight.clear()
        self._alone.clear()
        self._fresh.clear()

    def _free(self, operation: OperationRow, lane: str) -> bool:
        """True where a call can be made for it: none is under way, and its lane has room."""
        call = self._in_flight.get(operation.rowid)
        if operation.state == "canceling":
            # what has not begun need not be done any more; a cancellation does not wait for room behind other work
            return call is None or (call.verb != "cancel" and self.dispatcher.withdraw(call))
        return call is None and not self.dispatcher.full(lane)

    def _call(self, verb: Verb, handler: str, lane: str, views: Sequence[_View]) -> None:
        operations, rowids = zip(*views, strict=True)
        call = Call(verb, self._handlers[handler], lane, operations, rowids, self._term, self._in_office)
        for _, number in rowids:
            self._in_flight[number] = call
        self.dispatcher.offer(call)

    def _view(self, row: TransferRow, operation: OperationRow) -> Operation:
        uuid = operation.uuid
        work = (operation.handler, operation.kind, operation.endpoint, operation.phase)
        same = [op for op in row.operations if (op.handler, op.kind, op.endpoint, op.phase) == work]
        # a fresh submission was called for by nobody yet; but its work may have been done for one that was stopped
        again = uuid not in self._fresh or operation.losses > 0 or any(op.submitted for op in same[:-1])
        self._fresh.discard(uuid)
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
            files=self._files(row),
        )

    def _files(self, row: TransferRow) -> Sequence[FileRecord]:
        if row.files is None:
            row.files = LazyFiles(self._store, row)
        return row.files


def _due(rows: Iterable[TransferRow], now: float) -> list[tuple[TransferRow, OperationRow]]:
    """The operations that are due for a call, the longest-waiting first."""
    due = [
        (operation.due_at, row, operation)
        for row in rows
        for operation in row.operations
        if operation.due_at is not None and operation.due_at <= now and operation.state not in _UNCALLED
    ]
    due.sort(key=itemgetter(0))
    return [(row, operation) for _, row, operation in due]
