"""The statecharts, drawn: as they are, with the way of one transfer, or with the numbers of all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args
from uuid import UUID

import click

from dts_fsm.cli.arguments import ID, FilePath
from dts_fsm.cli.options import Place, optional_place_options
from dts_fsm.cli.since import since_option
from dts_fsm.errors import NotFoundError
from dts_fsm.records import HistoryRecord
from dts_fsm.statechart import CHARTS, Chart, load_chart, load_chart_file
from dts_fsm.statechart.drawing import WRITERS, Overlay, Picture, Theme
from dts_fsm.statechart.drawing.overlays import fleet as in_numbers
from dts_fsm.statechart.drawing.overlays import walked
from dts_fsm.store.statistics import read_statistics


@click.command(short_help="Draw a statechart, and where a transfer is in it.")
@optional_place_options
@click.argument("chart", default="transfer")
@click.option("--format", "form", type=click.Choice(list(WRITERS)), default="mermaid", show_default=True)
@click.option(
    "--theme",
    type=click.Choice(get_args(Theme)),
    default="auto",
    show_default=True,
    help="Colours for light or dark pages; auto leaves it to the page.",
)
@click.option(
    "--transfer", "transfer_id", type=ID, metavar="ID", help="Mark where this transfer is, the way it came, and when."
)
@click.option(
    "--operation", "operation_id", type=ID, metavar="ID", help="The same for one of its operations (see explain)."
)
@click.option("--fleet", is_flag=True, help="Say how many transfers or operations are where, and for how long.")
@since_option
@click.option("--output", type=FilePath(dir_okay=False, path_type=Path), help="A file instead of standard output.")
def diagram(
    place: Place | None,
    chart: str,
    form: str,
    theme: Theme,
    transfer_id: str | None,
    operation_id: str | None,
    fleet: bool,
    since: datetime | None,
    output: Path | None,
) -> None:
    """Draw CHART: transfer (the default), operation, or a chart's file."""
    if fleet and transfer_id is not None:
        raise click.UsageError("--fleet is about all transfers, --transfer about one: give one of them")
    if since is not None and not fleet:
        raise click.UsageError("--since says what --fleet counts")
    if operation_id is not None and transfer_id is None:
        raise click.UsageError("--operation needs --transfer: an operation belongs to one")
    drawn = load_chart("operation" if operation_id else chart) if chart in CHARTS else load_chart_file(chart)
    overlay = None
    if transfer_id is not None:
        if place is None:
            raise click.UsageError("--transfer needs a store: give --data-dir or --config")
        if drawn.name == "operation" and operation_id is None:
            raise click.UsageError("--operation says which of the transfer's operations to draw; explain lists them")
        overlay = _way(drawn, place, transfer_id, operation_id)
    elif fleet:
        if place is None:
            raise click.UsageError("--fleet needs a store: give --data-dir or --config")
        overlay = in_numbers(drawn, read_statistics(place.store_file, since=since, now=time.time()))
    text = WRITERS[form](Picture.of(drawn, overlay), theme=theme)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def _way(chart: Chart, place: Place, transfer_id: str, operation_id: str | None) -> Overlay:
    return walked(chart, _steps(place, transfer_id, operation_id), now=datetime.now(UTC))


def _steps(place: Place, transfer_id: str, operation_id: str | None) -> Sequence[HistoryRecord]:
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
