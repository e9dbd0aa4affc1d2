"""The statecharts, checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import attrs
import click

from dts_fsm.cli.arguments import FilePath
from dts_fsm.cli.options import json_option
from dts_fsm.cli.shown import count, emit_json, printable
from dts_fsm.config import ServiceConfig
from dts_fsm.engine.guards import operation_guards, transfer_guards
from dts_fsm.errors import StatechartError
from dts_fsm.statechart import (
    CHARTS,
    Finding,
    Severity,
    chart_text,
    parse_chart,
    refusals,
)
from dts_fsm.statechart import lint as lint_chart

_CALLBACKS = ("stager.begin", "mover.begin", "manifestor.begin", "journal.record")
"""What a transfer's chart may name for ``enter``: see ``Engine``. An operation's chart has no callbacks."""

_DEADLINES = tuple(
    field.name.removesuffix("_s") for field in attrs.fields(ServiceConfig) if field.name.endswith("_deadline_s")
)
"""What a chart may name for ``deadline``: the service's settings."""


@click.command(short_help="Check statecharts.")
@click.argument("files", nargs=-1, type=FilePath(path_type=Path))
@click.option(
    "--as", "machine", type=click.Choice(CHARTS), help="What the charts are used for; else a chart's name says it."
)
@click.option("--offer", "offered", multiple=True, metavar="NAME", help="A callback or guard of a handler of your own.")
@click.option("--strict", is_flag=True, help="Let warnings be errors.")
@json_option
@click.pass_context
def lint(
    ctx: click.Context,
    files: tuple[Path, ...],
    machine: str | None,
    offered: tuple[str, ...],
    strict: bool,
    as_json: bool,
) -> None:
    """Check the charts of FILES, or the package's own.

    Charts that are called transfer or operation, or are used as such, are also checked for what their machines need:
    that all they name is on offer, and that every live transfer can be canceled and can fail.

    Exit status: 0 where nothing is wrong, or there are warnings only; 1 with errors.
    """
    findings: list[Finding] = []
    for file in files:
        findings += _findings_of_file(file, machine, offered)
    for name in () if files else CHARTS:
        findings += _findings(chart_text(name), f"{name}.toml", machine, offered)
    if as_json:
        emit_json(findings)
    else:
        for finding in findings:
            line = "" if finding.line is None else f":{finding.line}"
            click.echo(printable(f"{finding.file}{line}: {finding.severity}: {finding.code} {finding.message}"))
        click.echo(f"{count(len(files) or len(CHARTS), 'chart')} checked, {_sum(findings)}")
    ctx.exit(1 if any(strict or finding.severity is Severity.ERROR for finding in findings) else 0)


def _sum(findings: list[Finding]) -> str:
    numbers = Counter(finding.severity for finding in findings)
    return ", ".join(count(numbers[kind], kind) for kind in Severity if numbers[kind]) or "nothing is wrong"


def _findings_of_file(file: Path, machine: str | None, offered: Collection[str]) -> tuple[Finding, ...]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        message = f"it cannot be read: {getattr(error, 'strerror', None) or error}"
        return (Finding(code="SC000", message=message, file=str(file)),)
    return _findings(text, str(file), machine, offered)


def _findings(text: str, file: str, machine: str | None, offered: Collection[str]) -> tuple[Finding, ...]:
    try:
        chart = parse_chart(text, file=file)
    except StatechartError as error:
        return refusals(error, file=file)
    match machine or chart.name:
        case "transfer":
            return lint_chart(
                chart,
                callbacks={*_CALLBACKS, *offered},
                guards={*transfer_guards(keep=False), *offered},
                deadlines=_DEADLINES,
                everywhere=("cancel", "fail"),
            )
        case "operation":
            return lint_chart(chart, callbacks=(), guards=operation_guards(1), deadlines=_DEADLINES)
        case _:
            return lint_chart(chart)
