"""``dts-fsm store``: backup, check, upgrade and vacuum."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from dts_fsm.cli.arguments import FilePath
from dts_fsm.cli.options import Place, json_option, place_options
from dts_fsm.cli.shown import count, emit_json, printable, size
from dts_fsm.orchestrator import Orchestrator
from dts_fsm.statechart import CHARTS, load_chart, load_chart_file
from dts_fsm.store import SqliteStore, maintenance
from dts_fsm.store.upgrade import Fate, plan


@click.group()
def store() -> None:
    """Look after a store's file."""


@store.command()
@place_options
@click.argument("target", type=FilePath(path_type=Path))
def backup(place: Place, target: Path) -> None:
    """Write a verified copy of the store to TARGET, which must not exist; a service may go on meanwhile."""
    maintenance.backup(place.store_file, target)
    click.echo(printable(f"{target}: {size(target.stat().st_size)}, verified"))


@store.command()
@place_options
@json_option
@click.pass_context
def check(ctx: click.Context, place: Place, as_json: bool) -> None:
    """Look for damage and for rows that contradict each other; nothing is changed.

    Exit status: 0 where nothing is wrong, 1 with findings.
    """
    findings = maintenance.check(place.store_file)
    if as_json:
        emit_json(findings)
    else:
        for finding in findings:
            click.echo(printable(finding))
        found = count(len(findings), "finding") if findings else "nothing is wrong"
        click.echo(printable(f"{place.store_file}: {found}"))
    ctx.exit(1 if findings else 0)


@store.command()
@place_options
@click.option("--plan", "planned", is_flag=True, help="Only say what would become of what, and change nothing.")
@click.option(
    "--chart",
    "files",
    multiple=True,
    type=FilePath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="With --plan: a chart that is to be used instead of the package's one of its name.",
)
@json_option
@click.pass_context
def upgrade(ctx: click.Context, place: Place, planned: bool, files: tuple[Path, ...], as_json: bool) -> None:
    """Let live transfers go on under changed statecharts; a service that starts does the same at first.

    Exit status: 0, or 1 where transfers are stranded: in a state that the charts neither have nor have a migration for,
    or have one that would begin work too early. Nothing is changed then.
    """
    if files and not planned:
        raise click.UsageError("--chart goes with --plan: a host hands its charts to its own orchestrator")
    charts = {name: load_chart(name) for name in CHARTS}
    for file in files:
        chart = load_chart_file(file)
        if chart.name not in charts:
            raise click.UsageError(f"{file}: the chart is called {chart.name!r}, not {' or '.join(CHARTS)}")
        charts[chart.name] = chart
    fates = plan(place.store_file, charts)
    stranded = any(fate.refused for fate in fates)
    if not planned and not stranded:
        with closing(SqliteStore(place.store_file, create=False)) as opened:
            Orchestrator(place.config, databases={}, endpoints={}, store=opened).upgrade()
    if as_json:
        emit_json(fates)
    else:
        for fate in fates:
            click.echo(printable(_sentence(fate)))
        click.echo(printable(f"{place.store_file}: {_verdict(fates, done=not planned)}"))
    ctx.exit(1 if stranded else 0)


_BECOMES = {
    "same": "the chart is the present one",
    "kept": "goes on in the state of this name",
    "mapped": "goes on in {target!r}{resumed}, as a migration says",
    "stranded": "STRANDED: the chart lacks that state, and a migration from {chart} for it",
    "early": "STRANDED: a migration leads to {begun!r}, whose work would begin before what must come first is done",
}


def _sentence(fate: Fate) -> str:
    resumed = f", to be resumed in {fate.suspended_from!r}," if fate.suspended_from else ""
    becomes = _BECOMES[fate.how].format(
        target=fate.target,
        resumed=f", to be resumed in {fate.resumed_in!r}" if fate.resumed_in else "",
        begun=fate.resumed_in or fate.target,
        chart=fate.chart,
    )
    return f"{fate.count:,} x {fate.machine} in {fate.state!r}{resumed} of chart {fate.chart}: {becomes}"


def _verdict(fates: Sequence[Fate], *, done: bool) -> str:
    if any(fate.refused for fate in fates):
        return "not all of it can go on; nothing was changed"
    if all(fate.how == "same" for fate in fates):
        return "nothing is to be done"
    return "upgraded" if done else "all of it can go on: start the service, or run this without --plan"


@store.command()
@place_options
def vacuum(place: Place) -> None:
    """Give the space of forgotten transfers back to the file system; refused while a service runs."""
    before_bytes, after_bytes = maintenance.vacuum(place.store_file)
    click.echo(printable(f"{place.store_file}: {size(before_bytes)} before, {size(after_bytes)} now"))
