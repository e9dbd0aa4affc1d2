"""What lint can find: its codes, and a finding as a record. ``docs/reference/lint.md`` explains each code."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Final

import attrs

from dts_fsm.errors import StatechartError


class Severity(enum.StrEnum):
    """How bad a finding is: a chart with an error is never run, one with warnings is."""

    ERROR = "error"
    WARNING = "warning"


@attrs.frozen
class Rule:
    """What a code stands for.

    Attributes:
        title: a few words for it.
    """

    severity: Severity
    title: str


def _error(title: str) -> Rule:
    return Rule(Severity.ERROR, title)


def _warning(title: str) -> Rule:
    return Rule(Severity.WARNING, title)


RULES: Final[Mapping[str, Rule]] = {
    "SC000": _error("not a chart's file"),
    "SC001": _error("unknown state"),
    "SC002": _error("undeclared guard"),
    "SC003": _error("one event could take two transitions"),
    "SC004": _error("unreachable state"),
    "SC005": _error("no way to a final state"),
    "SC006": _error("exit from a final state"),
    "SC007": _error("no final state"),
    "SC008": _error("final state with a deadline"),
    "SC009": _error("unused guard"),
    "SC010": _error("callback that nobody offers"),
    "SC011": _error("guard that nobody offers"),
    "SC012": _error("guard that excludes itself or an undeclared one"),
    "SC013": _error("a name declared twice"),
    "SC014": _warning("shadowed transition"),
    "SC015": _warning("no candidate for a guard"),
    "SC016": _warning("live state without a deadline"),
    "SC017": _error("an event is not everywhere"),
    "SC018": _error("deadline that nobody offers"),
    "SC019": _warning("undocumented"),
    "SC020": _warning("silences what is not there"),
    "SC021": _error("migration that leads nowhere"),
}
"""By their codes, which stay the same through versions. SC000 is the reader's; the others are ``lint``'s."""

SILENCEABLE: Final = frozenset(code for code, rule in RULES.items() if rule.severity is Severity.WARNING) - {"SC020"}
"""The codes that a chart may ignore, with a reason."""


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that is wrong with a chart. Its text is a sentence that begins with the file, if any, and the code.

    Attributes:
        code: one of ``RULES``.
        message: what is wrong, without file and code.
        file: the chart's file, or None for a chart that was made in memory.
        line: where it stands in the file, counted from 1, or None where that is not known.
    """

    code: str
    severity: Severity = attrs.field(default=attrs.Factory(lambda self: RULES[self.code].severity, takes_self=True))
    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = f"{self.file}: " if self.file else ""
        return f"{where}{self.code} {self.message}"


def refusals(error: StatechartError, *, file: str) -> tuple[Finding, ...]:
    """Give what the reader refused of a file as findings; their lines are known where the file is not TOML."""
    sentences = [sentence.removeprefix(f"{file}: ") for sentence in error.findings or (str(error),)]
    return tuple(Finding(code="SC000", message=text, file=file, line=_line(text)) for text in sentences)


def _line(sentence: str) -> int | None:
    """Source: tomllib, whose errors end so."""
    match = re.search(r"\(at line (\d+), column \d+\)$", sentence)
    return int(match[1]) if match else None
