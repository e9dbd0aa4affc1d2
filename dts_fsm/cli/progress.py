"""Progress bars, on standard error and only where it is a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from dts_fsm.cli.shown import console
from dts_fsm.databases.hashing import ScanProgress
from dts_fsm.records import TransferStatus


class Bars:
    """Bars of bytes with their speed, the time that is left, and the number of files.

    Args:
        quiet: show none, even on a terminal.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        to = console(err=True)
        self.shown = to.is_terminal and not quiet
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[files]}", markup=False),
            console=to,
            disable=not self.shown,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def hashed(self, progress: ScanProgress) -> None:
        """Show how far the catalog is; may be called from any thread."""
        self._show("catalog", progress.num_bytes, progress.total_bytes, progress.num_files, progress.total_files)

    def moved(self, status: TransferStatus) -> None:
        """Show how far the transfer is."""
        self._show(
            status.code.value,
            status.num_bytes_transferred,
            status.num_bytes,
            status.num_files_transferred,
            status.num_files,
            key="transfer",
        )

    def _show(self, name: str, done: int, total: int, files: int, all_files: int, *, key: str = "catalog") -> None:
        if not self.shown:
            return
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task("", total=None, files="")
        # a payload of empty files has a bar, too: it is full once they are there
        done, total = (done, total) if total else (int(files >= all_files), 1)
        self._progress.update(
            self._tasks[key],
            description=f"{name:<10}",
            completed=done,
            total=total,
            files=f"{files:,}/{all_files:,} files",
        )
