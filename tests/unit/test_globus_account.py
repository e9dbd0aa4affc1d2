"""What Globus answers, as its SDK has it recorded; the pace at which it is asked; and what is kept of submissions."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import responses
from globus_sdk import ConfidentialAppAuthClient, TransferClient
from globus_sdk.testing import RegisteredResponse, get_last_request, load_response

from dts_fsm.config import Secret
from dts_fsm.endpoints.globus.client import Account, Identity, shared_account
from dts_fsm.endpoints.globus.faults import DeniedError, MissingError
from dts_fsm.endpoints.globus.journal import KEPT_S, Ending, Journal, Submission, Turn
from dts_fsm.endpoints.globus.pace import Pace, Slots
from dts_fsm.endpoints.globus.place import Place
from dts_fsm.errors import PermanentError, TransientError
from dts_fsm.records import OperationCode
from dts_fsm.testing.endpoint_pair import file_of


def identity() -> Identity:
    return Identity(client_id=str(uuid4()), secret=Secret("hush"))


@pytest.fixture
def account() -> Iterator[Account]:
    """An account whose requests are answered by what the SDK has recorded of Globus."""
    with responses.mock:
        load_response(ConfidentialAppAuthClient.oauth2_client_credentials_tokens)
        yield Account(identity())


def recorded(method: Any, case: str = "default") -> dict[str, Any]:
    answer = load_response(method, case=case)
    assert isinstance(answer, RegisteredResponse)
    return dict(answer.metadata)


class TestRecordedAnswers:
    def test_a_submission_and_its_id(self, account: Account) -> None:
        submission_id = recorded(TransferClient.get_submission_id)["submission_id"]
        assert account.submission_id() == submission_id
        task_id = recorded(TransferClient.submit_transfer)["task_id"]
        assert account.submit({"submission_id": submission_id, "DATA": []}) == UUID(task_id)
        last = get_last_request()
        assert last is not None
        assert last.headers["Authorization"] == "Bearer DUMMY_TRANSFER_TOKEN_FROM_THE_INTERTUBES"

    def test_a_refusal(self, account: Account) -> None:
        recorded(TransferClient.submit_transfer, "failure")
        with pytest.raises(PermanentError, match="A transfer requires at least one item"):
            account.submit({"submission_id": str(uuid4()), "DATA": []})

    def test_a_list_of_tasks(self, account: Account) -> None:
        task_id = UUID(recorded(TransferClient.task_list)["tasks"][0]["task_id"])
        assert {task_id: "SUCCEEDED"} == {
            id_: task["status"] for id_, task in account.tasks([task_id, uuid4()]).items()
        }
        last = get_last_request()
        assert last is not None
        assert f"filter=task_id%3A{task_id}%2C" in str(last.url)

    def test_a_cancellation(self, account: Account) -> None:
        account.cancel(UUID(recorded(TransferClient.cancel_task)["task_id"]))
        last = get_last_request()
        assert last is not None
        assert last.method == "POST"

    @pytest.mark.parametrize(
        ("case", "error"), [("not_found", MissingError), ("permission_denied", DeniedError)], ids=str
    )
    def test_a_file_that_is_not_there_or_may_not_be_seen(
        self, account: Account, case: str, error: type[PermanentError]
    ) -> None:
        collection = recorded(TransferClient.operation_stat, case)["endpoint_id"]
        with pytest.raises(error):
            account.size(collection, "/~/foo")

    def test_a_file(self, account: Account) -> None:
        collection = recorded(TransferClient.operation_stat)["endpoint_id"]
        assert account.size(collection, "/home/share/godata/file1.txt") == 4

    def test_what_was_transferred(self, account: Account) -> None:
        answer = load_response(TransferClient.endpoint_manager_task_successful_transfers)
        assert isinstance(answer, RegisteredResponse)
        # the same document, at the path of those who are no administrators
        task_id = UUID(answer.metadata["task_id"])
        document = {**answer.json, "next_marker": None}  # type: ignore[dict-item]
        path = f"/v0.10/task/{task_id}/successful_transfers"
        load_response(RegisteredResponse(service="transfer", path=path, json=document))
        assert [(entry["source_path"], entry["destination_path"]) for entry in account.successes(task_id, 10)] == [
            ("/path/to/source", "/path/to/destination")
        ]

    def test_an_answer_that_is_too_large_is_not_read(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dts_fsm.endpoints.globus.transport.MAX_ANSWER_BYTES", 1000)
        path = f"/v0.10/task/{uuid4()}"
        load_response(RegisteredResponse(service="transfer", path=path, body="x" * 1001))
        with pytest.raises(TransientError, match="more than"):
            account.task(UUID(path.rpartition("/")[2]))

    def test_a_redirect_is_not_followed(self, account: Account) -> None:
        path = f"/v0.10/task/{uuid4()}"
        there = {"Location": "https://example.org/"}
        load_response(RegisteredResponse(service="transfer", path=path, status=302, headers=there))
        with pytest.raises(TransientError):
            account.task(UUID(path.rpartition("/")[2]))


def test_endpoints_of_one_identity_share_an_account() -> None:
    one, other = identity(), identity()
    account = shared_account(one)
    assert account is shared_account(one)
    assert account is not shared_account(other)


class TestPace:
    def clocked(self, per_s: float, **options: Any) -> tuple[Pace, list[float]]:
        now, slept = [0.0], []

        def sleep(seconds: float) -> None:
            slept.append(round(seconds, 6))
            now[0] += seconds

        return Pace(per_s, clock=lambda: now[0], sleep=sleep, **options), slept

    def test_so_many_begin_at_once_and_the_others_evenly(self) -> None:
        pace, slept = self.clocked(4.0)
        for _ in range(7):
            pace.wait()
        assert slept == [0.25, 0.25, 0.25]

    def test_the_lowest_limit_counts(self) -> None:
        pace, slept = self.clocked(4.0)
        pace.limit(2.0)
        pace.limit(4.0)
        for _ in range(6):
            pace.wait()
        assert slept[-1] == 0.5

    def test_nothing_begins_while_the_service_wants_to_be_left_alone(self) -> None:
        pace, slept = self.clocked(4.0)
        pace.hold(3.0)
        pace.hold(1.0)
        pace.wait()
        assert slept == [3.0]

    def test_who_would_wait_too_long_is_told(self) -> None:
        pace, slept = self.clocked(4.0, patience_s=1.0)
        pace.hold(3.0)
        with pytest.raises(TransientError, match="as many requests"):
            pace.wait()
        assert slept == []

    def test_slots_are_taken_once_and_given_back(self) -> None:
        slots = Slots(2)
        assert [slots.take(owner) for owner in "aabc"] == [True, True, True, False]
        slots.keep("d")
        slots.leave("a")
        assert slots.take("c") is False
        slots.leave("d")
        slots.leave("d")
        assert slots.take("c") is True


class TestJournal:
    PLACE = Place(collection=str(uuid4()), folder="/in")

    def filled(self, folder: Path) -> tuple[Journal, UUID, Submission]:
        journal, operation = Journal(folder / "journal"), uuid4()
        submission = Submission(document={"DATA": []}, files=(file_of("a", b"first"),))
        with journal.draft(operation) as draft:
            draft.add(submission)
            draft.commit(self.PLACE, ())
        return journal, operation, submission

    def test_what_was_written_is_read(self, tmp_path: Path) -> None:
        journal, operation, submission = self.filled(tmp_path)
        task = uuid4()
        journal.add_task(operation, Turn(0), task)
        known = Journal(journal.folder).known(operation)
        assert known is not None
        assert (known.destination, known.turns, known.canceled) == (self.PLACE, (((Turn(0), task, False),),), False)
        assert journal.submission(operation, Turn(0)) == submission
        assert journal.operations() == [operation]

    def test_a_draft_that_was_not_committed_leaves_nothing(self, tmp_path: Path) -> None:
        journal, operation = Journal(tmp_path), uuid4()
        with journal.draft(operation) as draft:
            draft.add(Submission(document={}, files=()))
        assert (journal.known(operation), list(tmp_path.iterdir())) == (None, [])

    def test_who_commits_second_finds_what_the_first_has_written(self, tmp_path: Path) -> None:
        journal, operation, submission = self.filled(tmp_path)
        with journal.draft(operation) as draft:
            draft.add(Submission(document={"other": 1}, files=()))
            draft.commit(self.PLACE, ())
        assert journal.submission(operation, Turn(0)) == submission

    @pytest.mark.parametrize("name", ["move.json", "0.0.json", "0.0.end.json", "0.0.task"])
    def test_a_damaged_file_is_named(self, tmp_path: Path, name: str) -> None:
        journal, operation, _ = self.filled(tmp_path)
        journal.add_task(operation, Turn(0), uuid4())
        journal.add_ending(operation, Turn(0), Ending(code=OperationCode.SUCCEEDED))
        (journal.folder / str(operation) / name).write_text("{")
        with pytest.raises(PermanentError, match=f"{name} is damaged"):
            journal.known(operation)
            journal.submission(operation, Turn(0))
            journal.ending(operation, Turn(0))

    def test_a_folder_that_cannot_be_used_may_be_used_later(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(TransientError, match="cannot be used now"):
            Journal(tmp_path / "file").known(uuid4())

    def test_moves_that_ended_long_ago_are_forgotten(self, tmp_path: Path) -> None:
        journal, old, _ = self.filled(tmp_path)
        _, young, _ = self.filled(tmp_path)
        _, live, _ = self.filled(tmp_path)
        long_ago = time.time() - KEPT_S - 10
        for operation in (old, young):
            journal.mark_ended(operation)
        os.utime(journal.folder / str(old) / "ended", (long_ago, long_ago))
        journal.prune()
        assert set(journal.operations()) == {young, live}
