"""The test kit finds mistakes in charts, handlers, the engine and the store, and none where there is none."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from dts_fsm.testing import TransferRules
from tests.kit.defects import DEFECTS
from tests.kit.finding import by_rules, by_suites
from tests.pages import DOCS

pytestmark = pytest.mark.uncovered


@pytest.mark.parametrize("name", DEFECTS)
def test_each_defect_is_found_by_what_is_there_to_find_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    defect = DEFECTS[name]
    own = dict(defect.seed(monkeypatch))
    found = by_suites(own) if defect.found[0].endswith("Suite") else by_rules(own, monkeypatch)
    assert defect.found == found


def test_nothing_is_found_in_the_suites_without_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    assert by_suites({}) is None


def test_every_part_has_defects_and_each_way_of_looking_finds_some() -> None:
    places = Counter(defect.place for defect in DEFECTS.values())
    assert places == {"chart": 6, "handler": 7, "engine": 8, "store": 7}
    assert {
        "left alone",
        "left alone, with crashes",
        "left in trouble",
        "on the tour",
        "on the tour, with a crash after every step",
        "HandlerSuite",
        "StoreSuite",
    } == {defect.found[0] for defect in DEFECTS.values()}


def test_the_page_on_the_kit_lists_every_defect_with_what_found_it() -> None:
    page = (DOCS / "how-to" / "test-your-rules.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (chart|handler|engine|store) \| (.*?) \| (.*?): (.*?) \|$", page, re.M)
    assert [(one.place, one.sentence, *one.found) for one in DEFECTS.values()] == listed


TestStock = TransferRules.TestCase
"""The package's own charts and handlers, with the budget that a host has by default."""


def test_the_tour_reaches_every_transition_and_says_what_it_does_not_reach() -> None:
    tour = TransferRules.take_tour()
    assert {len(arrows) for _, arrows in tour.missing} == {2}
    unreached = [line for line in tour.lines() if line.startswith("not reached: ")]
    assert len(tour.missing) == len(unreached)
    # the guards do not let a transfer resume elsewhere than it was suspended
    assert "not reached: transfer: staging -suspend-> inactive, then -resume-> active" in unreached
    assert len(tour.legs) > 100
