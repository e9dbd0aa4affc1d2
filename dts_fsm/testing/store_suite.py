"""The contract of ``Store`` as tests, to be run over every implementation.

An author of a store writes, in a test module of their own::

    class TestMyStore(StoreSuite):
        @pytest.fixture
        def open_store(self): ...
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import attrs
import pytest

from dts_fsm.errors import (
    DestinationConflictError,
    IdempotencyConflictError,
    NothingToRetryError,
    StoreError,
    StoreLeaseLostError,
    TransferNotFoundError,
)
from dts_fsm.records import (
    FileOutcome,
    FileState,
)
from dts_fsm.store import (
    Change,
    HistoryEntry,
    Store,
    TransferRow,
    time_of,
)
from dts_fsm.testing.store_rows import LEASE_S, NOW, admission, begin, end, plan


class StoreSuite:
    """What every store must do; a subclass says with a fixture which store it is."""

    @pytest.fixture
    def open_store(self) -> Iterator[Callable[[], Store]]:
        """A function that opens the one store of this test, again and again, as other processes would; override it."""
        raise NotImplementedError("override the fixture 'open_store'")

    @pytest.fixture
    def store(self, open_store: Callable[[], Store]) -> Store:
        """The store, open, with the lease of its scheduler."""
        store = open_store()
        assert store.acquire_lease(NOW, LEASE_S)
        return store

    def row(self, store: Store, transfer_id: UUID) -> TransferRow:
        """Give the transfer's row as it is stored."""
        rowid = store.rowid(transfer_id)
        return store.load([rowid])[rowid]

    # Creating

    def test_what_was_created_is_there_after_opening_again(self, store: Store, open_store: Callable[[], Store]) -> None:
        (transfer_id,) = store.create([admission("a", "b")])
        store.close()
        again = open_store()
        record = again.transfer(transfer_id)
        assert plan("a", "b").specification == record.specification
        assert (record.status.code, record.status.num_files, record.status.num_bytes) == ("unknown", 2, 20)
        assert f"ada/dts-{transfer_id}" == record.folder
        stored = again.stored(again.rowid(transfer_id))
        assert (plan("a", "b").destination, plan("a", "b").sources) == (stored.destination, stored.sources)

    def test_files_are_kept_in_order_with_their_descriptors(self, store: Store) -> None:
        (transfer_id,) = store.create([admission("b", "a")])
        files = store.files(store.rowid(transfer_id))
        assert [(file.id, file.endpoint) for file in files] == [("a", "disk"), ("b", "disk"), ("~inline", "")]
        assert list(plan("a", "b").descriptors) == [file.descriptor for file in files]
        assert [file.state for file in files] == [FileState.PENDING, FileState.PENDING, FileState.INLINE]

    def test_the_same_key_with_the_same_specification_gives_the_same_transfer(self, store: Store) -> None:
        (first,) = store.create([admission("a", key="k")])
        assert [first] == store.create([admission("a", key="k")])
        assert (first, plan("a").specification) == store.keyed("k")
        assert store.keyed("another") is None
        assert len(store.transfers()) == 1

    def test_the_same_key_with_another_specification_is_refused_and_nothing_is_stored(self, store: Store) -> None:
        (first,) = store.create([admission("a", key="k")])
        with pytest.raises(IdempotencyConflictError, match=str(first)):
            store.create([admission("c"), admission("b", key="k")])
        assert [first] == [record.id for record in store.transfers()]

    def test_creating_from_many_threads_gives_everyone_their_own(self, store: Store) -> None:
        with ThreadPoolExecutor(16) as pool:
            ids = list(pool.map(lambda n: store.create([admission(f"f{n}")])[0], range(100)))
        assert len(set(ids)) == 100
        for number, transfer_id in enumerate(ids):
            assert (f"f{number}",) == store.transfer(transfer_id).specification.file_ids

    def test_a_retry_is_linked_both_ways_and_happens_once(self, store: Store) -> None:
        (first,) = store.create([admission("a")])
        (second,) = store.create([admission("a", retry_of=first)])
        assert (second, first) == (store.transfer(first).retried_by, store.transfer(second).retry_of)
        with pytest.raises(NothingToRetryError):
            store.create([admission("a", retry_of=first)])
        assert len(store.transfers()) == 2

    # The tick

    def test_what_is_not_due_is_not_claimed(self, store: Store) -> None:
        (transfer_id,) = store.create([admission()])
        rowid = store.rowid(transfer_id)
        assert store.due(NOW - 1, 10) == []
        assert [rowid] == store.due(NOW, 10)
        assert store.next_due_at() == NOW
        row = self.row(store, transfer_id)
        row.operations[0].due_at, row.operations[0].dirty = NOW + 50, True
        store.commit([Change(transfer=row)], NOW)
        assert store.due(NOW, 10) == []
        assert store.next_due_at() == NOW + 50
        assert [rowid] == store.due(NOW + 100, 10)

    def test_the_oldest_is_claimed_first_and_no_more_than_asked_for(self, store: Store) -> None:
        ids = store.create([admission(at=NOW + 3), admission(at=NOW + 1), admission(at=NOW + 2)])
        assert [store.rowid(ids[1]), store.rowid(ids[2])] == store.due(NOW + 10, 2)

    def test_cancellations_are_claimed_even_at_endpoints_that_are_left_out(self, store: Store) -> None:
        (transfer_id,) = store.create([admission()])
        row = self.row(store, transfer_id)
        row.operations[0].state, row.operations[0].dirty = "canceling", True
        store.commit([Change(transfer=row)], NOW)
        assert [row.rowid] == store.due(NOW, 10, without=["endpoints.disk"])

    def test_operations_of_left_out_endpoints_and_busy_ones_are_not_claimed(self, store: Store) -> None:
        first, second = store.create([admission(), admission()])
        operation = self.row(store, first).operations[0]
        assert store.due(NOW, 10, without=["endpoints.disk"]) == []
        assert [store.rowid(second)] == store.due(NOW, 1, busy=[operation.rowid])

    def test_a_request_makes_a_transfer_due_until_it_is_taken_up(self, store: Store) -> None:
        (transfer_id,) = store.create([admission()])
        rowid = store.rowid(transfer_id)
        assert store.request(transfer_id, "suspend", NOW)
        assert store.request(transfer_id, "cancel", NOW)
        assert [rowid] == store.due(NOW - 1, 10)
        requests = store.requests([rowid])
        assert [request.kind for request in requests] == ["suspend", "cancel"]
        assert store.requested(rowid) == "cancel"
        store.commit([Change(transfer=self.row(store, transfer_id), requests=[r.rowid for r in requests])], NOW)
        assert (store.due(NOW - 1, 10), store.requested(rowid)) == ([], None)

    def test_an_ended_transfer_takes_no_requests(self, store: Store) -> None:
        (transfer_id,) = store.create([admission()])
        store.commit([end(self.row(store, transfer_id), at=NOW)], NOW)
        assert not store.request(transfer_id, "cancel", NOW)

    def test_a_commit_writes_everything_that_a_change_has(self, store: Store) -> None:
        (transfer_id,) = store.create([admission("a", "b")])
        row = self.row(store, transfer_id)
        row.state, row.files_transferred, row.bytes_transferred, row.dirty = "active", 1, 10, True
        row.operations[0].state, row.operations[0].dirty = "running", True
        change = Change(transfer=row)
        change.history.append(HistoryEntry(None, "move", "unknown", "active", NOW + 1, "off", None, (1, 0, 10)))
        change.history.append(HistoryEntry(row.operations[0], "start", "submitting", "running", NOW + 1))
        begin(change, endpoint="tape")
        change.files.append(
            FileOutcome(id="a", state=FileState.TRANSFERRED, observed_bytes=10, observed_hash="md5:" + "0" * 32)
        )
        change.files.append(FileOutcome(id="b", state=FileState.FAILED, error="lost", reason="not found"))
        store.commit([change], NOW + 1)

        again = self.row(store, transfer_id)
        assert (again.state, again.files_transferred, again.version) == ("active", 1, 1)
        assert [(op.state, op.endpoint) for op in again.operations] == [("running", "disk"), ("pending", "tape")]
        first, second, _ = store.files(again.rowid)
        assert (
            first.state,
            first.observed_bytes,
            first.observed_hash,
            first.attempts,
        ) == (FileState.TRANSFERRED, 10, "md5:" + "0" * 32, 1)
        assert (second.state, second.error, second.attempts) == (FileState.FAILED, "lost", 1)
        told = [(entry.machine, entry.event, entry.target) for entry in store.history(transfer_id)]
        assert told == [
            ("transfer", "create", "unknown"),
            ("move", "create", "pending"),
            ("transfer", "move", "active"),
            ("move", "start", "running"),
            ("move", "create", "pending"),
        ]

    def test_a_row_that_changed_since_it_was_read_is_not_overwritten(self, store: Store) -> None:
        ids = store.create([admission(), admission()])
        stale, other = (self.row(store, transfer_id) for transfer_id in ids)
        fresh = self.row(store, ids[0])
        fresh.state, fresh.dirty = "active", True
        store.commit([Change(transfer=fresh)], NOW)
        stale.state, stale.dirty = "failed", True
        other.state, other.dirty = "active", True
        with pytest.raises(StoreError):
            store.commit([Change(transfer=other), Change(transfer=stale)], NOW)
        # not even the rows beside it: a tick is written whole
        assert [self.row(store, transfer_id).state for transfer_id in ids] == ["active", "unknown"]

    def test_numbers_of_operations_follow_the_order_in_which_they_began(self, store: Store) -> None:
        (transfer_id,) = store.create([admission()])
        change = Change(transfer=self.row(store, transfer_id))
        for _ in range(3):
            begin(change)
        store.commit([change], NOW)
        operations = self.row(store, transfer_id).operations
        assert sorted(op.rowid for op in operations) == [op.rowid for op in operations]
        assert len(store.operations(store.rowid(transfer_id))) == 4

    # The lease

    def test_exactly_one_process_is_the_scheduler(self, store: Store, open_store: Callable[[], Store]) -> None:
        other = open_store()
        assert not other.acquire_lease(NOW + 1, LEASE_S)
        assert store.acquire_lease(NOW + 1, LEASE_S)
        store.release_lease()
        assert other.acquire_lease(NOW + 1, LEASE_S)
        assert not store.acquire_lease(NOW + 2, LEASE_S)

    def test_a_scheduler_whose_lease_is_over_can_be_replaced_and_writes_nothing(
        self, store: Store, open_store: Callable[[], Store]
    ) -> None:
        (transfer_id,) = store.create([admission()])
        other = open_store()
        assert other.acquire_lease(NOW + LEASE_S + 1, LEASE_S)
        row = self.row(store, transfer_id)
        row.state, row.dirty = "failed", True
        with pytest.raises(StoreLeaseLostError):
            store.commit([Change(transfer=row)], NOW + LEASE_S + 2)
        assert self.row(other, transfer_id).state == "unknown"

    def test_a_scheduler_that_was_replaced_meanwhile_is_told_although_the_lease_is_free_again(
        self, store: Store, open_store: Callable[[], Store]
    ) -> None:
        store.check_lease()
        other = open_store()
        assert other.acquire_lease(NOW + LEASE_S + 1, LEASE_S)
        with pytest.raises(StoreLeaseLostError):
            store.check_lease()
        other.release_lease()
        with pytest.raises(StoreLeaseLostError):
            store.check_lease()

    def test_a_commit_extends_the_lease(self, store: Store, open_store: Callable[[], Store]) -> None:
        store.commit([], NOW + LEASE_S - 1)
        assert not open_store().acquire_lease(NOW + LEASE_S + 1, LEASE_S)

    def test_a_clock_that_was_set_back_does_not_make_a_lease_eternal(
        self, store: Store, open_store: Callable[[], Store]
    ) -> None:
        assert store.acquire_lease(NOW, 0.05)
        other = open_store()
        deadline = time.monotonic() + 10
        # its time never comes by the clock; that it is not renewed shows after a while
        while not other.acquire_lease(NOW - 1e6, 0.05):
            assert time.monotonic() < deadline
            threading.Event().wait(0.01)

    def test_a_clock_that_runs_behind_does_not_take_the_lease_from_who_renews_it(
        self, store: Store, open_store: Callable[[], Store]
    ) -> None:
        other = open_store()
        for number in range(20):
            assert store.acquire_lease(NOW + number, 5.0)
            assert not other.acquire_lease(NOW - 1e6, 5.0)

    def test_a_manifest_that_was_delivered_earlier_is_in_the_journal_at_the_end(self, store: Store) -> None:
        (transfer_id,) = store.create([admission()])
        store.commit([Change(transfer=self.row(store, transfer_id), manifest='{"name": "m"}')], NOW)
        assert store.journal() == []
        store.commit([end(self.row(store, transfer_id), at=NOW)], NOW)
        assert [record.manifest for record in store.journal()] == [{"name": "m"}]

    def test_every_process_creates_asks_and_reads(self, store: Store, open_store: Callable[[], Store]) -> None:
        other = open_store()
        (transfer_id,) = other.create([admission()])
        assert other.request(transfer_id, "cancel", NOW)
        assert [store.rowid(transfer_id)] == store.due(NOW, 10)
        assert other.status(transfer_id).code == "unknown"

    # Ends

    def test_the_journal_has_what_ended_in_order_and_in_bounds(self, store: Store) -> None:
        ids = store.create([admission("a"), admission("b"), admission("c")])
        rows = [self.row(store, transfer_id) for transfer_id in ids]
        store.commit([end(rows[2], at=NOW + 1, manifest='{"name": "é"}')], NOW)
        store.commit([end(rows[0], at=NOW + 2, state="failed")], NOW)
        store.commit([end(rows[1], at=NOW + 2)], NOW)
        journal = store.journal()
        assert [ids[2], ids[0], ids[1]] == [record.id for record in journal]
        assert journal[0].manifest == {"name": "é"}
        assert journal[1].manifest is None
        assert (time_of(NOW), time_of(NOW + 1)) == (journal[0].start_time, journal[0].stop_time)
        assert attrs.astuple(
            journal[0],
            filter=lambda field, _: field.name in ("source", "destination", "orcid", "payload_size", "num_files"),
        ) == ("genomes", "archive", "0000-0002-1825-0097", 10, 1)
        later = time_of(NOW + 2)
        assert [ids[2]] == [record.id for record in store.journal(stop=later)]
        assert [ids[0], ids[1]] == [record.id for record in store.journal(start=later)]
        assert store.journal(start=later + timedelta(seconds=1)) == []
        assert [ids[0]] == [record.id for record in store.journal(status="failed")]
        assert [ids[2]] == [record.id for record in store.journal(limit=1)]
        assert [record.manifest for record in store.journal(limit=1, manifests=False)] == [None]

    def test_ended_transfers_are_forgotten_after_their_time_and_the_journal_stays(self, store: Store) -> None:
        ids = store.create([admission("a"), admission("b"), admission("c")])
        for number, transfer_id in enumerate(ids[:2]):
            store.commit([end(self.row(store, transfer_id), at=NOW + number)], NOW)
        assert store.prune(NOW) == 0
        assert store.prune(NOW + 1) == 1
        with pytest.raises(TransferNotFoundError):
            store.status(ids[0])
        assert store.prune(NOW + 1e9) == 1
        assert [ids[2]] == [record.id for record in store.transfers()]
        assert len(store.journal()) == 2

    def test_pruning_goes_in_small_batches(self, store: Store) -> None:
        for transfer_id in store.create([admission(f"f{number}") for number in range(5)]):
            store.commit([end(self.row(store, transfer_id), at=NOW)], NOW)
        assert [store.prune(NOW + 1, 2) for _ in range(4)] == [2, 2, 1, 0]

    def test_a_forgotten_row_id_is_never_given_again(self, store: Store) -> None:
        (first,) = store.create([admission()])
        rowid = store.rowid(first)
        store.commit([end(self.row(store, first), at=NOW)], NOW)
        store.prune(NOW + 1)
        (second,) = store.create([admission()])
        assert rowid < store.rowid(second)

    def test_states_of_all_that_lives_are_listed_with_their_charts(self, store: Store) -> None:
        first, _ = store.create([admission(), admission()])
        store.commit([end(self.row(store, first), at=NOW)], NOW)
        assert sorted(store.charts()) == [("operation", "chart", "pending"), ("transfer", "chart", "unknown")]

    def test_what_was_made_under_other_charts_is_listed_in_pages(self, store: Store) -> None:
        ended, *ids = store.create([admission(), admission(), admission(), admission()])
        store.commit([end(self.row(store, ended), at=NOW)], NOW)
        rowids = [store.rowid(transfer_id) for transfer_id in ids]
        assert store.outdated("chart", "chart", 0, 10) == []
        assert store.outdated("other", "chart", 0, 10) == rowids
        assert store.outdated("chart", "other", 0, 2) == rowids[:2]
        assert store.outdated("other", "other", rowids[0], 10) == rowids[1:]

    # Questions

    def test_an_unknown_id_is_named_in_the_error(self, store: Store) -> None:
        unknown = uuid4()
        for question in (store.status, store.transfer, store.history, store.rowid):
            with pytest.raises(TransferNotFoundError, match=str(unknown)):
                question(unknown)
        with pytest.raises(TransferNotFoundError):
            store.transfers(after=unknown)
        with pytest.raises(TransferNotFoundError):
            store.stored(10**9)

    def test_the_progress_of_live_operations_is_in_the_status(self, store: Store) -> None:
        (transfer_id,) = store.create([admission("a", "b")])
        row = self.row(store, transfer_id)
        operation = row.operations[0]
        operation.files_transferred, operation.bytes_transferred, operation.dirty = 1, 15, True
        store.commit([Change(transfer=row)], NOW)
        status = store.status(transfer_id)
        assert (status.num_files_transferred, status.num_bytes_transferred) == (1, 15)
        assert status == store.transfer(transfer_id).status

    def test_pages_of_transfers_are_newest_first_and_join_without_gap(self, store: Store) -> None:
        ids = store.create([admission(f"f{number}") for number in range(5)])
        first = store.transfers(limit=2)
        second = store.transfers(limit=2, after=first[-1].id)
        third = store.transfers(limit=2, after=second[-1].id)
        assert ids[::-1] == [record.id for record in (*first, *second, *third)]

    def test_transfers_are_found_by_state_user_and_source(self, store: Store) -> None:
        orcid = "0000-0001-5109-3700"
        one, two = store.create([admission(source="tape"), admission(orcid=orcid)])
        row = self.row(store, one)
        row.state, row.dirty = "active", True
        store.commit([Change(transfer=row)], NOW)
        assert [one] == [record.id for record in store.transfers(state="active")]
        assert [two] == [record.id for record in store.transfers(user=orcid)]
        assert [one] == [record.id for record in store.transfers(source="tape")]
        assert store.transfers(source="tape", user=orcid) == []

    def test_messages_are_the_transfers_transitions_from_a_number_on(self, store: Store) -> None:
        before = store.last_seq()
        first, second = store.create([admission(), admission()])
        store.commit([end(self.row(store, first), at=NOW + 5)], NOW)
        messages, last = store.messages(before)
        assert [(first, "unknown"), (second, "unknown"), (first, "succeeded")] == [
            (message.transfer_id, message.status.code) for message in messages
        ]
        assert store.last_seq() == last
        assert sorted(message.seq for message in messages) == [message.seq for message in messages]
        final = messages[-1]
        assert (2, 20, time_of(NOW + 5)) == (
            final.status.num_files_transferred,
            final.status.num_bytes_transferred,
            final.status.completed_at,
        )
        assert ([], last) == store.messages(last)
        assert [second] == [message.transfer_id for message in store.messages(before, transfer_id=second)[0]]

    def test_messages_come_in_pages(self, store: Store) -> None:
        store.create([admission(f"f{number}") for number in range(10)])
        seqs: list[int] = []
        after = 0
        while True:
            messages, last = store.messages(after, 3)
            if last == after:
                break
            seqs += [message.seq for message in messages]
            after = last
        assert len(set(seqs)) == 10

    def test_a_closed_store_says_so_and_closing_twice_is_harmless(self, store: Store) -> None:
        store.close()
        store.close()
        with pytest.raises(StoreError):
            store.create([admission()])

    # Contradictions

    def test_what_fits_together_contradicts_nothing(self, store: Store) -> None:
        first, second = (store.load([store.rowid(id_)]) for id_ in store.create([admission(), admission()]))
        (ended,) = first.values()
        store.commit([end(ended, at=NOW)], NOW)
        (suspended,) = second.values()
        suspended.state, suspended.suspended_from, suspended.wanted = "inactive", "active", "suspend"
        suspended.operations[0].state, suspended.operations[0].due_at = "canceled", None
        suspended.dirty = suspended.operations[0].dirty = True
        store.commit([Change(transfer=suspended)], NOW)
        assert store.contradicting(0, 10) == ([], 0)

    @pytest.mark.parametrize(
        ("state", "due_at", "completed_at"),
        [("running", None, None), ("succeeded", NOW, None), ("succeeded", None, None), ("running", NOW, NOW)],
    )
    def test_a_transfer_that_does_not_fit_its_operations_is_found(
        self, store: Store, state: str, due_at: float | None, completed_at: float | None
    ) -> None:
        (rowid,) = map(store.rowid, store.create([admission()]))
        row = store.load([rowid])[rowid]
        row.completed_at, row.dirty = completed_at, True
        row.operations[0].state, row.operations[0].due_at, row.operations[0].dirty = state, due_at, True
        store.commit([Change(transfer=row)], NOW)
        assert store.contradicting(0, 10) == ([rowid], 0)

    def test_contradictions_are_looked_for_page_by_page(self, store: Store) -> None:
        rowids = [store.rowid(id_) for id_ in store.create([admission() for _ in range(3)])]
        rows = store.load(rowids)
        for row in rows.values():
            row.due_at, row.dirty = None, True
        store.commit([Change(transfer=row) for row in rows.values()], NOW)
        assert store.contradicting(0, 2) == (rowids[:2], rowids[1])
        assert store.contradicting(rowids[1], 2) == (rowids[2:], 0)

    # Destinations

    def test_a_destination_in_the_folder_of_a_live_transfer_is_refused(self, store: Store) -> None:
        (first,) = store.create([admission()])
        inside = attrs.evolve(plan("a").destination, path=f"ada/dts-{first}/deeper", username="")
        nested = admission()
        nested = attrs.evolve(nested, plan=attrs.evolve(nested.plan, destination=inside))
        with pytest.raises(DestinationConflictError, match=str(first)):
            store.check_destination(inside)
        with pytest.raises(DestinationConflictError, match=str(first)):
            store.create([admission(), nested])
        assert [record.id for record in store.transfers()] == [first]
        (row,) = store.load([store.rowid(first)]).values()
        store.commit([end(row, at=NOW)], NOW)
        store.check_destination(inside)
