"""What becomes of a transfer: from create() to its end, with everything that providers and users may do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

import pytest

from dts_fsm.errors import PermanentError, TransientError
from dts_fsm.records import FileState, OperationStatus, StagingStatus
from dts_fsm.testing import Rig


def states(rig: Rig, transfer_id: UUID, machine: str = "transfer") -> list[str]:
    return [entry.target for entry in rig.store.history(transfer_id) if entry.machine == machine]


def file_states(rig: Rig, transfer_id: UUID) -> dict[str, FileState]:
    return {file.id: file.state for file in rig.store.files(rig.store.rowid(transfer_id))}


def delivered(rig: Rig, transfer_id: UUID) -> set[str]:
    folder = f"/dts-{transfer_id}/"
    return {path.partition(folder)[2] for path in rig.destination_endpoint.files if folder in path}


def ask(rig: Rig, transfer_id: UUID, kind: str) -> None:
    assert rig.store.request(transfer_id, kind, rig.clock.time())  # type: ignore[arg-type]
    rig.tick(3)


def slow(rig: Rig, seconds: float = 1000.0) -> None:
    rig.source_endpoint.duration_s = seconds


class TestSuccess:
    def test_staged_files_go_straight_to_active(self, rig: Rig) -> None:
        transfer_id = rig.create("a", "b")
        assert rig.run(transfer_id).code == "succeeded"
        assert states(rig, transfer_id) == ["unknown", "active", "finalizing", "succeeded"]
        assert delivered(rig, transfer_id) == {"a", "b", "manifest.json"}

    def test_unstaged_files_are_staged_first(self, rig: Rig) -> None:
        rig.source.add("tape", b"from tape", staged=False)
        transfer_id = rig.create("a", "tape")
        rig.tick(2)
        assert file_states(rig, transfer_id) == {"a": FileState.PENDING, "tape": FileState.UNSTAGED}
        assert rig.run(transfer_id).code == "succeeded"
        assert states(rig, transfer_id) == ["unknown", "staging", "active", "finalizing", "succeeded"]

    def test_inline_data_is_in_the_manifest_and_is_not_moved(self, rig: Rig) -> None:
        rig.source.add_inline("meta", {"depth": 3})
        transfer_id = rig.create("a", "meta")
        status = rig.run(transfer_id)
        assert (status.num_files, delivered(rig, transfer_id)) == (1, {"a", "manifest.json"})
        manifest = rig.store.journal()[0].manifest
        assert [resource.get("data") for resource in manifest["resources"]] == [None, {"depth": 3}]

    def test_inline_data_alone_still_gets_a_manifest(self, rig: Rig) -> None:
        rig.source.add_inline("meta", [1, 2])
        transfer_id = rig.create("meta")
        assert rig.run(transfer_id).num_files == 0
        assert delivered(rig, transfer_id) == {"manifest.json"}

    def test_files_that_are_there_already_are_counted_as_skipped(self, rig: Rig) -> None:
        transfer_id = rig.create("a", "b")
        folder = rig.store.transfer(transfer_id).folder
        rig.destination_endpoint.put(f"{folder}/a", b"content of a")
        status = rig.run(transfer_id)
        assert (status.num_files_transferred, status.num_files_skipped) == (2, 1)
        assert file_states(rig, transfer_id) == {"a": FileState.SKIPPED, "b": FileState.TRANSFERRED}

    def test_the_source_database_is_told_once(self, rig: Rig) -> None:
        transfer_id = rig.create("a")
        rig.run(transfer_id)
        assert rig.source.finalized == [transfer_id]

    def test_the_journal_has_the_manifest_that_was_delivered(self, rig: Rig) -> None:
        transfer_id = rig.create("a", description="# one", instructions={"objects": []})
        rig.run(transfer_id)
        (record,) = rig.store.journal()
        (path,) = (path for path in rig.destination_endpoint.files if path.endswith("manifest.json"))
        content = rig.destination_endpoint.files[path].content
        assert content is not None
        assert record.manifest == json.loads(content)
        assert (record.id, record.status, record.description) == (transfer_id, "succeeded", "# one")
        assert (record.num_files, record.payload_size) == (1, len("content of a"))

    def test_the_manifest_is_delivered_only_after_every_file(self, rig: Rig) -> None:
        slow(rig, 5.0)
        transfer_id = rig.create("a")
        rig.tick(4)
        assert delivered(rig, transfer_id) == set()
        rig.run(transfer_id)
        events = [(entry.machine, entry.event) for entry in rig.store.history(transfer_id)]
        assert events.index(("move", "succeed")) < events.index(("manifest", "create"))

    def test_no_copy_of_the_manifest_stays_behind(self, rig: Rig) -> None:
        rig.run(rig.create("a"))
        assert list(rig.config.service.manifest_dir.iterdir()) == []


class TestFailure:
    def test_a_missing_file_fails_the_transfer_with_its_reason(self, rig: Rig) -> None:
        transfer_id = rig.create("a", "b")
        rig.tick(1)
        del rig.source_endpoint.files["b"]
        status = rig.run(transfer_id)
        assert (status.code, status.reason) == ("failed", "not found")
        assert "b" in status.message
        assert file_states(rig, transfer_id) == {"a": FileState.TRANSFERRED, "b": FileState.FAILED}
        assert status.num_files_transferred == 1

    def test_a_corrupt_file_fails_the_transfer_and_no_manifest_appears(self, rig: Rig) -> None:
        transfer_id = rig.create("a")
        rig.source_endpoint.put("a", b"content of X")
        status = rig.run(transfer_id)
        assert (status.code, status.reason) == ("failed", "checksum mismatch")
        assert delivered(rig, transfer_id) == set()
        assert rig.store.journal()[0].manifest is None

    def test_a_staging_that_fails_is_named_as_the_reason(self, rig: Rig) -> None:
        rig.source.add("tape", b"x", staged=False)
        rig.source.staging_result = StagingStatus.FAILED
        status = rig.run(rig.create("tape"))
        assert (status.code, status.reason) == ("failed", "staging failed")

    def test_a_permanent_error_is_not_tried_again(self, rig: Rig) -> None:
        rig.source_endpoint.faults.add("transfer", PermanentError("no permission"))
        transfer_id = rig.create("a")
        status = rig.run(transfer_id)
        assert (status.code, status.reason, status.message) == (
            "failed",
            "move failed",
            "move at source: no permission",
        )
        assert states(rig, transfer_id, "move") == ["pending", "submitting", "failed"]

    def test_a_failed_transfer_is_in_the_journal(self, rig: Rig) -> None:
        rig.source_endpoint.faults.add("transfer", PermanentError("no permission"))
        rig.run(rig.create("a"))
        (record,) = rig.store.journal()
        assert (record.status, record.reason) == ("failed", "move failed")

    def test_an_answer_that_is_no_status_is_an_error_of_that_call_only(self, rig: Rig) -> None:
        class Liar:
            def begin(self, transfer: object) -> Sequence[object]:
                return original.begin(transfer)  # type: ignore[arg-type]

            def submit(self, operation: object) -> OperationStatus:
                return "done"  # type: ignore[return-value]

        original = rig.handlers["mover"]
        rig.handlers["mover"] = Liar()  # type: ignore[assignment]
        status = rig.run(rig.create("a"))
        assert (status.code, "not with an OperationStatus" in status.message) == ("failed", True)


class TestRetries:
    def test_a_transient_error_is_tried_again_with_the_same_submission(self, rig: Rig) -> None:
        rig.source_endpoint.faults.add("transfer answer", TransientError("the answer got lost"))
        transfer_id = rig.create("a")
        assert rig.run(transfer_id).code == "succeeded"
        first, second, _manifest = rig.source_endpoint.submissions
        assert first == second

    def test_attempts_end_and_the_last_error_is_the_reason_given(self, rig: Rig) -> None:
        rig.source_endpoint.faults.add("transfer", TransientError("out of order"), times=100)
        transfer_id = rig.create("a")
        status = rig.run(transfer_id)
        assert (status.code, status.message) == ("failed", "move at source: out of order")
        attempts = rig.config.service.max_attempts
        assert states(rig, transfer_id, "move").count("submitting") == attempts

    def test_the_pauses_between_attempts_grow(self, rig: Rig) -> None:
        rig.source_endpoint.faults.add("transfer", TransientError("out of order"), times=100)
        transfer_id = rig.create("a")
        rig.run(transfer_id, step_s=0.05)
        submissions = [h for h in rig.store.history(transfer_id) if (h.machine, h.event) == ("move", "submit")]
        pauses = [(after.time - before.time).total_seconds() for before, after in pairwise(submissions)]
        for number, pause in enumerate(pauses):
            assert 0.5 * 2**number <= pause <= 2**number + 0.1

    def test_a_difficulty_shows_in_the_status_and_goes_away(self, rig: Rig) -> None:
        slow(rig, 10.0)
        rig.source_endpoint.faults.add("statuses", TransientError("busy"))
        transfer_id = rig.create("a")
        rig.tick(3)
        rig.clock.advance(1)
        rig.tick(2)
        assert rig.store.status(transfer_id).message == "move at source: busy"
        rig.clock.advance(5)
        rig.tick(2)
        assert "busy" not in rig.store.status(transfer_id).message
        assert rig.run(transfer_id).code == "succeeded"

    def test_work_that_a_provider_lost_is_submitted_again_at_once(self, rig: Rig) -> None:
        slow(rig, 50.0)
        transfer_id = rig.create("a")
        rig.tick(4)
        rig.source_endpoint.forget()
        assert rig.run(transfer_id).code == "succeeded"
        assert states(rig, transfer_id, "move").count("submitting") == 2
        first, second, _manifest = rig.source_endpoint.submissions
        assert first == second

    def test_a_transfer_goes_on_after_the_process_was_killed_in_any_state(self, rig: Rig) -> None:
        for ticks in range(8):
            rig.source.add(f"tape {ticks}", b"x", staged=False)
            transfer_id = rig.create("a", f"tape {ticks}")
            rig.tick(ticks)
            rig.reopen()
            assert rig.run(transfer_id).code == "succeeded"
            assert delivered(rig, transfer_id) == {"a", f"tape {ticks}", "manifest.json"}

    def test_a_payload_that_was_taken_away_before_the_answer_came_is_success(self, rig: Rig) -> None:
        transfer_id = rig.create("a")
        rig.source_endpoint.faults.add("transfer answer", lambda: None)
        while rig.store.status(transfer_id).code != "finalizing":
            rig.tick()
            rig.clock.advance(0.1)
        rig.tick()
        # the manifest has appeared and its consumer has taken the folder, when the process is killed
        rig.destination_endpoint.files.clear()
        rig.reopen()
        status = rig.run(transfer_id)
        assert (status.code, rig.destination_endpoint.files) == ("succeeded", {})
        assert rig.store.journal()[0].manifest["name"] == "manifest"

    def test_a_source_database_that_cannot_be_told_is_told_later(self, rig: Rig) -> None:
        rig.source.faults.add("finalize", TransientError("asleep"), times=3)
        transfer_id = rig.create("a")
        assert rig.run(transfer_id).code == "succeeded"
        assert rig.source.finalized == [transfer_id]

    def test_a_source_database_with_a_bug_does_not_undo_the_delivery(self, rig: Rig) -> None:
        rig.source.faults.add("finalize", KeyError("oops"), times=1000)
        transfer_id = rig.create("a")
        assert rig.run(transfer_id).code == "succeeded"
        assert rig.store.journal()[0].manifest["name"] == "manifest"

    def test_a_destination_that_is_empty_after_a_failed_delivery_is_no_success(self, rig: Rig) -> None:
        transfer_id = rig.create("a")
        rig.source_endpoint.faults.add("transfer", lambda: None)  # the move goes well
        rig.source_endpoint.faults.add("transfer", TransientError("not mounted"), times=1000)
        while rig.store.status(transfer_id).code != "finalizing":
            rig.tick()
            rig.clock.advance(0.1)
        rig.destination_endpoint.files.clear()
        assert rig.run(transfer_id).code == "failed"

    def test_a_source_database_that_refuses_to_be_told_does_not_undo_the_delivery(self, rig: Rig) -> None:
        rig.source.faults.add("finalize", PermanentError("never"))
        assert rig.run(rig.create("a")).code == "succeeded"


class TestCancel:
    @pytest.mark.parametrize("ticks", range(9))
    def test_cancel_ends_every_state_as_canceled_or_reports_that_all_was_done(self, rig: Rig, ticks: int) -> None:
        rig.source.add("tape", b"x", staged=False)
        transfer_id = rig.create("a", "tape")
        rig.tick(ticks)
        if not rig.store.request(transfer_id, "cancel", rig.clock.time()):
            assert rig.store.status(transfer_id).code == "succeeded"
            return
        status = rig.run(transfer_id)
        if status.code == "succeeded":
            assert delivered(rig, transfer_id) == {"a", "tape", "manifest.json"}
        else:
            assert (status.code, status.reason) == ("failed", "canceled")
            assert "manifest.json" not in delivered(rig, transfer_id)
            assert [record.status for record in rig.store.journal()] == ["canceled"]

    def test_cancel_while_staging_ends_at_once(self, rig: Rig) -> None:
        rig.source.add("tape", b"x", staged=False)
        rig.source.staging_duration_s = 1e6
        transfer_id = rig.create("tape")
        rig.tick(3)
        assert rig.store.status(transfer_id).code == "staging"
        ask(rig, transfer_id, "cancel")
        assert rig.store.status(transfer_id).reason == "canceled"

    def test_cancel_reaches_the_provider(self, rig: Rig) -> None:
        slow(rig)
        transfer_id = rig.create("a")
        rig.tick(4)
        ask(rig, transfer_id, "cancel")
        assert rig.store.status(transfer_id).reason == "canceled"
        assert states(rig, transfer_id, "move")[-2:] == ["canceling", "canceled"]
        assert delivered(rig, transfer_id) == set()

    def test_cancel_of_a_submission_whose_answer_was_lost_reaches_the_provider(self, rig: Rig) -> None:
        slow(rig)
        rig.source_endpoint.faults.add("transfer answer", TransientError("lost"))
        transfer_id = rig.create("a")
        rig.tick(3)
        ask(rig, transfer_id, "cancel")
        assert rig.store.status(transfer_id).reason == "canceled"
        rig.clock.advance(1e5)
        assert delivered(rig, transfer_id) == set()

    def test_a_provider_that_does_not_acknowledge_is_not_waited_for_beyond_the_deadline(self, rig: Rig) -> None:
        slow(rig)
        transfer_id = rig.create("a")
        rig.tick(4)
        rig.source_endpoint.faults.add("cancel", TransientError("deaf"), times=10**6)
        ask(rig, transfer_id, "cancel")
        assert rig.store.status(transfer_id).code == "active"
        rig.clock.advance(rig.config.service.cancel_deadline_s + 1)
        assert rig.run(transfer_id, step_s=10).reason == "canceled"
        assert states(rig, transfer_id, "move")[-1] == "canceled"

    def test_a_move_that_finished_before_the_cancellation_reached_it_is_not_undone(self, rig: Rig) -> None:
        slow(rig, 5.0)
        transfer_id = rig.create("a")
        rig.tick(4)
        rig.clock.advance(10)
        ask(rig, transfer_id, "cancel")
        status = rig.run(transfer_id)
        assert (status.reason, status.num_files_transferred) == ("canceled", 1)
        assert status.message.endswith("1 of 1 files had arrived before, and stay.")
        assert delivered(rig, transfer_id) == {"a"}

    def test_an_ended_transfer_cannot_be_canceled(self, rig: Rig) -> None:
        transfer_id = rig.create("a")
        rig.run(transfer_id)
        assert not rig.store.request(transfer_id, "cancel", rig.clock.time())
        rig.tick(3)
        assert rig.store.status(transfer_id).code == "succeeded"


class TestSuspend:
    @pytest.mark.parametrize("state", ["staging", "active", "finalizing"])
    def test_suspend_and_resume_work_in_every_working_state(self, rig: Rig, state: str) -> None:
        rig.source.add("tape", b"x", staged=False)
        rig.source.staging_duration_s = 20.0
        slow(rig, 20.0)
        transfer_id = rig.create("a", "tape")
        while rig.store.status(transfer_id).code != state:
            rig.tick()
            rig.clock.advance(1)
        ask(rig, transfer_id, "suspend")
        assert rig.store.status(transfer_id).code == "inactive"
        rig.clock.advance(3600)
        rig.tick(5)
        assert rig.store.status(transfer_id).code == "inactive"
        ask(rig, transfer_id, "resume")
        assert rig.store.status(transfer_id).code == state
        assert rig.run(transfer_id).code == "succeeded"
        assert delivered(rig, transfer_id) == {"a", "tape", "manifest.json"}

    def test_suspend_while_files_are_looked_for_takes_effect_afterwards(self, rig: Rig) -> None:
        transfer_id = rig.create("a")
        ask(rig, transfer_id, "suspend")
        assert rig.store.status(transfer_id).code == "inactive"
        ask(rig, transfer_id, "resume")
        assert rig.run(transfer_id).code == "succeeded"

    def test_resume_before_the_suspension_took_effect_lets_the_work_go_on(self, rig: Rig) -> None:
        slow(rig, 20.0)
        transfer_id = rig.create("a")
        rig.tick(4)
        rig.store.request(transfer_id, "suspend", rig.clock.time())
        rig.store.request(transfer_id, "resume", rig.clock.time())
        assert rig.run(transfer_id).code == "succeeded"

    def test_resume_in_the_unknown_state_withdraws_the_wish(self, rig: Rig) -> None:
        transfer_id = rig.create("a")
        rig.store.request(transfer_id, "suspend", rig.clock.time())
        rig.store.request(transfer_id, "resume", rig.clock.time())
        rig.run(transfer_id)
        assert "inactive" not in states(rig, transfer_id)

    def test_a_suspended_transfer_can_be_canceled(self, rig: Rig) -> None:
        slow(rig)
        transfer_id = rig.create("a")
        rig.tick(4)
        ask(rig, transfer_id, "suspend")
        ask(rig, transfer_id, "cancel")
        assert rig.store.status(transfer_id).reason == "canceled"

    def test_a_provider_that_suspends_the_work_makes_it_inactive_until_it_goes_on(self, rig: Rig) -> None:
        slow(rig, 20.0)
        transfer_id = rig.create("a")
        rig.tick(4)
        rig.source_endpoint.pause(rig.source_endpoint.submissions[0])
        rig.clock.advance(1)
        rig.tick(3)
        assert rig.store.status(transfer_id).code == "inactive"
        rig.source_endpoint.pause(rig.source_endpoint.submissions[0], False)
        assert rig.run(transfer_id).code == "succeeded"
        assert states(rig, transfer_id) == ["unknown", "active", "inactive", "active", "finalizing", "succeeded"]

    def test_what_arrived_before_the_suspension_is_not_moved_again(self, rig: Rig) -> None:
        slow(rig, 5.0)
        transfer_id = rig.create("a", "b")
        rig.tick(4)
        rig.clock.advance(10)
        ask(rig, transfer_id, "suspend")
        ask(rig, transfer_id, "resume")
        assert rig.run(transfer_id).num_files_skipped == 0


class TestDeadlines:
    def test_a_state_that_lasts_too_long_fails_the_transfer(self, rig: Rig) -> None:
        slow(rig, 1e9)
        transfer_id = rig.create("a")
        status = rig.run(transfer_id, step_s=10_000.0)
        assert (status.code, status.reason) == ("failed", "deadline")
        assert "active" in status.message
        assert rig.clock.time() - status.created_at.timestamp() >= rig.config.service.active_deadline_s

    def test_work_that_is_lost_and_begun_again_for_ever_fails_in_the_end(self, rig: Rig) -> None:
        rig.source.add("tape", b"x", staged=False)
        rig.source.staging_result = StagingStatus.UNKNOWN
        transfer_id = rig.create("tape")
        assert rig.run(transfer_id, step_s=1000.0).reason == "deadline"

    def test_progress_moves_the_deadline_on(self, rig: Rig) -> None:
        slow(rig, 1e9)
        transfer_id = rig.create("a")
        rig.tick(4)
        rig.clock.advance(rig.config.service.active_deadline_s - 10)
        move = rig.source_endpoint.submissions[0]
        rig.source_endpoint.progress(move, 5)
        rig.tick(3)
        rig.clock.advance(rig.config.service.active_deadline_s - 10)
        rig.tick(3)
        assert rig.store.status(transfer_id).code == "active"
        assert rig.store.status(transfer_id).num_bytes_transferred == 5
        rig.clock.advance(20)
        assert rig.run(transfer_id).reason == "deadline"

    def test_what_a_provider_did_while_nobody_asked_is_heard_before_the_deadline_counts(self, rig: Rig) -> None:
        slow(rig, 1000.0)
        transfer_id = rig.create("a")
        rig.tick(4)
        rig.clock.advance(4 * 86_400)
        rig.store.close()
        rig._open()
        assert rig.run(transfer_id).code == "succeeded"

    def test_what_was_done_in_the_end_is_not_undone_because_it_took_long(self, rig: Rig) -> None:
        slow(rig, rig.config.service.active_deadline_s + 5)
        transfer_id = rig.create("a")
        rig.tick(4)
        rig.source_endpoint.faults.add("statuses", TransientError("busy"), times=3)
        rig.source_endpoint.faults.add("cancel", TransientError("busy"), times=3)
        rig.clock.advance(rig.config.service.active_deadline_s + 1)
        rig.tick(2)
        rig.clock.advance(10)
        slow(rig, 0.0)
        assert rig.run(transfer_id).code == "succeeded"

    def test_an_inactive_transfer_fails_in_the_end(self, rig: Rig) -> None:
        slow(rig, 1e9)
        transfer_id = rig.create("a")
        rig.tick(4)
        ask(rig, transfer_id, "suspend")
        assert rig.run(transfer_id, step_s=100_000.0).reason == "deadline"

    def test_a_provider_that_suspends_and_resumes_for_ever_gets_no_more_time_by_it(self, rig: Rig) -> None:
        slow(rig, 1e9)
        transfer_id = rig.create("a")
        rig.tick(4)
        (move,) = rig.source_endpoint.transfers()
        for number in range(14):
            rig.source_endpoint.pause(move, number % 2 == 0)
            rig.clock.advance(43_200.0)
            rig.tick(4)
        assert rig.store.status(transfer_id).reason == "deadline"

    def test_the_time_for_which_a_provider_suspended_the_work_does_not_count(self, rig: Rig) -> None:
        slow(rig, 1e9)
        transfer_id = rig.create("a")
        rig.tick(4)
        (move,) = rig.source_endpoint.transfers()
        rig.source_endpoint.pause(move)
        rig.clock.advance(60.0)
        rig.tick(4)
        rig.clock.advance(10 * 86_400.0)
        rig.source_endpoint.pause(move, False)
        rig.tick(4)
        rig.clock.advance(2 * 86_400.0)
        rig.tick(4)
        assert rig.store.status(transfer_id).code == "active"

    def test_a_provider_that_hangs_when_the_deadline_passes_is_abandoned(self, rig: Rig) -> None:
        slow(rig, 1e9)
        transfer_id = rig.create("a")
        rig.tick(4)
        rig.source_endpoint.faults.add("cancel", TransientError("deaf"), times=10**6)
        assert rig.run(transfer_id, step_s=10_000.0).reason == "deadline"

    def test_a_cancellation_after_the_deadline_has_passed_counts_as_canceled(self, rig: Rig) -> None:
        slow(rig, 1e9)
        transfer_id = rig.create("a")
        rig.tick(4)
        rig.source_endpoint.faults.add("cancel", TransientError("deaf"), times=10**6)
        rig.clock.advance(rig.config.service.active_deadline_s + 1)
        rig.tick(1)
        ask(rig, transfer_id, "cancel")
        assert rig.run(transfer_id, step_s=100.0).reason == "canceled"
