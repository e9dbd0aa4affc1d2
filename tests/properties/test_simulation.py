"""The simulation holds for many seeds, does the same for the same seed, and finds what is wrong when something is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest

from dts_fsm.engine import guards, transfers
from dts_fsm.engine.timing import Timing
from dts_fsm.handlers import Manifestor, Mover
from dts_fsm.handlers.places import Places
from dts_fsm.interfaces import Handler
from dts_fsm.records import Operation, OperationStatus
from dts_fsm.scheduler import Scheduler
from dts_fsm.store import Admission, Change, SqliteStore, TransferRow
from dts_fsm.store.lease import Lease
from dts_fsm.testing import FaultPlan, InvariantViolated, Simulation
from dts_fsm.testing.simulation import GUARANTEES, World
from dts_fsm.testing.simulation.__main__ import main

CHECKOUT = Path(__file__).parents[2]

MAX_SEEDS = 12
"""Within so many seeds each seeded defect is found."""


@pytest.fixture(autouse=True)
def _traces_go_to_a_folder_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


# What it says of the product


@pytest.mark.parametrize("seed", range(12))
def test_every_invariant_holds_whatever_goes_wrong(seed: int) -> None:
    report = Simulation(seed).run()
    # a creation without a key that a crash swallowed is not asked for again
    assert report.transfers == sum(report.ends.values()) >= 45


def test_without_faults_every_transfer_succeeds_unless_its_user_changes_their_mind() -> None:
    report = Simulation(1, transfers=20, faults=FaultPlan.none()).run()
    assert report.faults == {}
    assert set() == set(report.ends) - {"succeeded", "failed: canceled", "failed: deadline"}


# The same seed does the same


def test_the_same_seed_does_the_same_in_another_process() -> None:
    def told(hash_seed: str) -> str:
        command = [sys.executable, "-m", "dts_fsm.testing.simulation", "--seed", "3", "--transfers", "30"]
        done = subprocess.run(
            command,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=CHECKOUT,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    first = told("1")
    assert first == told("4711")
    assert Simulation(3, transfers=30).run().digest in first.splitlines()[-1]


def test_another_seed_does_something_else() -> None:
    reports = [Simulation(seed, transfers=5).run() for seed in range(3)]
    assert len({report.digest for report in reports}) == 3


# It finds what is wrong

Defect = Callable[[pytest.MonkeyPatch], None]


def a_mover_that_submits_under_a_fresh_id_each_time(patch: pytest.MonkeyPatch) -> None:
    submit = Mover.submit

    def fresh(self: Mover, operation: Operation) -> OperationStatus:
        return submit(self, attrs.evolve(operation, submission_id=uuid4()))

    patch.setattr(Mover, "submit", fresh)


def a_lease_that_no_commit_checks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lease, "keep", lambda self, db, now: None)


def a_leader_that_takes_the_lease_again_unawares(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Scheduler, "_keeps_office", lambda self, now: self._store.acquire_lease(now, 10.0))


def a_manifest_that_waits_for_no_file(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(guards, "_moves_succeeded", lambda row, keep: True)


def a_store_that_loses_a_commit(patch: pytest.MonkeyPatch) -> None:
    commit, left = SqliteStore.commit, [10]

    def losing(self: SqliteStore, changes: Sequence[Change], now: float) -> None:
        left[0] -= bool(changes)
        if left[0] != 0:
            commit(self, changes, now)

    patch.setattr(SqliteStore, "commit", losing)


def a_store_that_gives_ids_of_what_it_has_not_stored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SqliteStore, "create", lambda self, admissions: [one.change.transfer.id for one in admissions])


def a_store_that_forgets_keys(patch: pytest.MonkeyPatch) -> None:
    create = SqliteStore.create

    def keyless(self: SqliteStore, admissions: Sequence[Admission]) -> list[UUID]:
        return create(self, [attrs.evolve(admission, key=None) for admission in admissions])

    patch.setattr(SqliteStore, "create", keyless)


def a_scheduler_that_calls_before_it_commits(patch: pytest.MonkeyPatch) -> None:
    commit = Scheduler._commit

    def late(self: Any, changes: Sequence[Change], now: float) -> Sequence[Change]:
        self._calls.make([change.transfer for change in changes], now)
        self._calls.dispatcher.work()
        return commit(self, changes, now)

    patch.setattr(Scheduler, "_commit", late)


def a_guard_that_ignores_live_operations(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(guards, "_canceled", lambda row: row.wanted == guards.CANCEL)


def a_guard_that_resumes_without_being_asked(patch: pytest.MonkeyPatch) -> None:
    def resumed(row: TransferRow, state: str) -> bool:
        return row.suspended_from == state

    patch.setattr(guards, "_resumed", resumed)


def an_end_that_is_not_in_the_journal(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(transfers, "_record", lambda row: setattr(row, "completed_at", 1.0))


def deadlines_that_never_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Timing, "deadline_at", lambda self, setting, since: None)


def a_manifestor_that_believes_in_every_success(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Manifestor, "_believed", lambda self, operation: True)


def attempts_that_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    lost = transfers.OperationEngine._lost

    def uncounted(self: Any, change: Change, operation: Any, message: str, now: float) -> None:
        lost(self, change, operation, message, now)
        operation.losses -= 1

    patch.setattr(transfers.OperationEngine, "_lost", uncounted)


DEFECTS: Mapping[Defect, str] = {
    a_mover_that_submits_under_a_fresh_id_each_time: "a_submission_keeps_its_id",
    a_lease_that_no_commit_checks: "only_the_leader_writes",
    a_leader_that_takes_the_lease_again_unawares: "who_was_replaced_knows_it",
    a_manifest_that_waits_for_no_file: "a_manifest_appears_last",
    a_store_that_loses_a_commit: "what_was_committed_is_stored",
    a_store_that_gives_ids_of_what_it_has_not_stored: "no_transfer_whose_id_was_given_is_lost",
    a_store_that_forgets_keys: "a_key_belongs_to_one_transfer",
    a_scheduler_that_calls_before_it_commits: "the_intention_is_durable_before_the_call",
    a_guard_that_ignores_live_operations: "an_ended_transfer_has_no_live_operation",
    a_guard_that_resumes_without_being_asked: "only_a_request_lifts_a_suspension",
    an_end_that_is_not_in_the_journal: "the_journal_has_each_end_once",
    deadlines_that_never_pass: "everything_ends",
    a_manifestor_that_believes_in_every_success: "the_source_is_told_after_the_delivery",
    attempts_that_are_not_counted: "every_attempt_is_recorded",
}

PLANS: Mapping[Defect, FaultPlan] = {
    a_leader_that_takes_the_lease_again_unawares: FaultPlan(freeze=0.1),
    a_manifestor_that_believes_in_every_success: FaultPlan(lie=0.2),
}
"""For defects that only a fault shows which is rare otherwise."""


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_a_seeded_defect_is_found_and_its_invariant_named(defect: Defect, monkeypatch: pytest.MonkeyPatch) -> None:
    defect(monkeypatch)
    with pytest.raises(InvariantViolated) as caught:
        for seed in range(MAX_SEEDS):
            Simulation(seed, faults=PLANS.get(defect)).run()
    assert DEFECTS[defect] == caught.value.invariant


def test_a_failure_shows_the_seed_the_promise_the_end_of_the_trace_and_how_to_see_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_scheduler_that_calls_before_it_commits(monkeypatch)
    with pytest.raises(InvariantViolated) as caught:
        Simulation(5, transfers=20).run()
    error = caught.value
    again = "python -m dts_fsm.testing.simulation --seed 5 --transfers 20"
    for words in ("seed 5", "the_intention_is_durable_before_the_call", "effects happen exactly once", again):
        assert words in str(error)
    assert str(error).splitlines()[-1] == error.trace[-1]
    assert error.file.read_text(encoding="utf-8").splitlines()[-1] == error.trace[-1]


def test_every_promise_has_an_invariant_and_every_invariant_a_sentence() -> None:
    assert [len(GUARANTEES), sum(bool(invariants) for invariants in GUARANTEES.values())] == [11, 11]
    named = [invariant for invariants in GUARANTEES.values() for invariant in invariants]
    assert sorted({invariant.__name__ for invariant in named}) == sorted(invariant.__name__ for invariant in named)
    assert [invariant for invariant in named if not (invariant.__doc__ or "").endswith(".")] == []


# Hosts


class Stubborn(Mover):
    """A host's mover, which asks for nothing twice."""

    asked: int = 0

    def submit(self, operation: Operation) -> OperationStatus:
        Stubborn.asked += 1
        return super().submit(operation)


def test_a_host_simulates_its_own_handlers_in_its_own_installation() -> None:
    def installation(world: World) -> None:
        for name in ("here", "there"):
            world.add_endpoint(name)
        world.add_source("mine", "here")
        world.add_destination("theirs", "there")
        world.add_file("mine", "a", b"abc", endpoint="here")

    def handlers(places: Places) -> Mapping[str, Handler]:
        return {"mover": Stubborn(places)}

    report = Simulation(
        7, transfers=20, installation=installation, handlers=handlers, settings={"concurrency": 1}
    ).run()
    assert Stubborn.asked >= report.ends["succeeded"] > 0


# The command


def test_the_command_sums_up_what_happened(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "4", "--first", "20", "--transfers", "5", "--processes", "2"]) == 0
    shown = capsys.readouterr().out
    found = dict(line.rsplit(None, 1) for line in shown.splitlines() if line.startswith("  "))
    assert (found["  seeds"], found["  seeds that failed"]) == ("4", "0")


def test_the_command_shows_failures_and_says_so_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_scheduler_that_calls_before_it_commits(monkeypatch)
    assert main(["--seeds", "2", "--transfers", "10", "--processes", "1"]) == 1
    shown = capsys.readouterr().out
    assert "the_intention_is_durable_before_the_call" in shown
    assert shown.splitlines()[-1] == "failed: 0, 1"


def test_the_command_writes_the_trace_of_one_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "trace.txt"
    assert main(["--seed", "2", "--transfers", "3", "--trace", str(file)]) == 0
    assert f"{len(file.read_text(encoding='utf-8').splitlines())} lines" in capsys.readouterr().out
