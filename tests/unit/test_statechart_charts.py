"""Charts as records, and the charts that come with the package."""

from __future__ import annotations

import pickle
from pathlib import Path

import attrs
import pytest

from dts_fsm.errors import StatechartError
from dts_fsm.records import TransferStatusCode
from dts_fsm.statechart import CHARTS, chart_text, library, lint, load_chart, load_chart_file

LIVE_TRANSFER = ("unknown", "staging", "active", "inactive", "finalizing")
CALLBACKS = ("stager.begin", "mover.begin", "manifestor.begin", "journal.record")


@pytest.mark.parametrize("name", CHARTS)
def test_the_charts_of_the_package_have_no_fault(name: str) -> None:
    chart = load_chart(name)
    assert name == chart.name
    assert lint(chart, callbacks=CALLBACKS, guards=[guard.name for guard in chart.guards]) == ()


def test_the_states_of_a_transfer_are_the_status_codes_of_its_users() -> None:
    assert {code.value for code in TransferStatusCode} == {state.name for state in load_chart("transfer").states}


@pytest.mark.parametrize("event", ["cancel", "fail"])
def test_every_live_transfer_can_be_canceled_and_can_fail(event: str) -> None:
    chart = load_chart("transfer")
    assert chart.live_states == LIVE_TRANSFER
    ends = {state: t.target for state in LIVE_TRANSFER for t in chart.transitions_from(state) if t.event == event}
    assert ends == dict.fromkeys(LIVE_TRANSFER, "failed")


@pytest.mark.parametrize("name", CHARTS)
def test_every_live_state_of_the_package_that_waits_for_an_answer_has_a_deadline(name: str) -> None:
    chart = load_chart(name)
    limited = {"transfer": LIVE_TRANSFER, "operation": ("canceling",)}[name]
    assert limited == tuple(state.name for state in chart.states if state.deadline)


def test_a_chart_knows_its_states_events_and_transitions_in_the_order_of_its_file() -> None:
    chart = load_chart("operation")
    assert chart.live_states == ("pending", "submitting", "running", "suspended", "canceling")
    assert chart.final_states == ("succeeded", "failed", "canceled")
    assert chart.events == (
        *("submit", "start", "suspend", "resume", "succeed"),
        *("retry", "fail", "cancel", "acknowledge", "abandon"),
    )
    assert [t.event for t in chart.transitions_from("canceling")] == ["succeed", "fail", "acknowledge", "abandon"]
    assert chart.transitions_from("failed") == ()
    assert chart.state("canceling").deadline == "cancel_deadline"


def test_a_state_that_a_chart_does_not_have_is_refused_with_those_that_it_has() -> None:
    chart = load_chart("operation")
    for ask in (chart.state, chart.transitions_from):
        with pytest.raises(StatechartError) as caught:
            ask("lost")
        assert str(caught.value) == (
            "the chart 'operation' has no state 'lost'; its states are: 'pending', 'submitting', 'running', "
            "'suspended', 'canceling', 'succeeded', 'failed', 'canceled'"
        )


def test_a_fingerprint_is_sixteen_hexadecimal_digits_and_the_same_in_every_process() -> None:
    chart = load_chart("transfer")
    fingerprint = chart.fingerprint
    assert (len(fingerprint), set(fingerprint) <= set("0123456789abcdef")) == (16, True)
    again = pickle.loads(pickle.dumps(chart))
    assert (chart, fingerprint) == (again, again.fingerprint)
    assert fingerprint != load_chart("operation").fingerprint


def test_the_fingerprints_of_the_package_are_those_that_stores_hold() -> None:
    # rows keep the fingerprint of the chart that made them: change it only with what a machine does
    assert {name: load_chart(name).fingerprint for name in CHARTS} == {
        "transfer": "a7cc08cdd04e3657",
        "operation": "babf992c78628aa0",
    }


def test_what_lint_is_told_changes_neither_the_fingerprint_nor_the_chart() -> None:
    chart = load_chart("transfer")
    other = attrs.evolve(chart, everywhere=(), ignored={"SC014": "We know."})
    assert (chart, chart.fingerprint) == (other, other.fingerprint)


def test_an_unknown_chart_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(StatechartError) as caught:
        load_chart("payment")
    assert str(caught.value) == "there is no statechart 'payment'; the package has: 'transfer', 'operation'"


def test_a_chart_is_taken_from_the_installed_package_before_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, word in ((tmp_path / "dts_fsm" / "_statecharts", "wheel"), (tmp_path / "statecharts", "checkout")):
        folder.mkdir(parents=True)
        (folder / "transfer.toml").write_text(f"# {word}\n", encoding="utf-8")
    monkeypatch.setattr(library, "files", tmp_path.joinpath)
    assert chart_text("transfer") == "# wheel\n"
    (tmp_path / "dts_fsm" / "_statecharts" / "transfer.toml").unlink()
    assert chart_text("transfer") == "# checkout\n"


def test_an_installation_without_its_charts_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "files", tmp_path.joinpath)
    with pytest.raises(StatechartError, match="'transfer' is missing from this installation: install dts_fsm again"):
        load_chart("transfer")


def test_a_chart_of_ones_own_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(chart_text("operation"), encoding="utf-8")
    for path in (file, str(file)):
        assert load_chart("operation") == load_chart_file(path)
    assert str(file) == load_chart_file(file).file


@pytest.mark.parametrize("content", [None, b"\xff", "folder"], ids=["missing", "not UTF-8", "a folder"])
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, content: bytes | str | None) -> None:
    file = tmp_path / "mine.toml"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        file.mkdir()
    with pytest.raises(StatechartError) as caught:
        load_chart_file(file)
    assert str(caught.value).startswith(f"the statechart {str(file)!r} cannot be read: ")


def test_a_path_with_a_nul_is_refused_like_any_file_that_cannot_be_read() -> None:
    with pytest.raises(StatechartError, match="cannot be read"):
        load_chart_file("a\0b")


def test_a_file_whose_chart_has_faults_is_refused_with_all_of_them(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(chart_text("operation").replace('to = "canceled"', 'to = "gone"'), encoding="utf-8")
    with pytest.raises(StatechartError) as caught:
        load_chart_file(file)
    assert caught.value.findings == (
        f"{file}: SC001 unknown state 'gone': [[transitions]] number 10 ('acknowledge' to 'gone') leads there",
        f"{file}: SC001 unknown state 'gone': [[transitions]] number 11 ('abandon' to 'gone') leads there",
        f"{file}: SC004 unreachable state 'canceled': no way leads there from 'pending'",
    )
