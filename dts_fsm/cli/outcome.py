"""How transfers end: waiting for it, the exit status that tells it, and the summary."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import attrs
from rich.text import Text

from dts_fsm.cli.interruption import INTERRUPTED, Interruption
from dts_fsm.cli.omissions import INCOMPLETE
from dts_fsm.cli.progress import Bars
from dts_fsm.cli.shown import console, count, emit_json, printable, show_listed, size, writing_about
from dts_fsm.errors import WaitTimeoutError
from dts_fsm.orchestrator import Orchestrator
from dts_fsm.records import FileRecord, FileState, TransferRecord, TransferStatus, TransferStatusCode
from dts_fsm.serialization import unstructure

SUCCEEDED, FAILED, CANCELED = 0, 1, 3
"""Exit statuses; 2 is for wrong usage."""

_LOOK_S = 0.1


def exit_status(status: TransferStatus) -> int:
    """Give the exit status for a transfer; one that has not ended was interrupted."""
    if not status.final:
        return INTERRUPTED
    if status.code is TransferStatusCode.SUCCEEDED:
        return INCOMPLETE if status.reason == "partial" else SUCCEEDED
    return CANCELED if status.reason == "canceled" else FAILED


def awaited(dts: Orchestrator, transfer_id: UUID, interruption: Interruption, bars: Bars) -> TransferStatus:
    """Give the status of the transfer once it has ended, or once somebody interrupts; bars show how far it is."""
    while True:
        try:
            status = dts.wait(transfer_id, timeout_s=_LOOK_S)
        except WaitTimeoutError:
            status = dts.status(transfer_id)
        bars.moved(status)
        if status.final or interruption.requested:
            return status


@attrs.frozen(kw_only=True)
class Summary:
    """What there is to say of a transfer at its end, or when the command was interrupted.

    Attributes:
        folder: where the payload is, as people find it.
        extra: further entries of the JSON document.
    """

    record: TransferRecord
    folder: str
    extra: dict[str, Any] = attrs.field(factory=dict)

    @classmethod
    def of(cls, dts: Orchestrator, transfer_id: UUID, folder: str | None = None, **extra: Any) -> Summary:
        """Give the summary of a transfer as it stands.

        Args:
            folder: where the payload is, if it is known better than by the destination's name and a relative path.
        """
        record = dts.transfer(transfer_id)
        return cls(
            record=record,
            folder=folder or f"{record.specification.destination}: {record.folder}",
            extra=extra,
        )

    @property
    def exit_status(self) -> int:
        """See the function of this name."""
        return exit_status(self.record.status)

    def as_json(self) -> dict[str, Any]:
        """Give one document with all of it."""
        record, status = self.record, self.record.status
        document: dict[str, Any] = {"id": str(record.id), **unstructure(status)}
        document |= {
            "source": record.specification.source,
            "destination": record.specification.destination,
            "folder": self.folder,
            "seconds": self._seconds(),
        }
        return document | self.extra

    def show(self, *, as_json: bool) -> None:
        """The summary stands on standard output, and what went wrong on standard error.

        Raises:
            ClickException: standard output cannot be written.
        """
        status = self.record.status
        if as_json or status.code is TransferStatusCode.SUCCEEDED:
            with writing_about(self._fact()):
                self._write(as_json=as_json)
            if not as_json:
                self._show_failed()
            return
        to = console(err=True)
        files = f"{status.num_files_transferred:,} of {count(status.num_files, 'file')} arrived"
        if not status.final:
            return
        state = "canceled" if status.reason == "canceled" else "failed"
        why = f" ({status.reason})" if status.reason not in (None, "canceled") else ""
        to.print(Text(f"{state}{why}: {files}", style="bold red" if state == "failed" else "yellow"))
        if state == "failed":
            if not status.failed_files:
                to.print(Text(shown_message(status)))
            self._show_failed()
        to.print(Text(f"transfer {self.record.id}"), soft_wrap=True)

    def _show_failed(self) -> None:
        to, failed = console(err=True), self.record.status.failed_files
        errors = {file.error for file in failed}
        if len(failed) > 1 and len(errors) == 1:
            # the status lists the first of them only
            number = max(len(failed), self.record.status.num_files - self.record.status.num_files_transferred)
            to.print(Text(printable(f"{count(number, 'file')}: {errors.pop() or failed[0].reason}")))
            return
        show_listed(to, ("file", "error"), [(file.path, file.error or file.reason or "") for file in failed])

    def _write(self, *, as_json: bool) -> None:
        if as_json:
            emit_json(self.as_json())
            return
        # lines that programs read as well: a path is not to be broken
        console().print(Text(self._success()), soft_wrap=True)
        console().print(Text(printable(self.folder)), soft_wrap=True)

    def _fact(self) -> str:
        status = self.record.status
        if not status.final:
            return f"the transfer {self.record.id} itself has not ended"
        if status.code is TransferStatusCode.SUCCEEDED:
            return f"the transfer itself succeeded: {self.folder}"
        return f"the transfer {self.record.id} itself failed ({status.reason or shown_message(status)})"

    def _seconds(self) -> float | None:
        status = self.record.status
        return (status.completed_at - status.created_at).total_seconds() if status.completed_at else None

    def _success(self) -> str:
        status, seconds = self.record.status, self._seconds() or 0.0
        if status.reason == "partial":
            return f"succeeded in part: {status.num_files_transferred:,} of {count(status.num_files, 'file')} arrived"
        skipped = f" ({status.num_files_skipped:,} were there)" if status.num_files_skipped else ""
        speed = f", {size(round(status.num_bytes / seconds))}/s" if seconds > 0 else ""
        return (
            f"succeeded: {count(status.num_files, 'file')}{skipped}, {size(status.num_bytes)} in {seconds:.1f} s{speed}"
        )


def shown_message(status: TransferStatus) -> str:
    """Give the message of a status; one that was left empty is the state's name."""
    return status.message or status.code.value


def reason(file: FileRecord) -> str:
    """Give why a file did not arrive."""
    if file.error is None and file.state is FileState.UNSTAGED:
        return f"it is not at the source with {file.descriptor.bytes:,} bytes"
    return file.error or ""
