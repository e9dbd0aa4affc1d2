"""The log on standard error: one line for each record, ``time level message key=value``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from dts_fsm.cli.shown import printable, write_error

_LOGGER = "dts_fsm"

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has: all else are fields."""


class LineFormatter(logging.Formatter):
    """Writes a record on one line, and the traceback of an exception below it, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line; nothing of the record can begin another one or steer a terminal."""
        time = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        fields = [f"{key}={_value(value)}" for key, value in vars(record).items() if key not in _OWN]
        lines = [" ".join([time, record.levelname, printable(record.getMessage()), *fields])]
        if record.exc_info:
            lines += [f"  {printable(line)}" for line in self.formatException(record.exc_info).splitlines()]
        return "\n".join(lines)


def _value(value: object) -> str:
    text = printable(value)
    quote = not text or any(char in text for char in ' ="')
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' if quote else text


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            write_error(self.format(record))
        except Exception:
            self.handleError(record)


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Inside, the records of dts_fsm stand on standard error."""
    logger = logging.getLogger(_LOGGER)
    handler = _Handler()
    handler.setFormatter(LineFormatter())
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def log_level(level: int) -> Iterator[None]:
    """Inside, the log has the records from this level on."""
    logger = logging.getLogger(_LOGGER)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
