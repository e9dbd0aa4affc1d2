"""Records to JSON and back: the only module that knows JSON.

Times are RFC 3339 in UTC, ids are text, checksums ``algorithm:hex``, enumerations their value. A key that the record
does not have is refused. A descriptor is written as the flat Frictionless object that it came from.
"""

from __future__ import annotations

import enum
import json
from datetime import UTC, datetime
from typing import Any, TypeVar, cast, get_args
from uuid import UUID

import attrs
from cattrs import Converter, transform_error
from cattrs.preconf.json import configure_converter

from dts_fsm.errors import DtsError, SerializationError
from dts_fsm.records import Checksum, Descriptor
from dts_fsm.records.specification import DESCRIPTOR_KEYS

T = TypeVar("T")


def descriptor_to_resource(descriptor: Descriptor) -> dict[str, Any]:
    """Give the Frictionless data resource of a descriptor: its own keys first, then its other properties."""
    resource: dict[str, Any] = {"id": descriptor.id, "name": descriptor.name}
    if descriptor.path is not None:
        resource |= {"path": descriptor.path, "bytes": descriptor.bytes}
    if descriptor.hash is not None:
        resource["hash"] = str(descriptor.hash)
    if descriptor.endpoint is not None:
        resource["endpoint"] = descriptor.endpoint
    return resource | dict(descriptor.properties)


def descriptor_from_resource(resource: Any) -> Descriptor:
    """Give the descriptor of a Frictionless data resource.

    Raises:
        SerializationError: it is not an object.
        InvalidDescriptorError: see ``Descriptor``.
    """
    if not isinstance(resource, dict):
        raise SerializationError(f"a data resource must be a JSON object, not {type(resource).__name__}")
    own = {key: resource[key] for key in DESCRIPTOR_KEYS if key in resource}
    own.setdefault("id", None)
    rest = {key: value for key, value in resource.items() if key not in DESCRIPTOR_KEYS}
    return Descriptor(**own, properties=rest)


def _time_from(value: Any, _: Any) -> datetime:
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError(f"the time {value!r} has no time zone")
    return time.astimezone(UTC)


def _checked(kind: type) -> Any:
    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise TypeError(f"expected {kind.__name__}, not {value!r}")
        return value

    return structure


def _tuple_from(converter: Converter, item: Any) -> Any:
    def structure(value: Any, _: Any) -> tuple[Any, ...]:
        # cattrs would take the letters of a text for its items, and the keys of an object
        if not isinstance(value, list | tuple):
            raise TypeError(f"expected a list, not {type(value).__name__}")
        return tuple(converter.structure(value, list[item]))

    return structure


def _make_converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    configure_converter(converter)
    # thousands of ids need not be looked at one by one
    converter.register_unstructure_hook_func(lambda kind: kind == tuple[str, ...], list)
    converter.register_unstructure_hook(enum.StrEnum, lambda member: member.value)
    converter.register_unstructure_hook(UUID, str)
    converter.register_structure_hook(UUID, lambda value, _: UUID(value))
    converter.register_unstructure_hook(datetime, lambda time: time.astimezone(UTC).isoformat())
    converter.register_structure_hook(datetime, _time_from)
    converter.register_unstructure_hook(Checksum, str)
    converter.register_structure_hook(Checksum, lambda value, _: Checksum.parse(value))
    converter.register_unstructure_hook(Descriptor, descriptor_to_resource)
    converter.register_structure_hook(Descriptor, lambda value, _: descriptor_from_resource(value))
    for kind in (str, int, bool):
        # cattrs would turn 3 into "3" and "no" into True: what is stored or received must be what was meant
        converter.register_structure_hook(kind, _checked(kind))
    converter.register_structure_hook_factory(
        lambda kind: getattr(kind, "__origin__", None) is tuple, lambda kind: _tuple_from(converter, get_args(kind)[0])
    )
    # an enumeration's members are texts, too: without this they would stay plain ones
    converter.register_structure_hook(enum.StrEnum, lambda value, kind: kind(value))
    return converter


_CONVERTER = _make_converter()


def unstructure(record: Any) -> Any:
    """Give the record as objects, lists, texts and numbers that JSON can write.

    Raises:
        SerializationError: something in it, where any value may stand, cannot be taken apart.
    """
    try:
        return _CONVERTER.unstructure(record)
    except Exception as error:  # nesting without end, a key that would become a list, a fault in somebody's class
        raise SerializationError(f"not a JSON value: {type(error).__name__} in {type(record).__name__}") from error


def structure(value: Any, kind: type[T]) -> T:
    """Give the record of class ``kind`` that ``unstructure`` made the value from.

    Raises:
        SerializationError: unknown or missing keys, wrong types; every fault is named with its path.
        DtsError: the record's own validation refuses a value.
    """
    name = kind.__name__
    if attrs.has(cast(type, kind)) and not isinstance(value, dict):
        raise SerializationError(f"not a {name}: expected a JSON object, not {type(value).__name__}")
    try:
        return _CONVERTER.structure(value, kind)
    except Exception as error:
        if fault := _own_error(error):
            raise fault from error
        raise SerializationError(f"not a {name}: {'; '.join(transform_error(error, path=name))}") from error


def _own_error(error: BaseException) -> DtsError | None:
    """The first of our own errors inside a group of cattrs: it says more than the group."""
    if isinstance(error, DtsError):
        return error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            if fault := _own_error(inner):
                return fault
    return None


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def dump_json(value: Any, *, indent: int | None = None) -> str:
    """Write a JSON value as text.

    Raises:
        SerializationError: it has something that JSON cannot write, NaN and infinity included.
    """
    try:
        if indent is None:
            return _ENCODER.encode(value)
        return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    except (TypeError, ValueError, RecursionError) as error:
        raise SerializationError(f"not a JSON value: {error}") from error


def load_json(text: str | bytes) -> Any:
    """Read a JSON text.

    Raises:
        SerializationError: it is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SerializationError(f"not JSON: {error}") from error


def to_json(record: Any, *, indent: int | None = None) -> str:
    """Write a record as JSON text, which ``from_json`` reads back to an equal record."""
    return dump_json(unstructure(record), indent=indent)


def from_json(text: str | bytes, kind: type[T]) -> T:
    """Read a record from JSON text; raises as ``structure`` and ``load_json`` do."""
    return structure(load_json(text), kind)
