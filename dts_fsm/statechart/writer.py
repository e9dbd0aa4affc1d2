"""The writer of the TOML files that define statecharts: what ``reader`` reads."""

from __future__ import annotations

import json

from dts_fsm.errors import StatechartError
from dts_fsm.statechart.definition import Chart
from dts_fsm.statechart.reader import parse_chart


def chart_to_toml(chart: Chart) -> str:
    """Give a TOML text that defines the chart: ``parse_chart`` makes an equal one of it.

    Raises:
        StatechartError: no file can define the chart, for it has names or texts that ``parse_chart`` refuses or UTF-8
            cannot write; every finding is listed.
    """
    tables = [
        _table(
            "[chart]",
            name=chart.name,
            initial=chart.initial,
            description=chart.description,
            everywhere=chart.everywhere or None,
        )
    ]
    if not chart.transitions:
        tables.insert(0, "transitions = []\n")
    if not chart.states:
        tables.append("[states]\n")
    if chart.ignored:
        tables.append(_table("[lint.ignore]", **{_key(code): reason for code, reason in chart.ignored.items()}))
    tables += (
        _table(
            f"[states.{_key(state.name)}]",
            description=state.description,
            enter=state.enter,
            deadline=state.deadline,
            final=state.final or None,
        )
        for state in chart.states
    )
    tables += (
        _table(f"[guards.{_key(guard.name)}]", description=guard.description, excludes=guard.excludes or None)
        for guard in chart.guards
    )
    tables += (
        _table(
            "[[transitions]]",
            **{"event": transition.event, "from": transition.sources, "to": transition.target},
            guard=transition.guard,
            description=transition.description,
        )
        for transition in chart.transitions
    )
    for migration in chart.migrations:
        states = ", ".join(f"{_key(old)} = {_value(new)}" for old, new in migration.states.items())
        lines = [f"from = {_value(migration.fingerprint)}", f"states = {{ {states} }}" if states else "states = {}"]
        lines.append(f"description = {_value(migration.description)}")
        tables.append("\n".join(("[[migrations]]", *lines, "")))
    text = "\n".join(tables)
    file = chart.file or f"the chart {chart.name!r}"
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise StatechartError(f"{file} cannot be written as TOML: {exc}") from exc
    again = parse_chart(text, file=file)
    if (again, again.migrations) != (chart, chart.migrations):
        raise StatechartError(f"{file} cannot be written as TOML: its values are not of the types of a chart")
    return text


def _table(header: str, /, **values: object) -> str:
    """The table with its keys; those whose value is None are left out."""
    lines = [f"{key} = {_value(value)}" for key, value in values.items() if value is not None]
    return "\n".join((header, *lines, ""))


def _key(name: str) -> str:
    """The name as part of a header: bare where it is a name, for only such names can be read."""
    return name if name.isidentifier() and name.isascii() else _value(name)


def _value(value: object) -> str:
    """The value in TOML, whose escapes are those of JSON; but a DEL cannot stand for itself."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
