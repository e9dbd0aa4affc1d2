"""A type checker knows the names in charts: it accepts those that a chart has, and refuses misspelt ones."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from mypy import api

from dts_fsm.statechart import OperationEvent, OperationState, TransferEvent, TransferState, load_chart
from dts_fsm.statechart.typed import main

CHECKOUT = Path(__file__).parents[2]
PROGRAM = """
from pathlib import Path
from typing import cast
from uuid import UUID

from door_names import FrontDoorEvent, FrontDoorState
from dts_fsm.statechart import Chart, OperationEvent, StateMachine, TransferEvent, TransferState
from dts_fsm.statechart import load_chart, load_chart_file


class Row:
    def __init__(self, id: UUID, state: str) -> None:
        self.id, self.state = id, state


def of_the_package(row: Row, machine: StateMachine[TransferEvent]) -> None:
    machine.fire(row, "finalize")
    machine.fire(row, "finalise")  # refused
    made = StateMachine(load_chart("transfer"), callbacks={}, guards={})
    made.fire(row, "finalize")
    made.fire(row, "finalise")  # refused
    if (event := made.next_event(row)) is not None:
        made.fire(row, event)
    operations = StateMachine(load_chart("operation"), callbacks={}, guards={})
    operations.fire(row, "acknowledge")
    operations.fire(row, "finalize")  # refused
    events: tuple[OperationEvent, ...] = load_chart("operation").events
    states: tuple[TransferState, ...] = load_chart("transfer").live_states
    final: TransferState = "canceled"  # refused


def of_a_host(row: Row, path: Path) -> None:
    chart = cast("Chart[FrontDoorState, FrontDoorEvent]", load_chart_file(path))
    machine = StateMachine(chart, callbacks={}, guards={})
    machine.fire(row, "push")
    machine.fire(row, "pull")  # refused
    state: FrontDoorState = chart.final_states[0]
    if state == "ajar":  # refused
        machine.fire(row, "remove")


def of_any_chart(row: Row, chart: Chart, machine: StateMachine) -> None:
    machine.fire(row, "whatever")
    StateMachine(chart, callbacks={}, guards={}).fire(row, "whatever")
    of_any_chart(row, load_chart("transfer"), machine)
"""
FIRE = 'Argument 2 to "fire" of "StateMachine" has incompatible type "Literal[{!r}]"; expected "{}"  [arg-type]'
TRANSFER = "Literal['succeed', 'cancel', 'fail', 'suspend', 'stage', 'move', 'finalize', 'resume']"
OPERATION = (
    "Literal['submit', 'start', 'suspend', 'resume', 'succeed', 'retry', 'fail', 'cancel', 'acknowledge', 'abandon']"
)
STATES = "Literal['unknown', 'staging', 'active', 'inactive', 'finalizing', 'succeeded', 'failed']"
REFUSED = (
    FIRE.format("finalise", TRANSFER),
    FIRE.format("finalise", TRANSFER),
    FIRE.format("finalize", OPERATION),
    "Incompatible types in assignment (expression has type \"Literal['canceled']\", variable has type "
    f'"{STATES}")  [assignment]',
    FIRE.format("pull", "Literal['push', 'remove']"),
    "Non-overlapping equality check (left operand type: \"Literal['shut', 'gone']\", right operand type: "
    "\"Literal['ajar']\")  [comparison-overlap]",
)
DOOR = """
[chart]
name = "front_door"
initial = "shut"
description = "A door."
[states.shut]
description = "Nobody can pass."
[states.gone]
description = "There is a hole in the wall."
final = true
[[transitions]]
event = "push"
from = ["shut"]
to = "shut"
description = "Somebody pushes it in vain."
[[transitions]]
event = "remove"
from = ["shut"]
to = "gone"
description = "A carpenter takes it away."
"""


def made(folder: Path, text: str = DOOR) -> tuple[Path, Path]:
    """The chart in a file, and the file for its types."""
    chart, types = folder / "door.toml", folder / "door_names.py"
    chart.write_text(text, encoding="utf-8")
    return types, chart


def test_mypy_accepts_the_names_of_a_chart_and_refuses_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    assert main([str(path) for path in made(tmp_path)]) == 0
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MYPYPATH", str(CHECKOUT))
    told, trouble, _ = api.run(
        ["--strict", "--config-file=", "--follow-imports=silent", "--no-error-summary", "program.py"]
    )
    lines = [number for number, line in enumerate(PROGRAM.splitlines(), start=1) if line.endswith("# refused")]
    expected = [f"program.py:{line}: error: {what}" for line, what in zip(lines, REFUSED, strict=True)]
    assert (expected, "") == (told.splitlines(), trouble)


def test_the_types_of_the_package_are_current() -> None:
    assert main(["--check", str(CHECKOUT / "dts_fsm" / "statechart" / "literals.py")]) == 0
    for name, states, events in (
        ("transfer", TransferState, TransferEvent),
        ("operation", OperationState, OperationEvent),
    ):
        chart = load_chart(name)
        assert tuple(state.name for state in chart.states) == get_args(states)
        assert chart.events == get_args(events)


def test_types_that_are_not_current_are_told_with_the_command_that_makes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    types, chart = made(tmp_path)
    arguments = [str(types), str(chart)]
    told = f"{types} is not current: run python -m dts_fsm.statechart.typed {types} {chart}\n"
    assert (main(["--check", *arguments]), capsys.readouterr().err) == (1, told)
    assert (main(arguments), main(["--check", *arguments])) == (0, 0)
    assert 'FrontDoorState = Literal["shut", "gone"]\n' in types.read_text(encoding="utf-8")
    chart.write_text(DOOR.replace("push", "pull"), encoding="utf-8")
    assert (main(["--check", *arguments]), capsys.readouterr().err) == (1, told)


def test_charts_whose_types_would_have_the_same_name_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    types, chart = made(tmp_path)
    assert (main([str(types), str(chart), str(chart)]), types.exists()) == (1, False)
    told = "the types of two of the charts would have the same name: 'front_door', 'front_door'\n"
    assert told == capsys.readouterr().err


def test_a_module_that_cannot_be_written_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, chart = made(tmp_path)
    missing = tmp_path / "missing" / "names.py"
    assert main([str(missing), str(chart)]) == 1
    assert f"[Errno 2] No such file or directory: '{missing}'\n" == capsys.readouterr().err


def test_charts_that_give_no_types_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only = (
        DOOR.partition("[states.shut]")[0].replace("shut", "gone")
        + '[states.gone]\ndescription = "No."\nfinal = true\n'
    )
    for text, told in (
        ("[chart]", "does not define"),
        (f"transitions = []\n{only}", "has no events to make a type of"),
    ):
        types, chart = made(tmp_path, text)
        assert (main([str(types), str(chart)]), types.exists()) == (1, False)
        assert told in capsys.readouterr().err
