"""``dts-fsm replay``: is the history of a transfer one that the statecharts allow?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import click
from rich.console import Console
from rich.text import Text

from dts_fsm.cli.arguments import ID, FilePath
from dts_fsm.cli.options import Place, json_option, optional_place_options
from dts_fsm.cli.shown import console, count, emit_json, printable, say, show_table, styled
from dts_fsm.errors import SerializationError, StatechartError
from dts_fsm.orchestrator import Orchestrator
from dts_fsm.records import Departure, HistoryRecord, Replay
from dts_fsm.serialization import load_json, structure
from dts_fsm.statechart import CHARTS, Chart, load_chart, load_chart_file, replay
from dts_fsm.statechart.texts import duration

_MAX_READS = 10
"""How often the history of a transfer is read again that goes on meanwhile."""


@click.command("replay", short_help="Check the history of a transfer against the statecharts.")
@optional_place_options
@click.argument("transfer_id", metavar="[ID]", type=ID, required=False)
@click.option(
    "--file",
    "file",
    type=FilePath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Instead of a transfer: what `dts-fsm history ID --json` wrote.",
)
@click.option(
    "--chart",
    "charts",
    type=FilePath(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Instead of the package's own: a chart that is called transfer, or operation.",
)
@json_option
@click.pass_context
def replay_history(
    ctx: click.Context,
    place: Place | None,
    transfer_id: str | None,
    file: Path | None,
    charts: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Replay the history of a transfer: where it leads to, and where it departs from the statecharts.

    What the store says of the transfer and its operations is compared with where the history leads to.

    Exit status: 0 where the history is in order, 1 where it is not.
    """
    if (transfer_id is None) is (file is None):
        raise click.UsageError("give the ID of a transfer, or a --file that has its history")
    given = _charts(charts)
    transfer_chart, operation_chart = given.get("transfer"), given.get("operation")
    states: dict[UUID | None, str] | None = None
    under = None
    if file is not None:
        history = _read(file)
    elif place is None:
        raise click.UsageError("a transfer is in a store: give --data-dir or --config")
    else:
        with place.opened() as dts:
            history, states, under = _stored(dts, str(transfer_id))
    found = replay(history, transfer_chart=transfer_chart, operation_chart=operation_chart, states=states)
    if as_json:
        emit_json(found)
    else:
        _show(console(), found)
        checked = (transfer_chart or load_chart("transfer")).fingerprint
        if under not in (None, checked):
            say(
                f"the transfer is under the chart {under}, and was checked against {checked}: give its own with --chart"
            )
    ctx.exit(1 if found.departures else 0)


def _charts(files: Sequence[Path]) -> dict[str, Chart]:
    charts: dict[str, Chart] = {}
    for chart in map(load_chart_file, files):
        if chart.name not in CHARTS or chart.name in charts:
            raise StatechartError(
                f"{chart.file} is called {chart.name!r}: give one chart called transfer, one called operation, or both"
            )
        charts[chart.name] = chart
    return charts


def _read(file: Path) -> list[HistoryRecord]:
    rows = load_json(file.read_bytes())
    if not isinstance(rows, list):
        raise SerializationError(
            f"{file} has no history: it should be a JSON array, as `dts-fsm history ID --json` writes"
        )
    return [structure(row, HistoryRecord) for row in rows]


def _stored(dts: Orchestrator, transfer_id: str) -> tuple[list[HistoryRecord], dict[UUID | None, str], str]:
    """The history and the states of a transfer at one instant, unless it never rests; and its chart's fingerprint."""
    states, chart = _states(dts, transfer_id)
    for _ in range(_MAX_READS):
        before, history = states, dts.history(transfer_id)
        states, chart = _states(dts, transfer_id)
        if states == before:
            break
    return history, states, chart


def _states(dts: Orchestrator, transfer_id: str) -> tuple[dict[UUID | None, str], str]:
    found = dts.explain(transfer_id)
    return {None: found.state, **{operation.id: operation.state for operation in found.operations}}, found.chart


def _show(to: Console, found: Replay) -> None:
    show_table(
        to,
        ("machine", "id", "steps", "state", "time in the states"),
        [
            (
                one.machine,
                one.operation_id or "",
                one.num_steps,
                styled(one.state),
                ", ".join(f"{s.state} {duration(s.time_s)}" for s in one.stays if s.state != one.state or s.time_s),
            )
            for one in found.machines
        ],
        whole=("machine", "id", "state"),
    )
    for departure in found.departures:
        to.print(Text(printable(_told(departure)), style="red"), soft_wrap=True)
    steps = count(sum(one.num_steps for one in found.machines), "step")
    to.print(Text(f"{steps}: {count(len(found.departures), 'departure') if found.departures else 'in order'}"))


def _told(departure: Departure) -> str:
    where = "" if departure.seq is None else f"row {departure.seq}, "
    which = "" if departure.operation_id is None else f" {departure.operation_id}"
    return f"{where}{departure.machine or 'operation'}{which}: {departure.reason}"
