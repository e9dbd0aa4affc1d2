"""The manifest: a Frictionless data package that says what was delivered, and how to take it in.

Source: Frictionless Data Package v1 (specs.frictionlessdata.io/data-package); the properties beyond it are those of
KBase's Data Transfer Service.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from dts_fsm.records import FileRecord, FileState, Transfer
from dts_fsm.serialization import descriptor_to_resource, dump_json

MANIFEST_NAME = "manifest.json"
"""The file's name in the payload's folder; consumers wait for it to appear."""

_NOT_IN_NAMES = re.compile(r"[^-a-z0-9._/]")
"""What the name of a resource may not have. Source: Data Resource v1, property ``name``."""


def manifest_text(transfer: Transfer, files: Iterable[FileRecord], created: datetime) -> str:
    """Give the manifest as JSON text; the same text for the same transfer, files and time.

    Args:
        files: all files of the transfer, inline data included, in any order; those that failed are no resources, and
            stand under "missing".
        created: the time that it bears, aware.
    """
    specification = transfer.specification
    user = specification.user
    contributor = {"id": str(transfer.id), "title": user.name, "role": "author"}
    if user.organization:
        contributor["organization"] = user.organization
    if user.email:
        contributor["email"] = user.email
    head: dict[str, Any] = {
        "name": "manifest",
        "profile": "data-package",
        "created": created.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "keywords": ["dts", "manifest"],
        "contributors": [contributor],
        "description": specification.description,
        "instructions": specification.instructions,
        "username": transfer.destination.username,
    }
    ordered = sorted(files, key=lambda file: file.id)
    missing = [file for file in ordered if file.state is FileState.FAILED]
    if missing:
        head["missing"] = [{"id": file.id, "path": file.path, "reason": file.reason} for file in missing]
    # a line for each property and each resource: people can read it, and json's fast encoder can write it
    lines = [f"{dump_json(key)}: {dump_json(value)}" for key, value in head.items()]
    resources = [dump_json(_resource(file)) for file in ordered if file.state is not FileState.FAILED]
    lines.append('"resources": [\n  ' + ",\n  ".join(resources) + "\n ]" if resources else '"resources": []')
    return "{\n " + ",\n ".join(lines) + "\n}\n"


def _resource(file: FileRecord) -> dict[str, Any]:
    resource = descriptor_to_resource(file.descriptor)
    # databases name their files as they like, Frictionless does not allow capitals nor spaces
    resource["name"] = _NOT_IN_NAMES.sub("_", str(resource["name"]).lower())
    resource.setdefault("profile", "data-resource")
    resource.setdefault("encoding", "utf-8")
    if file.observed_hash is not None:
        resource["hash"] = file.observed_hash
    return resource
