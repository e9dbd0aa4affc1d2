"""The option that says from when on something counts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

_AGE = re.compile(r"(\d+(?:\.\d+)?)(min|h|d|w)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS_S = {"min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


class Since(click.ParamType[datetime]):
    """A time in the past: in ISO 8601, or how long ago it was."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Give the aware time; without a zone it is UTC."""
        text = str(value)
        try:
            if age := _AGE.fullmatch(text):
                found = datetime.now(UTC) - timedelta(seconds=float(age[1]) * _UNITS_S[age[2]])
            else:
                found = datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            self.fail(
                f"{text!r} is no time: write, for example, 7d, 12h, 2025-01-31 or 2025-01-31T12:00:00Z", param, ctx
            )
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        if found < _EPOCH:
            self.fail(f"{text!r} is before 1970: leave the option out to count everything", param, ctx)
        return found


since_option = click.option(
    "--since",
    type=Since(),
    metavar="TIME",
    help="Count only what happened from then on: an age (7d, 12h, 30min), or a time (UTC, unless it has a zone).",
)
