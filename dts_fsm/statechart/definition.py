"""A statechart as a record, and the reader of the TOML files that define one.

The reader checks the form of a file: its keys, types and names. Whether the chart makes sense is for ``lint``.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import attrs

from dts_fsm.errors import StatechartError

_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_CALLBACK = re.compile(rf"{_NAME.pattern}(?:\.{_NAME.pattern})*")


@attrs.frozen(kw_only=True)
class StateDef:
    """One state of a chart.

    Attributes:
        enter: the name of the callback that is called on entry, for example ``mover.begin``, or None.
        deadline: the name of the setting that limits how long the state may last, or None for no limit.
        final: True where the machine ends; nothing leads out of such a state.
    """

    name: str
    description: str
    enter: str | None = None
    deadline: str | None = None
    final: bool = False


@attrs.frozen(kw_only=True)
class GuardDef:
    """One condition that transitions may ask for.

    Attributes:
        excludes: the guards that never agree while this one does.
    """

    name: str
    description: str
    excludes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class TransitionDef:
    """One transition, possible from each of its source states.

    Attributes:
        guard: the name of the guard that must agree, or None where the event alone decides.
    """

    event: str
    sources: tuple[str, ...]
    target: str
    guard: str | None = None
    description: str


@attrs.frozen(kw_only=True)
class Chart:
    """A statechart: what runs, is checked, is tested and is drawn. Everything is in the order of its file."""

    name: str
    initial: str
    description: str
    states: tuple[StateDef, ...]
    guards: tuple[GuardDef, ...]
    transitions: tuple[TransitionDef, ...]

    def state(self, name: str) -> StateDef:
        """Give the state of this name.

        Raises:
            StatechartError: the chart has no such state.
        """
        try:
            return self._states[name]
        except KeyError:
            raise self._unknown(name) from None

    def transitions_from(self, state: str) -> tuple[TransitionDef, ...]:
        """Give the transitions that the state has, in file order; none for a final state.

        Raises:
            StatechartError: the chart has no such state.
        """
        try:
            return self._transitions[state]
        except KeyError:
            raise self._unknown(state) from None

    @cached_property
    def live_states(self) -> tuple[str, ...]:
        """The names of the states in which a machine has not ended."""
        return tuple(state.name for state in self.states if not state.final)

    @cached_property
    def final_states(self) -> tuple[str, ...]:
        """The names of the states in which a machine has ended."""
        return tuple(state.name for state in self.states if state.final)

    @cached_property
    def events(self) -> tuple[str, ...]:
        """The names of the events, each once, in the order of their first transition."""
        return tuple(dict.fromkeys(transition.event for transition in self.transitions))

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, equal for charts that behave alike.

        It covers the initial state and, for each state, whether it is final and its transitions in order with event,
        target and guard. Sentences, callbacks, deadlines and the order of the states do not matter.
        """
        structure = [
            (name, state.final, [(t.event, t.target, t.guard) for t in self._transitions[name]])
            for name, state in sorted(self._states.items())
        ]
        return hashlib.sha256(ascii((self.initial, structure)).encode()).hexdigest()[:16]

    @cached_property
    def _states(self) -> Mapping[str, StateDef]:
        return {state.name: state for state in self.states}

    @cached_property
    def _transitions(self) -> Mapping[str, tuple[TransitionDef, ...]]:
        return {name: tuple(t for t in self.transitions if name in t.sources) for name in self._states}

    def _unknown(self, name: str) -> StatechartError:
        return StatechartError(
            f"the chart {self.name!r} has no state {name!r}; its states are: {', '.join(map(repr, self._states))}"
        )


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
    chart = reader.record("[chart]", top.get("chart", {}), _CHART) if "chart" in top else {}
    states = reader.named("states", top.get("states", {}), _STATE)
    guards = reader.named("guards", top.get("guards", {}), _GUARD)
    transitions = [
        reader.record(f"[[transitions]] number {number}", table, _TRANSITION)
        for number, table in enumerate(top.get("transitions", ()), start=1)
    ]
    if reader.findings:
        raise StatechartError(f"{file} does not define a statechart:", reader.findings)
    return Chart(
        **chart,
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
    )


def _type_fault(kind: type, words: str) -> Callable[[Any], str | None]:
    return lambda value: None if isinstance(value, kind) else f"must be {words}, not {type(value).__name__}"


def _sentence_fault(value: Any) -> str | None:
    if not isinstance(value, str):
        return f"must be text, not {type(value).__name__}"
    return None if value.strip() else "must not be empty"


def _name_fault(value: Any, pattern: re.Pattern[str] = _NAME) -> str | None:
    if not isinstance(value, str):
        return f"must be text, not {type(value).__name__}"
    return None if pattern.fullmatch(value) else f"{value!r} is not a lower_snake_case name"


def _callback_fault(value: Any) -> str | None:
    return _name_fault(value, _CALLBACK)


def _names_fault(value: Any) -> str | None:
    if not isinstance(value, list):
        return f"must be a list of names, not {type(value).__name__}"
    if not value:
        return "must name at least one"
    faults = [fault for fault in map(_name_fault, value) if fault]
    if faults:
        return "; ".join(faults)
    repeated = [name for name in dict.fromkeys(value) if value.count(name) > 1]
    return f"names {', '.join(map(repr, repeated))} more than once" if repeated else None


@attrs.frozen
class _Key:
    """What a key must hold: ``fault`` says what is wrong with a value, or None."""

    fault: Callable[[Any], str | None]
    required: bool = True


_TABLE = _type_fault(dict, "a table")
_DOCUMENT = {
    "chart": _Key(_TABLE),
    "states": _Key(_TABLE),
    "guards": _Key(_TABLE, required=False),
    "transitions": _Key(_type_fault(list, "tables written [[transitions]]")),
}
_CHART = {"name": _Key(_name_fault), "initial": _Key(_name_fault), "description": _Key(_sentence_fault)}
_STATE = {
    "description": _Key(_sentence_fault),
    "enter": _Key(_callback_fault, required=False),
    "deadline": _Key(_name_fault, required=False),
    "final": _Key(_type_fault(bool, "true or false"), required=False),
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
        if fault := _TABLE(table):
            self._find(where, fault)
            return {}
        good = {}
        for name in table.keys() - keys.keys():
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
                self._find(f"[{group}]", fault)
            records.append({"name": name, **self.record(f"[{group}.{name}]", table, keys)})
        return records

    def _find(self, where: str, fault: str) -> None:
        self.findings.append(f"{self._file}: {where}: {fault}")
