"""A transfer and its operations along the time: which was in which state, from when to when."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import attrs

from dts_fsm.records import HistoryRecord
from dts_fsm.statechart.texts import duration, short

MAX_ROWS = 60
"""More rows are counted and not drawn."""

_ENDS = {"succeeded": "\N{CHECK MARK}", "failed": "\N{MULTIPLICATION X}", "canceled": "\N{CIRCLED DIVISION SLASH}"}
"""The final states of the package's charts, each with a mark of its own."""

_WAITS = ("pending", "inactive", "suspended")
"""States in which nothing is done: their bars are lower."""

_HUES = {
    "unknown": "grey",
    "staging": "violet",
    "active": "blue",
    "inactive": "amber",
    "finalizing": "teal",
    "pending": "grey",
    "submitting": "violet",
    "running": "blue",
    "suspended": "amber",
    "canceling": "red",
}
"""The colours of the package's states; those of other charts are grey, and all bars say their names where they can."""

_COLORS = {
    "light": {
        "back": "#ffffff",
        "text": "#1f2328",
        "dim": "#59636e",
        "line": "#d1d9e0",
        "grey": "#d8dee4",
        "violet": "#dccbfb",
        "blue": "#b6d8fb",
        "amber": "#f5dd9b",
        "teal": "#a8e3d3",
        "red": "#f9c6c0",
        "edge": "#6e7781",
    },
    "dark": {
        "back": "#0d1117",
        "text": "#e6edf3",
        "dim": "#9da7b1",
        "line": "#3d444d",
        "grey": "#40474f",
        "violet": "#553a86",
        "blue": "#1c4f86",
        "amber": "#6b5210",
        "teal": "#145c50",
        "red": "#7d2b26",
        "edge": "#8b949e",
    },
}

_LEFT, _WIDTH, _RIGHT, _ROW, _TOP, _BOTTOM = 200, 600, 260, 30, 34, 52
"""Pixels: the names, the time, what came of it; the height of a row, and of what is above and below the rows."""

_CHAR = 6.6
"""Pixels that a character of 12 px takes at most, on average."""

_MERMAID_WORD = re.compile(
    r"(acc|axis|call|click|date|end|excludes|gantt|href|includes|inclusive|section|tick|title|today|top|vert|week)",
    re.I,
)
"""What a line of Mermaid's Gantt pictures may begin with, other than a task. Source: mermaid, gantt.jison."""

_TICKS_S = tuple(
    seconds * unit_s
    for unit_s, steps in ((1, (1, 2, 5, 10, 20, 30)), (60, (1, 2, 5, 10, 20, 30)), (3600, (1, 2, 4, 8, 12)))
    for seconds in steps
) + tuple(86_400 * days for days in (1, 2, 4, 7, 14, 28, 91, 182, 364))


@attrs.frozen(kw_only=True)
class Bar:
    """One stay in a state; ``end`` is now for one that lasts on."""

    state: str
    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """How long it is; a clock that was set back makes it 0."""
        return max((self.end - self.start).total_seconds(), 0.0)


@attrs.frozen(kw_only=True)
class Row:
    """One machine: the transfer itself, or an operation.

    Attributes:
        end: the final state, or "" for a machine that has not ended.
        num_retries: how often it was tried again.
    """

    name: str
    bars: tuple[Bar, ...]
    end: str
    num_retries: int

    @property
    def result(self) -> str:
        """What came of it, and after what time: "succeeded, 3 h, 2 retries"."""
        seconds = max((self.bars[-1].end - self.bars[0].start).total_seconds(), 0.0)
        state = f"{_ENDS[self.end]} {self.end}" if self.end else f"{self.bars[-1].state} still"
        retries = f", {self.num_retries} {'retry' if self.num_retries == 1 else 'retries'}" if self.num_retries else ""
        return f"{state}, {duration(seconds)}{retries}"


@attrs.frozen(kw_only=True)
class Gantt:
    """What a Gantt picture shows.

    Attributes:
        rows: the transfer first, its operations in the order in which they began.
        num_left_out: how many more operations there are.
        start, end: of the time that is shown.
    """

    rows: tuple[Row, ...]
    num_left_out: int
    start: datetime
    end: datetime

    @classmethod
    def of(
        cls, history: Iterable[HistoryRecord], *, now: datetime, endpoints: Mapping[UUID, str] | None = None
    ) -> Gantt:
        """Give the picture of a transfer's history.

        Args:
            history: of one transfer, oldest first.
            now: until when the states last that have not ended; an aware time.
            endpoints: of operations, by their ids, as far as they are known: the rows say them.
        """
        machines: dict[UUID | None, list[HistoryRecord]] = {None: []}
        for record in history:
            machines.setdefault(record.operation_id, []).append(record)
        rows = [_row(id_, records, now, endpoints or {}) for id_, records in machines.items() if records]
        times = [time for row in rows for bar in row.bars for time in (bar.start, bar.end)]
        return cls(
            rows=tuple(rows[:MAX_ROWS]),
            num_left_out=len(rows[MAX_ROWS:]),
            start=min(times, default=now),
            end=max(times, default=now),
        )


def _row(id_: UUID | None, records: list[HistoryRecord], now: datetime, endpoints: Mapping[UUID, str]) -> Row:
    # a changed chart ends no stay where the state is the same
    steps = [record for record in records if not (record.event == "upgrade" and record.source == record.target)]
    steps = steps or records[:1]
    last = steps[-1].target
    ended = last in _ENDS
    ends = [record.time for record in steps[1:]] + ([] if ended else [now])
    endpoint = endpoints.get(id_, "") if id_ else ""
    return Row(
        name=f"{steps[0].machine} {endpoint}".strip(),
        bars=tuple(
            Bar(state=record.target, start=record.time, end=max(end, record.time))
            # a history that is not whole may have an end alone: that is its only bar
            for record, end in zip(steps, ends or [steps[0].time], strict=False)
        ),
        end=last if ended else "",
        num_retries=sum(record.event == "retry" for record in steps),
    )


def gantt_svg(gantt: Gantt, *, theme: Literal["auto", "light", "dark"] = "auto", prefix: str = "gantt") -> str:
    """Give the picture as SVG, which may stand in a file of its own or within HTML.

    Args:
        theme: "auto" follows what the reader's system prefers.
        prefix: what its id begins with; different for two pictures on one page.
    """
    rows_end = _TOP + _ROW * (len(gantt.rows) + (gantt.num_left_out > 0))
    width, height = _LEFT + _WIDTH + _RIGHT, rows_end + _BOTTOM
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{prefix}" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-labelledby="{prefix}-title" font-family="Helvetica, Arial, sans-serif">',
        f'<title id="{prefix}-title">The states of a transfer and its operations along the time</title>',
        f"<style>{_style(prefix, theme)}</style>",
        f'<rect class="back" width="{width}" height="{height}"/>',
        *_axis(gantt, rows_end),
    ]
    for number, row in enumerate(gantt.rows):
        lines += _drawn_row(gantt, row, _TOP + _ROW * number)
    if gantt.num_left_out:
        lines.append(_text(8, rows_end - 10, f"and {gantt.num_left_out:,} more operations", "dim"))
    lines += _legend(gantt, rows_end + 12)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _legend(gantt: Gantt, y: int) -> Iterator[str]:
    """What the colours mean, and when the time begins and ends."""
    x = 8.0
    for state in dict.fromkeys(bar.state for row in gantt.rows for bar in row.bars):
        name = short(state, 30)
        if x + len(name) * _CHAR + 30 > _LEFT + _WIDTH + _RIGHT:
            break
        yield f'<rect class="{_HUES.get(state, "grey")}" x="{x:.1f}" y="{y}" width="14" height="12" rx="2"/>'
        yield _text(x + 20, y + 10, name, "dim")
        x += len(name) * _CHAR + 44
    yield _text(8, y + 32, f"from {_clock(gantt.start)} to {_clock(gantt.end)}", "dim")


def _style(prefix: str, theme: str) -> str:
    def rules(colors: Mapping[str, str]) -> str:
        values = "; ".join(f"--{name}: {color}" for name, color in colors.items())
        return f"#{prefix} {{ {values} }}"

    looks = {
        "text": "font-size: 12px; fill: var(--text)",
        ".dim": "fill: var(--dim)",
        "line": "stroke: var(--line)",
        "rect": "stroke: var(--edge); stroke-width: 0.7",
        ".back": "fill: var(--back); stroke: none",
        **{f".{hue}": f"fill: var(--{hue})" for hue in _HUES.values()},
    }
    fixed = [f"#{prefix} {part} {{ {look} }}" for part, look in looks.items()]
    if theme == "auto":
        dark = f"@media (prefers-color-scheme: dark) {{ {rules(_COLORS['dark'])} }}"
        return " ".join([rules(_COLORS["light"]), dark, *fixed])
    return " ".join([rules(_COLORS[theme]), *fixed])


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    look = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor != "start" else "")
    return f'<text x="{x:.1f}" y="{y:.1f}"{look}>{html.escape(text)}</text>'


def _x(gantt: Gantt, time: datetime) -> float:
    span_s = (gantt.end - gantt.start).total_seconds()
    return _LEFT + (_WIDTH * (time - gantt.start).total_seconds() / span_s if span_s else 0.0)


def _axis(gantt: Gantt, height: int) -> Iterator[str]:
    """A line for each round time after the start."""
    span_s = (gantt.end - gantt.start).total_seconds()
    step_s = next((step_s for step_s in _TICKS_S if span_s / step_s <= 8), _TICKS_S[-1])
    for number in range(min(int(span_s / step_s), 100) + 1):
        x = _x(gantt, gantt.start + timedelta(seconds=number * step_s))
        yield f'<line x1="{x:.1f}" y1="{_TOP - 8}" x2="{x:.1f}" y2="{height}"/>'
        yield _text(x, _TOP - 14, f"+{duration(number * step_s)}" if number else "start", "dim", "middle")


def _drawn_row(gantt: Gantt, row: Row, y: int) -> Iterator[str]:
    middle = y + _ROW / 2 + 4
    yield f"<g><title>{html.escape(short(row.name, 200))}</title>{_text(8, middle, short(row.name, 28))}</g>"
    for bar in row.bars:
        start, end = _x(gantt, bar.start), _x(gantt, bar.end)
        lower = 6 if bar.state in _WAITS else 0
        told = f"{short(bar.state, 200)}: {duration(bar.seconds)}, from {_clock(bar.start)} to {_clock(bar.end)}"
        drawn = (
            f'<rect class="{_HUES.get(bar.state, "grey")}" x="{start:.1f}" y="{y + 3 + lower}" '
            f'width="{max(end - start, 1.5):.1f}" height="{_ROW - 6 - 2 * lower}" rx="2"/>'
        )
        if len(bar.state) * _CHAR + 6 <= end - start:
            drawn += _text((start + end) / 2, middle, short(bar.state, 200), "", "middle")
        yield f"<g><title>{html.escape(told)}</title>{drawn}</g>"
    yield _text(_LEFT + _WIDTH + 10, middle, short(row.result, 40))


def _clock(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def gantt_mermaid(gantt: Gantt) -> str:
    """Give the picture as text for Mermaid; stays of no length are left out, of which it would draw the name alone."""
    lines = ['%%{init: {"gantt": {"leftPadding": 180}}}%%', "gantt", "    dateFormat x", "    axisFormat %m-%d %H:%M"]
    for row in gantt.rows:
        lines.append(f"    section {_word(row.name)}")
        for bar in filter(_seconds, row.bars):
            tag = {"amber": "crit, ", "red": "crit, ", "grey": "done, "}.get(_HUES.get(bar.state, "grey"), "active, ")
            start, end = (round(time.timestamp() * 1000) for time in (bar.start, bar.end))
            lines.append(f"    {_word(bar.state)} :{tag}{start}, {max(end, start + 1)}")
        if row.end:
            end = round(row.bars[-1].end.timestamp() * 1000)
            lines.append(f"    {_word(row.end)} :milestone, {end}, {end}")
    return "\n".join(lines) + "\n"


def _seconds(bar: Bar) -> float:
    return bar.seconds


def _word(text: str) -> str:
    """The text without what Mermaid might take for its own, which has no way to write it in a Gantt picture."""
    word = "".join(c if c.isalnum() or c in " _.-/" else "_" for c in short(text, 60)).strip() or "_"
    return f"_{word}" if _MERMAID_WORD.match(word) else word
