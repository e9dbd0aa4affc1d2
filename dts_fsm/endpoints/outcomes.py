"""What is said of a file that could not be moved: the reason, and whether another attempt may go better."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from dts_fsm.errors import (
    ChecksumMismatchError,
    PermanentError,
    ProviderError,
    SizeMismatchError,
    SourceChangedError,
    UnauthorizedError,
    UnsafePathError,
)
from dts_fsm.records import FileOutcome, FileState, FileTransfer
from dts_fsm.records.checksum import MissingHashError


class SourceMissingError(PermanentError):
    """There is no file at the source path."""


class TargetExistsError(PermanentError):
    """Something else is in the place of the file, and is never to be overwritten."""

    def __init__(self, path: str, found: str) -> None:
        super().__init__(
            f"{path}: {found}, and service.overwrite is 'never': move that file away, or change the setting"
        )


_REASONS: tuple[tuple[type[ProviderError | UnauthorizedError], str, bool], ...] = (
    (SourceMissingError, "not found", False),
    (TargetExistsError, "exists", False),
    (UnsafePathError, "unsafe path", False),
    (SizeMismatchError, "size mismatch", False),
    (ChecksumMismatchError, "checksum mismatch", False),
    (MissingHashError, "unknown checksum", False),
    (SourceChangedError, "source changed", True),  # another attempt may find it quiet
    (UnauthorizedError, "denied", False),
    (PermanentError, "error", False),
)
"""The first that an error is of counts."""

_ERRNO_REASONS = {
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EROFS: "denied",
    errno.ENOSPC: "no space",
    errno.EDQUOT: "no space",
    errno.EFBIG: "no space",
    errno.ELOOP: "unsafe path",
    errno.EISDIR: "unsafe path",
    errno.ENAMETOOLONG: "name too long",
}


def is_known(number: int | None) -> bool:
    """True for an ``errno`` that says why no other attempt would go better."""
    return number in _ERRNO_REASONS


def failure(file: FileTransfer, error: BaseException) -> FileOutcome:
    """Give the outcome FAILED of a file, with the reason and whether another attempt may go better."""
    reason, transient, text = "error", True, f"{file.source_path}: {error or type(error).__name__}"
    if isinstance(error, OSError):
        reason = _ERRNO_REASONS.get(error.errno or 0, "denied" if isinstance(error, PermissionError) else "i/o error")
        transient = reason == "i/o error"
        text = f"{file.source_path}: {error.strerror or error}"
    for kind, kind_reason, kind_transient in _REASONS:
        if isinstance(error, kind):
            reason, transient, text = kind_reason, kind_transient, str(error)
            break
    return FileOutcome(id=file.id, state=FileState.FAILED, error=text, reason=reason, transient=transient)


def failures(files: Iterable[FileTransfer], error: BaseException) -> list[FileOutcome]:
    """Give the outcome FAILED of each file, all for the same reason."""
    return [failure(file, error) for file in files]
