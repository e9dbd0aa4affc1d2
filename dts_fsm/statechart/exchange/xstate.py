"""Charts as machines of XState 5, in JSON, and back.

The configuration is one for ``createMachine``; guards and callbacks are names, whose implementations the host provides
to ``setup``. What XState has no word for stands in ``meta``, under the key ``dts_fsm``.

Source: Stately, XState 5, ``MachineConfig``, ``StateNodeConfig`` and ``TransitionConfig`` of its type declarations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from dts_fsm.errors import StatechartError
from dts_fsm.statechart.definition import Chart, GuardDef, StateDef
from dts_fsm.statechart.exchange.exits import Exit, assemble, exits
from dts_fsm.statechart.lint import check

OUR_KEY: Final = "dts_fsm"
"""Below ``meta``."""


def to_xstate(chart: Chart) -> str:
    """Give the chart as the JSON of an XState machine: ``from_xstate`` makes an equal one of it.

    Raises:
        StatechartError: the chart has faults that ``lint`` knows.
    """
    check(chart)
    guards = {
        guard.name: _filled(description=guard.description, excludes=list(guard.excludes)) for guard in chart.guards
    }
    machine = _filled(
        id=chart.name,
        initial=chart.initial,
        description=chart.description,
        meta=_meta(guards=guards, everywhere=list(chart.everywhere), ignored=dict(chart.ignored)),
        states={state.name: _state(chart, state) for state in chart.states},
    )
    return json.dumps(machine, indent=2, ensure_ascii=False) + "\n"


def _state(chart: Chart, state: StateDef) -> dict[str, Any]:
    by_event: dict[str, list[dict[str, Any]]] = {}
    for found in exits(chart, state.name):
        transition = _filled(
            target=found.target,
            guard=found.guard,
            # XState would stay in the state instead of entering it again, and call nothing.
            reenter=found.target == state.name,
            description=found.description,
            meta=_meta(order=found.order),
        )
        by_event.setdefault(found.event, []).append(transition)
    return _filled(
        type="final" if state.final else None,
        description=state.description,
        entry=state.enter,
        meta=_meta(deadline=state.deadline),
        on=by_event,
    )


def _meta(**values: Any) -> dict[str, Any]:
    ours = _filled(**values)
    return {OUR_KEY: ours} if ours else {}


def _filled(**values: Any) -> dict[str, Any]:
    """The values that say something."""
    return {key: value for key, value in values.items() if value}


def from_xstate(text: str, *, file: str | None = None) -> Chart:
    """Give the chart that the JSON of an XState machine defines; ``file`` names it in errors.

    What has no description is described by its name. Whether the chart makes sense is for ``lint``.

    Raises:
        StatechartError: the text is not JSON, or has what a chart cannot say, such as nested states, actions or delays;
            names that are not lower_snake_case; transitions whose orders contradict each other. Findings say the place.
    """
    name = file or "the XState machine"
    try:
        document = json.loads(text, object_pairs_hook=_once)
    # json lets errors of int() and of deep nesting through.
    except (ValueError, RecursionError) as exc:
        raise StatechartError(f"{name} is not a valid JSON text:", (f"{name}: {exc}",)) from exc
    reader = _Reader(name)
    machine = reader.table("the machine", document, ("id", "initial", "description", "states", "meta"))
    ours = reader.ours("", machine, "guards", "everywhere", "ignored")
    nodes = reader.table("states", machine.get("states", {}))
    states = [reader.state(state, node) for state, node in nodes.items()]
    return assemble(
        name=reader.text("id", machine.get("id", "imported")),
        initial=reader.text("initial", machine.get("initial")),
        description=reader.text("description", machine.get("description", "imported")),
        states=states,
        guards=[*reader.guards(f"meta.{OUR_KEY}.guards", ours.get("guards", {}))],
        exits=reader.exits,
        everywhere=reader.names(f"meta.{OUR_KEY}.everywhere", ours.get("everywhere", [])),
        ignored={
            code: reader.text(f"meta.{OUR_KEY}.ignored.{code}", reason)
            for code, reason in reader.table(f"meta.{OUR_KEY}.ignored", ours.get("ignored", {})).items()
        },
        file=file,
        findings=reader.findings,
    )


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"an object has a key twice; its keys are: {', '.join(repr(key) for key, _ in pairs)}")
    return found


class _Reader:
    """Takes a machine apart, and collects what is wrong instead of stopping at it."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.findings: list[str] = []
        self.exits: list[Exit] = []

    def table(self, where: str, value: Any, known: Sequence[str] | None = None) -> dict[str, Any]:
        """Give the keys of an object that are known, all where ``known`` is None."""
        if not isinstance(value, dict):
            self._find(where, "must be an object")
            return {}
        if known is None:
            return value
        for key in value:
            if key not in known:
                self._find(where, f"{key!r} is not in the subset that can be imported; known are: {', '.join(known)}")
        return {key: value[key] for key in known if key in value}

    def text(self, where: str, value: Any) -> str:
        """Give a text."""
        if isinstance(value, str):
            return value
        self._find(where, "is missing" if value is None else "must be text")
        return ""

    def state(self, name: str, node: Any) -> StateDef:
        """Give the state, and put its transitions with ``exits``."""
        where = f"states.{name}"
        found = self.table(where, node, ("type", "description", "entry", "meta", "on"))
        kind = found.get("type", "atomic")
        if kind not in ("atomic", "final"):
            self._find(where, f"the type {kind!r} is not in the subset that can be imported; known are: atomic, final")
        entry = found.get("entry")
        if isinstance(entry, list):
            if len(entry) > 1:
                self._find(where, "has several entry actions: a state calls one callback at most")
            entry = entry[0] if entry else None
        enter = None if entry is None else self._named(f"{where}.entry", entry)
        deadline = self.ours(where, found, "deadline").get("deadline")
        for event, transitions in self.table(f"{where}.on", found.get("on", {})).items():
            several = transitions if isinstance(transitions, list) else [transitions]
            for number, transition in enumerate(several):
                self._take(name, event, transition, enter, f"{where}.on.{event}[{number}]")
        return StateDef(
            name=name,
            description=self.text(f"{where}.description", found.get("description", name)),
            enter=enter,
            deadline=None if deadline is None else self.text(f"{where}.meta.{OUR_KEY}.deadline", deadline),
            final=kind == "final",
        )

    def names(self, where: str, value: Any) -> tuple[str, ...]:
        """Give the names of an array."""
        if not isinstance(value, list):
            self._find(where, "must be an array of names")
            return ()
        return tuple(self.text(where, name) for name in value)

    def guards(self, where: str, guards: Any) -> Iterator[GuardDef]:
        """Give the guards that an object declares."""
        for name, value in self.table(where, guards).items():
            found = self.table(f"{where}.{name}", value, ("description", "excludes"))
            yield GuardDef(
                name=name,
                description=self.text(f"{where}.{name}.description", found.get("description", name)),
                excludes=self.names(f"{where}.{name}.excludes", found.get("excludes", [])),
            )

    def _take(self, source: str, event: str, value: Any, enter: str | None, where: str) -> None:
        """The transition is one of ``exits``."""
        if isinstance(value, str):
            value = {"target": value}
        found = self.table(where, value, ("target", "guard", "reenter", "description", "meta"))
        if not isinstance(target := found.get("target"), str):
            self._find(where, "the target must be the name of one state")
            target = ""
        reenter = found.get("reenter", False)
        if not isinstance(reenter, bool):
            self._find(where, "'reenter' must be true or false")
        elif target == source and enter is not None and not reenter:
            self._find(
                where, "leads back without 'reenter': here the state would be entered again, and its entry action run"
            )
        guard = found.get("guard")
        self.exits.append(
            Exit(
                source=source,
                event=event,
                target=target,
                guard=None if guard is None else self._named(f"{where}.guard", guard),
                description=self.text(f"{where}.description", found.get("description", event)),
                order=self._order(where, self.ours(where, found, "order").get("order")),
                where=f"{self._file}: {where}",
            )
        )

    def _order(self, where: str, value: Any) -> tuple[int, int] | None:
        match value:
            case None:
                return None
            case [int(number), int(place)] if number > 0 and place > 0:
                return number, place
            case _:
                self._find(f"{where}.meta.{OUR_KEY}.order", "must be two numbers from 1")
                return None

    def _named(self, where: str, value: Any) -> str:
        """The name of an action or a guard, which may stand in an object; it has no parameters."""
        return self.text(where, self.table(where, value, ("type",)).get("type") if isinstance(value, dict) else value)

    def ours(self, where: str, found: dict[str, Any], *keys: str) -> dict[str, Any]:
        """What is ours below ``meta``; whatever else stands there is somebody's own."""
        place = f"{where}.meta".lstrip(".")
        return self.table(f"{place}.{OUR_KEY}", self.table(place, found.get("meta", {})).get(OUR_KEY, {}), keys)

    def _find(self, where: str, fault: str) -> None:
        self.findings.append(f"{self._file}: {where}: {fault}")
