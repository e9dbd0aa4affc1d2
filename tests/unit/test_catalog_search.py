"""Searching a catalog: words, patterns, values, pages and status."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dts_fsm.databases.catalog import CatalogDatabase
from dts_fsm.databases.catalog_file import Catalog
from dts_fsm.databases.search import Query
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.errors import InvalidSearchParameterError
from dts_fsm.records import Descriptor, SearchFileStatus, SearchParameters

RESOURCES: list[dict[str, Any]] = [
    {"id": "JGI:1", "name": "pestis", "path": "plasmid/NC_005816.gb", "bytes": 1, "format": "gb", "title": "Pest Ä"},
    {"id": "JGI:2", "path": "plasmid/NC_005816[1].fna", "bytes": 1, "format": "FNA", "description": "Whole\nsequence"},
    {"id": "JGI:3", "path": "reads/run 1.fastq", "bytes": 1, "format": "fastq", "keywords": ["Straße", 7, "Nanopore"]},
    {"id": "meta", "data": {"genome": "plasmid"}, "format": 7, "title": ["no text"], "keywords": "Nanopore"},
]


def _database(folder: Path, resources: Sequence[dict[str, Any]] = RESOURCES) -> CatalogDatabase:
    (folder / "datapackage.json").write_text(json.dumps({"resources": resources}), encoding="utf-8")
    return CatalogDatabase(name="genomes", endpoint=LocalEndpoint(root=folder), endpoint_name="disk")


def _search(database: CatalogDatabase, query: str = "", **parameters: Any) -> list[str]:
    results = database.search("", SearchParameters(query=query, **parameters))
    return [descriptor.id for descriptor in results.descriptors]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["JGI:1", "JGI:2", "JGI:3", "meta"]),
        ("  \n\t", ["JGI:1", "JGI:2", "JGI:3", "meta"]),
        ("PLASMID", ["JGI:1", "JGI:2"]),
        ("jgi:3", ["JGI:3"]),
        ("pestis", ["JGI:1"]),
        ("ä", ["JGI:1"]),
        ("WHOLE sequence", ["JGI:2"]),
        ("STRASSE", ["JGI:3"]),
        ("nanopore", ["JGI:3"]),
        ("plasmid nanopore", []),
        ("1 run", ["JGI:3"]),
        ("*.gb", ["JGI:1"]),
        ("*.GB", ["JGI:1"]),
        ("nc_00581?.gb", []),
        ("*/nc_00581?.gb", ["JGI:1"]),
        ("JGI:[13]", ["JGI:1", "JGI:3"]),
        ("jgi:[!13]", ["JGI:2"]),
        ("plasmid/* sequence", ["JGI:2"]),
        ("pes*", ["JGI:1"]),
        ("nc_005816[", ["JGI:2"]),
        ("[]", []),
        ("*[[]1]*", ["JGI:2"]),
        ("*[z-a]*", []),
        ("gb", ["JGI:1"]),
        ("fastq", ["JGI:3"]),
    ],
)
def test_every_word_must_occur_and_every_pattern_match(tmp_path: Path, query: str, expected: list[str]) -> None:
    assert expected == _search(_database(tmp_path), query)


def test_the_values_of_properties_narrow_a_search(tmp_path: Path) -> None:
    database = _database(tmp_path)
    assert database.specific_search_parameters() == {"format": ["fastq", "fna", "gb"], "mediatype": []}
    assert _search(database, specific={"format": "fna"}) == ["JGI:2"]
    assert _search(database, "plasmid", specific={"format": "GB"}) == ["JGI:1"]
    assert _search(database, "reads", specific={"format": "GB"}) == []


@pytest.mark.parametrize(
    ("specific", "message"),
    [
        ({"size": 1}, "there is no parameter 'size'; known are: format, mediatype"),
        ({"format": 7}, "format cannot be 7; its values are: fastq, fna, gb"),
        ({"format": ""}, "format cannot be ''"),
        ({"format": None}, "format cannot be None"),
        ({"format": ["gb"]}, "format cannot be"),
        ({"format": "exe"}, "format cannot be 'exe'"),
        ({"mediatype": "text/plain"}, "its values are: none"),
    ],
)
def test_wrong_parameters_are_refused(tmp_path: Path, specific: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSearchParameterError, match="'genomes'") as caught:
        _search(_database(tmp_path), specific=specific)
    assert message in str(caught.value)


def test_a_query_without_end_is_refused(tmp_path: Path) -> None:
    database = _database(tmp_path)
    assert _search(database, "x" * 4096) == []
    with pytest.raises(InvalidSearchParameterError, match="longer than 4096 characters"):
        _search(database, "x" * 4097)


def test_files_with_their_size_in_place_are_staged_and_inline_data_counts_as_staged(tmp_path: Path) -> None:
    database = _database(tmp_path)
    (tmp_path / "plasmid").mkdir()
    (tmp_path / "plasmid" / "NC_005816.gb").write_text("x", encoding="utf-8")
    (tmp_path / "plasmid" / "NC_005816[1].fna").write_text("too long", encoding="utf-8")
    assert _search(database, status=SearchFileStatus.STAGED) == ["JGI:1", "meta"]
    assert _search(database, status=SearchFileStatus.UNSTAGED) == ["JGI:2", "JGI:3"]
    assert _search(database, status=SearchFileStatus.UNSTAGED, offset=1) == ["JGI:3"]
    assert _search(database, "meta", status=SearchFileStatus.STAGED) == ["meta"]


def test_a_page_of_staged_files_does_not_ask_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dts_fsm.databases.catalog._BATCH_FILES", 10)
    database = _database(tmp_path, [{"id": f"f{number}", "path": "x", "bytes": 1} for number in range(100)])
    (tmp_path / "x").write_text("x", encoding="utf-8")
    asked: list[int] = []
    original = LocalEndpoint.files_staged

    def counted(endpoint: LocalEndpoint, descriptors: Sequence[Descriptor]) -> Any:
        asked.append(len(descriptors))
        return original(endpoint, descriptors)

    monkeypatch.setattr(LocalEndpoint, "files_staged", counted)
    assert _search(database, status=SearchFileStatus.STAGED, offset=8, limit=4) == ["f8", "f9", "f10", "f11"]
    assert asked == [10, 10]


# no hyphen: what a range such as [B-a] means without regard to case cannot be said in another way
TEXTS = st.text("abAB*?[!]ß /.\n", max_size=6)
DESCRIPTORS = st.builds(
    lambda number, name, path, title, keywords: Descriptor(
        id=f"id{number}",
        name=name or None,
        path=f"f{path}",
        bytes=1,
        properties={"title": title, "keywords": keywords},
    ),
    st.integers(0, 10**6),
    TEXTS,
    TEXTS.filter(lambda text: ".." not in text and "\n" not in text),
    TEXTS,
    st.lists(TEXTS, max_size=2),
)
CATALOGS = st.lists(DESCRIPTORS, max_size=6, unique_by=lambda descriptor: descriptor.id).map(
    lambda descriptors: Catalog(descriptors=tuple(descriptors))
)


def _matches(catalog: Catalog, query: str) -> list[str]:
    parsed = Query.parse(query, {}, catalog=catalog, database="x")
    return [descriptor.id for descriptor in parsed.matches(catalog)]


@given(CATALOGS, st.lists(TEXTS, max_size=3), st.randoms())
def test_the_order_of_the_terms_does_not_matter(catalog: Catalog, terms: list[str], random: Any) -> None:
    shuffled = random.sample(terms, len(terms))
    assert _matches(catalog, " ".join(terms)) == _matches(catalog, " ".join(shuffled))


@given(CATALOGS, TEXTS, TEXTS)
def test_another_term_never_finds_more(catalog: Catalog, query: str, term: str) -> None:
    assert set(_matches(catalog, f"{query} {term}")) <= set(_matches(catalog, query))


@given(CATALOGS, TEXTS)
def test_what_is_found_matches_and_what_is_not_does_not(catalog: Catalog, query: str) -> None:
    found = _matches(catalog, query)
    expected = [
        descriptor.id for descriptor in catalog.descriptors if all(_has(descriptor, term) for term in query.split())
    ]
    assert expected == found


def _has(descriptor: Descriptor, term: str) -> bool:
    """Whether a term matches, said in another way."""
    named = [descriptor.path or "", descriptor.name, descriptor.id]
    opening = term.find("[")
    is_pattern = "*" in term or "?" in term or (opening >= 0 and "]" in term[opening + 2 :])
    if is_pattern:
        return any(fnmatchcase(field.lower(), term.lower()) for field in named)
    texts = [*named, descriptor.properties["title"], *descriptor.properties["keywords"]]
    return any(term.casefold() in text.casefold() for text in texts)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.sampled_from(["a", "b", "ab", "c"]), max_size=12),
    st.integers(1, 5),
    st.sampled_from(["", "a", "*b", "zzz"]),
    st.sampled_from(SearchFileStatus),
)
def test_pages_are_together_the_whole_search(
    names: list[str], limit: int, query: str, status: SearchFileStatus
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a").write_text("x", encoding="utf-8")
        database = _database(
            Path(folder), [{"id": f"{name}{number}", "path": name, "bytes": 1} for number, name in enumerate(names)]
        )
        whole = _search(database, query, status=status)
        pages = [
            _search(database, query, status=status, offset=offset, limit=limit)
            for offset in range(0, len(names) + 1, limit)
        ]
    assert whole == [file_id for page in pages for file_id in page]
    assert max(map(len, pages)) <= limit
