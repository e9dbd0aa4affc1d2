"""The statecharts: drawn, and checked."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from uuid import UUID

import click

from dts_fsm.cli.arguments import ID, FilePath
from dts_fsm.cli.options import Place, json_option, optional_place_options
from dts_fsm.cli.shown import count, emit_json, printable
from dts_fsm.config import ServiceConfig
from dts_fsm.engine.guards import operation_guards, transfer_guards
from dts_fsm.errors import InvalidServiceConfigError, NotFoundError, StatechartError
from dts_fsm.records import HistoryRecord
from dts_fsm.statechart import CHARTS, Chart, chart_text, load_chart, load_chart_file, parse_chart
from dts_fsm.statechart import lint as lint_chart
from dts_fsm.statechart.diagrams import dot, mermaid

_DRAW = {"mermaid": mermaid, "dot": dot}

_CALLBACKS = ("stager.begin", "mover.begin", "manifestor.begin", "journal.record")
"""What a transfer's chart may name for ``enter``: see ``Engine``. An operation's chart has no callbacks."""


@click.command(short_help="Draw a statechart, and where a transfer is in it.")
@optional_place_options
@click.argument("chart", default="transfer")
@click.option("--format", "form", type=click.Choice(list(_DRAW)), default="mermaid", show_default=True)
@click.option(
    "--transfer", "transfer_id", type=ID, metavar="ID", help="Mark where this transfer is, and the way it came."
)
@click.option(
    "--operation", "operation_id", type=ID, metavar="ID", help="The same for one of its operations (see explain)."
)
@click.option("--output", type=FilePath(dir_okay=False, path_type=Path), help="A file instead of standard output.")
def diagram(
    place: Place | None,
    chart: str,
    form: str,
    transfer_id: str | None,
    operation_id: str | None,
    output: Path | None,
) -> None:
    """Draw CHART: transfer (the default), operation, or a chart's file."""
    if operation_id is not None and transfer_id is None:
        raise click.UsageError("--operation needs --transfer: an operation belongs to one")
    drawn = load_chart("operation" if operation_id else chart) if chart in CHARTS else load_chart_file(chart)
    if transfer_id is None:
        text = _DRAW[form](drawn)
    elif place is None:
        raise click.UsageError("--transfer needs a store: give --data-dir or --config")
    else:
        if drawn.name == "operation" and operation_id is None:
            raise click.UsageError("--operation says which of the transfer's operations to draw; explain lists them")
        steps = _steps(place, transfer_id, operation_id)
        path = [(step.source, step.event, step.target) for step in steps]
        text = _DRAW[form](drawn, current=steps[-1].target, path=path)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def _steps(place: Place, transfer_id: str, operation_id: str | None) -> list[HistoryRecord]:
    with place.opened() as dts:
        records = dts.history(transfer_id)
    try:
        wanted = None if operation_id is None else UUID(operation_id)
    except ValueError:
        raise NotFoundError(f"{operation_id!r} is not the id of an operation") from None
    steps = [record for record in records if record.operation_id == wanted]
    if not steps:
        raise NotFoundError(f"the transfer {transfer_id} has no operation {operation_id}")
    return steps


@click.command(short_help="Check statecharts.")
@click.argument("files", nargs=-1, type=FilePath(path_type=Path))
@json_option
@click.pass_context
def lint(ctx: click.Context, files: tuple[Path, ...], as_json: bool) -> None:
    """Check the charts of FILES, or the package's own: their structure, and that all they name is on offer.

    Exit status: 0 where nothing is wrong, 1 with findings.
    """
    findings: list[str] = []
    if files:
        for file in files:
            findings += _findings_of_file(file)
    else:
        for name in CHARTS:
            findings += _findings(chart_text(name), f"{name}.toml")
    if as_json:
        emit_json(findings)
    else:
        for finding in findings:
            click.echo(printable(finding))
        checked = count(len(files) or len(CHARTS), "chart")
        click.echo(f"{checked} checked, {count(len(findings), 'finding') if findings else 'nothing is wrong'}")
    ctx.exit(1 if findings else 0)


def _findings_of_file(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        return [f"{file}: it cannot be read: {getattr(error, 'strerror', None) or error}"]
    return _findings(text, str(file))


def _findings(text: str, file: str) -> list[str]:
    try:
        chart = parse_chart(text, file=file)
    except StatechartError as error:
        return list(error.findings) or [str(error)]
    callbacks, guards = _offers(chart)
    return [*lint_chart(chart, callbacks=callbacks, guards=guards), *_unknown_deadlines(chart, file)]


def _offers(chart: Chart) -> tuple[Collection[str], Collection[str]]:
    """The callbacks and guards that the engine has for a chart of this name; any other stands for a transfer's."""
    if chart.name == "operation":
        return (), operation_guards(1)
    return _CALLBACKS, transfer_guards(keep=False)


def _unknown_deadlines(chart: Chart, file: str) -> list[str]:
    settings = ServiceConfig(data_dir=Path())
    found = []
    for state in chart.states:
        try:
            settings.deadline_s(state.deadline)
        except InvalidServiceConfigError as error:
            found.append(f"{file}: state {state.name!r}: {error}")
    return found
