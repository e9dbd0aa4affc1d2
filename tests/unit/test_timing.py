"""When things are looked at again: to the hundredth of a second, for polls, back-off and deadlines."""

from __future__ import annotations

from pathlib import Path

import pytest

from dts_fsm.config import ServiceConfig
from dts_fsm.engine import Timing
from dts_fsm.store import Change, OperationRow, TransferRow
from dts_fsm.testing.store_rows import NOW, admission, begin

HOUR_S = 3600.0


@pytest.fixture
def timing(tmp_path: Path) -> Timing:
    return Timing(
        ServiceConfig(
            data_dir=tmp_path,
            poll_interval_s=60.0,
            retry_delay_s=2.0,
            max_retry_delay_s=300.0,
            active_deadline_s=HOUR_S,
        ),
        seed=7,
    )


def operation(*, changed_at: float = NOW, progressed_at: float = NOW) -> OperationRow:
    made = admission().change.transfer.operations[0]
    made.changed_at, made.progressed_at = changed_at, progressed_at
    return made


def transfer(deadline_at: float | None, *progressed_at: float) -> TransferRow:
    row = admission().change.transfer
    row.operations.clear()
    for moment in progressed_at:
        begin(Change(transfer=row)).progressed_at = moment
    row.deadline_at = deadline_at
    return row


@pytest.mark.parametrize(
    ("running_s", "pause_s"), [(0.0, 0.01), (0.1, 0.01), (0.2, 0.02), (100.0, 10.0), (600.0, 60.0), (1e6, 60.0)]
)
def test_a_poll_comes_after_a_tenth_of_the_time_that_the_work_has_run(
    timing: Timing, running_s: float, pause_s: float
) -> None:
    assert timing.next_poll_at(operation(changed_at=NOW - running_s), NOW) - NOW == pytest.approx(pause_s, abs=1e-6)


@pytest.mark.parametrize(
    ("failures", "limit_s"), [(1, 2.0), (2, 4.0), (3, 8.0), (8, 256.0), (9, 300.0), (10, 300.0), (10**6, 300.0)]
)
def test_a_pause_lies_between_a_half_and_the_whole_of_what_doubles_with_each_failure(
    timing: Timing, failures: int, limit_s: float
) -> None:
    pauses = [timing.retry_at(failures, NOW) - NOW for _ in range(300)]
    assert [pause for pause in pauses if not limit_s / 2 <= pause <= limit_s] == []
    # and it is drawn from all of that range
    assert (min(pauses) < limit_s * 0.55, max(pauses) > limit_s * 0.95) == (True, True)


def test_the_jitter_of_one_seed_is_the_same_and_that_of_none_is_not(tmp_path: Path) -> None:
    settings = ServiceConfig(data_dir=tmp_path)
    first, second, free = Timing(settings, seed=1), Timing(settings, seed=1), Timing(settings)
    pauses = [[timing.retry_at(1, NOW) for _ in range(5)] for timing in (first, second, free)]
    assert pauses[0] == pauses[1]
    assert pauses[0] != pauses[2]


def test_a_deadline_is_its_setting_after_the_time_it_counts_from(timing: Timing) -> None:
    assert timing.deadline_at("active_deadline", NOW) == NOW + HOUR_S
    assert timing.deadline_at(None, NOW) is None


@pytest.mark.parametrize(
    ("deadline_at", "progressed_at", "extended"),
    [
        (NOW + 10, (NOW,), NOW + HOUR_S),
        (NOW + 10, (NOW - 100, NOW, NOW - 200), NOW + HOUR_S),
        (NOW + 2 * HOUR_S, (NOW,), NOW + 2 * HOUR_S),
        (NOW + 10, (), NOW + 10),
        (None, (NOW,), None),
    ],
)
def test_the_latest_progress_of_any_operation_moves_the_deadline_on_and_never_back(
    timing: Timing, deadline_at: float | None, progressed_at: tuple[float, ...], extended: float | None
) -> None:
    assert timing.extended(transfer(deadline_at, *progressed_at), "active_deadline") == extended


def test_progress_moves_no_deadline_of_a_state_that_has_no_such_setting(timing: Timing) -> None:
    assert timing.extended(transfer(NOW + 10, NOW), None) == NOW + 10
