"""Descriptors of NMDC's data objects, and of the biosamples that they come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from dts_fsm.databases.nmdc.api import Record, texts
from dts_fsm.databases.nmdc.credit import credit_of
from dts_fsm.databases.nmdc.hosts import Hosts
from dts_fsm.databases.nmdc.relations import Related
from dts_fsm.errors import InvalidDescriptorError
from dts_fsm.records import Descriptor

_PACKED = frozenset({"gz", "bz2", "xz", "zst"})
_LONGEST_FORMAT = 10


def file_descriptor(record: Record, hosts: Hosts) -> Descriptor:
    """Give the descriptor of a data object, without what ``with_related`` adds.

    Raises:
        InvalidDescriptorError: it has no URL, one that no endpoint is known for, no size, or a wrong checksum.
    """
    file_id, url = record["id"], record.get("url")
    if not isinstance(url, str) or not url:
        raise InvalidDescriptorError(file_id, "it has no URL: NMDC does not offer its file")
    endpoint, path = hosts.located(file_id, url)
    said = {
        "description": " ".join(texts(record.get("description"))),
        "format": _format(path),
        "data_object_type": " ".join(texts(record.get("data_object_type"))),
        "sources": [{"title": "National Microbiome Data Collaborative", "path": url}],
    }
    return Descriptor(
        id=file_id,
        name=record.get("name"),
        path=path,
        bytes=record.get("file_size_bytes"),
        hash=record.get("md5_checksum"),
        endpoint=endpoint,
        properties={key: value for key, value in said.items() if value},
    )


def with_related(descriptor: Descriptor, record: Record, related: Related) -> Descriptor:
    """Give the descriptor with the ids of studies and biosamples, and with whom it is owed to."""
    more: dict[str, Any] = {
        "study_ids": [study["id"] for study in related.studies],
        "biosample_ids": [biosample["id"] for biosample in related.biosamples],
        "credit": credit_of(record, related.studies[0] if related.studies else None),
    }
    more = {key: value for key, value in more.items() if value}
    return attrs.evolve(descriptor, properties={**descriptor.properties, **more})


def biosample_descriptors(related: Iterable[Related]) -> Sequence[Descriptor]:
    """Give an inline descriptor for each biosample, in order of id: its record goes into the manifest."""
    biosamples: Mapping[str, Record] = {biosample["id"]: biosample for each in related for biosample in each.biosamples}
    return tuple(
        Descriptor(
            id=biosample_id,
            name=f"biosample-{biosample_id}",
            properties={
                "title": f"NMDC's metadata of the biosample {biosample_id}",
                "profile": "data-resource",
                "format": "json",
                "mediatype": "application/json",
                "data": biosamples[biosample_id],
            },
        )
        for biosample_id in sorted(biosamples)
    )


def _format(path: str) -> str:
    """The format as the file's name tells it, without compression: "fastq" for "reads.fastq.gz"."""
    pieces = path.rpartition("/")[2].lower().split(".")[1:]
    while pieces and pieces[-1] in _PACKED:
        pieces.pop()
    told = pieces[-1] if pieces else ""
    return told if told.isalnum() and len(told) <= _LONGEST_FORMAT else ""
