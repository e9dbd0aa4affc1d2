"""Validators of the records: each says what is wrong with the value at hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs

from dts_fsm.errors import SpecificationError

_ORCID = re.compile(r"[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_orcid(text: str) -> bool:
    """True for the form ``dddd-dddd-dddd-dddX``.

    The check digit is left to the destination's user map: installations use made-up ORCIDs for services and trials.

    Source: ORCID, "Structure of the ORCID Identifier".
    """
    return _ORCID.fullmatch(text) is not None


def text(*, empty: bool = True) -> Callable[[Any, attrs.Attribute[str], Any], None]:
    """A validator: the value is a string that UTF-8 can write, and not empty unless ``empty``."""

    def check(record: Any, attribute: attrs.Attribute[str], value: Any) -> None:
        name = f"{type(record).__name__}.{attribute.name}"
        if not isinstance(value, str):
            raise SpecificationError(f"{name} must be text, not {type(value).__name__}")
        if not value and not empty:
            raise SpecificationError(f"{name} must not be empty")
        if not is_unicode(value):
            raise SpecificationError(f"{name} is not valid Unicode: {value!r}")

    return check


def whole_number(record: Any, attribute: attrs.Attribute[int], value: Any) -> None:
    """A validator: the value is an integer, zero or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        name = f"{type(record).__name__}.{attribute.name}"
        raise SpecificationError(f"{name} must be a whole number, zero or more, not {value!r}")


def storable(record: Any, attribute: attrs.Attribute[int], value: Any) -> None:
    """A validator: the value is a whole number that SQLite can store, zero or more."""
    whole_number(record, attribute, value)
    if value >= 2**63:
        raise SpecificationError(f"{type(record).__name__}.{attribute.name} cannot be {value}: it is too large")


def readable(value: Any) -> Any:
    """A converter: text that UTF-8 cannot write (it names a file, say) is mended.

    What is no text is left to a validator.
    """
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def is_unicode(value: str) -> bool:
    """False for text with lone surrogates, as file names that are not UTF-8 are given by Python."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def path_fault(path: str) -> str | None:
    """What makes a relative path unusable, or None: it must stay below the folder that it is relative to."""
    if not path:
        return "the path is empty"
    if not is_unicode(path):
        return f"the path {path!r} is not valid Unicode"
    if _CONTROL.search(path):
        return f"the path {path!r} has control characters"
    if path.startswith("/"):
        return f"the path {path!r} is absolute: paths are relative to the endpoint's root"
    parts = path.split("/")
    if ".." in parts:
        return f"the path {path!r} leads upwards ('..')"
    if not any(part not in ("", ".") for part in parts):
        return f"the path {path!r} names no file"
    return None


def normal_path(path: str) -> str:
    """The path without empty and ``.`` components, so that equal places have equal names."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))
