"""``dts-fsm store``: backup, check and vacuum."""

from __future__ import annotations

from pathlib import Path

import click

from dts_fsm.cli.arguments import FilePath
from dts_fsm.cli.options import Place, json_option, place_options
from dts_fsm.cli.shown import count, emit_json, printable, size
from dts_fsm.store import maintenance


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
def vacuum(place: Place) -> None:
    """Give the space of forgotten transfers back to the file system; refused while a service runs."""
    before_bytes, after_bytes = maintenance.vacuum(place.store_file)
    click.echo(printable(f"{place.store_file}: {size(before_bytes)} before, {size(after_bytes)} now"))
