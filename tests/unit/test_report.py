"""The report is one page that tells the truth, needs nothing else, and does nothing that its texts want."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from dts_fsm.cli.main import main
from dts_fsm.errors import PermanentError
from dts_fsm.records import Explanation
from dts_fsm.records.answers import OperationExplanation
from dts_fsm.records.statistics import (
    EndedTransfer,
    PeriodStatistics,
    ProviderStatistics,
    ReasonStatistics,
    StateStatistics,
    Statistics,
    StepStatistics,
    WaitingTransfer,
)
from dts_fsm.report import Report, page
from dts_fsm.report.bars import Series, bars
from dts_fsm.report.sections import size
from dts_fsm.serialization import structure
from dts_fsm.statechart import CHARTS, load_chart
from dts_fsm.store import time_of
from dts_fsm.testing import ManualClock, Rig

NOW = time_of(1_800_000_000.0)
ONE, OTHER = UUID(int=1), UUID(int=2)
HOSTILE = "<script>alert(1)</script>\u202e</style><img src=x onerror=alert(2)>'\"&\x00\x1b[31m"

_VOID = ("meta",)


class Page(HTMLParser):
    """A page, read strictly.

    Attributes:
        tags: the names of all elements.
        links: what attributes refer to.
        tables: the texts of the cells, by the id of the section, then by table and row.
        text: everything that is shown.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tables: dict[str, list[list[list[str]]]] = {}
        self.text = ""
        self._open: list[str] = []
        self._section = ""
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        self.attributes |= values.keys()
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data")]
        self.links += re.findall(r"url\((.*?)\)", " ".join(value or "" for value in values.values()))
        if values.get("id"):
            self.ids.append(values["id"] or "")
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = values["id"] or ""
        cells = self.tables.setdefault(self._section, [])
        match tag:
            case "table":
                cells.append([])
            case "tr":
                cells[-1].append([])
            case "td":
                cells[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data
        if "td" in self._open:
            self.tables[self._section][-1][-1][-1] += data


EMPTY = Statistics(
    since=None,
    until=NOW,
    num_transitions=0,
    states=(),
    steps=(),
    providers=(),
    period_s=60.0,
    periods=(),
    reasons=(),
    num_succeeded=0,
    num_failed=0,
    num_canceled=0,
    num_bytes=0,
    slowest=(),
    waiting=(),
    num_overdue=0,
)


def _full(text: str) -> Statistics:
    """Numbers about everything; whatever may be text from elsewhere is this one."""
    return Statistics(
        since=NOW - timedelta(days=1),
        until=NOW,
        num_transitions=123_456,
        states=(
            StateStatistics(machine="transfer", state="active", num_now=3, longest_now_s=90.0),
            StateStatistics(
                machine="transfer", state="unknown", num_stays=7, median_s=2.0, p95_s=60.0, longest_s=3600.0
            ),
            StateStatistics(machine="operation", state=text, num_now=1),
        ),
        steps=(StepStatistics(machine="transfer", source="", event=text, target="unknown", count=1234),),
        providers=(
            ProviderStatistics(name="endpoints.quiet", kind="move", num_succeeded=5),
            ProviderStatistics(name=text, kind=text, num_failed=2, num_troubled=1, last_error=text, last_error_at=NOW),
        ),
        period_s=3600.0,
        periods=(PeriodStatistics(start=NOW, num_succeeded=9, num_failed=1, num_canceled=2, num_bytes=5_000_000),),
        reasons=(ReasonStatistics(status="failed", reason=text, count=1, latest=ONE),),
        num_succeeded=9,
        num_failed=1,
        num_canceled=2,
        num_bytes=5_000_000,
        slowest=(
            EndedTransfer(
                id=ONE,
                source=text,
                destination=text,
                status="failed",
                reason=text,
                duration_s=7200.0,
                num_files=3,
                num_bytes=10,
            ),
        ),
        waiting=(
            WaitingTransfer(id=ONE, state=text, waiting_s=90.0),
            WaitingTransfer(id=OTHER, state="inactive", waiting_s=99.0, suspended=True),
        ),
        num_overdue=11,
    )


def _explained(text: str) -> Explanation:
    return Explanation(
        transfer_id=ONE,
        state="active",
        description="words of the chart",
        summary=text,
        requested="cancel",
        next_poll_at=NOW - timedelta(seconds=5),
        deadline_at=NOW + timedelta(hours=3),
        last_error=text,
        events=(),
        operations=(),
        live_operations=(
            OperationExplanation(
                id=OTHER, summary=text, description="", late_s=None, lane_full=None, deadline_at=None, events=()
            ),
        ),
    )


def _report(text: str) -> Report:
    return Report(
        place=text,
        statistics=_full(text),
        working=False,
        explanations=(_explained(text),),
        charts=tuple(load_chart(name) for name in CHARTS),
    )


def test_every_number_stands_where_it_belongs() -> None:
    found = Page(page(_report("words")))
    states, steps, operations = found.tables["stays"]
    assert states[1:] == [
        ["unknown", "0", "", "7", "2 s", "1 min", "1 h"],
        ["active", "3", "1 min 30 s", "0", "", "", ""],
    ]
    assert steps[1:] == [["(new)", "words", "unknown", "1,234"]]
    assert operations[1:] == [["words", "1", "", "0", "", "", ""]]
    assert found.tables["throughput"][0][1:] == [["2027-01-15 08:00:00Z", "9", "1", "2", "5 MB"]]
    assert found.tables["slowest"][0][1:] == [
        [str(ONE), "2 h", "failed: words", "3", "10 bytes", "words", "words"],
    ]
    assert found.tables["reasons"][0][1:] == [["failed", "words", "1", str(ONE)]]
    trouble, quiet = found.tables["providers"][0][1:]
    assert [" ".join(cell.split()) for cell in trouble] == [
        *("! words", "words", "0", "2", "0", "0", "0", "1"),
        "words (2027-01-15 08:00:00Z)",
    ]
    assert quiet == ["endpoints.quiet", "move", "5", "0", "0", "0", "0", "0", ""]
    waits, suspended = found.tables["waiting"][0][1:]
    assert [" ".join(cell.split()) for cell in waits] == [
        *(str(ONE), "words", "1 min 30 s"),
        "words operation: words asked for: cancel last error: words looked at next: 2027-01-15 07:59:55Z, 5 s ago "
        "fails after: 2027-01-15 11:00:00Z, in 3 h",
    ]
    assert suspended == [str(OTHER), "inactive, as its user asked", "1 min 39 s", "It has ended meanwhile."]
    assert "11 operations should have been looked at" in found.text
    assert "123,456 transitions" in found.text


@pytest.mark.parametrize(
    ("working", "overdue", "live", "expected"),
    [
        (True, 0, 1, "A scheduler works on the store."),
        (True, 3, 1, "3 operations should have been looked at more than a minute ago."),
        (False, 0, 1, "nothing goes on until one is started"),
        (False, 0, 0, "nothing waits for one"),
    ],
)
def test_it_says_whether_anybody_works_on_the_store(working: bool, overdue: int, live: int, expected: str) -> None:
    states = (StateStatistics(machine="transfer", state="active", num_now=live, longest_now_s=1.0),) if live else ()
    found = attrs.evolve(EMPTY, num_overdue=overdue, states=states)
    assert expected in Page(page(Report(place="dts.db", statistics=found, working=working))).text


def test_without_a_summary_the_chart_says_what_a_state_means() -> None:
    report = attrs.evolve(_report("words"), explanations=(attrs.evolve(_explained("words"), summary=""),))
    assert "words of the chart" in Page(page(report)).text


def test_an_empty_store_has_a_page_too() -> None:
    found = Page(page(Report(place="dts.db", statistics=EMPTY, working=True)))
    assert "No transfer has ended in this time." in found.text
    assert [table for tables in found.tables.values() for table in tables] == []


def _alone(source: str) -> Page:
    """The page, which loads nothing, runs nothing, and has each id once."""
    found = Page(source)
    assert {"script", "link", "iframe", "object", "embed", "img", "base", "form", "foreignobject"} & found.tags == set()
    assert {name for name in found.attributes if name.startswith("on")} == set()
    assert {link for link in found.links if not link.startswith("#")} == set()
    assert "@import" not in source
    assert "default-src 'none'" in source
    assert len(set(found.ids)) == len(found.ids)
    return found


def test_hostile_texts_are_shown_and_do_nothing() -> None:
    found = _alone(page(_report(HOSTILE)))
    assert "<script>alert(1)</script>\\u202e</style><img src=x onerror=alert(2)>'\"&\\x00\\x1b[31m" in found.text
    assert "\u202e" not in found.text


@given(st.text())
def test_no_text_can_break_the_page(text: str) -> None:
    assert _alone(page(_report(text))).tags == _alone(page(_report("words"))).tags | (
        {"span"} if len(text) > 160 else set()
    )


def test_long_texts_are_cut_in_tables() -> None:
    found = Page(page(_report("x" * 10_000)))
    assert max(len(cell) for table in found.tables["slowest"] for row in table for cell in row) == 160


@pytest.mark.parametrize(
    ("num_bytes", "expected"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (999_600, "1 MB"), (1.5e12, "1.5 TB"), (5e21, "5e+03 EB")],
)
def test_sizes_have_three_digits(num_bytes: float, expected: str) -> None:
    assert size(num_bytes) == expected


@given(st.lists(st.lists(st.integers(0, 10**15), min_size=3, max_size=3), max_size=70))
def test_bars_stay_within_their_picture(values: list[list[int]]) -> None:
    starts = [NOW + timedelta(hours=n) for n in range(len(values))]
    series = [
        Series(name=look, look=look, values=[row[n] for row in values])
        for n, look in enumerate(("succeeded", "failed", "canceled"))
    ]
    picture = bars("b", "t", starts, series, str)
    found = [
        tuple(float(re.search(rf'\b{name}="([\d.e-]+)"', bar)[1]) for name in ("x", "y", "width", "height"))  # type: ignore[index]
        for bar in re.findall(r"<rect [^>]*class=\"bar\"/>", picture)
    ]
    for x, y, width, height in found:
        assert (x >= 0, y >= 0, x + width <= 960, y + height <= 190.1) == (True,) * 4


def _luminance(color: str) -> float:
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("number", [0, 1], ids=["light", "dark"])
def test_what_is_written_and_drawn_can_be_told_from_its_ground(number: int) -> None:
    """Source: WCAG 2.2, success criteria 1.4.3 (texts: at least 4.5) and 1.4.11 (marks: at least 3)."""
    roots = re.findall(r":root \{(.*?)\}", page(_report("words")), re.DOTALL)
    colors = dict(re.findall(r"--(\w+): (#\w{6})", roots[number]))
    texts = [(name, ground, 4.5) for name in ("text", "dim", "accent", "wrong") for ground in ("back", "soft")]
    marks = [("mark", "failed", 3), ("mark", "canceled", 3), ("succeeded", "back", 3), ("bytes", "back", 3)]
    short_of = []
    for one, other, needed in (*texts, *marks):
        low, high = sorted((_luminance(colors[one]), _luminance(colors[other])))
        if (high + 0.05) / (low + 0.05) < needed:
            short_of.append((one, other, (high + 0.05) / (low + 0.05)))
    assert short_of == []


# The command

Run = Callable[..., Result]


@pytest.fixture
def recent(tmp_path: Path) -> Iterator[Rig]:
    """A store of the last hours: a transfer that succeeded, one that failed, and one that is under way."""
    start = datetime.now(UTC) - timedelta(hours=5)
    rig = Rig(tmp_path, clock=ManualClock(start.timestamp()))
    for name in ("a", "b", "c"):
        rig.source.add(name, name.encode())
    rig.run(rig.create("a"))
    rig.clock.advance(3 * 3600.0)
    rig.source_endpoint.faults.add("transfer", PermanentError(f"the door is shut: {HOSTILE}"))
    rig.run(rig.create("b", description=HOSTILE))
    rig.source_endpoint.duration_s = 1e6
    rig.create("c")
    rig.tick(3)
    yield rig
    rig.close()


def _run(rig: Rig, command: str, *arguments: object) -> Result:
    data_dir = str(rig.config.service.data_dir)
    return CliRunner().invoke(main, [command, "--data-dir", data_dir, *map(str, arguments)])


def test_the_command_writes_a_page_that_stands_alone(recent: Rig, tmp_path: Path) -> None:
    assert _run(recent, "report", "--output", tmp_path / "report.html").exit_code == 0
    found = _alone((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert {"throughput", "fleet", "stays", "waiting", "slowest", "reasons", "providers", "transfer"} <= set(found.ids)
    assert len(found.tables["waiting"][0]) == 2
    assert "move failed" in found.tables["reasons"][0][1]


def test_the_command_writes_to_standard_output_too(recent: Rig) -> None:
    result = _run(recent, "report")
    assert (result.exit_code, result.stdout.startswith("<!doctype html>")) == (0, True)


def test_the_transfer_that_is_shown_in_full_can_be_chosen(recent: Rig) -> None:
    [live] = recent.store.transfers(state="active")
    [failed] = recent.store.transfers(state="failed")
    assert f"Transfer\n{live.id}" in Page(_run(recent, "report", "--transfer", live.id).stdout).text
    shown = _alone(_run(recent, "report", "--transfer", failed.id).stdout)
    assert ["state", "failed: move failed"] in shown.tables["transfer"][0]
    assert ["survey source", "pending"] in [row[:2] for row in shown.tables["transfer"][1]]
    unknown = _run(recent, "report", "--transfer", OTHER)
    assert (unknown.exit_code, str(OTHER) in unknown.stderr) == (1, True)


def test_numbers_are_there_as_json(recent: Rig) -> None:
    found = structure(json.loads(_run(recent, "report", "--json").stdout), Statistics)
    assert (found.num_succeeded, found.num_failed, len(found.waiting)) == (1, 1, 1)


@pytest.mark.parametrize(("since", "expected"), [("4h", 0), ("200min", 0), ("1d", 1), ("0.5w", 1), ("2020-01-01", 1)])
def test_since_may_be_an_age_or_a_time(recent: Rig, since: str, expected: int) -> None:
    found = json.loads(_run(recent, "report", "--json", "--since", since).stdout)
    assert found["num_succeeded"] == expected


@pytest.mark.parametrize("since", ["yesterday", "7", "-1d", "1y", "9" * 400 + "d", "9" * 30 + "w", ""])
def test_what_is_no_time_is_wrong_usage(recent: Rig, since: str) -> None:
    result = _run(recent, "report", "--since", since)
    assert (result.exit_code, "is no time" in result.stderr) == (2, True)


@pytest.mark.parametrize("since", ["0001-01-01", "1969-12-31T23:59:59Z", "3000w"])
def test_a_time_before_1970_is_wrong_usage(recent: Rig, since: str) -> None:
    result = _run(recent, "report", "--since", since)
    assert (result.exit_code, "is before 1970" in result.stderr) == (2, True)


def test_a_store_without_transfers_has_a_report(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    result = _run(rig, "report")
    rig.close()
    assert (result.exit_code, "No transfer has ended" in result.stdout) == (0, True)


def test_where_there_is_no_store_none_is_made(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["report", "--data-dir", str(tmp_path / "none")])
    assert (result.exit_code, (tmp_path / "none").exists()) == (1, False)
    assert "there is no store" in result.stderr


def test_the_gantt_command_draws_a_transfer(recent: Rig, tmp_path: Path) -> None:
    [failed] = recent.store.transfers(state="failed")
    svg = _run(recent, "gantt", failed.id, "--theme", "dark")
    assert (svg.exit_code, "prefers-color-scheme" in svg.stdout) == (0, False)
    assert "\N{MULTIPLICATION X} failed" in svg.stdout
    assert _run(recent, "gantt", failed.id, "--format", "mermaid", "--output", tmp_path / "g.mmd").exit_code == 0
    assert (tmp_path / "g.mmd").read_text(encoding="utf-8").splitlines()[1] == "gantt"
    assert _run(recent, "gantt", OTHER).exit_code == 1


def _keys(value: Any) -> set[str]:
    return set(value) if isinstance(value, dict) else set()


def test_the_json_has_every_field_of_the_statistics(recent: Rig) -> None:
    assert {field.name for field in attrs.fields(Statistics)} == _keys(
        json.loads(_run(recent, "report", "--json").stdout)
    )
