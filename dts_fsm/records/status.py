"""What became of a transfer and its files: statuses, messages, history and journal."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from dts_fsm.records.specification import Descriptor, Specification


class TransferStatusCode(enum.StrEnum):
    """The states of a transfer, as DTS names them; the value is the wire form and the statechart's state."""

    UNKNOWN = "unknown"
    STAGING = "staging"
    ACTIVE = "active"
    INACTIVE = "inactive"
    FINALIZING = "finalizing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class FileState(enum.StrEnum):
    """The states of one file of a transfer."""

    PENDING = "pending"
    UNSTAGED = "unstaged"
    STAGED = "staged"
    TRANSFERRED = "transferred"
    SKIPPED = "skipped"
    FAILED = "failed"
    INLINE = "inline"

    @property
    def arrived(self) -> bool:
        """True where the file is at the destination, verified, whether it was moved or had been there before."""
        return self in (FileState.TRANSFERRED, FileState.SKIPPED)


@attrs.frozen(kw_only=True)
class FailedFile:
    """A file that did not arrive, and why.

    Attributes:
        path: below the payload's folder.
        reason: one or two words ("not found", "denied", "checksum mismatch", ...), or None.
        error: a sentence, or None.
    """

    id: str
    path: str
    reason: str | None = None
    error: str | None = None


@attrs.frozen(kw_only=True)
class TransferStatus:
    """How a transfer stands.

    Attributes:
        code: its state.
        message: a sentence about the latest change or the present difficulty.
        num_files: how many files are to be moved; inline metadata does not count.
        num_files_transferred: how many have arrived and are verified, the skipped ones included.
        num_files_skipped: how many of them were at the destination before, complete and right.
        reason: why it failed ("canceled", "staging failed", "deadline", "checksum mismatch", ...); "partial" for one
            that succeeds with what arrived, see ``service.partial``; else None.
        failed_files: the files that could not be moved, so far, in order of id: the first thousand, for a status is to
            take no time; ``files()`` has all. A message's status leaves them out.
        num_bytes, num_bytes_transferred: the same in bytes; the latter includes files still under way.
        created_at, updated_at, completed_at: aware UTC; completed_at is None while the transfer lives.
    """

    code: TransferStatusCode
    message: str = ""
    num_files: int = 0
    num_files_transferred: int = 0
    num_files_skipped: int = 0
    reason: str | None = None
    failed_files: tuple[FailedFile, ...] = ()
    num_bytes: int = 0
    num_bytes_transferred: int = 0
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None

    @property
    def final(self) -> bool:
        """True once the transfer has ended; it never changes afterwards."""
        return self.code in (TransferStatusCode.SUCCEEDED, TransferStatusCode.FAILED)


@attrs.frozen(kw_only=True)
class Message:
    """What a subscriber receives on each transition of a transfer.

    Attributes:
        description: a sentence for people.
        transfer_id: whose transition it was.
        status: the transfer's status just after it.
        time: when it happened, aware UTC.
        seq: its number in the history, growing over all transfers; pass it as ``after`` to go on from here.
    """

    description: str
    transfer_id: UUID
    status: TransferStatus
    time: datetime
    seq: int


@attrs.frozen(kw_only=True)
class HistoryRecord:
    """One transition, of a transfer or of one of its operations.

    Attributes:
        seq: its number in the history, growing over all transfers.
        operation_id: the operation, or None for the transfer itself.
        machine: "transfer", or the operation's kind ("survey", "stage", "move", "manifest", "finalize").
        event: the statechart's event; "create" for the first record of each machine.
        source, target: the states before and after; source is "" for "create".
        message: a sentence with the particulars, or "".
        reason: where something failed, one or two words for it, or None.
    """

    seq: int
    transfer_id: UUID
    operation_id: UUID | None
    machine: str
    event: str
    source: str
    target: str
    time: datetime
    message: str = ""
    reason: str | None = None


@attrs.frozen(kw_only=True)
class FileRecord:
    """How one file of a transfer stands.

    Attributes:
        descriptor: what the source database says of it.
        endpoint: the source endpoint that has it; "" for inline data.
        state: see ``FileState``.
        observed_bytes, observed_hash: what arrived, or None; the hash is written ``algorithm:hex``.
        attempts: how often a move of it ended, well or badly.
        error: what went wrong last, or None.
        reason: one or two words for it, or None.
    """

    descriptor: Descriptor
    endpoint: str
    state: FileState
    observed_bytes: int | None = None
    observed_hash: str | None = None
    attempts: int = 0
    error: str | None = None
    reason: str | None = None

    @property
    def id(self) -> str:
        """The file's id in its database."""
        return self.descriptor.id

    @property
    def path(self) -> str | None:
        """The file's path below the payload's folder, or None for inline data."""
        return self.descriptor.path


@attrs.frozen(kw_only=True)
class TransferRecord:
    """A transfer as ``transfers()`` lists it.

    Attributes:
        retry_of: the failed transfer whose files this one moves again, or None.
        retried_by: the transfer that moves this one's failed files again, or None.
        folder: the payload's folder at the destination endpoint, relative to its root.
    """

    id: UUID
    status: TransferStatus
    specification: Specification
    created_at: datetime
    folder: str
    retry_of: UUID | None = None
    retried_by: UUID | None = None


@attrs.frozen(kw_only=True)
class JournalRecord:
    """The permanent record of an ended transfer.

    Attributes:
        orcid: the user who asked for it.
        start_time, stop_time: when it was created and when it ended, aware UTC.
        status: "succeeded", "failed" or "canceled".
        reason: why it failed; "partial" for one that succeeded with what arrived; else None.
        payload_size: the sum of the files' sizes in bytes.
        num_files: how many files it had, inline metadata not counted.
        manifest: the manifest as it was delivered, or None where none was; the text itself where that is not JSON.
        failed_files: every file that could not be moved, in order of id.
    """

    id: UUID
    source: str
    destination: str
    orcid: str
    start_time: datetime
    stop_time: datetime
    status: str
    reason: str | None
    payload_size: int
    num_files: int
    description: str = ""
    manifest: Any = None
    failed_files: tuple[FailedFile, ...] = ()
