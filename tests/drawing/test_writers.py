"""The pictures of charts: what is in their texts, how they are marked, and the files that are generated."""

from __future__ import annotations

import runpy
import sys
import sysconfig
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import attrs
import pytest

from dts_fsm.errors import StatechartError
from dts_fsm.statechart import CHARTS, Chart, StateDef, TransitionDef, load_chart, parse_chart
from dts_fsm.statechart.drawing import WRITERS, Mark, Overlay, Picture, Step, markdown, plantuml
from dts_fsm.statechart.drawing import dot as write_dot
from dts_fsm.statechart.drawing import mermaid as write_mermaid
from dts_fsm.statechart.drawing.__main__ import main
from dts_fsm.statechart.drawing.files import stale_diagrams, write_diagrams

FOLDER = Path(__file__).parents[2] / "statecharts" / "diagrams"
FILES = [
    *(f"{name}.{ending}" for name in CHARTS for ending in ("mmd", "dot", "puml")),
    *("README.md", "transfer.svg", "operation.svg"),
]
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


def mermaid(chart: Chart, *, current: str | None = None, path: Sequence[Step] = ()) -> str:
    return write_mermaid(Picture.of(chart, Overlay.of_path(path, current)))


def dot(chart: Chart, *, current: str | None = None, path: Sequence[Step] = ()) -> str:
    return write_dot(Picture.of(chart, Overlay.of_path(path, current)))


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
        '"" [shape=circle, style=filled, fillcolor="#59636e", width=0.15, label="", class=start]',
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
    walked = 'color="#1b7837", fontcolor="#1b7837", penwidth=2, class=walked'
    assert [line.strip() for line in drawn if line not in plain] == [
        '"dark" [label=<<b>dark</b>>, fillcolor="#d7ecd9", color="#1b7837", class=walked]',
        '"bright" [label=<<b>bright</b><br/><font point-size="10">enter / meter.begin</font><br/>'
        '<font point-size="10">deadline / burning_time</font>>, fillcolor="#ffe08a", color="#1b7837", penwidth=2, '
        "class=current]",
        f'"" -> "dark" [label=" ✓ ", {walked}]',
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


COUNTED = Overlay(
    states={"dark": Mark(heat=0.0, notes=("3 now",)), "bright": Mark(heat=1.0), "gone": Mark(notes=("1 now",))},
    steps={("dark", "switch", "bright"): Mark(heat=0.5, notes=("7 times",)), ("gone", "switch", "dark"): Mark()},
    caption=("As of noon.",),
)


def test_a_plantuml_picture_shows_beginning_notes_guards_ends_marks_and_caption() -> None:
    lines = plantuml(Picture.of(LAMP, COUNTED)).splitlines()
    assert [line for line in lines if not line.startswith("skinparam")] == [
        "@startuml",
        "' lamp: generated from its chart, do not edit",
        "hide empty description",
        'state "dark" as S0 #fff4e5',
        "S0 : 3 now",
        'state "bright" as S1 #ff9440',
        "S1 : enter / meter.begin",
        "S1 : deadline / burning_time",
        'state "broken" as S2',
        "[*] --> S0",
        "S0 -[#98500f,thickness=3]-> S1 : switch [powered]\\n7 times",
        "S1 --> S0 : switch",
        "S0 --> S2 : drop",
        "S1 --> S2 : drop\\nburn_out",
        "S2 --> [*]",
        "legend bottom left",
        "  As of noon.",
        "end legend",
        "@enduml",
    ]


def test_markdown_has_a_table_of_states_and_one_of_transitions_with_what_data_say() -> None:
    assert markdown(Picture.of(LAMP, COUNTED)).splitlines() == [
        "| state | what it means | on entry | deadline | seen |",
        "| --- | --- | --- | --- | --- |",
        "| **dark** (initial) | It is off. |  |  | 3 now |",
        "| **bright** | It is on. | meter.begin | burning\\_time |  |",
        "| **broken** (final) | It is broken. |  |  |  |",
        "",
        "| from | event | guard | to | what happens | taken |",
        "| --- | --- | --- | --- | --- | --- |",
        "| dark | switch | powered | bright | Somebody switches it on. | 7 times |",
        "| bright | switch |  | dark | Somebody switches it off. |  |",
        "| dark | drop |  | broken | It falls. |  |",
        "| bright | drop |  | broken | It falls. |  |",
        "| bright | burn\\_out |  | broken | It has burned out. |  |",
        "",
        "As of noon.",
    ]


def test_what_a_box_s_arrow_stands_for_is_told_apart() -> None:
    steps = {
        (state, "cancel", "failed"): Mark(notes=(note,)) for state, note in (("active", "twice"), ("staging", "once"))
    }
    picture = Picture.of(load_chart("transfer"), Overlay(steps=steps))
    (arrow,) = [arrow for arrow in picture.arrows if arrow.target == "failed"]
    assert arrow.lines == ("cancel [canceled]", "staging: once", "active: twice", "fail [failed_for_good]")


def test_a_transition_back_to_its_own_state_is_a_line_within_it() -> None:
    loop = TransitionDef(event="flicker", sources=("bright",), target="bright", description="It stays on.")
    chart = attrs.evolve(LAMP, transitions=(*LAMP.transitions, loop))
    assert "    bright : ↻ flicker\n" in mermaid(chart)
    assert "flicker" not in str(Picture.of(chart).arrows)
    assert "| bright | flicker |  | bright | It stays on. |\n" in markdown(Picture.of(chart))


@pytest.mark.parametrize("form", ["mermaid", "dot", "plantuml"])
def test_themes_differ_in_colours_only(form: str) -> None:
    walk = Picture.of(LAMP, Overlay.of_path(WALK, "bright"))
    texts = {theme: WRITERS[form](walk, theme=theme) for theme in ("auto", "light", "dark")}
    assert "#5c4300" in texts["dark"]
    assert "#ffe08a" in texts["light"]
    assert len(set(texts.values())) >= 2
    for text in texts.values():
        assert [word for word in ("meter.begin", "✓ switch", "burn_out") if word not in text] == []


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
    drawn = (tmp_path / "transfer.svg").read_text(encoding="utf-8")
    (tmp_path / "transfer.svg").write_text(drawn.replace("made from ", "made from 0"), encoding="utf-8")
    assert main(["--check", str(tmp_path)]) == 1
    again = f"run python -m dts_fsm.statechart.drawing {tmp_path}\n"
    assert capsys.readouterr().err == "".join(
        f"{tmp_path / name} is not current: {again}" for name in ("transfer.dot", "operation.mmd", "transfer.svg")
    )
    assert (tmp_path / "transfer.dot").read_text(encoding="utf-8") == "old\n"


def test_without_graphviz_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "SVG needs Graphviz: install it (Debian: apt install graphviz), or the extra dts-fsm[diagrams]\n"
    )


def test_the_module_is_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["drawing", str(tmp_path)])
    # Run as the command line does: as a module that nobody has imported.
    monkeypatch.delitem(sys.modules, "dts_fsm.statechart.drawing.__main__")
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("dts_fsm.statechart.drawing", run_name="__main__")
    assert caught.value.code == 0
    assert stale_diagrams(tmp_path) == []
