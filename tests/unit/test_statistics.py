"""What a store says of all of its transfers is what counting by hand gives."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dts_fsm.errors import PermanentError, StoreDamagedError, StoreError, TransientError
from dts_fsm.records.statistics import StateStatistics, Statistics
from dts_fsm.store import SqliteStore, ended, time_of
from dts_fsm.store import statistics as module
from dts_fsm.store.maintenance import reading
from dts_fsm.store.statistics import UPGRADE, percentile, read_statistics, three_digits
from dts_fsm.testing import Rig

NOW = 1_800_000_000.0


@attrs.frozen
class Row:
    """One transition of a history; operation 0 means the transfer itself."""

    transfer: int
    operation: int
    event: str
    source: str
    target: str
    at: float


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """Transitions of four transfers and their operations, in an order that no chart has to allow."""
    state: dict[tuple[int, int], str] = {}
    rows, at = [], NOW - 1e8
    for _ in range(draw(st.integers(0, 40))):
        transfer, operation = draw(st.integers(1, 4)), draw(st.integers(0, 2))
        key = (transfer, operation and 2 * transfer + operation)
        event, target = draw(st.sampled_from(("go", "back", UPGRADE))), draw(st.sampled_from(("a", "b", "c")))
        source = state.get(key, "")
        if not source:
            event = "create"
        elif event == UPGRADE and draw(st.booleans()):
            target = source
        at += draw(st.one_of(st.just(0.0), st.integers(0, 8_000_000))) / 8  # which microseconds can tell exactly
        rows.append(Row(*key, event, source, target, at))
        state[key] = target
    return rows


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store that tests fill by themselves; pages are short, and stays are soon forgotten."""
    path = tmp_path_factory.mktemp("statistics") / "dts.db"
    SqliteStore(path, synchronous="normal").close()
    with pytest.MonkeyPatch.context() as patch:
        for part in (module, ended):
            patch.setattr(part, "PAGE", 3)
            patch.setattr(part, "MAX_LISTED", 3)
        patch.setattr(module, "_KEPT_STAYS", 1)
        yield path


_EMPTY = {"uuid": "", "version": 0, "chart": "", "updated_at": 0.0, "num_files": 1, "num_bytes": 5, "orcid": ""}
_WORK = {"handler": "mover", "kind": "move", "endpoint": "tape", "phase": "", "began_at": 0.0, "progressed_at": 0.0}


def _insert(db: sqlite3.Connection, table: str, **values: Any) -> None:
    marks = ", ".join("?" * len(values))
    db.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))


def _fill(path: Path, rows: list[Row]) -> None:
    """The store has this history and nothing else, and every machine is where its last row leads."""
    with closing(sqlite3.connect(path)) as db, db:
        for table in ("history", "operations", "transfers", "journal"):
            db.execute(f"DELETE FROM {table}")
        last = {(row.transfer, row.operation): row for row in rows}
        for transfer in {row.transfer for row in rows}:
            row = last.get((transfer, 0))
            fixed = _EMPTY | {"uuid": str(UUID(int=transfer)), "source": "", "destination": ""}
            _insert(db, "transfers", **fixed, id=transfer, created_at=NOW - 2e8, state=row.target if row else "a")
        for (transfer, operation), row in last.items():
            if operation:
                fixed = {"uuid": str(UUID(int=operation)), "version": 0, "chart": "", "due_at": NOW} | _WORK
                _insert(db, "operations", **fixed, id=operation, transfer=transfer, state=row.target, changed_at=row.at)
        for row in rows:
            _insert(db, "history", **attrs.asdict(row) | {"operation": row.operation or None})


def _counted_by_hand(rows: list[Row], begin: float) -> tuple[dict[tuple[str, str], list[float]], Counter[Any]]:
    stays: dict[tuple[str, str], list[float]] = {}
    steps: Counter[Any] = Counter()
    for number, row in enumerate(rows):
        if row.at < begin:
            continue
        machine = "operation" if row.operation else "transfer"
        steps[machine, row.source, row.event, row.target] += 1
        if not row.source or (row.event == UPGRADE and row.source == row.target):
            continue
        before = [
            other.at
            for other in rows[:number]
            if (other.transfer, other.operation) == (row.transfer, row.operation)
            and not (other.event == UPGRADE and other.source == other.target)
        ]
        stays.setdefault((machine, row.source), []).append(row.at - before[-1])
    return stays, steps


def _nearest_rank(times: list[float], percent: int) -> float | None:
    return three_digits(sorted(times)[math.ceil(percent * len(times) / 100) - 1]) if times else None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=histories(), data=st.data())
def test_stays_and_transitions_are_those_that_counting_by_hand_finds(
    store: Path, rows: list[Row], data: st.DataObject
) -> None:
    _fill(store, rows)
    bounds = [row.at for row in rows] + [NOW - 2e8, NOW]
    begin = data.draw(st.one_of(st.none(), st.sampled_from(bounds), st.sampled_from(bounds).map(lambda at: at + 0.5)))
    since = None if begin is None else time_of(begin)
    stays, steps = _counted_by_hand(rows, -math.inf if since is None else since.timestamp())
    found = read_statistics(store, since=since, now=NOW)
    assert steps == {(s.machine, s.source, s.event, s.target): s.count for s in found.steps}
    assert steps.total() == found.num_transitions
    assert {
        key: (len(times), _nearest_rank(times, 50), _nearest_rank(times, 95), three_digits(max(times)))
        for key, times in stays.items()
    } == {(s.machine, s.state): (s.num_stays, s.median_s, s.p95_s, s.longest_s) for s in found.states if s.num_stays}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=histories())
def test_what_has_not_ended_is_counted_where_it_is_and_not_among_the_stays(store: Path, rows: list[Row]) -> None:
    _fill(store, rows)
    expected: dict[tuple[str, str], list[float]] = {}
    for transfer in {row.transfer for row in rows}:
        for operation in sorted({row.operation for row in rows if row.transfer == transfer} | {0}):
            own = [row for row in rows if (row.transfer, row.operation) == (transfer, operation)]
            moves = [row.at for row in own if not (row.event == UPGRADE and row.source == row.target)]
            if operation:
                moves = [own[-1].at]  # its own row says since when
            state = own[-1].target if own else "a"
            expected.setdefault(("operation" if operation else "transfer", state), []).append(
                NOW - (moves[-1] if moves else NOW - 2e8)
            )
    found = read_statistics(store, now=NOW)
    assert {key: (len(times), max(times)) for key, times in expected.items()} == {
        (s.machine, s.state): (s.num_now, s.longest_now_s) for s in found.states if s.num_now
    }
    waiting = sorted((time for (machine, _), times in expected.items() if machine == "transfer" for time in times))
    assert waiting[:-4:-1] == [transfer.waiting_s for transfer in found.waiting]


_OPERATIONS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(("move", "stage")),
        "endpoint": st.sampled_from(("tape", "disk")),
        "state": st.sampled_from(("pending", "running", "succeeded", "failed", "canceled")),
        "attempts": st.integers(0, 3),
        "changed_at": st.integers(0, 10).map(lambda ago_s: NOW - ago_s),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(_OPERATIONS, max_size=20), age_s=st.one_of(st.none(), st.integers(0, 10)))
def test_operations_are_counted_by_provider_and_kind(
    store: Path, rows: list[dict[str, Any]], age_s: int | None
) -> None:
    _fill(store, [Row(1, 0, "create", "", "active", NOW)])
    live = [row["state"] in ("pending", "running") for row in rows]
    with closing(sqlite3.connect(store)) as db, db:
        for number, row in enumerate(rows, 1):
            fixed = _WORK | {"uuid": str(UUID(int=number)), "version": 0, "chart": "", "transfer": 1}
            _insert(db, "operations", **fixed | row, message=f"{number}", due_at=NOW if live[number - 1] else None)
    begin = -math.inf if age_s is None else NOW - age_s
    expected: dict[tuple[str, str], Counter[str]] = {}
    errors: dict[tuple[str, str], float] = {}
    for row, lives in zip(rows, live, strict=True):
        key = (f"{'databases' if row['kind'] == 'stage' else 'endpoints'}.{row['endpoint']}", row["kind"])
        if lives or row["changed_at"] >= begin:
            found = expected.setdefault(key, Counter())
            found["live" if lives else row["state"]] += 1
            found["retries"] += row["attempts"]
            found["troubled"] += lives and row["attempts"] > 0
        failed = row["state"] == "failed" or (row["state"] == "pending" and row["attempts"] > 0)
        if failed and row["changed_at"] >= begin:
            errors[key] = max(errors.get(key, 0.0), row["changed_at"])
    statistics = read_statistics(store, since=None if age_s is None else time_of(begin), now=NOW)
    assert [(key, +counts, errors.get(key)) for key, counts in sorted(expected.items())] == [
        (
            (p.name, p.kind),
            +Counter(
                succeeded=p.num_succeeded,
                failed=p.num_failed,
                canceled=p.num_canceled,
                retries=p.num_retries,
                live=p.num_live,
                troubled=p.num_troubled,
            ),
            p.last_error_at.timestamp() if p.last_error_at else None,
        )
        for p in sorted(statistics.providers, key=lambda p: (p.name, p.kind))
    ]
    for p in statistics.providers:
        if p.last_error is not None:
            row = rows[int(p.last_error) - 1]
            assert (row["kind"], row["changed_at"]) == (p.kind, p.last_error_at.timestamp())
    first = {
        state: max(NOW - row["changed_at"] for row in rows if row["state"] == state)
        for state in {row["state"] for row, lives in zip(rows, live, strict=True) if lives}
    }
    assert first == {
        s.state: s.longest_now_s for s in statistics.states if s.machine == "operation" and s.longest_now_s is not None
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(
                [("succeeded", None), ("succeeded", "partial"), ("failed", "deadline"), ("canceled", None)]
            ),
            st.floats(0.0, 1e7),
            st.floats(0.0, 1e5),
            st.integers(0, 10**12),
        ),
        max_size=25,
    ),
    age_s=st.one_of(st.none(), st.floats(0.0, 1e7)),
)
def test_the_journal_is_counted_by_period_status_and_reason(
    store: Path, rows: list[tuple[tuple[str, str | None], float, float, int]], age_s: float | None
) -> None:
    _fill(store, [])
    with closing(sqlite3.connect(store)) as db, db:
        for number, ((status, reason), ago_s, took_s, num_bytes) in enumerate(rows):
            times = {"start_time": NOW - ago_s - took_s, "stop_time": NOW - ago_s}
            fixed = {"source": "s", "destination": "d", "orcid": "", "num_files": 1, "description": ""}
            own = {"uuid": str(UUID(int=number)), "status": status, "reason": reason, "payload_size": num_bytes}
            _insert(db, "journal", **fixed, **own, **times)
    since = None if age_s is None else time_of(NOW - age_s)
    begin = -math.inf if since is None else since.timestamp()
    found = read_statistics(store, since=since, now=NOW)
    counted = [row for row in rows if NOW - row[1] >= begin]
    by_status = Counter(status for (status, _), *_ in counted)
    succeeded_bytes = sum(row[3] for row in counted if row[0][0] == "succeeded")
    assert (by_status["succeeded"], by_status["failed"], by_status["canceled"], succeeded_bytes) == (
        *(found.num_succeeded, found.num_failed, found.num_canceled),
        found.num_bytes,
    )
    periods = [p.start.timestamp() for p in found.periods]
    for period in found.periods:
        start = period.start.timestamp()
        own = [row for row in counted if start <= NOW - row[1] < start + found.period_s]
        assert Counter(status for (status, _), *_ in own) == Counter(
            succeeded=period.num_succeeded, failed=period.num_failed, canceled=period.num_canceled
        )
        assert sum(row[3] for row in own if row[0][0] == "succeeded") == period.num_bytes
    assert [periods[0] + n * found.period_s for n in range(len(periods))] == periods if periods else not counted
    assert len(periods) <= 61
    assert Counter(key for key, *_ in counted if key != ("succeeded", None)) == {
        (r.status, r.reason): r.count for r in found.reasons
    }
    took = sorted(((NOW - ago_s) - (NOW - ago_s - took_s) for _, ago_s, took_s, _ in counted), reverse=True)
    assert took[:3] == [transfer.duration_s for transfer in found.slowest]


@given(st.lists(st.floats(0.0, 1e9), min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_shortest_time_that_so_many_percent_do_not_exceed(times: list[float], percent: int) -> None:
    rounded = [three_digits(time) for time in times]
    found = percentile(Counter(rounded), percent)
    enough = [time for time in rounded if sum(other <= time for other in rounded) * 100 >= percent * len(rounded)]
    assert min(enough) == found


def test_a_stay_that_ended_before_it_began_lasted_no_time(store: Path) -> None:
    _fill(store, [Row(1, 0, "create", "", "a", NOW), Row(1, 0, "go", "a", "b", NOW - 5.0)])
    [ended] = [s for s in read_statistics(store, now=NOW).states if s.num_stays]
    assert (ended.median_s, ended.longest_s) == (0.0, 0.0)


def test_a_new_store_has_nothing_to_say(store: Path) -> None:
    _fill(store, [])
    found = read_statistics(store, now=NOW)
    expected = Statistics(
        since=None,
        until=time_of(NOW),
        num_transitions=0,
        states=(),
        steps=(),
        providers=(),
        period_s=60.0,
        periods=(),
        reasons=(),
        num_succeeded=0,
        num_failed=0,
        num_canceled=0,
        num_bytes=0,
        slowest=(),
        waiting=(),
        num_overdue=0,
    )
    assert expected == found


def _failing_rig(rig: Rig) -> None:
    """One transfer has succeeded, one has failed, and one waits for its provider's next attempt."""
    rig.run(rig.create("a"))
    rig.source_endpoint.faults.add("transfer", PermanentError("the door is shut"))
    rig.run(rig.create("b"))
    rig.source_endpoint.faults.add("transfer", TransientError("the line is busy"), 10)
    rig.create("c")
    for _ in range(20):
        rig.tick()
        rig.clock.advance(0.2)


def test_a_provider_that_fails_is_seen_with_its_last_error(rig: Rig) -> None:
    _failing_rig(rig)
    found = read_statistics(rig.store.path, now=rig.clock.time())
    [move] = [provider for provider in found.providers if provider.kind == "move"]
    assert (
        *(move.name, move.num_succeeded, move.num_failed),
        *(move.num_live, move.num_troubled),
    ) == ("endpoints.source", 1, 1, 1, 1)
    assert move.num_retries > 0
    assert "the line is busy" in (move.last_error or "")
    [reason] = found.reasons
    assert (reason.status, reason.reason, reason.count) == ("failed", "move failed", 1)


def test_what_was_forgotten_is_in_the_journal_only(rig: Rig) -> None:
    _failing_rig(rig)
    rig.store.prune(rig.clock.time())
    found = read_statistics(rig.store.path, now=rig.clock.time())
    assert (found.num_succeeded, found.num_failed) == (1, 1)
    assert {StateStatistics(machine="transfer", state="active", num_now=1)} == {
        attrs.evolve(s, longest_now_s=None) for s in found.states if s.machine == "transfer" and s.state == "active"
    }
    assert [s for s in found.states if s.machine == "transfer" and s.state in ("succeeded", "failed")] == []


def test_operations_that_nobody_looks_at_are_counted(rig: Rig) -> None:
    rig.create("a")
    assert read_statistics(rig.store.path, now=rig.clock.time() + 100.0).num_overdue == 1


def test_nothing_is_written_and_a_writer_goes_on_meanwhile(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    _failing_rig(rig)
    add, created = module._Stays.add, list[UUID]()

    def adding(self: module._Stays, *row: Any) -> None:
        if not created:  # the service writes between two pages, and moves its log into the file
            created.append(rig.create("a", "b"))
            with closing(sqlite3.connect(rig.store.path, timeout=0.0)) as db:
                busy, log_pages, moved_pages = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                assert (0, log_pages) == (busy, moved_pages)
        add(self, *row)

    monkeypatch.setattr(module._Stays, "add", adding)
    before = rig.store.last_seq()
    found = read_statistics(rig.store.path, now=rig.clock.time())
    assert (before, 1) == (found.num_transitions, len(created))


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        read_statistics(tmp_path / "dts.db", now=NOW)
    (tmp_path / "text").write_text("this is not a database, and long enough to be read as one" * 100, encoding="utf-8")
    with pytest.raises(StoreDamagedError, match="not an SQLite database"):
        read_statistics(tmp_path / "text", now=NOW)


def test_since_leaves_out_what_was_recorded_before(rig: Rig) -> None:
    rig.run(rig.create("a"))
    rig.clock.advance(3600.0)
    begin = rig.clock.time()
    rig.run(rig.create("b"))
    found = read_statistics(rig.store.path, since=datetime.fromtimestamp(begin, UTC), now=rig.clock.time())
    assert found.num_succeeded == 1
    later = found.until + timedelta(days=1)
    assert read_statistics(rig.store.path, since=later, now=rig.clock.time()).num_transitions == 0


def test_what_ended_in_what_is_the_future_now_counts_as_of_now(rig: Rig) -> None:
    rig.run(rig.create("a"))
    rig.clock.advance(80 * 365 * 86_400.0)
    rig.run(rig.create("b"))
    now = rig.clock.time() - 80 * 365 * 86_400.0 + 60.0  # the clock was set right again
    found = read_statistics(rig.store.path, now=now)
    assert [period.num_succeeded for period in found.periods if period.num_succeeded] == [1, 1]
    assert len(found.periods) <= 60


@pytest.mark.parametrize(
    "damage", ["journal SET uuid = 'zz'", "history SET at = 1e300", "journal SET stop_time = 1e18, start_time = 1e18"]
)
def test_what_makes_no_sense_is_told_as_damage(rig: Rig, damage: str) -> None:
    rig.run(rig.create("a"))
    with rig.store._connections.transaction() as db:
        db.execute(f"UPDATE {damage}")
    with pytest.raises(StoreDamagedError, match="makes no sense"):
        read_statistics(rig.store.path, now=1e19)


def test_what_is_forgotten_while_it_is_looked_for_is_not_missed(rig: Rig) -> None:
    rig.run(rig.create("a"))
    last = rig.store.last_seq()
    rig.store.prune(rig.clock.time() + 1.0)
    with reading(rig.store.path) as db:
        assert module._before(db, last, rig.clock.time()) == 0
