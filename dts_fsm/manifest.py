"""The manifest: a Frictionless data package that says what was delivered, and how to take it in.

Source: Frictionless Data Package v1 (specs.frictionlessdata.io/data-package); the properties beyond it are those of
KBase's Data Transfer Service.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import attrs

from dts_fsm.records import Checksum, FileRecord, FileState, Transfer
from dts_fsm.serialization import descriptor_to_resource, dump_json

MANIFEST_NAME = "manifest.json"
"""The file's name in the payload's folder; consumers wait for it to appear."""

_NOT_IN_NAMES = re.compile(r"[^-a-z0-9._/]")
"""What the name of a resource may not have. Source: Data Resource v1, property ``name``."""


_TOGETHER = 500
"""How many resources are written at once: a manifest may have a million."""


def manifest_text(transfer: Transfer, files: Iterable[FileRecord], created: datetime) -> str:
    """Give the manifest as JSON text; the same text for the same transfer, files and time.

    Args:
        files: all files of the transfer, inline data included, in any order.
        created: the time that it bears, aware.
    """
    return "".join(manifest_pieces(transfer, sorted(files, key=lambda file: file.id), created))


def manifest_pieces(transfer: Transfer, files: Iterable[FileRecord], created: datetime) -> Iterator[str]:
    """Give the manifest as JSON text, piece by piece: it is never in memory as a whole.

    Args:
        files: all files of the transfer, inline data included, in order of their ids; those that failed are no
            resources, and stand under "missing", at the end.
        created: the time that it bears, aware.
    """
    specification = transfer.specification
    user = specification.user
    contributor = {"id": str(transfer.id), "title": user.name, "role": "author"}
    if user.organization:
        contributor["organization"] = user.organization
    if user.email:
        contributor["email"] = user.email
    head = {
        "name": '"manifest"',
        "profile": '"data-package"',
        "created": dump_json(created.astimezone(UTC).isoformat().replace("+00:00", "Z")),
        "keywords": '["dts", "manifest"]',
        "contributors": dump_json([contributor]),
        "description": dump_json(specification.description),
        "instructions": dump_json(specification.instructions),
        "username": dump_json(transfer.destination.username),
    }
    # a line for each property and each resource: people can read it, and json's fast encoder can write it
    piece = "{\n " + "".join(f'"{key}": {text},\n ' for key, text in head.items()) + '"resources": ['
    missing, left, separator = [], iter(files), "\n  "
    while some := list(islice(left, _TOGETHER)):
        missing += [file for file in some if file.state is FileState.FAILED]
        if resources := [dump_json(_resource(file)) for file in some if file.state is not FileState.FAILED]:
            yield piece + separator + ",\n  ".join(resources)
            piece, separator = "", ",\n  "
    piece += "]" if separator == "\n  " else "\n ]"
    if missing:
        told = [{"id": file.id, "path": file.path, "reason": file.reason} for file in missing]
        piece += f',\n "missing": {dump_json(told)}'
    yield piece + "\n}\n"


@attrs.frozen
class Rendered:
    """What a manifest came to that was made piece by piece.

    Attributes:
        num_bytes: its size.
        checksum: of its bytes, as UTF-8.
        packed: the bytes, compressed by zlib.
    """

    num_bytes: int
    checksum: Checksum
    packed: bytes


def render(pieces: Iterable[str], write: Callable[[bytes], object], *, small: bool) -> Rendered:
    """Every piece has been written.

    Args:
        write: takes each piece, as UTF-8.
        small: whether it will be less than some pages: compressing it then needs 4 kB, whose allocation is all but
            free, where more would take ten times as long as the compressing.
    """
    digest, num_bytes, packed = hashlib.sha256(), 0, []
    packer = zlib.compressobj(1, zlib.DEFLATED, 12, 4) if small else zlib.compressobj(1)
    for piece in pieces:
        content = piece.encode()
        write(content)
        digest.update(content)
        num_bytes += len(content)
        packed.append(packer.compress(content))
    packed.append(packer.flush())
    return Rendered(num_bytes, Checksum("sha256", digest.hexdigest()), b"".join(packed))


def _resource(file: FileRecord) -> dict[str, Any]:
    resource = descriptor_to_resource(file.descriptor)
    # databases name their files as they like, Frictionless does not allow capitals nor spaces
    resource["name"] = _NOT_IN_NAMES.sub("_", str(resource["name"]).lower())
    resource.setdefault("profile", "data-resource")
    resource.setdefault("encoding", "utf-8")
    if file.observed_hash is not None:
        resource["hash"] = file.observed_hash
    return resource
