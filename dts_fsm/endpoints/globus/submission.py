"""What is submitted: the documents of transfer tasks, made of the files of a move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import attrs

from dts_fsm.endpoints.globus.journal import Submission
from dts_fsm.endpoints.globus.place import Place
from dts_fsm.records import Checksum, FileOutcome, FileState, FileTransfer, Overwrite

MAX_ITEMS = 10_000
"""How many files one task has at most: a move of more is made in parts."""

MAX_DOCUMENT_BYTES = 8 << 20
"""How large a document is at most, as text; a larger move is made in parts."""

CHECKSUMS = {"md5": "MD5", "sha1": "SHA1", "sha256": "SHA256", "sha512": "SHA512"}
"""The checksums that Globus can compare, by our names.

Source: https://docs.globus.org/api/transfer/task_submit/, transfer_item, checksum_algorithm.
"""

SYNC_LEVELS = {"exists": 0, "size": 1, "mtime": 2, "checksum": 3}
"""Source: https://docs.globus.org/api/transfer/task_submit/, Transfer specific fields, sync_level."""

MAX_LABEL = 128
"""Source: https://docs.globus.org/api/transfer/task_submit/, Common Transfer and Delete fields, label."""

_SKELETON_BYTES = 600
_ITEM_BYTES = 250


@attrs.frozen(kw_only=True)
class Terms:
    """How files are moved.

    Attributes:
        sync_level: how Globus finds out that a file is at its destination already, one of ``SYNC_LEVELS``.
        verify_checksum: whether Globus reads what it has written, and compares.
        encrypt_data: whether files are encrypted on their way.
        accept_other_hashes: whether a file may go whose checksum Globus cannot compare.
        deadline_s: how long after its submission a task is ended by Globus; None: when Globus itself does.
        label: how the tasks are named for people; the move's id follows.
    """

    sync_level: str = "checksum"
    verify_checksum: bool = True
    encrypt_data: bool = True
    accept_other_hashes: bool = False
    deadline_s: float | None = None
    label: str = "dts_fsm"


def is_comparable(checksum: Checksum | None) -> bool:
    """Whether Globus can compare a file with this checksum."""
    return checksum is not None and checksum.algorithm in CHECKSUMS


def refusal(file: FileTransfer, source: Place, destination: Place, terms: Terms) -> FileOutcome | None:
    """Give why the file cannot be submitted; None where it can."""
    if fault := source.fault(file.source_path) or destination.fault(file.destination_path):
        return failed(file, "unsafe path", fault)
    if file.hash is not None and not is_comparable(file.hash) and not terms.accept_other_hashes:
        known = ", ".join(CHECKSUMS)
        return failed(
            file,
            "unknown checksum",
            f"Globus cannot compare a checksum of the kind {file.hash.algorithm}, only {known}: have the database give "
            "one of these, or set accept_other_hashes",
        )
    return None


def failed(file: FileTransfer, reason: str | None, error: str, *, transient: bool = False) -> FileOutcome:
    """Give the outcome of a file that did not arrive."""
    return FileOutcome(id=file.id, state=FileState.FAILED, reason=reason, error=error, transient=transient)


def portions(files: Sequence[FileTransfer]) -> Iterator[tuple[FileTransfer, ...]]:
    """Give the files in groups that one task can hold: of one overwrite rule, and not too many or too much text."""
    for overwrite in Overwrite:
        chosen = (file for file in files if file.overwrite is overwrite)
        while group := tuple(islice(chosen, MAX_ITEMS)):
            yield from _by_size(group)


def _by_size(files: tuple[FileTransfer, ...]) -> Iterator[tuple[FileTransfer, ...]]:
    start, size = 0, _SKELETON_BYTES
    for index, file in enumerate(files):
        # JSON writes a letter outside ASCII in up to twelve bytes
        text = len(file.source_path.encode()) + len(file.destination_path.encode())
        item = _ITEM_BYTES + text * (1 if file.source_path.isascii() and file.destination_path.isascii() else 6)
        if size + item > MAX_DOCUMENT_BYTES and index > start:
            yield files[start:index]
            start, size = index, _SKELETON_BYTES
        size += item
    yield files[start:]


def submission(
    files: tuple[FileTransfer, ...],
    *,
    source: Place,
    destination: Place,
    terms: Terms,
    operation: UUID,
    submission_id: str,
    again: bool,
) -> Submission:
    """Give what is submitted to move the files, which have one overwrite rule, as one task.

    ``again``: an earlier task has left them out, or would have had to; what may be replaced is.
    """
    document: dict[str, Any] = {
        "DATA_TYPE": "transfer",
        "submission_id": submission_id,
        "label": f"{terms.label[: MAX_LABEL - 37]} {operation}",
        "source_endpoint": source.collection,
        "destination_endpoint": destination.collection,
        "verify_checksum": terms.verify_checksum,
        "encrypt_data": terms.encrypt_data,
        # one file that is missing keeps no other from arriving, and a full disk is no reason to try for days
        "skip_source_errors": True,
        "fail_on_quota_errors": True,
        "notify_on_succeeded": False,
        "notify_on_failed": False,
        "notify_on_inactive": False,
    }
    level = _sync_level(files[0].overwrite, terms, again=again)
    if level is not None:
        document["sync_level"] = level
    document["DATA"] = [_item(file, source, destination) for file in files]
    return Submission(document=document, files=files)


def timely(document: Mapping[str, Any], terms: Terms) -> dict[str, Any]:
    """Give the document as it is sent now: its deadline counts from the moment at which Globus gets it.

    Globus knows a submission again by its id alone.
    """
    if terms.deadline_s is None:
        return dict(document)
    deadline = datetime.now(UTC) + timedelta(seconds=terms.deadline_s)
    return {**document, "deadline": deadline.isoformat(timespec="seconds")}


def _sync_level(overwrite: Overwrite, terms: Terms, *, again: bool) -> int | None:
    match overwrite:
        case Overwrite.NEVER:
            return SYNC_LEVELS["exists"]
        case Overwrite.IF_DIFFERENT:
            return None if again else SYNC_LEVELS[terms.sync_level]
        case Overwrite.ALWAYS:
            return None


def _item(file: FileTransfer, source: Place, destination: Place) -> dict[str, Any]:
    item = {
        "DATA_TYPE": "transfer_item",
        "source_path": source.path(file.source_path),
        "destination_path": destination.path(file.destination_path),
        "recursive": False,
    }
    if file.hash is not None and is_comparable(file.hash):
        item |= {"external_checksum": file.hash.digest, "checksum_algorithm": CHECKSUMS[file.hash.algorithm]}
    return item
