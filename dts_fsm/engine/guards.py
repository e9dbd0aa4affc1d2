"""The guards of the two charts: pure predicates on rows, by the names that the charts use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from dts_fsm.store.rows import OperationRow, TransferRow

ENDED = frozenset({"succeeded", "failed", "canceled"})
"""The final states of an operation; a test holds them equal to the chart's."""

CANCEL, EXPIRE, SUSPEND, RESUME = "cancel", "expire", "suspend", "resume"
"""What a transfer's ``wanted`` may be, beside "": RESUME is a suspension that is to be lifted once it is there."""


FINALIZE = "finalize"
"""The kind of the operation that tells the source database of the delivery."""


def live(operations: Iterable[OperationRow]) -> bool:
    """True while one of the operations has not ended."""
    return any(operation.state not in ENDED for operation in operations)


def latest(row: TransferRow) -> Iterable[OperationRow]:
    """The newest operation for each piece of work of the transfer's present phase."""
    phase = row.phase
    newest = {(op.handler, op.kind, op.endpoint): op for op in row.operations if op.phase == phase}
    return newest.values()


def _all_succeeded(row: TransferRow) -> bool:
    return all(operation.state == "succeeded" for operation in latest(row))


def partly_moved(row: TransferRow) -> bool:
    """True once every move has ended, some of them failed for good, and some files arrived all the same."""
    states = {operation.state for operation in latest(row)}
    return row.phase == "active" and row.files_transferred > 0 and {"failed"} <= states <= {"succeeded", "failed"}


def _manifest_delivered(row: TransferRow) -> bool:
    # once the manifest is there the transfer has succeeded, whatever the source database makes of the news
    operations = list(latest(row))
    return not live(operations) and all(op.state == "succeeded" for op in operations if op.kind != FINALIZE)


def _files_staged(row: TransferRow) -> bool:
    # in staging, success means that every file is there; a survey succeeds with whatever it finds
    return (row.phase == "staging" or row.num_unstaged == 0) and _all_succeeded(row)


def _files_unstaged(row: TransferRow) -> bool:
    return row.num_unstaged > 0 and _all_succeeded(row)


def _canceled(row: TransferRow) -> bool:
    return row.wanted == CANCEL and not live(row.operations)


def _moves_succeeded(row: TransferRow, keep: bool) -> bool:
    return _all_succeeded(row) or (keep and partly_moved(row))


def _failed_for_good(row: TransferRow, keep: bool) -> bool:
    if row.wanted == CANCEL or live(row.operations):
        return False
    if row.wanted == EXPIRE:
        # what was done in the end is not undone because it took long
        return row.suspended_from != "" or not _moves_succeeded(row, keep)
    # what a suspension stopped may arrive yet
    undecided = row.wanted in (SUSPEND, RESUME) and row.phase == "active"
    return any(op.state == "failed" for op in latest(row)) and not (keep and (undecided or partly_moved(row)))


def _suspended(row: TransferRow) -> bool:
    if row.wanted in (SUSPEND, RESUME):
        return not live(row.operations)
    return row.wanted == "" and any(operation.state == "suspended" for operation in row.operations)


def _resumed(row: TransferRow, state: str) -> bool:
    if row.suspended_from != state or row.wanted not in ("", RESUME):
        return False
    # work that the suspension stopped is begun afresh, and so must have ended first
    return not any(op.state in ("suspended", "canceling") for op in row.operations)


def transfer_guards(*, keep: bool) -> Mapping[str, Callable[[TransferRow], bool]]:
    """The guards of the transfer chart.

    Args:
        keep: a transfer of which some files arrived goes on with those.
    """
    return {
        "manifest_delivered": _manifest_delivered,
        "moves_succeeded": partial(_moves_succeeded, keep=keep),
        "files_staged": _files_staged,
        "files_unstaged": _files_unstaged,
        "canceled": _canceled,
        "failed_for_good": partial(_failed_for_good, keep=keep),
        "suspended": _suspended,
        "resumed_staging": partial(_resumed, state="staging"),
        "resumed_active": partial(_resumed, state="active"),
        "resumed_finalizing": partial(_resumed, state="finalizing"),
    }


def operation_guards(max_attempts: int) -> Mapping[str, Callable[[OperationRow], bool]]:
    """The guards of the operation chart, for a number of attempts."""

    def attempts_left(row: OperationRow) -> bool:
        # the loss of a submission is nobody's failed attempt
        return row.lost or (not row.permanent and row.attempts + 1 < max_attempts)

    return {"attempts_left": attempts_left, "attempts_exhausted": lambda row: not attempts_left(row)}
