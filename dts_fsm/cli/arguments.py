"""The types of arguments: what cannot be meant is refused before anything is done with it."""

from __future__ import annotations

import os
from typing import Any

import click


class FilePath(click.Path):
    """A path; an empty one, as a script's unset variable gives it, would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Give the path; an empty one is wrong usage."""
        if not os.fspath(value):
            self.fail("a path must not be empty", param, ctx)
        return super().convert(value, param, ctx)


class Text(click.ParamType[str]):
    """Text that UTF-8 can write, which bytes of a command line need not be.

    Args:
        empty: whether there may be none.
    """

    name = "text"

    def __init__(self, *, empty: bool = True) -> None:
        self._empty = empty

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Give the text; what is not UTF-8 is wrong usage."""
        text = str(value)
        if not text and not self._empty:
            self.fail("it must not be empty", param, ctx)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail(f"{ascii(text)[1:-1]} is not UTF-8 text", param, ctx)
        return text


TEXT, ID = Text(), Text(empty=False)

_MAX_NUMBER = 2**63 - 1
"""Source: SQLite, "Datatypes": an integer has at most eight bytes."""


def stored_number(minimum: int) -> click.IntRange:
    """Give the type of numbers that a store can compare with its own."""
    return click.IntRange(minimum, _MAX_NUMBER)
