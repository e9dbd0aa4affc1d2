"""``dts-fsm transfer``: moves a folder, with nothing to configure and nothing to install."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from uuid import UUID

import click

from dts_fsm.cli.arguments import TEXT, FilePath
from dts_fsm.cli.interruption import INTERRUPTED, Interruption
from dts_fsm.cli.omissions import INCOMPLETE, Omissions
from dts_fsm.cli.options import json_option, orcid_option
from dts_fsm.cli.outcome import FAILED, SUCCEEDED, Summary, awaited
from dts_fsm.cli.pair import Pair
from dts_fsm.cli.progress import Bars
from dts_fsm.cli.shown import count, say
from dts_fsm.endpoints.durability import Durability
from dts_fsm.orchestrator import Orchestrator
from dts_fsm.records import TransferRecord, TransferStatusCode
from dts_fsm.running import STORE_NAME
from dts_fsm.store.maintenance import refuse_odd_file

NOBODY = "0000-0000-0000-0000"
"""The ORCID of who does not say who they are."""

_LOOK_S = 0.1


@click.command(short_help="Move a folder or a file, verified.")
@click.argument("src", type=FilePath(exists=True, path_type=Path))
@click.argument("dst", type=FilePath(file_okay=False, path_type=Path))
@orcid_option
@click.option("--description", type=TEXT, default="", help="Markdown for the manifest.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave out what matches; * matches slashes, too.")
@click.option("--workers", type=click.IntRange(1, 256), default=4, show_default=True, help="How many files at once.")
@click.option(
    "--durable",
    type=click.Choice([durability.value for durability in Durability]),
    default=Durability.BATCH.value,
    show_default=True,
    help="How files are synced to the disk: each, many at once, or not, so that a power cut may undo what arrived.",
)
@click.option("--no-durable", is_flag=True, help="The same as --durable none.")
@click.option(
    "--data-dir",
    type=FilePath(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the states of transfers are kept.  [default: $XDG_STATE_HOME/dts-fsm/transfers]",
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing unless something is wrong.")
@json_option
@click.pass_context
def transfer(
    ctx: click.Context,
    src: Path,
    dst: Path,
    orcid: str | None,
    description: str,
    exclude: tuple[str, ...],
    workers: int,
    durable: str,
    no_durable: bool,
    data_dir: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Move the files of SRC, a folder or a file, to a new folder dts-<id> in DST.

    Every file is verified on arrival, and manifest.json is put beside them. The catalog datapackage.json of SRC says
    which files there are; where there is none, SRC is read through, and is not written to. Symbolic links and
    empty folders are left out.

    An interrupted transfer goes on when the same command is given again.

    Exit status: 0 succeeded, 1 failed, 3 canceled, 130 interrupted; 4 succeeded, but regular files or folders of SRC
    had to be left out: they cannot be read, say, or their names are not UTF-8. These are named even with --quiet.
    """
    pair = Pair.of(src, dst, data_dir, exclude=exclude)
    refuse_odd_file(pair.state / STORE_NAME)
    config = pair.config(workers=workers, durable=Durability.NONE if no_durable else Durability(durable))
    with ExitStack() as without_transfer, Interruption() as interruption:
        without_transfer.callback(_remove_empty, pair.prepare())
        with Orchestrator(config) as dts:
            run = _Run(pair, dts, interruption, quiet=quiet)
            with Bars(quiet=quiet) as bars:
                transfer_id = run.find(bars, orcid=orcid or NOBODY, description=description)
                if transfer_id is None:
                    say("interrupted before anything was moved")
                    ctx.exit(INTERRUPTED)
                without_transfer.pop_all()
                omissions = pair.omissions()
                omissions.tell(pair.folder, quiet=quiet)
                awaited(dts, transfer_id, interruption, bars)
            folder = pair.destination / dts.transfer(transfer_id).folder
            summary = Summary.of(
                dts,
                transfer_id,
                str(folder),
                state_dir=str(pair.state),
                skipped=omissions.as_json(),
                num_empty_folders=omissions.num_empty_folders,
            )
    _finish(ctx, pair, summary, omissions, quiet=quiet, as_json=as_json)


def _remove_empty(folders: tuple[Path, ...]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _finish(
    ctx: click.Context, pair: Pair, summary: Summary, omissions: Omissions, *, quiet: bool, as_json: bool
) -> None:
    """The end is told, and the command has ended with its exit status."""
    if summary.exit_status == FAILED:
        pair.forget_catalog()
    if not summary.record.status.final:
        say("interrupted: give the same command again, and the transfer goes on")
    if as_json or not quiet or summary.exit_status:
        summary.show(as_json=as_json)
    if summary.exit_status not in (0, INTERRUPTED) and not as_json:
        say(f"more about it: dts-fsm explain {summary.record.id} --data-dir {pair.state}")
    if not as_json and summary.record.status.final:
        omissions.tell_end()
    incomplete = summary.exit_status == SUCCEEDED and omissions.num_missed
    ctx.exit(INCOMPLETE if incomplete else summary.exit_status)


class _Run:
    """One call of the command."""

    def __init__(self, pair: Pair, dts: Orchestrator, interruption: Interruption, *, quiet: bool) -> None:
        self._pair, self._dts, self._interruption, self._quiet = pair, dts, interruption, quiet

    def find(self, bars: Bars, *, orcid: str, description: str) -> UUID | None:
        """Give the transfer to wait for: one that is there, or a new one; None where somebody interrupts."""
        last = self._newest()
        told = False
        while not self._interruption.requested:
            if (unfinished := self._unfinished()) is not None:
                self._tell(unfinished)
                return unfinished.id
            if self._dts.leading:
                return self._begin(bars, orcid, description)
            newest = self._newest()
            if newest is not None and newest != last:
                return newest  # the other process began it and brought it to an end, between two looks
            if not told:
                self._say("another process is about to move the same files: waiting for it")
                told = True
            self._interruption.wait(_LOOK_S)
        return None

    def _begin(self, bars: Bars, orcid: str, description: str) -> UUID | None:
        try:
            with self._interruption.raising():
                files = self._pair.files(bars.hashed)
        except KeyboardInterrupt:
            return None
        if not files:
            self._pair.omissions().tell(self._pair.folder, quiet=self._quiet)
            raise click.ClickException(f"{self._pair.folder} has no files to transfer")
        return self._dts.create(self._pair.specification(files, orcid=orcid, description=description))

    def _unfinished(self) -> TransferRecord | None:
        """The unfinished transfer of this pair, the oldest if there are several."""
        final = (TransferStatusCode.SUCCEEDED, TransferStatusCode.FAILED)
        live = [
            record
            for code in TransferStatusCode
            if code not in final
            for record in self._dts.transfers(state=code.value)
        ]
        return min(live, key=lambda record: record.created_at, default=None)

    def _newest(self) -> UUID | None:
        return next((record.id for record in self._dts.transfers(limit=1)), None)

    def _tell(self, record: TransferRecord) -> None:
        status = record.status
        if not self._dts.leading:
            self._say(f"another process moves the same files: watching its transfer {record.id}")
            return
        done = f"{status.num_files_transferred:,} of {count(status.num_files, 'file')}"
        self._say(f"going on with the interrupted transfer {record.id}: {done} had arrived")
        if status.code is TransferStatusCode.INACTIVE:
            say(f"it is suspended: dts-fsm resume {record.id} --data-dir {self._pair.state} lets it go on")

    def _say(self, text: str) -> None:
        if not self._quiet:
            say(text)
