"""Statecharts that change while transfers are under way: they go on under the new ones, or nothing is touched."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import permutations
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest

from dts_fsm import Config, Orchestrator, ServiceConfig
from dts_fsm.errors import AlreadyRunningError, StoreChartError, StoreError, TransientError
from dts_fsm.records import HistoryRecord, Transfer
from dts_fsm.statechart import Chart
from dts_fsm.store import SqliteStore
from dts_fsm.store.upgrade import plan, too_early
from dts_fsm.testing import Rig
from tests.charts import OPERATION, OTHER_ORDER, TRANSFER, migration, without

NEVER_INACTIVE = without(TRANSFER, "inactive")
"""A transfer's chart that knows no suspension."""


def under(rig: Rig, *, transfer: Chart | None = None, operation: Chart | None = None) -> None:
    """The process has ended, and one with these charts goes on."""
    rig.transfer_chart, rig.operation_chart = transfer or rig.transfer_chart, operation or rig.operation_chart
    rig.reopen()


def steps(rig: Rig, transfer_id: UUID, event: str = "upgrade") -> list[tuple[str, str, str, str]]:
    def of(record: HistoryRecord) -> tuple[str, str, str, str]:
        return record.machine, record.source, record.target, record.message

    return [of(record) for record in rig.store.history(transfer_id) if record.event == event]


def dump(rig: Rig) -> str:
    with closing(sqlite3.connect(rig.store.path)) as db:
        return "\n".join(line for line in db.iterdump() if "lease" not in line)


def charts_of(rig: Rig) -> set[tuple[str, str]]:
    """The fingerprints of all that was made, whether or not it has ended."""
    with closing(sqlite3.connect(rig.store.path)) as db:
        return set(
            db.execute("SELECT 'transfer', chart FROM transfers UNION SELECT 'operation', chart FROM operations")
        )


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    for name in "abc":
        rig.source.add(name, 10)
    rig.source.add("tape", 10, staged=False)
    yield rig
    rig.close()


def in_every_state(rig: Rig) -> dict[str, UUID]:
    """Transfers in each live state, by its name."""
    rig.source_endpoint.duration_s, rig.source.staging_duration_s = 1e4, 1e4
    found = {"active": rig.create("a"), "staging": rig.create("tape"), "inactive": rig.create("b")}
    rig.tick(10)
    rig.store.request(found["inactive"], "suspend", rig.clock.time())
    rig.tick(10)
    found["unknown"] = rig.create("c")
    assert {name: rig.store.status(id_).code.value for name, id_ in found.items()} == {name: name for name in found}
    return found


def test_transfers_in_states_that_a_changed_chart_has_as_well_go_on_and_their_history_says_so(rig: Rig) -> None:
    found = in_every_state(rig)
    under(rig, transfer=OTHER_ORDER)
    rig.scheduler.lead()
    message = f"from chart {TRANSFER.fingerprint} to {OTHER_ORDER.fingerprint}"
    for name, transfer_id in found.items():
        assert steps(rig, transfer_id) == [("transfer", name, name, message)]
    rig.store.request(found["inactive"], "resume", rig.clock.time())
    rig.source_endpoint.duration_s = rig.source.staging_duration_s = 0.0
    rig.clock.advance(2e4)  # what was begun before has its old duration
    assert {rig.run(transfer_id).code.value for transfer_id in found.values()} == {"succeeded"}
    assert charts_of(rig) == {("transfer", OTHER_ORDER.fingerprint), ("operation", OPERATION.fingerprint)}


def test_carrying_over_again_changes_nothing(rig: Rig) -> None:
    in_every_state(rig)
    under(rig, transfer=OTHER_ORDER)
    rig.scheduler.lead()
    before = dump(rig)
    under(rig)
    rig.scheduler.lead()
    assert dump(rig) == before


def test_a_state_that_is_gone_is_left_as_a_migration_says_and_the_work_begins_there(rig: Rig) -> None:
    found = in_every_state(rig)
    changed = without(TRANSFER, "inactive", migration(TRANSFER, inactive="active"))
    under(rig, transfer=changed)
    rig.scheduler.lead()
    message = f"from chart {TRANSFER.fingerprint} to {changed.fingerprint}"
    assert steps(rig, found["inactive"]) == [("transfer", "inactive", "active", message)]
    status = rig.store.status(found["inactive"])
    assert (status.code, status.message) == ("active", changed.state("active").description)
    rig.source_endpoint.duration_s = rig.source.staging_duration_s = 0.0
    rig.clock.advance(2e4)  # what was begun before has its old duration
    assert {rig.run(transfer_id).code.value for transfer_id in found.values()} == {"succeeded"}
    assert len(rig.source_endpoint.submissions) > 0


@pytest.mark.parametrize(
    "changed", [NEVER_INACTIVE, without(TRANSFER, "inactive", migration(OTHER_ORDER, inactive="active"))]
)
def test_a_stranded_state_is_refused_and_nothing_is_changed(rig: Rig, changed: Chart) -> None:
    in_every_state(rig)
    before = dump(rig)
    under(rig, transfer=changed)
    with pytest.raises(StoreChartError, match=rf"'inactive' \(made under the chart {TRANSFER.fingerprint}\)"):
        rig.scheduler.lead()
    assert dump(rig) == before
    under(rig, transfer=TRANSFER)
    rig.scheduler.lead()
    assert dump(rig) == before


def test_a_state_that_is_only_to_be_resumed_in_must_not_be_stranded_either(rig: Rig) -> None:
    in_every_state(rig)
    rig.store.request(rig.create("a"), "cancel", rig.clock.time())
    changed = without(TRANSFER, "staging")
    with rig.store._connections.transaction() as db:
        db.execute("UPDATE transfers SET suspended_from = 'staging' WHERE state = 'inactive'")
        db.execute("UPDATE transfers SET state = 'active' WHERE state = 'staging'")
    under(rig, transfer=changed)
    with pytest.raises(StoreChartError, match="transfer in state 'staging'"):
        rig.scheduler.lead()


def test_what_another_process_creates_under_the_former_chart_is_carried_over_when_it_is_due(rig: Rig) -> None:
    under(rig, transfer=OTHER_ORDER)
    rig.tick(1)
    late = Rig(rig.store.path.parent, clock=rig.clock)
    late.source.add("late", 10)
    transfer_id = late.create("late")
    late.close()
    rig.source.add("late", 10)
    assert rig.run(transfer_id).code == "succeeded"
    message = f"from chart {TRANSFER.fingerprint} to {OTHER_ORDER.fingerprint}"
    assert steps(rig, transfer_id) == [("transfer", "unknown", "unknown", message)]


def test_operations_go_on_under_a_changed_chart_of_theirs(rig: Rig) -> None:
    rig.source_endpoint.duration_s = 1e4
    transfer_id = rig.create("a")
    rig.tick(10)
    rig.source_endpoint.pause(rig.source_endpoint.unfinished()[-1])
    rig.clock.advance(rig.config.service.poll_interval_s)
    rig.tick(10)
    moved = rig.store.operations(rig.store.rowid(transfer_id))[-1]
    assert moved.state == "suspended"
    changed = without(OPERATION, "suspended", migration(OPERATION, suspended="running"))
    under(rig, operation=changed)
    rig.scheduler.lead()
    message = f"from chart {OPERATION.fingerprint} to {changed.fingerprint}"
    assert steps(rig, transfer_id) == [("move", "suspended", "running", message)]
    rig.source_endpoint.duration_s = 0.0
    assert rig.run(transfer_id).code == "succeeded"


def test_a_deadline_that_the_former_chart_did_not_have_holds_from_the_state_s_beginning(rig: Rig) -> None:
    patient = attrs.evolve(TRANSFER, states=tuple(attrs.evolve(state, deadline=None) for state in TRANSFER.states))
    patient = attrs.evolve(patient, transitions=OTHER_ORDER.transitions)
    under(rig, transfer=patient)
    rig.source.staging_duration_s = 1e9
    transfer_id = rig.create("tape")
    rig.tick(10)
    rig.clock.advance(0.9 * (limit_s := rig.config.service.staging_deadline_s))
    under(rig, transfer=TRANSFER)
    rig.tick(10)
    assert rig.store.status(transfer_id).code == "staging"
    rig.clock.advance(0.2 * limit_s)
    status = rig.run(transfer_id)
    assert (status.code, status.reason) == ("failed", "deadline")


def test_a_process_that_ends_half_way_leaves_the_rest_to_the_next(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    found = in_every_state(rig)
    under(rig, transfer=OTHER_ORDER)
    monkeypatch.setattr("dts_fsm.scheduler._CLAIM", 1)
    commit, calls = rig.store.commit, iter(range(100))

    def failing(changes: Any, now: float) -> None:
        if changes and next(calls) == 2:
            raise StoreError("the power is gone")
        commit(changes, now)

    monkeypatch.setattr(rig.store, "commit", failing)
    with pytest.raises(StoreError, match="the power is gone"):
        rig.scheduler.lead()
    assert sum(len(steps(rig, transfer_id)) for transfer_id in found.values()) == 2
    under(rig)
    rig.scheduler.lead()
    assert [len(steps(rig, transfer_id)) for transfer_id in found.values()] == [1, 1, 1, 1]


def test_a_plan_counts_what_becomes_of_each_state(rig: Rig) -> None:
    in_every_state(rig)
    changed = without(TRANSFER, "inactive", migration(TRANSFER, inactive="unknown"))

    def fates(chart: Chart) -> list[tuple[str, str, str | None, str, int]]:
        found = plan(rig.store.path, {"transfer": chart, "operation": OPERATION})
        assert {one.how for one in found if one.machine == "operation"} == {"same"}
        assert {one.chart for one in found if one.machine == "transfer"} == {TRANSFER.fingerprint}
        return [
            (one.state, one.suspended_from, one.target, one.how, one.count)
            for one in found
            if one.machine == "transfer"
        ]

    assert fates(changed) == [
        ("active", "", "active", "kept", 1),
        ("inactive", "active", "active", "mapped", 1),
        ("staging", "", "staging", "kept", 1),
        ("unknown", "", "unknown", "kept", 1),
    ]
    assert fates(NEVER_INACTIVE)[1] == ("inactive", "active", None, "stranded", 1)
    assert {how for *_, how, _ in fates(TRANSFER)} == {"same"}
    without_staging = without(TRANSFER, "staging")
    with rig.store._connections.transaction() as db:
        db.execute("UPDATE transfers SET suspended_from = 'staging' WHERE state = 'inactive'")
    assert fates(without_staging)[1] == ("inactive", "staging", "inactive", "stranded", 1)


EARLY = [
    ("active", "finalizing"),  # a move is under way: the manifest would come before the files
    ("staging", "active"),  # files are on tape
    ("unknown", "active"),  # whether they are, is not known
    ("unknown", "finalizing"),
]


@pytest.mark.parametrize(("former", "target"), EARLY)
def test_a_migration_that_would_begin_work_too_early_is_refused_and_nothing_is_changed(
    rig: Rig, former: str, target: str
) -> None:
    found = in_every_state(rig)
    before = dump(rig)
    under(rig, transfer=attrs.evolve(OTHER_ORDER, migrations=(migration(TRANSFER, **{former: target}),)))
    with pytest.raises(StoreChartError, match=f"{found[former]} from '{former}' to '{target}', and the work that must"):
        rig.scheduler.lead()
    assert dump(rig) == before


def suspended(rig: Rig, file_id: str) -> UUID:
    transfer_id = rig.create(file_id)
    rig.tick(10)
    rig.store.request(transfer_id, "suspend", rig.clock.time())
    rig.tick(10)
    assert rig.store.status(transfer_id).code == "inactive"
    return transfer_id


@pytest.mark.parametrize(
    ("file_id", "former", "target"), [("tape", "staging", "active"), ("a", "active", "finalizing")]
)
def test_a_migration_by_which_a_suspended_transfer_would_go_on_too_early_is_refused_too(
    rig: Rig, file_id: str, former: str, target: str
) -> None:
    rig.source_endpoint.duration_s = rig.source.staging_duration_s = 1e4
    transfer_id = suspended(rig, file_id)
    before = dump(rig)
    under(rig, transfer=attrs.evolve(OTHER_ORDER, migrations=(migration(TRANSFER, **{former: target}),)))
    with pytest.raises(StoreChartError, match=f"{transfer_id} from '{former}' to '{target}', and the work that must"):
        rig.scheduler.lead()
    assert dump(rig) == before


LIVE_PAIRS = list(permutations(TRANSFER.live_states, 2))


@pytest.mark.parametrize(("former", "target"), LIVE_PAIRS)
def test_an_upgrade_does_what_the_plan_said_or_is_refused_where_the_plan_said_so(
    rig: Rig, former: str, target: str
) -> None:
    rig.source.add("other tape", 10, staged=False)
    rig.source_endpoint.duration_s, rig.source.staging_duration_s = 1e4, 1e4
    found = [suspended(rig, "other tape"), *in_every_state(rig).values()]
    changed = attrs.evolve(OTHER_ORDER, migrations=(migration(TRANSFER, **{former: target}),))
    fates = [
        one for one in plan(rig.store.path, {"transfer": changed, "operation": OPERATION}) if one.machine == "transfer"
    ]
    assert sum(one.count for one in fates) == len(found)
    before = dump(rig)
    under(rig, transfer=changed)
    if any(one.refused for one in fates):
        with pytest.raises(StoreChartError):
            rig.scheduler.lead()
        assert dump(rig) == before
        return
    rig.scheduler.lead()
    done = Counter(step[1:3] for transfer_id in found for step in steps(rig, transfer_id) if step[0] == "transfer")
    expected = Counter[tuple[str, str | None]]()
    for one in fates:
        expected[one.state, one.target] += one.count
    assert done == expected


def test_work_that_was_done_once_and_is_being_done_again_is_not_done_yet(rig: Rig) -> None:
    rowid = rig.store.rowid(in_every_state(rig)["active"])
    changed = attrs.evolve(OTHER_ORDER, migrations=(migration(TRANSFER, active="finalizing"),))
    row = rig.store.load([rowid])[rowid]
    again = row.operations[-1]
    assert (again.kind, again.state) == ("move", "running")
    first = attrs.evolve(again, state="succeeded", due_at=None)
    row.operations.insert(-1, first)
    assert too_early(changed, row, lambda: {"source"}) == "finalizing"
    row.operations.remove(again)
    assert too_early(changed, row, lambda: {"source"}) is None
    assert too_early(changed, row, lambda: {"source", "other source"}) == "finalizing"


def test_a_plan_tells_those_that_a_migration_leads_on_from_those_for_which_it_is_too_early(rig: Rig) -> None:
    rig.source_endpoint.duration_s = rig.source.staging_duration_s = 1e4
    for file_id in ("a", "b", "tape"):
        suspended(rig, file_id)
    changed = attrs.evolve(OTHER_ORDER, migrations=(migration(TRANSFER, inactive="unknown", staging="active"),))

    def fates(chart: Chart) -> list[tuple[str, str | None, str, str, int]]:
        found = plan(rig.store.path, {"transfer": chart, "operation": OPERATION})
        return [
            (one.suspended_from, one.target, one.resumed_in, one.how, one.count)
            for one in found
            if one.machine == "transfer"
        ]

    assert fates(changed) == [("active", "active", "", "mapped", 2), ("staging", "active", "", "early", 1)]
    changed = attrs.evolve(changed, migrations=(migration(TRANSFER, active="staging"),))
    assert fates(changed) == [
        ("active", "inactive", "staging", "mapped", 2),
        ("staging", "inactive", "staging", "kept", 1),
    ]
    with rig.store._connections.transaction() as db:
        db.execute("UPDATE transfers SET state = 'staging', suspended_from = '' WHERE suspended_from = 'active'")
    with rig.store._connections.transaction() as db:
        db.execute("UPDATE transfers SET state = 'staging', suspended_from = '' WHERE suspended_from = 'staging'")
    changed = attrs.evolve(changed, migrations=(migration(TRANSFER, staging="active"),))
    assert fates(changed) == [("", "active", "", "mapped", 2), ("", "active", "", "early", 1)]


@pytest.mark.parametrize(("former", "target"), [("active", "unknown"), ("staging", "unknown"), ("active", "staging")])
def test_a_migration_to_earlier_work_has_it_done_again(rig: Rig, former: str, target: str) -> None:
    found = in_every_state(rig)
    under(rig, transfer=attrs.evolve(OTHER_ORDER, migrations=(migration(TRANSFER, **{former: target}),)))
    rig.source_endpoint.duration_s = rig.source.staging_duration_s = 0.0
    rig.clock.advance(2e4)
    status = rig.run(found[former])
    assert (status.code, status.num_files_transferred) == ("succeeded", 1)


def test_a_transfer_that_was_suspended_while_its_files_were_staged_is_staged_on(rig: Rig) -> None:
    rig.source.staging_duration_s = 1e4
    transfer_id = rig.create("tape")
    rig.tick(10)
    rig.store.request(transfer_id, "suspend", rig.clock.time())
    rig.tick(10)
    assert rig.store.status(transfer_id).code == "inactive"
    changed = without(TRANSFER, "inactive", migration(TRANSFER, inactive="active"))
    under(rig, transfer=changed)
    rig.scheduler.lead()
    message = f"from chart {TRANSFER.fingerprint} to {changed.fingerprint}"
    assert steps(rig, transfer_id) == [("transfer", "inactive", "staging", message)]
    rig.source.staging_duration_s = 0.0
    rig.clock.advance(2e4)
    status = rig.run(transfer_id)
    assert (status.code, status.num_files_transferred) == ("succeeded", 1)


def test_a_suspension_that_had_begun_is_over_where_the_chart_has_none(rig: Rig) -> None:
    rig.source_endpoint.duration_s = 1e4
    transfer_id = rig.create("a")
    rig.tick(10)
    rig.calls.faults.add("cancel", TransientError("it does not answer"), 5)
    rig.store.request(transfer_id, "suspend", rig.clock.time())
    rig.tick(2)
    assert rig.store.status(transfer_id).code == "active"
    under(rig, transfer=without(TRANSFER, "inactive", migration(TRANSFER, inactive="active")))
    rig.source_endpoint.duration_s = 0.0
    for _ in range(100):
        rig.tick(5)
        rig.clock.advance(60.0)
        rig.scheduler.sweep()
    assert rig.store.status(transfer_id).code == "succeeded"


def test_what_was_asked_before_the_change_is_heard_while_it_is_carried_over(rig: Rig) -> None:
    rig.create("a")
    rig.tick(1)
    transfer_id = rig.create("b")
    rig.store.request(transfer_id, "cancel", rig.clock.time())
    under(rig, transfer=OTHER_ORDER)
    assert rig.run(transfer_id).reason == "canceled"
    assert [path for path in rig.destination_endpoint.files if path.endswith("/b")] == []


def test_a_handler_that_raises_meanwhile_delays_its_own_transfer_only_and_the_upgrade_says_so(rig: Rig) -> None:
    found = in_every_state(rig)
    changed = without(TRANSFER, "inactive", migration(TRANSFER, inactive="active"))
    mover, begin = rig.handlers["mover"], rig.handlers["mover"].begin
    raising = [ZeroDivisionError("not now")]

    def failing(transfer: Transfer) -> Any:
        if raising and "b" in transfer.specification.file_ids:
            raise raising.pop()
        return begin(transfer)

    mover.begin = failing  # type: ignore[method-assign]
    under(rig, transfer=changed)
    rig.scheduler.lead()
    assert [len(steps(rig, found[name])) for name in ("active", "staging", "inactive")] == [1, 1, 0]
    assert rig.store.outdated(changed.fingerprint, OPERATION.fingerprint, 0, 10) == [rig.store.rowid(found["inactive"])]
    rig.source_endpoint.duration_s = 0.0
    assert rig.run(found["inactive"], step_s=60.0).code == "succeeded"


def orchestrator(rig: Rig, **charts: Chart) -> Orchestrator:
    config = Config(service=ServiceConfig(data_dir=rig.store.path.parent, endpoint="source"))
    return Orchestrator(config, databases=rig.databases, endpoints=rig.endpoints, charts=charts, clock=rig.clock)


def test_an_orchestrator_upgrades_a_store_to_the_charts_that_it_is_given_and_does_nothing_else(rig: Rig) -> None:
    found = in_every_state(rig)
    rig.close()
    dts = orchestrator(rig, transfer=OTHER_ORDER)
    dts.upgrade()
    rig.reopen()
    assert {len(steps(rig, transfer_id)) for transfer_id in found.values()} == {1}
    assert rig.store.status(found["active"]).code == "active"


def test_an_upgrade_while_somebody_works_on_the_store_is_refused(rig: Rig) -> None:
    in_every_state(rig)
    rig.scheduler.lead()
    with pytest.raises(StoreError, match="another process carries out the store's transfers: stop it first"):
        orchestrator(rig, transfer=OTHER_ORDER).upgrade()
    rig.close()
    with orchestrator(rig) as dts, pytest.raises(AlreadyRunningError):
        dts.upgrade()


def test_a_new_store_has_nothing_that_is_outdated(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "new.db")) as store:
        assert store.outdated("a", "b", 0, 10) == []


def test_the_lease_is_renewed_while_much_is_carried_over(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    in_every_state(rig)
    under(rig, transfer=OTHER_ORDER)
    monkeypatch.setattr("dts_fsm.scheduler._CLAIM", 1)
    lease_time_s, load = rig.config.service.lease_time_s, rig.store.load

    left_s = []

    def slow(rowids: Any) -> Any:
        rig.clock.advance(0.6 * lease_time_s)
        with closing(sqlite3.connect(rig.store.path)) as db:
            left_s.append(db.execute("SELECT expires_at FROM lease").fetchone()[0] - rig.clock.time())
        return load(rowids)

    monkeypatch.setattr(rig.store, "load", slow)
    assert rig.scheduler.lead() is True
    assert len(left_s) == 8
    assert min(left_s) > 0
