"""Whatever users, providers and crashes do, in any order: transfers follow the charts, and every one of them ends."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from dts_fsm.errors import DtsError, PermanentError, TransientError
from dts_fsm.records import Specification, StagingStatus, TransferStatus
from dts_fsm.statechart import Chart, load_chart
from dts_fsm.testing import Rig
from tests.strategies import JSON, specifications

pytestmark = pytest.mark.uncovered

CHARTS = {"transfer": load_chart("transfer"), "operation": load_chart("operation")}
CALLS = ("files_staged", "transfer", "transfer answer", "statuses", "cancel")
DATABASE_CALLS = ("stage_files", "staging_status", "finalize")


def replayed(rig: Rig, transfer_id: UUID) -> dict[UUID | None, str]:
    """The states that the history leads to, by operation (None: the transfer); every step is an arrow of its chart."""
    states: dict[UUID | None, str] = {}
    for entry in rig.store.history(transfer_id):
        chart: Chart = CHARTS["transfer" if entry.operation_id is None else "operation"]
        if entry.event == "create":
            assert entry.operation_id not in states
            assert (entry.source, entry.target) == ("", chart.initial)
        else:
            assert states[entry.operation_id] == entry.source
            arrows = {(transition.event, transition.target) for transition in chart.transitions_from(entry.source)}
            assert (entry.event, entry.target) in arrows
        states[entry.operation_id] = entry.target
    return states


class Transfers(RuleBasedStateMachine):
    """A rig, and everything that may happen to it."""

    transfers = Bundle("transfers")

    @initialize(partial=st.sampled_from(["fail", "keep"]))
    def set_up(self, partial: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.rig = Rig(Path(self.folder.name), max_attempts=3, partial=partial)
        for name in ("a", "b"):
            self.rig.source.add(name, f"content of {name}".encode())
        self.rig.source.add("tape", b"from tape", staged=False)
        self.rig.source.add_inline("meta", {"depth": 1})
        self.ended: dict[UUID, TransferStatus] = {}
        self.ids: list[UUID] = []

    @rule(target=transfers, files=st.sets(st.sampled_from(["a", "b", "tape", "meta"]), min_size=1))
    def create(self, files: set[str]) -> UUID:
        transfer_id = self.rig.create(*sorted(files))
        self.ids.append(transfer_id)
        return transfer_id

    @rule(times=st.integers(1, 4))
    def tick(self, times: int) -> None:
        self.rig.tick(times)

    @rule(seconds=st.sampled_from([0.01, 1.0, 60.0, 3600.0, 100_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.rig.clock.advance(seconds)

    @rule(transfer_id=transfers, kind=st.sampled_from(["cancel", "suspend", "resume", "suspend", "resume"]))
    def a_user_asks(self, transfer_id: UUID, kind: Any) -> None:
        self.rig.store.request(transfer_id, kind, self.rig.clock.time())

    @rule(method=st.sampled_from(CALLS), permanent=st.booleans(), times=st.integers(1, 3))
    def an_endpoint_errs(self, method: str, permanent: bool, times: int) -> None:
        error = PermanentError("no") if permanent else TransientError("not now")
        self.rig.source_endpoint.faults.add(method, error, times)

    @rule(method=st.sampled_from(DATABASE_CALLS), permanent=st.booleans())
    def a_database_errs(self, method: str, permanent: bool) -> None:
        self.rig.source.faults.add(method, PermanentError("no") if permanent else TransientError("not now"))

    @rule(method=st.sampled_from(CALLS))
    def a_plug_in_has_a_bug(self, method: str) -> None:
        self.rig.source_endpoint.faults.add(method, ZeroDivisionError("oops"))

    @rule(seconds=st.sampled_from([0.0, 5.0, 1000.0]))
    def moves_take(self, seconds: float) -> None:
        self.rig.source_endpoint.duration_s = seconds

    @rule(result=st.sampled_from([StagingStatus.SUCCEEDED, StagingStatus.FAILED, StagingStatus.UNKNOWN]))
    def staging_comes_to(self, result: StagingStatus) -> None:
        self.rig.source.staging_result = result

    @rule(paused=st.booleans())
    def the_provider_suspends_or_goes_on(self, paused: bool) -> None:
        for move in self.rig.source_endpoint.transfers():
            self.rig.source_endpoint.pause(move, paused)

    @rule()
    def the_provider_forgets(self) -> None:
        self.rig.source_endpoint.forget()

    @rule(content=st.sampled_from([b"content of a", b"content of X", b"short", None]))
    def a_source_file_changes(self, content: bytes | None) -> None:
        if content is None:
            self.rig.source_endpoint.files.pop("a", None)
        else:
            self.rig.source_endpoint.put("a", content)

    @rule()
    def the_process_is_killed(self) -> None:
        self.rig.reopen()

    @invariant()
    def the_history_leads_to_the_state(self) -> None:
        for transfer_id in self.ids:
            states = replayed(self.rig, transfer_id)
            assert states[None] == self.rig.store.status(transfer_id).code
            operations = self.rig.store.operations(self.rig.store.rowid(transfer_id))
            assert {operation.id: operation.state for operation in operations} == {
                key: state for key, state in states.items() if key is not None
            }

    @invariant()
    def final_states_absorb(self) -> None:
        for transfer_id in self.ids:
            status = self.rig.store.status(transfer_id)
            assert self.ended.get(transfer_id, status) == status
            if status.final:
                self.ended[transfer_id] = status

    @invariant()
    def the_journal_has_each_ended_transfer_once(self) -> None:
        journal = {record.id: record for record in self.rig.store.journal()}
        assert len(journal) == len(self.rig.store.journal())
        assert set(journal) == {i for i in self.ids if self.rig.store.status(i).final}
        for transfer_id, record in journal.items():
            status = self.rig.store.status(transfer_id)
            expected = "canceled" if status.reason == "canceled" else status.code.value
            assert (record.status, record.reason) == (expected, status.reason)

    @invariant()
    def a_manifest_appears_only_when_every_file_has_arrived_whole(self) -> None:
        files = self.rig.destination_endpoint.files
        for transfer_id in self.ids:
            folder = self.rig.store.transfer(transfer_id).folder
            status = self.rig.store.status(transfer_id)
            if f"{folder}/manifest.json" in files:
                missing = {file.id for file in status.failed_files}
                assert (status.reason == "partial") is (missing != set()) or not status.final
                for file in self.rig.store.files(self.rig.store.rowid(transfer_id)):
                    if file.path is not None and file.id not in missing:
                        content = files[f"{folder}/{file.path}"].content
                        expected = b"from tape" if file.id == "tape" else f"content of {file.id}".encode()
                        assert content == expected
            elif status.code == "succeeded":
                raise AssertionError("it succeeded without a manifest")
            assert status.num_files_skipped <= status.num_files_transferred <= status.num_files

    def teardown(self) -> None:
        if not hasattr(self, "rig"):
            return
        with self.folder, contextlib.closing(self.rig):
            self.everything_ends()

    def everything_ends(self) -> None:
        rig = self.rig
        rig.source_endpoint.duration_s = 0.0
        self.the_provider_suspends_or_goes_on(paused=False)
        for transfer_id in self.ids:
            rig.store.request(transfer_id, "resume", rig.clock.time())
        for transfer_id in self.ids:
            assert rig.run(transfer_id, step_s=1000.0).final
        self.the_history_leads_to_the_state()
        self.the_journal_has_each_ended_transfer_once()


TestTransfers = Transfers.TestCase
TestTransfers.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@settings(max_examples=100, deadline=None)
@given(specification=specifications(), answer=st.lists(JSON, max_size=4))
def test_a_bad_specification_is_refused_and_leaves_the_store_as_it_was(
    specification: Specification, answer: list[Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder))
        rig.source.descriptors = lambda orcid, ids: answer  # type: ignore[method-assign, assignment, return-value]
        rig.databases[specification.source] = rig.source
        before = (rig.store.last_seq(), rig.store.transfers())
        with pytest.raises(DtsError):
            rig.planner.plan(specification)
        assert (rig.store.last_seq(), rig.store.transfers()) == before
        rig.close()
