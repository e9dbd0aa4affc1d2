"""Faults of charts: each code with the smallest chart that has it, and all of them at once."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import pytest

from dts_fsm.errors import StatechartError
from dts_fsm.statechart import Chart, GuardDef, StateDef, TransitionDef, check, lint


def transition(event: str, sources: str, target: str, guard: str | None = None) -> TransitionDef:
    return TransitionDef(event=event, sources=tuple(sources), target=target, guard=guard, description="It happens.")


def chart(
    *transitions: TransitionDef,
    live: str = "a",
    final: str = "z",
    guards: Mapping[str, tuple[str, ...]] | None = None,
    initial: str = "a",
) -> Chart:
    """A chart whose states are single letters."""
    return Chart(
        name="small",
        initial=initial,
        description="A small chart.",
        states=tuple(StateDef(name=name, description="A state.", final=name in final) for name in live + final),
        guards=tuple(GuardDef(name=n, description="asked", excludes=e) for n, e in (guards or {}).items()),
        transitions=transitions,
    )


GO = transition("go", "a", "z")


def test_a_good_chart_has_no_fault() -> None:
    good = chart(
        transition("go", "a", "b", "open"),
        transition("go", "a", "z", "shut"),
        transition("stay", "b", "b"),
        transition("stop", "ab", "z"),
        live="ab",
        guards={"open": ("shut",), "shut": ("open",)},
    )
    assert lint(good) == ()
    check(good, callbacks=(), guards=("open", "shut"))


@pytest.mark.parametrize(
    ("broken", "finding"),
    [
        (chart(GO, live="ab", initial="x", final="z"), "SC001 unknown state 'x': the chart begins there"),
        (
            chart(transition("go", "ax", "z")),
            "SC001 unknown state 'x': [[transitions]] number 1 ('go' to 'z') starts there",
        ),
        (
            chart(GO, transition("stop", "a", "x")),
            "SC001 unknown state 'x': [[transitions]] number 2 ('stop' to 'x') leads there",
        ),
        (
            chart(transition("go", "a", "z", "open")),
            "SC002 undeclared guard 'open': [[transitions]] number 1 ('go' to 'z') asks for it",
        ),
        (
            chart(GO, transition("go", "a", "a")),
            "SC003 event 'go' in state 'a' could lead to 'z' and to 'a': "
            "a transition without a guard leaves no room for another",
        ),
        (
            chart(transition("go", "a", "z", "open"), transition("go", "a", "a"), guards={"open": ()}),
            "SC003 event 'go' in state 'a' could lead to 'z' and to 'a': "
            "a transition without a guard leaves no room for another",
        ),
        (
            chart(transition("go", "a", "z", "open"), transition("go", "a", "a", "open"), guards={"open": ()}),
            "SC003 event 'go' in state 'a' could lead to 'z' and to 'a': both ask for the guard 'open'",
        ),
        (
            chart(
                transition("go", "a", "z", "open"),
                transition("go", "a", "a", "shut"),
                guards={"open": ("shut",), "shut": ()},
            ),
            "SC003 event 'go' in state 'a' could lead to 'z' and to 'a': "
            "the guards 'open' and 'shut' do not both exclude each other",
        ),
        (
            chart(
                transition("go", "a", "z", "open"),
                transition("go", "a", "a", "shut"),
                guards={"open": (), "shut": ("open",)},
            ),
            "SC003 event 'go' in state 'a' could lead to 'z' and to 'a': "
            "the guards 'open' and 'shut' do not both exclude each other",
        ),
        (
            chart(transition("go", "ab", "z"), live="ab"),
            "SC004 unreachable state 'b': no way leads there from 'a'",
        ),
        (chart(GO, transition("stop", "a", "b"), live="ab"), "SC005 no way from state 'b' to a final state"),
        (
            chart(GO, transition("again", "z", "a")),
            "SC006 exit from the final state 'z': [[transitions]] number 2 ('again' to 'a')",
        ),
        (chart(transition("go", "a", "a"), final=""), "SC007 no final state: a machine could never end"),
        (chart(GO, guards={"open": ()}), "SC009 unused guard 'open': no transition asks for it"),
        (
            chart(transition("go", "a", "z", "open"), guards={"open": ("shut",)}),
            "SC012 undeclared guard 'shut': 'open' says that it excludes it",
        ),
        (
            chart(transition("go", "a", "z", "open"), guards={"open": ("open",)}),
            "SC012 guard 'open' says that it excludes itself",
        ),
        (chart(GO, live="aa"), "SC013 state 'a' is declared twice"),
        (
            attrs.evolve(
                chart(transition("go", "a", "z", "open")), guards=(GuardDef(name="open", description="asked"),) * 2
            ),
            "SC013 guard 'open' is declared twice",
        ),
    ],
)
def test_a_fault_is_found(broken: Chart, finding: str) -> None:
    assert finding in lint(broken)
    with pytest.raises(StatechartError) as caught:
        check(broken)
    assert lint(broken) == caught.value.findings


def test_where_the_beginning_is_unknown_no_state_is_called_unreachable() -> None:
    assert lint(chart(GO, initial="x")) == ("SC001 unknown state 'x': the chart begins there",)


def test_a_final_state_with_a_deadline_is_a_fault() -> None:
    good = chart(GO)
    broken = attrs.evolve(good, states=(good.states[0], attrs.evolve(good.states[1], deadline="patience")))
    assert lint(broken) == ("SC008 final state 'z' with a deadline 'patience': nothing could happen then",)


def test_a_state_that_only_an_exit_from_a_final_state_leads_to_is_unreachable() -> None:
    assert lint(chart(GO, transition("again", "z", "b"), transition("go", "b", "z"), live="ab")) == (
        "SC004 unreachable state 'b': no way leads there from 'a'",
        "SC006 exit from the final state 'z': [[transitions]] number 2 ('again' to 'b')",
    )


def test_states_that_lead_to_each_other_only_have_no_way_to_an_end() -> None:
    trap = (transition("fall", "a", "b"), transition("turn", "b", "c"), transition("turn", "c", "b"))
    assert lint(chart(GO, *trap, live="abc")) == (
        "SC005 no way from state 'b' to a final state",
        "SC005 no way from state 'c' to a final state",
    )


def test_every_pair_of_transitions_that_one_event_could_take_is_found_in_every_state() -> None:
    three = [transition("go", "ab", target) for target in "abz"]
    assert len([finding for finding in lint(chart(*three, live="ab")) if finding.startswith("SC003")]) == 6


def test_callbacks_and_guards_that_nobody_offers_are_faults_where_offers_are_given() -> None:
    good = chart(transition("go", "a", "z", "open"), guards={"open": ()})
    asking = attrs.evolve(good, states=(attrs.evolve(good.states[0], enter="bell.ring"), good.states[1]))
    callback = "SC010 callback 'bell.ring' of state 'a' that nobody offers"
    guard = "SC011 guard 'open' that nobody offers"
    assert lint(asking) == ()
    assert (callback,) == lint(asking, callbacks=["bell"])
    assert (guard,) == lint(asking, guards=())
    assert (callback, guard) == lint(asking, callbacks={}, guards={})
    assert lint(asking, callbacks=["bell.ring", "more"], guards=["open", "more"]) == ()


def test_a_broken_chart_is_refused_with_every_finding_under_the_name_of_its_file() -> None:
    broken = attrs.evolve(
        chart(
            transition("go", "a", "z", "open"),
            transition("go", "a", "b", "shut"),
            transition("again", "z", "a"),
            transition("lose", "b", "y"),
            live="abc",
            guards={"open": (), "late": ()},
        ),
        file="small.toml",
    )
    with pytest.raises(StatechartError) as caught:
        check(broken, guards=["open"])
    assert str(caught.value) == (
        "the chart 'small' cannot be used:\n"
        "  small.toml: SC002 undeclared guard 'shut': [[transitions]] number 2 ('go' to 'b') asks for it\n"
        "  small.toml: SC001 unknown state 'y': [[transitions]] number 4 ('lose' to 'y') leads there\n"
        "  small.toml: SC003 event 'go' in state 'a' could lead to 'z' and to 'b': "
        "the guards 'open' and 'shut' do not both exclude each other\n"
        "  small.toml: SC004 unreachable state 'c': no way leads there from 'a'\n"
        "  small.toml: SC005 no way from state 'b' to a final state\n"
        "  small.toml: SC005 no way from state 'c' to a final state\n"
        "  small.toml: SC006 exit from the final state 'z': [[transitions]] number 3 ('again' to 'a')\n"
        "  small.toml: SC009 unused guard 'late': no transition asks for it\n"
        "  small.toml: SC011 guard 'late' that nobody offers"
    )
