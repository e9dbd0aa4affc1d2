"""Changed charts under a real installation: the scheduler's thread, local endpoints, and processes that are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from concurrent.futures import Executor, Future
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import attrs
import pytest

from dts_fsm import Config, Orchestrator, Specification, User
from dts_fsm.databases.scan import update_catalog
from dts_fsm.errors import StoreChartError
from dts_fsm.statechart import Chart, GuardDef, lint, replay
from dts_fsm.store import TransferRow, maintenance
from dts_fsm.store.upgrade import plan
from dts_fsm.testing import Rig
from tests.acceptance.conftest import DEADLINE_S, ROOT, until
from tests.charts import OPERATION, OTHER_ORDER, TRANSFER, migration, without

ADA = User(name="Ada", orcid="0000-0002-1825-0097")
ON_DISK, ON_TAPE = ("disk-1", "disk-2"), ("tape-1", "tape-2")
NEVER_STAGING = without(TRANSFER, "staging")
"""A former chart, in which a transfer is "unknown" until its files are there."""


def cleared(row: TransferRow) -> bool:
    """The guard of a host: every move has succeeded, and there are few files."""
    return row.num_files < 100 and all(op.state == "succeeded" for op in row.operations if op.phase == "active")


def guarded(chart: Chart) -> Chart:
    """The chart with the host's guard where the package's own has been."""
    changed = attrs.evolve(
        chart,
        guards=tuple(
            GuardDef(name="cleared", description="every move succeeded, of few files")
            if guard.name == "moves_succeeded"
            else guard
            for guard in chart.guards
        ),
        transitions=tuple(
            attrs.evolve(t, guard="cleared") if t.guard == "moves_succeeded" else t for t in chart.transitions
        ),
    )
    assert [finding.code for finding in lint(changed) if finding.code not in ("SC015", "SC016")] == []
    return changed


class Idle(Executor):
    """Takes work, and never begins it."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return Future()


class Site:
    """A source with files on disk and files that come from an archive, and a destination."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, folder / "state" / "dts.db"
        for name in ("disk", "archive", "delivered"):
            (folder / name).mkdir()
        for number, name in enumerate((*ON_DISK, *ON_TAPE), start=1):
            (folder / "archive" / name).write_bytes(name.encode() * 1000 * number)
        update_catalog(folder / "archive")
        (folder / "archive" / "datapackage.json").rename(folder / "disk" / "datapackage.json")
        for name in ON_DISK:
            (folder / "disk" / name).write_bytes((folder / "archive" / name).read_bytes())

    def orchestrator(self, chart: Chart, *, quick: bool, **parts: Any) -> Orchestrator:
        """Give one that runs under this chart.

        Args:
            quick: False where neither staging nor moving shall come to an end.
        """
        file = self.folder / "dts.yaml"
        file.write_text(
            f"""
service: {{endpoint: outbox, data_dir: {self.folder}/state, manifest_dir: {self.folder}/state, poll_interval: 50}}
endpoints:
  disk: {{provider: local, root: {self.folder}/disk}}
  delivered: {{provider: local, root: {self.folder}/delivered}}
  outbox: {{provider: local, root: {self.folder}}}
databases:
  genomes: {{endpoint: disk, archive: {self.folder}/archive, staging_delay: {0 if quick else 600}}}
  lab: {{endpoint: delivered}}
"""
        )
        executor = None if quick else Idle()
        return Orchestrator(Config.load(file), charts={"transfer": chart}, executor=executor, **parts)

    def in_each_state(self, chart: Chart) -> dict[str, tuple[UUID, str]]:
        """Transfers that wait under this chart, each with its file, by their states."""
        found = {}
        with self.orchestrator(chart, quick=False) as dts:
            for state, name in (("active", "disk-1"), ("staging", "tape-1"), ("inactive", "tape-2")):
                found[state] = create(dts, name), name
            dts_becomes(dts, found["active"][0], "active")
            dts_becomes(dts, found["staging"][0], "staging")
            dts_becomes(dts, found["inactive"][0], "staging")
            dts.suspend(found["inactive"][0], ADA.orcid)
            dts_becomes(dts, found["inactive"][0], "inactive")
        late = self.orchestrator(chart, quick=False)
        late.start(schedule=False)
        found["unknown"] = create(late, "disk-2"), "disk-2"
        late.stop()
        return found

    def dump(self) -> str:
        """Everything in the store but who leads it."""
        with closing(sqlite3.connect(self.store)) as db:
            return "\n".join(line for line in db.iterdump() if "lease" not in line)

    def check_arrived(self, dts: Orchestrator, chart: Chart, transfer_id: UUID, name: str) -> None:
        status = dts.wait(transfer_id, timeout_s=DEADLINE_S)
        assert (status.code, status.num_files_transferred) == ("succeeded", 1)
        arrived = self.folder / "delivered" / ADA.orcid / f"dts-{transfer_id}" / name
        assert arrived.read_bytes() == (self.folder / "archive" / name).read_bytes()
        states = replay(dts.history(transfer_id), transfer_chart=chart)
        assert (states.states[None], states.departures) == ("succeeded", ())


def create(dts: Orchestrator, name: str) -> UUID:
    return dts.create(Specification(source="genomes", destination="lab", file_ids=[name], user=ADA))


def dts_becomes(dts: Orchestrator, transfer_id: UUID, code: str) -> None:
    until(lambda: dts.status(transfer_id).code == code, f"{transfer_id} is {code}")


def upgrades(dts: Orchestrator, transfer_id: UUID) -> list[tuple[str, str, str]]:
    found = [step for step in dts.history(transfer_id) if (step.event, step.machine) == ("upgrade", "transfer")]
    return [(step.source, step.target, step.message) for step in found]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_transfers_end_well_under_a_chart_without_one_of_their_states_and_with_a_guard_of_the_host(site: Site) -> None:
    found = site.in_each_state(TRANSFER)
    changed = guarded(without(TRANSFER, "inactive", migration(TRANSFER, inactive="active")))
    told = {one.state: one.how for one in plan(site.store, {"transfer": changed, "operation": OPERATION})}
    assert [told[state] for state in ("active", "staging", "unknown", "inactive")] == [*["kept"] * 3, "mapped"]
    handlers: Any = {"host": SimpleNamespace(guards={"cleared": cleared})}
    with site.orchestrator(changed, quick=True, handlers=handlers) as dts:
        for state, (transfer_id, name) in found.items():
            site.check_arrived(dts, changed, transfer_id, name)
            target = "staging" if state == "inactive" else state
            message = f"from chart {TRANSFER.fingerprint} to {changed.fingerprint}"
            assert upgrades(dts, transfer_id) == [(state, target, message)]
    assert maintenance.check(site.store) == []


def test_a_state_that_is_split_in_two_sends_each_transfer_where_it_belongs(site: Site) -> None:
    with site.orchestrator(NEVER_STAGING, quick=False) as dts:
        transfer_id = create(dts, "tape-1")
        until(lambda: "succeed" in [step.event for step in dts.history(transfer_id)], "it is known where the file is")
        assert dts.status(transfer_id).code == "unknown"
    with site.orchestrator(TRANSFER, quick=True) as dts:
        site.check_arrived(dts, TRANSFER, transfer_id, "tape-1")
        walked = [step.target for step in dts.history(transfer_id) if step.machine == "transfer"]
    assert walked == ["unknown", "unknown", "staging", "active", "finalizing", "succeeded"]


def test_a_store_that_is_several_charts_behind_goes_on_under_the_one_that_knows_them_all(site: Site) -> None:
    middle = attrs.evolve(OTHER_ORDER, ignored={})
    found = site.in_each_state(TRANSFER)
    site.orchestrator(middle, quick=False).upgrade()
    late = site.orchestrator(TRANSFER, quick=False)
    late.start(schedule=False)
    found["late"] = create(late, "disk-1"), "disk-1"
    late.stop()
    known = (migration(TRANSFER, inactive="active"), migration(middle, inactive="unknown"))
    changed = without(TRANSFER, "inactive", *known)
    former = {one.chart for one in plan(site.store, {"transfer": changed, "operation": OPERATION})}
    assert former == {TRANSFER.fingerprint, middle.fingerprint, OPERATION.fingerprint}
    with site.orchestrator(changed, quick=True) as dts:
        for state, (transfer_id, name) in found.items():
            site.check_arrived(dts, changed, transfer_id, name)
            assert len(upgrades(dts, transfer_id)) == (1 if state == "late" else 2)


def test_a_refused_start_leaves_the_store_as_it_is_and_the_former_chart_goes_on(site: Site) -> None:
    found = site.in_each_state(TRANSFER)
    before = site.dump()
    refused = site.orchestrator(without(TRANSFER, "inactive"), quick=True)
    for attempt in (refused.start, refused.upgrade):
        with pytest.raises(StoreChartError, match=f"'inactive' .made under the chart {TRANSFER.fingerprint}"):
            attempt()
        assert site.dump() == before
    with site.orchestrator(TRANSFER, quick=True) as dts:
        dts.resume(found["inactive"][0], ADA.orcid)
        for transfer_id, name in found.values():
            site.check_arrived(dts, TRANSFER, transfer_id, name)
            assert upgrades(dts, transfer_id) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from dts_fsm import scheduler
from dts_fsm.store import SqliteStore, sqlite
from dts_fsm.testing import Rig
from tests.charts import OTHER_ORDER

scheduler._CLAIM = 1
number, when = int(sys.argv[2]), sys.argv[3]
rig = Rig(Path(sys.argv[1]), transfer_chart=OTHER_ORDER)
write, commit, done = sqlite.write, SqliteStore.commit, []

def killing(*arguments):
    write(*arguments)
    if arguments[1]:
        done.append(1)
        if when == "before" and len(done) == number:
            os.kill(os.getpid(), signal.SIGKILL)

def committing(*arguments):
    commit(*arguments)
    if arguments[1] and when == "after" and len(done) == number:
        os.kill(os.getpid(), signal.SIGKILL)

sqlite.write, SqliteStore.commit = killing, committing
rig.scheduler.lead()
"""
"""Carries over one transfer at a time, and is killed before or after a commit."""


@pytest.mark.parametrize(("number", "when", "carried"), [(1, "before", 0), (2, "before", 1), (3, "after", 3)])
def test_a_process_that_is_killed_while_it_carries_over_leaves_each_transfer_whole_to_the_next(
    tmp_path: Path, number: int, when: str, carried: int
) -> None:
    rig = Rig(tmp_path)
    for name in ("a", "b", "c", "d"):
        rig.source.add(name, 10)
    found = [rig.create(name) for name in ("a", "b", "c", "d")]
    rig.tick(2)
    rig.close()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(number), when],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (killed.returncode, killed.stderr) == (-signal.SIGKILL, "")
    with closing(sqlite3.connect(rig.store.path)) as db:
        charts = Counter(chart for (chart,) in db.execute("SELECT chart FROM transfers"))
        known = "SELECT count(DISTINCT transfer) FROM history WHERE event = 'upgrade'"
        assert db.execute(known).fetchone() == (carried,)
    assert charts == Counter({OTHER_ORDER.fingerprint: carried, TRANSFER.fingerprint: 4 - carried})
    assert maintenance.check(rig.store.path) == []
    rig.clock.advance(10 * rig.config.service.lease_time_s)
    rig.transfer_chart = OTHER_ORDER
    rig.reopen()
    assert {rig.run(transfer_id).code.value for transfer_id in found} == {"succeeded"}
    for transfer_id in found:
        history = rig.store.history(transfer_id)
        assert [step.event for step in history if step.machine == "transfer"].count("upgrade") == 1
        assert replay(history, transfer_chart=OTHER_ORDER).departures == ()
    rig.close()
