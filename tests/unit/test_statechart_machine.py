"""Charts that run: what a machine does to a model, and what it refuses."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import UUID

import attrs
import pytest
import transitions
from hypothesis import given, settings
from hypothesis import strategies as st

import dts_fsm
from dts_fsm.errors import IllegalTransitionError, StatechartError
from dts_fsm.statechart import Chart, StateMachine, load_chart, parse_chart
from dts_fsm.statechart.machine import _build, _Machine

ID = UUID("12345678-1234-5678-1234-567812345678")
DOOR = parse_chart(
    """
    [chart]
    name = "door"
    initial = "closed"
    description = "A door."
    [states]
    closed = {description = "It is closed.", enter = "bell.ring"}
    open = {description = "It is open.", enter = "bell.ring"}
    gone = {description = "It is gone.", enter = "grief", final = true}
    [guards]
    pushed = {description = "somebody pushes", excludes = ["pulled"]}
    pulled = {description = "somebody pulls", excludes = ["pushed"]}
    [[transitions]]
    event = "move"
    from = ["closed"]
    to = "open"
    guard = "pushed"
    description = "It opens."
    [[transitions]]
    event = "move"
    from = ["closed"]
    to = "gone"
    guard = "pulled"
    description = "It falls."
    [[transitions]]
    event = "close"
    from = ["open"]
    to = "closed"
    description = "It closes."
    [[transitions]]
    event = "slam"
    from = ["open"]
    to = "gone"
    guard = "pushed"
    description = "It breaks."
    [[transitions]]
    event = "knock"
    from = ["closed", "open"]
    to = "closed"
    description = "It is closed after a knock, and was perhaps before."
    """,
    file="door.toml",
)


@attrs.define
class Door:
    """The smallest model: an id and a state."""

    state: str = "closed"
    force: frozenset[str] = frozenset()
    log: list[str] = attrs.field(factory=list)
    id: UUID = ID


def pushed(door: Door) -> bool:
    return "push" in door.force


def pulled(door: Door) -> bool:
    return "pull" in door.force


def ring(door: Door) -> None:
    door.log.append(f"ring {door.state}")


def grieve(door: Door) -> None:
    door.log.append(f"grieve {door.state}")


CALLBACKS = {"bell.ring": ring, "grief": grieve, "more": grieve}
GUARDS = {"pushed": pushed, "pulled": pulled, "more": pulled}


def machine(chart: Chart = DOOR, **callbacks: Callable[[Door], object]) -> StateMachine:
    return StateMachine(chart, callbacks=CALLBACKS | callbacks, guards=GUARDS)


def test_an_event_moves_the_model_then_calls_the_new_states_callback_and_gives_the_transition() -> None:
    door = Door(force=frozenset({"push"}))
    assert DOOR.transitions[0] == machine().fire(door, "move")
    assert (door.state, door.log) == ("open", ["ring open"])


def test_the_guard_that_agrees_chooses_among_transitions_of_one_event() -> None:
    door = Door(force=frozenset({"pull"}))
    assert DOOR.transitions[1] == machine().fire(door, "move")
    assert (door.state, door.log) == ("gone", ["grieve gone"])


def test_a_transition_to_the_same_state_enters_it_again() -> None:
    door = Door()
    assert DOOR.transitions[4] == machine().fire(door, "knock")
    assert (door.state, door.log) == ("closed", ["ring closed"])


@pytest.mark.parametrize(
    ("state", "event"),
    [
        ("closed", "close"),  # the state has no such event
        ("closed", "move"),  # of two guards none agrees
        ("open", "slam"),  # the one guard does not agree
        ("open", "explode"),  # no state has such an event
        ("gone", "knock"),  # the state is final
        ("lost", "knock"),  # the chart has no such state
    ],
)
def test_an_event_that_is_not_possible_is_refused_with_its_values_and_changes_nothing(state: str, event: str) -> None:
    door = Door(state=state)
    with pytest.raises(IllegalTransitionError) as caught:
        machine().fire(door, event)
    assert (ID, state, event) == (caught.value.machine_id, caught.value.state, caught.value.event)
    assert str(caught.value) == f"{ID} is {state!r}: the event {event!r} is not possible now"
    assert Door(state=state) == door


def test_guards_that_agree_against_their_promise_are_refused_and_change_nothing() -> None:
    door = Door(force=frozenset({"push", "pull"}))
    with pytest.raises(StatechartError) as caught:
        machine().fire(door, "move")
    assert str(caught.value) == (
        f"{ID} is 'closed': the event 'move' is ambiguous, for these guards agree at once: 'pushed', 'pulled'"
    )
    assert (door.state, door.log) == ("closed", [])


def test_what_a_callback_raises_is_passed_on_after_the_state_was_assigned() -> None:
    class BellBrokenError(Exception):
        pass

    def fail(door: Door) -> None:
        door.log.append("fail")
        raise BellBrokenError

    door = Door(force=frozenset({"push"}))
    with pytest.raises(BellBrokenError):
        machine(**{"bell.ring": fail}).fire(door, "move")
    assert (door.state, door.log) == ("open", ["fail"])


@pytest.mark.parametrize(("state", "event"), [("closed", "move"), ("open", "slam")], ids=["of two", "the only one"])
def test_what_a_guard_raises_is_passed_on_and_changes_nothing(state: str, event: str) -> None:
    def fail(door: Door) -> bool:
        raise LookupError(door.state)

    door = Door(state=state)
    runner = StateMachine(DOOR, callbacks=CALLBACKS, guards=GUARDS | {"pushed": fail})
    with pytest.raises(LookupError, match=state):
        runner.fire(door, event)
    assert Door(state=state) == door


def test_a_machine_goes_on_after_an_error() -> None:
    runner = machine()
    with pytest.raises(IllegalTransitionError):
        runner.fire(Door(), "close")
    assert DOOR.transitions[2] == runner.fire(Door(state="open"), "close")


def test_any_true_answer_of_a_guard_is_a_yes_everywhere() -> None:
    runner = StateMachine(DOOR, callbacks=CALLBACKS, guards={"pushed": lambda door: door.force, "pulled": pulled})
    door = Door(state="open", force=frozenset({"something"}))
    assert runner.next_event(door) == "slam"
    assert [able for _, able in runner.verdicts(door)] == [True, True, True]
    assert runner.fire(door, "slam").target == "gone"


def test_the_next_event_is_the_first_in_the_chart_whose_guard_agrees() -> None:
    runner = machine()
    for force in ("push", "pull"):
        assert runner.next_event(Door(force=frozenset({force}))) == "move"
    assert runner.next_event(Door(state="open", force=frozenset({"push"}))) == "slam"


def test_there_is_no_next_event_where_no_guard_agrees_or_the_state_is_final() -> None:
    runner = machine()
    for state in ("closed", "open", "gone"):
        assert runner.next_event(Door(state=state)) is None


def test_verdicts_tell_of_each_transition_whether_it_could_be_taken_now() -> None:
    move, fall, close, slam, knock = DOOR.transitions
    runner = machine()
    assert [(move, False), (fall, True), (knock, True)] == runner.verdicts(Door(force=frozenset({"pull"})))
    assert [(close, True), (slam, False), (knock, True)] == runner.verdicts(Door(state="open"))
    assert runner.verdicts(Door(state="gone")) == []


def test_asking_about_a_state_that_the_chart_does_not_have_is_refused() -> None:
    runner = machine()
    for ask in (runner.next_event, runner.verdicts):
        with pytest.raises(StatechartError) as caught:
            ask(Door(state="lost"))
        assert str(caught.value) == f"{ID} is 'lost', a state that the chart 'door' does not have"


def test_a_chart_with_faults_or_unmet_wishes_is_refused_with_every_finding() -> None:
    with pytest.raises(StatechartError) as caught:
        StateMachine(attrs.evolve(DOOR, initial="open"), callbacks={"bell.ring": ring}, guards={"pushed": pushed})
    assert caught.value.findings == (
        "door.toml: SC010 callback 'grief' of state 'gone' that nobody offers",
        "door.toml: SC011 guard 'pulled' that nobody offers",
    )


def test_a_chart_that_the_library_cannot_run_is_refused_in_our_words() -> None:
    knock = attrs.evolve(DOOR.transitions[4], event="state")
    with pytest.raises(StatechartError, match=r"^the chart 'door' cannot be run: Trigger name"):
        machine(attrs.evolve(DOOR, transitions=(*DOOR.transitions[:4], knock)))


def test_one_machine_of_the_library_serves_all_models_and_registers_none(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[transitions.Machine] = []
    init = transitions.Machine.__init__

    def counted(self: transitions.Machine, *args: object, **kwargs: object) -> None:
        init(self, *args, **kwargs)
        built.append(self)

    monkeypatch.setattr(transitions.Machine, "__init__", counted)
    runner = machine()
    doors = [Door(force=frozenset({"push"})) for _ in range(10)]
    for door in doors:
        runner.fire(door, "move")
    assert [door.state for door in doors] == ["open"] * 10
    assert [counted.models for counted in built] == [[]]


OWN = [load_chart("transfer"), load_chart("operation"), DOOR]


@pytest.mark.parametrize("chart", OWN, ids=lambda chart: chart.name)
@settings(max_examples=300)
@given(data=st.data())
def test_the_short_way_of_an_event_does_what_the_librarys_own_does(chart: Chart, data: st.DataObject) -> None:
    names = [guard.name for guard in chart.guards]
    state = data.draw(st.sampled_from([state.name for state in chart.states]))
    event = data.draw(st.sampled_from(sorted({transition.event for transition in chart.transitions})))
    force = data.draw(st.frozensets(st.sampled_from(names)))
    fault = data.draw(st.sampled_from([None, *(state.enter for state in chart.states if state.enter)]))

    def call(name: str, door: Door) -> None:
        door.log.append(f"{name} {door.state}")
        if name == fault:
            raise ZeroDivisionError(name)

    def ask(name: str, door: Door) -> bool:
        door.log.append(f"{name}?")
        return name in door.force

    callbacks = {state.enter: partial(call, state.enter) for state in chart.states if state.enter}
    guards = {name: partial(ask, name) for name in names}

    def taken(kind: type[transitions.Machine]) -> tuple[object, str, list[str]]:
        events, door = _build(chart, callbacks, guards, kind).events, Door(state=state, force=force)
        try:
            result: object = events[event].trigger(door, door)
        except (transitions.MachineError, ZeroDivisionError) as error:
            result = type(error)
        return result, door.state, door.log

    assert taken(_Machine) == taken(transitions.Machine)


def test_the_resumed_transfer_goes_back_to_where_it_was() -> None:
    chart = load_chart("transfer")
    for state in ("staging", "active", "finalizing"):
        runner = StateMachine(
            chart,
            callbacks={s.enter: ring for s in chart.states if s.enter},
            guards={guard.name: lambda door, name=guard.name: name in door.force for guard in chart.guards},
        )
        door = Door(state=state, force=frozenset({"suspended"}))
        assert runner.fire(door, "suspend").target == "inactive"
        door.force = frozenset({f"resumed_{state}"})
        assert runner.next_event(door) == "resume"
        assert state == runner.fire(door, "resume").target


def test_only_the_machine_knows_the_library() -> None:
    package = Path(dts_fsm.__file__).parent
    importing = set()
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            if any(name.split(".")[0] == "transitions" for name in names):
                importing.add(file.relative_to(package).as_posix())
    assert importing == {"statechart/machine.py"}
