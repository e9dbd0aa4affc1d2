"""Texts for people: durations as people say them, and words from anywhere that fit and steer nothing."""

from __future__ import annotations

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_UNITS = ((_DAY_S, "d", _HOUR_S, "h"), (_HOUR_S, "h", _MINUTE_S, "min"), (_MINUTE_S, "min", 1, "s"))
"""Each with the next smaller one, to which times of its size are rounded."""


def duration(seconds: float) -> str:
    """The time in its one or two largest units: "0.25 s", "1 min 5 s", "3 h", "12 d 4 h"; 0 for a negative one."""
    seconds = max(round(seconds, 3), 0)
    for unit_s, unit, small_s, small in _UNITS:
        whole, rest = divmod(round(seconds / small_s) * small_s, unit_s)
        if whole:
            return f"{whole:,} {unit}" + (f" {rest // small_s} {small}" if rest else "")
    return f"{seconds:.3g} s"


def short(text: object, limit: int) -> str:
    """The text in one line of at most ``limit`` characters, with whatever is not printable escaped."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return line if len(line) <= limit else line[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
