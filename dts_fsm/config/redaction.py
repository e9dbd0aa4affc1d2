"""Takes secrets out of texts that others wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from dts_fsm.config.secret import Secret


def redacted(text: str, record: Any) -> str:
    """Give the text with ``***`` for every secret that stands anywhere in the record."""
    # The longest first: one secret may be a part of another.
    for secret in sorted(_secrets(record), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets(value: Any) -> set[str]:
    if isinstance(value, Secret):
        return {value.reveal()} - {""}
    if attrs.has(type(value)):
        value = [getattr(value, field.name) for field in attrs.fields(type(value))]
    elif isinstance(value, Mapping):
        value = list(value.values())
    elif not isinstance(value, list):
        return set()
    return set().union(*(_secrets(item) for item in value))
