"""The handlers, call by call: what they tell their providers, and what they believe of the answers."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest

from dts_fsm.errors import PermanentError, TransientError, UnavailableError
from dts_fsm.handlers import Manifestor, Mover, Stager
from dts_fsm.handlers.mover import checked
from dts_fsm.handlers.places import Places
from dts_fsm.records import (
    Descriptor,
    Destination,
    FileOutcome,
    FileRecord,
    FileState,
    FileTransfer,
    Operation,
    OperationCode,
    OperationStatus,
    Overwrite,
    SourceSummary,
    Specification,
    Transfer,
    TransferStatusCode,
    User,
)
from dts_fsm.testing import ORCID, FakeDatabase, FakeEndpoint

SHA = "sha256:" + "0" * 64


def file(file_id: str, state: FileState = FileState.PENDING, endpoint: str = "disk", **changes: Any) -> FileRecord:
    fields = {"id": file_id, "path": f"{file_id}.fa", "bytes": 10, "hash": SHA} | changes
    return FileRecord(descriptor=Descriptor(**fields), endpoint=endpoint, state=state)


INLINE = FileRecord(descriptor=Descriptor(id="z", properties={"data": 1}), endpoint="", state=FileState.INLINE)


def operation(*files: FileRecord, kind: str = "move", endpoint: str = "disk", **changes: Any) -> Operation:
    fields: dict[str, Any] = {
        "id": uuid4(),
        "submission_id": uuid4(),
        "handler": "any",
        "kind": kind,
        "endpoint": endpoint,
        "began_at": datetime(2026, 1, 1, tzinfo=UTC),
        "files": files,
        "transfer": Transfer(
            id=uuid4(),
            state=TransferStatusCode.ACTIVE,
            specification=Specification(
                source="genomes", destination="archive", file_ids=["a"], user=User(name="Ada", orcid=ORCID)
            ),
            destination=Destination(endpoint="archive", path="ada", username="ada"),
            sources=(SourceSummary(endpoint="disk", num_files=1, num_bytes=10),),
            num_unstaged=0,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        ),
    }
    return Operation(**(fields | changes))


@pytest.fixture
def disk(tmp_path: Path) -> FakeEndpoint:
    return FakeEndpoint("disk", sees=tmp_path)


@pytest.fixture
def genomes(disk: FakeEndpoint) -> FakeDatabase:
    return FakeDatabase("genomes", endpoint=disk, endpoint_name="disk")


@pytest.fixture
def places(disk: FakeEndpoint, genomes: FakeDatabase) -> Places:
    return Places({"genomes": genomes}, {"disk": disk, "archive": FakeEndpoint("archive")})


def outcome(file_id: str, state: FileState = FileState.TRANSFERRED, **changes: Any) -> FileOutcome:
    return FileOutcome(id=file_id, state=state, **changes)


def status(code: OperationCode, *outcomes: FileOutcome, **changes: Any) -> OperationStatus:
    return OperationStatus(code=code, files=outcomes, **changes)


def summary(found: OperationStatus) -> list[tuple[str, FileState, str | None]]:
    return [(one.id, one.state, one.reason) for one in found.files]


class TestWhatTheMoverBelieves:
    def test_nothing_is_asked_of_an_answer_that_ends_nothing(self) -> None:
        running = status(OperationCode.RUNNING, num_files_transferred=3)
        assert checked(operation(file("a")), running) is running

    def test_success_without_particulars_is_believed_for_every_file(self) -> None:
        found = checked(operation(file("a"), file("b"), INLINE), status(OperationCode.SUCCEEDED))
        assert summary(found) == [("a", FileState.TRANSFERRED, None), ("b", FileState.TRANSFERRED, None)]
        assert {one.observed_bytes for one in found.files} == {10}

    def test_files_of_other_endpoints_and_those_that_had_arrived_are_none_of_its_business(self) -> None:
        asked = operation(file("a"), file("b", endpoint="tape"), file("c", FileState.TRANSFERRED))
        assert summary(checked(asked, status(OperationCode.SUCCEEDED))) == [("a", FileState.TRANSFERRED, None)]

    def test_outcomes_of_unknown_files_are_dropped_and_repeated_ones_count_once(self) -> None:
        told = status(OperationCode.SUCCEEDED, outcome("a"), outcome("x"), outcome("a"))
        assert summary(checked(operation(file("a")), told)) == [("a", FileState.TRANSFERRED, None)]

    def test_a_file_that_a_success_says_nothing_of_has_not_arrived(self) -> None:
        found = checked(operation(file("a"), file("b")), status(OperationCode.SUCCEEDED, outcome("a")))
        assert found.code is OperationCode.FAILED
        assert [one.state for one in found.files] == [FileState.TRANSFERRED, FileState.FAILED]
        assert "says nothing of this file" in str(found.files[1].error)

    def test_a_wrong_size_is_not_believed(self) -> None:
        found = checked(operation(file("a")), status(OperationCode.SUCCEEDED, outcome("a", observed_bytes=9)))
        assert (found.code, found.reason, found.transient) == (OperationCode.FAILED, "size mismatch", False)

    def test_a_wrong_checksum_is_not_believed(self) -> None:
        told = outcome("a", observed_hash="SHA256:" + "1" * 64)
        found = checked(operation(file("a")), status(OperationCode.SUCCEEDED, told))
        assert (found.code, found.reason) == (OperationCode.FAILED, "checksum mismatch")

    @pytest.mark.parametrize("observed", [SHA, SHA.upper(), "md5:" + "1" * 32, None])
    def test_a_right_checksum_and_one_that_cannot_be_compared_are(self, observed: str | None) -> None:
        found = checked(operation(file("a")), status(OperationCode.SUCCEEDED, outcome("a", observed_hash=observed)))
        assert found.code is OperationCode.SUCCEEDED

    def test_states_that_a_move_cannot_have_are_no_outcome(self) -> None:
        found = checked(operation(file("a")), status(OperationCode.SUCCEEDED, outcome("a", FileState.STAGED)))
        assert summary(found) == [("a", FileState.FAILED, None)]

    def test_a_failure_without_particulars_fails_every_file_with_its_message(self) -> None:
        told = status(OperationCode.FAILED, message="quota", reason="no space", transient=True)
        found = checked(operation(file("a"), file("b")), told)
        assert summary(found) == [("a", FileState.FAILED, "no space"), ("b", FileState.FAILED, "no space")]
        assert (found.message, found.transient) == ("quota", True)

    def test_the_commonest_reason_stands_for_all_and_one_transient_file_is_worth_another_attempt(self) -> None:
        told = status(
            OperationCode.FAILED,
            outcome("a", FileState.FAILED, reason="denied"),
            outcome("b", FileState.FAILED, reason="not found", error="gone"),
            outcome("c", FileState.FAILED, reason="not found", transient=True),
        )
        found = checked(operation(file("a"), file("b"), file("c")), told)
        assert (found.reason, found.transient) == ("not found", True)
        assert found.message == "3 of 3 files failed; a: None"

    def test_what_had_arrived_before_a_cancellation_is_kept(self) -> None:
        told = status(OperationCode.CANCELED, outcome("a"))
        assert summary(checked(operation(file("a"), file("b")), told)) == [("a", FileState.TRANSFERRED, None)]


class _Clearing:
    """The method ``clear`` of an endpoint; it notes what it is asked for."""

    def __init__(self, told: list[tuple[object, list[str], object]]) -> None:
        self._told = told

    def __call__(self, destination: object, files: Sequence[FileTransfer], *, operation_id: UUID) -> None:
        self._told.append((destination, [file.destination_path for file in files], operation_id))


class TestMover:
    @pytest.mark.parametrize(("there", "code"), [(10, "succeeded"), (9, "failed"), (None, "failed")])
    def test_success_without_particulars_is_looked_after_at_the_destination(
        self, places: Places, disk: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, there: int | None, code: str
    ) -> None:
        asked = operation(file("a"), handle=uuid4())
        archive = places.endpoints["archive"]
        assert isinstance(archive, FakeEndpoint)
        if there is not None:
            archive.put(f"{asked.transfer.folder}/a.fa", there)
        monkeypatch.setattr(disk, "statuses", lambda ids: {ids[0]: status(OperationCode.SUCCEEDED)})
        found = Mover(places).poll([asked])[asked.id]
        assert (found.code, len(found.files)) == (code, 1)

    def test_nothing_left_to_move_is_success(self, places: Places) -> None:
        for files in ((), (INLINE,), (file("a", FileState.SKIPPED),)):
            assert Mover(places).submit(operation(*files)).code is OperationCode.SUCCEEDED

    @pytest.mark.parametrize("policy", Overwrite)
    def test_every_file_goes_with_the_policy_for_what_is_in_its_place(
        self, places: Places, disk: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, policy: Overwrite
    ) -> None:
        told: list[FileTransfer] = []
        monkeypatch.setattr(disk, "transfer", lambda _, files, operation_id: told.extend(files) or operation_id)
        Mover(places, overwrite=policy).submit(operation(file("a"), file("b")))
        assert [(moved.id, moved.overwrite) for moved in told] == [("a", policy), ("b", policy)]

    def test_moves_that_the_endpoint_does_not_speak_of_are_left_out(
        self, places: Places, disk: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(disk, "statuses", lambda ids: {ids[0]: OperationStatus(code=OperationCode.RUNNING)})
        first, second = operation(file("a")), operation(file("b"), handle=uuid4())
        assert list(Mover(places).poll([first, second])) == [first.id]

    def test_cancel_without_anything_to_move_is_success(self, places: Places) -> None:
        assert Mover(places).cancel(operation()).code is OperationCode.SUCCEEDED

    def test_cancel_without_an_answer_goes_on_asking(
        self, places: Places, disk: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(disk, "statuses", lambda ids: {})
        found = Mover(places).cancel(operation(file("a"), handle=uuid4()))
        assert found.code is OperationCode.RUNNING

    @pytest.mark.parametrize(
        ("code", "cleared"),
        [
            (OperationCode.RUNNING, False),
            (OperationCode.SUCCEEDED, False),
            (OperationCode.LOST, True),
            (OperationCode.CANCELED, True),
        ],
    )
    def test_what_a_canceled_move_has_left_is_cleared_away_once_it_has_stopped(
        self, places: Places, disk: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, code: OperationCode, cleared: bool
    ) -> None:
        # Kill in mid-copy, then cancel or suspend: unfinished files stayed in the payload's folder for ever.
        told: list[tuple[object, list[str], object]] = []
        monkeypatch.setattr(disk, "statuses", lambda ids: dict.fromkeys(ids, status(code)))
        monkeypatch.setattr(disk, "clear", _Clearing(told), raising=False)
        asked = operation(file("a"), file("b", FileState.SKIPPED), file("c", endpoint="tape"), handle=uuid4())
        assert Mover(places).cancel(asked).code in (code, OperationCode.FAILED)
        expected = [(places.endpoints["archive"], [f"{asked.transfer.folder}/a.fa"], asked.submission_id)]
        assert told == (expected if cleared else [])

    def test_cancel_does_not_need_a_destination_that_is_not_configured_any_more(
        self, disk: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(disk, "clear", _Clearing([]), raising=False)
        places = Places({}, {"disk": disk})
        assert Mover(places).cancel(operation(file("a"), handle=uuid4())).code is OperationCode.LOST

    def test_an_endpoint_that_is_not_configured_any_more_may_come_back(self, places: Places) -> None:
        with pytest.raises(UnavailableError, match="'tape' is not configured any more"):
            Mover(places).submit(operation(file("a", endpoint="tape"), endpoint="tape"))


class TestStager:
    def test_a_database_that_is_not_configured_any_more_may_come_back(self, places: Places) -> None:
        with pytest.raises(UnavailableError, match="'jdp' is not configured any more"):
            Stager(places).poll([operation(endpoint="jdp")])

    def test_nothing_left_to_stage_is_success(self, places: Places) -> None:
        asked = operation(file("a", FileState.STAGED), kind="stage", endpoint="genomes")
        assert Stager(places).submit(asked).code is OperationCode.SUCCEEDED

    def test_a_survey_finds_what_is_missing_at_its_own_endpoint(self, places: Places, disk: FakeEndpoint) -> None:
        disk.put("a.fa", 10)
        disk.put("b.fa", 9)
        asked = operation(file("a"), file("b"), file("c"), file("d", endpoint="tape"), INLINE, kind="survey")
        found = Stager(places).submit(asked)
        assert summary(found) == [("b", FileState.UNSTAGED, None), ("c", FileState.UNSTAGED, None)]

    @pytest.mark.parametrize(
        ("double_check", "code"), [(False, OperationCode.SUCCEEDED), (True, OperationCode.RUNNING)]
    )
    def test_a_database_that_says_staged_too_early_is_believed_unless_it_is_checked(
        self, places: Places, genomes: FakeDatabase, double_check: bool, code: OperationCode
    ) -> None:
        genomes.add("a", 10, path="a.fa", staged=False)
        stager = Stager(places, double_check=double_check)
        asked = operation(file("a", FileState.UNSTAGED), kind="stage", endpoint="genomes")
        handle = stager.submit(asked).handle
        genomes.tape.clear()  # it will say that it is done, and put nothing there
        polled = attrs.evolve(asked, handle=handle)
        assert stager.poll([polled])[polled.id].code is code

    def test_a_double_check_that_finds_everything_is_success(self, places: Places, genomes: FakeDatabase) -> None:
        genomes.add("a", 10, path="a.fa", staged=False)
        stager = Stager(places, double_check=True)
        asked = operation(file("a", FileState.UNSTAGED), kind="stage", endpoint="genomes")
        polled = attrs.evolve(asked, handle=stager.submit(asked).handle)
        assert summary(stager.poll([polled])[polled.id]) == [("a", FileState.STAGED, None)]


class TestManifestor:
    def manifestor(self, places: Places, folder: Path) -> Manifestor:
        return Manifestor(places, endpoint="disk", folder=folder)

    def test_a_folder_that_the_endpoint_does_not_see_is_a_clear_error(self, places: Places, tmp_path: Path) -> None:
        with pytest.raises(PermanentError, match="not below the root of service.endpoint"):
            self.manifestor(places, tmp_path.parent / f"{tmp_path.name}-elsewhere").submit(operation())

    def test_a_folder_that_cannot_be_written_may_become_writable(self, places: Places, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(TransientError, match=r"cannot be written to .*; see service\.manifest_dir"):
            self.manifestor(places, tmp_path / "file").submit(operation())

    @pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
    def test_a_manifest_can_be_read_by_everybody_whatever_the_umask_is(
        self, places: Places, tmp_path: Path, umask: int
    ) -> None:
        # With a umask of 0077 consumers of the destination could not read it: the copy has the mode of the original.
        (tmp_path / "manifests").mkdir()
        asked = operation(file("a", FileState.TRANSFERRED))
        former = os.umask(umask)
        try:
            for _ in range(2):  # the second finds the file of the first
                self.manifestor(places, tmp_path / "manifests").submit(asked)
        finally:
            os.umask(former)
        (written,) = (tmp_path / "manifests").iterdir()
        assert stat.S_IMODE(written.stat().st_mode) == 0o644

    def test_a_manifest_left_with_another_mode_gets_the_right_one(self, places: Places, tmp_path: Path) -> None:
        asked = operation(file("a", FileState.TRANSFERRED))
        left = tmp_path / f"{asked.transfer.id}.json"
        left.write_text("half of it, and longer than the manifest would be" * 100)
        left.chmod(0o600)
        self.manifestor(places, tmp_path).submit(asked)
        assert stat.S_IMODE(left.stat().st_mode) == 0o644
        assert json.loads(left.read_text())["name"] == "manifest"

    def test_a_manifest_is_written_where_a_file_system_has_no_modes(
        self, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "fchmod", refuse)
        asked = operation(file("a", FileState.TRANSFERRED))
        assert self.manifestor(places, tmp_path).submit(asked).code is OperationCode.RUNNING

    def test_a_manifest_is_delivered_under_the_default_policy(
        self, places: Places, disk: FakeEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[FileTransfer] = []
        monkeypatch.setattr(disk, "transfer", lambda _, files, operation_id: told.extend(files) or operation_id)
        self.manifestor(places, tmp_path).submit(operation(file("a", FileState.TRANSFERRED)))
        assert [moved.overwrite for moved in told] == [Overwrite.IF_DIFFERENT]

    def test_a_delivery_that_failed_says_why_and_leaves_no_copy(
        self, places: Places, disk: FakeEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manifestor = self.manifestor(places, tmp_path / "manifests")
        asked = operation(file("a", FileState.TRANSFERRED))
        polled = attrs.evolve(asked, handle=manifestor.submit(asked).handle)
        failed = status(OperationCode.FAILED, outcome("manifest.json", FileState.FAILED, error="no", transient=True))
        monkeypatch.setattr(disk, "statuses", lambda ids: dict.fromkeys(ids, failed))
        found = manifestor.poll([polled])[polled.id]
        assert (found.code, found.reason, found.message, found.transient, found.files) == (
            OperationCode.FAILED,
            "manifest failed",
            "no",
            True,
            (),
        )
        assert list((tmp_path / "manifests").iterdir()) == []

    def test_a_delivery_that_the_endpoint_does_not_speak_of_is_left_out(
        self, places: Places, disk: FakeEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(disk, "statuses", lambda ids: {})
        manifestor = self.manifestor(places, tmp_path / "manifests")
        assert manifestor.poll([operation()]) == {}
        assert manifestor.cancel(operation(handle=uuid4())).code is OperationCode.RUNNING

    def test_cancel_of_a_delivery_that_is_there_reports_success(self, places: Places, tmp_path: Path) -> None:
        found = self.manifestor(places, tmp_path / "manifests").cancel(operation(file("a", FileState.TRANSFERRED)))
        assert found.code is OperationCode.SUCCEEDED
        assert found.manifest is not None

    def test_cancel_of_a_delivery_that_was_lost_clears_away_what_it_left(
        self, places: Places, disk: FakeEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[tuple[object, list[str], object]] = []
        monkeypatch.setattr(disk, "clear", _Clearing(told), raising=False)
        manifestor, asked = self.manifestor(places, tmp_path / "manifests"), operation(handle=uuid4())
        manifestor.submit(asked)
        disk.forget()
        assert manifestor.cancel(asked).code is OperationCode.LOST
        assert list((tmp_path / "manifests").iterdir()) == []
        expected = [(places.endpoints["archive"], [f"{asked.transfer.folder}/manifest.json"], asked.submission_id)]
        assert told == expected

    def test_cancel_of_a_delivery_that_had_arrived_and_was_lost_then_reports_success(
        self, places: Places, disk: FakeEndpoint, tmp_path: Path
    ) -> None:
        # A kill between the manifest's arrival and the note of it: the transfer was canceled beside its manifest.
        manifestor, asked = self.manifestor(places, tmp_path / "manifests"), operation(file("a", FileState.TRANSFERRED))
        handle = manifestor.submit(asked).handle
        archive = places.endpoints["archive"]
        assert isinstance(archive, FakeEndpoint)
        archive.put(f"{asked.transfer.folder}/a.fa", 10)
        assert manifestor.poll([asked])[asked.id].code is OperationCode.SUCCEEDED
        disk.forget()
        found = manifestor.cancel(attrs.evolve(asked, handle=handle))
        assert (found.code, found.manifest is None) == (OperationCode.SUCCEEDED, False)

    def test_the_source_is_told_in_its_own_lane_once_the_manifest_is_there(
        self, places: Places, genomes: FakeDatabase, tmp_path: Path
    ) -> None:
        manifestor = self.manifestor(places, tmp_path)
        transfer = operation().transfer
        (wish,) = manifestor.follow(transfer, *manifestor.begin(transfer))
        assert (wish.kind, wish.endpoint) == ("finalize", "genomes")
        assert manifestor.follow(transfer, wish) == []
        telling = operation(kind="finalize", endpoint="genomes")
        assert manifestor.submit(telling).code is OperationCode.SUCCEEDED
        assert genomes.finalized == [telling.transfer.id]
        assert manifestor.cancel(telling).code is OperationCode.CANCELED

    def test_a_source_that_refuses_the_news_has_been_told_and_one_that_sleeps_is_told_later(
        self, places: Places, genomes: FakeDatabase, tmp_path: Path
    ) -> None:
        telling = operation(kind="finalize", endpoint="genomes")
        genomes.faults.add("finalize", PermanentError("never"))
        found = self.manifestor(places, tmp_path).submit(telling)
        assert (found.code, found.message) == (OperationCode.SUCCEEDED, "delivered, and not taken note of: never")
        genomes.faults.add("finalize", TransientError("asleep"))
        with pytest.raises(TransientError):
            self.manifestor(places, tmp_path).submit(telling)

    @pytest.mark.parametrize("still_there", [True, False])
    def test_a_resubmission_is_delivered_unless_the_payload_was_taken_away(
        self, places: Places, tmp_path: Path, still_there: bool
    ) -> None:
        manifestor = self.manifestor(places, tmp_path / "manifests")
        asked = operation(file("a", FileState.TRANSFERRED), resubmitted=True)
        archive = places.endpoints["archive"]
        assert isinstance(archive, FakeEndpoint)
        if still_there:
            archive.put(f"{asked.transfer.folder}/a.fa", 10)
        found = manifestor.submit(asked)
        assert found.code is (OperationCode.RUNNING if still_there else OperationCode.SUCCEEDED)

    def test_cancel_before_anything_was_answered_of_a_payload_that_was_taken_away_is_success(
        self, places: Places, tmp_path: Path
    ) -> None:
        asked = operation(file("a", FileState.TRANSFERRED), resubmitted=True)
        assert self.manifestor(places, tmp_path / "manifests").cancel(asked).code is OperationCode.SUCCEEDED

    def test_nothing_but_inline_data_has_nothing_that_could_be_taken_away(self, places: Places, tmp_path: Path) -> None:
        found = self.manifestor(places, tmp_path / "manifests").submit(operation(INLINE, resubmitted=True))
        assert found.code is OperationCode.RUNNING


def test_every_handler_begins_what_its_state_needs(places: Places, tmp_path: Path) -> None:
    transfer = operation().transfer

    def begun(handler: Any, state: str) -> Sequence[tuple[str, str, str]]:
        wishes = handler.begin(attrs.evolve(transfer, state=TransferStatusCode(state)))
        return [(wish.handler, wish.kind, wish.endpoint) for wish in wishes]

    assert begun(Stager(places), "unknown") == [("stager", "survey", "disk")]
    assert begun(Stager(places), "staging") == [("stager", "stage", "genomes")]
    assert begun(Mover(places), "active") == [("mover", "move", "disk")]
    assert begun(Manifestor(places, endpoint="disk", folder=tmp_path), "finalizing") == [
        ("manifestor", "manifest", "disk")
    ]
