"""Why a guard says no, in sentences with the facts.

For each guard in ``guards`` there is a function of the same name here, which gives what stands in its way: nothing
exactly where the guard agrees. A test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

import attrs

from dts_fsm.engine.guards import CANCEL, ENDED, EXPIRE, FINALIZE, RESUME, SUSPEND, latest, live, partly_moved
from dts_fsm.engine.timing import Timing
from dts_fsm.statechart import Chart
from dts_fsm.statechart.texts import duration
from dts_fsm.store.rows import OperationRow, TransferRow, time_of

LATE_S = 5.0
"""What has been due for longer than this waits for an answer, for room in its lane, or for a scheduler."""

_MAX_NAMED = 3

_UNDER_WAY = {
    CANCEL: "its user asked to cancel it",
    EXPIRE: "its time is over, and it is being stopped",
    SUSPEND: "its user suspended it",
    RESUME: "its user resumed it, and what was being stopped must have stopped first",
}


@attrs.frozen(kw_only=True)
class Facts:
    """What is known of a transfer that is to be explained.

    Attributes:
        row: the transfer with its operations; nothing here changes it.
        now: the time, seconds since 1970 UTC.
        timing: the settings that its engine has.
        operation_chart: the chart of its operations.
        requested: what its user asked for last that the scheduler has not taken up, or None.
        unstaged: the ids of the files that are not staged; it may be empty where they are too many to be named.
        num_to_move: how many files each source endpoint has.
        crowded: the row ids of the operations whose lanes take no further calls; None where that is not known.
        scheduled: whether a process schedules the store; None where that is not known.
    """

    row: TransferRow
    now: float
    timing: Timing
    operation_chart: Chart
    requested: str | None = None
    unstaged: Sequence[str] = ()
    num_to_move: Mapping[str, int] = attrs.field(factory=dict)
    crowded: Collection[int] | None = None
    scheduled: bool | None = None

    @property
    def keep(self) -> bool:
        """Whether a transfer of which some files arrived goes on with those."""
        return self.timing.settings.partial == "keep"

    @property
    def max_attempts(self) -> int:
        """How often an operation is tried at most."""
        return self.timing.settings.max_attempts

    def late_s(self, operation: OperationRow) -> float | None:
        """For how long the operation has been due, where that is no matter of a moment; else None."""
        due_at = operation.due_at
        return None if due_at is None or self.now - due_at < LATE_S else self.now - due_at

    def given_up_at(self, operation: OperationRow) -> float | None:
        """When the operation is given up in its present state, or None."""
        deadlines = {state.name: state.deadline for state in self.operation_chart.states}
        return self.timing.deadline_at(deadlines.get(operation.state), operation.changed_at)

    def relative(self, at: float) -> str:
        """How far away the time is: "in 3 h", "2 min ago"."""
        if abs(at - self.now) < 1:
            return "just now" if at <= self.now else "in a moment"
        return f"in {duration(at - self.now)}" if at > self.now else f"{duration(self.now - at)} ago"


def listed(sentences: Sequence[str]) -> str:
    """The first of the sentences, and how many more there are."""
    more = len(sentences) - _MAX_NAMED
    return "; ".join(sentences[:_MAX_NAMED]) + (f"; and {more:,} more" if more > 0 else "")


def stands(facts: Facts, operation: OperationRow) -> str:
    """How the operation stands, in a sentence."""
    told = f"{operation.kind} at {operation.endpoint} {_stands(facts, operation)}"
    if facts.crowded is not None and operation.rowid in facts.crowded:
        told += "; its lane takes no further calls now: too many wait or hang"
    return told


def _stands(facts: Facts, op: OperationRow) -> str:
    message = op.message.rstrip(".")
    said, heard = (f": {message}", f"; last heard: {message}") if message else ("", "")
    match op.state:
        case "pending" if op.attempts or op.losses:
            number = f"attempt {op.attempts + 1} of {facts.max_attempts}"
            return f"waits for {number}, {_due(facts, op, 'due')}{message and f'; the last one: {message}'}"
        case "pending":
            return f"waits to be handed over, {_due(facts, op, 'due')}"
        case "submitting":
            return f"was handed over {facts.relative(op.changed_at)} and has no answer yet{heard}"
        case "running":
            return f"is running{_progress(facts, op)}, {_due(facts, op, 'asked again')}{heard}"
        case "suspended":
            return f"was suspended by its provider {facts.relative(op.changed_at)}{heard}"
        case "canceling":
            given_up_at = facts.given_up_at(op)
            until = "" if given_up_at is None else f"; it is given up {facts.relative(given_up_at)}"
            return f"was asked to stop {facts.relative(op.changed_at)} and has not acknowledged{until}{heard}"
        case "failed":
            return f"failed for good{said}"
        case "canceled":
            return f"was stopped{said}"
        case _:
            return f"is {op.state}{said}"


def _progress(facts: Facts, op: OperationRow) -> str:
    whole = facts.num_to_move.get(op.endpoint)
    told = ""
    if op.kind == "move" and whole is not None and facts.row.files_transferred == 0:
        # an attempt counts from nothing, and after files that came before it there is less to move
        told = f" ({op.files_transferred:,} of {whole:,} files)"
    elif op.files_transferred:
        told = f" ({op.files_transferred:,} file{'s' if op.files_transferred > 1 else ''} so far)"
    idle_s = facts.now - op.progressed_at
    if op.kind != "stage" and idle_s >= facts.timing.settings.stall_after_s:
        told += f" without progress for {duration(idle_s)}"
    return told


def _due(facts: Facts, op: OperationRow, words: str) -> str:
    late_s = facts.late_s(op)
    if op.due_at is None:
        return "which nothing would wake"
    if late_s is None:
        return f"{words} {'now' if op.due_at <= facts.now else facts.relative(op.due_at)}"
    answerless = op.state == "running" and facts.scheduled
    return f"was due {facts.relative(op.due_at)}" + (": its provider has not answered" if answerless else "")


def _all_stand(facts: Facts, operations: Iterable[OperationRow]) -> list[str]:
    return [stands(facts, operation) for operation in operations]


def _unfinished(facts: Facts) -> list[str]:
    """Of each operation of the present phase that has not succeeded, how it stands."""
    return _all_stand(facts, (op for op in latest(facts.row) if op.state != "succeeded"))


def _still_live(facts: Facts) -> list[str]:
    return _all_stand(facts, (op for op in facts.row.operations if op.state not in ENDED))


def _asked(facts: Facts, kind: str) -> str | None:
    asked = "its user asked for it, and the scheduler has not taken that up yet"
    return asked if facts.requested == kind else None


def unstaged(facts: Facts) -> str:
    """How many files are not staged, and which."""
    number, names = facts.row.num_unstaged, facts.unstaged[:_MAX_NAMED]
    more = number - len(names)
    named = "" if not names else ": " + ", ".join(names) + (f" and {more:,} more" if more > 0 else "")
    return f"{number:,} of {facts.row.num_files:,} files {'is' if number == 1 else 'are'} not staged{named}"


def deadline(facts: Facts) -> str:
    """When the state's time is over."""
    at = facts.row.deadline_at
    return "there is no deadline" if at is None else f"the deadline is {time_of(at):%F %TZ} ({facts.relative(at)})"


def _manifest_delivered(facts: Facts) -> list[str]:
    # whatever became of telling the source database, once that has ended
    counting = (op for op in latest(facts.row) if op.kind != FINALIZE or op.state not in ENDED)
    return _all_stand(facts, (op for op in counting if op.state != "succeeded"))


def _files_staged(facts: Facts) -> list[str]:
    unfinished = _unfinished(facts)
    # in staging, success means that every file is there
    missing = facts.row.num_unstaged != 0 and (facts.row.phase != "staging" or unfinished)
    return [unstaged(facts), *unfinished] if missing else unfinished


def _files_unstaged(facts: Facts) -> list[str]:
    unfinished = _unfinished(facts)
    if facts.row.num_unstaged > 0:
        return unfinished
    return [*unfinished, f"no file is known to be missing {'so far' if unfinished else 'at its endpoint'}"]


def _canceled(facts: Facts) -> list[str]:
    if facts.row.wanted != CANCEL:
        return [_asked(facts, CANCEL) or "nobody asked for it"]
    return _still_live(facts)


def _moves_succeeded(facts: Facts) -> list[str]:
    return [] if facts.keep and partly_moved(facts.row) else _unfinished(facts)


def _failed_for_good(facts: Facts) -> list[str]:
    row = facts.row
    if row.wanted == CANCEL:
        return ["its user asked to cancel it, and so it ends as canceled"]
    if row.wanted == EXPIRE:
        if live(row.operations):
            return ["its time is over, and it fails once its operations have stopped", *_still_live(facts)]
        done = row.suspended_from == "" and not _moves_succeeded(facts)
        return ["its time was over, but by then the work of this state was done"] if done else []
    failed = [op for op in latest(row) if op.state == "failed"]
    if live(row.operations):
        if failed:
            return [*_all_stand(facts, failed), "but not all operations have ended", *_still_live(facts)]
        return [f"no operation failed for good; {deadline(facts)}"]
    if not failed:
        return [f"no operation failed for good; {deadline(facts)}"]
    if facts.keep and partly_moved(row):
        return ["some files arrived, and with partial: keep it goes on with those"]
    if facts.keep and row.wanted in (SUSPEND, RESUME) and row.phase == "active":
        return ["what its suspension stopped may arrive yet, and with partial: keep it goes on with that"]
    return []


def _suspended(facts: Facts) -> list[str]:
    row = facts.row
    if row.wanted in (SUSPEND, RESUME):
        return _still_live(facts)
    if row.wanted != "":
        return [_UNDER_WAY.get(row.wanted, row.wanted)]
    if any(operation.state == "suspended" for operation in row.operations):
        return []
    return [_asked(facts, SUSPEND) or "nobody asked for it, and no provider has suspended its work"]


def _resumed(facts: Facts, state: str) -> list[str]:
    row = facts.row
    found = []
    if row.suspended_from != state:
        return [f"it was {row.suspended_from or 'in no other state'} before it was suspended, not {state}"]
    if row.wanted == SUSPEND:
        found.append(_asked(facts, RESUME) or "its user suspended it and has not resumed it")
    elif row.wanted not in ("", RESUME):
        found.append(_UNDER_WAY.get(row.wanted, row.wanted))
    return found + _all_stand(facts, (op for op in row.operations if op.state in ("suspended", "canceling")))


OBSTACLES: Mapping[str, Callable[[Facts], list[str]]] = {
    "manifest_delivered": _manifest_delivered,
    "moves_succeeded": _moves_succeeded,
    "files_staged": _files_staged,
    "files_unstaged": _files_unstaged,
    "canceled": _canceled,
    "failed_for_good": _failed_for_good,
    "suspended": _suspended,
    "resumed_staging": partial(_resumed, state="staging"),
    "resumed_active": partial(_resumed, state="active"),
    "resumed_finalizing": partial(_resumed, state="finalizing"),
}
"""What stands in the way of each guard of the transfer chart: sentences, none exactly where the guard agrees."""


def attempts_left(facts: Facts, operation: OperationRow) -> str:
    """Why an operation may not be tried again; "" where it may."""
    if operation.lost or (not operation.permanent and operation.attempts + 1 < facts.max_attempts):
        return ""
    if operation.permanent:
        return "its error is permanent"
    return f"no attempt is left: this is number {operation.attempts + 1} of {facts.max_attempts}"


def attempts_exhausted(facts: Facts, operation: OperationRow) -> str:
    """Why a failure of an operation would not be for good; "" where it would."""
    if attempts_left(facts, operation):
        return ""
    if operation.lost:
        return "its provider has lost it, which costs no attempt"
    left = facts.max_attempts - operation.attempts - 1
    return f"{left} of {facts.max_attempts} attempts {'is' if left == 1 else 'are'} left"


OPERATION_OBSTACLES: Mapping[str, Callable[[Facts, OperationRow], str]] = {
    "attempts_left": attempts_left,
    "attempts_exhausted": attempts_exhausted,
}
"""What stands in the way of each guard of the operation chart: a sentence, "" exactly where the guard agrees."""
