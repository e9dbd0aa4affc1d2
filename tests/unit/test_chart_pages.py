"""The directives that write of statecharts in the documentation tell everything, and refuse what tells nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dts_fsm.statechart import CHARTS, load_chart
from tests.pages import CHECKOUT, DOCS

LAMP = """\
[chart]
name = "lamp"
initial = "dark"
description = "A lamp."

[states.dark]
description = "No light is | to be <b>seen</b>."
deadline = "staging_deadline"

[states.burnt_out]
description = "It never shines again."
enter = "journal.record"
final = true

[guards.current_flows]
description = "the switch is closed"

[[transitions]]
event = "flicker"
from = ["dark"]
to = "dark"
guard = "current_flows"
description = "It shines for a moment."

[[transitions]]
event = "burst"
from = ["dark"]
to = "burnt_out"
description = "Its wire melts."
"""

DIRECTIVES = ("states", "transitions", "each-state")

FAULTS = {
    "a state without a sentence": ("No light is | to be <b>seen</b>.", "", "description"),
    "a state whose sentence is its name": ("It never shines again.", "Burnt out.", "SC019"),
    "a transition without a sentence": ('description = "Its wire melts."', "", "description"),
    "a guard without a sentence": ("the switch is closed", " ", "description"),
    "a callback of which nothing is known": (
        "journal.record",
        "lamp.explode",
        "nothing says what the callback lamp.explode",
    ),
    "a deadline of which nothing is known": ("staging_deadline", "bright_deadline", "bright_deadline"),
}


def build(folder: Path, charts: dict[str, str]) -> tuple[int, str]:
    """Build a page for each of the charts as text, warnings being errors; gives the code and what was said."""
    extension = DOCS / "_ext"
    pages = {"how-to/handlers": "# Handlers", "how-to/configuration": "# Settings\n\n## service"}
    for name, chart in charts.items():
        (folder / f"{name}.toml").write_text(chart, encoding="utf-8")
        parts = "\n\n".join(f"## {directive}\n\n```{{{directive}}} {name}.toml\n```" for directive in DIRECTIVES)
        pages[name] = f"# {name}\n\n{parts}"
    pages["index"] = "# Lamps"
    (folder / "how-to").mkdir()
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(f"---\norphan: true\n---\n\n{text}\n", encoding="utf-8")
    (folder / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(extension)!r})\n"
        "extensions = ['charts_and_commands', 'myst_parser']\nmyst_heading_anchors = 2\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-W",
            "--keep-going",
            "-q",
            "-E",
            "-b",
            "text",
            str(folder),
            str(folder / "out"),
        ],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120.0,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_page_tells_of_each_state_and_each_arrow_what_there_is_to_tell(tmp_path: Path) -> None:
    assert build(tmp_path, {"lamp": LAMP}) == (0, "")
    text = " ".join(
        (tmp_path / "out" / "lamp.txt").read_text(encoding="utf-8").replace("|", " ").replace("**", "").split()
    )
    told = (
        "No light is to be <b>seen</b>.",
        "Initial: a new lamp is in this state.",
        'Deadline: 7 days, unless "service.staging_deadline" says otherwise.',
        'On entry "journal.record" is called: the transfer\'s record is written to the journal',
        "Final: the lamp has ended, and nothing leads out of this state.",
        '"flicker" itself',
        '"burst" "dark"',
        '"burst" "burnt_out"',
        "Its wire melts.",
        "none",
    )
    assert [words for words in told if words not in text] == []


def test_pages_are_not_built_of_charts_that_leave_something_untold(tmp_path: Path) -> None:
    charts = {f"fault{number}": LAMP.replace(old, new, 1) for number, (old, new, _) in enumerate(FAULTS.values())}
    code, said = build(tmp_path, charts)
    missing = [
        what
        for number, (what, (_, _, words)) in enumerate(FAULTS.items())
        if not any(f"fault{number}.md" in line and words in line for line in _joined(said))
    ]
    assert (code, missing) == (1, []), said


def _joined(said: str) -> list[str]:
    """Warnings, each in one line."""
    return said.replace("\n  ", " ").splitlines()


@pytest.mark.parametrize("name", CHARTS)
def test_the_reference_has_every_part_of_a_chart(name: str) -> None:
    text = (DOCS / "reference" / "statecharts.md").read_text(encoding="utf-8")
    wanted = [f"```{{{directive}}} {name}\n```" for directive in DIRECTIVES]
    wanted.append(f"](../../statecharts/diagrams/{name}.svg)")
    assert [part for part in wanted if part not in text] == []
    # which is what the page says of them
    chart = load_chart(name)
    assert [transition for transition in chart.transitions if transition.target in transition.sources] == []
