"""``dts-fsm catalog``: a folder's datapackage.json, with checksums."""

from __future__ import annotations

from pathlib import Path

import click

from dts_fsm.cli.arguments import FilePath
from dts_fsm.cli.omissions import INCOMPLETE, Omissions
from dts_fsm.cli.options import json_option
from dts_fsm.cli.progress import Bars
from dts_fsm.cli.shown import console, count, emit_json, printable, say, show_listed, size
from dts_fsm.databases.catalog_file import CATALOG_FILE
from dts_fsm.databases.scan import Scan, update_catalog
from dts_fsm.records.checksum import DEFAULT_ALGORITHM, DIGEST_HEX_DIGITS


@click.command(short_help="Write the datapackage.json of a folder.")
@click.argument("folder", metavar="DIR", type=FilePath(exists=True, file_okay=False, path_type=Path))
@click.option("--algorithm", type=click.Choice(list(DIGEST_HEX_DIGITS)), default=DEFAULT_ALGORITHM, show_default=True)
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave out what matches; * matches slashes, too.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing unless something is wrong.")
@json_option
@click.pass_context
def catalog(
    ctx: click.Context, folder: Path, algorithm: str, exclude: tuple[str, ...], quiet: bool, as_json: bool
) -> None:
    """Write DIR/datapackage.json, a Frictionless data package of the files below DIR.

    Where there is one already, what it says besides sizes and checksums is kept, and only files that are new or have
    changed are read. What is left out is listed with the reason; so are files that are no longer there.

    Exit status: 0 where the catalog has all files, 4 where regular files or folders had to be left out: they cannot be
    read, say, or their names are not UTF-8. These are named even with --quiet.
    """
    with Bars(quiet=quiet) as bars:
        result = update_catalog(folder, algorithm=algorithm, progress=bars.hashed, exclude=exclude)
    omissions = Omissions.of(folder, result.skipped)
    _show(folder, result, omissions, quiet=quiet, as_json=as_json)
    ctx.exit(INCOMPLETE if omissions.num_missed else 0)


def _show(folder: Path, result: Scan, omissions: Omissions, *, quiet: bool, as_json: bool) -> None:
    descriptors = result.catalog.descriptors
    num_bytes = sum(item.bytes or 0 for item in descriptors)
    file = folder / CATALOG_FILE
    if as_json:
        emit_json(
            {
                "catalog": printable(file),
                "num_resources": len(descriptors),
                "num_bytes": num_bytes,
                "num_hashed": result.num_hashed,
                "num_bytes_hashed": result.num_bytes_hashed,
                "skipped": omissions.as_json(),
                "gone": list(result.gone),
            }
        )
        return
    if quiet:
        omissions.tell(folder, quiet=True)
        return
    hashed = f"{count(result.num_hashed, 'file')}, {size(result.num_bytes_hashed)}"
    click.echo(printable(f"{file}: {count(len(descriptors), 'resource')}, {size(num_bytes)}; read now: {hashed}"))
    omissions.tell(folder, quiet=False)
    if result.gone:
        say(f"no longer there: {len(result.gone):,}")
        show_listed(console(err=True), ("path",), [(path,) for path in result.gone])
