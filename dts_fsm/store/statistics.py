"""What the history of a store says of all transfers together; only ever read, beside a service that goes on writing.

A store may have tens of millions of transitions. They are read in pages, each in a short statement of its own, so that
a service is never kept from moving its log into the file; hence the numbers are not all of the same instant. Times
are kept as counts of their values to three digits: memory grows with the number of states, not of transitions.
"""

from __future__ import annotations

import contextlib
import heapq
import math
import sqlite3
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from dts_fsm.records.statistics import (
    ProviderStatistics,
    StateStatistics,
    Statistics,
    StepStatistics,
    WaitingTransfer,
)
from dts_fsm.store.ended import MAX_LISTED, PAGE, Ended
from dts_fsm.store.maintenance import reading
from dts_fsm.store.reading import maybe_time, sensible
from dts_fsm.store.rows import DATABASE_KINDS, time_of

UPGRADE = "upgrade"
"""The event of a transition that only a changed chart has made: where the state is the same, its stay goes on."""

_KEPT_STAYS = 100_000
"""Of how many machines the present stay is remembered; of the others it is looked up. About 20 MB."""

_OVERDUE_S = 60.0

_TRANSITIONS = """
SELECT seq, transfer, operation, event, source, target, at FROM history
WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"""

_ENTERED = f"""
SELECT at FROM history WHERE transfer = ? AND operation IS ? AND seq < ?
AND NOT (event = '{UPGRADE}' AND source = target) ORDER BY seq DESC LIMIT 1"""

_OPERATIONS = """
SELECT kind, endpoint, state, due_at IS NOT NULL, count(*), sum(changed_at >= :since),
       sum(iif(due_at IS NOT NULL OR changed_at >= :since, attempts, 0)), sum(due_at IS NOT NULL AND attempts > 0),
       min(changed_at)
FROM operations WHERE id > :after AND id <= :last GROUP BY 1, 2, 3, 4"""

_ERRORS = """
SELECT kind, endpoint, message, max(changed_at) FROM operations
WHERE id > :after AND id <= :last AND changed_at >= :since
AND (state = 'failed' OR (state = 'pending' AND attempts > 0)) GROUP BY 1, 2"""

_LIVE = f"""
SELECT t.id, t.uuid, t.wanted = 'suspend', t.created_at,
  (SELECT at FROM history h WHERE h.transfer = t.id AND h.operation IS NULL
   AND NOT (event = '{UPGRADE}' AND source = target) ORDER BY seq DESC LIMIT 1)
FROM transfers t WHERE t.state = ? AND t.id > ? ORDER BY t.id LIMIT ?"""


@sensible
def read_statistics(store: Path, *, since: datetime | None = None, now: float) -> Statistics:
    """Give what the store says of all of its transfers; nothing is changed, and no lock is held for long.

    It takes about 3 µs for each transition, operation and ended transfer, and up to 40 MB.

    Args:
        store: the store's file, in use or not.
        since: count only what was recorded from then on, an aware time; None for all. Where the clock was set back,
            the history is counted from one of the places where it passes this time.
        now: seconds since 1970 UTC.

    Raises:
        StoreError: there is no store, or it cannot be read.
        StoreForeignError, StoreDamagedError: the file is not a store, or is damaged.
    """
    begin = -math.inf if since is None else since.timestamp()
    with reading(store) as db:
        last = _number(db, "SELECT coalesce(max(seq), 0) FROM history")
        first = 0 if since is None else _before(db, last, begin)
        stays = _Stays()
        for row in _paged(lambda after: db.execute(_TRANSITIONS, (after, last, PAGE)), first):
            stays.add(db, *row)
        providers, operations_now = _operations(db, begin)
        transfers_now, waiting = _transfers(db, now)
        ended = Ended(begin, now)
        ended.read(db)
        overdue = _number(db, "SELECT count(*) FROM operations WHERE due_at < ?", now - _OVERDUE_S)
    return Statistics(
        since=since,
        until=time_of(now),
        num_transitions=stays.num_transitions,
        states=tuple(
            stays.of(machine, state, present.get(state, (0, None)), now)
            for machine, present in (("operation", operations_now), ("transfer", transfers_now))
            for state in sorted({*present, *(name for kind, name in stays.states if kind == machine)})
        ),
        steps=stays.steps(),
        providers=providers,
        num_overdue=overdue,
        waiting=tuple(
            WaitingTransfer(id=UUID(uuid), state=state, waiting_s=max(now - entered_at, 0.0), suspended=suspended)
            for suspended, entered_at, uuid, state in waiting
        ),
        **ended.statistics(),
    )


def _number(db: sqlite3.Connection, query: str, *values: object) -> int:
    with contextlib.closing(db.execute(query, values)) as cursor:
        return int(cursor.fetchone()[0])


def _paged(page: Callable[[int], sqlite3.Cursor], after: int = 0) -> Iterator[tuple[Any, ...]]:
    """The rows of all pages, each of which begins after the first column of the last row before it."""
    while rows := page(after).fetchall():
        yield from rows
        after = rows[-1][0]


def _ranges(db: sqlite3.Connection, table: str) -> Iterator[dict[str, int]]:
    """The bounds of ids between which about a page of rows is."""
    after = 0
    while True:
        last = _number(
            db,
            f"SELECT coalesce(max(id), 0) FROM (SELECT id FROM {table} WHERE id > ? ORDER BY id LIMIT ?)",
            *(after, PAGE),
        )
        if not last:
            return
        yield {"after": after, "last": last}
        after = last


def _before(db: sqlite3.Connection, last: int, begin: float) -> int:
    """The number after which the history is not older than a time; found by halving, as its times grow."""
    low, high = 0, last
    while low < high:
        middle = (low + high) // 2
        # numbers of forgotten transfers are missing
        found = db.execute("SELECT seq, at FROM history WHERE seq > ? ORDER BY seq LIMIT 1", (middle,)).fetchone()
        # nothing, where the last ones have been forgotten just now
        if found is not None and found[1] < begin:
            low = found[0]
        else:
            high = middle
    return low


class _Stays:
    """Counts the stays in states, and the transitions, of a history that is given in its order."""

    def __init__(self) -> None:
        self.num_transitions = 0
        self._steps: Counter[tuple[str, str, str, str]] = Counter()
        self._times: defaultdict[tuple[str, str], Counter[float]] = defaultdict(Counter)
        self._entered: OrderedDict[tuple[int, int | None], float] = OrderedDict()

    @property
    def states(self) -> set[tuple[str, str]]:
        """The machines and states that stays have ended in."""
        return set(self._times)

    def add(
        self,
        db: sqlite3.Connection,
        seq: int,
        transfer: int,
        operation: int | None,
        event: str,
        source: str,
        target: str,
        at: float,
    ) -> None:
        """One more transition."""
        machine = "transfer" if operation is None else "operation"
        self.num_transitions += 1
        self._steps[machine, source, event, target] += 1
        if event == UPGRADE and source == target:
            return
        key = (transfer, operation)
        if source:
            entered_at = self._entered.pop(key, None)
            if entered_at is None:
                # before what is counted, or so long ago that it was forgotten here
                found = db.execute(_ENTERED, (transfer, operation, seq)).fetchone()
                entered_at = found[0] if found else None
            if entered_at is not None:
                self._times[machine, source][three_digits(at - entered_at)] += 1
        self._entered[key] = at
        if len(self._entered) > _KEPT_STAYS:
            self._entered.popitem(last=False)

    def steps(self) -> tuple[StepStatistics, ...]:
        """How often each transition was taken."""
        return tuple(
            StepStatistics(machine=machine, source=source, event=event, target=target, count=count)
            for (machine, source, event, target), count in sorted(self._steps.items(), key=lambda i: (-i[1], i[0]))
        )

    def of(self, machine: str, state: str, present: tuple[int, float | None], now: float) -> StateStatistics:
        """What is known of one state; ``present``: how many are in it, and when the first of them came."""
        times = self._times.get((machine, state), Counter())
        num_now, entered_at = present
        return StateStatistics(
            machine=machine,
            state=state,
            num_now=num_now,
            longest_now_s=None if entered_at is None else max(now - entered_at, 0.0),
            num_stays=times.total(),
            median_s=percentile(times, 50),
            p95_s=percentile(times, 95),
            longest_s=max(times, default=None),
        )


def three_digits(seconds: float) -> float:
    """The time to three significant digits; 0 for a negative one."""
    return float(f"{seconds:.3g}") if seconds > 0 else 0.0


def percentile(times: Mapping[float, int], percent: int) -> float | None:
    """The shortest of the times that so many percent of them do not exceed, by nearest rank; None for none.

    Args:
        times: how often each of them was seen.
    """
    rank, seen = -(-sum(times.values()) * percent // 100), 0
    for time in sorted(times):
        seen += times[time]
        if seen >= rank:
            return time
    return None


def _operations(
    db: sqlite3.Connection, begin: float
) -> tuple[tuple[ProviderStatistics, ...], dict[str, tuple[int, float | None]]]:
    """How the providers' operations went; and how many are in each state, with when the first of the live ones came."""
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    errors: dict[tuple[str, str], tuple[float, str]] = {}
    now: dict[str, tuple[int, float | None]] = {}
    for span in _ranges(db, "operations"):
        values = {**span, "since": begin}
        for kind, name, state, live, number, recent, retries, troubled, first_at in db.execute(
            _OPERATIONS, values
        ).fetchall():
            found = counts[kind, name]
            found["live" if live else state] += number if live else recent
            found["retries"] += retries
            found["troubled"] += troubled
            num_before, earliest = now.get(state, (0, None))
            now[state] = (num_before + number, _earlier(earliest, first_at if live else None))
        for kind, name, message, at in db.execute(_ERRORS, values).fetchall():
            errors[kind, name] = max(errors.get((kind, name), (-math.inf, "")), (at, message))
    return tuple(
        ProviderStatistics(
            name=f"{'databases' if kind in DATABASE_KINDS else 'endpoints'}.{name}",
            kind=kind,
            num_succeeded=found["succeeded"],
            num_failed=found["failed"],
            num_canceled=found["canceled"],
            num_retries=found["retries"],
            num_live=found["live"],
            num_troubled=found["troubled"],
            last_error=errors[kind, name][1] if (kind, name) in errors else None,
            last_error_at=maybe_time(errors[kind, name][0]) if (kind, name) in errors else None,
        )
        for (kind, name), found in sorted(counts.items(), key=lambda item: (item[0][1], item[0][0]))
        if found.total()
    ), now


def _earlier(one: float | None, other: float | None) -> float | None:
    return min((time for time in (one, other) if time is not None), default=None)


def _transfers(
    db: sqlite3.Connection, now: float
) -> tuple[dict[str, tuple[int, float | None]], list[tuple[bool, float, str, str]]]:
    """How many are in each state, with when the first of the live ones came; and those that wait the longest."""
    present: dict[str, tuple[int, float | None]] = {}
    waiting: list[tuple[bool, float, str, str]] = []
    for state, number in db.execute("SELECT state, count(*) FROM transfers GROUP BY state").fetchall():
        any_completed = "SELECT completed_at FROM transfers WHERE state = ? LIMIT 1"
        live = (db.execute(any_completed, (state,)).fetchone() or (now,))[0] is None
        earliest, after = None, 0
        while live and (rows := db.execute(_LIVE, (state, after, PAGE)).fetchall()):
            came = [
                (bool(suspended), created_at if at is None else at, uuid, state)
                for _, uuid, suspended, created_at, at in rows
            ]
            earliest = _earlier(earliest, min(at for _, at, _, _ in came))
            waiting = heapq.nsmallest(MAX_LISTED, [*waiting, *came])
            after = rows[-1][0]
        present[state] = (number, earliest)
    return present, waiting
