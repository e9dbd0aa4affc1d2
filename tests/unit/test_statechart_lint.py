"""Faults of charts: each code with the smallest chart that has it, and all of them at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

import attrs
import pytest

from dts_fsm.errors import StatechartError
from dts_fsm.statechart import (
    Chart,
    Finding,
    GuardDef,
    MigrationDef,
    Severity,
    StateDef,
    TransitionDef,
    check,
    lint,
    parse_chart,
    refusals,
)
from dts_fsm.statechart.exchange import from_scxml, from_xstate, to_scxml, to_xstate
from dts_fsm.statechart.writer import chart_to_toml


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
        states=tuple(
            StateDef(
                name=name,
                description="A state.",
                deadline=None if name in final else "patience",
                final=name in final,
            )
            for name in live + final
        ),
        guards=tuple(GuardDef(name=n, description="asked", excludes=e) for n, e in (guards or {}).items()),
        transitions=transitions,
    )


def said(chart: Chart, **offers: Collection[str]) -> tuple[str, ...]:
    """The sentences of lint."""
    return tuple(map(str, lint(chart, **offers)))


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
    assert finding in said(broken)
    with pytest.raises(StatechartError) as caught:
        check(broken)
    assert [str(found) for found in lint(broken) if found.severity is Severity.ERROR] == [*caught.value.findings]


def test_where_the_beginning_is_unknown_no_state_is_called_unreachable() -> None:
    assert said(chart(GO, initial="x")) == ("SC001 unknown state 'x': the chart begins there",)


def test_a_final_state_with_a_deadline_is_a_fault() -> None:
    good = chart(GO)
    broken = attrs.evolve(good, states=(good.states[0], attrs.evolve(good.states[1], deadline="patience")))
    assert said(broken) == ("SC008 final state 'z' with a deadline 'patience': nothing could happen then",)


def test_a_state_that_only_an_exit_from_a_final_state_leads_to_is_unreachable() -> None:
    assert said(chart(GO, transition("again", "z", "b"), transition("go", "b", "z"), live="ab")) == (
        "SC004 unreachable state 'b': no way leads there from 'a'",
        "SC006 exit from the final state 'z': [[transitions]] number 2 ('again' to 'b')",
    )


def test_states_that_lead_to_each_other_only_have_no_way_to_an_end() -> None:
    trap = (transition("fall", "a", "b"), transition("turn", "b", "c"), transition("turn", "c", "b"))
    assert said(chart(GO, *trap, live="abc")) == (
        "SC005 no way from state 'b' to a final state",
        "SC005 no way from state 'c' to a final state",
    )


def test_every_pair_of_transitions_that_one_event_could_take_is_found_in_every_state() -> None:
    three = [transition("go", "ab", target) for target in "abz"]
    assert len([finding for finding in lint(chart(*three, live="ab")) if finding.code == "SC003"]) == 6


def test_migrations_that_lead_nowhere_or_say_one_chart_twice_are_faults() -> None:
    good = chart(GO)

    def migration(fingerprint: str, **states: str) -> MigrationDef:
        return MigrationDef(fingerprint=fingerprint, states=states, description="It was so.")

    former, other = "0" * 16, "1" * 16
    assert said(attrs.evolve(good, migrations=(migration(former, b="a"), migration(other, b="a")))) == ()
    broken = (migration(former, b="z", c="x"), migration(good.fingerprint), migration(former, b="a"))
    assert said(attrs.evolve(good, migrations=broken)) == (
        "SC021 [[migrations]] number 1 leads from 'b' to 'z', which is not a live state",
        "SC021 [[migrations]] number 1 leads from 'c' to 'x', which is not a live state",
        f"SC021 [[migrations]] number 2 is from {good.fingerprint}, which is this chart itself",
        f"SC021 [[migrations]] number 3 is from {former}, and another before it is, too",
    )


def test_callbacks_and_guards_that_nobody_offers_are_faults_where_offers_are_given() -> None:
    good = chart(transition("go", "a", "z", "open"), guards={"open": ()})
    asking = attrs.evolve(good, states=(attrs.evolve(good.states[0], enter="bell.ring"), good.states[1]))
    callback = "SC010 callback 'bell.ring' of state 'a' that nobody offers"
    guard = "SC011 guard 'open' that nobody offers"
    assert lint(asking) == ()
    assert (callback,) == said(asking, callbacks=["bell"])
    assert (guard,) == said(asking, guards=())
    assert (callback, guard) == said(asking, callbacks={}, guards={})
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


def test_guards_that_are_undeclared_and_ambiguous_are_both_faults() -> None:
    broken = chart(transition("go", "a", "z", "open"), transition("go", "a", "a", "shut"), guards={"shut": ("open",)})
    assert [finding.code for finding in lint(broken)] == ["SC002", "SC012", "SC003"]
    broken = chart(transition("go", "a", "z", "shut"), transition("go", "a", "a", "open"), guards={"shut": ("open",)})
    assert [finding.code for finding in lint(broken)] == ["SC002", "SC012", "SC003"]
    assert [finding.code for finding in lint(attrs.evolve(broken, guards=()))] == ["SC002", "SC002", "SC003"]


SHADOWED = chart(
    transition("go", "a", "b", "open"),
    transition("jump", "ab", "z", "open"),
    transition("stop", "ab", "z"),
    live="ab",
    guards={"open": ()},
)


def test_a_transition_behind_another_that_asks_for_the_same_guard_is_shadowed_in_the_states_of_both() -> None:
    assert said(SHADOWED) == (
        "SC014 [[transitions]] number 2 ('jump' to 'z') is shadowed in state 'a': [[transitions]] number 1 ('go' to "
        "'b') asks for the guard 'open' before it",
    )


def test_a_guard_that_an_event_answers_elsewhere_has_no_candidate_where_its_rival_has_one() -> None:
    both = {"open": ("shut",), "shut": ("open",)}
    arrows = [transition("go", "ab", "z", "open"), transition("go", "b", "a", "shut"), transition("fall", "a", "b")]
    assert said(chart(*arrows, live="ab", guards=both)) == (
        "SC015 event 'go' in state 'a' has no transition for the guard 'shut', though it has for 'open'",
    )
    one_sided = {"open": ("shut",), "shut": ()}
    assert "SC015" not in {finding.code for finding in lint(chart(*arrows, live="ab", guards=one_sided))}


def test_an_event_that_asks_for_one_guard_only_waits_for_it_and_has_no_gap() -> None:
    both = {"open": ("shut",), "shut": ("open",)}
    arrows = [transition("go", "a", "z", "open"), transition("fall", "a", "z", "shut")]
    assert lint(chart(*arrows, guards=both)) == ()


def test_a_third_guard_has_no_candidate_where_an_event_decides_between_two() -> None:
    three = {"open": ("shut", "ajar"), "shut": ("open", "ajar"), "ajar": ("open", "shut")}
    arrows = [
        transition("go", "a", "z", "open"),
        transition("go", "a", "a", "shut"),
        transition("fall", "a", "z", "ajar"),
    ]
    assert said(chart(*arrows, guards=three)) == (
        "SC015 event 'go' in state 'a' has no transition for the guard 'ajar', though it has for 'open' and 'shut'",
    )


def test_a_live_state_without_a_deadline_is_a_warning() -> None:
    good = chart(GO)
    endless = attrs.evolve(good, states=(attrs.evolve(good.states[0], deadline=None), good.states[1]))
    assert said(endless) == ("SC016 live state 'a' without a deadline: a machine may stay there for ever",)
    check(endless)


def test_an_event_that_must_be_everywhere_is_an_error_in_each_live_state_that_lacks_it() -> None:
    some = chart(transition("go", "a", "b"), transition("stop", "b", "z"), live="ab")
    missing = ("SC017 event 'stop' is missing from the live state 'a': it must be everywhere",)
    for findings in (said(some, everywhere=["stop"]), said(attrs.evolve(some, everywhere=("stop",)))):
        assert missing == findings
    with pytest.raises(StatechartError) as caught:
        check(attrs.evolve(some, everywhere=("stop",)))
    assert missing == caught.value.findings


def test_a_deadline_that_nobody_offers_is_an_error_where_offers_are_given() -> None:
    assert said(chart(GO), deadlines=["haste"]) == ("SC018 deadline 'patience' of state 'a' that nobody offers",)
    assert lint(chart(GO), deadlines=["patience"]) == ()


@pytest.mark.parametrize("description", ["", " \n", "open up", "Open up.", "OPEN_UP"])
def test_a_description_that_is_empty_or_no_more_than_the_name_is_a_warning(description: str) -> None:
    def described(text: str) -> Chart:
        good = chart(transition("open_up", "a", "z", "open_up"), guards={"open_up": ()})
        return attrs.evolve(
            good,
            name="open_up",
            initial="open_up",
            description=text,
            states=(attrs.evolve(good.states[0], name="open_up", description=text), good.states[1]),
            guards=(attrs.evolve(good.guards[0], description=text),),
            transitions=(attrs.evolve(good.transitions[0], sources=("open_up",), description=text),),
        )

    parts = ("the chart 'open_up'", "state 'open_up'", "guard 'open_up'", "[[transitions]] number 1 ('open_up' to 'z')")
    if description.strip():
        expected = [f"SC019 the description of {part} says no more than its name" for part in parts]
    else:
        expected = [f"SC019 {part} has no description" for part in parts]
    assert expected == [*said(described(description))]
    assert lint(described("Somebody opens it up.")) == ()


def test_a_chart_silences_its_warnings_but_not_its_errors() -> None:
    assert lint(attrs.evolve(SHADOWED, ignored={"SC014": "Somebody jumps."})) == ()
    broken = chart(transition("go", "a", "x"))
    assert said(attrs.evolve(broken, ignored={"SC001": "It will come."})) == (
        *said(broken),
        "SC020 [lint] ignores SC001, which cannot be silenced",
    )


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("SC014", "SC020 [lint] ignores SC014, of which the chart has none"),
        ("SC099", "SC020 [lint] ignores 'SC099', which is no code"),
        ("SC020", "SC020 [lint] ignores SC020, which cannot be silenced"),
    ],
)
def test_a_code_that_is_silenced_in_vain_is_a_warning(code: str, finding: str) -> None:
    assert (finding,) == said(attrs.evolve(chart(GO), ignored={code: "We know."}))


def test_a_transition_that_names_a_state_twice_is_no_choice_between_two() -> None:
    assert lint(chart(transition("go", "aa", "z"))) == ()


def test_a_finding_is_a_record_whose_text_begins_with_the_file_and_the_code() -> None:
    (finding,) = lint(attrs.evolve(chart(transition("go", "a", "x"), final=""), file="small.toml"))[:1]
    message = "unknown state 'x': [[transitions]] number 1 ('go' to 'x') leads there"
    assert finding == Finding(code="SC001", severity=Severity.ERROR, message=message, file="small.toml", line=None)
    assert str(finding) == f"small.toml: SC001 {message}"


LINED = """
[chart]
name = "door" # [states.open]
initial = "shut"
description = "A door."
[ states . "shut" ]
description = "Shut."
[states.gone]
description = "It is gone."
final = true
deadline = "patience"
  [[transitions]]
event = "go"
from = [
  "shut",
]
to = "away"
description = "It goes."
[[transitions]]
event = "go"
from = ["shut"]
to = "gone"
description = "It goes."
[guards]
[guards.windy]
description = "the wind blows"
excludes = ["windy"]
[lint.ignore]
SC099 = "It is new."
"""


def test_a_finding_of_a_file_names_the_line_of_its_table() -> None:
    found = {(finding.code, finding.line) for finding in lint(parse_chart(LINED, file="door.toml"))}
    assert found == {
        *(("SC001", 12), ("SC003", 19), ("SC008", 8), ("SC009", 25), ("SC012", 25)),
        *(("SC016", 6), ("SC019", 6), ("SC020", 28)),
    }
    assert {*lint(parse_chart("\r\n".join(LINED.split("\n")), file="door.toml"))} == {
        *lint(parse_chart(LINED, file="door.toml"))
    }


def test_a_file_with_texts_of_several_lines_gives_no_lines_rather_than_wrong_ones() -> None:
    for quotes in ('"""', "'''"):
        text = LINED.replace('"It is gone."', f"{quotes}\n[states.shut]\n{quotes}")
        findings = lint(parse_chart(text, file="door.toml"))
        assert {None} == {finding.line for finding in findings}


def test_what_the_reader_refuses_is_a_finding_too() -> None:
    text = LINED.replace("initial", "intial")
    with pytest.raises(StatechartError) as caught:
        parse_chart(text, file="door.toml")
    assert [str(finding) for finding in refusals(caught.value, file="door.toml")] == [
        "door.toml: SC000 [chart], key 'intial': is unknown; known are: name, initial, description, everywhere",
        "door.toml: SC000 [chart], key 'initial': is missing",
    ]
    with pytest.raises(StatechartError) as caught:
        parse_chart("[chart]\nname = \n", file="door.toml")
    assert [finding.line for finding in refusals(caught.value, file="door.toml")] == [2]


@pytest.mark.parametrize(
    "there_and_back",
    [
        lambda chart: parse_chart(chart_to_toml(chart), file="back.toml"),
        lambda chart: from_scxml(to_scxml(chart)),
        lambda chart: from_xstate(to_xstate(chart)),
    ],
    ids=["TOML", "SCXML", "XState"],
)
def test_what_a_chart_says_to_lint_goes_with_it_everywhere(there_and_back: Callable[[Chart], Chart]) -> None:
    told = attrs.evolve(
        SHADOWED, everywhere=("stop", "jump"), ignored={"SC014": 'They "jump" \\ & stay.', "header": "?"}
    )
    back = there_and_back(told)
    assert (told, told.everywhere, told.ignored) == (back, back.everywhere, back.ignored)


@pytest.mark.parametrize("reasons", ["{", "[]", '{"SC014": 1}', "[" * 100_000])
def test_reasons_that_an_scxml_document_garbles_are_refused(reasons: str) -> None:
    text = to_scxml(attrs.evolve(SHADOWED, ignored={"SC014": "They jump."}))
    garbled = re.sub("dts:ignored='.*?'", f"dts:ignored='{reasons}'", text)
    with pytest.raises(StatechartError, match="has a dts:ignored that is not a JSON object of codes and reasons"):
        from_scxml(garbled)
