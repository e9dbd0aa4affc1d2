"""Who is to be credited for a dataset: carried in descriptors under ``credit``, and with them into the manifest.

What others have written is read as generously as it must be: DTS writes the empty text for what it does not know, and
times where the schema has days; KBase's own schema has lists where DTS has one text.

Source: the credit metadata schema of KBase (github.com/kbase/credit_engine: its classes, their fields and what they
require), which takes its words from the DataCite metadata schema 4.4 and from CRediT.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar, cast

import attrs

from dts_fsm.errors import SpecificationError
from dts_fsm.records.checks import is_orcid, is_unicode, shown

Kind = TypeVar("Kind")

RESOURCE_TYPE = "dataset"
"""The one type of resource that the schema knows."""

_DATE = re.compile(r"[0-9]{4}(-(0[1-9]|1[0-2]))?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?")


def _is_text(_: Any, attribute: attrs.Attribute[str], value: Any) -> None:
    if not isinstance(value, str) or not is_unicode(value):
        raise SpecificationError(f"{attribute.name}: must be text, not {shown(value)}")


def _text() -> Any:
    return attrs.field(default="", validator=_is_text)


def _needed() -> Any:
    def check(_: Any, attribute: attrs.Attribute[str], value: Any) -> None:
        _is_text(_, attribute, value)
        if not value:
            raise SpecificationError(f"{attribute.name}: must not be empty")

    return attrs.field(validator=check)


def _one(kind: type) -> dict[str, Any]:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not None and not isinstance(value, kind):
            raise SpecificationError(f"{attribute.name}: must be {kind.__name__}, not {shown(value)}")

    return {"validator": check, "metadata": {"kind": kind}}


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _many(kind: type) -> Any:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, tuple):
            raise SpecificationError(f"{attribute.name}: must be a list, not {shown(value)}")
        for number, item in enumerate(value):
            if not isinstance(item, kind):
                raise SpecificationError(f"{attribute.name}[{number}]: must be {kind.__name__}, not {shown(item)}")

    return attrs.field(default=(), converter=_tuple, validator=check, metadata={"kind": kind, "many": True})


def _texts() -> Any:
    def several(value: Any) -> Any:
        value = (value,) if isinstance(value, str) else _tuple(value)
        return tuple(text for text in value if text != "") if isinstance(value, tuple) else value

    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, tuple):
            raise SpecificationError(f"{attribute.name}: must be text, or a list of texts, not {shown(value)}")
        for number, item in enumerate(value):
            if not isinstance(item, str) or not is_unicode(item):
                raise SpecificationError(f"{attribute.name}[{number}]: must be text, not {shown(item)}")

    return attrs.field(default=(), converter=several, validator=check)


@attrs.frozen(kw_only=True)
class Organization:
    """An organization: its name as the Research Organization Registry has it, and its id, such as "ROR:01bj3aw27"."""

    organization_name: str = _needed()
    organization_id: str = _text()


def _roles(value: Any) -> Any:
    if isinstance(value, list | tuple) and all(isinstance(role, str) for role in value):
        return ",".join(value)
    return value


@attrs.frozen(kw_only=True)
class Contributor:
    """A person or an organization.

    Attributes:
        contributor_type: "Person" or "Organization".
        contributor_id: an ORCID or a ROR id, or "".
        name: of an organization, or of a person as a whole.
        given_name, family_name: of a person.
        affiliations: where they work.
        contributor_roles: in the words of DataCite or CRediT, separated by commas.
    """

    contributor_type: str = _needed()
    name: str = _text()
    given_name: str = _text()
    family_name: str = _text()
    contributor_id: str = _text()
    affiliations: tuple[Organization, ...] = _many(Organization)
    contributor_roles: str = attrs.field(default="", converter=_roles, validator=_is_text)

    def __attrs_post_init__(self) -> None:
        """Refuse who has no name, and an ORCID with a digit that is wrong."""
        if self.contributor_type not in ("Person", "Organization"):
            raise SpecificationError(
                f"contributor_type: must be 'Person' or 'Organization', not {shown(self.contributor_type)}"
            )
        if not (self.name or self.given_name or self.family_name):
            raise SpecificationError("name: must not be empty, unless given_name or family_name is there")
        orcid = self.contributor_id.rpartition("/")[2].rpartition(":")[2]
        if is_orcid(orcid) and not has_check_digit(orcid):
            raise SpecificationError(f"contributor_id: {orcid} is no ORCID: its last digit does not fit the others")


def has_check_digit(orcid: str) -> bool:
    """True where the last digit of an ORCID fits the others. Source: ISO 7064, MOD 11-2, as ORCID describes it."""
    total = 0
    for digit in orcid[:-1].replace("-", ""):
        total = (total + int(digit)) * 2
    return "0123456789X"[(12 - total % 11) % 11] == orcid[-1]


@attrs.frozen(kw_only=True)
class Title:
    """A title; ``title_type`` where it is not the primary one, ``language`` by BCP 47."""

    title: str = _needed()
    title_type: str = _text()
    language: str = _text()


@attrs.frozen(kw_only=True)
class Description:
    """A text on the dataset; ``language`` by BCP 47."""

    description_text: str = _needed()
    description_type: str = _text()
    language: str = _text()


@attrs.frozen(kw_only=True)
class EventDate:
    """When something befell the dataset; ``event`` in the words of DataCite's dateType.

    The date has the form YYYY, YYYY-MM or YYYY-MM-DD; a day may have a time after it, as DTS writes it.
    """

    date: str = _needed()
    event: str = _needed()

    def __attrs_post_init__(self) -> None:
        """Refuse a date of another form."""
        if not _DATE.fullmatch(self.date) and not _is_day(self.date):
            raise SpecificationError(f"date: must be YYYY, YYYY-MM or YYYY-MM-DD, not {shown(self.date)}")


def _is_day(text: str) -> bool:
    try:
        return _DAY.fullmatch(text) is not None and datetime.fromisoformat(text) is not None
    except ValueError:  # the 30th of February
        return False


@attrs.frozen(kw_only=True)
class FundingReference:
    """Who paid, and by which grant; one of ``grant_id``, ``grant_url`` and the funder's name is needed."""

    funder: Organization | None = attrs.field(default=None, **_one(Organization))
    grant_id: str = _text()
    grant_title: str = _text()
    grant_url: str = _text()

    def __attrs_post_init__(self) -> None:
        """Refuse one that refers to nothing."""
        if self.funder is None and not self.grant_id and not self.grant_url:
            raise SpecificationError("funder: is needed where there is neither grant_id nor grant_url")


@attrs.frozen(kw_only=True)
class License:
    """A licence: its SPDX identifier, or where its text is."""

    id: str = _text()
    url: str = _text()

    def __attrs_post_init__(self) -> None:
        """Refuse one that says nothing."""
        if not self.id and not self.url:
            raise SpecificationError("id: is needed where there is no url")


@attrs.frozen(kw_only=True)
class PermanentID:
    """Another identifier, such as "DOI:10.1000/182"; ``relationship_type`` in the words of DataCite or Crossref."""

    id: str = _needed()
    relationship_type: str = _needed()
    description: str = _text()


def _whole_number(_: Any, attribute: attrs.Attribute[int], value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise SpecificationError(f"{attribute.name}: must be a whole number, zero or more, not {shown(value)}")


@attrs.frozen(kw_only=True)
class CreditSource:
    """Who wrote the credit metadata itself, by which version of the schema, and when, in seconds since 1970."""

    credit_metadata_schema_version: str = _text()
    saved_by: str = _text()
    timestamp: int = attrs.field(default=0, validator=_whole_number)


def _dataset(_: Any, attribute: attrs.Attribute[str], value: Any) -> None:
    if value != RESOURCE_TYPE:
        raise SpecificationError(f"{attribute.name}: can be {RESOURCE_TYPE!r} alone, not {shown(value)}")


@attrs.frozen(kw_only=True)
class CreditMetadata:
    """The credit for a dataset.

    Attributes:
        identifier: of the dataset, such as "JDP:615a383dcc4ff44f36ca5ba2".
        resource_type: "dataset".
        version: of the dataset; a fixed one, not "latest".
        content_url, comment, credit_metadata_source: texts; DTS has one of each.
        meta: about this record itself.
        (the others): as the classes of their items say.

    Raises:
        SpecificationError: something is not what the schema says; the message begins with the name of the field.
    """

    identifier: str = _text()
    resource_type: str = attrs.field(default=RESOURCE_TYPE, validator=_dataset)
    titles: tuple[Title, ...] = _many(Title)
    contributors: tuple[Contributor, ...] = _many(Contributor)
    dates: tuple[EventDate, ...] = _many(EventDate)
    descriptions: tuple[Description, ...] = _many(Description)
    funding: tuple[FundingReference, ...] = _many(FundingReference)
    related_identifiers: tuple[PermanentID, ...] = _many(PermanentID)
    publisher: Organization | None = attrs.field(default=None, **_one(Organization))
    license: License | None = attrs.field(default=None, **_one(License))
    version: str = _text()
    url: str = _text()
    content_url: tuple[str, ...] = _texts()
    comment: tuple[str, ...] = _texts()
    credit_metadata_source: tuple[str, ...] = _texts()
    meta: CreditSource | None = attrs.field(default=None, **_one(CreditSource))

    def missing(self) -> tuple[str, ...]:
        """Give what KBase's schema wants besides, before it takes the record in; transfers do not need it."""
        wanted = {
            "identifier": self.identifier,
            "titles": self.titles,
            "contributors": self.contributors,
            "version or dates": self.version or self.dates,
            "meta": self.meta != CreditSource() and self.meta,
        }
        return tuple(name for name, value in wanted.items() if not value)


def credit_from(value: Any) -> CreditMetadata:
    """Give the record of a descriptor's property ``credit``; unknown fields do not matter.

    What is null or empty is absent. So is an object, in a list or not, that has an empty text where one is needed, for
    that is how DTS writes what it does not know.

    Raises:
        SpecificationError: it is none; the message begins with the way to what is wrong, "credit.titles[0].title".
    """
    return _record(CreditMetadata, value, "credit") or CreditMetadata()


def credit_to(record: CreditMetadata) -> dict[str, Any]:
    """Give the record as JSON values; what is empty is left out."""
    return attrs.asdict(record, filter=lambda _, value: value not in ("", (), None), value_serializer=_as_json)


def _as_json(record: Any, field: Any, value: Any) -> Any:  # noqa: ARG001 - the library's signature
    return list(value) if isinstance(value, tuple) else value


def _record(kind: type[Kind], value: Any, place: str) -> Kind | None:
    """The record of an object; None for one that says nothing."""
    if not isinstance(value, Mapping):
        raise SpecificationError(f"{place}: must be an object, not {shown(value)}")
    given, unknown = {}, False
    for field in attrs.fields(cast(Any, kind)):
        item = value.get(field.name)
        needed = field.default is attrs.NOTHING
        if item is None and needed:
            raise SpecificationError(f"{place}.{field.name}: is missing")
        if item is None or item == "":
            unknown = unknown or needed
        elif (found := _value(field, item, f"{place}.{field.name}")) is not None:
            given[field.name] = found
    if unknown or not given:
        return None
    try:
        return kind(**given)
    except SpecificationError as error:
        raise SpecificationError(f"{place}.{error}") from None


def _value(field: attrs.Attribute[Any], item: Any, place: str) -> Any:
    kind = field.metadata.get("kind")
    if kind is None:
        return item
    if "many" not in field.metadata:
        return _record(kind, item, place)
    if not isinstance(item, list | tuple):
        raise SpecificationError(f"{place}: must be a list, not {shown(item)}")
    records = (_record(kind, one, f"{place}[{number}]") for number, one in enumerate(item))
    return [record for record in records if record is not None]
