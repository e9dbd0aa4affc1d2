"""Every record goes to JSON and comes back the same; what JSON says wrongly is refused with its place."""

from __future__ import annotations

import json
import typing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_fsm import records
from dts_fsm.errors import DtsError, SerializationError, SpecificationError
from dts_fsm.records import Checksum, Descriptor, Specification, TransferStatus, User
from dts_fsm.records.checksum import DIGEST_HEX_DIGITS
from dts_fsm.serialization import dump_json, from_json, load_json, structure, to_json, unstructure
from tests.strategies import JSON, descriptors, records_of, specifications

RECORDS = [
    kind
    for kind in (getattr(records, name) for name in records.__all__)
    if isinstance(kind, type) and attrs.has(kind) and kind is not Checksum
]


STATUS = TransferStatus(
    code=records.TransferStatusCode.ACTIVE, created_at=datetime.now(UTC), updated_at=datetime.now(UTC)
)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_record_comes_back_as_it_went(kind: type, data: st.DataObject) -> None:
    record = data.draw(records_of(kind))
    again = from_json(to_json(record), kind)
    assert again == record
    # equal is not enough: a text equals the enumeration's member that it names
    assert repr(again) == repr(record)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_an_unknown_key_is_refused_by_name(kind: type, data: st.DataObject) -> None:
    value = unstructure(data.draw(records_of(kind)))
    if kind is Descriptor:
        return  # data resources are open: Frictionless has properties of everybody
    with pytest.raises(SerializationError, match="no_such_key"):
        structure(value | {"no_such_key": 1}, kind)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_something_that_is_no_object_is_refused(kind: type) -> None:
    for value in (None, 3, "text", [], [1]):
        with pytest.raises((SerializationError, SpecificationError)):
            structure(value, kind)


@given(specifications(), st.sampled_from(["source", "destination", "file_ids", "user"]))
def test_a_missing_key_is_named(specification: Specification, key: str) -> None:
    value = unstructure(specification)
    del value[key]
    with pytest.raises(SerializationError, match=key):
        structure(value, Specification)


@given(value=JSON)
def test_any_json_value_is_refused_or_structured_and_never_anything_else(value: Any) -> None:
    for kind in (Specification, TransferStatus, Descriptor, User):
        try:
            record = structure(value, kind)
        except DtsError:
            continue
        assert isinstance(record, kind)


@given(descriptors())
def test_a_descriptor_is_written_as_a_flat_data_resource(descriptor: Descriptor) -> None:
    resource = unstructure(descriptor)
    assert resource["id"] == descriptor.id
    assert {key: resource[key] for key in descriptor.properties} == descriptor.properties
    assert json.loads(to_json(descriptor)) == resource


@given(st.sampled_from(sorted(DIGEST_HEX_DIGITS)), st.binary(min_size=64, max_size=64))
def test_checksums_are_read_in_either_case(algorithm: str, digest: bytes) -> None:
    text = digest.hex()[: DIGEST_HEX_DIGITS[algorithm]]
    expected = Checksum(algorithm, text)
    for written in (f"{algorithm}:{text}", f"{algorithm.upper()}:{text.upper()}", f" {algorithm}:{text} "):
        assert Checksum.parse(written) == expected
    assert Checksum.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    ["2026-11-22T12:00:00", "yesterday", "", 3, None],
)
def test_times_need_a_zone(text: Any) -> None:
    value = unstructure(STATUS)
    with pytest.raises(SerializationError, match="created_at"):
        structure(value | {"created_at": text}, TransferStatus)


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_files", "3"), ("num_files", True), ("num_files", 1.5), ("message", 3), ("code", "dreaming")],
)
def test_a_value_of_the_wrong_type_is_not_converted_but_refused(key: str, value: Any) -> None:
    whole = unstructure(STATUS)
    with pytest.raises(SerializationError, match=key):
        structure(whole | {key: value}, TransferStatus)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, b"x", UUID(int=1)])
def test_what_json_cannot_write_is_refused(value: Any) -> None:
    with pytest.raises(SerializationError):
        dump_json(value)


@pytest.mark.parametrize("text", ["", "{", "[1,]", "nul", b"\xff", "[" * 100_000])
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(SerializationError):
        load_json(text)


def test_json_for_people_is_indented() -> None:
    assert to_json(User(name="Ada", orcid="x"), indent=2).startswith('{\n  "name": "Ada"')


def test_every_public_record_is_covered() -> None:
    assert {kind.__name__ for kind in RECORDS} >= {"Specification", "TransferStatus", "Message", "Plan", "Explanation"}
    assert all(typing.get_type_hints(kind) for kind in RECORDS)
