"""Transfers of which some files could not be moved: what becomes of them, and that every such file is named."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from dts_fsm.errors import PermanentError, TransientError
from dts_fsm.records import FailedFile, FileState, StagingStatus, TransferStatusCode
from dts_fsm.testing import Rig

Make = Callable[..., Rig]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def make(**settings: object) -> Rig:
            rig = stack.enter_context(contextlib.closing(Rig(tmp_path, **settings)))
            for name in ("a", "b", "c"):
                rig.source.add(name, f"content of {name}".encode())
            return rig

        yield make


GONE = FailedFile(id="b", path="b", reason="not found", error="there is no b")


def without_b(rig: Rig) -> UUID:
    """A transfer of three files, the second of which vanishes after it was found to be staged."""
    transfer_id = rig.create("a", "b", "c")
    rig.tick(2)
    assert rig.store.status(transfer_id).code == "active"
    del rig.source_endpoint.files["b"]
    return transfer_id


def test_a_file_that_fails_does_not_stop_the_others_and_fails_the_transfer(make: Make) -> None:
    rig = make()
    transfer_id = without_b(rig)
    status = rig.run(transfer_id)
    assert (status.code, status.reason, status.num_files_transferred) == ("failed", "not found", 2)
    states = {file.id: file.state for file in rig.store.files(rig.store.rowid(transfer_id))}
    assert states == {"a": "transferred", "b": "failed", "c": "transferred"}


def test_partial_keep_succeeds_with_what_arrived_and_says_what_did_not(make: Make) -> None:
    rig = make(partial="keep")
    transfer_id = without_b(rig)
    status = rig.run(transfer_id)
    assert (status.code, status.reason, status.num_files_transferred) == ("succeeded", "partial", 2)
    assert status.message == "The manifest was delivered. 1 of 3 files could not be moved."
    folder = rig.store.transfer(transfer_id).folder
    manifest = json.loads(rig.destination_endpoint.files[f"{folder}/manifest.json"].content or b"")
    assert [resource["id"] for resource in manifest["resources"]] == ["a", "c"]
    assert manifest["missing"] == [{"id": "b", "path": "b", "reason": "not found"}]


@pytest.mark.parametrize("partial", ["fail", "keep"])
def test_every_failed_file_is_in_the_status_the_files_and_the_journal(make: Make, partial: str) -> None:
    rig = make(partial=partial)
    transfer_id = without_b(rig)
    assert rig.run(transfer_id).failed_files == (GONE,)
    assert rig.store.transfers()[0].status.failed_files == (GONE,)
    failed = [file for file in rig.store.files(rig.store.rowid(transfer_id)) if file.state is FileState.FAILED]
    assert [(file.id, file.reason, file.error) for file in failed] == [("b", "not found", "there is no b")]
    assert [record.failed_files for record in rig.store.journal()] == [(GONE,)]


def test_partial_keep_needs_at_least_one_file_that_arrived(make: Make) -> None:
    rig = make(partial="keep")
    transfer_id = rig.create("b")
    rig.tick(2)
    rig.source_endpoint.files.clear()
    assert rig.run(transfer_id).code is TransferStatusCode.FAILED


def test_files_of_a_move_that_fails_as_a_whole_are_named_with_its_reason(make: Make) -> None:
    rig = make(max_attempts=2)
    transfer_id = rig.create("a", "b")
    rig.source_endpoint.faults.add("transfer", TransientError("the line is dead"), 2)
    status = rig.run(transfer_id)
    assert [(file.id, file.reason) for file in status.failed_files] == [("a", "move failed"), ("b", "move failed")]
    assert "the line is dead" in (status.failed_files[0].error or "")


def test_files_that_could_not_be_staged_are_named(make: Make) -> None:
    rig = make()
    rig.source.add("tape", b"from tape", staged=False)
    rig.source.staging_result = StagingStatus.FAILED
    status = rig.run(rig.create("a", "tape"))
    assert [(file.id, file.reason) for file in status.failed_files] == [
        ("a", "staging failed"),
        ("tape", "staging failed"),
    ]


def test_files_of_a_canceled_transfer_have_not_failed(make: Make) -> None:
    rig = make()
    transfer_id = rig.create("a")
    rig.store.request(transfer_id, "cancel", rig.clock.time())
    assert rig.run(transfer_id).failed_files == ()


def test_every_attempt_is_recorded_with_its_reason(make: Make) -> None:
    rig = make(max_attempts=3)
    transfer_id = rig.create("a")
    rig.source_endpoint.faults.add("transfer", TransientError("not now"))
    rig.source_endpoint.faults.add("transfer", PermanentError("never"))
    rig.run(transfer_id)
    attempts = [
        (entry.event, entry.message, entry.reason)
        for entry in rig.store.history(transfer_id)
        if entry.machine == "move" and entry.event in ("retry", "fail")
    ]
    assert attempts == [("retry", "not now", "transient error"), ("fail", "never", None)]
