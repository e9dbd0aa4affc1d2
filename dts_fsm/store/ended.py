"""Statistics of the transfers that have ended, from the journal, which remembers them for ever."""

from __future__ import annotations

import heapq
import math
import sqlite3
from collections import Counter, defaultdict
from typing import Any
from uuid import UUID

from dts_fsm.records.statistics import EndedTransfer, PeriodStatistics, ReasonStatistics
from dts_fsm.store.rows import time_of

PAGE = 10_000
"""How many rows a statement reads."""

MAX_LISTED = 10
"""How many transfers are named."""

_MAX_REASONS = 100
_MAX_PERIODS = 60
_DAY_S = 86_400.0
_PERIODS_S = (60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, _DAY_S, 7 * _DAY_S, 28 * _DAY_S, 364 * _DAY_S)

_ENDED = """
SELECT id, uuid, source, destination, start_time, stop_time, status, reason, payload_size, num_files FROM journal
WHERE (stop_time, id) > (?, ?) ORDER BY stop_time, id LIMIT ?"""


class Ended:
    """Counts the transfers that have ended."""

    def __init__(self, begin: float, now: float) -> None:
        self._begin, self._now = begin, now
        self._ended: Counter[str] = Counter()
        self._num_bytes = 0
        self._reasons: Counter[tuple[str, str | None]] = Counter()
        self._latest: dict[tuple[str, str | None], str] = {}
        self._periods: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._slowest: list[tuple[float, int, tuple[Any, ...]]] = []
        self._start = self._period_s = 0.0

    def read(self, db: sqlite3.Connection) -> None:
        """Count all that ended in time."""
        begin = self._begin
        if math.isinf(begin):
            found = db.execute("SELECT min(stop_time) FROM journal").fetchone()[0]
            begin = self._now if found is None else found
        span_s = max(self._now - begin, 0.0)
        self._period_s = next((p for p in _PERIODS_S if span_s / p < _MAX_PERIODS), _PERIODS_S[-1])
        self._start = begin // self._period_s * self._period_s
        # what ended at exactly the first instant counts: no row has an id below 1
        after = (begin, 0)
        while rows := db.execute(_ENDED, (*after, PAGE)).fetchall():
            for row in rows:
                self._add(row)
            after = (rows[-1][5], rows[-1][0])

    def _add(self, row: tuple[Any, ...]) -> None:
        rowid, uuid, _, _, start, stop, status, reason, num_bytes, _ = row
        self._ended[status] += 1
        # what ended in what is the future now, since the clock was set back, counts as of now
        period = self._periods[int((min(stop, self._now) - self._start) // self._period_s)]
        period[status] += 1
        if status == "succeeded":
            self._num_bytes += num_bytes
            period["bytes"] += num_bytes
        if status != "succeeded" or reason is not None:
            self._reasons[status, reason] += 1
            self._latest[status, reason] = uuid
        slow = (max(stop - start, 0.0), rowid, row)
        if len(self._slowest) < MAX_LISTED:
            heapq.heappush(self._slowest, slow)
        else:
            heapq.heappushpop(self._slowest, slow)

    def statistics(self) -> dict[str, Any]:
        """The fields of ``Statistics`` that come from the journal."""
        last = max((int((self._now - self._start) // self._period_s), *self._periods)) if self._periods else -1
        return {
            "num_succeeded": self._ended["succeeded"],
            "num_failed": self._ended["failed"],
            "num_canceled": self._ended["canceled"],
            "num_bytes": self._num_bytes,
            "period_s": self._period_s,
            "periods": tuple(
                PeriodStatistics(
                    start=time_of(self._start + number * self._period_s),
                    num_succeeded=self._periods[number]["succeeded"],
                    num_failed=self._periods[number]["failed"],
                    num_canceled=self._periods[number]["canceled"],
                    num_bytes=self._periods[number]["bytes"],
                )
                for number in range(last + 1)
            ),
            "reasons": tuple(
                ReasonStatistics(status=status, reason=reason, count=count, latest=UUID(self._latest[status, reason]))
                for (status, reason), count in self._reasons.most_common(_MAX_REASONS)
            ),
            "slowest": tuple(
                EndedTransfer(
                    id=UUID(uuid),
                    source=source,
                    destination=destination,
                    status=status,
                    reason=reason,
                    duration_s=duration_s,
                    num_files=num_files,
                    num_bytes=num_bytes,
                )
                for duration_s, _, (_, uuid, source, destination, _, _, status, reason, num_bytes, num_files) in sorted(
                    self._slowest, reverse=True
                )
            ),
        }
