"""The real Mermaid, Graphviz and PlantUML draw what the picture says: the same states, notes, guards and arrows."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dts_fsm.errors import StatechartError
from dts_fsm.statechart import Chart, GuardDef, StateDef, TransitionDef, load_chart
from dts_fsm.statechart.drawing import Mark, Overlay, Picture, mermaid, plantuml, svg
from dts_fsm.statechart.drawing.palette import PALETTES, Palette
from dts_fsm.statechart.drawing.picture import Theme

NODE = Path(__file__).parent / "node"
SVG = "{http://www.w3.org/2000/svg}"


def odd_chart() -> Chart:
    """A chart whose names are words of the drawing languages, and whatever else they might trip over."""
    names = (
        "end",
        "state",
        "note",
        "<b>&amp;",
        "say \"no\" 'now'",
        "back\\slash",
        "x: y; z",
        "été_☂",
        "root",
        "%%{x}%%",
    )
    return Chart(
        name="odd",
        initial="end",
        description='Odd <script>alert("1")</script> & so on.',
        states=tuple(
            StateDef(name=name, description="A state.", enter="go|es::on", deadline="a-->b", final=name == names[-1])
            for name in names
        ),
        guards=(GuardDef(name="a[b]{c}", description="It holds."),),
        transitions=tuple(
            TransitionDef(event="go; <on>", sources=(source,), target=target, guard="a[b]{c}", description="It goes.")
            for source, target in pairwise(names)
        ),
    )


def pictures() -> dict[str, Picture]:
    transfer = load_chart("transfer")
    overlay = Overlay(
        states={state.name: Mark(heat=0.7, notes=("1,234 now", "median 3 h")) for state in transfer.states[:5]},
        steps={
            (s, t.event, t.target): Mark(heat=0.2, notes=("9 times",)) for t in transfer.transitions for s in t.sources
        },
        caption=("As of noon: 95 % & more.",),
    )
    walk = Overlay.of_path([("", "create", "pending"), ("pending", "submit", "submitting")], "submitting")
    return {
        "transfer": Picture.of(transfer),
        "operation": Picture.of(load_chart("operation")),
        "counted": Picture.of(transfer, overlay),
        "walked": Picture.of(load_chart("operation"), walk),
        "odd": Picture.of(odd_chart()),
    }


def lines_of(picture: Picture) -> Counter[str]:
    """All that is written in the picture but its caption, each line as often as it stands there."""
    nodes = (line for node in picture.nodes for line in (node.name, *node.notes))
    arrows = (line for arrow in picture.arrows for line in arrow.lines)
    lines = Counter([*nodes, *arrows, *(["✓"] if picture.created else []), *(["any of these"] if picture.box else [])])
    return Counter({" ".join(line.split()): count for line, count in lines.items()})


def needed(program: str, file: Path | None = None) -> str:
    """The program's path; skips where it, or the file that it needs, is missing."""
    found = shutil.which(program)
    if found is None or (file is not None and not file.exists()):
        pytest.skip(f"{file if found else program} is missing: run `make packages drawing`")
    return found


# Mermaid


@pytest.fixture(scope="module")
def drawn_by_mermaid(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """What is seen of each picture, and theme, in a browser."""
    browser = needed("chromium", NODE / "node_modules" / "mermaid" / "dist" / "mermaid.min.js")
    folder = tmp_path_factory.mktemp("mermaid")
    texts = {f"{name} {theme}": mermaid(p, theme=theme) for name, p in pictures().items() for theme in ("auto", "dark")}
    (folder / "texts.js").write_text(f"const TEXTS = {json.dumps([*texts.values(), 'nonsense'])};", encoding="utf-8")
    (folder / "page.html").write_bytes((NODE / "page.html").read_bytes())
    (folder / "node_modules").symlink_to(NODE / "node_modules")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [browser, *options, "--virtual-time-budget=120000", "--dump-dom", f"file://{folder / 'page.html'}"],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    found = re.search(r'<script type="application/json" id="answer">(.*?)</script>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    return dict(zip([*texts, "nonsense"], json.loads(found[1]), strict=True))


def test_mermaid_refuses_what_it_cannot_read(drawn_by_mermaid: dict[str, dict[str, object]]) -> None:
    assert list(drawn_by_mermaid["nonsense"]) == ["error"]


@pytest.mark.parametrize("theme", ["auto", "dark"])
@pytest.mark.parametrize("name", list(pictures()))
def test_mermaid_draws_all_of_a_picture(name: str, theme: str, drawn_by_mermaid: dict[str, dict[str, object]]) -> None:
    picture, drawn = pictures()[name], drawn_by_mermaid[f"{name} {theme}"]
    assert "error" not in drawn, drawn["error"]
    states, arrows = drawn["states"], drawn["arrows"]
    assert isinstance(states, list)
    assert isinstance(arrows, list)
    lines = [line for lines in (*(state["lines"] for state in states), *arrows) for line in lines]
    assert Counter(" ".join(line.split()) for line in lines) == lines_of(picture)
    num_final = sum(node.final for node in picture.nodes)
    assert drawn["numPaths"] == len(picture.arrows) + 1 + num_final


@pytest.mark.parametrize("name", list(pictures()))
def test_states_do_not_lie_over_each_other(name: str, drawn_by_mermaid: dict[str, dict[str, object]]) -> None:
    states = drawn_by_mermaid[f"{name} auto"]["states"]
    assert isinstance(states, list)
    boxes = [state["box"] for state in states if state["lines"] != ["any of these"]]
    over = [
        (one, other)
        for number, one in enumerate(boxes)
        for other in boxes[:number]
        if one["left"] < other["right"] - 1
        and other["left"] < one["right"] - 1
        and one["top"] < other["bottom"] - 1
        and other["top"] < one["bottom"] - 1
    ]
    assert over == []


# Graphviz


@pytest.fixture(params=["dot", "graphviz-pure"])
def graphviz(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's Graphviz, or the port that the extra installs."""
    if request.param == "dot":
        needed("dot")
    else:
        monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("graphviz")
@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
@pytest.mark.parametrize("name", list(pictures()))
def test_graphviz_draws_all_of_a_picture(name: str, theme: Theme) -> None:
    picture = pictures()[name]
    root = ElementTree.fromstring(svg(picture, theme=theme, prefix="p1"))
    texts = [" ".join("".join(text.itertext()).split()) for text in root.iter(f"{SVG}text")]
    caption = Counter(" ".join(line.split()) for line in picture.caption)
    assert Counter(texts) == lines_of(picture) + caption
    classes = Counter(element.get("class", "").split()[0] for element in root.iter(f"{SVG}g"))
    assert classes["node"] == len(picture.nodes) + 1
    assert classes["edge"] == len(picture.arrows) + 1


@pytest.mark.usefixtures("graphviz")
@pytest.mark.parametrize("name", list(pictures()))
def test_an_svg_can_stand_in_a_page_beside_others(name: str) -> None:
    drawn = svg(pictures()[name], prefix="p1")
    root = ElementTree.fromstring(drawn)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "desc", "style", "g", "path", "polygon", "ellipse", "text")
    }
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(set(ids)) == len(ids)
    assert {str(id_).partition("-")[0] for id_ in ids} == {"p1"}
    style = root.find(f"{SVG}style")
    assert style is not None
    selectors = re.findall(r"[^{},]+(?=[,{])", re.sub(r"\{[^{}]*\}", "{", style.text or ""))
    assert {selector.split()[0] for selector in selectors} == {"#p1", "@media"}
    # every colour is the style sheet's
    assert re.findall(r' (?:fill|stroke)="(?!none|transparent)', drawn) == []
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("prefix", ["", "1", "a b", 'a"', "é"])
def test_a_prefix_that_is_no_id_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="is no prefix of ids"):
        svg(pictures()["operation"], prefix=prefix)


def program(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program called dot, which comes before the real one."""
    file = folder / "dot"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo syntax error >&2; exit 1", "could not lay the chart out: syntax error"),
        ("echo nothing", "something that is not the SVG"),
        ("exec sleep 60", r"did not lay the chart out in 0\.1 s"),
    ],
)
def test_a_layout_that_fails_says_why(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, script, monkeypatch)
    module = sys.modules["dts_fsm.statechart.drawing.svg"]  # the package has its function under this name
    monkeypatch.setattr(module, "LAYOUT_TIMEOUT_S", 0.1 if "sleep" in script else 30.0)
    with pytest.raises(StatechartError, match=message):
        svg(pictures()["operation"])


# PlantUML


def test_plantuml_draws_all_of_the_pictures(tmp_path: Path) -> None:
    program = needed("plantuml")
    for name, picture in pictures().items():
        (tmp_path / f"{name}.puml").write_text(plantuml(picture, theme="dark"), encoding="utf-8")
    subprocess.run(
        [program, "-charset", "UTF-8", "-failfast2", "-tsvg", *sorted(tmp_path.glob("*.puml"))], check=True, timeout=120
    )
    for name, picture in pictures().items():
        root = ElementTree.parse(tmp_path / f"{name}.svg").getroot()
        texts = (" ".join("".join(text.itertext()).split()) for text in root.iter(f"{SVG}text"))
        caption = Counter(" ".join(line.split()) for line in picture.caption)
        assert Counter(text for text in texts if text) == lines_of(picture) + caption


# Colours


def luminance(colour: str) -> float:
    """The relative luminance of a colour. Source: WCAG 2.2."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", PALETTES.values(), ids=list(PALETTES))
def test_every_text_can_be_read(palette: Palette) -> None:
    behind = (palette.paper, palette.state, palette.walked, palette.current, *palette.heats)
    on_paper = (palette.path, *palette.heat_lines)
    found = [contrast(palette.ink, fill) for fill in behind] + [contrast(palette.paper, text) for text in on_paper]
    assert min(found) >= 4.5


def test_the_picture_s_sentence_is_text_and_nothing_else() -> None:
    needed("dot")
    drawn = svg(pictures()["odd"])
    assert html.escape('<script>alert("1")</script>') in drawn
    assert "<script" not in drawn
