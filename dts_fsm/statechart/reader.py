"""The reader of the TOML files that define statecharts.

It checks the form of a file: its keys, types and names. Whether the chart makes sense is for ``lint``.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from dts_fsm.errors import StatechartError
from dts_fsm.statechart.definition import Chart, GuardDef, MigrationDef, StateDef, TransitionDef

_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_CALLBACK = re.compile(rf"{_NAME.pattern}(?:\.{_NAME.pattern})*")
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_HEADER = re.compile(r"[ \t]*\[\[?([^\[\]]+)\]")
_KINDS = {dict: "a table", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


def parse_chart(text: str, *, file: str) -> Chart:
    """Give the chart that a TOML text defines; ``file`` names it in errors.

    Raises:
        StatechartError: the text is not TOML (the line is named), or has unknown or missing keys, values of a wrong
            type or names that are not lower_snake_case. Every finding is listed with file, table and key.
    """
    try:
        document = tomllib.loads(text)
    # tomllib lets errors of int() and of deep nesting through.
    except (ValueError, RecursionError) as exc:
        raise StatechartError(f"{file} is not a valid TOML file:", (f"{file}: {exc}",)) from exc
    reader = _Reader(file)
    top = reader.record("the file", document, _DOCUMENT)
    chart = reader.record("[chart]", top["chart"], _CHART) if "chart" in top else {}
    told = reader.record("[lint]", top["lint"], _LINT) if "lint" in top else {}
    states = reader.named("states", top.get("states", {}), _STATE)
    guards = reader.named("guards", top.get("guards", {}), _GUARD)
    transitions = [
        reader.record(f"[[transitions]] number {number}", table, _TRANSITION)
        for number, table in enumerate(top.get("transitions", ()), start=1)
    ]
    migrations = [
        reader.record(f"[[migrations]] number {number}", table, _MIGRATION)
        for number, table in enumerate(top.get("migrations", ()), start=1)
    ]
    if reader.findings:
        raise StatechartError(f"{file} does not define a statechart:", reader.findings)
    return Chart(
        **{**chart, "everywhere": tuple(chart.get("everywhere", ()))},
        ignored=told.get("ignore", {}),
        states=tuple(StateDef(**state) for state in states),
        guards=tuple(GuardDef(**{**guard, "excludes": tuple(guard.get("excludes", ()))}) for guard in guards),
        transitions=tuple(
            TransitionDef(
                event=transition["event"],
                sources=tuple(transition["from"]),
                target=transition["to"],
                guard=transition.get("guard"),
                description=transition["description"],
            )
            for transition in transitions
        ),
        migrations=tuple(
            MigrationDef(
                fingerprint=migration["from"],
                states=migration.get("states", {}),
                description=migration["description"],
            )
            for migration in migrations
        ),
        file=file,
        lines=_lines(text),
    )


def _lines(text: str) -> dict[str, int]:
    """The lines of the tables' headers; none where a text of several lines might hold what looks like one."""
    if '"""' in text or "'''" in text:
        return {}
    found: dict[str, int] = {}
    counts = Counter[str]()
    for number, line in enumerate(text.split("\n"), start=1):
        if match := _HEADER.match(line):
            name = ".".join(part.strip(" \t\"'") for part in match[1].split("."))
            if name in ("transitions", "migrations"):
                counts[name] += 1
                name += f".{counts[name]}"
            found["lint" if name == "lint.ignore" else name] = number
    return found


def _kind_fault(kind: type, words: str) -> Callable[[Any], str | None]:
    def fault(value: Any) -> str | None:
        return None if isinstance(value, kind) else f"must be {words}, not {_KINDS.get(type(value), 'a date or time')}"

    return fault


_table_fault = _kind_fault(dict, "a table")
_text_fault = _kind_fault(str, "text")
_list_fault = _kind_fault(list, "a list of names")


def _sentence_fault(value: Any) -> str | None:
    return _text_fault(value) or (None if value.strip() else "must not be empty")


def _name_fault(value: Any) -> str | None:
    return _text_fault(value) or (None if _NAME.fullmatch(value) else f"{value!r} is not a lower_snake_case name")


def _callback_fault(value: Any) -> str | None:
    return _text_fault(value) or (
        None if _CALLBACK.fullmatch(value) else f"{value!r} is not a name such as 'handler.method'"
    )


def _names_fault(value: Any) -> str | None:
    if fault := _list_fault(value):
        return fault
    if not value:
        return "must name at least one"
    if faults := [fault for fault in map(_name_fault, value) if fault]:
        return "; ".join(faults)
    repeated = [name for name, count in Counter(value).items() if count > 1]
    return f"names {', '.join(map(repr, repeated))} more than once" if repeated else None


def _fingerprint_fault(value: Any) -> str | None:
    return _text_fault(value) or (
        None if _FINGERPRINT.fullmatch(value) else f"{value!r} is not a fingerprint: 16 digits of 0-9 and a-f"
    )


def _map_fault(value: Any) -> str | None:
    if fault := _table_fault(value):
        return fault
    faults = [f"for {name!r}: {fault}" for name, state in value.items() if (fault := _name_fault(state))]
    return "; ".join([fault for name in value if (fault := _name_fault(name))] + faults) or None


def _reasons_fault(value: Any) -> str | None:
    if fault := _table_fault(value):
        return fault
    bare = [code for code, reason in value.items() if _sentence_fault(reason)]
    return f"gives no reason for {', '.join(map(repr, bare))}" if bare else None


@attrs.frozen
class _Key:
    """What a key must hold: ``fault`` says what is wrong with a value, or None."""

    fault: Callable[[Any], str | None]
    required: bool = True


_DOCUMENT = {
    "chart": _Key(_table_fault),
    "states": _Key(_table_fault),
    "guards": _Key(_table_fault, required=False),
    "transitions": _Key(_kind_fault(list, "tables written [[transitions]]")),
    "migrations": _Key(_kind_fault(list, "tables written [[migrations]]"), required=False),
    "lint": _Key(_table_fault, required=False),
}
_CHART = {
    "name": _Key(_name_fault),
    "initial": _Key(_name_fault),
    "description": _Key(_sentence_fault),
    "everywhere": _Key(_names_fault, required=False),
}
_LINT = {"ignore": _Key(_reasons_fault, required=False)}
_MIGRATION = {
    "from": _Key(_fingerprint_fault),
    "states": _Key(_map_fault, required=False),
    "description": _Key(_sentence_fault),
}
_STATE = {
    "description": _Key(_sentence_fault),
    "enter": _Key(_callback_fault, required=False),
    "deadline": _Key(_name_fault, required=False),
    "final": _Key(_kind_fault(bool, "true or false"), required=False),
}
_GUARD = {"description": _Key(_sentence_fault), "excludes": _Key(_names_fault, required=False)}
_TRANSITION = {
    "event": _Key(_name_fault),
    "from": _Key(_names_fault),
    "to": _Key(_name_fault),
    "guard": _Key(_name_fault, required=False),
    "description": _Key(_sentence_fault),
}


class _Reader:
    """Takes tables apart, and collects what is wrong instead of stopping at it."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.findings: list[str] = []

    def record(self, where: str, table: Any, keys: Mapping[str, _Key]) -> dict[str, Any]:
        """Give the values that have no fault."""
        if fault := _table_fault(table):
            self._find(where, fault)
            return {}
        good = {}
        for name in table:
            if name not in keys:
                self._find(f"{where}, key {name!r}", f"is unknown; known are: {', '.join(keys)}")
        for name, key in keys.items():
            if name in table:
                if fault := key.fault(table[name]):
                    self._find(f"{where}, key {name!r}", fault)
                else:
                    good[name] = table[name]
            elif key.required:
                self._find(f"{where}, key {name!r}", "is missing")
        return good

    def named(self, group: str, tables: Mapping[str, Any], keys: Mapping[str, _Key]) -> list[dict[str, Any]]:
        """Give the records of tables whose keys are their names."""
        records = []
        for name, table in tables.items():
            if fault := _name_fault(name):
                self._find(f"[{group}], key {name!r}", fault)
            records.append({"name": name, **self.record(f"[{group}.{name}]", table, keys)})
        return records

    def _find(self, where: str, fault: str) -> None:
        self.findings.append(f"{self._file}: {where}: {fault}")
