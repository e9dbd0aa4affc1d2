"""Charts that run: the only module that knows the library ``transitions``.

One machine serves all models of a chart. A model is any object with an ``id`` and a mutable ``state``; it is never
registered with the machine, which would cost 5.8 kB for each and time quadratic in their number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, cast
from uuid import UUID

import transitions

from dts_fsm.errors import IllegalTransitionError, StatechartError
from dts_fsm.statechart.definition import Chart, TransitionDef
from dts_fsm.statechart.lint import check

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    EventT = TypeVar("EventT", bound=str, default=str)
else:
    from typing import TypeVar

    EventT = TypeVar("EventT", bound=str)

Callback = Callable[[Any], object]
"""What is called with the model when a state is entered; its answer is ignored. It must not fire events itself."""

Guard = Callable[[Any], bool]
"""What is asked with the model whether a transition may be taken. Pure: it may be asked several times."""


class Model(Protocol):
    """What a machine moves: ``state`` is one of the chart's names."""

    @property
    def id(self) -> UUID: ...

    state: str


class StateMachine(Generic[EventT]):
    """Runs a chart on models. It holds no model and no state of its own; call it from one thread at a time.

    Its type is that of its chart's events: type checkers find misspelt ones where the chart says its own.
    """

    def __init__(
        self, chart: Chart[str, EventT], *, callbacks: Mapping[str, Callback], guards: Mapping[str, Guard]
    ) -> None:
        """Build the machine of a chart that has no errors.

        Args:
            callbacks: by the names that the states' ``enter`` use; others are ignored.
            guards: by the chart's names; others are ignored.

        Raises:
            StatechartError: the chart has errors, or asks for callbacks or guards that are not given; all are listed.
        """
        check(chart, callbacks=callbacks, guards=guards)
        self.chart = chart
        asked = {guard.name: _decisive(guards[guard.name]) for guard in chart.guards}
        try:
            self._events = _build(chart, callbacks, asked).events
        except (ValueError, transitions.MachineError) as exc:
            raise StatechartError(f"the chart {chart.name!r} cannot be run: {exc}") from exc
        self._exits: dict[str, list[tuple[TransitionDef, Guard | None]]] = {}
        self._automatic: dict[str, list[tuple[EventT, Guard]]] = {}
        self._candidates: dict[tuple[str, str], list[tuple[TransitionDef, Guard | None]]] = {}
        for state in chart.states:
            exits = [(t, asked[t.guard] if t.guard else None) for t in chart.transitions_from(state.name)]
            self._exits[state.name] = exits
            self._automatic[state.name] = [(cast("EventT", t.event), guard) for t, guard in exits if guard]
            for transition, guard in exits:
                self._candidates.setdefault((state.name, transition.event), []).append((transition, guard))

    def fire(self, model: Model, event: EventT) -> TransitionDef:
        """The model has taken the event's transition, which is returned, and its new state's callback has run.

        The state is assigned before the callback runs. What a callback raises is passed on, and leaves the model ahead
        of what its callback should have done: discard such a model, never write it.

        Raises:
            IllegalTransitionError: the state has no transition for the event, or no guard of one agrees. The state is
                unchanged.
            StatechartError: two guards agree at once that the chart says exclude each other. The state is unchanged.
        """
        candidates = self._candidates.get((model.state, event))
        if candidates is None:
            raise IllegalTransitionError(model.id, model.state, event)
        if len(candidates) > 1:
            # Lint lets a state have an event twice only where each has a guard.
            candidates = [candidate for candidate in candidates if cast("Guard", candidate[1])(model)]
            if len(candidates) > 1:
                raise StatechartError(
                    f"{model.id} is {model.state!r}: the event {event!r} is ambiguous, for these guards agree at once: "
                    + ", ".join(repr(transition.guard) for transition, _ in candidates)
                )
        # Without send_event the library hands on what follows the model: so callbacks and guards get it.
        if not candidates or not self._events[event].trigger(model, model):
            raise IllegalTransitionError(model.id, model.state, event)
        return candidates[0][0]

    def next_event(self, model: Model) -> EventT | None:
        """Give the first event of the model's state, in chart order, whose guard agrees; None where none does.

        Transitions without a guard wait for somebody to fire them. Changes nothing.

        Raises:
            StatechartError: the chart has no such state.
        """
        automatic = self._automatic.get(model.state)
        if automatic is None:
            raise self._unknown(model)
        for event, guard in automatic:
            if guard(model):
                return event
        return None

    def verdicts(self, model: Model) -> list[tuple[TransitionDef, bool]]:
        """Give each transition of the model's state, in chart order, with whether it could be taken now.

        Raises:
            StatechartError: the chart has no such state.
        """
        return [(transition, guard is None or guard(model)) for transition, guard in self.exits(model)]

    def exits(self, model: Model) -> list[tuple[TransitionDef, Guard | None]]:
        """Give each transition of the model's state, in chart order, with its guard, or None where it has none.

        Raises:
            StatechartError: the chart has no such state.
        """
        exits = self._exits.get(model.state)
        if exits is None:
            raise self._unknown(model)
        return list(exits)

    def _unknown(self, model: Model) -> StatechartError:
        return StatechartError(
            f"{model.id} is {model.state!r}, a state that the chart {self.chart.name!r} does not have"
        )


def _decisive(guard: Guard) -> Guard:
    """The guard with an answer of True or False exactly: the library takes any other true value for a no."""
    return lambda model: bool(guard(model))


class _Event(transitions.Event):
    """Does what the library's own does in a machine whose only callbacks are those of entering states.

    That one looks for a queue, and for callbacks before, after and around everything, which no chart has: at each
    trigger, for ten times the cost of the transition. A test holds the two to the same effects.
    """

    def trigger(self, model: Any, *args: Any, **kwargs: Any) -> bool:
        """The model has taken the first transition whose conditions agree; False where there is none.

        Raises:
            MachineError: no transition leads out of the model's state.
        """
        if model.state not in self.transitions:
            raise transitions.MachineError(f"Can't trigger event {self.name} from state {model.state}!")
        for transition in self.transitions[model.state]:
            for asked in transition.conditions:
                # the library's types allow for names of functions, and for transitions that lead nowhere
                if cast("Guard", asked.func)(*args, **kwargs) != asked.target:
                    break
            else:
                model.state = target = cast("str", transition.dest)
                for callback in cast("list[Callback]", self.machine.states[target].on_enter):
                    callback(*args, **kwargs)
                return True
        return False


class _Machine(transitions.Machine):
    event_cls = _Event


def _build(
    chart: Chart,
    callbacks: Mapping[str, Callback],
    guards: Mapping[str, Guard],
    kind: type[transitions.Machine] = _Machine,
) -> transitions.Machine:
    return kind(
        model=None,
        states=[
            transitions.State(
                state.name,
                # The library's types ask for callbacks of None or bool, and ignore the answer, as is promised here.
                on_enter=cast("Callable[[Any], None]", callbacks[state.enter]) if state.enter else None,
                final=state.final,
            )
            for state in chart.states
        ],
        initial=chart.initial,
        transitions=[
            {
                "trigger": transition.event,
                "source": list(transition.sources),
                "dest": transition.target,
                "conditions": guards[transition.guard] if transition.guard else None,
            }
            for transition in chart.transitions
        ],
        auto_transitions=False,
        send_event=False,
        queued=False,
    )
