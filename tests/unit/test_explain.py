"""What an explanation says to the letter, in the situations in which people ask for one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest
from click.testing import CliRunner

from dts_fsm.cli.main import main
from dts_fsm.engine import Engine
from dts_fsm.engine.explanation import explain
from dts_fsm.engine.reasons import Facts
from dts_fsm.errors import TransientError, UnavailableError
from dts_fsm.orchestrator import Orchestrator
from dts_fsm.records import EventVerdict, Explanation, OperationRequest
from dts_fsm.serialization import from_json
from dts_fsm.statechart import GuardDef, TransitionDef, load_chart
from dts_fsm.store import Change, TransferRow, time_of
from dts_fsm.testing import ManualClock, Rig
from dts_fsm.testing.store_rows import NOW, plan
from tests.deciding import Mute, engine_of_mutes, survey


def ask(rig: Rig, transfer_id: UUID) -> Explanation:
    """What another process is told that does not schedule."""
    dts = Orchestrator(rig.config, databases=rig.databases, endpoints=rig.endpoints, clock=rig.clock)
    dts.start(schedule=False)
    try:
        return dts.explain(transfer_id)
    finally:
        dts.stop()


NOBODY = ("nobody asked for it", "nobody asked for it, and no provider has suspended its work")


def whys(events: Sequence[EventVerdict]) -> dict[str, str]:
    return {f"{verdict.event} {verdict.target}": verdict.why for verdict in events}


class TestInAnInstallation:
    def test_files_that_are_not_staged_are_named(self, rig: Rig) -> None:
        for name in ("t1", "t2", "t3", "t4"):
            rig.source.add(name, b"tape", staged=False)
        rig.source.staging_duration_s = 1e6
        transfer_id = rig.create("a", "b", "t1", "t2", "t3", "t4")
        rig.tick(5)
        told = ask(rig, transfer_id)
        stage = "stage at source is running, asked again in a moment"
        missing = "4 of 6 files are not staged: t1, t2, t3 and 1 more"
        assert (told.state, told.summary) == ("staging", f"{missing}; {stage}")
        assert whys(told.events) == {
            "cancel failed": "nobody asked for it",
            "fail failed": "no operation failed for good; the deadline is 2027-01-22 08:00:00Z (in 7 d)",
            "suspend inactive": "nobody asked for it, and no provider has suspended its work",
            "move active": f"{missing}; {stage}",
        }
        assert (told.deadline, told.deadline_at) == ("staging_deadline", time_of(NOW + 7 * 86_400))
        assert (told.scheduled, told.asked_at) == (True, time_of(NOW))
        (waiting,) = told.live_operations
        assert (waiting.id, waiting.summary) == (told.operations[1].id, stage)
        assert (waiting.late_s, waiting.lane_full, waiting.deadline_at) == (None, None, None)
        assert whys(waiting.events) == {
            "suspend suspended": "its provider has not suspended it",
            "succeed succeeded": "its provider has not said that it succeeded",
            "retry pending": "no failure has been heard of",
            "fail failed": "4 of 5 attempts are left",
            "cancel canceling": "nothing asks it to stop",
        }

    def test_a_move_says_how_far_it_is_and_when_it_makes_no_progress(self, rig: Rig) -> None:
        rig.source_endpoint.duration_s = 1e6
        transfer_id = rig.create("a", "b")
        rig.tick(4)
        rig.clock.advance(30)
        rig.tick(3)
        finalize = whys(ask(rig, transfer_id).events)["finalize finalizing"]
        assert finalize == "move at source is running (0 of 2 files), asked again in 3 s"
        rig.clock.advance(7200)
        rig.tick(3)
        rig.clock.advance(30)
        told = ask(rig, transfer_id).summary
        assert told == "move at source is running (0 of 2 files) without progress for 2 h 1 min, asked again in 30 s"

    def test_an_attempt_that_failed_says_how_and_when_the_next_one_is_due(self, rig: Rig) -> None:
        transfer_id = rig.create("a")
        rig.source_endpoint.faults.add("transfer", UnavailableError("connection refused."), 100)
        rig.tick(3)
        told = ask(rig, transfer_id)
        (waiting,) = told.live_operations
        assert waiting.summary == (
            "move at source waits for attempt 2 of 5, due in a moment; the last one: connection refused"
        )
        assert whys(waiting.events) == {
            "submit submitting": "it is due in a moment",
            "cancel canceling": "nothing asks it to stop",
        }
        assert told.last_error == "move at source: connection refused."

    def test_a_failed_transfer_says_why_and_what_can_be_done(self, rig: Rig) -> None:
        transfer_id = rig.create("a")
        rig.source_endpoint.faults.add("transfer", UnavailableError("connection refused"), 100)
        rig.run(transfer_id)
        rig.clock.advance(3600)
        told = ask(rig, transfer_id)
        assert told.summary == (
            "it ended 1 h ago: failed (move failed): move at source: connection refused; "
            "`retry` begins a new transfer of what did not arrive"
        )
        assert (told.events, told.live_operations, told.next_poll_at) == ((), (), None)

    def test_a_request_is_told_before_the_scheduler_has_taken_it_up(self, rig: Rig) -> None:
        rig.source_endpoint.duration_s = 1e6
        transfer_id = rig.create("a")
        rig.tick(4)
        for kind, verdict in (("cancel", "cancel failed"), ("suspend", "suspend inactive")):
            rig.store.request(transfer_id, kind, NOW)  # type: ignore[arg-type]
            told = ask(rig, transfer_id)
            assert told.requested == kind
            assert whys(told.events)[verdict] == "its user asked for it, and the scheduler has not taken that up yet"
            assert told.events[1].why.startswith("no operation failed for good; ")
            assert {"cancel": NOBODY[1], "suspend": NOBODY[0]}[kind] in [event.why for event in told.events]
            assert told.summary.startswith(f"its user asked to {kind} it, and the next tick takes that up; now move at")

    def test_a_canceled_transfer_that_waits_for_its_provider_says_until_when(self, rig: Rig) -> None:
        rig.source_endpoint.duration_s = 1e6
        transfer_id = rig.create("a")
        rig.tick(4)
        rig.store.request(transfer_id, "cancel", NOW)
        rig.source_endpoint.faults.add("cancel", TransientError("it is away"), 100)
        rig.tick(2)
        rig.clock.advance(60)
        told = ask(rig, transfer_id)
        stops = "move at source was asked to stop 1 min ago and has not acknowledged; it is given up in 9 min; "
        assert whys(told.events)["cancel failed"] == f"{stops}last heard: it is away"
        assert whys(told.events)["fail failed"] == "its user asked to cancel it, and so it ends as canceled"
        assert told.summary.startswith(f"its user asked to cancel it, and it waits until all work has stopped: {stops}")
        (waiting,) = told.live_operations
        assert waiting.deadline_at == time_of(NOW + 600)
        assert whys(waiting.events)["abandon canceled"] == "its provider's time to acknowledge ends in 9 min"
        rig.clock.advance(600)
        rig.tick(3)
        told = ask(rig, transfer_id)
        assert (told.summary, told.last_error, told.requested) == (
            "it ended just now: failed (canceled): The user asked, and every provider has stopped",
            None,
            None,
        )

    def test_a_suspended_transfer_waits_for_who_suspended_it(self, rig: Rig) -> None:
        rig.source_endpoint.duration_s = 1e6
        transfer_id = rig.create("a")
        rig.tick(4)
        rig.source_endpoint.pause(rig.source_endpoint.transfers()[0])
        rig.clock.advance(60)
        rig.tick(3)
        rig.clock.advance(7200)
        told = ask(rig, transfer_id)
        assert told.summary == "move at source was suspended by its provider 2 h ago"
        assert whys(told.events)["resume active"] == told.summary
        assert whys(told.events)["resume staging"] == "it was active before it was suspended, not staging"
        rig.store.request(transfer_id, "suspend", NOW)
        rig.tick(5)
        told = ask(rig, transfer_id)
        assert told.summary == "its user suspended it, and it waits for its user to resume it"
        assert whys(told.events)["resume active"] == "its user suspended it and has not resumed it"

    def test_without_a_scheduler_it_says_so_first(self, rig: Rig) -> None:
        transfer_id = rig.create("a")
        rig.tick(1)
        rig.store.release_lease()
        rig.clock.advance(1000)
        told = ask(rig, transfer_id)
        assert told.scheduled is False
        assert told.summary.startswith(
            "no process schedules this store, and nothing happens until a service is started; survey at source"
        )
        assert [waiting.late_s for waiting in told.live_operations] == [1000]

    def test_who_schedules_knows_whether_a_lane_is_full(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        rig.source_endpoint.duration_s = 1e6
        transfer_id = rig.create("a")
        rig.tick(4)
        rig.store.release_lease()
        dts = Orchestrator(rig.config, databases=rig.databases, endpoints=rig.endpoints, clock=rig.clock)
        with dts:
            scheduler = dts._require().scheduler
            assert scheduler is not None
            assert [waiting.lane_full for waiting in dts.explain(transfer_id).live_operations] == [False]
            monkeypatch.setattr(scheduler._calls.dispatcher, "full_lanes", lambda: frozenset(["endpoints.source"]))
            (waiting,) = dts.explain(transfer_id).live_operations
        assert waiting.lane_full is True
        assert waiting.summary.endswith("; its lane takes no further calls now: too many wait or hang")

    def test_the_command_says_all_of_it_to_people_and_to_programs(self, tmp_path: Path) -> None:
        rig = Rig(tmp_path, clock=ManualClock(time.time() - 60))
        rig.source.add("a", b"content of a")
        rig.source_endpoint.duration_s = 1e6
        ids = [rig.create("a") for _ in range(2)]
        rig.tick(4)
        row = rig.store.load([rig.store.rowid(ids[0])]).popitem()[1]
        for number in range(7):
            request = OperationRequest(handler="mover", kind="move", endpoint=f"disk{number}")
            change = Change(transfer=row)
            rig.engine.operations.begin(change, request, rig.clock.time())
            rig.store.commit([change], rig.clock.time())
        people = CliRunner().invoke(main, ["explain", str(ids[0]), "--data-dir", str(tmp_path)], env={"COLUMNS": "200"})
        assert "in short:        move at source is running (0 of 1 files), was due" in people.stdout
        assert "  cancel -> failed:        no: nobody asked for it\n" in people.stdout
        assert "the transfer fails (active_deadline)" in people.stdout
        assert "scheduler:       works on this store\n" in people.stdout
        assert "  submit -> submitting:  yes: the next tick takes it\n" in people.stdout
        assert "what 3 more operations wait for: see --json" in people.stdout
        programs = CliRunner().invoke(main, ["explain", str(ids[0]), "--data-dir", str(tmp_path), "--json"])
        told = from_json(programs.stdout, Explanation)
        assert len(told.live_operations) == 8
        assert told.events[0].why == "nobody asked for it"
        rig.close()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return engine_of_mutes(tmp_path)


@pytest.fixture
def row(engine: Engine) -> TransferRow:
    """A new transfer, whose survey has been handed over."""
    return engine.admit(plan("a", "b"), NOW).transfer


def facts_of(engine: Engine, row: TransferRow, **known: Any) -> Facts:
    chart = engine.operations.machine.chart
    return Facts(row=row, now=NOW, timing=engine.timing, operation_chart=chart, **known)


class Watchman(Mute):
    """A handler with guards of its own."""

    def __init__(self, guard: Callable[[TransferRow], bool], reasons: dict[str, Callable[[TransferRow], str]]) -> None:
        super().__init__("mover")
        self.guards = {"moves_succeeded": guard, "full_moon": guard}
        self.reasons = reasons


class TestGuardsOfHandlers:
    def explained(self, engine: Engine, watchman: Watchman) -> dict[str, EventVerdict]:
        chart = load_chart("transfer")
        chart = attrs.evolve(
            chart,
            guards=(*chart.guards, GuardDef(name="full_moon", description="the moon is full")),
            transitions=(
                *chart.transitions,
                TransitionDef(event="howl", sources=("unknown",), target="active", guard="full_moon", description="h"),
                TransitionDef(event="knock", sources=("unknown",), target="active", description="k"),
            ),
        )
        handlers: Any = {"stager": Mute("stager"), "manifestor": Mute("manifestor"), "mover": watchman}
        own = Engine(handlers, engine.timing, engine._stored, transfer_chart=chart)
        told = explain(own, facts_of(own, own.admit(plan("a"), NOW).transfer))
        return {verdict.event: verdict for verdict in told.events}

    def test_without_a_reason_it_is_the_guard_s_description(self, engine: Engine) -> None:
        verdict = self.explained(engine, Watchman(lambda row: False, {}))["howl"]
        assert (verdict.possible, verdict.why) == (False, "not so: the moon is full")

    def test_a_handler_says_why_itself(self, engine: Engine) -> None:
        reasons = {"full_moon": lambda row: f"{row.num_files} nights are left"}
        assert self.explained(engine, Watchman(lambda row: False, reasons))["howl"].why == "1 nights are left"

    def test_a_guard_or_a_reason_that_raises_spoils_nothing(self, engine: Engine) -> None:
        def broken(row: TransferRow) -> Any:
            raise ZeroDivisionError(row.uuid)

        verdict = self.explained(engine, Watchman(lambda row: False, {"full_moon": broken}))["howl"]
        assert verdict.why == "what says why raised ZeroDivisionError"

    def test_an_event_without_a_guard_waits_for_somebody(self, engine: Engine) -> None:
        verdict = self.explained(engine, Watchman(lambda row: False, {}))["knock"]
        assert (verdict.possible, verdict.why) == (True, "it has no guard: somebody has to fire it")


def test_a_guard_that_raises_says_no(engine: Engine, row: TransferRow) -> None:
    def broken(row: TransferRow) -> bool:
        raise ZeroDivisionError

    handlers: Any = {name: Mute(name) for name in ("stager", "mover", "manifestor")}
    handlers["stager"].guards = {"files_staged": broken}
    own = Engine(handlers, engine.timing, engine._stored)
    verdicts = {verdict.event: verdict for verdict in explain(own, facts_of(own, row)).events}
    assert (verdicts["move"].possible, verdicts["move"].why) == (False, "its guard raised ZeroDivisionError")
    assert verdicts["cancel"].why == "nobody asked for it"


def test_a_state_that_the_chart_does_not_have_is_told(engine: Engine, row: TransferRow) -> None:
    row.state = "dreaming"
    told = explain(engine, facts_of(engine, row))
    assert (told.description, told.events) == ("The present chart has no such state.", ())
    assert told.summary.startswith("the present chart has no state 'dreaming'; stager at there")


def test_what_is_told_of_another_chart_says_so(engine: Engine, row: TransferRow) -> None:
    present, row.chart = row.chart, "0123456789abcdef"
    told = explain(engine, facts_of(engine, row))
    assert (told.chart, told.summary.partition("; ")[0]) == (
        "0123456789abcdef",
        f"it is under the chart 0123456789abcdef, and what is said here is of the chart {present}",
    )


@pytest.mark.parametrize(
    ("changes", "stands"),
    [
        ({"state": "pending", "submitted": 0}, "waits to be handed over, due now"),
        ({"state": "pending", "due_at": None}, "waits to be handed over, which nothing would wake"),
        ({"state": "pending", "losses": 1, "due_at": NOW + 9}, "waits for attempt 1 of 5, due in 9 s"),
        ({"state": "submitting", "changed_at": NOW - 9}, "was handed over 9 s ago and has no answer yet"),
        ({"state": "running", "due_at": NOW - 40}, "is running, was due 40 s ago: its provider has not answered"),
        (
            {"state": "running", "due_at": NOW + 9, "files_transferred": 3},
            "is running (3 files so far), asked again in 9 s",
        ),
        ({"state": "suspended", "message": "Quota."}, "was suspended by its provider just now; last heard: Quota"),
        ({"state": "failed", "message": "no drive"}, "failed for good: no drive"),
        ({"state": "canceled"}, "was stopped"),
        ({"state": "resting"}, "is resting"),
    ],
)
def test_how_an_operation_stands_in_a_sentence(
    engine: Engine, row: TransferRow, changes: dict[str, Any], stands: str
) -> None:
    for name, value in changes.items():
        setattr(survey(row), name, value)
    told = explain(engine, facts_of(engine, row, scheduled=True))
    why = next(verdict.why for verdict in told.events if verdict.event == "move")
    assert why == f"stager at there {stands}"


def test_only_an_operation_that_can_tell_of_progress_is_said_to_make_none(engine: Engine, row: TransferRow) -> None:
    row.state = survey(row).phase = "active"
    survey(row).state, survey(row).kind, survey(row).due_at = "running", "move", NOW
    survey(row).progressed_at, survey(row).files_transferred = NOW - 7200, 1
    assert whys(explain(engine, facts_of(engine, row, num_to_move={"there": 9})).events)["finalize finalizing"] == (
        "move at there is running (1 of 9 files) without progress for 2 h, asked again now"
    )
    survey(row).kind, row.files_transferred = "stage", 4
    assert whys(explain(engine, facts_of(engine, row, num_to_move={"there": 9})).events)["finalize finalizing"] == (
        "stage at there is running (1 file so far), asked again now"
    )
    survey(row).kind = "move"
    told = explain(engine, facts_of(engine, row, num_to_move={"there": 9})).summary
    assert told == "move at there is running (1 file so far) without progress for 2 h, asked again now"


def test_of_many_operations_the_first_are_told_and_the_others_counted(engine: Engine, row: TransferRow) -> None:
    for number in range(5):
        wish = OperationRequest(handler="x", kind="x", endpoint=f"disk {number}")
        engine.operations.begin(Change(transfer=row), wish, NOW)
    told = explain(engine, facts_of(engine, row))
    assert told.summary.endswith("x at disk 1 waits to be handed over, due now; and 3 more")
    assert len(told.live_operations) == 6


def test_a_deadline_that_passed_and_was_not_noticed_is_told(engine: Engine, row: TransferRow) -> None:
    row.due_at = row.deadline_at = NOW - 100
    assert "its deadline passed" not in explain(engine, facts_of(engine, row, scheduled=True)).summary
    row.due_at = row.deadline_at = NOW - 600
    told = explain(engine, facts_of(engine, row, scheduled=True))
    assert told.summary.endswith("its deadline passed 10 min ago, and its scheduler has not looked at it since")
