"""What people read: texts, tables and JSON.

Descriptions, error messages and file names come from anywhere. Nothing of them is taken for markup, and what could
steer a terminal is escaped; JSON carries everything as it is.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from dts_fsm.serialization import dump_json, unstructure

MAX_LISTED = 20
"""How many files a summary names; the others are counted."""

_PIPE_COLUMNS = 10_000
"""The width where nobody looks: lines for other programs are not to be broken."""

_STDOUT = 1
"""The file descriptor. Source: POSIX, STDOUT_FILENO."""

_GAP, _NARROW = 2, 10
"""Between two columns of a table; and how narrow a column of prose may become."""

STYLES = {"succeeded": "green", "failed": "red", "canceled": "yellow", "inactive": "yellow"}


def console(*, err: bool = False) -> Console:
    """Give the console of standard output, or of standard error; as wide as the lines are where it is no terminal."""
    found = Console(stderr=err, markup=False, emoji=False, highlight=False)
    if not found.is_terminal and not os.environ.get("COLUMNS"):
        found = Console(stderr=err, markup=False, emoji=False, highlight=False, width=_PIPE_COLUMNS)
    return found


def printable(text: object) -> str:
    """The text in one line, with whatever is not printable escaped: line breaks, control characters, surrogates."""
    string = str(text)
    if string.isprintable():
        return string
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in string)


def error_line(error: object) -> str:
    """The error's message in one line; findings that stand on lines of their own are separated by semicolons."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        lines[:2] = [f"{lines[0]} {lines[1]}"]
    return printable("; ".join(lines) or type(error).__name__)


def say(text: str) -> None:
    """A line for people stands on standard error, where it is in no program's way."""
    write_error(printable(text))


def write_error(lines: str) -> None:
    """The lines stand on standard error, above a progress bar that is shown there: click's echo goes past it."""
    sys.stderr.write(f"{lines}\n")
    sys.stderr.flush()


def emit_json(record: Any) -> None:
    """The record stands on standard output as JSON, on one line."""
    click.echo(dump_json(unstructure(record)))


@contextmanager
def writing_about(fact: str) -> Iterator[None]:
    """Inside, where standard output cannot be written, the error says what is true all the same.

    Raises:
        ClickException: standard output cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise click.ClickException(printable(f"{unwritable(error)}; {fact}")) from error


def unwritable(error: OSError) -> str:
    """The sentence for an error of writing to standard output; what is still to be written there is given up."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDOUT)  # or else Python would try it again at its end, and complain
    os.close(nowhere)
    return f"standard output could not be written: {error.strerror or error}"


def when(time: datetime | None) -> str:
    """The time in UTC to the second; "" for None."""
    return "" if time is None else time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def size(num_bytes: int | None) -> str:
    """The size in the decimal units that people read; "" for None."""
    return "" if num_bytes is None else decimal(num_bytes)


def share(done: int, total: int) -> str:
    """So many of so many."""
    return f"{done}/{total}"


def count(number: int, noun: str) -> str:
    """The number with its noun: "1 file", "2 files"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def styled(state: str) -> Text:
    """The name of a state in its colour."""
    return Text(printable(state), style=STYLES.get(state, ""))


def show_table(
    to: Console, columns: Sequence[str], rows: Iterable[Sequence[object]], *, whole: Sequence[str] = ("id",)
) -> None:
    """The rows stand below their columns' names; nothing is shown where there are none.

    Args:
        columns: the names; numbers are right-aligned in "files", "size" and "attempts".
        rows: one value for each column; texts are made printable.
        whole: the columns whose values are never broken.
    """
    cells = [[value if isinstance(value, Text) else Text(printable(value)) for value in row] for row in rows]
    if not cells:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    needed_width = _GAP * (len(columns) - 1)
    for number, name in enumerate(columns):
        numeric = name in ("files", "size", "attempts", "seq")
        longest = max(cell_len(name), *(row[number].cell_len for row in cells))
        needed_width += longest if numeric or name in whole else min(longest, _NARROW)
        table.add_column(
            name, justify="right" if numeric else "left", no_wrap=numeric or name in whole, overflow="fold"
        )
    for row in cells:
        table.add_row(*row)
    _print(to, table, needed_width)


def show_facts(to: Console, facts: Iterable[tuple[str, object]]) -> None:
    """Each fact stands behind its name, and no word of it is broken; those that are "" or None are left out."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    needed_width = 0
    cells = [
        (Text(f"{name}:"), value if isinstance(value, Text) else Text(printable(value)))
        for name, value in facts
        if value not in ("", None)
    ]
    for name, value in cells:
        table.add_row(name, value)
        needed_width = max(needed_width, *map(cell_len, value.plain.split()), 0)
    _print(to, table, max((name.cell_len for name, _ in cells), default=0) + _GAP + needed_width)


def _print(to: Console, table: Table, needed_width: int) -> None:
    """The table stands in the console; where that is too narrow, its lines are too long instead of cut off."""
    columns, to.width = to.width, max(to.width, needed_width)
    try:
        if to.is_terminal:
            to.print(table)
            return
        with to.capture() as captured:
            to.print(table)
    finally:
        to.width = columns
    for line in captured.get().splitlines():
        to.print(Text(line.rstrip()), soft_wrap=True)  # rich fills the last column up with spaces


def show_listed(to: Console, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """The first rows stand in a table, and how many more there are below it."""
    show_table(to, columns, rows[:MAX_LISTED], whole=())
    if len(rows) > MAX_LISTED:
        to.print(Text(f"... and {len(rows) - MAX_LISTED:,} more"))
