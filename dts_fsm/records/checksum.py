"""Checksums as descriptors write them: ``algorithm:hex``, or 32 bare hexadecimal digits for MD5.

Source: Frictionless data resource v1, property ``hash``.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Callable
from functools import cache, partial
from typing import Protocol, Self

import attrs

from dts_fsm.errors import PermanentError

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
    "blake3": 64,
    "xxh3_64": 16,
    "xxh3_128": 32,
}
"""The algorithms that can be verified, each with the length of its digest in hexadecimal digits."""

_PACKAGES = {"blake3": "blake3", "xxh3_64": "xxhash", "xxh3_128": "xxhash"}
"""The algorithms that hashlib does not have, each with the package whose function of the same name computes it."""

_OTHER_NAMES = {
    "sha-1": "sha1",
    "sha-224": "sha224",
    "sha-256": "sha256",
    "sha-384": "sha384",
    "sha-512": "sha512",
    "sha3-256": "sha3_256",
    "sha3-512": "sha3_512",
    "xxh3": "xxh3_64",
    "xxh3-64": "xxh3_64",
    "xxh128": "xxh3_128",
    "xxh3-128": "xxh3_128",
}
"""What others write. Source: NIST FIPS 180-4 and 202; the names of hashes in rclone; xxhsum."""

DEFAULT_ALGORITHM = "sha256"
"""What is observed where a descriptor has no hash: with SHA instructions it is faster than MD5."""

_HEX = re.compile(r"[0-9a-f]+")


class MissingHashError(PermanentError):
    """The algorithm is known, but the package that computes it is not installed."""

    def __init__(self, algorithm: str, package: str) -> None:
        super().__init__(
            f"the hash algorithm {algorithm} needs the package {package}, which is not installed: "
            "pip install 'dts-fsm[hashes]'"
        )
        self.algorithm, self.package = algorithm, package


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
        """Give the checksum that ``text`` writes, in lower case and with our name of the algorithm.

        What it takes to compute it need not be installed: another endpoint may do that.

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
        algorithm = _OTHER_NAMES.get(algorithm, algorithm)
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
    """Give a fresh hasher for one of ``DIGEST_HEX_DIGITS``.

    Raises:
        ValueError: for any other name.
        MissingHashError: the algorithm's package is not installed.
    """
    return _maker(algorithm)()


@cache
def _maker(algorithm: str) -> Callable[[], Hasher]:
    if algorithm not in DIGEST_HEX_DIGITS:
        raise ValueError(f"the hash algorithm {algorithm!r} is unknown")
    package = _PACKAGES.get(algorithm)
    if package is None:
        return partial(hashlib.new, algorithm, usedforsecurity=False)
    try:
        maker: Callable[[], Hasher] = getattr(importlib.import_module(package), algorithm)
    except ImportError as error:
        raise MissingHashError(algorithm, package) from error
    return maker
