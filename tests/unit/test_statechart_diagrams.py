"""The pictures of charts: their text, their marks, and the files that are generated."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import attrs
import pytest

from dts_fsm.errors import StatechartError
from dts_fsm.statechart import CHARTS, Chart, StateDef, TransitionDef, load_chart, parse_chart
from dts_fsm.statechart.diagrams import dot, main, mermaid, stale_diagrams, write_diagrams

FOLDER = Path(__file__).parents[2] / "statecharts" / "diagrams"
FILES = ["transfer.mmd", "transfer.dot", "operation.mmd", "operation.dot", "README.md"]
LAMP = parse_chart(
    """
    [chart]
    name = "lamp"
    initial = "dark"
    description = "A lamp."
    [states]
    dark = {description = "It is off."}
    bright = {description = "It is on.", enter = "meter.begin", deadline = "burning_time"}
    broken = {description = "It is broken.", final = true}
    [guards]
    powered = {description = "there is power"}
    [[transitions]]
    event = "switch"
    from = ["dark"]
    to = "bright"
    guard = "powered"
    description = "Somebody switches it on."
    [[transitions]]
    event = "switch"
    from = ["bright"]
    to = "dark"
    description = "Somebody switches it off."
    [[transitions]]
    event = "drop"
    from = ["dark", "bright"]
    to = "broken"
    description = "It falls."
    [[transitions]]
    event = "burn_out"
    from = ["bright"]
    to = "broken"
    description = "It has burned out."
    """,
    file="lamp.toml",
)
WALK = [("", "create", "dark"), ("dark", "switch", "bright")]


def test_the_generated_diagrams_are_current() -> None:
    assert stale_diagrams(FOLDER) == []


def test_a_mermaid_picture_shows_beginning_notes_guards_and_ends_and_merges_arrows() -> None:
    assert mermaid(LAMP).splitlines() == [
        "%% lamp: generated from its chart, do not edit",
        "stateDiagram-v2",
        "    [*] --> dark",
        "    dark : dark",
        "    bright : bright",
        "    bright : enter / meter.begin",
        "    bright : deadline / burning_time",
        "    broken : broken",
        "    dark --> bright : switch [powered]",
        "    bright --> dark : switch",
        "    dark --> broken : drop",
        "    bright --> broken : drop<br/>burn_out",
        "    broken --> [*]",
    ]


def test_a_mermaid_picture_of_a_machine_ticks_what_it_walked_and_colours_where_it_is() -> None:
    plain, drawn = mermaid(LAMP).splitlines(), mermaid(LAMP, current="bright", path=WALK).splitlines()
    assert [line for line in drawn[: len(plain)] if line not in plain] == [
        "    [*] --> dark : ✓",
        "    dark --> bright : ✓ switch [powered]",
    ]
    assert drawn[len(plain) :] == [
        "    classDef walked fill:#d7ecd9,stroke:#1b7837,color:#000",
        "    class dark walked",
        "    classDef current fill:#ffe08a,stroke:#1b7837,color:#000",
        "    class bright current",
    ]


def test_a_dot_picture_shows_beginning_notes_guards_and_ends_and_merges_arrows() -> None:
    lines = [line.strip() for line in dot(LAMP).splitlines()]
    assert lines[:2] == ["// lamp: generated from its chart, do not edit", 'digraph "lamp" {']
    assert lines[5:] == [
        '"" [shape=circle, style=filled, fillcolor=black, width=0.15, label=""]',
        '"dark" [label=<<b>dark</b>>]',
        '"bright" [label=<<b>bright</b><br/><font point-size="10">enter / meter.begin</font><br/>'
        '<font point-size="10">deadline / burning_time</font>>]',
        '"broken" [label=<<b>broken</b>>, peripheries=2]',
        '"" -> "dark"',
        '"dark" -> "bright" [label=" switch [powered] "]',
        '"bright" -> "dark" [label=" switch "]',
        '"dark" -> "broken" [label=" drop "]',
        '"bright" -> "broken" [label=" drop \\n burn_out "]',
        "}",
    ]


def test_a_dot_picture_of_a_machine_colours_its_path_and_where_it_is() -> None:
    plain, drawn = dot(LAMP).splitlines(), dot(LAMP, current="bright", path=WALK).splitlines()
    walked = 'color="#1b7837", fontcolor="#1b7837", penwidth=2'
    assert [line.strip() for line in drawn if line not in plain] == [
        '"dark" [label=<<b>dark</b>>, fillcolor="#d7ecd9", color="#1b7837"]',
        '"bright" [label=<<b>bright</b><br/><font point-size="10">enter / meter.begin</font><br/>'
        '<font point-size="10">deadline / burning_time</font>>, fillcolor="#ffe08a", color="#1b7837", penwidth=2]',
        f'"" -> "dark" [{walked}]',
        f'"dark" -> "bright" [label=" ✓ switch [powered] ", {walked}]',
    ]


@pytest.mark.parametrize("draw", [mermaid, dot])
def test_the_many_ways_to_failure_of_a_transfer_are_one_arrow(draw: Callable[..., str]) -> None:
    (line,) = [line for line in draw(load_chart("transfer")).splitlines() if "failed_for_good" in line]
    assert "cancel [canceled]" in line


def test_an_arrow_from_the_box_leaves_it_at_its_border_and_does_not_turn_the_picture_around() -> None:
    lines = dot(load_chart("operation")).splitlines()
    assert [line.strip() for line in lines if "attempts_" in line] == [
        '"suspended" -> "pending" [label=" retry [attempts_left] ", ltail=cluster_any, constraint=false]',
        '"suspended" -> "failed" [label=" fail [attempts_exhausted] ", ltail=cluster_any]',
    ]


@pytest.mark.parametrize("draw", [mermaid, dot])
def test_steps_that_the_chart_does_not_have_are_not_drawn(draw: Callable[..., str]) -> None:
    path = [("dark", "explode", "broken"), ("lost", "switch", "found"), ("", "create", "lost")]
    marked = draw(LAMP, path=path)
    assert "✓" not in marked
    assert "lost" not in marked


@pytest.mark.parametrize("draw", [mermaid, dot])
def test_a_current_state_that_the_chart_does_not_have_is_refused(draw: Callable[..., str]) -> None:
    with pytest.raises(StatechartError, match="has no state 'lost'"):
        draw(LAMP, current="lost")


def odd_chart(*names: str) -> Chart:
    """A chart with a way through all states of these names, the last one final."""
    return Chart(
        name='odd "chart"\nof two lines',
        initial=names[0],
        description="Odd.",
        states=tuple(StateDef(name=name, description="A state.", final=name == names[-1]) for name in names),
        guards=(),
        transitions=tuple(
            TransitionDef(event="go; <on>", sources=(source,), target=target, description="It goes.")
            for source, target in pairwise(names)
        ),
    )


def test_states_that_mermaid_would_take_for_its_own_words_get_other_ids() -> None:
    lines = [line.strip() for line in mermaid(odd_chart("end", "root", "ending", "Z z")).splitlines()]
    assert lines == [
        '%% odd "chart" of two lines: generated from its chart, do not edit',
        "stateDiagram-v2",
        "[*] --> S0",
        "S0 : end",
        "S1 : root",
        "ending : ending",
        "S3 : Z z",
        "S0 --> S1 : go#59; #60;on#62;",
        "S1 --> ending : go#59; #60;on#62;",
        "ending --> S3 : go#59; #60;on#62;",
        "S3 --> [*]",
    ]


def test_a_dot_picture_quotes_what_graphviz_would_take_for_its_own() -> None:
    lines = [line.strip() for line in dot(odd_chart("<b>", 'say "no"', "back\\slash")).splitlines()]
    assert 'digraph "odd \\"chart\\" of two lines" {' in lines
    assert '"<b>" [label=<<b>&lt;b&gt;</b>>]' in lines
    assert '"say \\"no\\"" -> "back\\\\slash" [label=" go; <on> "]' in lines


def test_the_box_holds_the_sources_that_save_the_most_arrows() -> None:
    sources = {"drop": ("dark", "dim", "bright"), "cut": ("dim", "bright", "dark"), "tire": ("dim", "bright")}
    reset = TransitionDef(event="reset", sources=sources["drop"], target="dark", description="It is off again.")
    chart = attrs.evolve(
        LAMP,
        states=(*LAMP.states, StateDef(name="dim", description="It is nearly off.")),
        transitions=(
            *LAMP.transitions[:2],
            attrs.evolve(LAMP.transitions[0], target="dim", event="turn", guard=None),
            *(
                TransitionDef(event=event, sources=names, target="broken", description="It ends.")
                for event, names in sources.items()
            ),
            reset,
        ),
    )
    drawn = mermaid(chart)
    assert "    ANY --> broken : drop<br/>cut\n" in drawn
    # No arrow leads from a box to what is in it.
    assert "    dim --> dark : reset\n" in drawn
    assert "    dim --> broken : tire\n    bright --> broken : tire\n" in drawn
    assert '    state "any of these" as ANY {\n        [*] --> dark\n' in drawn


def test_writing_makes_the_folder_and_what_is_written_is_current(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "pictures"
    assert stale_diagrams(folder) == FILES
    write_diagrams(folder)
    assert stale_diagrams(str(folder)) == []
    assert sorted(FILES) == sorted(path.name for path in folder.iterdir())
    page = (folder / "README.md").read_text(encoding="utf-8")
    for name in CHARTS:
        assert f"```mermaid\n{(folder / f'{name}.mmd').read_text(encoding='utf-8')}```\n" in page


def test_the_check_names_each_stale_picture_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0
    assert capsys.readouterr() == ("", "")
    (tmp_path / "transfer.dot").write_text("old\n", encoding="utf-8")
    (tmp_path / "operation.mmd").unlink()
    assert main(["--check", str(tmp_path)]) == 1
    again = f"run python -m dts_fsm.statechart.diagrams {tmp_path}\n"
    assert capsys.readouterr().err == "".join(
        f"{tmp_path / name} is not current: {again}" for name in ("transfer.dot", "operation.mmd")
    )
    assert (tmp_path / "transfer.dot").read_text(encoding="utf-8") == "old\n"


def test_the_module_is_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["diagrams", str(tmp_path)])
    # Run as the command line does: as a module that nobody has imported.
    monkeypatch.delitem(sys.modules, "dts_fsm.statechart.diagrams")
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("dts_fsm.statechart.diagrams", run_name="__main__")
    assert caught.value.code == 0
    assert stale_diagrams(tmp_path) == []
