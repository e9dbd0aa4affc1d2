"""What passes between the engine and the handlers: transfers as handlers see them, operations, and their outcomes."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs
from attrs.validators import optional

from dts_fsm.records.checks import instance, instances, readable, storable, text
from dts_fsm.records.specification import Destination, Specification
from dts_fsm.records.status import FileRecord, FileState, TransferStatusCode


class OperationCode(enum.StrEnum):
    """What a provider says of a piece of work.

    LOST means that the provider knows nothing of it: it is submitted again.
    """

    RUNNING = "running"
    SUSPENDED = "suspended"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    LOST = "lost"


@attrs.frozen(kw_only=True)
class SourceSummary:
    """The files of a transfer that are at one of the source's endpoints."""

    endpoint: str
    num_files: int
    num_bytes: int


@attrs.frozen(kw_only=True)
class Transfer:
    """A transfer as a handler's ``begin`` sees it: enough to say which operations its state needs.

    Attributes:
        state: the state that has just been entered.
        sources: the source endpoints that have files to move, in order of name; empty for inline data only.
        num_unstaged: how many files are not at their source endpoint, as far as is known.
        created_at: aware UTC.
    """

    id: UUID
    state: TransferStatusCode
    specification: Specification
    destination: Destination
    sources: tuple[SourceSummary, ...]
    num_unstaged: int
    created_at: datetime

    @property
    def folder(self) -> str:
        """The payload's folder at the destination endpoint, relative to its root."""
        return self.destination.folder(self.id)


@attrs.frozen(kw_only=True)
class OperationRequest:
    """A handler's wish to begin an operation.

    A transfer has at most one live operation of the same handler, kind and endpoint; a wish for another is ignored,
    as is one for work that has already succeeded in the same state.

    Attributes:
        handler: which handler does it: "stager", "mover" or "manifestor".
        kind: one word for the work: "survey", "stage", "move", "manifest".
        endpoint: the endpoint or database that does the work; calls to one of them never delay calls to another.
    """

    handler: str = attrs.field(validator=text(empty=False))
    kind: str = attrs.field(validator=text(empty=False))
    endpoint: str = attrs.field(validator=text(empty=False))


@attrs.frozen(kw_only=True)
class Operation:
    """One piece of asynchronous work, as the handler that does it sees it.

    Attributes:
        id: the operation's own id, the same through all attempts.
        submission_id: what the provider is given to recognize the submission by. It stays the same until the provider
            has answered for good, and so a submission that is repeated after a crash does nothing twice.
        handle: the provider's own id of the work, once it gave one.
        attempt: 0 for the first submission.
        resubmitted: True when an earlier submission may have reached the provider.
        files: all files of the transfer as they stand, in order of id, inline data included; they are read from the
            store when they are first looked at.
    """

    id: UUID
    submission_id: UUID
    handler: str
    kind: str
    endpoint: str
    transfer: Transfer
    began_at: datetime
    handle: UUID | None = None
    attempt: int = 0
    resubmitted: bool = False
    files: Sequence[FileRecord] = ()


@attrs.frozen(kw_only=True)
class FileOutcome:
    """What became of one file of an operation.

    Attributes:
        id: the descriptor's id.
        state: STAGED or UNSTAGED from a survey; TRANSFERRED, SKIPPED or FAILED from a move.
        observed_bytes, observed_hash: what arrived, or None; the hash is written ``algorithm:hex``.
        error: what went wrong, or None.
        reason: one or two words for what went wrong ("checksum mismatch", "not found", "denied", ...), or None.
        transient: True where another attempt may go better.
    """

    id: str = attrs.field(validator=text())
    state: FileState = attrs.field(validator=instance(FileState))
    observed_bytes: int | None = attrs.field(default=None, validator=optional(storable))
    observed_hash: str | None = attrs.field(default=None, validator=optional(text()))
    error: str | None = attrs.field(default=None, converter=readable, validator=optional(text()))
    reason: str | None = attrs.field(default=None, converter=readable, validator=optional(text()))
    transient: bool = attrs.field(default=False, validator=instance(bool))


def _text_or_bytes(record: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, bytes):
        text()(record, attribute, value)


@attrs.frozen(kw_only=True)
class OperationStatus:
    """A provider's answer about an operation; what could not be stored is refused when it is made.

    Attributes:
        code: what it says.
        handle: the provider's id of the work, where the answer gives it.
        message: a sentence for people.
        reason: for FAILED: one or two words ("checksum mismatch", "denied", ...), or None.
        transient: for FAILED: True where another attempt may go better.
        num_files_transferred, num_files_skipped, num_bytes_transferred: the progress of this submission so far.
        files: the outcome of each file; given once, with an answer that ends the operation.
        manifest: with the success of a manifest's delivery, the manifest as JSON text, or as bytes: that text in UTF-8,
            compressed by zlib.
    """

    code: OperationCode = attrs.field(validator=instance(OperationCode))
    handle: UUID | None = attrs.field(default=None, validator=optional(instance(UUID)))
    message: str = attrs.field(default="", converter=readable, validator=text())
    reason: str | None = attrs.field(default=None, converter=readable, validator=optional(text()))
    transient: bool = attrs.field(default=False, validator=instance(bool))
    num_files_transferred: int = attrs.field(default=0, validator=storable)
    num_files_skipped: int = attrs.field(default=0, validator=storable)
    num_bytes_transferred: int = attrs.field(default=0, validator=storable)
    files: tuple[FileOutcome, ...] = attrs.field(default=(), validator=instances(FileOutcome))
    manifest: str | bytes | None = attrs.field(default=None, repr=False, validator=optional(_text_or_bytes))
