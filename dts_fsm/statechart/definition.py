"""A statechart as a record: its states, guards and transitions, and what can be asked of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Generic, cast

import attrs

from dts_fsm.errors import StatechartError

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    StateT_co = TypeVar("StateT_co", bound=str, default=str, covariant=True)
    EventT_co = TypeVar("EventT_co", bound=str, default=str, covariant=True)
else:
    # Defaults, which let a chart of any states and events be called Chart, come with Python 3.13.
    from typing import TypeVar

    StateT_co = TypeVar("StateT_co", bound=str, covariant=True)
    EventT_co = TypeVar("EventT_co", bound=str, covariant=True)


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
class MigrationDef:
    """Where the states of a former chart are found in this one; those that are not named keep their names.

    Attributes:
        fingerprint: of the former chart.
        states: by a former state's name, the name of a live state of this chart.
    """

    fingerprint: str
    states: Mapping[str, str]
    description: str


@attrs.frozen(kw_only=True)
class Chart(Generic[StateT_co, EventT_co]):
    """A statechart: what runs, is checked, is tested and is drawn. Everything is in the order of its file.

    Its types are the names of its states and of its events: ``literals`` has those of the package's charts, and a
    chart of which they are not known is a plain ``Chart``.

    Attributes:
        migrations: how machines that were made under former charts go on under this one.
        everywhere: the events that each live state must have.
        ignored: the codes of lint's warnings that are no fault of this chart, each with the reason why.
        file: the file that it was read from, which findings name, or None. Charts from different files may be equal,
            whatever lint is told in them.
        lines: the lines of the file, counted from 1, by "states.NAME", "guards.NAME", "transitions.NUMBER", "chart"
            and "lint"; what is not known is left out.
    """

    name: str
    initial: str
    description: str
    states: tuple[StateDef, ...]
    guards: tuple[GuardDef, ...]
    transitions: tuple[TransitionDef, ...]
    migrations: tuple[MigrationDef, ...] = attrs.field(default=(), eq=False)
    everywhere: tuple[str, ...] = attrs.field(default=(), eq=False)
    ignored: Mapping[str, str] = attrs.field(factory=dict, eq=False)
    file: str | None = attrs.field(default=None, eq=False)
    lines: Mapping[str, int] = attrs.field(factory=dict, eq=False, repr=False)

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

    def carried(self, fingerprint: str, state: str, suspended_from: str = "") -> str | None:
        """Give the live state in which a live machine of the chart with this fingerprint goes on.

        Args:
            suspended_from: the state that it is to be resumed in; where a migration has another state for its own, it
                goes on in this one.

        Returns:
            None where there is none: this chart has no such live state, and none of its migrations says another.
        """
        maps = [one.states for one in self.migrations if one.fingerprint == fingerprint != self.fingerprint]
        target = maps[0].get(state, state) if maps else state
        if target != state and suspended_from:
            return self.carried(fingerprint, suspended_from)
        return target if target in self.live_states else None

    @cached_property
    def live_states(self) -> tuple[StateT_co, ...]:
        """The names of the states in which a machine has not ended."""
        return tuple(cast("StateT_co", state.name) for state in self.states if not state.final)

    @cached_property
    def final_states(self) -> tuple[StateT_co, ...]:
        """The names of the states in which a machine has ended."""
        return tuple(cast("StateT_co", state.name) for state in self.states if state.final)

    @cached_property
    def events(self) -> tuple[EventT_co, ...]:
        """The names of the events, each once, in the order of their first transition."""
        return tuple(dict.fromkeys(cast("EventT_co", transition.event) for transition in self.transitions))

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, equal for charts that behave alike.

        It covers the initial state and, for each state, whether it is final and its transitions in order with event,
        target and guard. Sentences, callbacks, deadlines, what lint is told and the order of the states do not matter.
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
