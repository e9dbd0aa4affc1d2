"""Reading charts: every error names the file, the table and the key."""

from __future__ import annotations

import pytest

from dts_fsm.errors import StatechartError
from dts_fsm.statechart import Chart, GuardDef, MigrationDef, StateDef, TransitionDef, parse_chart

CHART = """
[chart]
name = "door"
initial = "closed"
description = "A door."
"""
STATES = """
[states.closed]
description = "It is closed."
enter = "bell.ring"
deadline = "patience"
[states.gone]
description = "It is gone."
final = true
"""
GUARDS = """
[guards.unlocked]
description = "it is not locked"
excludes = ["locked"]
[guards.locked]
description = "it is locked"
"""
TRANSITIONS = """
[[transitions]]
event = "remove"
from = ["closed"]
to = "gone"
guard = "unlocked"
description = "Somebody takes it away."
"""
TRANSITION = {
    "event": '"remove"',
    "from": '["closed"]',
    "to": '"gone"',
    "description": '"Somebody takes it away."',
}


def findings(text: str) -> tuple[str, ...]:
    with pytest.raises(StatechartError) as caught:
        parse_chart(text, file="door.toml")
    return caught.value.findings


def transition(**changes: str | None) -> str:
    """A file with one transition, of which keys are changed, or left out where None."""
    keys = TRANSITION | {name.rstrip("_"): value for name, value in changes.items()}
    lines = [f"{name} = {value}" for name, value in keys.items() if value is not None]
    return "\n".join((CHART, STATES, "[[transitions]]", *lines))


def test_every_key_of_a_file_ends_up_in_the_chart() -> None:
    expected = Chart(
        name="door",
        initial="closed",
        description="A door.",
        states=(
            StateDef(name="closed", description="It is closed.", enter="bell.ring", deadline="patience", final=False),
            StateDef(name="gone", description="It is gone.", enter=None, deadline=None, final=True),
        ),
        guards=(
            GuardDef(name="unlocked", description="it is not locked", excludes=("locked",)),
            GuardDef(name="locked", description="it is locked", excludes=()),
        ),
        transitions=(
            TransitionDef(
                event="remove",
                sources=("closed",),
                target="gone",
                guard="unlocked",
                description="Somebody takes it away.",
            ),
        ),
    )
    chart = parse_chart(CHART + STATES + GUARDS + TRANSITIONS, file="door.toml")
    assert expected == chart
    assert chart.file == "door.toml"


def test_guards_and_optional_keys_may_be_left_out() -> None:
    chart = parse_chart(transition(), file="door.toml")
    assert chart.guards == ()
    assert chart.transitions[0].guard is None


def test_text_that_is_not_toml_is_refused_with_its_line() -> None:
    with pytest.raises(StatechartError) as caught:
        parse_chart('[chart]\nname = "door\n', file="door.toml")
    assert str(caught.value) == (
        "door.toml is not a valid TOML file:\n  door.toml: Illegal character '\\n' (at line 2, column 13)"
    )


def test_a_state_that_is_declared_twice_is_refused_with_its_line() -> None:
    (finding,) = findings(CHART + STATES + '[states.closed]\ndescription = "Again."\n')
    assert finding.startswith("door.toml: Cannot declare ('states', 'closed') twice (at line ")


@pytest.mark.parametrize("value", ["[" * 100_000, "9" * 5_000], ids=["nested deeply", "a very long number"])
def test_text_that_overwhelms_the_toml_parser_is_refused_as_an_error_of_the_file(value: str) -> None:
    (finding,) = findings(f"x = {value}")
    assert finding.startswith("door.toml: ")


def test_an_error_lists_every_finding_under_the_name_of_the_file() -> None:
    chart = CHART.replace('"closed"', "1").replace("name", "nmae")
    states = STATES.replace("true", '"yes"') + "transitions = 1"
    with pytest.raises(StatechartError) as caught:
        parse_chart(chart + states, file="door.toml")
    assert str(caught.value) == (
        "door.toml does not define a statechart:\n"
        "  door.toml: the file, key 'transitions': is missing\n"
        "  door.toml: [chart], key 'nmae': is unknown; known are: name, initial, description, everywhere\n"
        "  door.toml: [chart], key 'name': is missing\n"
        "  door.toml: [chart], key 'initial': must be text, not a number\n"
        "  door.toml: [states.gone], key 'transitions': is unknown; known are: description, enter, deadline, final\n"
        "  door.toml: [states.gone], key 'final': must be true or false, not text"
    )


def test_an_empty_file_lacks_its_three_parts() -> None:
    assert findings("") == (
        "door.toml: the file, key 'chart': is missing",
        "door.toml: the file, key 'states': is missing",
        "door.toml: the file, key 'transitions': is missing",
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "colour = 1\n" + CHART + STATES + TRANSITIONS,
            "the file, key 'colour': is unknown; known are: chart, states, guards, transitions, migrations, lint",
        ),
        ("chart = 1\n" + STATES + TRANSITIONS, "the file, key 'chart': must be a table, not a number"),
        ("[[chart]]\n" + STATES + TRANSITIONS, "the file, key 'chart': must be a table, not a list"),
        ("states = true\n" + CHART + TRANSITIONS, "the file, key 'states': must be a table, not true or false"),
        ("guards = 2.5\n" + CHART + STATES + TRANSITIONS, "the file, key 'guards': must be a table, not a number"),
        (
            CHART + STATES + "[transitions]",
            "the file, key 'transitions': must be tables written [[transitions]], not a table",
        ),
        ("transitions = [7]\n" + CHART + STATES, "[[transitions]] number 1: must be a table, not a number"),
        (CHART + "[states]\nclosed = 1979-05-27", "[states.closed]: must be a table, not a date or time"),
        (CHART + STATES + "[guards]\nlocked = 'x'", "[guards.locked]: must be a table, not text"),
    ],
)
def test_parts_of_a_wrong_kind_are_named(text: str, fault: str) -> None:
    assert f"door.toml: {fault}" in findings(text)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('name = "door"', 'name = "Door"', "[chart], key 'name': 'Door' is not a lower_snake_case name"),
        ('name = "door"\n', "", "[chart], key 'name': is missing"),
        ('initial = "closed"\n', "", "[chart], key 'initial': is missing"),
        ('description = "A door."\n', "", "[chart], key 'description': is missing"),
        ('"A door."', '" "', "[chart], key 'description': must not be empty"),
        ('"A door."', "[]", "[chart], key 'description': must be text, not a list"),
        ("states.gone", "states.is-gone", "[states], key 'is-gone': 'is-gone' is not a lower_snake_case name"),
        ("states.gone", 'states."go\\n"', "[states], key 'go\\n': 'go\\n' is not a lower_snake_case name"),
        ("states.gone", "states._gone", "[states], key '_gone': '_gone' is not a lower_snake_case name"),
        ("states.gone", "states.gone_", "[states], key 'gone_': 'gone_' is not a lower_snake_case name"),
        ("states.gone", "states.is__gone", "[states], key 'is__gone': 'is__gone' is not a lower_snake_case name"),
        ("states.gone", "states.2_gone", "[states], key '2_gone': '2_gone' is not a lower_snake_case name"),
        ('description = "It is gone."\n', "", "[states.gone], key 'description': is missing"),
        ('"It is gone."', "{}", "[states.gone], key 'description': must be text, not a table"),
        (
            '"bell.ring"',
            '"bell.ring()"',
            "[states.closed], key 'enter': 'bell.ring()' is not a name such as 'handler.method'",
        ),
        ('"bell.ring"', "1", "[states.closed], key 'enter': must be text, not a number"),
        ('"patience"', "30", "[states.closed], key 'deadline': must be text, not a number"),
        ('"patience"', '"a b"', "[states.closed], key 'deadline': 'a b' is not a lower_snake_case name"),
        ("final = true", "final = 1", "[states.gone], key 'final': must be true or false, not a number"),
        (
            "final = true",
            "end = true",
            "[states.gone], key 'end': is unknown; known are: description, enter, deadline, final",
        ),
        ("guards.locked", "guards.Locked", "[guards], key 'Locked': 'Locked' is not a lower_snake_case name"),
        ('description = "it is locked"\n', "", "[guards.locked], key 'description': is missing"),
        ('"it is locked"', '""', "[guards.locked], key 'description': must not be empty"),
        ('["locked"]', '"locked"', "[guards.unlocked], key 'excludes': must be a list of names, not text"),
        ('["locked"]', "[]", "[guards.unlocked], key 'excludes': must name at least one"),
        ("excludes", "exclude", "[guards.unlocked], key 'exclude': is unknown; known are: description, excludes"),
    ],
)
def test_a_wrong_key_of_chart_state_or_guard_is_the_one_finding(old: str, new: str, fault: str) -> None:
    text = CHART + STATES + GUARDS + TRANSITIONS
    assert (f"door.toml: {fault}",) == findings(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"event": None}, "key 'event': is missing"),
        ({"event": '"Remove"'}, "key 'event': 'Remove' is not a lower_snake_case name"),
        ({"event": "[]"}, "key 'event': must be text, not a list"),
        ({"from_": None}, "key 'from': is missing"),
        ({"from_": '"closed"'}, "key 'from': must be a list of names, not text"),
        ({"from_": "[]"}, "key 'from': must name at least one"),
        ({"from_": '["A", 1, "b"]'}, "key 'from': 'A' is not a lower_snake_case name; must be text, not a number"),
        ({"from_": '["a", "b", "a", "b", "c"]'}, "key 'from': names 'a', 'b' more than once"),
        ({"from_": '["*"]'}, "key 'from': '*' is not a lower_snake_case name"),
        ({"to": None}, "key 'to': is missing"),
        ({"to": '"="'}, "key 'to': '=' is not a lower_snake_case name"),
        ({"to": '["gone"]'}, "key 'to': must be text, not a list"),
        ({"guard": '"not locked"'}, "key 'guard': 'not locked' is not a lower_snake_case name"),
        ({"guard": "true"}, "key 'guard': must be text, not true or false"),
        ({"description": None}, "key 'description': is missing"),
        ({"description": '""'}, "key 'description': must not be empty"),
        ({"source": '"closed"'}, "key 'source': is unknown; known are: event, from, to, guard, description"),
    ],
)
def test_a_wrong_key_of_a_transition_is_the_one_finding(changes: dict[str, str | None], fault: str) -> None:
    assert (f"door.toml: [[transitions]] number 1, {fault}",) == findings(transition(**changes))


def test_transitions_are_counted_from_one_in_the_order_of_the_file() -> None:
    text = CHART + STATES + GUARDS + TRANSITIONS + TRANSITIONS.replace('"remove"', '""')
    assert findings(text) == ("door.toml: [[transitions]] number 2, key 'event': '' is not a lower_snake_case name",)


def test_a_date_where_something_else_belongs_is_called_a_date() -> None:
    (finding,) = findings(CHART + STATES.replace("final = true", "final = 2027-01-15") + TRANSITIONS + GUARDS)
    assert finding == "door.toml: [states.gone], key 'final': must be true or false, not a date or time"


def test_what_a_file_says_to_lint_ends_up_in_the_chart() -> None:
    told = CHART + 'everywhere = ["remove", "slam"]\n[lint]\nignore = { SC016 = "It may stay." }\n'
    chart = parse_chart(told + STATES + GUARDS + TRANSITIONS, file="door.toml")
    assert (chart.everywhere, chart.ignored) == (("remove", "slam"), {"SC016": "It may stay."})


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ("everywhere = []", "[chart], key 'everywhere': must name at least one"),
        ('everywhere = "remove"', "[chart], key 'everywhere': must be a list of names, not text"),
        ("[lint]\nignore = 1", "[lint], key 'ignore': must be a table, not a number"),
        ("[lint]\nignore = { SC014 = ' ', SC016 = 1 }", "[lint], key 'ignore': gives no reason for 'SC014', 'SC016'"),
        ("[lint]\nquiet = true", "[lint], key 'quiet': is unknown; known are: ignore"),
    ],
)
def test_what_lint_cannot_be_told_is_named(told: str, fault: str) -> None:
    assert findings(f"{CHART}{told}\n{STATES}{TRANSITIONS.replace('guard', '#')}") == (f"door.toml: {fault}",)


MIGRATIONS = """
[[migrations]]
from = "0123456789abcdef"
states = { ajar = "closed", shut = "closed" }
description = "A door is closed or gone."
[[migrations]]
from = "fedcba9876543210"
description = "Nothing else changed."
"""


def test_the_migrations_of_a_file_end_up_in_the_chart_and_in_no_fingerprint() -> None:
    plain = CHART + STATES + GUARDS + TRANSITIONS
    text = plain + MIGRATIONS
    chart = parse_chart(text, file="door.toml")
    assert chart.migrations == (
        MigrationDef(
            fingerprint="0123456789abcdef",
            states={"ajar": "closed", "shut": "closed"},
            description="A door is closed or gone.",
        ),
        MigrationDef(fingerprint="fedcba9876543210", states={}, description="Nothing else changed."),
    )
    assert chart.fingerprint == parse_chart(plain, file="door.toml").fingerprint
    headers = [number for number, line in enumerate(text.splitlines(), start=1) if line == "[[migrations]]"]
    assert [chart.lines[f"migrations.{number}"] for number in (1, 2)] == headers


def test_a_machine_of_a_former_chart_goes_on_where_its_migration_says_or_in_the_state_of_its_name() -> None:
    chart = parse_chart(CHART + STATES + GUARDS + TRANSITIONS + MIGRATIONS, file="door.toml")
    known, silent, unknown = "0123456789abcdef", "fedcba9876543210", "0" * 16
    assert [chart.carried(known, state) for state in ("ajar", "shut", "closed")] == ["closed"] * 3
    for fingerprint in (silent, unknown, chart.fingerprint):
        assert [chart.carried(fingerprint, state) for state in ("closed", "ajar")] == ["closed", None]
    # no live machine goes on in a final state
    assert chart.carried(known, "gone") is None


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("0123456789abcdef", "0123", "key 'from': '0123' is not a fingerprint: 16 digits of 0-9 and a-f"),
        ('"0123456789abcdef"', "7", "key 'from': must be text, not a number"),
        ('{ ajar = "closed", shut = "closed" }', "[]", "key 'states': must be a table, not a list"),
        (
            'ajar = "closed"',
            "Ajar = 'x y'",
            "key 'states': 'Ajar' is not a lower_snake_case name; for 'Ajar': 'x y' is",
        ),
        ('"A door is closed or gone."', '""', "key 'description': must not be empty"),
        ("states =", "state =", "key 'state': is unknown; known are: from, states, description"),
    ],
)
def test_a_wrong_key_of_a_migration_is_the_one_finding(old: str, new: str, fault: str) -> None:
    (finding,) = findings(CHART + STATES + GUARDS + TRANSITIONS + MIGRATIONS.replace(old, new, 1))
    assert finding.startswith(f"door.toml: [[migrations]] number 1, {fault}")
