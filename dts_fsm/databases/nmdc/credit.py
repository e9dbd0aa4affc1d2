"""Whom a file of NMDC's is owed to, as its study says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from dts_fsm.databases.nmdc.api import Record, texts
from dts_fsm.errors import SpecificationError
from dts_fsm.records.checks import is_unicode
from dts_fsm.records.credit import (
    Contributor,
    CreditMetadata,
    Description,
    FundingReference,
    Organization,
    PermanentID,
    Title,
    credit_to,
)

Kind = TypeVar("Kind")

_NMDC = Organization(organization_name="National Microbiome Data Collaborative", organization_id="ROR:05cwx3318")
"""Source: Research Organization Registry, https://ror.org/05cwx3318"""

_DOI_KINDS = {
    "award_doi": "Awarded proposal DOI",
    "dataset_doi": "Dataset DOI",
    "publication_doi": "Publication DOI",
    "data_management_plan_doi": "Data management plan DOI",
}
"""Source: NMDC schema, DoiCategoryEnum."""


def credit_of(data_object: Record, study: Record | None) -> dict[str, Any]:
    """Give the credit metadata of a data object as JSON values, valid as ``CreditMetadata`` is.

    What NMDC does not say is left out, and so is each item that it says wrongly: a slip in the record of a study is no
    reason to refuse a file of it.

    Args:
        study: the record of the study that the data object belongs to; None where that is not known.

    Source: NMDC schema, classes DataObject, Study, CreditAssociation, PersonValue and Doi.
    """
    study = study or {}
    title = _text(study.get("title")) or _text(study.get("name"))
    titles = [title, *texts(study.get("alternative_titles"))]
    said = texts(data_object.get("description"))
    record = CreditMetadata(
        identifier=data_object["id"],
        url=_text(data_object.get("url")),
        publisher=_NMDC,
        titles=tuple(_valid(lambda text: Title(title=text), titles)),
        contributors=tuple(_valid(_contributor, _records(study.get("has_credit_associations")))),
        descriptions=tuple(_valid(lambda text: Description(description_text=text, language="en"), said)),
        funding=tuple(_valid(_funding, texts(study.get("funding_sources")))),
        related_identifiers=tuple(_valid(_related, _records(study.get("associated_dois")))),
        license=None,
        meta=None,
    )
    return credit_to(record)


def _valid(make: Callable[[Any], Kind], values: list[Any]) -> Iterator[Kind]:
    for value in values:
        try:
            yield make(value)
        except SpecificationError:
            continue


def _contributor(association: Mapping[str, Any]) -> Contributor:
    person = association.get("applies_to_person")
    person = person if isinstance(person, dict) else {}
    name = _text(person.get("name")) or _text(person.get("has_raw_value"))
    given, _, family = name.rpartition(" ")
    said: dict[str, Any] = {
        "contributor_type": "Person",
        "name": name,
        "given_name": given,
        "family_name": family if given else "",
        "contributor_roles": texts(association.get("applied_roles")),
    }
    try:
        return Contributor(**said, contributor_id=_curie("ORCID", _text(person.get("orcid"))))
    except SpecificationError:
        return Contributor(**said)  # the name is right where the ORCID is not


def _funding(source: str) -> FundingReference:
    return FundingReference(funder=Organization(organization_name=source))


def _related(doi: Mapping[str, Any]) -> PermanentID:
    return PermanentID(
        id=_curie("DOI", _text(doi.get("doi_value"))),
        description=_DOI_KINDS.get(_text(doi.get("doi_category")), ""),
        relationship_type="IsCitedBy",
    )


def _curie(prefix: str, text: str) -> str:
    """The identifier as "PREFIX:…"; NMDC writes "doi:10.…", "orcid:0000-…", or the identifier alone."""
    for written in (f"{prefix}:", f"https://{prefix}.org/"):
        if text.lower().startswith(written.lower()):
            text = text[len(written) :]
    return f"{prefix}:{text}" if text else ""


def _records(value: Any) -> list[Any]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) and is_unicode(value) else ""
