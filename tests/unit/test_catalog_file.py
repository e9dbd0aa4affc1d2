"""The catalog's file: what is read from it, what is refused, and that writing loses nothing."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_fsm.databases import files
from dts_fsm.databases.catalog_file import Catalog, frictionless_name, parse_catalog, read_catalog, write_catalog
from dts_fsm.errors import InvalidDatabaseConfigError, InvalidDescriptorError, SerializationError
from dts_fsm.records import Checksum, Descriptor

FILE = {"id": "a", "name": "a", "path": "a.fa", "bytes": 3}


def _parse(*resources: Any, **properties: Any) -> Catalog:
    content = json.dumps({"resources": resources} | properties).encode()
    return parse_catalog(Path("/data/datapackage.json"), content)


def test_a_resource_becomes_a_descriptor_with_all_it_says() -> None:
    catalog = _parse(FILE | {"hash": "sha1:" + "0" * 40, "title": "A", "licenses": [{"name": "CC0"}]}, name="x")
    expected = Descriptor(
        id="a",
        name="a",
        path="a.fa",
        bytes=3,
        hash=Checksum("sha1", "0" * 40),
        properties={"title": "A", "licenses": [{"name": "CC0"}]},
    )
    assert {"a": expected} == catalog.by_id
    assert catalog.properties == {"name": "x"}
    assert (frozenset(), {}) == (catalog.unsized, catalog.faults)


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ({"name": "n", "path": "p", "bytes": 1}, "n"),
        ({"path": "p/q", "bytes": 1}, "p/q"),
        ({"id": None, "name": "", "path": "p", "bytes": 1}, "p"),
        ({"name": "inline", "data": [1]}, "inline"),
    ],
)
def test_the_id_of_a_resource_without_one_is_its_name_else_its_path(resource: object, expected: str) -> None:
    assert [expected] == list(_parse(resource).by_id)


def test_a_resource_with_data_and_no_path_is_inline() -> None:
    descriptor = _parse({"id": "d", "data": {"x": 1}}).by_id["d"]
    assert descriptor.inline
    assert descriptor.properties == {"data": {"x": 1}}


def test_a_resource_without_a_size_is_told_apart() -> None:
    catalog = _parse(FILE, {"id": "b", "path": "b"}, {"id": "c", "path": "c", "bytes": None}, {"id": "d", "data": 1})
    assert frozenset("bc") == catalog.unsized
    assert catalog.faults == {}


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        ({"path": "../x"}, "leads upwards"),
        ({"path": "/etc/passwd"}, "absolute"),
        ({"path": "a\x00b"}, "control characters"),
        ({"path": "\udc80"}, "not valid Unicode"),
        ({"path": ""}, "path is empty"),
        ({"path": "./"}, "names no file"),
        ({"path": None}, "neither a path nor inline data"),
        ({"path": 7}, "its path must be text"),
        ({"path": ["a", "b"]}, "one resource for each part"),
        ({"path": "https://example.org/a"}, "is a URL"),
        ({"bytes": -1}, "cannot be -1"),
        ({"bytes": "3"}, "whole number"),
        ({"bytes": 1e999}, "number that is not finite"),
        ({"score": [float("nan")]}, "number that is not finite"),
        ({"title": "\ud800"}, "not valid Unicode"),
        ({"hash": "crc:1"}, "algorithm 'crc' is unknown"),
        ({"name": 1}, "its name must be text"),
    ],
)
def test_a_broken_resource_is_a_fault_of_its_own_and_leaves_the_others_alone(
    resource: dict[str, Any], message: str
) -> None:
    catalog = _parse(FILE | {"id": "first"}, FILE | {"id": "bad"} | resource, FILE | {"id": "last"})
    assert list(catalog.by_id) == ["first", "last"]
    assert list(catalog.faults) == ["bad"]
    assert catalog.faults["bad"].startswith("datapackage.json: resources[1]: ")
    assert message in catalog.faults["bad"]


@pytest.mark.parametrize("resource", [7, None, [], {}, {"id": ""}, {"id": 7}, {"id": ["a"]}])
def test_a_resource_that_nobody_could_ask_for_is_a_fault_under_its_place(resource: object) -> None:
    assert {"resources[1]"} == set(_parse(FILE, resource).faults)


def test_resources_with_one_id_are_all_in_doubt() -> None:
    catalog = _parse(FILE, FILE | {"id": "b"}, FILE | {"path": "other"}, FILE)
    assert list(catalog.by_id) == ["b"]
    assert catalog.faults == {"a": "datapackage.json: resources[0] and resources[3] have this id: give each its own"}


def test_values_nested_deeply_are_a_fault_and_without_end_no_json() -> None:
    value: Any = 1
    for _ in range(60):
        value = {"x": [value]}
    assert "nested more than 100 deep" in _parse(FILE | {"x": value}).faults["a"]
    with pytest.raises(InvalidDatabaseConfigError, match="cannot be used as a catalog"):
        parse_catalog(Path("x"), b'{"resources": ' + b"[" * 100_000)


def test_large_finite_numbers_and_paired_surrogates_are_no_fault() -> None:
    content = b'{"resources": [{"id": "a", "data": [1e200, -0.5, {"x": "\\ud83d\\ude00"}]}]}'
    assert parse_catalog(Path("x"), content).faults == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"[]", "must be a JSON object"),
        (b"{}", "needs a list 'resources'"),
        (b'{"resources": {}}', "needs a list 'resources'"),
        (b'{"resources": []} x', "not JSON"),
        (b"\xff\xfe", "cannot be used as a catalog"),
    ],
)
def test_a_file_that_is_no_data_package_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidDatabaseConfigError, match=message) as caught:
        parse_catalog(Path("/data/x.json"), content)
    assert caught.value.file == "/data/x.json"


@given(st.binary(max_size=300))
def test_any_content_gives_a_catalog_or_one_kind_of_error(content: bytes) -> None:
    with suppress(InvalidDatabaseConfigError):
        assert isinstance(parse_catalog(Path("x.json"), content), Catalog)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["id", "name", "path", "bytes", "hash", "endpoint", "data", "title", "keywords"])


@given(st.lists(JSON | st.dictionaries(KEYS, JSON), max_size=5))
def test_whatever_the_resources_are_each_is_a_descriptor_or_a_fault_and_can_be_written(resources: list[Any]) -> None:
    catalog = _parse(*resources)
    assert catalog.by_id.keys() & catalog.faults.keys() == set()
    assert len(catalog.by_id) + len(catalog.faults) <= len(resources)
    assert bool(resources) is bool(catalog.by_id or catalog.faults)
    json.dumps([dict(descriptor.properties) for descriptor in catalog.descriptors], allow_nan=False)


def test_two_descriptors_of_one_id_make_no_catalog() -> None:
    descriptors = tuple(Descriptor(id=name, path="x", bytes=1) for name in "aba")
    with pytest.raises(InvalidDescriptorError, match="'a' cannot be used: two resources"):
        Catalog(descriptors=descriptors)


def test_what_is_written_is_read_back_equal(tmp_path: Path) -> None:
    file = tmp_path / "datapackage.json"
    catalog = _parse(
        FILE | {"title": "é\u2028", "hash": "0" * 32, "endpoint": "tape"},
        {"id": "no size", "path": "b"},
        {"id": "inline", "data": {"x": [None, 1.5]}},
        name="mine",
        profile="data-package",
        licenses=[],
    )
    write_catalog(file, catalog)
    assert catalog == read_catalog(file)
    assert "bytes" not in json.loads(file.read_text(encoding="utf-8"))["resources"][1]


def test_a_package_without_a_name_gets_its_folders_as_frictionless_wants_it(tmp_path: Path) -> None:
    folder = tmp_path / "My Genomes (é)"
    folder.mkdir()
    write_catalog(folder / "datapackage.json", Catalog())
    expected = {"name": "my-genomes----", "profile": "data-package"}
    assert expected == read_catalog(folder / "datapackage.json").properties
    assert frictionless_name("A/b C.gz") == "a/b-c.gz"


@pytest.mark.parametrize("value", [float("inf"), "\udfff", {1, 2}])
def test_a_property_that_is_no_json_value_leaves_the_file_as_it_was(tmp_path: Path, value: object) -> None:
    file = tmp_path / "datapackage.json"
    file.write_text("before", encoding="utf-8")
    with pytest.raises(SerializationError):
        write_catalog(file, Catalog(properties={"x": value}))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("datapackage.json", "before")]


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"x": {"y": [1, {"z": float("inf")}]}}, r"datapackage\.json: x\.y\[1\]\.z: the number inf is not finite"),
        ({"title": "\ud800"}, r"datapackage\.json: title: .*not valid Unicode"),
        ({"x": {"\ud800": 1}}, r"datapackage\.json: x: .*not valid Unicode"),
        ({"\ud800": {"y": float("nan")}}, r"datapackage\.json: '\\ud800'\.y: the number nan is not finite"),
        ({"\ud800": 1}, r"datapackage\.json: the package: .*not valid Unicode"),
    ],
)
def test_a_property_that_is_no_json_value_is_named_with_file_and_place(
    tmp_path: Path, properties: dict[str, Any], message: str
) -> None:
    with pytest.raises(SerializationError, match=message):
        write_catalog(tmp_path / "datapackage.json", Catalog(properties=properties))


def test_resources_with_one_path_are_told_with_their_ids() -> None:
    catalog = _parse(FILE, FILE | {"id": "b"}, FILE | {"id": "c", "path": "c"}, FILE | {"id": "d", "path": ".//a.fa"})
    assert catalog.shared_paths == {"a.fa": ("a", "b", "d")}


def test_a_catalog_that_is_a_link_is_read_only_if_it_stays_below_the_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside.json"
    (root / "sub").mkdir(parents=True)
    for file in (outside, root / "sub" / "inside.json"):
        write_catalog(file, Catalog())
    link = root / "datapackage.json"
    link.symlink_to("sub/inside.json")
    assert read_catalog(link, root=root).descriptors == ()
    (tmp_path / "alias").symlink_to("root")
    assert read_catalog(tmp_path / "alias" / link.name, root=tmp_path / "alias").descriptors == ()
    assert read_catalog(outside, root=root).descriptors == ()
    assert read_catalog(root / ".." / outside.name, root=root).descriptors == ()
    for target in ("../outside.json", "../missing.json", str(outside), "datapackage.json"):
        link.unlink()
        link.symlink_to(target)
        with pytest.raises(InvalidDatabaseConfigError, match="symbolic link") as caught:
            read_catalog(link, root=root)
        assert str(link) == caught.value.file


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "datapackage.json"
    file.write_text("before", encoding="utf-8")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_catalog(file, Catalog())
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("datapackage.json", "before")]


def test_a_catalog_that_is_missing_too_large_or_no_regular_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        read_catalog(tmp_path / "missing")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InvalidDatabaseConfigError, match="not a regular file"):
        read_catalog(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"{}   ")
    with pytest.raises(InvalidDatabaseConfigError, match="cannot be read: Not a directory"):
        read_catalog(tmp_path / "file" / "datapackage.json")
    monkeypatch.setattr("dts_fsm.databases.catalog_file.MAX_CATALOG_BYTES", 4)
    with pytest.raises(InvalidDatabaseConfigError, match="larger than 4 bytes"):
        read_catalog(tmp_path / "file")
