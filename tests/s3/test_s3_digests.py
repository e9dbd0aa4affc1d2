"""What of a service's answers is a checksum of the content, and what only looks like one."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_fsm.endpoints.s3.digests import PartChecksum, md5_of_etag, whole_checksums

MD5 = hashlib.md5(b"abc").hexdigest()
SHA256 = base64.b64encode(hashlib.sha256(b"abc").digest()).decode()


@pytest.mark.parametrize(
    ("etag", "encryption", "expected"),
    [
        (f'"{MD5}"', None, MD5),
        (MD5, "AES256", MD5),
        (MD5, "aws:kms", None),
        (MD5, "customer", None),
        (f"{MD5}-3", None, None),
        (MD5[:-1], None, None),
        ("", None, None),
    ],
)
def test_an_etag_is_an_md5_only_where_it_is_one(etag: str, encryption: str | None, expected: str | None) -> None:
    assert expected == md5_of_etag(etag, encryption=encryption)


def test_checksums_of_parts_are_none_of_the_whole() -> None:
    whole = {"ChecksumSHA256": SHA256, "ETag": f'"{MD5}"'}
    assert whole_checksums(whole, etag_md5=True) == {"sha256": hashlib.sha256(b"abc").hexdigest(), "md5": MD5}
    assert whole_checksums(whole, etag_md5=False).keys() == {"sha256"}
    assert whole_checksums({**whole, "ChecksumType": "COMPOSITE", "ETag": '"x-1"'}, etag_md5=True) == {}
    assert whole_checksums({"ChecksumSHA256": f"{SHA256}-2", "ETag": '"x-2"'}, etag_md5=True) == {}
    assert (
        whole_checksums({"ChecksumSHA256": "not base64!", "ChecksumSHA1": "YWJj", "ETag": '"x"'}, etag_md5=True) == {}
    )
    assert whole_checksums({"ETag": MD5, "SSECustomerAlgorithm": "AES256"}, etag_md5=True) == {}


@given(parts=st.lists(st.binary(max_size=50), min_size=1, max_size=5))
@pytest.mark.parametrize("algorithm", ["crc64nvme", "crc32c"])
def test_the_checksum_of_the_whole_comes_from_those_of_its_parts(algorithm: str, parts: list[bytes]) -> None:
    checksum = PartChecksum(algorithm)
    assert checksum.of(b"".join(parts)) == checksum.whole([(checksum.of(part), len(part)) for part in parts])


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_digests_of_parts_do_not_give_that_of_the_whole(algorithm: str) -> None:
    checksum = PartChecksum(algorithm)
    assert checksum.whole([(checksum.of(b"abc"), 3)]) is None


def test_known_values() -> None:
    # Source: "check" values of CRC-64/NVME and CRC-32/ISCSI in the catalogue of parametrised CRC algorithms
    assert base64.b64decode(PartChecksum("crc64nvme").of(b"123456789")).hex() == "ae8b14860a799888"
    assert base64.b64decode(PartChecksum("crc32c").of(b"123456789")).hex() == "e3069283"
