"""The statecharts in the formats of other programs, and back."""

from __future__ import annotations

from pathlib import Path

import click

from dts_fsm.cli.arguments import FilePath
from dts_fsm.cli.shown import count, say
from dts_fsm.errors import StatechartError
from dts_fsm.statechart import CHARTS, Chart, Severity, load_chart, load_chart_file
from dts_fsm.statechart import lint as lint_chart
from dts_fsm.statechart.exchange import from_scxml, from_xstate, to_scxml, to_xstate
from dts_fsm.statechart.writer import chart_to_toml

_WRITE = {"scxml": to_scxml, "xstate": to_xstate}

_output = click.option(
    "--output", "-o", type=FilePath(dir_okay=False, path_type=Path), help="A file instead of standard output."
)


@click.command(short_help="Write a statechart as SCXML or XState.")
@click.argument("chart", default="transfer")
@click.option("--format", "form", type=click.Choice(list(_WRITE)), required=True)
@_output
def export(chart: str, form: str, output: Path | None) -> None:
    """Write CHART for other programs: transfer (the default), operation, or a chart's file.

    SCXML is the W3C's, XState's machines are JSON. What these programs cannot say is kept beside it, so that import
    gives the same chart again.
    """
    _emit(_WRITE[form](load_chart(chart) if chart in CHARTS else load_chart_file(chart)), output)


@click.command("import", short_help="Read a statechart from SCXML or XState.")
@click.argument("file", type=FilePath(path_type=Path))
@_output
@click.pass_context
def import_(ctx: click.Context, file: Path, output: Path | None) -> None:
    """Read FILE, an SCXML document or the JSON of an XState machine, and write it as a chart's file.

    What a chart cannot say, such as nested states, is refused by its name.

    Exit status: 0 where the chart can be used, 1 where it was written and lint has errors.
    """
    chart = _read(file)
    _emit(chart_to_toml(chart), output)
    errors = [finding for finding in lint_chart(chart) if finding.severity is Severity.ERROR]
    for error in errors:
        say(str(error))
    if errors:
        say(f"the chart was written, but cannot be used yet: {count(len(errors), 'error')}")
        ctx.exit(1)


def _read(file: Path) -> Chart:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise StatechartError(f"the statechart {str(file)!r} cannot be read: {error}") from error
    return (from_scxml if text.lstrip().startswith("<") else from_xstate)(text, file=str(file))


def _emit(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
