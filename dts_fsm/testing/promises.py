"""What must hold of every transfer of a rig at every moment, whatever users, providers and crashes do."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from dts_fsm.lanes import Call
from dts_fsm.records import HistoryRecord, OperationCode, OperationStatus, TransferStatus
from dts_fsm.testing.coverage import CREATE, Arrow, arrows_of
from dts_fsm.testing.rig import Rig

_CALLED_IN = {"submit": {"submitting"}, "poll": {"running", "suspended"}, "cancel": {"canceling"}}


class Promises:
    """Looks at a rig's transfers again and again; each look asks everything, and raises AssertionError.

    Args:
        rig: ``reopen`` of it is noticed.
        contents: of each file that its source has, by id.

    Attributes:
        ids: the transfers that are looked at, in the order of their creation.
    """

    def __init__(self, rig: Rig, contents: Mapping[str, bytes]) -> None:
        self.ids: list[UUID] = []
        self._rig, self._contents = rig, contents
        self._arrows = {
            machine: frozenset(arrows_of(chart))
            for machine, chart in (("transfer", rig.transfer_chart), ("operation", rig.operation_chart))
        }
        self._ended: dict[UUID, TransferStatus] = {}
        self._canceled: set[UUID] = set()
        self._suspended: dict[UUID, int] = {}
        self._submitted: dict[UUID | None, UUID] = {}
        self._answered: set[UUID] = set()
        rig.calls.before_call, rig.calls.after_call = self._who_is_called_is_on_record, self._note_answers

    def asked(self, transfer_id: UUID, kind: str) -> None:
        """A user has asked this of a live transfer, and the store has taken note of it."""
        if kind == "cancel":
            self._canceled.add(transfer_id)
        if kind == "suspend":
            self._suspended.setdefault(transfer_id, self._rig.store.last_seq())
        else:
            self._suspended.pop(transfer_id, None)

    def check(self) -> None:
        """Everything that is promised holds now."""
        store = self._rig.store
        self._nothing_contradicts_itself()
        noted = []
        for transfer_id in self.ids:
            status, history = store.status(transfer_id), store.history(transfer_id)
            noted += [entry.seq for entry in history if entry.operation_id is None]
            self._history_leads_to_the_state(transfer_id, status, history)
            self._final_states_absorb(transfer_id, status)
            self._attempts_are_limited(history)
            self._who_suspended_resumes(transfer_id, status, history)
            self._resuming_leads_back(history)
            self._what_was_stopped_has_stopped(history)
            self._the_counts_are_those_of_the_files(transfer_id, status)
            self._a_failure_names_every_file_that_is_missing(transfer_id, status, history)
            self._a_manifest_means_that_every_file_has_arrived_whole(transfer_id, status)
        self._every_transition_is_heard_of_once(noted)
        self._the_journal_has_each_ended_transfer_once()

    def check_end(self) -> None:
        """Every transfer has ended, and as its user wanted."""
        for transfer_id in self.ids:
            status = self._rig.store.status(transfer_id)
            assert status.final
            self._what_was_canceled_is_canceled(transfer_id, status)

    def _nothing_contradicts_itself(self) -> None:
        assert self._rig.store.contradicting(0, len(self.ids) + 1)[0] == []

    def _every_transition_is_heard_of_once(self, noted: list[int]) -> None:
        # in the order of the numbers
        assert sorted(noted) == [message.seq for message in self._rig.store.messages(0)[0]]

    def _what_was_canceled_is_canceled(self, transfer_id: UUID, status: TransferStatus) -> None:
        if transfer_id in self._canceled:
            assert status.code == "succeeded" or status.reason == "canceled"

    def _history_leads_to_the_state(
        self, transfer_id: UUID, status: TransferStatus, history: list[HistoryRecord]
    ) -> None:
        states: dict[UUID | None, str] = {}
        for entry in history:
            if entry.event == CREATE:
                chart = self._rig.transfer_chart if entry.operation_id is None else self._rig.operation_chart
                assert entry.operation_id not in states
                assert (entry.source, entry.target) == ("", chart.initial)
            else:
                machine = "transfer" if entry.operation_id is None else "operation"
                assert states[entry.operation_id] == entry.source
                assert Arrow(entry.source, entry.event, entry.target) in self._arrows[machine]
            states[entry.operation_id] = entry.target
        assert states[None] == status.code
        operations = self._rig.store.operations(self._rig.store.rowid(transfer_id))
        stored = {operation.id: operation.state for operation in operations}
        assert stored == {key: state for key, state in states.items() if key is not None}

    def _final_states_absorb(self, transfer_id: UUID, status: TransferStatus) -> None:
        assert self._ended.get(transfer_id, status) == status
        assert status.final is (status.code in self._rig.transfer_chart.final_states)
        if status.final:
            self._ended[transfer_id] = status

    def _attempts_are_limited(self, history: list[HistoryRecord]) -> None:
        retries: dict[UUID | None, int] = {}
        for entry in history:
            if entry.event == "retry" and entry.reason != "lost":
                retries[entry.operation_id] = retries.get(entry.operation_id, 0) + 1
        assert max(retries.values(), default=0) < self._rig.config.service.max_attempts

    def _who_suspended_resumes(self, transfer_id: UUID, status: TransferStatus, history: list[HistoryRecord]) -> None:
        if (asked_at := self._suspended.get(transfer_id)) is None:
            return
        later = [(entry.event, entry.operation_id) for entry in history if entry.seq > asked_at]
        # what a provider suspended in the meantime it may also resume
        if not any(event == "suspend" and operation_id is not None for event, operation_id in later):
            assert ("resume", None) not in later
        store = self._rig.store
        if status.code == "inactive" and store.requested(store.rowid(transfer_id)) is None:
            stopped = {*self._rig.operation_chart.final_states, "canceling"}
            assert {one.state for one in store.operations(store.rowid(transfer_id))} <= stopped

    def _resuming_leads_back(self, history: list[HistoryRecord]) -> None:
        suspended_from = ""
        for entry in history:
            if entry.operation_id is None and entry.event == "suspend":
                suspended_from = entry.source
            elif entry.operation_id is None and entry.event == "resume":
                assert suspended_from == entry.target

    def _what_was_stopped_has_stopped(self, history: list[HistoryRecord]) -> None:
        stopped = {entry.operation_id for entry in history if entry.event == "acknowledge"}
        submitted = {self._submitted[operation] for operation in stopped if operation in self._submitted}
        assert submitted.isdisjoint(self._rig.source_endpoint.unfinished())

    def _the_counts_are_those_of_the_files(self, transfer_id: UUID, status: TransferStatus) -> None:
        files = self._rig.store.files(self._rig.store.rowid(transfer_id))
        arrived = sum(file.state.arrived for file in files)
        skipped = sum(file.state == "skipped" for file in files)
        moved = sum(file.path is not None for file in files)
        assert (status.num_files, status.num_files_transferred, status.num_files_skipped) == (moved, arrived, skipped)

    def _a_failure_names_every_file_that_is_missing(
        self, transfer_id: UUID, status: TransferStatus, history: list[HistoryRecord]
    ) -> None:
        last = [entry.event for entry in history if entry.operation_id is None][-1]
        if last == "fail":
            files = self._rig.store.files(self._rig.store.rowid(transfer_id))
            missing = {file.id for file in files if file.path is not None and not file.state.arrived}
            assert missing == {file.id for file in status.failed_files}

    def _a_manifest_means_that_every_file_has_arrived_whole(self, transfer_id: UUID, status: TransferStatus) -> None:
        delivered = self._rig.destination_endpoint.files
        folder = self._rig.store.transfer(transfer_id).folder
        there = f"{folder}/manifest.json" in delivered
        assert there or (status.code != "succeeded" and transfer_id not in self._rig.source.finalized)
        if there:
            missing = {file.id for file in status.failed_files}
            assert (status.reason == "partial") is (missing != set()) or not status.final
            for file in self._rig.store.files(self._rig.store.rowid(transfer_id)):
                if file.path is not None and file.id not in missing:
                    there_as = delivered.get(f"{folder}/{file.path}")
                    assert there_as is not None
                    assert there_as.content == self._contents[file.id]

    def _the_journal_has_each_ended_transfer_once(self) -> None:
        records = self._rig.store.journal()
        statuses = {transfer_id: self._rig.store.status(transfer_id) for transfer_id in self.ids}
        expected = {
            transfer_id: ("canceled" if status.reason == "canceled" else status.code.value, status.reason)
            for transfer_id, status in statuses.items()
            if status.final
        }
        assert len(records) == len(expected)
        assert expected == {record.id: (record.status, record.reason) for record in records}

    # Calls

    def _who_is_called_is_on_record(self, call: Call) -> None:
        """A provider is called for what is on record, and a submission is repeated under its old id."""
        for operation, (transfer, number) in zip(call.operations, call.rowids, strict=True):
            row = self._rig.store.load([transfer])[transfer]
            # the intention is stored before the call is made
            assert {one.state for one in row.operations if one.rowid == number} & _CALLED_IN[call.verb] != set()
            if call.verb == "submit":
                before = self._submitted.get(operation.id, operation.submission_id)
                assert before == operation.submission_id or before in self._answered
                self._submitted[operation.id] = operation.submission_id

    def _note_answers(self, call: Call) -> None:
        for operation in call.operations:
            answer = call.answers[operation.id]
            if isinstance(answer, OperationStatus) and answer.code in (OperationCode.FAILED, OperationCode.CANCELED):
                self._answered.add(operation.submission_id)
