"""The parts of the Frictionless Data Package v1 profile that a manifest can touch, as a JSON schema of our own wording.

Source: specs.frictionlessdata.io/data-package and /data-resource (v1), and the profile ``data-package.json`` that the
registry of profiles publishes. Checked by hand to accept and refuse the same manifests as that file.
"""

from __future__ import annotations

from typing import Any

import jsonschema

PATH = r"^(?=^[^./~])(^((?!\.{2}).)*$).*$"
NAME = r"^([-a-z0-9._/])+$"

RESOURCE: dict[str, Any] = {
    "type": "object",
    "oneOf": [{"required": ["name", "data"]}, {"required": ["name", "path"]}],
    "properties": {
        "profile": {"type": "string"},
        "name": {"type": "string", "pattern": NAME},
        "path": {
            "oneOf": [
                {"type": "string", "pattern": PATH},
                {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": PATH}},
            ]
        },
        "title": {"type": "string"},
        "description": {"type": "string"},
        "format": {"type": "string"},
        "mediatype": {"type": "string", "pattern": r"^(.+)/(.+)$"},
        "encoding": {"type": "string"},
        "bytes": {"type": "integer"},
        "hash": {"type": "string", "pattern": r"^([^:]+:[a-fA-F0-9]+|[a-fA-F0-9]{32}|)$"},
    },
}

PACKAGE: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "type": "object",
    "required": ["resources"],
    "properties": {
        "profile": {"type": "string"},
        "name": {"type": "string", "pattern": NAME},
        "id": {"type": "string"},
        "title": {"type": "string"},
        "description": {"type": "string"},
        "homepage": {"type": "string", "format": "uri"},
        "created": {"type": "string", "format": "date-time"},
        "contributors": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["title"],
                "properties": {
                    "title": {"type": "string"},
                    "path": {"type": "string", "pattern": PATH},
                    "email": {"type": "string", "format": "email"},
                    "organisation": {"type": "string"},
                    "role": {"type": "string"},
                },
            },
        },
        "keywords": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        "resources": {"type": "array", "minItems": 1, "items": RESOURCE},
    },
}

_VALIDATOR = jsonschema.Draft4Validator(PACKAGE, format_checker=jsonschema.FormatChecker())


def faults(package: Any) -> list[str]:
    """Give what keeps a JSON value from being a data package, none for a valid one."""
    return [f"{'/'.join(map(str, error.path))}: {error.message}" for error in _VALIDATOR.iter_errors(package)]
