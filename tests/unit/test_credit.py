"""The credit for datasets: what is well formed, what is said of the rest, and that it comes into the manifest."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_fsm.errors import InvalidDescriptorError, SpecificationError
from dts_fsm.records import Descriptor
from dts_fsm.records.credit import (
    Contributor,
    CreditMetadata,
    CreditSource,
    Description,
    EventDate,
    FundingReference,
    License,
    Organization,
    PermanentID,
    Title,
    credit_from,
    credit_to,
    has_check_digit,
)
from dts_fsm.serialization import descriptor_from_resource, dump_json, from_json, load_json, to_json
from dts_fsm.testing import Rig

WHOLE: dict[str, Any] = {
    "identifier": "JDP:615a383dcc4ff44f36ca5ba2",
    "resource_type": "dataset",
    "titles": [{"title": "Sediment", "language": "en"}],
    "contributors": [
        {
            "contributor_type": "Person",
            "given_name": "Ada",
            "family_name": "Lovelace",
            "contributor_id": "ORCID:0000-0002-1825-0097",
            "affiliations": [{"organization_name": "An institute", "organization_id": "ROR:04xm1d337"}],
            "contributor_roles": "PI",
        }
    ],
    "dates": [{"date": "2021-10-04", "event": "Created"}],
    "descriptions": [{"description_text": "Reads"}],
    "funding": [{"grant_id": "DE-1", "funder": {"organization_name": "A funder"}}],
    "related_identifiers": [{"id": "DOI:10.1000/182", "relationship_type": "IsCitedBy"}],
    "publisher": {"organization_name": "Joint Genome Institute"},
    "license": {"id": "CC-BY-4.0"},
    "version": "1",
    "comment": ["Two runs", "One library"],
    "meta": {"credit_metadata_schema_version": "1.0", "saved_by": "ada", "timestamp": 1},
}

_TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
_MAYBE = st.just("") | _TEXT
_ORGANIZATIONS = st.builds(Organization, organization_name=_TEXT, organization_id=_MAYBE)
_CREDIT = st.builds(
    CreditMetadata,
    identifier=_MAYBE,
    titles=st.lists(st.builds(Title, title=_TEXT, title_type=_MAYBE), max_size=2),
    contributors=st.lists(
        st.builds(
            Contributor,
            contributor_type=st.sampled_from(["Person", "Organization"]),
            name=_TEXT,
            affiliations=st.lists(_ORGANIZATIONS, max_size=2),
        ),
        max_size=2,
    ),
    dates=st.lists(
        st.builds(EventDate, date=st.sampled_from(["2021", "2021-10", "2021-10-04"]), event=_TEXT), max_size=2
    ),
    descriptions=st.lists(st.builds(Description, description_text=_TEXT), max_size=2),
    funding=st.lists(st.builds(FundingReference, grant_id=_TEXT), max_size=2),
    related_identifiers=st.lists(st.builds(PermanentID, id=_TEXT, relationship_type=_TEXT), max_size=2),
    publisher=st.none() | _ORGANIZATIONS,
    license=st.none() | st.builds(License, id=_TEXT),
    version=_MAYBE,
    comment=st.lists(_TEXT, max_size=2),
    meta=st.none() | st.builds(CreditSource, saved_by=_TEXT, timestamp=st.integers(0, 2**40)),
)


def test_what_is_whole_is_read_and_written_back() -> None:
    record = credit_from(WHOLE)
    assert credit_to(record) == WHOLE
    assert record.missing() == ()
    assert record.contributors[0].affiliations[0].organization_name == "An institute"


@given(_CREDIT)
def test_every_record_is_read_back_as_it_was(record: CreditMetadata) -> None:
    assert credit_from(load_json(dump_json(credit_to(record)))) == record


@given(_CREDIT)
def test_records_go_through_the_converter_of_all_records(record: CreditMetadata) -> None:
    assert from_json(to_json(record), CreditMetadata) == record


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


def _paths(value: Any) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(key, *rest) for key, inner in items for rest in [(), *_paths(inner)]]


@given(st.sampled_from(_paths(WHOLE)), _JSON)
def test_whatever_stands_anywhere_is_read_or_refused_with_the_way_to_it(path: tuple[Any, ...], value: Any) -> None:
    credit = copy.deepcopy(WHOLE)
    place = credit
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    refusal = None
    try:
        record = credit_from(credit)
    except SpecificationError as error:
        refusal = str(error)
    if refusal is None:
        assert credit_from(credit_to(record)) == record
    else:
        assert refusal.startswith(f"credit.{path[0]}")


def test_what_dts_writes_is_read_and_goes_on_as_it_is() -> None:
    person = {"contributor_type": "Person", "contributor_id": "", "name": "Lovelace, Ada", "given_name": "Ada"}
    unknown = {"organization_id": "", "organization_name": ""}
    given = {
        "comment": "",
        "content_url": "",
        "contributors": [person | {"family_name": "Lovelace", "affiliations": [unknown], "contributor_roles": "PI"}],
        "credit_metadata_source": "",
        "dates": [
            {"date": "2021-07-04T01:37:34", "event": "Created"},
            {"date": "2024-11-15T00:45:20.175000", "event": "Updated"},
            {"date": "", "event": "Accepted"},
        ],
        "descriptions": None,
        "funding": None,
        "identifier": "JDP:60e1d4d4c399d4ad32fe3bb6",
        "license": {"id": "", "url": ""},
        "meta": {"credit_metadata_schema_version": "", "saved_by": "", "timestamp": 0},
        "publisher": unknown,
        "related_identifiers": [{"id": "", "description": "Proposal DOI", "relationship_type": "IsCitedBy"}],
        "resource_type": "dataset",
        "titles": [{"language": "", "title": "contigs.fna", "title_type": ""}],
        "url": "",
        "version": "2021-07-04T01:37:34",
    }
    record = credit_from(given)
    assert [date.event for date in record.dates] == ["Created", "Updated"]
    assert (record.publisher, record.license, record.related_identifiers) == (None, None, ())
    assert record.contributors[0].affiliations == ()
    assert record.missing() == ("meta",)
    resource = {"id": "a", "path": "a", "bytes": 1, "credit": given}
    assert descriptor_from_resource(resource).properties["credit"] == given


def test_texts_may_be_one_or_several() -> None:
    assert credit_from({"comment": "a", "content_url": ["b", "", "c"]}) == CreditMetadata(
        comment=["a"], content_url=["b", "c"]
    )


@pytest.mark.parametrize(
    "value", [{"license": {}}, {"license": {"id": ""}}, {"funding": [{}]}, {"titles": [{"title": ""}]}]
)
def test_what_says_nothing_is_absent(value: dict[str, Any]) -> None:
    assert credit_from(value) == CreditMetadata()


def test_a_descriptor_may_say_that_it_has_no_credit() -> None:
    assert Descriptor(id="a", path="a", bytes=1, properties={"credit": None}).properties == {"credit": None}


def test_what_is_null_is_absent_and_unknown_fields_do_not_matter() -> None:
    record = credit_from({"identifier": "a", "titles": None, "license": None, "colour": "blue"})
    assert record == CreditMetadata(identifier="a")
    assert record.missing() == ("titles", "contributors", "version or dates", "meta")
    assert credit_from({}).missing() == ("identifier", *record.missing())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"identifier": 7}, "credit.identifier: must be text, not 7"),
        ({"resource_type": "software"}, "credit.resource_type: can be 'dataset' alone, not 'software'"),
        ({"titles": "Sediment"}, "credit.titles: must be a list, not 'Sediment'"),
        ({"titles": ["Sediment"]}, r"credit.titles\[0\]: must be an object, not 'Sediment'"),
        ({"titles": [{}]}, r"credit.titles\[0\].title: is missing"),
        ({"titles": [{"title": 7}]}, r"credit.titles\[0\].title: must be text, not 7"),
        ({"version": 3}, "credit.version: must be text, not 3"),
        (
            {"contributors": [{"contributor_type": "Robot", "name": "R2"}]},
            r"credit.contributors\[0\].contributor_type: must be 'Person' or 'Organization', not 'Robot'",
        ),
        ({"contributors": [{"contributor_type": "Person"}]}, r"credit.contributors\[0\].name: must not be empty"),
        (
            {"contributors": [{"contributor_type": "Person", "name": "A", "contributor_id": "0000-0002-1825-0098"}]},
            r"credit.contributors\[0\].contributor_id: 0000-0002-1825-0098 is no ORCID",
        ),
        (
            {"contributors": [{"contributor_type": "Person", "name": "A", "affiliations": [{}]}]},
            r"credit.contributors\[0\].affiliations\[0\].organization_name: is missing",
        ),
        ({"dates": [{"date": "4.10.2021", "event": "Created"}]}, r"credit.dates\[0\].date: must be YYYY"),
        ({"dates": [{"date": "2021-13", "event": "Created"}]}, r"credit.dates\[0\].date: must be YYYY"),
        ({"funding": [{"grant_title": "t"}]}, r"credit.funding\[0\].funder: is needed"),
        ({"dates": [{"date": "2021-02-30", "event": "Created"}]}, r"credit.dates\[0\].date: must be YYYY"),
        ({"dates": [{"date": "2021-02-28T25:00", "event": "Created"}]}, r"credit.dates\[0\].date: must be YYYY"),
        ({"dates": [{"date": "2021-10-04\n", "event": "Created"}]}, r"credit.dates\[0\].date: must be YYYY"),
        ({"comment": 7}, "credit.comment: must be text, or a list of texts, not 7"),
        ({"comment": ["a", 7]}, r"credit.comment\[1\]: must be text, not 7"),
        ({"content_url": {"url": "a"}}, "credit.content_url: must be text, or a list of texts, not {'url': 'a'}"),
        ({"version": "\ud800"}, r"credit.version: must be text, not '\\ud800'"),
        ({"license": "MIT"}, "credit.license: must be an object, not 'MIT'"),
        ({"related_identifiers": [{"id": "a"}]}, r"credit.related_identifiers\[0\].relationship_type: is missing"),
        ({"meta": {"timestamp": -1}}, "credit.meta.timestamp: must be a whole number"),
    ],
)
def test_what_is_wrong_is_said_with_the_way_to_it(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecificationError, match=f"^{message}"):
        credit_from({**WHOLE, **change})


@pytest.mark.parametrize("value", [None, [], "credit", 7])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(SpecificationError, match="^credit: must be an object"):
        credit_from(value)


def test_records_that_are_made_are_checked_too() -> None:
    with pytest.raises(SpecificationError, match=r"titles\[0\]: must be Title, not 'Sediment'"):
        CreditMetadata(identifier="a", titles=["Sediment"])
    with pytest.raises(SpecificationError, match="titles: must be a list, not 7"):
        CreditMetadata(identifier="a", titles=7)
    with pytest.raises(SpecificationError, match="title: must not be empty"):
        Title(title="")
    with pytest.raises(SpecificationError, match="id: is needed where there is no url"):
        License()
    with pytest.raises(SpecificationError, match="publisher: must be Organization"):
        CreditMetadata(identifier="a", publisher="JGI")


def test_roles_may_come_as_a_list() -> None:
    contributor = Contributor(contributor_type="Person", name="A", contributor_roles=["PI", "Editor"])
    assert contributor.contributor_roles == "PI,Editor"


@pytest.mark.parametrize(
    ("orcid", "fits"),
    [
        ("0000-0002-1825-0097", True),
        ("0000-0001-5109-3700", True),
        ("0000-0002-1694-233X", True),
        ("0000-0002-1694-2330", False),
        ("0000-0001-5109-3701", False),
    ],
)
def test_the_last_digit_of_an_orcid_fits_the_others(orcid: str, fits: bool) -> None:
    assert has_check_digit(orcid) is fits


def test_a_descriptor_with_wrong_credit_is_refused_by_its_id() -> None:
    with pytest.raises(InvalidDescriptorError, match=r"'a'.*credit.titles\[0\].title: is missing"):
        Descriptor(id="a", path="a", bytes=1, properties={"credit": {"identifier": "a", "titles": [{}]}})


def test_credit_comes_into_the_manifest_as_it_was_given(rig: Rig) -> None:
    credit = {**WHOLE, "colour": "blue"}
    described = rig.source.descriptors_by_id["a"]
    rig.source.descriptors_by_id["a"] = Descriptor(
        id="a", path=described.path, bytes=described.bytes, hash=described.hash, properties={"credit": credit}
    )
    transfer = rig.create("a")
    rig.run(transfer)
    manifests = [file.content for path, file in rig.destination_endpoint.files.items() if path.endswith(".json")]
    (resource,) = load_json(manifests[0] or b"")["resources"]
    assert resource["credit"] == credit
