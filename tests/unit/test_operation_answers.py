"""What an answer leaves behind: the operation's row, its history word for word, the transfer's message and counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest

from dts_fsm.engine import Answer, Engine
from dts_fsm.errors import PermanentError, TransientError
from dts_fsm.records import FileOutcome, FileState, OperationCode, OperationRequest
from dts_fsm.store import Change, TransferRow
from dts_fsm.testing.store_rows import NOW, plan
from tests.deciding import engine_of_mutes, hear, said, survey

HANDLE = UUID("00000000-0000-0000-0000-00000000abcd")

Entry = tuple[str, str, str, str, str | None]
"""Event, source, target, message and reason of one entry of the history."""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return engine_of_mutes(tmp_path, max_attempts=3, retry_delay_s=10.0, stall_after_s=100.0)


@pytest.fixture
def row(engine: Engine) -> TransferRow:
    """A new transfer, whose survey has been handed over, read from the store again."""
    row = engine.admit(plan("a", "b"), NOW).transfer
    row.dirty = survey(row).dirty = False
    return row


def told(change: Change) -> list[Entry]:
    """What the change's history says of the survey."""
    mine = [entry for entry in change.history if entry.operation is survey(change.transfer)]
    return [(entry.event, entry.source, entry.target, entry.message, entry.reason) for entry in mine]


@pytest.mark.parametrize(
    ("answer", "entries"),
    [
        (said(OperationCode.RUNNING, "at it"), [("start", "submitting", "running", "at it", None)]),
        (said(OperationCode.SUSPENDED, "paused"), [("suspend", "submitting", "suspended", "paused", None)]),
        (said(OperationCode.SUCCEEDED, "done"), [("succeed", "submitting", "succeeded", "done", None)]),
        (said(OperationCode.FAILED), [("fail", "submitting", "failed", "the provider says that it failed", None)]),
        (said(OperationCode.FAILED, "no", reason="denied"), [("fail", "submitting", "failed", "no", "denied")]),
        (
            said(OperationCode.CANCELED),
            [("fail", "submitting", "failed", "the provider canceled it", "canceled by the provider")],
        ),
        (
            said(OperationCode.CANCELED, "by an operator", reason="maintenance"),
            [("fail", "submitting", "failed", "by an operator", "maintenance")],
        ),
        (
            said(OperationCode.FAILED, "busy", transient=True),
            [("retry", "submitting", "pending", "busy", "transient error")],
        ),
        (
            said(OperationCode.FAILED, "busy", transient=True, reason="quota"),
            [("retry", "submitting", "pending", "busy", "quota")],
        ),
        (
            said(OperationCode.LOST),
            [
                ("retry", "submitting", "pending", "the provider has lost it: it is submitted again", "lost"),
                ("submit", "pending", "submitting", "", None),
            ],
        ),
        (
            said(OperationCode.LOST, "never heard of it"),
            [
                ("retry", "submitting", "pending", "never heard of it", "lost"),
                ("submit", "pending", "submitting", "", None),
            ],
        ),
        (TransientError("busy"), [("retry", "submitting", "pending", "busy", "transient error")]),
        (TransientError(""), [("retry", "submitting", "pending", "TransientError", "transient error")]),
        (PermanentError("gone"), [("fail", "submitting", "failed", "gone", None)]),
        (None, []),
    ],
)
def test_the_history_says_what_was_answered_and_why(
    engine: Engine, row: TransferRow, answer: Answer, entries: list[Entry]
) -> None:
    assert told(hear(engine, row, answer)) == entries
    assert (survey(row).dirty, survey(row).changed_at) == (True, NOW)


@pytest.mark.parametrize(
    ("answer", "entry"),
    [
        (said(OperationCode.LOST), ("acknowledge", "canceling", "canceled", "the provider knows nothing of it", None)),
        (said(OperationCode.CANCELED, "stopped"), ("acknowledge", "canceling", "canceled", "stopped", None)),
        (said(OperationCode.FAILED, "broken"), ("fail", "canceling", "failed", "broken", None)),
        (said(OperationCode.FAILED, "busy", transient=True), ("acknowledge", "canceling", "canceled", "busy", None)),
        (said(OperationCode.SUCCEEDED, "too late"), ("succeed", "canceling", "succeeded", "too late", None)),
        (PermanentError("gone"), ("abandon", "canceling", "canceled", "gone", None)),
    ],
)
def test_the_history_says_how_a_cancellation_ended(
    engine: Engine, row: TransferRow, answer: Answer, entry: Entry
) -> None:
    row.wanted = "cancel"
    assert told(hear(engine, row)) == [("cancel", "submitting", "canceling", "", None)]
    assert survey(row).due_at == NOW
    assert told(hear(engine, row, answer)) == [entry]
    assert row.state == "failed"


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([said(OperationCode.RUNNING, "deaf")], "deaf"),
        ([TransientError("deaf")], "deaf"),
        ([], "the provider did not acknowledge in time"),
    ],
)
def test_the_history_says_that_nobody_acknowledged(
    engine: Engine, row: TransferRow, answers: Sequence[Answer], message: str
) -> None:
    row.wanted = "cancel"
    hear(engine, row)
    change = hear(engine, row, *answers, at=NOW + 600)
    assert told(change) == [("abandon", "canceling", "canceled", message, None)]


def test_the_history_says_that_a_canceled_operation_had_not_been_handed_over(engine: Engine, row: TransferRow) -> None:
    hear(engine, row, said(OperationCode.FAILED, transient=True))
    row.wanted = "cancel"
    assert told(hear(engine, row)) == [
        ("cancel", "pending", "canceling", "", None),
        ("acknowledge", "canceling", "canceled", "it had not been handed over", None),
    ]


@pytest.mark.parametrize("state", ["running", "canceling"])
def test_the_history_says_that_the_transfer_of_an_abandoned_operation_had_ended(
    engine: Engine, row: TransferRow, state: str
) -> None:
    survey(row).state, row.completed_at = state, NOW
    canceled = [("cancel", "running", "canceling", "", None)] if state == "running" else []
    abandoned = ("abandon", "canceling", "canceled", "its transfer had ended", None)
    assert told(engine.mend(row, NOW)) == [*canceled, abandoned]


def test_a_failed_attempt_waits_longer_each_time_and_counts(engine: Engine, row: TransferRow) -> None:
    busy = said(OperationCode.FAILED, "busy", transient=True, handle=HANDLE, num_files_transferred=1)
    hear(engine, row, busy)
    first = survey(row).due_at or 0.0
    assert 5.0 <= first - NOW <= 10.0
    assert (survey(row).attempts, survey(row).generation, survey(row).handle) == (1, 1, None)
    assert (survey(row).files_transferred, survey(row).reason) == (0, None)
    hear(engine, row, at=first - 0.001)
    assert survey(row).state == "pending"
    hear(engine, row, at=first)
    hear(engine, row, busy, at=first)
    assert 10.0 <= (survey(row).due_at or 0.0) - first <= 20.0
    hear(engine, row, at=first + 20)
    hear(engine, row, busy, at=first + 20)
    assert (survey(row).state, survey(row).attempts, survey(row).due_at) == ("failed", 3, None)
    assert (row.state, row.reason, row.message) == ("failed", "stager failed", "stager at there: busy")


def test_work_that_is_lost_again_waits_longer_each_time_and_costs_no_attempt(engine: Engine, row: TransferRow) -> None:
    hear(engine, row, said(OperationCode.LOST))
    assert (survey(row).state, survey(row).due_at, survey(row).losses) == ("submitting", NOW, 1)
    hear(engine, row, said(OperationCode.LOST))
    second = survey(row).due_at or 0.0
    assert 5.0 <= second - NOW <= 10.0
    hear(engine, row, at=second)
    hear(engine, row, said(OperationCode.LOST), at=second)
    assert 10.0 <= (survey(row).due_at or 0.0) - second <= 20.0
    assert (survey(row).attempts, survey(row).losses, survey(row).lost) == (0, 3, False)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (TransientError("busy"), "stager at there: busy"),
        (said(OperationCode.FAILED, "busy", transient=True), "stager at there: busy"),
        (said(OperationCode.RUNNING, "at it"), "The transfer is stored; whether its files are at the source endpoint"),
    ],
)
def test_the_transfer_s_message_names_the_operation_in_difficulty(
    engine: Engine, row: TransferRow, answer: Answer, message: str
) -> None:
    change = hear(engine, row, answer, at=NOW + 1)
    assert change.transfer.message.startswith(message)
    assert change.transfer.dirty is message.startswith("stager")


def test_a_call_that_raised_is_repeated_after_the_longer_of_poll_and_back_off(engine: Engine, row: TransferRow) -> None:
    hear(engine, row, said(OperationCode.RUNNING))
    survey(row).dirty = row.dirty = False
    change = hear(engine, row, TransientError("deaf"), at=NOW + 5)
    assert 5.0 <= (survey(row).due_at or 0.0) - (NOW + 5) <= 10.0
    assert (survey(row).state, survey(row).message, survey(row).dirty) == ("running", "deaf", True)
    assert (survey(row).attempts, told(change), row.updated_at, row.dirty) == (0, [], NOW + 5, True)
    hear(engine, row, TransientError("deaf"), at=NOW + 300)
    assert survey(row).due_at == NOW + 300 + 30


def test_a_cancellation_whose_call_raised_is_asked_for_again(engine: Engine, row: TransferRow) -> None:
    row.wanted = "cancel"
    hear(engine, row)
    hear(engine, row, TransientError("deaf"), at=NOW + 1)
    assert 5.0 <= (survey(row).due_at or 0.0) - (NOW + 1) <= 10.0
    assert (survey(row).message, row.message) == ("deaf", "stager at there: deaf")


def test_a_running_operation_is_polled_after_a_tenth_of_its_time_and_keeps_its_last_message(
    engine: Engine, row: TransferRow
) -> None:
    hear(engine, row, said(OperationCode.RUNNING, "at it"))
    assert survey(row).due_at == pytest.approx(NOW + 0.01)
    change = hear(engine, row, None, at=NOW + 50)
    assert (survey(row).due_at, survey(row).message, told(change)) == (NOW + 55, "at it", [])
    hear(engine, row, said(OperationCode.RUNNING, "half of it"), at=NOW + 60)
    assert (survey(row).due_at, survey(row).message) == (NOW + 66, "half of it")


def test_only_what_goes_beyond_the_furthest_point_is_progress(engine: Engine, row: TransferRow) -> None:
    def tell(at: float, files: int, skipped: int, size: int) -> tuple[int, int, int, float]:
        counts = {"num_files_transferred": files, "num_files_skipped": skipped, "num_bytes_transferred": size}
        hear(engine, row, said(OperationCode.RUNNING, **counts), at=NOW + at)
        operation = survey(row)
        seen = (operation.files_transferred, operation.files_skipped, operation.bytes_transferred)
        return (*seen, operation.progressed_at - NOW)

    assert tell(1, 0, 0, 0) == (0, 0, 0, 0)
    assert tell(2, 1, 0, 10) == (1, 0, 10, 2)
    assert tell(3, 1, 0, 10) == (1, 0, 10, 2)
    assert tell(4, 0, 1, 5) == (1, 1, 10, 4)
    assert tell(5, 0, 0, 0) == (1, 1, 10, 4)


def test_a_stall_is_told_from_its_second_on_and_not_of_work_that_is_suspended(engine: Engine, row: TransferRow) -> None:
    hear(engine, row, said(OperationCode.RUNNING))
    calm = row.message
    hear(engine, row, said(OperationCode.RUNNING), at=NOW + 99.9)
    assert row.message == calm
    hear(engine, row, said(OperationCode.SUSPENDED), at=NOW + 100)
    assert row.message == calm
    hear(engine, row, said(OperationCode.RUNNING), at=NOW + 100)
    assert row.message == "stager at there: it has made no progress since 2027-01-15 08:00:00Z"
    row.dirty = False
    hear(engine, row, said(OperationCode.RUNNING), at=NOW + 200)
    assert (row.message[:15], row.dirty) == ("stager at there", False)


def test_every_outcome_of_a_file_counts_once(engine: Engine, row: TransferRow) -> None:
    outcomes = (
        FileOutcome(id="a", state=FileState.TRANSFERRED, observed_bytes=7),
        FileOutcome(id="b", state=FileState.SKIPPED, observed_bytes=5),
        FileOutcome(id="c", state=FileState.SKIPPED),
        FileOutcome(id="d", state=FileState.FAILED, error="lost"),
        FileOutcome(id="e", state=FileState.UNSTAGED),
        FileOutcome(id="f", state=FileState.UNSTAGED),
        FileOutcome(id="g", state=FileState.STAGED),
    )
    change = Change(transfer=row)
    engine.operations.answer(change, survey(row), said(OperationCode.SUCCEEDED, files=outcomes), NOW)
    assert (row.files_transferred, row.files_skipped, row.bytes_transferred, row.num_unstaged) == (3, 2, 12, 1)
    assert (change.files, row.dirty) == (list(outcomes), True)


def test_files_that_were_staged_all_the_while_leave_none_unstaged(engine: Engine, row: TransferRow) -> None:
    row.num_unstaged = 1
    staged = tuple(FileOutcome(id=file_id, state=FileState.STAGED) for file_id in "ab")
    row.wanted = "cancel"
    hear(engine, row)
    change = hear(engine, row, said(OperationCode.CANCELED, files=staged))
    assert (row.num_unstaged, change.files) == (0, list(staged))


def test_the_manifest_of_an_earlier_answer_stays_until_there_is_another(engine: Engine, row: TransferRow) -> None:
    change = Change(transfer=row, manifest="first")
    engine.operations.answer(change, survey(row), said(OperationCode.SUCCEEDED), NOW)
    assert change.manifest == "first"
    survey(row).state = "running"
    engine.operations.answer(change, survey(row), said(OperationCode.SUCCEEDED, manifest="second"), NOW)
    assert change.manifest == "second"


def test_a_handle_that_was_told_once_is_kept(engine: Engine, row: TransferRow) -> None:
    hear(engine, row, said(OperationCode.RUNNING, handle=HANDLE))
    hear(engine, row, said(OperationCode.RUNNING))
    assert survey(row).handle == str(HANDLE)


def test_a_cancellation_that_could_not_be_made_is_no_difficulty_of_a_transfer_that_waits_for_another(
    engine: Engine, row: TransferRow
) -> None:
    engine.operations.begin(Change(transfer=row), OperationRequest(handler="mover", kind="move", endpoint="x"), NOW)
    hear(engine, row)
    row.wanted = "cancel"
    hear(engine, row)
    before = row.message
    hear(engine, row, PermanentError("gone"), at=NOW + 1)
    assert [operation.state for operation in row.operations] == ["canceled", "canceling"]
    assert (row.state, row.message) == ("unknown", before)
