"""What became of each file of a task that has ended: from its lists of successes and skipped errors, and its events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from dts_fsm.endpoints.globus.faults import shown
from dts_fsm.endpoints.globus.journal import Ending, Submission
from dts_fsm.endpoints.globus.submission import SYNC_LEVELS, failed, is_comparable
from dts_fsm.records import Checksum, FileOutcome, FileState, FileTransfer, OperationCode, Overwrite

REASONS = {
    "AMBIGUOUS_PATH": "ambiguous path",
    "IS_A_DIRECTORY": "not a file",
    "EXPIRED": "deadline",
    "FILE_NOT_FOUND": "not found",
    "FILE_SIZE_CHANGED": "source changed",
    "INVALID_PATH_NAME": "unsafe path",
    "INVALID_SERVICE_CREDENTIAL": "credential",
    "INVALID_SYMLINK": "unsafe path",
    "LIMIT_EXCEEDED": "limit",
    "NO_CREDENTIALS": "credential",
    "NO_SPACE_LEFT": "no space",
    "PERMISSION_DENIED": "denied",
    "QUOTA_EXCEEDED": "quota",
    "EXTERNAL_CHECKSUM_MISMATCH": "checksum mismatch",
}
"""The codes of errors that will not pass, each with our word for it.

Source: https://docs.globus.org/api/transfer/task_events/, Terminal Errors and Skippable Errors.
"""

_OF_A_FILE = {
    "AMBIGUOUS_PATH",
    "IS_A_DIRECTORY",
    "FILE_NOT_FOUND",
    "FILE_SIZE_CHANGED",
    "INVALID_PATH_NAME",
    "INVALID_SYMLINK",
    "PERMISSION_DENIED",
    "EXTERNAL_CHECKSUM_MISMATCH",
}
"""Those that are about one file: without it, the others can go."""

CANCELED = "CANCELED"
"""The code of the fatal error of a task that somebody has canceled."""

_MAX_NAMED = 5


@attrs.frozen(kw_only=True)
class Report:
    """What a task that has ended says of the files of its submission.

    Attributes:
        outcomes: of the files of which the end is known, by their index in the submission.
        left: the indexes of the others: they did not arrive, and nothing says that they cannot.
        code: SUCCEEDED, FAILED or CANCELED.
        fatal: the code of the error that ended the task, or "".
        message: what Globus says of that.
    """

    outcomes: Mapping[int, FileOutcome]
    left: tuple[int, ...]
    code: OperationCode
    fatal: str
    message: str

    @property
    def can_go_on(self) -> bool:
        """Whether the files that are left may be submitted once more.

        Either the task failed for others alone; or it succeeded, and has left these out, unverified.
        """
        if self.code is OperationCode.FAILED:
            return bool(self.left) and bool(self.outcomes) and self.fatal in _OF_A_FILE
        return self.code is OperationCode.SUCCEEDED and bool(self.left)

    def ending(self, submission: Submission, *, go_on: bool) -> Ending:
        """Give how the submission ended; ``go_on``: what is left is submitted once more."""
        outcomes = dict(self.outcomes)
        permanent = self.fatal in REASONS
        if not go_on and self.code is not OperationCode.CANCELED:
            for index in self.left:
                outcomes[index] = failed(
                    submission.files[index],
                    None if self.fatal in _OF_A_FILE else REASONS.get(self.fatal),
                    self.message or _UNVERIFIED,
                    transient=not permanent or self.fatal in _OF_A_FILE,
                )
        return Ending(
            code=self.code,
            outcomes=tuple(outcomes[index] for index in sorted(outcomes)),
            message=self.message if self.code is not OperationCode.SUCCEEDED else "",
            reason=REASONS.get(self.fatal),
            transient=self.code is OperationCode.FAILED and not permanent,
        )


def report(
    submission: Submission,
    task: Mapping[str, Any],
    *,
    successes: Iterable[Mapping[str, Any]],
    skipped: Iterable[Mapping[str, Any]],
    events: Iterable[Mapping[str, Any]],
) -> Report:
    """Give what became of the files. What is said of paths that were not submitted is not listened to.

    Args:
        submission: what was submitted.
        task: the document of the task, which has ended.
        successes, skipped, events: what Globus lists for it; the events, the newest first, only where it failed.
    """
    paths = _Paths(submission)
    outcomes: dict[int, FileOutcome] = {}
    for entry in skipped:
        for index in paths.of(entry):
            outcomes[index] = _of_error(submission.files[index], entry.get("error_code"), entry.get("error_details"))
    for entry in successes:
        for index in paths.of(entry):
            outcomes[index] = _arrived(submission.files[index], entry)
    left = [index for index in range(len(submission.files)) if index not in outcomes]
    if task.get("status") == "SUCCEEDED":
        outcomes |= _skipped(submission, left, task.get("files_skipped"))
        unverified = tuple(index for index in left if index not in outcomes)
        return Report(outcomes=outcomes, left=unverified, code=OperationCode.SUCCEEDED, fatal="", message="")
    fatal, message = _fatal(task)
    if fatal == CANCELED:
        return Report(outcomes=outcomes, left=tuple(left), code=OperationCode.CANCELED, fatal=fatal, message=message)
    outcomes |= _culprits(submission, paths, left, events)
    if fatal in _OF_A_FILE and len(left) == 1 and left[0] not in outcomes:
        outcomes[left[0]] = _of_error(submission.files[left[0]], fatal, message)
    left = [index for index in left if index not in outcomes]
    if named := [outcome.error for outcome in outcomes.values() if outcome.state is FileState.FAILED and outcome.error]:
        message = "; ".join((message, *named[:_MAX_NAMED]))
    return Report(
        outcomes=outcomes, left=tuple(left), code=OperationCode.FAILED, fatal=fatal, message=shown(message, 1000)
    )


class _Paths:
    """Finds the files of a submission by the paths that Globus names."""

    def __init__(self, submission: Submission) -> None:
        self._by_target = {item["destination_path"]: index for index, item in enumerate(submission.document["DATA"])}
        self._by_source: dict[str, list[int]] = {}
        for index, item in enumerate(submission.document["DATA"]):
            self._by_source.setdefault(item["source_path"], []).append(index)

    def of(self, entry: Mapping[str, Any]) -> list[int]:
        """Give the indexes of the files that the entry is about.

        Who has no role on a collection is not told the paths there.
        """
        target, source = entry.get("destination_path"), entry.get("source_path")
        if isinstance(target, str):
            return [self._by_target[target]] if target in self._by_target else []
        return self._by_source.get(source, []) if isinstance(source, str) else []

    def named(self, path: str) -> list[int]:
        """Give the indexes of the files that have this path, at either end."""
        return [self._by_target[path]] if path in self._by_target else self._by_source.get(path, [])


def _arrived(file: FileTransfer, entry: Mapping[str, Any]) -> FileOutcome:
    size, observed = entry.get("size"), _observed(entry)
    num_bytes = size if type(size) is int and 0 <= size < 2**63 else None
    if file.bytes is not None and num_bytes is not None and num_bytes != file.bytes:
        return failed(file, "size mismatch", f"expected {file.bytes} bytes, {num_bytes} arrived")
    if (
        file.hash is not None
        and observed is not None
        and observed.algorithm == file.hash.algorithm
        and observed != file.hash
    ):
        return failed(file, "checksum mismatch", f"expected {file.hash}, {observed} arrived")
    return FileOutcome(
        id=file.id,
        state=FileState.TRANSFERRED,
        observed_bytes=num_bytes,
        observed_hash=None if observed is None else str(observed),
    )


def _observed(entry: Mapping[str, Any]) -> Checksum | None:
    algorithm, digest = entry.get("checksum_algorithm"), entry.get("checksum")
    if not isinstance(digest, str) or not isinstance(algorithm, str):
        return None
    try:
        return Checksum.parse(f"{algorithm}:{digest}")
    except ValueError:
        return None


def _skipped(submission: Submission, left: list[int], told: object) -> dict[int, FileOutcome]:
    """The outcomes of files that a successful task neither transferred nor complained of.

    Their sizes are not told, and no level but the size itself vouches for them: who wants them looks. Those of which
    the content was compared with the source, and which have a checksum that was not, are left out: only a file that
    is carried is compared with it.
    """
    level = submission.document.get("sync_level")
    if level is None or type(told) is not int or told < len(left):
        return {index: failed(submission.files[index], None, _SILENCE, transient=True) for index in left}
    if level == SYNC_LEVELS["exists"] and submission.files[0].overwrite is Overwrite.NEVER:
        return {index: failed(submission.files[index], "exists", _EXISTS) for index in left}
    return {
        index: FileOutcome(id=submission.files[index].id, state=FileState.SKIPPED)
        for index in left
        if level != SYNC_LEVELS["checksum"] or not is_comparable(submission.files[index].hash)
    }


_SILENCE = "Globus says that the task has succeeded, and nothing of this file"
_UNVERIFIED = "what is there was left as it is, and not compared with the checksum"
_EXISTS = "another file is in its place, which may not be replaced"


def _culprits(
    submission: Submission, paths: _Paths, left: list[int], events: Iterable[Mapping[str, Any]]
) -> dict[int, FileOutcome]:
    """The outcomes of files for which a task was ended, or could not go on."""
    open_, found = set(left), {}
    for event in events:
        code, details = event.get("code"), event.get("details")
        if code not in _OF_A_FILE or not isinstance(details, str):
            continue
        for path in _paths_in(details):
            for index in paths.named(path):
                if index in open_ and index not in found:
                    found[index] = _of_error(submission.files[index], code, event.get("description"))
    return found


def _paths_in(details: str) -> list[str]:
    """The paths in an event's details: after "File:", at the beginning of a line.

    Source: https://docs.globus.org/api/transfer/task_events/, The Event Document.
    """
    lines = (line.strip() for line in details[:100_000].splitlines())
    return [line.partition(":")[2].strip() for line in lines if line.startswith(("File:", "Path:"))]


def _of_error(file: FileTransfer, code: object, details: object) -> FileOutcome:
    known = REASONS.get(code) if isinstance(code, str) else None
    words = {"not found": "is not at the source", "denied": "may not be read or written"}.get(known or "", "failed")
    error = f"{shown(file.source_path)} {words}: {shown(details)} ({shown(code, 100)})"
    return failed(file, known, error, transient=known is None)


def _fatal(task: Mapping[str, Any]) -> tuple[str, str]:
    """The code of the error that ended the task, and a sentence of it."""
    by = task.get("canceled_by_admin")
    if by:
        said = task.get("canceled_by_admin_message")
        return CANCELED, f"an administrator ({shown(by, 20)}) has canceled the task: {shown(said or 'no reason given')}"
    fatal = task.get("fatal_error")
    code = fatal.get("code") if isinstance(fatal, Mapping) else None
    if not isinstance(code, str):
        code = str(task.get("nice_status") or "")
    description = fatal.get("description") if isinstance(fatal, Mapping) else None
    description = description or task.get("nice_status_short_description") or "Globus gives no reason"
    return (
        code.upper(),
        f"Globus has ended the task {shown(task.get('task_id'), 50)}: {shown(description)} ({shown(code, 100)})",
    )
