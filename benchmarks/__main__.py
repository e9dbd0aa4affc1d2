"""``python -m benchmarks``: measure, and print ratios within this one run."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TextIO

import attrs
import click

from benchmarks.report import as_json, as_text
from benchmarks.suites import SUITES, Bench, Sizes

_KEPT_FREE_BYTES = 10 * 10**9


@click.command()
@click.argument("suites", nargs=-1, type=click.Choice(list(SUITES)))
@click.option("--repeat", default=3, show_default=True, type=click.IntRange(1), help="How often; medians count.")
@click.option("--transfers", default=10_000, show_default=True, type=click.IntRange(1), help="Small transfers.")
@click.option("--files", default=1_000_000, show_default=True, type=click.IntRange(100), help="Files of the large one.")
@click.option("--large-mib", default=512, show_default=True, type=click.IntRange(1), help="Size of 4 copied files.")
@click.option("--small-files", default=20_000, show_default=True, type=click.IntRange(1), help="Copied files of 4 KiB.")
@click.option(
    "--running",
    default=10_000,
    show_default=True,
    type=click.IntRange(1),
    help="Transfers that run, or are created.",
)
@click.option("--live", default=1_000_000, show_default=True, type=click.IntRange(100), help="Live transfers.")
@click.option("--due", default=20_000, show_default=True, type=click.IntRange(1), help="How many of them are due.")
@click.option("--history", default=10_000_000, show_default=True, type=click.IntRange(100), help="Rows of history.")
@click.option(
    "--folder",
    default="/var/tmp",
    show_default=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where everything is written, and deleted at the end: on the disk that is to be measured.",
)
@click.option("--json", "json_file", type=click.File("w", lazy=False), metavar="FILE", help="Write all figures there.")
def main(suites: tuple[str, ...], folder: Path, json_file: TextIO | None, **sizes: int) -> None:
    """Measure SUITES (all of them, if none is named), and print ratios: less is better. See benchmarks/README.md."""
    chosen = Sizes(**sizes)
    names = suites or tuple(SUITES)
    if "copies" in names:
        _check_space(folder, chosen)
    with tempfile.TemporaryDirectory(prefix="dts-fsm-benchmarks-", dir=folder) as own:
        bench = Bench(chosen, Path(own), told=lambda name: click.echo(f"... {name}", err=True))
        lines = [line for name in names for line in SUITES[name](bench)]
        click.echo(as_text(lines), nl=False)
        if json_file is not None:
            json_file.write(as_json(attrs.asdict(chosen), lines, bench.runs) + "\n")


def _check_space(folder: Path, sizes: Sizes) -> None:
    source_bytes = 4 * sizes.large_mib * 2**20 + sizes.small_files * 4096
    needed_bytes = source_bytes * (1 + 3 * sizes.repeat)
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes - needed_bytes < _KEPT_FREE_BYTES:
        raise click.ClickException(
            f"the copies need {needed_bytes / 1e9:.1f} GB, and {_KEPT_FREE_BYTES / 1e9:.0f} GB are to stay free, but "
            f"{folder} has {free_bytes / 1e9:.1f} GB: choose another --folder, or less --large-mib or --repeat"
        )


if __name__ == "__main__":
    main()
