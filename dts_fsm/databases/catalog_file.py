"""The file of a catalog database, ``datapackage.json``: read and written.

Source: Frictionless Data Package v1.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs

from dts_fsm.databases.files import read_file, write_file
from dts_fsm.errors import InvalidDatabaseConfigError, InvalidDescriptorError, SerializationError
from dts_fsm.records import Descriptor
from dts_fsm.records.checks import normal_path
from dts_fsm.serialization import descriptor_from_resource, descriptor_to_resource, dump_json, load_json

CATALOG_FILE = "datapackage.json"

MAX_CATALOG_BYTES = 512 * 1024 * 1024
"""A catalog is held in memory, at some five times its size."""

MAX_NESTING = 100
"""How deep the values of a resource may be nested: a manifest must be able to carry them."""

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_NOT_IN_A_NAME = re.compile(r"[^-a-z0-9._/]")


def frictionless_name(text: str) -> str:
    """Give the text as a Frictionless name: lower case, with a hyphen for each character that a name cannot have."""
    return _NOT_IN_A_NAME.sub("-", text.lower())


@attrs.frozen(kw_only=True)
class Catalog:
    """A Frictionless data package.

    Attributes:
        properties: everything that the package says besides its resources, as JSON values.
        descriptors: its usable resources in the order of the file, each id once.
        unsized: the ids of descriptors whose size the file does not say; their ``bytes`` is 0 here.
        faults: the id of each resource that cannot be used (its place where it has none), and what is wrong with it.

    Raises:
        InvalidDescriptorError: two descriptors have the same id.
    """

    properties: Mapping[str, Any] = attrs.field(factory=dict)
    descriptors: tuple[Descriptor, ...] = ()
    unsized: frozenset[str] = frozenset()
    faults: Mapping[str, str] = attrs.field(factory=dict)
    by_id: Mapping[str, Descriptor] = attrs.field(init=False, repr=False, eq=False)

    @by_id.default
    def _by_id(self) -> Mapping[str, Descriptor]:
        by_id = {descriptor.id: descriptor for descriptor in self.descriptors}
        if len(by_id) < len(self.descriptors):
            ids = Counter(descriptor.id for descriptor in self.descriptors)
            repeated = next(resource_id for resource_id, count in ids.items() if count > 1)
            raise InvalidDescriptorError(repeated, "two resources have this id: give each its own")
        return by_id

    @cached_property
    def shared_paths(self) -> Mapping[str, tuple[str, ...]]:
        """The ids of the resources of each path that more than one has: no transfer can have two of these."""
        ids: dict[str, list[str]] = {}
        for descriptor in self.descriptors:
            if descriptor.path is not None:
                ids.setdefault(normal_path(descriptor.path), []).append(descriptor.id)
        return {path: tuple(sharing) for path, sharing in ids.items() if len(sharing) > 1}

    @cached_property
    def search_texts(self) -> tuple[str, ...]:
        """For each descriptor what a search for words looks at, one line each, without regard to case."""
        return tuple("\n".join(_search_fields(descriptor)).casefold() for descriptor in self.descriptors)


def _search_fields(descriptor: Descriptor) -> Iterator[str]:
    yield from (descriptor.id, descriptor.name, descriptor.path or "")
    for key in ("title", "description"):
        value = descriptor.properties.get(key)
        if isinstance(value, str):
            yield value
    keywords = descriptor.properties.get("keywords")
    if isinstance(keywords, list):
        yield from (keyword for keyword in keywords if isinstance(keyword, str))


def read_catalog(path: Path, *, root: Path | None = None) -> Catalog:
    """Give the catalog that a file holds; raises what ``read_file`` and ``parse_catalog`` raise."""
    return parse_catalog(path, read_file(path, max_bytes=MAX_CATALOG_BYTES, root=root))


def parse_catalog(path: Path, content: bytes) -> Catalog:
    """Give the catalog that the content of the file ``path`` says.

    The id of a resource without one is its name, else its path. A resource that cannot be used is among the faults;
    so are all the resources that share one id, since nobody knows which of them is meant.

    Raises:
        InvalidDatabaseConfigError: it is not JSON, or not a data package.
    """
    package = _package(path, content)
    # only a catalog with such an escape pays for a closer look at each resource
    surrogates = b"\\ud" in content or b"\\uD" in content
    positions: dict[str, int] = {}
    descriptors: dict[str, Descriptor] = {}
    unsized: set[str] = set()
    faults: dict[str, str] = {}
    for position, resource in enumerate(package["resources"]):
        key = _resource_id(resource) or f"resources[{position}]"
        first = positions.setdefault(key, position)
        if first != position:
            descriptors.pop(key, None)
            faults[key] = f"{path.name}: resources[{first}] and resources[{position}] have this id: give each its own"
            continue
        try:
            descriptors[key] = _descriptor(key, resource, surrogates=surrogates)
        except (InvalidDescriptorError, SerializationError) as error:
            faults[key] = f"{path.name}: resources[{position}]: {_reason(error)}"
            continue
        if resource.get("bytes") is None and not descriptors[key].inline:
            unsized.add(key)
    return Catalog(
        properties={key: value for key, value in package.items() if key != "resources"},
        descriptors=tuple(descriptors.values()),
        unsized=frozenset(unsized & descriptors.keys()),
        faults=faults,
    )


def _package(path: Path, content: bytes) -> dict[str, Any]:
    try:
        package = load_json(content.decode("utf-8-sig"))
    except (SerializationError, UnicodeDecodeError) as error:
        raise InvalidDatabaseConfigError(f"it cannot be used as a catalog: {error}", file=str(path)) from error
    if not isinstance(package, dict):
        raise InvalidDatabaseConfigError("a catalog must be a JSON object, a data package", file=str(path))
    if not isinstance(package.get("resources"), list):
        raise InvalidDatabaseConfigError("a catalog needs a list 'resources'", file=str(path), key="resources")
    return package


def _resource_id(resource: Any) -> str | None:
    """The id under which the resource is asked for, or None where it has none that anybody could give."""
    if not isinstance(resource, dict):
        return None
    value = resource.get("id")
    if value is None:
        value = resource.get("name") or resource.get("path")
    return value if isinstance(value, str) and value else None


def _descriptor(key: str, resource: Any, *, surrogates: bool) -> Descriptor:
    if not isinstance(resource, dict):
        raise SerializationError(f"a resource must be a JSON object, not {type(resource).__name__}")
    path = resource.get("path")
    if isinstance(path, list):
        raise SerializationError("its path is a list: a file in several parts needs one resource for each part")
    if isinstance(path, str) and _URL.match(path):
        raise SerializationError(f"its path {path!r} is a URL: a catalog has files below its endpoint's root only")
    if not _are_plain(resource.values()):
        raise SerializationError(f"it has a number that is not finite, or is nested more than {MAX_NESTING} deep")
    if surrogates:
        _as_written(resource)
    if resource.get("id") is None:
        resource = resource | {"id": key}
    if path is not None and resource.get("bytes") is None:
        resource = resource | {"bytes": 0}
    return descriptor_from_resource(resource)


def _are_plain(values: Iterable[Any], depth: int = MAX_NESTING) -> bool:
    """False for NaN and infinity, which json reads (1e999, too), and for values nested ``depth`` deep or deeper."""
    for value in values:
        # json gives these very types; calls for the many texts and whole numbers would cost as much as reading them
        kind = type(value)
        if kind is float and not math.isfinite(value):
            return False
        inner = value.values() if kind is dict else value if kind is list else None
        if inner is not None and (depth <= 1 or not _are_plain(inner, depth - 1)):
            return False
    return True


def _as_written(value: Any, *, indent: int | None = None) -> bytes:
    """Give the value as it would be written.

    Raises:
        SerializationError: it is not a JSON value, or has a lone surrogate.
    """
    try:
        return dump_json(value, indent=indent).encode()
    except UnicodeEncodeError as error:
        raise SerializationError("it has text that is not valid Unicode") from error


def unwritable(value: Any, place: str = "") -> tuple[str, str] | None:
    """Give the place (``contributors[0].title``) and the fault of what JSON cannot write in a value, None if it can."""
    try:
        _as_written(value)
    except SerializationError as error:
        fault = str(error)
    else:
        return None
    if isinstance(value, Mapping):
        dot = f"{place}." if place else ""
        inner = [(f"{dot}{key if str(key).isprintable() else ascii(key)}", item) for key, item in value.items()]
    else:
        inner = [(f"{place}[{index}]", item) for index, item in enumerate(value)] if isinstance(value, list) else []
    for inner_place, item in inner:
        if found := unwritable(item, inner_place):
            return found
    if isinstance(value, float):
        fault = f"the number {value} is not finite, which JSON cannot write"
    return place, fault


def _reason(error: Exception) -> str:
    resource_id = getattr(error, "resource_id", None)
    return str(error).removeprefix(f"the descriptor {resource_id!r} cannot be used: ")


def write_catalog(path: Path, catalog: Catalog) -> None:
    """Leave the file with this catalog, durable and whole, or as it was.

    A package without a name gets its folder's. Faults are not written: who reads a catalog to write it again refuses
    one with faults.

    Raises:
        SerializationError: a property is not a JSON value; the message names file and place.
        OSError: the file cannot be written.
    """
    name = frictionless_name(path.absolute().parent.name) or "catalog"
    package = {"name": name, "profile": "data-package"} | dict(catalog.properties)
    package["resources"] = list(_resources(catalog.descriptors, catalog.unsized))
    try:
        content = _as_written(package, indent=2) + b"\n"
    except SerializationError as error:
        place, fault = unwritable(package) or ("", str(error))
        raise SerializationError(f"{path}: {place or 'the package'}: {fault}") from error
    write_file(path, content)


def _resources(descriptors: Iterable[Descriptor], unsized: frozenset[str]) -> Iterator[dict[str, Any]]:
    for descriptor in descriptors:
        resource = descriptor_to_resource(descriptor)
        if descriptor.id in unsized:
            del resource["bytes"]
        yield resource
