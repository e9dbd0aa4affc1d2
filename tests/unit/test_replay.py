"""What a replay says of histories that are in order, and of each way in which one can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest
from click.testing import CliRunner, Result

from dts_fsm.cli.main import main
from dts_fsm.errors import PermanentError
from dts_fsm.records import DepartureKind, HistoryRecord, Stays
from dts_fsm.serialization import to_json
from dts_fsm.statechart import chart_text, load_chart, replay
from dts_fsm.testing import Rig

BEGAN = datetime(2027, 1, 1, tzinfo=UTC)
TRANSFER, MOVE, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)

Step = tuple[UUID | None, str, str, str]

SHORT: tuple[Step, ...] = (
    (None, "create", "", "unknown"),
    (None, "move", "unknown", "active"),
    (MOVE, "create", "", "pending"),
    (MOVE, "submit", "pending", "submitting"),
    (MOVE, "start", "submitting", "running"),
    (MOVE, "succeed", "running", "succeeded"),
    (None, "finalize", "active", "finalizing"),
    (None, "succeed", "finalizing", "succeeded"),
)


def rows(*steps: Step) -> list[HistoryRecord]:
    """A history with a second between any two rows, and with other transfers' rows between them."""
    return [
        HistoryRecord(
            seq=10 * number,
            transfer_id=TRANSFER,
            operation_id=operation,
            machine="transfer" if operation is None else "move",
            event=event,
            source=source,
            target=target,
            time=BEGAN + timedelta(seconds=number),
        )
        for number, (operation, event, source, target) in enumerate(steps, start=1)
    ]


def found(history: list[Any], **known: Any) -> list[tuple[int | None, str]]:
    return [(departure.seq, departure.kind.value) for departure in replay(history, **known).departures]


def changed(number: int, **values: Any) -> list[HistoryRecord]:
    """The short history with another row of this number, counted from 1."""
    history = rows(*SHORT)
    history[number - 1] = attrs.evolve(history[number - 1], **values)
    return history


class TestInOrder:
    def test_a_history_leads_to_a_state_of_each_machine(self) -> None:
        done = replay(rows(*SHORT))
        assert (done.departures, done.states) == ((), {None: "succeeded", MOVE: "succeeded"})
        transfer, move = done.machines
        assert (transfer.operation_id, transfer.machine, transfer.ended, transfer.num_steps) == (
            None,
            "transfer",
            True,
            4,
        )
        assert replay(rows(*SHORT), now=BEGAN + timedelta(days=1)).machines == done.machines
        assert (transfer.began_at, transfer.changed_at) == (BEGAN + timedelta(seconds=1), BEGAN + timedelta(seconds=8))
        assert transfer.stays == (
            Stays(state="unknown", count=1, time_s=1),
            Stays(state="active", count=1, time_s=5),
            Stays(state="finalizing", count=1, time_s=1),
            Stays(state="succeeded", count=1, time_s=0),
        )
        assert (move.operation_id, move.machine, move.state) == (MOVE, "move", "succeeded")

    def test_the_present_stay_lasts_until_now_and_stays_in_one_state_are_added_up(self) -> None:
        suspended = [(MOVE, "suspend", "running", "suspended"), (MOVE, "resume", "suspended", "running")]
        history = rows(*SHORT[:5], *suspended, *suspended)
        (transfer, move) = replay(history, now=BEGAN + timedelta(seconds=109)).machines
        assert transfer.stays[-1] == Stays(state="active", count=1, time_s=107)
        assert move.stays[2:] == (
            Stays(state="running", count=3, time_s=102),
            Stays(state="suspended", count=2, time_s=2),
        )
        assert replay(history).machines[1].stays[2] == Stays(state="running", count=3, time_s=2)

    def test_nothing_leads_nowhere(self) -> None:
        assert (replay([]).machines, replay([]).departures) == ((), ())

    def test_a_real_history_leads_to_what_the_store_has(self, rig: Rig) -> None:
        rig.source_endpoint.faults.add("transfer", PermanentError("no"))
        for name in ("a", "b"):
            transfer_id = rig.create(name)
            status = rig.run(transfer_id)
            done = replay(rig.store.history(transfer_id))
            assert (done.departures, done.states[None]) == ((), status.code)


class TestDepartures:
    @pytest.mark.parametrize(
        ("number", "values", "kind", "reason"),
        [
            (2, {"event": "mvoe"}, "event", "the chart has no event 'mvoe'"),
            (
                2,
                {"event": "finalize"},
                "transition",
                "in 'unknown' the event 'finalize' is impossible, not to 'active'",
            ),
            (5, {"target": "sleeping"}, "state", "the chart has no state 'sleeping'"),
            (
                8,
                {"target": "failed"},
                "transition",
                "in 'finalizing' the event 'succeed' leads to 'succeeded', not to 'failed'",
            ),
            (7, {"source": "staging"}, "source", "it starts from 'staging', and the state was 'active'"),
            (3, {"source": "pending"}, "source", "a creation starts from 'pending', where nothing was"),
            (
                3,
                {"target": "running"},
                "transition",
                "a creation leads to 'running', and the initial state is 'pending'",
            ),
            (4, {"seq": 30}, "order", "its number does not come after 30, the one before"),
            (4, {"seq": 5}, "order", "its number does not come after 30, the one before"),
            (4, {"time": BEGAN}, "time", "it is 3 s earlier than the row before: was the clock set back?"),
            (4, {"transfer_id": OTHER}, "machine", f"it is of another transfer, {OTHER}"),
            (4, {"machine": "stage"}, "machine", "the operation was a 'move' before, not a 'stage'"),
            (4, {"machine": "transfer"}, "machine", "a row of an operation says that it is one of a 'transfer'"),
            (2, {"machine": "move"}, "machine", "a row of the transfer says that it is one of a 'move'"),
            (4, {"seq": "x"}, "form", "its seq is str"),
            (4, {"time": datetime(2027, 1, 1)}, "form", "its time has no time zone"),
            (4, {"event": None}, "form", "its event is NoneType"),
            (4, {"operation_id": "x"}, "form", "its operation_id is str"),
        ],
    )
    def test_a_row_that_is_wrong_is_named_with_its_reason(
        self, number: int, values: dict[str, Any], kind: str, reason: str
    ) -> None:
        first = replay(changed(number, **values)).departures[0]
        assert (first.kind, first.reason) == (kind, reason)
        assert first.seq == (values.get("seq", 10 * number) if values.get("seq") != "x" else None)

    def test_steps_after_the_end_are_told(self) -> None:
        history = rows(*SHORT, (None, "fail", "succeeded", "failed"))
        assert found(history) == [(90, "end")]
        assert replay(history).departures[0].reason == "'fail' follows after the end: 'succeeded' is final"

    def test_a_machine_is_created_once_and_first(self) -> None:
        assert found(rows(*SHORT[1:])) == [(10, "creation")]
        assert found(rows(*SHORT[:3], (MOVE, "create", "", "pending"))) == [(40, "creation")]
        assert found(rows(SHORT[2], SHORT[0])) == [(10, "creation")]
        assert replay(rows(SHORT[2])).departures[0].reason == "an operation is created before its transfer"
        assert replay(rows(SHORT[3])).departures[0].reason == "an operation was not created before"

    def test_each_wrong_row_is_told_once_and_what_follows_is_judged_by_itself(self) -> None:
        assert found(changed(4, target="running")) == [(40, "transition"), (50, "source")]
        assert found(changed(4, event="nonsense")) == [(40, "event")]

    def test_what_is_no_row_at_all_is_told_and_passed_over(self) -> None:
        history: list[Any] = rows(*SHORT)
        history[3:3] = [None, "row", {"seq": 1}, object()]
        told = replay(history)
        assert [departure.kind for departure in told.departures] == [DepartureKind.FORM] * 4
        assert told.departures[0].reason == "it is no record of a history, but NoneType"
        assert told.states == {None: "succeeded", MOVE: "succeeded"}

    def test_what_the_store_says_is_compared(self) -> None:
        history = rows(*SHORT)
        assert found(history, states={None: "succeeded", MOVE: "succeeded"}) == []
        told = replay(history, states={None: "failed", OTHER: "running"}).departures
        assert [(departure.operation_id, departure.kind, departure.reason) for departure in told] == [
            (None, "stored", "the history leads to 'succeeded', and the store says 'failed'"),
            (MOVE, "stored", "the history leads to 'succeeded', and the store has no such machine"),
            (OTHER, "stored", "the store has an operation in 'running', and the history has nothing of it"),
        ]


class TestChangedCharts:
    def test_after_an_upgrade_a_machine_goes_on_where_it_leads(self) -> None:
        before: list[Step] = [(None, "create", "", "begun"), (None, "go", "begun", "moving")]
        after: list[Step] = [(None, "upgrade", "moving", "active"), (None, "finalize", "active", "finalizing")]
        assert found(rows(*before, *after)) == []
        assert found(rows(*before, *after[1:])) == [(10, "transition"), (20, "state"), (30, "source")]
        assert found(rows(*before, (None, "upgrade", "moving", "dreaming"))) == [(30, "state")]
        assert found(rows(*before, (None, "upgrade", "begun", "active"))) == [(30, "source")]
        assert found(rows((None, "upgrade", "", "active"))) == [(10, "creation")]

    def test_what_came_before_belongs_together_all_the_same(self) -> None:
        steps: list[Step] = [(None, "create", "", "a"), (None, "go", "b", "c"), (None, "upgrade", "c", "active")]
        assert found(rows(*steps)) == [(20, "source")]

    def test_an_upgrade_within_a_state_ends_no_stay(self) -> None:
        history = rows(*SHORT[:2], (None, "upgrade", "active", "active"), (None, "finalize", "active", "finalizing"))
        assert replay(history).machines[0].stays[1] == Stays(state="active", count=1, time_s=2)

    def test_operations_that_had_ended_before_the_others_were_upgraded_knew_the_earlier_chart(self) -> None:
        old: list[Step] = [(OTHER, "create", "", "new"), (OTHER, "finish", "new", "gone")]
        history = rows(*SHORT[:2], *old, *SHORT[2:5], (MOVE, "upgrade", "running", "running"))
        assert found(history) == []
        assert found(history[:-1]) == [(30, "transition"), (40, "state")]

    def test_a_stored_transfer_that_was_carried_over_is_in_order_under_the_present_chart(self, rig: Rig) -> None:
        rig.source_endpoint.duration_s = 1000.0
        transfer_id = rig.create("a")
        rig.tick(5)
        for name in ("transfer", "operation"):
            chart = load_chart(name)
            renamed = {"move": "carry"} if name == "transfer" else {"suspend": "pause"}
            chart = attrs.evolve(
                chart,
                transitions=tuple(attrs.evolve(t, event=renamed.get(t.event, t.event)) for t in chart.transitions),
            )
            setattr(rig, f"{name}_chart", chart)
        rig.reopen()
        rig.source_endpoint.duration_s = 0.0
        rig.run(transfer_id, step_s=100.0)
        history = rig.store.history(transfer_id)
        assert [row.machine for row in history if row.event == "upgrade"] == ["move", "transfer"]
        charts = {"transfer_chart": rig.transfer_chart, "operation_chart": rig.operation_chart}
        assert found(history, states={None: "succeeded", **_states(rig, transfer_id)}, **charts) == []
        wrong = [row for row in history if row.event != "upgrade"]
        assert found(wrong, **charts) == [(next(row.seq for row in history if row.event == "move"), "event")]

    def test_a_chart_may_have_such_events_itself(self) -> None:
        chart = load_chart("operation")
        own = attrs.evolve(
            chart,
            transitions=(*chart.transitions, attrs.evolve(chart.transitions[0], event="upgrade", target="running")),
        )
        steps: list[Step] = [SHORT[0], (MOVE, "create", "", "pending"), (MOVE, "upgrade", "pending", "running")]
        assert found(rows(*steps), operation_chart=own) == []
        wrong: Step = (MOVE, "upgrade", "pending", "suspended")
        assert found(rows(*steps[:2], wrong), operation_chart=own) == [(30, "transition")]
        assert found(rows(*steps[:2], wrong)) == []
        sleep: Step = (MOVE, "sleep", "pending", "pending")
        assert found(rows(*steps[:2], sleep, steps[2]), operation_chart=own) == [(30, "event")]


def _states(rig: Rig, transfer_id: UUID) -> dict[UUID, str]:
    return {operation.id: operation.state for operation in rig.store.operations(rig.store.rowid(transfer_id))}


Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    def run(*arguments: object) -> Result:
        env = {"DTS_FSM_CONFIG": None, "DTS_FSM_DATA_DIR": None, "COLUMNS": "120"}
        result = CliRunner(env=env).invoke(main, ["replay", *map(str, arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


class TestCommand:
    def test_a_stored_transfer_is_in_order(self, run: Run, rig: Rig, tmp_path: Path) -> None:
        transfer_id = rig.create("a")
        rig.run(transfer_id)
        result = run(transfer_id, "--data-dir", tmp_path)
        assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "18 steps: in order")
        told = json.loads(run(transfer_id, "--data-dir", tmp_path, "--json").stdout)
        assert (told["departures"], told["machines"][0]["state"]) == ([], "succeeded")

    def test_a_history_in_a_file_is_checked_and_what_is_wrong_is_the_exit_status(
        self, run: Run, tmp_path: Path
    ) -> None:
        file = tmp_path / "history.json"
        file.write_text(to_json(rows(*SHORT)))  # type: ignore[arg-type]
        assert run("--file", file).exit_code == 0
        file.write_text(to_json(changed(4, event="sumbit")))  # type: ignore[arg-type]
        result = run("--file", file)
        assert (result.exit_code, result.stdout.splitlines()[-2:]) == (
            1,
            [f"row 40, move {MOVE}: the chart has no event 'sumbit'", "8 steps: 1 departure"],
        )
        assert json.loads(run("--file", file, "--json").stdout)["departures"][0]["kind"] == "event"

    def test_another_chart_is_taken_by_its_name(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "history.json").write_text(to_json(changed(4, event="hand_over")))  # type: ignore[arg-type]
        chart = tmp_path / "mine.toml"
        chart.write_text(chart_text("operation").replace('event = "submit"', 'event = "hand_over"'))
        assert run("--file", tmp_path / "history.json", "--chart", chart).exit_code == 0
        twice = run("--file", tmp_path / "history.json", "--chart", chart, "--chart", chart)
        assert (twice.exit_code, "is called 'operation': give one chart" in twice.stderr) == (1, True)

    def test_a_transfer_that_is_under_another_chart_is_told(self, run: Run, rig: Rig, tmp_path: Path) -> None:
        transfer_id = rig.create("a")
        rig.run(transfer_id)
        chart = tmp_path / "mine.toml"
        chart.write_text(chart_text("transfer").replace('event = "move"', 'event = "carry"'))
        result = run(transfer_id, "--data-dir", tmp_path, "--chart", chart)
        assert (result.exit_code, "the chart has no event 'move'" in result.stdout) == (1, True)
        assert result.stderr.startswith("the transfer is under the chart ")

    @pytest.mark.parametrize("text", ["", "{}", "[1]", "[{}]", '["x"]'])
    def test_what_is_no_history_is_an_error_of_one_line(self, run: Run, tmp_path: Path, text: str) -> None:
        (tmp_path / "history.json").write_text(text)
        result = run("--file", tmp_path / "history.json")
        assert (result.exit_code, result.stderr.count("\n"), result.stderr[:7]) == (1, 1, "Error: ")

    def test_what_to_replay_must_be_given_once_and_a_store_for_it(self, run: Run, tmp_path: Path) -> None:
        assert [run().exit_code, run(TRANSFER).exit_code, run(TRANSFER, "--file", tmp_path / "x").exit_code] == [2] * 3
