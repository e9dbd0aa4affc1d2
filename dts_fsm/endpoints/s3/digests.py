"""Checksums as S3 services have them: base64 in headers, and ETags that are sometimes one."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from awscrt import checksums as crc

from dts_fsm.records.checksum import DIGEST_HEX_DIGITS

_MD5 = re.compile(r"[0-9a-f]{32}")
_HEADERS = {"sha256": "ChecksumSHA256", "sha1": "ChecksumSHA1"}
"""Those of a service's checksums that descriptors can have, too."""


def md5_of_etag(etag: str, *, encryption: str | None) -> str | None:
    """Give the MD5 digest, in hexadecimal, that an object's ETag is; None where it is something else.

    That of a multipart object has a hyphen, and is none; nor is that of an object which the service has encrypted with
    a key of its key management, or of the client's.

    Source: Amazon S3 API reference, "Object", property ETag.
    """
    etag = etag.strip('"')
    return etag if encryption in (None, "AES256") and _MD5.fullmatch(etag) else None


def whole_checksums(head: Mapping[str, Any], *, etag_md5: bool) -> dict[str, str]:
    """Give the digests of the whole content, in hexadecimal by algorithm, that a service's answer has."""
    found = {}
    for algorithm, name in _HEADERS.items():
        value = head.get(name)
        # that of parts is a digest of digests; it has a hyphen, or says what it is
        if isinstance(value, str) and "-" not in value and head.get("ChecksumType") != "COMPOSITE":
            digest = _decoded(value).hex()
            if len(digest) == DIGEST_HEX_DIGITS[algorithm]:
                found[algorithm] = digest
    encryption = "customer" if head.get("SSECustomerAlgorithm") else head.get("ServerSideEncryption")
    if etag_md5 and (md5 := md5_of_etag(head.get("ETag", ""), encryption=encryption)):
        found["md5"] = md5
    return found


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        return b""


def md5(content: bytes) -> str:
    """Give the MD5 digest in hexadecimal."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class PartChecksum:
    """One algorithm: how parts are sent with it, and how the service's answer is compared.

    Args:
        algorithm: one of ``settings.CHECKSUMS``.
    """

    def __init__(self, algorithm: str) -> None:
        self.upload: dict[str, str] = {}
        """What the beginning of a multipart upload says of it."""
        self.name = ""
        """The name of its value in calls and answers; "" for MD5, which services answer as the ETag."""
        self._algorithm = algorithm
        if algorithm != "md5":
            self.name = f"Checksum{algorithm.upper()}"
            self.upload = {"ChecksumAlgorithm": algorithm.upper()}
            if algorithm != "sha256":
                self.upload["ChecksumType"] = "FULL_OBJECT"

    def of(self, content: bytes) -> str:
        """Give the value of some content, in base64."""
        if self._algorithm == "crc64nvme":
            digest = crc.crc64nvme(content).to_bytes(8, "big")
        elif self._algorithm == "crc32c":
            digest = crc.crc32c(content).to_bytes(4, "big")
        else:
            digest = hashlib.new(self._algorithm, content, usedforsecurity=False).digest()
        return base64.b64encode(digest).decode()

    def sent(self, value: str) -> dict[str, str]:
        """Give the arguments of a call whose content has this value: the service refuses other content."""
        return {self.name or "ContentMD5": value}

    def whole(self, parts: list[tuple[str, int]]) -> str | None:
        """Give the value of all content from those of its parts, with their sizes; None where that cannot be done."""
        combine = {"crc64nvme": crc.combine_crc64nvme, "crc32c": crc.combine_crc32c}.get(self._algorithm)
        if combine is None:
            return None
        digests = [(base64.b64decode(value), num_bytes) for value, num_bytes in parts]
        total, width = 0, 0
        for digest, num_bytes in digests:
            value, width = int.from_bytes(digest, "big"), len(digest)
            total = combine(total, value, num_bytes)
        return base64.b64encode(total.to_bytes(width, "big")).decode()
