"""``dts-fsm store upgrade``: what would become of a store's transfers under other charts, and doing it."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result

from dts_fsm.cli.main import main
from dts_fsm.statechart import MigrationDef, load_chart
from dts_fsm.statechart.writer import chart_to_toml
from dts_fsm.store import SqliteStore
from dts_fsm.testing import Rig

TRANSFER = load_chart("transfer")
FORMER = attrs.evolve(TRANSFER, transitions=TRANSFER.transitions[::-1])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store's folder, with a transfer that is active under a former chart."""
    rig = Rig(tmp_path, transfer_chart=FORMER)
    rig.source.add("a", 10)
    rig.source_endpoint.duration_s = 1e6
    rig.create("a")
    rig.tick(10)
    rig.close()
    return tmp_path


def living(folder: Path) -> set[str]:
    told = json.loads(run("store", "upgrade", "--plan", "--json", "--data-dir", folder).stdout)
    return {fate["how"] for fate in told if fate["machine"] == "transfer"}


def test_a_plan_changes_nothing_and_an_upgrade_does_what_it_said(folder: Path) -> None:
    place = ("--data-dir", folder)
    for _ in range(2):
        planned = run("store", "upgrade", "--plan", *place)
        assert (planned.exit_code, planned.stdout.splitlines()) == (
            0,
            [
                f"1 x transfer in 'active' of chart {FORMER.fingerprint}: goes on in the state of this name",
                f"1 x operation in 'running' of chart {load_chart('operation').fingerprint}: "
                "the chart is the present one",
                f"{folder / 'dts.db'}: all of it can go on: start the service, or run this without --plan",
            ],
        )
    done = run("store", "upgrade", *place)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, f"{folder / 'dts.db'}: upgraded")
    assert living(folder) == {"same"}
    again = run("store", "upgrade", *place)
    assert again.stdout.splitlines()[-1] == f"{folder / 'dts.db'}: nothing is to be done"


def test_a_stranded_transfer_is_an_error_that_names_it_and_nothing_is_changed(folder: Path) -> None:
    rig = Rig(folder, transfer_chart=FORMER)
    with rig.store._connections.transaction() as db:
        db.execute("UPDATE transfers SET state = 'teleporting'")
    rig.close()
    for options in ((), ("--plan",)):
        refused = run("store", "upgrade", *options, "--data-dir", folder)
        stranded, *_, verdict = refused.stdout.splitlines()
        assert (refused.exit_code, verdict) == (1, f"{folder / 'dts.db'}: not all of it can go on; nothing was changed")
        assert stranded == (
            f"1 x transfer in 'teleporting' of chart {FORMER.fingerprint}: STRANDED: the chart lacks that state, "
            f"and a migration from {FORMER.fingerprint} for it"
        )
    assert living(folder) == {"stranded"}


def test_a_chart_that_is_to_come_can_be_planned_with_and_nothing_else(folder: Path) -> None:
    file = folder / "coming.toml"
    file.write_text(chart_to_toml(attrs.evolve(FORMER, file=None)), encoding="utf-8")
    place = ("--chart", file, "--data-dir", folder)
    told = json.loads(run("store", "upgrade", "--plan", "--json", *place).stdout)
    assert [(fate["machine"], fate["state"], fate["how"]) for fate in told] == [
        ("transfer", "active", "same"),
        ("operation", "running", "same"),
    ]
    assert run("store", "upgrade", *place).exit_code == 2
    file.write_text(chart_to_toml(attrs.evolve(FORMER, name="door", file=None)), encoding="utf-8")
    refused = run("store", "upgrade", "--plan", *place)
    assert (refused.exit_code, "the chart is called 'door'" in refused.stderr) == (2, True)


def test_a_plan_says_where_work_would_begin_too_early_and_where_what_is_suspended_is_resumed(folder: Path) -> None:
    file = folder / "coming.toml"
    suspended = "1 x transfer in 'inactive', to be resumed in 'active',"

    def planned(**states: str) -> tuple[int, str]:
        description = "Simpler, and for this test."
        migrations = (MigrationDef(fingerprint=FORMER.fingerprint, states=states, description=description),)
        file.write_text(chart_to_toml(attrs.evolve(TRANSFER, migrations=migrations, file=None)), encoding="utf-8")
        told = run("store", "upgrade", "--plan", "--chart", file, "--data-dir", folder)
        return told.exit_code, told.stdout.splitlines()[0].replace(f" of chart {FORMER.fingerprint}", "")

    early = "STRANDED: a migration leads to 'finalizing', whose work would begin before what must come first is done"
    assert planned(active="finalizing") == (1, f"1 x transfer in 'active': {early}")
    with closing(SqliteStore(folder / "dts.db")) as store, store._connections.transaction() as db:
        db.execute("UPDATE transfers SET state = 'inactive', suspended_from = 'active'")
    assert planned(active="finalizing") == (1, f"{suspended}: {early}")
    kept = "goes on in 'inactive', to be resumed in 'staging', as a migration says"
    assert planned(active="staging") == (0, f"{suspended}: {kept}")
    assert planned(inactive="unknown") == (0, f"{suspended}: goes on in 'active', as a migration says")


def test_without_a_store_there_is_nothing_to_upgrade(tmp_path: Path) -> None:
    refused = run("store", "upgrade", "--data-dir", tmp_path)
    assert (refused.exit_code, list(tmp_path.iterdir())) == (1, [])
