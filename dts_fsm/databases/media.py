"""What a file's name tells of it: its format, its media type, how it is compressed."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping
from typing import Any

_COMPRESSED = {
    "gz": ("gz", "application/gzip"),
    "bgz": ("gz", "application/gzip"),
    "bz2": ("bz2", "application/x-bzip2"),
    "xz": ("xz", "application/x-xz"),
    "zst": ("zst", "application/zstd"),
}
_FORMAT = re.compile(r"[a-z0-9][a-z0-9_+-]{0,15}")
# The formats of sequences and annotations that the table of media types does not know.
_TEXT_FORMATS = frozenset(
    {
        *("fa", "fasta", "faa", "ffn", "fna", "frn", "fastq", "fq", "gb", "gbk", "gbff", "embl"),
        *("gff", "gff3", "gtf", "bed", "sam", "vcf", "md", "yaml"),
    }
)
# the table of Python itself: that of the machine would make a catalog depend on where it was written
_MEDIA_TYPES: Mapping[str, str] = mimetypes.MimeTypes().types_map[True]


def format_of(path: str) -> dict[str, Any]:
    """Give what a file's name tells of its format, mediatype, compression and encoding, as Frictionless calls them."""
    stem, _, suffix = path.rpartition("/")[2].lower().rpartition(".")
    # a name such as ".profile" or "Dr. Who's notes" has no suffix
    if not stem or not _FORMAT.fullmatch(suffix):
        return {}
    if suffix in _COMPRESSED:
        compression, media_type = _COMPRESSED[suffix]
        inner = stem.rpartition(".")[2] if stem.rpartition(".")[0] else ""
        kind = inner if _FORMAT.fullmatch(inner) else suffix
        return {"format": kind, "mediatype": media_type, "compression": compression}
    known = "text/plain" if suffix in _TEXT_FORMATS else _MEDIA_TYPES.get(f".{suffix}")
    answer = {"format": suffix}
    if known:
        answer["mediatype"] = known
        if known.startswith("text/"):
            answer["encoding"] = "utf-8"
    return answer
