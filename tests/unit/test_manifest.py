"""The manifest is a valid Frictionless data package, with all that its consumers look for."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_fsm.manifest import manifest_text
from dts_fsm.records import (
    Descriptor,
    Destination,
    FileRecord,
    FileState,
    Specification,
    Transfer,
    TransferStatusCode,
    User,
)
from tests.frictionless import PATH, faults

CREATED = datetime(2026, 11, 22, 12, 30, 15, 250_000, tzinfo=UTC)
MD5 = "0123456789abcdef" * 2


def transfer(user: User | None = None, **changes: Any) -> Transfer:
    fields: dict[str, Any] = {
        "source": "genomes",
        "destination": "archive",
        "file_ids": ["a"],
        "user": user or User(name="Ada Lovelace", orcid="0000-0002-1825-0097"),
        "description": "# Two genomes",
        "instructions": [],
    }
    return Transfer(
        id=UUID(int=7),
        state=TransferStatusCode.FINALIZING,
        specification=Specification(**(fields | changes)),
        destination=Destination(endpoint="archive", path="ada", username="ada"),
        sources=(),
        num_unstaged=0,
        created_at=CREATED,
    )


def moved(file_id: str, *, path: str | None = None, observed: str | None = None, **properties: Any) -> FileRecord:
    descriptor = Descriptor(
        id=file_id, name=file_id, path=path or "x", bytes=3, hash=f"md5:{MD5}", properties=properties
    )
    return FileRecord(descriptor=descriptor, endpoint="disk", state=FileState.TRANSFERRED, observed_hash=observed)


def manifest(*files: FileRecord, of: Transfer | None = None, created: datetime = CREATED) -> dict[str, Any]:
    return json.loads(manifest_text(of or transfer(), files, created))  # type: ignore[no-any-return]


def test_it_says_what_was_asked_for_by_whom() -> None:
    user = User(name="Ada", orcid="0000-0002-1825-0097", email="ada@example.org", organization="Analytical Engines")
    document = manifest(moved("a"), of=transfer(user))
    resources = document.pop("resources")
    assert document == {
        "name": "manifest",
        "profile": "data-package",
        "created": "2026-11-22T12:30:15.250000Z",
        "keywords": ["dts", "manifest"],
        "contributors": [
            {
                "id": str(UUID(int=7)),
                "title": "Ada",
                "role": "author",
                "organization": "Analytical Engines",
                "email": "ada@example.org",
            }
        ],
        "description": "# Two genomes",
        "instructions": [],
        "username": "ada",
    }
    assert [resource["id"] for resource in resources] == ["a"]


def test_what_a_user_did_not_give_is_left_out() -> None:
    assert manifest(moved("a"))["contributors"] == [{"id": str(UUID(int=7)), "title": "Ada Lovelace", "role": "author"}]


def test_the_time_is_in_utc() -> None:
    local = CREATED.astimezone(timezone(timedelta(hours=-7)))
    assert manifest(moved("a"), created=local)["created"] == "2026-11-22T12:30:15.250000Z"


def test_resources_are_sorted_by_id_and_complete() -> None:
    document = manifest(moved("b"), moved("a", format="fasta", credit={"comment": "ü"}), moved("B"))
    assert [resource["id"] for resource in document["resources"]] == ["B", "a", "b"]
    assert document["resources"][1] == {
        "id": "a",
        "name": "a",
        "path": "x",
        "bytes": 3,
        "hash": f"md5:{MD5}",
        "format": "fasta",
        "credit": {"comment": "ü"},
        "profile": "data-resource",
        "encoding": "utf-8",
    }


def test_profile_and_encoding_of_a_descriptor_are_kept() -> None:
    (resource,) = manifest(moved("a", profile="tabular-data-resource", encoding="latin-1"))["resources"]
    assert (resource["profile"], resource["encoding"]) == ("tabular-data-resource", "latin-1")


def test_the_checksum_that_was_observed_on_arrival_is_the_one_that_counts() -> None:
    observed = "sha256:" + "1" * 64
    assert [r["hash"] for r in manifest(moved("a", observed=observed), moved("b"))["resources"]] == [
        observed,
        f"md5:{MD5}",
    ]


def test_inline_data_stands_in_it() -> None:
    inline = FileRecord(
        descriptor=Descriptor(id="meta", properties={"data": {"depth": 3}}), endpoint="", state=FileState.INLINE
    )
    (resource,) = manifest(inline)["resources"]
    assert resource == {
        "id": "meta",
        "name": "meta",
        "data": {"depth": 3},
        "profile": "data-resource",
        "encoding": "utf-8",
    }


def test_without_resources_it_is_still_json() -> None:
    assert manifest()["resources"] == []


def test_the_same_transfer_gives_the_same_bytes() -> None:
    files = [moved("b"), moved("a")]
    assert manifest_text(transfer(), files, CREATED) == manifest_text(transfer(), files[::-1], CREATED)


def test_every_resource_has_a_line_of_its_own() -> None:
    lines = manifest_text(transfer(), [moved("a"), moved("b")], CREATED).splitlines()
    assert [line.startswith('  {"id": ') for line in lines].count(True) == 2


@pytest.mark.parametrize("broken", [{}, {"resources": []}, {"resources": [{"name": "A b", "path": "x"}]}])
def test_the_check_itself_can_fail(broken: dict[str, Any]) -> None:
    assert faults(broken) != []


paths = st.from_regex(r"[a-zA-Z0-9_][ -~é]{0,30}", fullmatch=True).filter(
    lambda path: re.match(PATH, path) is not None and not path.endswith("/") and ".." not in path
)


@given(
    files=st.dictionaries(st.text(min_size=1).filter(str.isprintable), paths, min_size=1, max_size=5),
    name=st.text(),
    description=st.text(),
    instructions=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
)
def test_every_manifest_is_a_valid_data_package(
    files: dict[str, str], name: str, description: str, instructions: Any
) -> None:
    of = transfer(User(name=name, orcid="0000-0002-1825-0097"), description=description, instructions=instructions)
    document = manifest(*(moved(file_id, path=path) for file_id, path in files.items()), of=of)
    assert faults(document) == []
    assert document["instructions"] == instructions
