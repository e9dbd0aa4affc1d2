"""Checksums: the names of algorithms, and what computes them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from dts_fsm.records import Checksum
from dts_fsm.records import checksum as module
from dts_fsm.records.checksum import DIGEST_HEX_DIGITS, MissingHashError, new_hasher

EMPTY = {
    "blake3": "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    "xxh3_64": "2d06800538d394c2",
    "xxh3_128": "99aa06d3014798d86001c324468d497f",
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}
"""The digests of no bytes at all. Source: the specifications of the algorithms."""


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for package in ("blake3", "xxhash"):
        monkeypatch.setitem(sys.modules, package, None)
    module._maker.cache_clear()
    yield
    module._maker.cache_clear()


@pytest.mark.parametrize("algorithm", EMPTY)
def test_the_digest_of_nothing_is_that_of_the_specification(algorithm: str) -> None:
    assert EMPTY[algorithm] == new_hasher(algorithm).hexdigest()


@pytest.mark.parametrize("algorithm", DIGEST_HEX_DIGITS)
def test_a_hasher_takes_buffers_in_portions_and_its_digest_can_be_written_and_read(algorithm: str) -> None:
    whole, portions = new_hasher(algorithm), new_hasher(algorithm)
    whole.update(b"content")
    portions.update(memoryview(bytearray(b"con")))
    portions.update(b"tent")
    assert whole.hexdigest() == portions.hexdigest()
    written = f"{algorithm}:{whole.hexdigest()}"
    assert Checksum.parse(written) == Checksum(algorithm, whole.hexdigest())


@pytest.mark.parametrize(
    ("written", "algorithm"),
    [
        ("SHA-1", "sha1"),
        ("sha-224", "sha224"),
        ("SHA-256", "sha256"),
        ("sha3-256", "sha3_256"),
        ("BLAKE3", "blake3"),
        ("xxh3", "xxh3_64"),
        ("XXH3_64", "xxh3_64"),
        ("xxh3-64", "xxh3_64"),
        ("xxh128", "xxh3_128"),
        ("XXH3-128", "xxh3_128"),
    ],
)
def test_other_names_of_an_algorithm_are_understood(written: str, algorithm: str) -> None:
    digest = "0" * DIGEST_HEX_DIGITS[algorithm]
    assert Checksum(algorithm, digest) == Checksum.parse(f"{written}:{digest}")


@pytest.mark.parametrize("name", ["xxh64", "xxh3_256", "crc32c", "blake"])
def test_an_unknown_algorithm_is_refused_with_those_that_are_known(name: str) -> None:
    with pytest.raises(ValueError, match="unknown; known are: blake2b, blake2s, blake3, md5, .*, xxh3_128, xxh3_64"):
        Checksum.parse(f"{name}:{'0' * 16}")
    with pytest.raises(ValueError, match="is unknown"):
        new_hasher(name)


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("algorithm", "package"), [("blake3", "blake3"), ("xxh3_64", "xxhash"), ("xxh3_128", "xxhash")]
)
def test_without_its_package_a_checksum_is_read_and_to_compute_it_names_what_to_install(
    algorithm: str, package: str
) -> None:
    digest = "0" * DIGEST_HEX_DIGITS[algorithm]
    assert f"{algorithm}:{digest}" == str(Checksum.parse(f"{algorithm}:{digest}"))
    with pytest.raises(MissingHashError, match=rf"{algorithm} needs the package {package}.*'dts-fsm\[hashes\]'"):
        new_hasher(algorithm)
