"""``dts-fsm report``, one page on the whole installation, and ``dts-fsm gantt``, one transfer along the time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import UUID

import click

from dts_fsm.cli.arguments import ID, FilePath
from dts_fsm.cli.options import Place, json_option, place_options
from dts_fsm.cli.shown import emit_json
from dts_fsm.cli.since import since_option
from dts_fsm.errors import NotFoundError, StatechartError
from dts_fsm.orchestrator import Orchestrator
from dts_fsm.records import Explanation, TransferRecord
from dts_fsm.records.statistics import Statistics
from dts_fsm.report import Report, page
from dts_fsm.statechart import CHARTS, load_chart
from dts_fsm.statechart.drawing import Picture, svg
from dts_fsm.statechart.drawing.gantt import Gantt, gantt_mermaid, gantt_svg
from dts_fsm.statechart.drawing.overlays import fleet, walked
from dts_fsm.store.maintenance import is_scheduled
from dts_fsm.store.statistics import read_statistics

output_option = click.option(
    "--output", type=FilePath(dir_okay=False, path_type=Path), help="A file instead of standard output."
)


@click.command(short_help="Write one HTML page on all transfers.")
@place_options
@since_option
@click.option("--transfer", "transfer_id", type=ID, metavar="ID", help="Show this one in full, not the slowest.")
@output_option
@json_option
def report(place: Place, since: datetime | None, transfer_id: str | None, output: Path | None, as_json: bool) -> None:
    """Write a page on all transfers: how many are where and for how long, what fails, what waits and why.

    The page is HTML in one file, without scripts, that needs no network. Nothing is changed, and a service may go on
    meanwhile. Of a long history, --since reads only the end.
    """
    with place.opened() as dts:
        found = read_statistics(place.store_file, since=since, now=time.time())
        text = None if as_json else page(_report(place, dts, found, transfer_id))
    if text is None:
        emit_json(found)
    else:
        _write(text, output)


@click.command(short_help="Draw a transfer and its operations along the time.")
@place_options
@click.argument("transfer_id", metavar="ID", type=ID)
@click.option("--format", "form", type=click.Choice(["svg", "mermaid"]), default="svg", show_default=True)
@click.option(
    "--theme", type=click.Choice(["auto", "light", "dark"]), default="auto", show_default=True, help="Of SVG."
)
@output_option
def gantt(
    place: Place, transfer_id: str, form: str, theme: Literal["auto", "light", "dark"], output: Path | None
) -> None:
    """Draw in which state a transfer and each of its operations was, from when to when."""
    with place.opened() as dts:
        endpoints = {one.id: one.endpoint for one in dts.explain(transfer_id).operations}
        drawn = Gantt.of(dts.history(transfer_id), now=datetime.now(UTC), endpoints=endpoints)
    _write(gantt_svg(drawn, theme=theme) if form == "svg" else gantt_mermaid(drawn), output)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def _report(place: Place, dts: Orchestrator, found: Statistics, transfer_id: str | None) -> Report:
    explanations = (_explanation(dts, one.id) for one in found.waiting)
    record = _one(dts, found) if transfer_id is None else dts.transfer(transfer_id)
    history = dts.history(record.id) if record else []
    charts = {name: load_chart(name) for name in CHARTS}
    pictures, without = dict[str, str](), ""
    try:
        for name, chart in charts.items():
            pictures[name] = svg(Picture.of(chart, fleet(chart, found)), prefix=f"fleet-{name}")
        if record is not None:
            own = [step for step in history if step.operation_id is None]
            way = walked(charts["transfer"], own, now=found.until)
            pictures["way"] = svg(Picture.of(charts["transfer"], way), prefix="way")
    except StatechartError as error:
        without = str(error)
    return Report(
        place=str(place.store_file),
        statistics=found,
        working=is_scheduled(place.store_file),
        charts=tuple(charts.values()),
        pictures=pictures,
        without_pictures=without,
        explanations=tuple(answer for answer in explanations if answer is not None),
        transfer=record,
        history=tuple(history),
        endpoints={one.id: one.endpoint for one in dts.explain(record.id).operations} if record else {},
    )


def _explanation(dts: Orchestrator, transfer_id: UUID) -> Explanation | None:
    try:
        return dts.explain(transfer_id)
    except NotFoundError:
        return None  # it has ended and was forgotten since it was counted


def _one(dts: Orchestrator, found: Statistics) -> TransferRecord | None:
    """The slowest transfer that the store still knows, or else the one that waits the longest."""
    for id_ in (*(one.id for one in found.slowest), *(one.id for one in found.waiting)):
        try:
            return dts.transfer(id_)
        except NotFoundError:
            continue
    return None
