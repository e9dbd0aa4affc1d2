"""What the portal says of a file becomes a descriptor, with the credit for whoever proposed the research.

Source: the fields of files.jgi.doe.gov/apidoc, as KBase's Data Transfer Service reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from dts_fsm.databases.media import format_of
from dts_fsm.errors import InvalidDescriptorError, SpecificationError
from dts_fsm.records import Descriptor
from dts_fsm.records.checks import is_unicode, shown
from dts_fsm.records.credit import (
    Contributor,
    CreditMetadata,
    EventDate,
    Organization,
    PermanentID,
    Title,
    credit_to,
)

PREFIX = "JDP:"
"""How our ids of the portal's files begin."""

ARCHIVE = "/global/dna/dm_archive/"
"""The folder of the portal's files, which is the root of its Globus collection."""

EXTRA = ("img_taxon_oid", "project_id")
"""What can be asked for besides."""

_JGI = Organization(organization_name="Joint Genome Institute", organization_id="ROR:04xm1d337")

_FORMATS = {
    "bam": "bam",
    "bam.bai": "bai",
    "blasttab": "blast",
    "bz": "bzip",
    "bz2": "bzip2",
    "csv": "csv",
    "faa": "fasta",
    "fasta": "fasta",
    "fasta.gz": "fasta",
    "fastq": "fastq",
    "fastq.gz": "fastq",
    "fna": "fasta",
    "gff": "gff",
    "gff3": "gff3",
    "gz": "gz",
    "html": "html",
    "info": "texinfo",
    "out": "text",
    "pdf": "pdf",
    "tar": "tar",
    "tar.bz": "tar",
    "tar.bz2": "tar",
    "tar.gz": "tar",
    "tsv": "tsv",
    "txt": "text",
}
"""Formats by the ends of names; the longest counts."""

_LARGEST = 2**53
"""JSON numbers beyond this are not the same everywhere. Source: RFC 8259, section 6."""

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Item = TypeVar("Item")


def files_of(value: Any) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Give the files of an answer of the portal, each with its organism.

    Raises:
        ValueError: it is no such answer.
    """
    organisms = value.get("organisms") if isinstance(value, Mapping) else None
    if not isinstance(organisms, list):
        raise ValueError("it has no list of organisms")  # noqa: TRY004 - as of any answer that is none
    for organism in organisms:
        files = organism.get("files") if isinstance(organism, Mapping) else None
        if not isinstance(files, list) or not all(isinstance(file, Mapping) for file in files):
            raise ValueError("an organism has no list of files")
        for file in files:
            yield organism, file


def descriptor_of(organism: Mapping[str, Any], file: Mapping[str, Any], extra: tuple[str, ...] = ()) -> Descriptor:
    """Give the descriptor of a file.

    Args:
        organism: to which the portal counts it.
        extra: which of ``EXTRA`` it has besides.

    Raises:
        InvalidDescriptorError: what the portal says cannot be used.
    """
    given = {key: _text(file.get(key)) for key in ("_id", "file_name", "file_path")}
    for key, text in given.items():
        if not text:
            named = PREFIX + given["_id"] if given["_id"] else given["file_name"] or "without _id"
            raise InvalidDescriptorError(named, f"its {key} must be text that is not empty, not {shown(file.get(key))}")
    id_, name = PREFIX + given["_id"], given["file_name"]
    folder = f"{given['file_path'].rstrip('/')}/".removeprefix(ARCHIVE)
    metadata = _object(file.get("metadata"))
    proposal = _object(metadata.get("proposal"))
    properties: dict[str, Any] = {
        "format": _format(name),
        "mediatype": format_of(name).get("mediatype", "application/octet-stream"),
        "credit": credit_to(_credit(id_, organism, file, proposal)),
    }
    if sources := _sources(proposal):
        properties["sources"] = sources
    if extra:
        told = {"img_taxon_oid": _object(metadata.get("img")).get("taxon_oid"), "project_id": organism.get("id")}
        properties["extra"] = {key: _number_or_text(told[key]) for key in extra}
    return Descriptor(
        id=id_,
        name=name,
        path=folder + name,
        bytes=file.get("file_size"),
        hash=_text(file.get("md5sum")),
        properties=properties,
    )


def _credit(
    id_: str, organism: Mapping[str, Any], file: Mapping[str, Any], proposal: Mapping[str, Any]
) -> CreditMetadata:
    """What there is of the credit; a piece that the schema would not take is left out, and the file can be moved."""
    dois = (("doi", "Proposal DOI"), ("award_doi", "Awarded proposal DOI"))
    events = (("file_date", "Created"), ("added_date", "Accepted"), ("modified_date", "Updated"))
    return CreditMetadata(
        identifier=id_,
        titles=_kept([_piece(Title, title=_text(organism.get("title")))]),
        contributors=_kept([_investigator(_object(proposal.get("pi")))]),
        dates=_kept([_piece(EventDate, date=_day(file.get(key)), event=event) for key, event in events]),
        related_identifiers=_kept(
            [
                _piece(PermanentID, id=_text(proposal.get(key)), description=words, relationship_type="IsCitedBy")
                for key, words in dois
            ]
        ),
        publisher=_JGI,
        version=_text(file.get("file_date")),
    )


def _investigator(person: Mapping[str, Any]) -> Contributor | None:
    given = " ".join(filter(None, (_text(person.get("first_name")), _text(person.get("middle_name")))))
    family = _text(person.get("last_name"))
    affiliation = _piece(Organization, organization_name=_text(person.get("institution")))
    return _piece(
        Contributor,
        contributor_type="Person",
        name=", ".join(filter(None, (family, given))),
        given_name=given,
        family_name=family,
        affiliations=[affiliation] if affiliation else [],
        contributor_roles="PI",
    )


def _sources(proposal: Mapping[str, Any]) -> list[dict[str, str]]:
    """The principal investigator as Frictionless names sources."""
    person = _object(proposal.get("pi"))
    family, given = _text(person.get("last_name")), _text(person.get("first_name"))
    if not family:
        return []
    title = " ".join(filter(None, (", ".join(filter(None, (family, given))), _text(person.get("middle_name")))))
    place = ", ".join(filter(None, (_text(person.get("institution")), _text(person.get("country")))))
    doi = _text(proposal.get("award_doi"))
    source = {
        "title": f"{title} ({place})" if place else title,
        "path": f"https://doi.org/{doi}" if doi else "",
        "email": _text(person.get("email_address")),
    }
    return [{key: value for key, value in source.items() if value}]


def _piece(kind: type[Item], **fields: Any) -> Item | None:
    try:
        return kind(**fields)
    except SpecificationError:
        return None


def _kept(pieces: Iterable[Item | None]) -> tuple[Item, ...]:
    return tuple(piece for piece in pieces if piece is not None)


def _format(name: str) -> str:
    ends = [end for end in _FORMATS if name.lower().endswith(f".{end}")]
    return _FORMATS[max(ends, key=len)] if ends else "unknown"


def _day(value: object) -> str:
    match = _DAY.match(_text(value))
    return match[0] if match else ""


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) and is_unicode(value) else ""


def _number_or_text(value: object) -> int | str | None:
    """An id that the portal gives now as a number, now as text."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST:
        return value
    return _text(value) or None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
