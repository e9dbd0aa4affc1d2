"""Bars along the time, as SVG."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import attrs

from dts_fsm.report.markup import Html

_LEFT, _RIGHT, _TOP, _BOTTOM, _WIDTH, _HEIGHT = 64, 16, 30, 26, 960, 190
_LABEL = 92
"""Pixels that the label of a time takes, with a gap."""


@attrs.frozen(kw_only=True)
class Series:
    """One kind of bar.

    Attributes:
        look: the name of its class, and of its pattern: "succeeded", "failed", "canceled" or "bytes".
        values: one for each period.
    """

    name: str
    look: str
    values: Sequence[int]


def bars(
    name: str, title: str, starts: Sequence[datetime], series: Sequence[Series], told: Callable[[int], str]
) -> Html:
    """Give the bars of all series, stacked, one for each period.

    Args:
        name: what the ids of the picture begin with.
        starts: when the periods begin, aware.
        told: gives a value as people say it.
    """
    highest = max((sum(one.values[n] for one in series) for n in range(len(starts))), default=0)
    top = _round_up(highest)
    lines = [
        f'<svg id="{name}" class="bars" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(title)}">',
        *_patterns(name, series),
        *_legend(name, series),
        *_scale(top, told),
        *_columns(name, starts, series, top, told),
        "</svg>",
    ]
    return Html("\n".join(lines))


def _round_up(highest: int) -> int:
    """The next number of the form 1, 2, 4, 6, 8 or 10 times a power of ten, at least 4."""
    if highest <= 4:
        return 4
    power: int = 10 ** (len(str(highest)) - 1)
    return next(digit * power for digit in (1, 2, 4, 6, 8, 10) if digit * power >= highest)


def _patterns(name: str, series: Sequence[Series]) -> Iterator[str]:
    """What tells the bars apart without colour: failed ones are hatched, canceled ones dotted."""
    marks = {"failed": '<path d="M0 6 L6 0" class="mark"/>', "canceled": '<circle cx="3" cy="3" r="1.2" class="mark"/>'}
    yield "<defs>"
    for one in series:
        mark = marks.get(one.look, "")
        yield (
            f'<pattern id="{name}-{one.look}" width="6" height="6" patternUnits="userSpaceOnUse">'
            f'<rect width="6" height="6" class="{one.look}"/>{mark}</pattern>'
        )
    yield "</defs>"


def _legend(name: str, series: Sequence[Series]) -> Iterator[str]:
    x = _LEFT
    for one in series:
        yield f'<rect x="{x}" y="4" width="14" height="12" fill="url(#{name}-{one.look})" class="bar"/>'
        yield f'<text x="{x + 20}" y="14">{html.escape(one.name)}</text>'
        x += 44 + 7 * len(one.name)


def _scale(top: int, told: Callable[[int], str]) -> Iterator[str]:
    room = _HEIGHT - _TOP - _BOTTOM
    for quarter in range(5):
        if quarter % 2 and top % 4:
            continue
        y = _TOP + room * (1 - quarter / 4)
        yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{html.escape(told(top * quarter // 4))}</text>'


def _columns(
    name: str, starts: Sequence[datetime], series: Sequence[Series], top: int, told: Callable[[int], str]
) -> Iterator[str]:
    room, step = _HEIGHT - _TOP - _BOTTOM, (_WIDTH - _LEFT - _RIGHT) / max(len(starts), 1)
    every = max(int(-(-_LABEL // step)), 1)
    days_only = all(start.hour == start.minute == 0 for start in starts)
    for number, start in enumerate(starts):
        x, y = _LEFT + number * step, float(_HEIGHT - _BOTTOM)
        what = ", ".join(f"{one.name}: {told(one.values[number])}" for one in series)
        yield f"<g><title>{start:%Y-%m-%d %H:%M}Z: {html.escape(what)}</title>"
        yield f'<rect x="{x:.1f}" y="{_TOP}" width="{step:.1f}" height="{room}" class="touch"/>'
        for one in series:
            if height := room * one.values[number] / top:
                y -= height
                yield (
                    f'<rect x="{x + step * 0.08:.1f}" y="{y:.1f}" width="{step * 0.84:.1f}" height="{height:.1f}" '
                    f'fill="url(#{name}-{one.look})" class="bar"/>'
                )
        if number % every == 0 and x + _LABEL - 16 < _WIDTH:
            label = f"{start:%Y-%m-%d}" if days_only else f"{start:%m-%d %H:%M}"
            yield f'<text x="{x:.1f}" y="{_HEIGHT - 8}">{label}</text>'
        yield "</g>"
