"""The page on lint: it explains every code, and each of its examples has the finding that it is for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dts_fsm.errors import StatechartError
from dts_fsm.statechart import RULES, Finding, lint, parse_chart, refusals

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "lint.md").read_text(encoding="utf-8")

_SECTION = re.compile(r"^## (?P<code>SC\d{3}): (?P<title>[^\n]+)\n\n(?P<text>.*?)(?=^## |\Z)", re.M | re.S)
SECTIONS = {match["code"]: match for match in _SECTION.finditer(PAGE)}


def example(kind: str, text: str) -> str:
    """The only block of a kind in a text."""
    (block,) = re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S)
    return str(block)


DOOR = example("toml", PAGE.partition("## The chart of the examples\n")[2])


def changed(diff: str) -> str:
    """The door with a change, in one place or in several that a line with @@ divides."""
    text = DOOR
    for hunk in diff.split("@@ @@\n"):
        lines = hunk.splitlines(keepends=True)
        old, new = ("".join(line[1:] or "\n" for line in lines if line[0] in f" \n{sign}") for sign in "-+")
        assert DOOR.count(old) == 1, old
        text = text.replace(old, new)
    return text


def findings(text: str) -> tuple[Finding, ...]:
    try:
        chart = parse_chart(text, file="door.toml")
    except StatechartError as error:
        return refusals(error, file="door.toml")
    return lint(chart, callbacks=["bell.ring"], guards=["locked", "unlocked"], deadlines=["patience"])


EXAMPLES = {code: example("diff", m["text"]) for code, m in SECTIONS.items() if "```diff" in m["text"]}


def test_every_code_is_explained_with_its_severity_title_and_repair() -> None:
    explained = [(m["code"], m["text"].split(".")[0].lower(), m["title"]) for m in SECTIONS.values()]
    assert [(code, rule.severity, rule.title) for code, rule in RULES.items()] == explained
    assert {*RULES} == {code for code, section in SECTIONS.items() if section["text"].count("\n\nRepair: ") == 1}


def test_the_chart_of_the_examples_has_no_findings() -> None:
    assert findings(DOOR) == ()


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_has_the_finding_that_it_is_for_and_no_others(code: str) -> None:
    assert {code} == {finding.code for finding in findings(changed(EXAMPLES[code]))}


def test_every_code_has_an_example_that_is_run() -> None:
    # the one that no file can hold is a program, which the tests of all pages run
    printed = [code for code, section in SECTIONS.items() if f"```text\noperation.toml: {code} " in section["text"]]
    assert printed == ["SC013"]
    assert {*RULES} == {*printed, *EXAMPLES}
