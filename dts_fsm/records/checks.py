"""Validators of the records: each says what is wrong with the value at hand."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

import attrs

from dts_fsm.errors import SpecificationError

_ORCID = re.compile(r"[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_SHOWN = 200

Member = TypeVar("Member", bound=StrEnum)


def shown(value: object) -> str:
    """The value as an error quotes it: never long, and there for every object."""
    try:
        text = repr(value)
    except Exception:  # a number of thousands of digits, lists in lists without end, a fault in somebody's __repr__
        return f"<{type(value).__name__}>"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def is_orcid(text: str) -> bool:
    """True for the form ``dddd-dddd-dddd-dddX``.

    The check digit is left to the destination's user map: installations use made-up ORCIDs for services and trials.

    Source: ORCID, "Structure of the ORCID Identifier".
    """
    return _ORCID.fullmatch(text) is not None


def text(*, empty: bool = True) -> Callable[[Any, attrs.Attribute[str], Any], None]:
    """A validator: the value is a string that UTF-8 can write, and not empty unless ``empty``."""

    def check(record: Any, attribute: attrs.Attribute[str], value: Any) -> None:
        if isinstance(value, str) and (value or empty) and is_unicode(value):
            return
        name = f"{type(record).__name__}.{attribute.name}"
        if not isinstance(value, str):
            raise SpecificationError(f"{name} must be text, not {type(value).__name__}")
        if not value and not empty:
            raise SpecificationError(f"{name} must not be empty")
        raise SpecificationError(f"{name} is not valid Unicode: {shown(value)}")

    return check


def whole_number(record: Any, attribute: attrs.Attribute[int], value: Any) -> None:
    """A validator: the value is an integer, zero or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        name = f"{type(record).__name__}.{attribute.name}"
        raise SpecificationError(f"{name} must be a whole number, zero or more, not {shown(value)}")


def storable(record: Any, attribute: attrs.Attribute[int], value: Any) -> None:
    """A validator: the value is a whole number that SQLite can store, zero or more."""
    if type(value) is int and 0 <= value < 2**63:
        return
    whole_number(record, attribute, value)
    if value >= 2**63:
        raise SpecificationError(f"{type(record).__name__}.{attribute.name} cannot be {shown(value)}: it is too large")


def instance(kind: type) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """A validator: the value is of this class."""

    def check(record: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            name = f"{type(record).__name__}.{attribute.name}"
            raise SpecificationError(f"{name} must be a {kind.__name__}, not {type(value).__name__}")

    return check


def instances(kind: type) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    """A validator: the value is a tuple or a list of objects of this class."""

    def check(record: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, tuple | list) or not all(isinstance(item, kind) for item in value):
            name = f"{type(record).__name__}.{attribute.name}"
            raise SpecificationError(f"{name} must be a tuple of {kind.__name__}, not {shown(value)}")

    return check


def mapping(record: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    """A validator: the value is a mapping."""
    if not isinstance(value, Mapping):
        name = f"{type(record).__name__}.{attribute.name}"
        raise SpecificationError(f"{name} must be a mapping, not {type(value).__name__}")


def member(kind: type[Member], value: Any) -> Member:
    """Give the enumeration's member, which may be given by its value.

    Raises:
        SpecificationError: there is no such member.
    """
    try:
        return kind(value)
    except ValueError:
        raise SpecificationError(f"there is no {kind.__name__} {shown(value)}: there are {', '.join(kind)}") from None


def check_seconds(timeout_s: object) -> None:
    """Refuse a time-out that is no number of seconds; None is one: it waits as long as it takes."""
    if timeout_s is None:
        return
    most_s = threading.TIMEOUT_MAX
    # NaN fails the comparison
    if not isinstance(timeout_s, int | float) or isinstance(timeout_s, bool) or not abs(timeout_s) <= most_s:
        raise SpecificationError(
            f"timeout_s must be a number of seconds, at most {most_s:g}, or None, not {shown(timeout_s)}"
        )


def readable(value: Any) -> Any:
    """A converter: text that UTF-8 cannot write (it names a file, say) is mended.

    What is no text is left to a validator.
    """
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode(errors="replace").decode()


def is_unicode(value: str) -> bool:
    """False for text with lone surrogates, as file names that are not UTF-8 are given by Python."""
    if value.isascii():
        return True
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
    parts = set(path.split("/"))
    if ".." in parts:
        return f"the path {path!r} leads upwards ('..')"
    if parts <= {"", "."}:
        return f"the path {path!r} names no file"
    return None


def normal_path(path: str) -> str:
    """The path without empty and ``.`` components, so that equal places have equal names."""
    parts = path.split("/")
    return "/".join(part for part in parts if part not in ("", ".")) if "" in parts or "." in parts else path
