"""What Hypothesis makes: charts with and without faults, what a machine meets on its way, and records."""

from __future__ import annotations

import copy
import json
import re
import typing
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import attrs
from hypothesis import strategies as st

from dts_fsm.records import Checksum, Descriptor, Specification, User
from dts_fsm.records.specification import DESCRIPTOR_KEYS
from dts_fsm.statechart import Chart, GuardDef, MigrationDef, StateDef, TransitionDef

T = TypeVar("T")

NAMES = ("unknown", "end", "note", "state_2", "root", "x", "a1_b2", "default", "active", "failed", "class", "self")
EVENTS = ("go", "fail", "trigger", "to_end", "cancel")
SENTENCES = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp"), include_characters=' "\\'), min_size=1
).filter(lambda text: text.strip() != "")


@st.composite
def charts(draw: st.DrawFn) -> Chart:
    """Charts without faults: up to seven states, events with several guarded transitions, transitions with several
    sources."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=2, max_size=7))
    live = names[: draw(st.integers(1, len(names) - 1))]
    # A way from the beginning to each state, a way from each live state to an end, and whatever else.
    steps = {(draw(st.sampled_from(live[:at])), name) for at, name in enumerate(names) if at}
    steps |= {(name, draw(st.sampled_from(names[at + 1 :]))) for at, name in enumerate(live)}
    steps |= draw(st.sets(st.tuples(st.sampled_from(live), st.sampled_from(names)), max_size=6))
    by_trigger = defaultdict(list)
    for source, target in draw(st.permutations(sorted(steps))):
        by_trigger[source, draw(st.sampled_from(EVENTS))].append(target)
    sources = defaultdict(list)
    for (source, event), targets in by_trigger.items():
        for number, target in enumerate(targets):
            guard = f"case_{number}" if len(targets) > 1 else draw(st.sampled_from((None, "case_0", "ready", "asked")))
            sources[event, target, guard].append(source)
    guards = sorted({guard for _, _, guard in sources if guard is not None})
    cases = [guard for guard in guards if guard.startswith("case_")]
    return Chart(
        name="random",
        initial=live[0],
        description=draw(SENTENCES),
        states=tuple(
            StateDef(
                name=name,
                description=draw(SENTENCES),
                enter=draw(st.sampled_from((None, "work.begin", "journal"))),
                deadline=draw(st.sampled_from((None, "patience"))) if name in live else None,
                final=name not in live,
            )
            for name in draw(st.permutations(names))
        ),
        guards=tuple(
            GuardDef(
                name=guard,
                description=draw(SENTENCES),
                excludes=tuple(case for case in cases if case != guard) if guard in cases else (),
            )
            for guard in guards
        ),
        transitions=tuple(
            TransitionDef(event=event, sources=tuple(starts), target=target, guard=guard, description=draw(SENTENCES))
            for (event, target, guard), starts in draw(st.permutations(list(sources.items())))
        ),
        migrations=tuple(
            MigrationDef(
                fingerprint=fingerprint,
                states=draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(live), max_size=2)),
                description=draw(SENTENCES),
            )
            for fingerprint in draw(st.sets(st.text("0123456789abcdef", min_size=16, max_size=16), max_size=2))
        ),
    )


def any_charts(*, unique: bool = False) -> st.SearchStrategy[Chart]:
    """Charts of any kind, most with faults: names that are not declared, or twice, and exits from final states.

    Args:
        unique: no name is declared twice.
    """
    by_name = (lambda part: part.name) if unique else None
    name = st.sampled_from(("a", "b", "c", "d"))
    guard = st.sampled_from(("p", "q", "r"))
    state = st.builds(
        StateDef,
        name=name,
        description=st.just("A state."),
        enter=st.sampled_from((None, "begin")),
        deadline=st.sampled_from((None, "patience")),
        final=st.booleans(),
    )
    transition = st.builds(
        TransitionDef,
        event=st.sampled_from(("go", "stop")),
        sources=st.lists(name, max_size=3).map(tuple),
        target=name,
        guard=st.none() | guard,
        description=st.just("A transition."),
    )
    return st.builds(
        Chart,
        name=st.just("any"),
        initial=name,
        description=st.just("Any chart."),
        states=st.lists(state, max_size=4, unique_by=by_name).map(tuple),
        guards=st.lists(
            st.builds(
                GuardDef, name=guard, description=st.just("a guard"), excludes=st.lists(guard, max_size=2).map(tuple)
            ),
            max_size=3,
            unique_by=by_name,
        ).map(tuple),
        transitions=st.lists(transition, max_size=5).map(tuple),
    )


@st.composite
def agreeing_guards(draw: st.DrawFn, chart: Chart) -> frozenset[str]:
    """Guards of the chart that may agree at once: as many as possible, or fewer."""
    agreeing: list[str] = []
    for guard in draw(st.permutations(chart.guards)):
        if not set(guard.excludes) & set(agreeing):
            agreeing.append(guard.name)
    return frozenset(agreeing) - draw(st.just(frozenset()) | st.frozensets(st.sampled_from([*agreeing, ""])))


def rounds(chart: Chart) -> st.SearchStrategy[list[tuple[str, frozenset[str]]]]:
    """Events of the chart, and one that it does not have, each with the guards that agree then."""
    return st.lists(st.tuples(st.sampled_from([*chart.events, "surprise"]), agreeing_guards(chart)), max_size=20)


def chart_toml(chart: Chart) -> str:
    """The chart as the text of a TOML file."""

    def table(header: str, **values: object) -> str:
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items() if value]
        return "\n".join((header, *lines, ""))

    return "\n".join(
        (
            table("[chart]", name=chart.name, initial=chart.initial, description=chart.description),
            "[states]\n",
            *(
                table(f"[states.{state.name}]", **attrs.asdict(state, filter=attrs.filters.exclude("name")))
                for state in chart.states
            ),
            *(
                table(f"[guards.{guard.name}]", description=guard.description, excludes=list(guard.excludes))
                for guard in chart.guards
            ),
            *(
                table(
                    "[[transitions]]",
                    event=transition.event,
                    **{"from": list(transition.sources)},
                    to=transition.target,
                    guard=transition.guard,
                    description=transition.description,
                )
                for transition in chart.transitions
            ),
            *(
                f"[[migrations]]\nfrom = {json.dumps(migration.fingerprint)}\n"
                f"description = {json.dumps(migration.description, ensure_ascii=False)}\n[migrations.states]\n"
                + "".join(f"{old} = {json.dumps(new)}\n" for old, new in migration.states.items())
                for migration in chart.migrations
            ),
        )
    )


# Records

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
COMPONENTS = st.text(
    st.characters(codec="utf-8", exclude_characters="/", exclude_categories=("Cc",)), min_size=1
).filter(lambda text: text not in (".", ".."))
PATHS = st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join)
CHECKSUMS = st.binary(min_size=32, max_size=32).map(lambda digest: Checksum("sha256", digest.hex()))


@st.composite
def descriptors(draw: st.DrawFn) -> Descriptor:
    """Descriptors of files and of inline data."""
    properties = draw(
        st.dictionaries(st.text().filter(lambda key: key not in {*DESCRIPTOR_KEYS, "data"}), JSON, max_size=3)
    )
    file_id, name = draw(st.text(min_size=1)), draw(st.text(min_size=1))
    if draw(st.booleans()):
        return Descriptor(id=file_id, name=name, properties=properties | {"data": draw(JSON)})
    return Descriptor(
        id=file_id,
        name=name,
        path=draw(PATHS),
        bytes=draw(st.integers(0, 2**63 - 1)),
        hash=draw(st.none() | CHECKSUMS),
        endpoint=draw(st.none() | st.text(min_size=1)),
        properties=properties,
    )


def specifications() -> st.SearchStrategy[Specification]:
    """Specifications that can be made, whether or not they can be carried out."""
    return st.builds(
        Specification,
        source=st.text(),
        destination=st.text(),
        file_ids=st.lists(st.text(min_size=1), max_size=4),
        user=st.builds(User, name=st.text(), orcid=st.text(), email=st.text(), organization=st.text()),
        description=st.text(),
        instructions=JSON,
    )


def records_of(kind: type[T]) -> st.SearchStrategy[T]:
    """Records of a class: every field has a value of its type."""
    if kind is Descriptor:
        return descriptors()  # type: ignore[return-value]
    if kind is Specification:
        return specifications()  # type: ignore[return-value]
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{field.name: _values(hints[field.name], field.name) for field in attrs.fields(kind)})  # type: ignore[arg-type]


def _values(hint: Any, name: str) -> st.SearchStrategy[Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return JSON
    if origin is Mapping:
        return st.dictionaries(st.text(), JSON, max_size=3)
    if origin in (tuple, Sequence):
        return st.lists(_values(arguments[0], name), max_size=3).map(tuple)
    if type(None) in arguments:
        return st.none() | _values(arguments[0], name)
    if hint is int:
        return st.integers(0, 2**62)
    if hint is float:
        return st.floats(0, 2**62)
    if hint is str:
        named = name in ("id", "handler", "kind", "endpoint") or name.endswith("_path")
        return st.text(min_size=1 if named else 0)
    if hint is datetime:
        times = st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC))
        return times.map(lambda time: time.replace(fold=0))
    if hint is Checksum:
        return CHECKSUMS
    if attrs.has(hint):
        return records_of(hint)
    return st.from_type(hint)


# Hostile input

NUMBERS = (0, -1, 1.5, True, 2**63 - 1, 2**63, -(2**70), float("nan"), float("inf"), float("-inf"), -0.0)
TEXTS = (
    *("", " ", "\x00", "\n", "\x1b[2J", "\ud800", "\udcff", "\u2028", "\ufeff", "\u202e", "\U0001f9ec", "%s{0}${HOME}"),
    *("..", "../../etc/passwd", "/", ".", "~", "~nobody", "a//b", "a" * 300, "a/" * 3000, "x" * 100_000, "9" * 5000),
    *("null", "NaN", "1e999", "0x10", "1_0", "0000-0002-1825-0097", "00000000-0000-0000-0000-000000000000"),
    *("2026-11-22T12:00:00Z", "0001-01-01T00:00:00+14:00", "md5:0", "sha256:" + "0" * 64, "local:disk:a:", "::::"),
)

JSON_WORDS = (
    *(
        "NaN",
        "-Infinity",
        "1e999",
        "-0",
        "1" * 5000,
        "1" * 4000,
        "1.5",
        "9223372036854775808",
        '"\\ud800"',
        '"\\u0000"',
    ),
    *(
        "[" * 20_000,
        '{"a":' * 20_000,
        "nul",
        "\ufeff",
        "\x00",
        '"',
        "\\",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "'a'",
        "//",
        "\ud800",
    ),
    *('"id": "a",', '"id": null,', '"path": "../a",', '"path": ["a"],', '"path": "http://a/b",', '"bytes": 12.0,'),
    *('"hash": "crc32:0",', '"data": {},', '"resources": [],', '"resources": 3,', '"name": 3,', '"orcid": "x",'),
)


class Unprintable:
    """What cannot even be shown."""

    def __repr__(self) -> str:
        raise ZeroDivisionError("an object that cannot be shown")


class Deep(list[Any]):
    """Lists in lists without end, which Hypothesis can show."""

    def __init__(self) -> None:
        super().__init__(nested(20_000))

    def __repr__(self) -> str:
        return "Deep()"


def nested(depth: int) -> list[Any]:
    """A list in a list in a list ..."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _round() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


HOSTILE_JSON = (
    JSON
    | st.sampled_from(NUMBERS)
    | st.sampled_from(TEXTS)
    | st.sampled_from([50, 150, 300]).map(nested)
    | st.text(st.characters(codec=None), max_size=5)
)
"""What a JSON text may hold, lone surrogates and numbers that are not finite included."""

OBJECTS = (
    HOSTILE_JSON
    | st.sampled_from((5000, 100_000)).map(lambda digits: 10**digits)
    | st.sampled_from(
        (object(), object, Unprintable(), NotImplemented, ..., b"", b"\xff", bytearray(b"a"), 1j, range(3))
    )
    | st.sampled_from(
        (UUID(int=1), datetime(2026, 11, 22), datetime.min.replace(tzinfo=UTC), Path("a"), Decimal("NaN"))
    )
    | st.sampled_from(
        (frozenset({1}), {1: 2}, {(1, 2): 3}, {None: None}, [[]], [{}], ([],), (None,), [b""], {"a": object()})
    )
    | st.builds(_round)
    | st.builds(Deep)
    | st.builds(iter, st.just([1, "a"]))
)
"""What a caller may hand over by mistake or on purpose."""


@st.composite
def mutated(draw: st.DrawFn, text: str, hostile: Sequence[str]) -> str:
    """The text with a few of its words or lines left out, doubled, exchanged, or replaced by hostile ones."""
    parts = re.findall(r"\w+|\s+|[^\w\s]", text) if draw(st.booleans()) else text.splitlines(keepends=True)
    words = st.sampled_from(hostile) | st.sampled_from(sorted(set(parts)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(parts) - 1))
        match draw(st.sampled_from(("replace", "insert", "drop", "double", "exchange"))):
            case "replace":
                parts[at] = draw(words)
            case "insert":
                parts.insert(at, draw(words))
            case "drop" if len(parts) > 1:
                end = draw(st.integers(at + 1, min(at + 8, len(parts))))
                parts[at:end] = [] if end - at < len(parts) else parts[:1]
            case "double":
                parts.insert(draw(st.integers(0, len(parts))), parts[at])
            case _:
                other = draw(st.integers(0, len(parts) - 1))
                parts[at], parts[other] = parts[other], parts[at]
    return "".join(parts)


@st.composite
def mutated_json(draw: st.DrawFn, value: Any, hostile: st.SearchStrategy[Any] = HOSTILE_JSON) -> Any:
    """The JSON value with a few of its inner values replaced, left out, doubled or exchanged."""
    root = [copy.deepcopy(value)]
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(root))
        inside, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(("replace", "replace", "drop", "add", "exchange"))):
            case "drop" if inside is not root:
                del inside[key]
            case "add" if isinstance(inside, dict):
                inside[draw(st.sampled_from(TEXTS) | st.text(max_size=5))] = draw(hostile)
            case "add" if inside is not root:
                inside.insert(key, copy.deepcopy(inside[key]))
            case "exchange":
                elsewhere, other = draw(st.sampled_from(places))
                inside[key] = copy.deepcopy(elsewhere[other])
            case _:
                inside[key] = draw(hostile)
    return root[0]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    todo = [value]
    while todo:
        inside = todo.pop()
        if len(inside) > 100:
            continue
        for key, item in inside.items() if isinstance(inside, dict) else enumerate(inside):
            yield inside, key
            if isinstance(item, dict | list):
                todo.append(item)
