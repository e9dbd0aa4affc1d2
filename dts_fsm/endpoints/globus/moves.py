"""The moves of an endpoint: submitted, looked after until Globus has ended their tasks, and submitted again if need be.

All that counts is in the journal; what is in memory only saves reading it.
"""

from __future__ import annotations

import contextlib
from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs

from dts_fsm.endpoints.globus.client import Account
from dts_fsm.endpoints.globus.faults import MissingError, RefusedCredentialError, shown
from dts_fsm.endpoints.globus.journal import Ending, Journal, Known, Submission, Turn
from dts_fsm.endpoints.globus.looks import sizes
from dts_fsm.endpoints.globus.place import Place
from dts_fsm.endpoints.globus.report import report
from dts_fsm.endpoints.globus.settings import GlobusSettings
from dts_fsm.endpoints.globus.submission import failed, is_comparable, portions, refusal, submission, timely
from dts_fsm.errors import PermanentError, TransientError
from dts_fsm.records import FileOutcome, FileState, FileTransfer, OperationCode, OperationStatus

_ENDED = ("SUCCEEDED", "FAILED")
"""Source: https://docs.globus.org/api/transfer/task/, status; the others are ACTIVE and INACTIVE."""

_MOST_COUNTED = 1 << 56
"""Larger numbers are none: a few hundred of these together can still be stored."""

_FINE = (None, "", "OK", "Queued")
"""What is no news in a nice_status. Source: https://docs.globus.org/api/transfer/task/, nice_status."""

_MAX_TURNS = 10
"""How often the rest of a part is submitted once more, after a file of it has ended its task."""

_REMEMBERED = 100
"""How many ends are in memory; the others are in the journal."""


@attrs.frozen(kw_only=True)
class _Progress:
    """How one submission stands.

    Attributes:
        files, skipped, num_bytes: how many have arrived, those that were there already included, and how many those
            are.
        message: what Globus says of it, or "".
        suspended: whether it waits for somebody.
    """

    files: int = 0
    skipped: int = 0
    num_bytes: int = 0
    message: str = ""
    suspended: bool = False


class Moves:
    """See the module; safe from any thread.

    Args:
        account: asks Globus.
        journal: what is known of the moves.
        settings: of the endpoint that the files are at.
    """

    def __init__(self, account: Account, journal: Journal, settings: GlobusSettings) -> None:
        self._account, self._journal, self._settings = account, journal, settings
        self._ended: OrderedDict[UUID, OperationStatus] = OrderedDict()
        self._done: dict[tuple[UUID, Turn], _Progress] = {}
        self._pauses: dict[UUID, str] = {}

    def known(self) -> list[UUID]:
        """Give the ids of the moves in the journal."""
        return self._journal.operations()

    def begin(self, destination: Place, files: Sequence[FileTransfer], operation: UUID) -> None:
        """The move is in the journal, and with Globus as far as that takes it; see ``GlobusEndpoint.transfer``."""
        known = self._journal.known(operation)
        is_new = known is None
        if known is None:
            self._write_down(destination, files, operation)
            known = self._journal.known(operation)
        try:
            for turns in known.turns if known else ():
                turn, task, over = turns[-1]
                if task is None and not over:
                    self._submit(operation, turn)
        except RefusedCredentialError as error:
            if is_new:
                raise
            # what went there before goes on: who gave up now would have it moved twice
            raise TransientError(str(error)) from error

    def statuses(self, ids: Sequence[UUID]) -> dict[UUID, OperationStatus]:
        """Give the status of each move; what keeps one from being known for now is its message."""
        answers = {id_: status for id_ in ids if (status := self._ended.get(id_)) is not None}
        live: dict[UUID, Known] = {}
        for id_ in ids:
            if id_ in answers:
                continue
            try:
                known = self._journal.known(id_)
            except PermanentError as error:
                answers[id_] = _unknown(id_, error)
            else:
                if known is None:
                    answers[id_] = OperationStatus(code=OperationCode.LOST)
                else:
                    live[id_] = known
        try:
            tasks = self._tasks(live.values())
        except PermanentError as error:
            return answers | {id_: _unknown(id_, error) for id_ in live}
        for id_, known in live.items():
            try:
                answers[id_] = self._status(id_, known, tasks)
            except (TransientError, PermanentError) as error:
                answers[id_] = _unknown(id_, error)
        return answers

    def _tasks(self, moves: Collection[Known]) -> dict[UUID, Mapping[str, Any]]:
        last = [turns[-1] for known in moves for turns in known.turns]
        wanted = [task for _, task, over in last if task is not None and not over]
        return self._account.tasks(wanted) if wanted else {}

    def cancel(self, operation: UUID) -> None:
        """The move is to be stopped: that is in the journal, and Globus was asked."""
        known = self._journal.known(operation)
        if known is None or operation in self._ended or all(turns[-1][2] for turns in known.turns):
            return
        self._journal.mark_canceled(operation)
        for turns in known.turns:
            _, task, over = turns[-1]
            if task is not None and not over:
                with contextlib.suppress(MissingError):
                    self._account.cancel(task)

    # Submitting

    def _write_down(self, destination: Place, files: Sequence[FileTransfer], operation: UUID) -> None:
        terms, source = self._settings.terms, self._settings.place
        refused = {
            file.id: outcome for file in files if (outcome := refusal(file, source, destination, terms)) is not None
        }
        # Globus compares checksums where it is given them; a size it is not told, so that it is looked at before
        unsure = [f for f in files if f.id not in refused and f.bytes is not None and not is_comparable(f.hash)]
        found = sizes(self._account, source, [file.source_path for file in unsure], denied=False) if unsure else {}
        for file in unsure:
            size = found.get(file.source_path, file.bytes)
            if size != file.bytes:
                refused[file.id] = failed(file, "size mismatch", f"expected {file.bytes} bytes, {size} are there")
        with self._journal.draft(operation) as draft:
            for part in portions([file for file in files if file.id not in refused]):
                draft.add(self._submission(part, destination, operation, again=False))
            draft.commit(destination, tuple(refused.values()))

    def _submission(
        self, files: tuple[FileTransfer, ...], destination: Place, operation: UUID, *, again: bool
    ) -> Submission:
        return submission(
            files,
            source=self._settings.place,
            destination=destination,
            terms=self._settings.terms,
            operation=operation,
            submission_id=self._account.submission_id(),
            again=again,
        )

    def _submit(self, operation: UUID, turn: Turn) -> UUID | None:
        """Give the task of this submission; None where it has to wait, or was refused for good."""
        owner = (operation, turn.part)
        if not self._account.slots.take(owner):
            return None
        submitted = self._journal.submission(operation, turn)
        try:
            task = self._account.submit(timely(submitted.document, self._settings.terms))
        except (TransientError, RefusedCredentialError):
            # it may have gone there before: only another answer to the same submission can tell
            self._account.slots.leave(owner)
            raise
        except PermanentError as error:
            self._refuse(operation, turn, submitted, error)
            return None
        self._journal.add_task(operation, turn, task)
        return task

    def _refuse(self, operation: UUID, turn: Turn, submitted: Submission, error: PermanentError) -> None:
        outcomes = tuple(failed(file, "refused", str(error)) for file in submitted.files)
        ending = Ending(code=OperationCode.FAILED, outcomes=outcomes, message=str(error), reason="refused")
        self._end(operation, turn, ending)

    # Looking after

    def _status(self, operation: UUID, known: Known, tasks: Mapping[UUID, Mapping[str, Any]]) -> OperationStatus:
        """How a move stands; whatever can be done for it now has been done."""
        progress = []
        for turns in known.turns:
            turn, task, over = turns[-1]
            progress += [self._arrived(operation, earlier) for earlier, _, _ in turns[:-1]]
            if over:
                progress.append(self._arrived(operation, turn))
                continue
            try:
                progress.append(self._looked_after(operation, known, turn, task, tasks))
            except (TransientError, PermanentError) as error:
                progress.append(_Progress(message=str(error), suspended=isinstance(error, RefusedCredentialError)))
        now = self._journal.known(operation) or known
        if all(turns[-1][2] for turns in now.turns):
            return self._final(operation, now)
        waiting = [each for each in progress if each.suspended]
        return OperationStatus(
            code=OperationCode.SUSPENDED if waiting else OperationCode.RUNNING,
            handle=operation,
            message="; ".join(dict.fromkeys(each.message for each in progress if each.message)),
            num_files_transferred=sum(each.files for each in progress),
            num_files_skipped=sum(each.skipped for each in progress),
            num_bytes_transferred=sum(each.num_bytes for each in progress),
        )

    def _looked_after(
        self, operation: UUID, known: Known, turn: Turn, task: UUID | None, tasks: Mapping[UUID, Mapping[str, Any]]
    ) -> _Progress:
        if task is None:
            task = self._submit(operation, turn)
            if task is None:
                most = self._account.slots.most
                return _Progress(message=f"waits, as Globus takes {most} tasks of a user at once")
        self._account.slots.keep((operation, turn.part))
        try:
            told = tasks.get(task) or self._account.task(task)
        except MissingError:
            message = f"Globus does not know the task {task} any more"
            self._end(operation, turn, Ending(code=OperationCode.FAILED, message=message, transient=True))
            return _Progress()
        if told.get("status") in _ENDED:
            return self._ended_task(operation, known, turn, task, told)
        if known.canceled:
            self._account.cancel(task)
        return self._progress(task, told)

    def _progress(self, task: UUID, told: Mapping[str, Any]) -> _Progress:
        said, nice = "", told.get("nice_status")
        if nice not in _FINE:
            parts = (told.get("nice_status_short_description") or nice, told.get("nice_status_details"))
            said = "Globus: " + ": ".join(dict.fromkeys(shown(part) for part in parts if part))
        if told.get("is_paused"):
            if task not in self._pauses:
                with contextlib.suppress(TransientError, PermanentError):
                    self._pauses[task] = self._account.pause_message(task)
            said = f"an administrator has paused the collection: {self._pauses.get(task) or 'no reason given'}"
        else:
            self._pauses.pop(task, None)
        if told.get("status") == "INACTIVE" and not said:
            said = "Globus waits for somebody to log in again"
        skipped = _count(told, "files_skipped")
        return _Progress(
            files=_count(told, "files_transferred") + skipped,
            skipped=skipped,
            num_bytes=_count(told, "bytes_transferred"),
            message=said,
            suspended=told.get("status") == "INACTIVE" or bool(told.get("is_paused")),
        )

    def _ended_task(self, operation: UUID, known: Known, turn: Turn, task: UUID, told: Mapping[str, Any]) -> _Progress:
        """The end of a task is in the journal; what it has left undone for the sake of others is submitted again."""
        submitted = self._journal.submission(operation, turn)
        most = len(submitted.files)
        found = report(
            submitted,
            told,
            successes=self._account.successes(task, most),
            skipped=self._account.skipped(task, most),
            events=self._account.events(task) if told.get("status") == "FAILED" else (),
        )
        go_on = found.can_go_on and not known.canceled and turn.number + 1 < _MAX_TURNS
        ending = self._with_sizes(found.ending(submitted, go_on=go_on), submitted, known.destination)
        if go_on:
            rest = tuple(submitted.files[index] for index in found.left)
            following = self._submission(rest, known.destination, operation, again=True)
            self._journal.add(operation, Turn(turn.part, turn.number + 1), following)
        self._end(operation, turn, ending)
        if go_on:
            self._submit(operation, Turn(turn.part, turn.number + 1))
        return self._arrived(operation, turn)

    def _with_sizes(self, ending: Ending, submitted: Submission, destination: Place) -> Ending:
        """The ending, with the sizes of files of which Globus told none; one of another size has not arrived."""
        files = {file.id: file for file in submitted.files}
        unsure = {
            outcome.id: files[outcome.id].destination_path
            for outcome in ending.outcomes
            if outcome.state.arrived and outcome.observed_bytes is None
        }
        if not unsure:
            return ending
        found = sizes(self._account, destination, unsure.values(), denied=False)

        def sized(outcome: FileOutcome) -> FileOutcome:
            size = found.get(unsure[outcome.id]) if outcome.id in unsure else None
            if size is None:
                return outcome
            expected = files[outcome.id].bytes
            if expected is not None and expected != size:
                return failed(files[outcome.id], "size mismatch", f"expected {expected} bytes, {size} arrived")
            return attrs.evolve(outcome, observed_bytes=size)

        return attrs.evolve(ending, outcomes=tuple(sized(outcome) for outcome in ending.outcomes))

    def _end(self, operation: UUID, turn: Turn, ending: Ending) -> None:
        self._journal.add_ending(operation, turn, ending)
        self._account.slots.leave((operation, turn.part))

    # What has ended

    def _arrived(self, operation: UUID, turn: Turn) -> _Progress:
        done = self._done.get((operation, turn))
        if done is None:
            outcomes = self._journal.ending(operation, turn).outcomes
            done = self._done[operation, turn] = _Progress(
                files=sum(outcome.state.arrived for outcome in outcomes),
                skipped=sum(outcome.state is FileState.SKIPPED for outcome in outcomes),
                num_bytes=sum(outcome.observed_bytes or 0 for outcome in outcomes if outcome.state.arrived),
            )
        return done

    def _final(self, operation: UUID, known: Known) -> OperationStatus:
        """How the move has ended, which is remembered."""
        endings = [self._journal.ending(operation, turn) for turns in known.turns for turn, _, _ in turns]
        outcomes = [*self._journal.refused(operation), *(each for ending in endings for each in ending.outcomes)]
        arrived = [outcome for outcome in outcomes if outcome.state.arrived]
        lost = [outcome for outcome in outcomes if outcome.state is FileState.FAILED]
        last = [self._journal.ending(operation, turns[-1][0]) for turns in known.turns]
        broken = [ending for ending in last if ending.code is OperationCode.FAILED]
        reasons = Counter(outcome.reason for outcome in lost if outcome.reason)
        code = OperationCode.FAILED if lost or broken else OperationCode.SUCCEEDED
        if any(ending.code is OperationCode.CANCELED for ending in last):
            code = OperationCode.CANCELED
        failed_ = code is OperationCode.FAILED
        said = dict.fromkeys(ending.message for ending in last if ending.message)
        status = OperationStatus(
            code=code,
            handle=operation,
            message="; ".join(said) or (str(lost[0].error) if lost else ""),
            reason=(reasons.most_common(1)[0][0] if reasons else next((e.reason for e in broken if e.reason), None))
            if failed_
            else None,
            transient=failed_ and (any(o.transient for o in lost) or any(e.transient for e in broken)),
            num_files_transferred=len(arrived),
            num_files_skipped=sum(outcome.state is FileState.SKIPPED for outcome in arrived),
            num_bytes_transferred=sum(outcome.observed_bytes or 0 for outcome in arrived),
            files=tuple(outcomes),
        )
        self._journal.mark_ended(operation)
        self._remember(operation, known, status)
        return status

    def _remember(self, operation: UUID, known: Known, status: OperationStatus) -> None:
        for turns in known.turns:
            for turn, _, _ in turns:
                self._done.pop((operation, turn), None)
        self._ended[operation] = status
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)


def _unknown(operation: UUID, error: Exception) -> OperationStatus:
    """How a move stands that Globus carries on with, and of which nothing can be heard: it waits for who can help."""
    code = OperationCode.SUSPENDED if isinstance(error, RefusedCredentialError) else OperationCode.RUNNING
    return OperationStatus(code=code, handle=operation, message=str(error))


def _count(told: Mapping[str, Any], name: str) -> int:
    value = told.get(name)
    return value if type(value) is int and 0 <= value <= _MOST_COUNTED else 0
