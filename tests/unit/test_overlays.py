"""What data say on a chart: the way of one machine with its times, and the numbers of all."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import attrs
import pytest
from click.testing import CliRunner, Result

from dts_fsm.cli.main import main
from dts_fsm.records import HistoryRecord
from dts_fsm.records.statistics import StateStatistics, Statistics, StepStatistics
from dts_fsm.statechart import load_chart
from dts_fsm.statechart.drawing import WRITERS, Mark, Overlay, Picture
from dts_fsm.statechart.drawing.overlays import fleet, walked
from dts_fsm.store import time_of
from dts_fsm.testing import ManualClock, Rig

START = time_of(1_800_000_000.0)
CHART = load_chart("transfer")


def _steps(*steps: tuple[str, str, str, float]) -> list[HistoryRecord]:
    return [
        HistoryRecord(
            seq=number,
            transfer_id=UUID(int=1),
            operation_id=None,
            machine="transfer",
            event=event,
            source=source,
            target=target,
            time=START + timedelta(seconds=seconds),
        )
        for number, (source, event, target, seconds) in enumerate(steps, 1)
    ]


SUSPENDED_TWICE = _steps(
    ("", "create", "unknown", 0),
    ("unknown", "move", "active", 5),
    ("active", "suspend", "inactive", 65),
    ("inactive", "resume", "active", 3665),
    ("active", "upgrade", "active", 3666),
    ("active", "suspend", "inactive", 3670),
)


def test_the_way_of_a_machine_has_the_time_in_each_state_and_how_often_an_arrow_was_taken() -> None:
    assert walked(CHART, SUSPENDED_TWICE, now=START + timedelta(seconds=3690)) == Overlay(
        states={
            "unknown": Mark(look="walked", notes=("5 s",)),
            "active": Mark(look="walked", notes=("1 min 5 s in 2 stays",)),
            "inactive": Mark(look="current", notes=("20 s so far", "before: 1 h")),
        },
        steps={
            ("", "create", "unknown"): Mark(look="walked"),
            ("unknown", "move", "active"): Mark(look="walked"),
            ("active", "suspend", "inactive"): Mark(look="walked", notes=("2 times",)),
            ("inactive", "resume", "active"): Mark(look="walked"),
        },
        caption=("The times in the states, from 2027-01-15 08:00Z to 2027-01-15 09:01Z.",),
    )


def test_a_machine_that_has_ended_is_in_its_final_state_since_then() -> None:
    found = walked(CHART, _steps(("active", "fail", "failed", 90)), now=START + timedelta(days=9))
    assert found.states == {"failed": Mark(look="current", notes=("since 2027-01-15 08:01Z",))}
    assert found.caption == ("The times in the states, from 2027-01-15 08:01Z to 2027-01-15 08:01Z.",)


def test_states_and_arrows_of_another_chart_are_named_below() -> None:
    steps = _steps(("", "create", "new", 0), ("new", "go", "active", 1), ("active", "go", "odd", 2))
    found = walked(CHART, steps, now=START)
    assert (set(found.states), found.caption[1]) == (
        {"active"},
        "Not on this chart, since it was another one then: 2 transitions and the states new, odd.",
    )
    assert Picture.of(CHART, found).caption == found.caption


def test_no_history_marks_nothing() -> None:
    assert walked(CHART, [], now=START) == Overlay()


def _statistics(*states: StateStatistics, steps: tuple[StepStatistics, ...] = ()) -> Statistics:
    return Statistics(
        since=None,
        until=START,
        num_transitions=0,
        states=states,
        steps=steps,
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


NUMBERS = _statistics(
    StateStatistics(machine="transfer", state="active", num_now=999, num_stays=2, median_s=60.0, p95_s=7200.0),
    StateStatistics(machine="transfer", state="staging", num_now=9),
    StateStatistics(machine="transfer", state="unknown"),
    StateStatistics(machine="transfer", state="succeeded", num_now=123_456),
    StateStatistics(machine="operation", state="running", num_now=7),
    steps=(
        StepStatistics(machine="transfer", source="", event="create", target="unknown", count=9999),
        StepStatistics(machine="transfer", source="unknown", event="move", target="active", count=99),
        StepStatistics(machine="operation", source="pending", event="submit", target="submitting", count=3),
    ),
)


def test_the_fleet_has_its_numbers_at_states_and_arrows() -> None:
    found = fleet(CHART, NUMBERS)
    assert found.states == {
        "active": Mark(heat=1.0, notes=("999 now", "median 1 min, 95 % 2 h")),
        "staging": Mark(heat=pytest.approx(1 / 3), notes=("9 now",)),
        "unknown": Mark(notes=("0 now",)),
        "succeeded": Mark(notes=("123,456 now",)),
    }
    assert found.steps == {("unknown", "move", "active"): Mark(heat=1.0, notes=("99\N{MULTIPLICATION SIGN}",))}


def test_the_operations_have_a_chart_of_their_own() -> None:
    found = fleet(load_chart("operation"), NUMBERS)
    assert (set(found.states), set(found.steps)) == ({"running"}, {("pending", "submit", "submitting")})


def test_a_chart_of_any_other_name_shows_transfers() -> None:
    assert set(fleet(attrs.evolve(CHART, name="mine"), NUMBERS).states) == {"active", "staging", "unknown", "succeeded"}


def test_it_says_since_when_it_was_counted() -> None:
    assert "Counted since 2027-01-14 08:00Z." in fleet(CHART, attrs.evolve(NUMBERS, since=START - timedelta(1))).caption
    assert [line for line in fleet(CHART, NUMBERS).caption if "since" in line] == []


@pytest.fixture
def moving(tmp_path: Path) -> Rig:
    """A store with a transfer that succeeded after two minutes, an hour ago, and one that has just begun."""
    rig = Rig(tmp_path, clock=ManualClock((datetime.now(UTC) - timedelta(hours=1)).timestamp()))
    for name in ("a", "b"):
        rig.source.add(name, name.encode())
    rig.source_endpoint.duration_s = 120.0
    rig.run(rig.create("a"), step_s=120.0)
    rig.clock.advance(3000.0)
    rig.create("b")
    rig.close()
    return rig


def _run(rig: Rig, *arguments: object) -> Result:
    data_dir = str(rig.config.service.data_dir)
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, [*map(str, arguments), "--data-dir", data_dir])


@pytest.mark.parametrize("form", WRITERS)
def test_every_format_has_the_numbers_of_the_fleet(moving: Rig, form: str) -> None:
    if form == "svg" and shutil.which("dot") is None:
        pytest.skip("SVG needs Graphviz")
    drawn = _run(moving, "diagram", "--fleet", "--format", form)
    text = drawn.stdout.replace("#44;", ",").replace("#37;", "%").replace("&#160;", " ")
    assert (drawn.exit_code, "1 now" in text, "median 2 min" in text) == (0, True, True)


def test_the_way_of_a_transfer_has_its_times(moving: Rig) -> None:
    moving.reopen()
    [done] = moving.store.transfers(state="succeeded")
    moving.close()
    drawn = _run(moving, "diagram", "--transfer", done.id, "--format", "dot")
    assert (drawn.exit_code, "2 min<" in drawn.stdout, "The times in the states" in drawn.stdout) == (0, True, True)


def test_since_leaves_out_what_was_before(moving: Rig) -> None:
    drawn = _run(moving, "diagram", "--fleet", "--since", "30min", "--format", "dot")
    assert (drawn.exit_code, "median 2 min" in drawn.stdout) == (0, False)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--fleet", "--transfer", UUID(int=1)), "give one of them"),
        (("--since", "1d"), "says what --fleet counts"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(moving: Rig, arguments: tuple[object, ...], expected: str) -> None:
    drawn = _run(moving, "diagram", *arguments)
    assert (drawn.exit_code, expected in drawn.stderr) == (2, True)


def test_the_fleet_needs_a_store() -> None:
    drawn = CliRunner(env={"DTS_FSM_DATA_DIR": None, "DTS_FSM_CONFIG": None}).invoke(main, ["diagram", "--fleet"])
    assert (drawn.exit_code, "needs a store" in drawn.stderr) == (2, True)


def test_a_report_has_the_pictures_of_both_charts_and_of_one_way(moving: Rig) -> None:
    if shutil.which("dot") is None:
        pytest.skip("SVG needs Graphviz")
    text = _run(moving, "report").stdout
    assert [f'id="{name}"' in text for name in ("fleet-transfer", "fleet-operation", "way")] == [True] * 3


def test_without_graphviz_a_report_has_all_but_the_pictures(moving: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *arguments, **options: None)
    found = _run(moving, "report")
    assert (found.exit_code, "SVG needs Graphviz: install it" in found.stdout) == (0, True)
    assert [name for name in ("fleet-transfer", "way") if f'id="{name}"' in found.stdout] == []
