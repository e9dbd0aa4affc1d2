"""What people read: nothing in it steers a terminal, breaks a line or is taken for markup."""

from __future__ import annotations

import io
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from dts_fsm.cli.logs import LineFormatter, log_level, log_to_stderr
from dts_fsm.cli.outcome import exit_status
from dts_fsm.cli.shown import count, error_line, printable, show_facts, show_listed, show_table
from dts_fsm.errors import StatechartError
from dts_fsm.records import TransferStatus, TransferStatusCode
from dts_fsm.store import time_of


def screen(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=True, no_color=True, markup=False, highlight=False)


def shown(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


@given(st.text(st.characters(exclude_categories=())))
def test_printable_text_has_nothing_that_a_terminal_obeys(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


def test_what_is_printable_stays_as_it_is() -> None:
    assert printable("Grüße [bold] \N{SNOWMAN}") == "Grüße [bold] \N{SNOWMAN}"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("one", "one"),
        ("", "ValueError"),
        ("evil\x1b[2J", "evil\\x1b[2J"),
        ("a\nb\n\n c", "a; b; c"),
    ],
)
def test_an_error_is_one_line(message: str, line: str) -> None:
    assert error_line(ValueError(message)) == line


def test_findings_stand_in_the_line_of_their_error() -> None:
    assert error_line(StatechartError("the chart cannot be used:", ["this", "that"])) == (
        "the chart cannot be used: this; that"
    )


def test_markup_and_escapes_in_tables_are_text() -> None:
    to = screen()
    show_table(to, ("file", "error"), [("[red]a[/red]", "\x1b]0;title\a")])
    show_facts(to, [("description", "[link=x]y[/link]\x1b"), ("empty", ""), ("none", None)])
    assert "[red]a[/red]  \\x1b]0;title\\x07" in shown(to)
    assert "[link=x]y[/link]\\x1b" in shown(to)
    assert "empty" not in shown(to)


def test_a_long_list_is_cut_and_counted() -> None:
    to = screen()
    show_listed(to, ("file",), [(f"file {number}",) for number in range(1234)])
    listed = [line.strip() for line in shown(to).splitlines()]
    assert ("file 19" in listed, "file 20" in listed) == (True, False)
    assert "... and 1,214 more" in shown(to)


def test_an_empty_table_is_not_shown() -> None:
    to = screen()
    show_table(to, ("id",), [])
    assert shown(to) == ""


def test_numbers_have_their_noun() -> None:
    assert [count(number, "file") for number in (0, 1, 2000)] == ["0 files", "1 file", "2,000 files"]


@pytest.mark.parametrize(
    ("code", "reason", "status"),
    [("succeeded", None, 0), ("failed", "deadline", 1), ("failed", "canceled", 3), ("active", None, 130)],
)
def test_the_exit_status_tells_the_end(code: str, reason: str | None, status: int) -> None:
    now = time_of(0.0)
    assert status == exit_status(
        TransferStatus(code=TransferStatusCode(code), reason=reason, created_at=now, updated_at=now)
    )


class TestLog:
    def record(self, message: str, **fields: object) -> logging.LogRecord:
        return logging.makeLogRecord({"msg": message, "levelname": "INFO", "created": 0.5, **fields})

    def test_a_record_is_one_line_of_time_level_message_and_fields(self) -> None:
        line = LineFormatter().format(self.record("a tick", action="tick", error='it said "no"', empty=""))
        assert line == '1970-01-01T00:00:00.500000Z INFO a tick action=tick error="it said \\"no\\"" empty=""'

    def test_nothing_in_a_record_begins_another_line(self) -> None:
        line = LineFormatter().format(self.record("a\nb", field="c\nd\x1b"))
        assert line.endswith("a\\nb field=c\\nd\\x1b")

    def test_a_traceback_stands_below_its_line(self) -> None:
        error = ValueError("wrong")
        lines = LineFormatter().format(self.record("failed", exc_info=(ValueError, error, None))).splitlines()
        assert (lines[0][-6:], lines[1:]) == ("failed", ["  ValueError: wrong"])

    def test_records_stand_on_standard_error_while_it_is_asked_for(self, capsys: pytest.CaptureFixture[str]) -> None:
        logger = logging.getLogger("dts_fsm.scheduler")
        with log_to_stderr():
            logger.info("quiet")
            with log_level(logging.INFO):
                logger.info("heard")
        logger.warning("afterwards")
        written = capsys.readouterr().err
        assert ("quiet" in written, "INFO heard" in written, "WARNING afterwards" in written) == (False, True, False)
