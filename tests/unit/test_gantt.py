"""The Gantt picture of a transfer shows its history, whatever that is, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_fsm.errors import TransientError
from dts_fsm.records import HistoryRecord
from dts_fsm.statechart.drawing.gantt import MAX_ROWS, Gantt, gantt_mermaid, gantt_svg
from dts_fsm.statechart.texts import duration, short
from dts_fsm.store import time_of
from dts_fsm.testing import Rig

START = time_of(1_800_000_000.0)
MOVE = UUID(int=7)
SVG = "{http://www.w3.org/2000/svg}"


def _at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def _history(*steps: tuple[UUID | None, str, str, str, float]) -> list[HistoryRecord]:
    return [
        HistoryRecord(
            seq=number,
            transfer_id=UUID(int=1),
            operation_id=operation,
            machine="move" if operation else "transfer",
            event=event,
            source=source,
            target=target,
            time=_at(seconds),
        )
        for number, (operation, event, source, target, seconds) in enumerate(steps, 1)
    ]


EXAMPLE = _history(
    (None, "create", "", "unknown", 0),
    (None, "move", "unknown", "active", 10),
    (MOVE, "create", "", "pending", 10),
    (MOVE, "submit", "pending", "submitting", 10),
    (MOVE, "retry", "submitting", "pending", 12),
    (MOVE, "submit", "pending", "submitting", 20),
    (MOVE, "start", "submitting", "running", 20),
    (MOVE, "succeed", "running", "succeeded", 100),
    (None, "finalize", "active", "finalizing", 100),
)


def _bars(row: Any) -> list[tuple[str, float, float]]:
    return [(bar.state, (bar.start - START).total_seconds(), (bar.end - START).total_seconds()) for bar in row.bars]


def test_each_stay_is_a_bar_from_its_beginning_to_its_end() -> None:
    gantt = Gantt.of(EXAMPLE, now=_at(160), endpoints={MOVE: "tape"})
    transfer, move = gantt.rows
    assert _bars(transfer) == [("unknown", 0, 10), ("active", 10, 100), ("finalizing", 100, 160)]
    assert _bars(move) == [
        *(("pending", 10, 10), ("submitting", 10, 12), ("pending", 12, 20)),
        *(("submitting", 20, 20), ("running", 20, 100)),
    ]
    assert (transfer.name, transfer.result) == ("transfer", "finalizing still, 2 min 40 s")
    assert (move.name, move.result) == ("move tape", "\N{CHECK MARK} succeeded, 1 min 30 s, 1 retry")
    assert (gantt.start, gantt.end) == (START, _at(160))


def test_a_changed_chart_ends_no_stay_but_where_it_renames_the_state() -> None:
    history = _history(
        (None, "create", "", "active", 0),
        (None, "upgrade", "active", "active", 5),
        (None, "upgrade", "active", "moving", 8),
    )
    [row] = Gantt.of(history, now=_at(20)).rows
    assert _bars(row) == [("active", 0, 8), ("moving", 8, 20)]


def test_a_clock_that_was_set_back_makes_a_bar_of_no_length() -> None:
    history = _history((None, "create", "", "a", 10), (None, "go", "a", "b", 0), (None, "fail", "b", "failed", 30))
    gantt = Gantt.of(history, now=_at(99))
    assert _bars(gantt.rows[0]) == [("a", 10, 10), ("b", 0, 30)]
    assert (gantt.start, gantt.end) == (START, _at(30))


def test_a_history_that_is_not_whole_is_drawn_all_the_same() -> None:
    gantt = Gantt.of(_history((None, "succeed", "finalizing", "succeeded", 5)), now=_at(9))
    assert _bars(gantt.rows[0]) == [("succeeded", 5, 5)]
    assert Gantt.of([], now=START).rows == ()
    assert "<svg" in gantt_svg(Gantt.of([], now=START))


def test_too_many_operations_are_counted() -> None:
    history = _history(
        (None, "create", "", "active", 0), *((UUID(int=n), "create", "", "pending", n) for n in range(1, MAX_ROWS + 5))
    )
    gantt = Gantt.of(history, now=_at(99))
    assert (len(gantt.rows), gantt.num_left_out) == (MAX_ROWS, 5)
    assert "and 5 more operations" in gantt_svg(gantt)


def _drawn(svg: str) -> list[tuple[str, float, float]]:
    """What the bars say, with their left end and their width."""
    found = []
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        title, bar = group.find(f"{SVG}title"), group.find(f"{SVG}rect")
        if title is not None and bar is not None:
            found.append((title.text or "", float(bar.get("x", "")), float(bar.get("width", ""))))
    return found


def test_bars_are_as_long_as_the_stays() -> None:
    drawn = _drawn(gantt_svg(Gantt.of(EXAMPLE, now=_at(160))))
    assert [text.split(",")[0] for text, _, _ in drawn] == [
        *("unknown: 10 s", "active: 1 min 30 s", "finalizing: 1 min"),
        *("pending: 0 s", "submitting: 2 s", "pending: 8 s", "submitting: 0 s", "running: 1 min 20 s"),
    ]
    assert [(x, width) for _, x, width in drawn][:3] == [(200.0, 37.5), (237.5, 337.5), (575.0, 225.0)]
    assert drawn[0][0].endswith("from 2027-01-15 08:00:00Z to 2027-01-15 08:00:10Z")


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_a_theme_is_what_was_asked_for(theme: Any) -> None:
    svg = gantt_svg(Gantt.of(EXAMPLE, now=_at(160)), theme=theme)
    assert ("prefers-color-scheme" in svg, "#ffffff" in svg, "#0d1117" in svg) == (
        *(theme == "auto", theme != "dark"),
        theme != "light",
    )


def _luminance(color: str) -> float:
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_can_be_read_on_their_grounds(theme: Any) -> None:
    """Source: WCAG 2.2, success criterion 1.4.3: a contrast of at least 4.5."""
    colors = dict(re.findall(r"--(\w+): (#\w{6})", gantt_svg(Gantt.of(EXAMPLE, now=_at(1)), theme=theme)))
    grounds = [name for name in colors if name not in ("text", "dim", "line", "edge")]
    pairs = [("text", ground) for ground in grounds] + [("dim", "back")]
    worst = min(
        (max(a, b) + 0.05) / (min(a, b) + 0.05)
        for a, b in ((_luminance(colors[text]), _luminance(colors[ground])) for text, ground in pairs)
    )
    assert (len(grounds), worst >= 4.5) == (7, True)


names = st.text(max_size=30)


@given(
    states=st.lists(names, min_size=1, max_size=5),
    seconds=st.lists(st.floats(-1e9, 1e9), min_size=5, max_size=5),
    endpoint=names,
)
def test_whatever_a_history_says_the_picture_is_well_formed(
    states: Sequence[str], seconds: Sequence[float], endpoint: str
) -> None:
    history = _history(*((MOVE, "go", "x", state, at) for state, at in zip(states, seconds, strict=False)))
    gantt = Gantt.of(history, now=_at(1e6), endpoints={MOVE: endpoint})
    root = ET.fromstring(gantt_svg(gantt))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "style", "rect", "line", "text", "g")
    }
    text = gantt_mermaid(gantt)
    drawn = [bar for row in gantt.rows for bar in row.bars if bar.seconds]
    assert len(text.splitlines()) == 5 + len(drawn) + sum(bool(row.end) for row in gantt.rows)


def test_mermaid_has_the_same_bars() -> None:
    assert gantt_mermaid(Gantt.of(EXAMPLE[2:-1], now=_at(160), endpoints={MOVE: "a:b"})).splitlines() == [
        '%%{init: {"gantt": {"leftPadding": 180}}}%%',
        "gantt",
        "    dateFormat x",
        "    axisFormat %m-%d %H:%M",
        "    section move a_b",
        "    submitting :active, 1800000010000, 1800000012000",
        "    pending :done, 1800000012000, 1800000020000",
        "    running :active, 1800000020000, 1800000100000",
        "    succeeded :milestone, 1800000100000, 1800000100000",
    ]


def test_a_real_transfer_has_a_row_for_itself_and_for_each_operation(rig: Rig) -> None:
    rig.source_endpoint.duration_s = 90.0
    rig.source_endpoint.faults.add("transfer", TransientError("the line is busy"))
    transfer_id = rig.create("a")
    rig.run(transfer_id)
    gantt = Gantt.of(rig.store.history(transfer_id), now=time_of(rig.clock.time()))
    assert [(row.name, row.end, row.num_retries) for row in gantt.rows] == [
        ("transfer", "succeeded", 0),
        ("survey", "succeeded", 0),
        ("move", "succeeded", 1),
        ("manifest", "succeeded", 0),
        ("finalize", "succeeded", 0),
    ]
    for row in gantt.rows:
        assert all(one.end == other.start for one, other in zip(row.bars, row.bars[1:], strict=False))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-3.0, "0 s"),
        (0.0, "0 s"),
        (0.00001, "0 s"),
        (0.25, "0.25 s"),
        (59.4, "59.4 s"),
        (59.6, "1 min"),
        (65.2, "1 min 5 s"),
        (3599.6, "1 h"),
        (3660.0, "1 h 1 min"),
        (86_399.0, "1 d"),
        (1e7, "115 d 18 h"),
        (1e9, "11,574 d 2 h"),
    ],
)
def test_durations_are_told_in_their_largest_units(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


@given(st.floats(0.0, 1e10), st.floats(1.0, 1.5))
def test_a_longer_duration_is_never_told_as_a_shorter_one(seconds: float, factor: float) -> None:
    assert _told_seconds(duration(seconds)) <= _told_seconds(duration(seconds * factor))


def _told_seconds(text: str) -> float:
    units = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
    return sum(float(n.replace(",", "")) * units[unit] for n, unit in re.findall(r"([\d.,e+-]+) (s|min|h|d)", text))


@given(st.text(), st.integers(1, 50))
def test_a_short_text_is_printable_and_not_longer_than_allowed(text: str, limit: int) -> None:
    line = short(text, limit)
    assert (line.isprintable(), len(line) <= limit) == (True, True)
    if text.isprintable() and len(text) <= limit:
        assert line == text
