"""The engine on single rows: what each answer does in each state of an operation, and what is ignored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import attrs
import pytest

from dts_fsm.config import ServiceConfig
from dts_fsm.engine import Answer, Engine, Timing
from dts_fsm.engine.guards import ENDED, operation_guards, transfer_guards
from dts_fsm.errors import InvalidServiceConfigError, PermanentError, StatechartError, TransientError
from dts_fsm.records import OperationCode, OperationRequest, OperationStatus, Transfer
from dts_fsm.statechart import load_chart
from dts_fsm.store import Change, OperationRow, TransferRow
from dts_fsm.testing import Rig
from dts_fsm.testing.store_rows import NOW, plan


class Mute:
    """A handler that begins one operation of its kind."""

    def __init__(self, name: str) -> None:
        self.name = name

    def begin(self, transfer: Transfer) -> Sequence[OperationRequest]:
        return [OperationRequest(handler=self.name, kind=self.name, endpoint="there")]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    handlers = {name: Mute(name) for name in ("stager", "mover", "manifestor")}
    return Engine(handlers, Timing(ServiceConfig(data_dir=tmp_path), seed=0), lambda rowid: None)  # type: ignore[arg-type, return-value]


@pytest.fixture
def row(engine: Engine) -> TransferRow:
    """A new transfer, whose survey is about to be handed over."""
    return engine.admit(plan("a"), NOW).transfer


def survey(row: TransferRow) -> OperationRow:
    return row.operations[0]


def hear(engine: Engine, row: TransferRow, *answers: Answer | OperationCode, at: float = NOW) -> Change:
    told = [OperationStatus(code=answer) if isinstance(answer, OperationCode) else answer for answer in answers]
    return engine.decide(row, at, answers=[(survey(row), answer) for answer in told])


def test_the_engine_s_words_for_ended_operations_are_the_chart_s() -> None:
    assert frozenset(load_chart("operation").final_states) == ENDED


def test_every_guard_of_the_charts_is_offered_and_no_other() -> None:
    assert {guard.name for guard in load_chart("transfer").guards} == set(transfer_guards(keep=False))
    assert {guard.name for guard in load_chart("operation").guards} == set(operation_guards(3))


def test_a_new_transfer_has_begun_its_first_operation_and_recorded_the_intention(row: TransferRow) -> None:
    assert (row.state, survey(row).state, survey(row).submitted) == ("unknown", "submitting", 1)


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ([OperationCode.RUNNING], "running"),
        ([OperationCode.RUNNING, OperationCode.RUNNING], "running"),
        ([OperationCode.RUNNING, None], "running"),
        ([OperationCode.SUSPENDED], "suspended"),
        ([OperationCode.SUSPENDED, OperationCode.SUSPENDED], "suspended"),
        ([OperationCode.SUSPENDED, OperationCode.RUNNING], "running"),
        ([OperationCode.SUSPENDED, None], "suspended"),
        ([OperationCode.FAILED], "failed"),
        ([OperationCode.CANCELED], "failed"),
        ([OperationCode.LOST], "submitting"),
        ([OperationCode.RUNNING, OperationCode.LOST], "submitting"),
        ([OperationCode.SUSPENDED, OperationCode.LOST], "submitting"),
        ([OperationCode.SUCCEEDED], "succeeded"),
        ([OperationStatus(code=OperationCode.FAILED, transient=True)], "pending"),
        ([TransientError("x")], "pending"),
        ([OperationCode.RUNNING, TransientError("x")], "running"),
        ([PermanentError("x")], "failed"),
        ([OperationCode.RUNNING, PermanentError("x")], "failed"),
        # what comes after the end, or before the next submission, is not heard
        ([OperationCode.SUCCEEDED, OperationCode.FAILED], "succeeded"),
        ([TransientError("x"), OperationCode.SUCCEEDED], "pending"),
    ],
)
def test_what_an_answer_makes_of_an_operation(
    engine: Engine, row: TransferRow, answers: Sequence[Answer | OperationCode], state: str
) -> None:
    hear(engine, row, *answers)
    assert survey(row).state == state
    assert (survey(row).due_at is None) is (state in ENDED)


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (OperationCode.RUNNING, "canceling", None),
        (OperationCode.SUSPENDED, "canceling", None),
        (None, "canceling", None),
        (TransientError("deaf"), "canceling", None),
        (PermanentError("gone"), "canceled", "canceled"),
        (OperationCode.LOST, "canceled", "canceled"),
        (OperationCode.CANCELED, "canceled", "canceled"),
        (OperationCode.FAILED, "failed", "canceled"),
        (OperationCode.SUCCEEDED, "succeeded", "canceled"),
    ],
)
def test_what_an_answer_makes_of_a_cancellation(
    engine: Engine, row: TransferRow, answer: Answer | OperationCode, state: str, reason: str | None
) -> None:
    row.wanted = "cancel"
    hear(engine, row)
    assert survey(row).state == "canceling"
    hear(engine, row, answer)
    assert (survey(row).state, row.reason) == (state, reason)


@pytest.mark.parametrize("answer", [OperationCode.RUNNING, None, TransientError("deaf")])
def test_a_cancellation_that_nobody_acknowledges_ends_at_its_deadline(
    engine: Engine, row: TransferRow, answer: Answer | OperationCode
) -> None:
    row.wanted = "cancel"
    hear(engine, row)
    hear(engine, row, answer, at=NOW + 599)
    assert survey(row).state == "canceling"
    hear(engine, row, answer, at=NOW + 600)
    assert (survey(row).state, row.reason) == ("canceled", "canceled")


def test_a_cancellation_ends_at_its_deadline_even_if_its_provider_cannot_be_asked(
    engine: Engine, row: TransferRow
) -> None:
    row.wanted = "cancel"
    hear(engine, row)
    hear(engine, row, at=NOW + 600)
    assert (survey(row).state, row.reason) == ("canceled", "canceled")


def test_no_deadline_passes_before_the_providers_could_be_asked(engine: Engine, row: TransferRow) -> None:
    late = NOW + 1e6
    engine.decide(row, late, not_before=late + 60)
    assert (row.state, row.deadline_at) == ("unknown", late + 60)
    engine.decide(row, late + 60, not_before=late + 60)
    assert row.wanted == "expire"


def test_a_provider_that_cancels_by_itself_is_named_as_the_reason(engine: Engine, row: TransferRow) -> None:
    hear(engine, row, OperationCode.CANCELED)
    assert (row.state, row.reason) == ("failed", "canceled by the provider")


def test_an_answered_failure_is_tried_again_under_another_submission(engine: Engine, row: TransferRow) -> None:
    first = survey(row).submission_id
    hear(engine, row, OperationStatus(code=OperationCode.FAILED, transient=True, handle=uuid4()))
    assert survey(row).submission_id != first
    assert (survey(row).handle, survey(row).submitted) == (None, 0)


def test_an_operation_that_waits_for_another_attempt_of_its_own_is_canceled_at_once(
    engine: Engine, row: TransferRow
) -> None:
    hear(engine, row, OperationStatus(code=OperationCode.FAILED, transient=True))
    row.wanted = "cancel"
    hear(engine, row)
    assert (survey(row).state, row.state) == ("canceled", "failed")


def test_an_operation_whose_submission_may_have_arrived_is_canceled_at_the_provider(
    engine: Engine, row: TransferRow
) -> None:
    hear(engine, row, TransientError("no answer"))
    row.wanted = "cancel"
    hear(engine, row)
    assert (survey(row).state, row.state) == ("canceling", "unknown")


def test_counts_never_go_below_zero_and_files_staged_late_count(engine: Engine, row: TransferRow) -> None:
    hear(engine, row, OperationStatus(code=OperationCode.RUNNING, num_files_transferred=1, num_bytes_transferred=7))
    hear(engine, row, OperationStatus(code=OperationCode.RUNNING, num_files_transferred=0, num_bytes_transferred=3))
    assert (survey(row).files_transferred, survey(row).bytes_transferred) == (1, 7)


def test_a_chart_that_asks_for_what_nobody_offers_is_refused_with_every_finding(tmp_path: Path) -> None:
    with pytest.raises(StatechartError) as refused:
        Engine({"mover": Mute("mover")}, Timing(ServiceConfig(data_dir=tmp_path)), lambda rowid: None)  # type: ignore[arg-type, dict-item, return-value]
    assert [word for finding in refused.value.findings for word in finding.split() if word.startswith("SC")] == [
        "SC010",
        "SC010",
        "SC010",
    ]


def test_a_chart_whose_deadline_is_no_setting_is_refused(tmp_path: Path) -> None:
    chart = load_chart("transfer")
    states = tuple(attrs.evolve(s, deadline="tea_time") if s.name == "active" else s for s in chart.states)
    with pytest.raises(InvalidServiceConfigError, match="tea_time"):
        Rig(tmp_path, transfer_chart=attrs.evolve(chart, states=states))


def test_a_host_s_own_chart_runs(tmp_path: Path) -> None:
    chart = load_chart("transfer")
    states = tuple(attrs.evolve(s, deadline=None) if s.name == "active" else s for s in chart.states)
    rig = Rig(tmp_path, transfer_chart=attrs.evolve(chart, states=states))
    rig.source.add("a", b"x")
    transfer_id = rig.create("a")
    assert rig.run(transfer_id).code == "succeeded"
    rig.close()
