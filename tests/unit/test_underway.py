"""What a scheduler has in hand: rows in memory, and moves whose ends are told."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.errors import StoreError, StoreLeaseLostError, TransientError
from dts_fsm.records import FileTransfer, OperationCode
from dts_fsm.store import SqliteStore, TransferRow
from dts_fsm.testing import PromptEndpoint, Rig
from dts_fsm.underway import Ends, KeptRows
from dts_fsm.underway import ends as ends_module
from dts_fsm.underway import rows as rows_module
from tests.folders import Place


@pytest.fixture
def prompt(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, endpoint=PromptEndpoint)
    for name in ("a", "b", "c"):
        rig.source.add(name, b"content")
    yield rig
    rig.close()


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The row ids that were read from the store."""
    read: list[int] = []
    load = SqliteStore.load

    def listed(self: SqliteStore, rowids: Collection[int]) -> dict[int, TransferRow]:
        read.extend(rowids)
        return load(self, rowids)

    monkeypatch.setattr(SqliteStore, "load", listed)
    return read


def _moving(rig: Rig) -> UUID:
    """A transfer whose move takes 100 s, and was asked for a while ago: its next poll is some seconds away."""
    rig.source_endpoint.duration_s = 100.0
    transfer_id = rig.create("a")
    rig.tick(5)
    rig.clock.advance(50.0)
    rig.tick(5)
    assert rig.store.status(transfer_id).code == "active"
    return transfer_id


# Ends


def test_what_has_ended_when_it_is_submitted_is_found_without_a_poll(prompt: Rig) -> None:
    transfer_id = prompt.create("a", "b")
    prompt.tick(5)
    assert prompt.store.status(transfer_id).code == "succeeded"
    moves = [entry.event for entry in prompt.store.history(transfer_id) if entry.machine == "move"]
    assert moves == ["create", "submit", "succeed"]


def test_a_move_whose_end_is_told_is_asked_for_before_its_poll_is_due(prompt: Rig) -> None:
    transfer_id = _moving(prompt)
    (move,) = prompt.source_endpoint.unfinished()
    prompt.source_endpoint.cancel(move)
    assert prompt.tick(3) == 0
    prompt.source_endpoint.statuses([move])  # this is how a fake notices, and tells
    prompt.tick(3)
    assert prompt.store.status(transfer_id).code == "failed"


def test_nobody_is_asked_early_where_the_end_of_something_else_is_told(prompt: Rig) -> None:
    _moving(prompt)
    prompt.scheduler._ended(uuid4())
    assert prompt.tick(3) == 0


def test_an_end_that_is_told_before_the_submission_is_answered_is_kept_for_it(prompt: Rig) -> None:
    prompt.source_endpoint.duration_s = 100.0
    transfer_id = prompt.create("a")
    while not prompt.source_endpoint.submissions:
        prompt.tick()
    (move,) = prompt.source_endpoint.submissions
    prompt.source_endpoint.cancel(move)
    prompt.source_endpoint.statuses([move])
    prompt.tick(3)
    assert prompt.store.status(transfer_id).code == "failed"


def test_ends_that_nobody_waits_for_take_a_bounded_amount_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends_module, "_MOST", 3)
    ends = Ends()
    for _ in range(10):
        ends.tell(uuid4())
    assert len(ends._told) == 3


def test_a_local_move_tells_of_its_end_once_and_after_its_status_says_so(place: Place) -> None:
    (place.source / "a.txt").write_bytes(b"content")
    source = LocalEndpoint(root=place.source)
    told: list[tuple[UUID, OperationCode]] = []
    ended = threading.Event()

    def hear(move: UUID) -> None:
        told.append((move, source.statuses([move])[move].code))
        ended.set()

    unwatch = source.watch(hear)
    file = FileTransfer(id="a", source_path="a.txt", destination_path="a.txt", bytes=7, hash=None)
    moves = []
    try:
        destination = LocalEndpoint(root=place.destination)
        moves.append(source.transfer(destination, [file], operation_id=uuid4()))
        assert ended.wait(10.0) is True
        moves.append(source.transfer(destination, [], operation_id=uuid4()))
        unwatch()
        source.transfer(destination, [], operation_id=uuid4())
    finally:
        source.close()
    assert told == [(move, OperationCode.SUCCEEDED) for move in moves]


# Rows


def test_a_transfer_that_goes_on_is_read_once(prompt: Rig, loaded: list[int]) -> None:
    rowids = [prompt.store.rowid(prompt.create(name)) for name in ("a", "b")]
    prompt.tick(5)
    assert sorted(loaded) == rowids


def test_after_a_fault_everything_is_read_again(
    prompt: Rig, loaded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer_id = prompt.create("a")
    prompt.tick(1)
    with monkeypatch.context() as failing:
        failing.setattr(SqliteStore, "commit", _refuse)
        with pytest.raises(StoreError, match="unknown"):
            prompt.scheduler.tick()
    prompt.tick(5)
    assert prompt.store.status(transfer_id).code == "succeeded"
    assert loaded == [prompt.store.rowid(transfer_id)] * 2


def _refuse(*_: object) -> None:
    raise StoreError("whether it was written is unknown")


def test_who_takes_office_reads_everything_again(prompt: Rig, loaded: list[int]) -> None:
    _moving(prompt)
    prompt.scheduler._leave_office()
    prompt.store.release_lease()
    before = len(loaded)
    prompt.clock.advance(60.0)
    prompt.tick(1)
    assert len(loaded) == before + 1


def test_who_was_replaced_unnoticed_acts_on_nothing_in_memory(prompt: Rig, tmp_path: Path) -> None:
    # After the wall clock was set forward, another took over from a scheduler that went by its rows in memory.
    _moving(prompt)
    prompt.clock.advance(60.0)
    other = SqliteStore(tmp_path / "dts.db")
    try:
        assert other.acquire_lease(prompt.clock.time() + 3600.0, 60.0) is True
        with pytest.raises(StoreLeaseLostError):
            prompt.scheduler.tick()
    finally:
        other.close()
    assert list(prompt.scheduler._calls.busy) == []


def test_the_rows_that_were_asked_for_last_are_kept_up_to_a_number_of_rows_and_of_files(
    prompt: Rig, loaded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rowids = [prompt.store.rowid(prompt.create(*names)) for names in (["a"], ["a", "b"], ["a"], ["a", "b", "c"])]
    kept = KeptRows(prompt.store)
    monkeypatch.setattr(rows_module, "_MOST_ROWS", 2)
    monkeypatch.setattr(rows_module, "_MOST_FILES", 3)
    monkeypatch.setattr(rows_module, "_MANY_FILES", 2)
    kept.put(kept.take(rowids).values())
    loaded.clear()
    assert sorted(kept.take(rowids)) == rowids
    assert loaded == [rowids[0], rowids[3]]
    kept.forget()
    loaded.clear()
    kept.take(rowids[:2])
    assert loaded == rowids[:2]


def test_a_move_that_had_ended_when_its_cancellation_found_it_is_reported_with_its_files(prompt: Rig) -> None:
    transfer_id = prompt.create("a", "b")
    prompt.tick(1)
    prompt.calls.faults.add("submit answer", TransientError("lost"))  # of the move, which has ended at once
    prompt.tick(1)
    prompt.store.request(transfer_id, "suspend", prompt.clock.time())
    prompt.tick(2)
    assert prompt.store.status(transfer_id).num_files_transferred == 2
