"""What the headers of an answer say of a file: its size, its version, and digests of its content."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from dts_fsm.endpoints.streaming import Entry
from dts_fsm.errors import PermanentError
from dts_fsm.records.checksum import DIGEST_HEX_DIGITS

_ALGORITHMS = {"sha-512": "sha512", "sha-256": "sha256", "sha": "sha1", "md5": "md5"}
"""Names of the registry "Hash Algorithms for HTTP Digest Fields" (RFC 9530) and of RFC 3230, strongest first."""

_RANGE = re.compile(r"bytes (?:(\d{1,19})-(\d{1,19})|\*)/(\d{1,19}|\*)")
"""Source: RFC 9110, section 14.4."""


def entry_of(headers: Mapping[str, str], num_bytes: int) -> Entry:
    """Give what is there, by the headers of an answer that is about all of it."""
    return Entry(bytes=num_bytes, version=version_of(headers), checksums=digests(headers))


def strong_etag(headers: Mapping[str, str]) -> str | None:
    """Give the entity tag, if equal ones mean equal bytes. Source: RFC 9110, section 8.8.3."""
    etag = headers.get("ETag", "").strip()
    return etag if len(etag) > 2 and etag.startswith('"') and etag.endswith('"') else None


def version_of(headers: Mapping[str, str]) -> str:
    """Give the strong entity tag, else the time of modification, else "": a weak tag is of a meaning, not of bytes."""
    return strong_etag(headers) or headers.get("Last-Modified", "").strip()


def length(headers: Mapping[str, str]) -> int | None:
    """Give the size that an answer says its body has, or None.

    Raises:
        PermanentError: it is none.
    """
    text = headers.get("Content-Length")
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,19}", text.strip()):
        raise PermanentError(f"the answer's Content-Length is {text[:40]!r}")
    return int(text)


def content_range(headers: Mapping[str, str]) -> tuple[int, int, int | None] | None:
    """Give where an answer's body begins, where it ends (exclusive), and how large the whole is; None where unsaid.

    Of a range that cannot be there, both ends are 0.
    """
    match = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if match is None:
        return None
    first, last, size = match.groups()
    return int(first or 0), int(last) + 1 if last else 0, None if size == "*" else int(size)


def digests(headers: Mapping[str, str]) -> dict[str, str]:
    """Give the digests of the whole content that the server tells, in hexadecimal by algorithm, the strongest first.

    ``Repr-Digest`` and ``Digest`` are of the whole even where a part was sent, ``Content-Digest`` of what was sent.
    Whatever is not well formed is left out.
    """
    fields = ["Repr-Digest", "Digest"]
    if "Content-Range" not in headers:
        fields.append("Content-Digest")
    told: dict[str, str] = {}
    for member in ",".join(headers.get(field, "") for field in fields).split(","):
        name, _, value = member.strip().partition("=")
        algorithm = _ALGORITHMS.get(name.lower())
        if algorithm is not None and (digest := _hex(value.partition(";")[0].strip().strip(":"), algorithm)):
            told.setdefault(algorithm, digest)
    return {algorithm: told[algorithm] for algorithm in _ALGORITHMS.values() if algorithm in told}


def _hex(text: str, algorithm: str) -> str | None:
    try:
        digest = base64.b64decode(text, validate=True).hex()
    except (binascii.Error, ValueError):
        return None
    return digest if len(digest) == DIGEST_HEX_DIGITS.get(algorithm) else None
