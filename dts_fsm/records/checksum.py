"""Checksums as descriptors write them: ``algorithm:hex``, or 32 bare hexadecimal digits for MD5.

Source: Frictionless data resource v1, property ``hash``.
"""

from __future__ import annotations

import hashlib
import re
from typing import Protocol, Self

import attrs

DIGEST_HEX_DIGITS = {
    "md5": 32,
    "sha1": 40,
    "sha224": 56,
    "sha256": 64,
    "sha384": 96,
    "sha512": 128,
    "blake2b": 128,
    "blake2s": 64,
    "sha3_256": 64,
    "sha3_512": 128,
}
"""The algorithms that can be verified, each with the length of its digest in hexadecimal digits."""

DEFAULT_ALGORITHM = "sha256"
"""What is observed where a descriptor has no hash: with SHA instructions it is faster than MD5."""

_HEX = re.compile(r"[0-9a-f]+")


class Hasher(Protocol):
    """What computes a digest bit by bit: the common ground of hashlib's objects."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


@attrs.frozen
class Checksum:
    """A digest and the algorithm that made it; ``str()`` gives ``algorithm:hex``."""

    algorithm: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Give the checksum that ``text`` writes, in lower case.

        Raises:
            ValueError: for an unknown algorithm or a digest of the wrong form.
        """
        algorithm, separator, digest = text.strip().lower().rpartition(":")
        if not separator:
            algorithm = "md5"
            if len(digest) != DIGEST_HEX_DIGITS["md5"]:
                raise ValueError(
                    f"the hash {text!r} has no algorithm and is not the 32 hexadecimal digits of an MD5: "
                    "write it as algorithm:hex"
                )
        algorithm = {"sha-1": "sha1", "sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}.get(
            algorithm, algorithm
        )
        length = DIGEST_HEX_DIGITS.get(algorithm)
        if length is None:
            raise ValueError(
                f"the hash algorithm {algorithm!r} is unknown; known are: {', '.join(sorted(DIGEST_HEX_DIGITS))}"
            )
        if len(digest) != length or not _HEX.fullmatch(digest):
            raise ValueError(f"the hash {text!r} is not {length} hexadecimal digits, as {algorithm} has")
        return cls(algorithm, digest)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest}"


def new_hasher(algorithm: str) -> Hasher:
    """A fresh hasher for one of ``DIGEST_HEX_DIGITS``; ValueError for any other name."""
    if algorithm not in DIGEST_HEX_DIGITS:
        raise ValueError(f"the hash algorithm {algorithm!r} is unknown")
    return hashlib.new(algorithm, usedforsecurity=False)
