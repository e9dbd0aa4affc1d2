"""Hostile catalogs, users and charts: read or refused with our own errors, soon, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dts_fsm.databases.catalog_file import Catalog, parse_catalog, write_catalog
from dts_fsm.databases.search import Query, specific_values
from dts_fsm.databases.users import parse_users
from dts_fsm.errors import DtsError
from dts_fsm.statechart import CHARTS, Severity, StateMachine, chart_text, lint, load_chart_file, parse_chart
from dts_fsm.statechart.drawing import Overlay, Picture, dot, markdown, mermaid, plantuml
from tests.fuzzing import fuzz, limited, own_errors_only
from tests.strategies import HOSTILE_JSON, JSON_WORDS, TEXTS, mutated, mutated_json

PACKAGE: dict[str, Any] = {
    "name": "genomes",
    "resources": [
        {
            "id": "a",
            "name": "a",
            "path": "x/a",
            "bytes": 3,
            "hash": "md5:" + "0" * 32,
            "format": "fasta",
            "keywords": ["k"],
        },
        {"path": "b", "title": "the second", "mediatype": "text/plain"},
        {"id": "c", "data": {"depth": [1, 2]}},
    ],
}
TOML = (
    *(
        "[",
        "]",
        "[[",
        "]]",
        "=",
        '"',
        "'''",
        "{",
        "}",
        "#",
        ".",
        ",",
        "\t",
        "\r",
        "\x00",
        "\ud800",
        "\ufeff",
        "[" * 5000,
    ),
    *(
        "a." * 2000,
        "nan",
        "inf",
        "1979-05-27T07:32:00Z",
        "07:32:00",
        "9" * 5000,
        "true",
        "1_0",
        "0xFF",
        '"""',
        "\\",
        '"\\ud800"',
    ),
    *(
        "[chart]\n",
        "[states.x]\n",
        "[states]\nx = 3\n",
        "states = 3\n",
        "[[transitions]]\n",
        "transitions = {}\n",
        "[guards.x]\n",
    ),
    *('event = "go"\n', "from = []\n", 'from = ["x", "x"]\n', 'to = "nowhere"\n', 'guard = "x"\n', 'excludes = "x"\n'),
    *(
        "final = true\n",
        "final = 3\n",
        'enter = "x"\n',
        'deadline = "x_deadline"\n',
        'description = " "\n',
        'name = "X"\n',
    ),
)
USERS_CSV = 'orcid,username\n# the owners\n0000-0002-1825-0097, ada\n0000-0001-5109-3700,"b, c"\n'
USERS_JSON = json.dumps(
    [{"orcid": "0000-0002-1825-0097", "username": "ada"}, {"orcid": "0000-0001-5109-3700", "user": "b"}]
)
ANY_TEXT = st.text(st.characters(codec=None))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Catalogs and users


def catalog_of(content: bytes, folder: Path) -> None:
    with own_errors_only(folder):
        catalog = parse_catalog(Path("datapackage.json"), content)
        assert set(catalog.faults).isdisjoint(catalog.by_id)
        assert catalog.unsized <= set(catalog.by_id)
        specific_values(catalog)
        list(Query.parse("a* word", {}, catalog=catalog, database="d").matches(catalog))
    if "catalog" in locals():
        rewritten(catalog, folder)


def rewritten(catalog: Catalog, folder: Path) -> None:
    """What could be read is written, or refused, and is the same when it is read again."""
    file = folder / "again.json"
    with own_errors_only():
        write_catalog(file, catalog)
        assert parse_catalog(file, file.read_bytes()).descriptors == catalog.descriptors
    file.unlink(missing_ok=True)


@fuzz(150)
@given(package=mutated_json(PACKAGE))
def test_a_mutated_catalog_is_read_or_refused(package: Any, folder: Path) -> None:
    catalog_of(json.dumps(package).encode(errors="surrogatepass"), folder)


@fuzz(150)
@given(
    text=mutated(json.dumps(PACKAGE), JSON_WORDS) | ANY_TEXT, encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])
)
def test_a_mutated_catalog_text_is_read_or_refused(text: str, encoding: str, folder: Path) -> None:
    catalog_of(text.encode(encoding, errors="surrogatepass"), folder)


@fuzz(150)
@given(
    query=st.text("ab*?[]!-^\\ .{}()|~&é\ud800") | ANY_TEXT | st.sampled_from(TEXTS),
    specific=st.dictionaries(st.sampled_from(["format", "mediatype", "x", 3]), HOSTILE_JSON, max_size=2),
)
@example(query="*a" * 2000 + "b", specific={})
@example(query="[" * 4096, specific={})
def test_any_search_finds_something_or_is_refused(query: str, specific: Any, folder: Path) -> None:
    package = {
        "resources": [{"id": "a" * 2000, "path": "a/" * 1000 + "c", "bytes": 1, "format": "X"}, *PACKAGE["resources"]]
    }
    catalog = parse_catalog(Path("datapackage.json"), json.dumps(package).encode())
    with own_errors_only(folder):
        list(Query.parse(query, specific, catalog=catalog, database="d").matches(catalog))


@fuzz(200)
@given(
    content=(mutated(USERS_CSV, [*JSON_WORDS, *TEXTS]) | mutated(USERS_JSON, [*JSON_WORDS, *TEXTS]) | ANY_TEXT).map(
        lambda text: text.encode(errors="surrogatepass")
    )
    | st.binary(),
    name=st.sampled_from(["users.csv", "users.json"]),
)
def test_any_users_file_is_read_or_refused(content: bytes, name: str, folder: Path) -> None:
    with own_errors_only(folder):
        users = parse_users(Path(name), content)
        assert [user for user in users.values() if "/" in user or user in ("", ".", "..")] == []


# Charts


@fuzz(200)
@given(text=st.sampled_from(CHARTS).flatmap(lambda name: mutated(chart_text(name), TOML)) | ANY_TEXT)
def test_any_chart_is_refused_or_runs_and_is_drawn(text: str, folder: Path) -> None:
    with own_errors_only(folder):
        chart = parse_chart(text, file="x.toml")
        if any(finding.severity is Severity.ERROR for finding in lint(chart)):
            return
        callbacks = {state.enter: lambda model: None for state in chart.states if state.enter}
        machine = StateMachine(
            chart, callbacks=callbacks, guards={guard.name: lambda model: False for guard in chart.guards}
        )
        assert machine.chart == chart
        for current in (None, chart.initial):
            path = [("", "create", chart.initial), ("x", "y", "z")]
            picture = Picture.of(chart, Overlay.of_path(path, current))
            assert chart.initial in {node.name for node in picture.nodes}
            for draw in (mermaid, dot, plantuml, markdown):
                assert draw(picture).endswith("\n")


@fuzz(50)
@given(content=st.binary())
def test_any_bytes_are_refused_as_a_chart(content: bytes, folder: Path) -> None:
    (folder / "x.toml").write_bytes(content)
    with pytest.raises(DtsError), limited(folder):
        load_chart_file(folder / "x.toml")


def test_names_without_end_are_refused_soon(folder: Path) -> None:
    names = ", ".join(f'"s{number}"' for number in range(100_000))
    with pytest.raises(DtsError), limited(folder):
        parse_chart(f"[[transitions]]\nfrom = [{names}]\n", file="x.toml")
