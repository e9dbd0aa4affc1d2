"""The file of a catalog database, ``datapackage.json``: read, written, and made from the files of a folder.

Source: Frictionless Data Package v1.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs

from dts_fsm.databases.files import read_file, size_beneath, write_file
from dts_fsm.databases.scan import FoundFile, Progress, find_files, hash_files
from dts_fsm.databases.users import USERS_FILES
from dts_fsm.errors import InvalidDatabaseConfigError, InvalidDescriptorError, SerializationError
from dts_fsm.records import Checksum, Descriptor
from dts_fsm.records.checks import path_fault
from dts_fsm.records.checksum import DEFAULT_ALGORITHM
from dts_fsm.serialization import descriptor_from_resource, descriptor_to_resource, dump_json, load_json

CATALOG_FILE = "datapackage.json"

MAX_CATALOG_BYTES = 512 * 1024 * 1024
"""A catalog is held in memory, at some five times its size."""

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_NOT_IN_A_NAME = re.compile(r"[^-a-z0-9._/]")
# what json reads and no manifest can carry; only a file with one of these pays for a closer look
_SUSPICIOUS = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]")
_COMPRESSIONS = {"gz": "application/gzip", "bgz": "application/gzip", "bz2": "application/x-bzip2"} | {
    "xz": "application/x-xz",
    "zst": "application/zstd",
}
_TEXT_FORMATS = frozenset("fa fasta faa ffn fna frn fastq fq gb gbk gbff gff gff3 gtf embl sam vcf bed md yaml".split())


def _index(descriptors: Iterable[Descriptor]) -> dict[str, Descriptor]:
    positions: dict[str, int] = {}
    by_id: dict[str, Descriptor] = {}
    for position, descriptor in enumerate(descriptors):
        if descriptor.id in by_id:
            first = positions[descriptor.id]
            raise InvalidDescriptorError(
                descriptor.id, f"resources[{first}] and resources[{position}] have the same id: give each its own"
            )
        positions[descriptor.id], by_id[descriptor.id] = position, descriptor
    return by_id


@attrs.frozen(kw_only=True)
class Catalog:
    """A Frictionless data package.

    Attributes:
        properties: everything that the package says besides its resources, as JSON values.
        descriptors: its resources in the order of the file, each id once.

    Raises:
        InvalidDescriptorError: two resources have the same id.
    """

    properties: Mapping[str, Any] = attrs.Factory(dict)
    descriptors: tuple[Descriptor, ...] = attrs.field(default=(), converter=tuple)
    by_id: Mapping[str, Descriptor] = attrs.field(init=False, repr=False, eq=False)

    @by_id.default
    def _by_id(self) -> Mapping[str, Descriptor]:
        return _index(self.descriptors)

    @cached_property
    def search_texts(self) -> tuple[str, ...]:
        """For each descriptor what a search for words looks at, one line each, without regard to case."""
        return tuple("\n".join(_search_fields(descriptor)).casefold() for descriptor in self.descriptors)


def _search_fields(descriptor: Descriptor) -> Iterable[str]:
    yield from (descriptor.id, descriptor.name, descriptor.path or "")
    for key in ("title", "description", "format"):
        value = descriptor.properties.get(key)
        if isinstance(value, str):
            yield value


def read_catalog(path: Path, *, root: Path | None = None, archive: Path | None = None) -> Catalog:
    """Give the catalog that a file holds.

    The id of a resource without one is its name, else its path. The size of a resource without ``bytes`` is taken from
    its file in ``root`` or ``archive``.

    Raises:
        FileNotFoundError: there is no such file.
        InvalidDatabaseConfigError: it is not JSON, not a data package, too large, or cannot be read.
        InvalidDescriptorError: a resource cannot be used; its place in the file is named.
    """
    return parse_catalog(path, read_file(path, max_bytes=MAX_CATALOG_BYTES), root=root, archive=archive)


def parse_catalog(path: Path, content: bytes, *, root: Path | None = None, archive: Path | None = None) -> Catalog:
    """Give the catalog that the content of the file ``path`` says; otherwise as ``read_catalog``."""

    def size_bytes(file: str) -> int:
        for folder in (root, archive):
            if folder is not None and (size := size_beneath(folder, file)) is not None:
                return size
        raise InvalidDescriptorError(
            file, "its size ('bytes') is missing and its file is not there: complete the catalog with dts-fsm catalog"
        )

    return _parse(path, content, size_bytes)


def _parse(path: Path, content: bytes, size_bytes: Callable[[str], int]) -> Catalog:
    try:
        package = load_json(content.decode("utf-8-sig"))
    except (SerializationError, UnicodeDecodeError) as error:
        raise InvalidDatabaseConfigError(f"it cannot be used as a catalog: {error}", file=str(path)) from error
    if not isinstance(package, dict):
        raise InvalidDatabaseConfigError("a catalog must be a JSON object, a data package", file=str(path))
    resources = package.get("resources")
    if not isinstance(resources, list):
        raise InvalidDatabaseConfigError("a catalog needs a list 'resources'", file=str(path), key="resources")
    suspicious = _SUSPICIOUS.search(content) is not None
    descriptors = []
    for position, resource in enumerate(resources):
        try:
            descriptors.append(_descriptor(resource, size_bytes, suspicious=suspicious))
        except (InvalidDescriptorError, SerializationError) as error:
            reason = str(error).rpartition("cannot be used: ")[2]
            raise InvalidDescriptorError(f"{path}: resources[{position}]", reason) from error
    properties = {key: value for key, value in package.items() if key != "resources"}
    try:
        return Catalog(properties=properties, descriptors=descriptors)
    except InvalidDescriptorError as error:
        raise InvalidDescriptorError(
            f"{path}: {error.resource_id}", str(error).rpartition("cannot be used: ")[2]
        ) from error


def _descriptor(resource: Any, size_bytes: Callable[[str], int], *, suspicious: bool) -> Descriptor:
    if not isinstance(resource, dict):
        raise SerializationError(f"a resource must be a JSON object, not {type(resource).__name__}")
    path = resource.get("path")
    if isinstance(path, list):
        raise SerializationError("its path is a list: a file in several parts needs one resource for each part")
    if isinstance(path, str) and _URL.match(path):
        raise SerializationError(f"its path {path!r} is a URL: a catalog has files below its endpoint's root only")
    if suspicious:
        try:
            dump_json(resource).encode()
        except UnicodeEncodeError as error:
            raise SerializationError("it has text that is not valid Unicode") from error
    if resource.get("id") is None:
        resource = resource | {"id": resource.get("name") or path}
    if isinstance(path, str) and resource.get("bytes") is None and path_fault(path) is None:
        resource = resource | {"bytes": size_bytes(path)}
    return descriptor_from_resource(resource)


def write_catalog(path: Path, catalog: Catalog) -> None:
    """Leave the file with this catalog, durable and whole, or as it was.

    A package without a name gets its folder's.

    Raises:
        SerializationError: a property is not a JSON value.
        OSError: the file cannot be written.
    """
    name = _NOT_IN_A_NAME.sub("-", path.absolute().parent.name.lower()) or "catalog"
    package = {"name": name, "profile": "data-package"} | dict(catalog.properties)
    package["resources"] = [descriptor_to_resource(descriptor) for descriptor in catalog.descriptors]
    write_file(path, (dump_json(package, indent=2) + "\n").encode())


@attrs.frozen(kw_only=True)
class Scan:
    """What the scan of a folder found.

    Attributes:
        catalog: the files in order of path, then the inline resources that were there.
        skipped: the path of each file that was left out, and why; what is not printable in it is escaped.
        num_hashed, num_bytes_hashed: what had to be read; the other files had not changed.
    """

    catalog: Catalog
    skipped: tuple[tuple[str, str], ...]
    num_hashed: int
    num_bytes_hashed: int


def scan(
    folder: Path,
    *,
    algorithm: str = DEFAULT_ALGORITHM,
    previous: Catalog | None = None,
    progress: Progress | None = None,
    exclude: Sequence[str] = (CATALOG_FILE, *USERS_FILES),
) -> Scan:
    """Give a catalog of the regular files below a folder.

    A file's id is its path. Files that ``previous`` has keep their id, name and properties, and where size and time of
    modification are the same their checksum; its package properties and inline resources are kept, and files that are
    gone are dropped. Symbolic links are not followed.

    Args:
        algorithm: one of ``dts_fsm.records.checksum.DIGEST_HEX_DIGITS``.
        progress: see ``dts_fsm.databases.scan.hash_files``.
        exclude: patterns of paths that are left out; by default the catalog and the users files of the folder itself.

    Raises:
        OSError: the folder cannot be read.
        ValueError: the algorithm is unknown.
        InvalidDescriptorError: the path of a new file is already the id of another resource.
    """
    previous = previous or Catalog()
    known: dict[str, list[Descriptor]] = {}
    for descriptor in previous.descriptors:
        known.setdefault(descriptor.path or "", []).append(descriptor)
    found, skipped = find_files(folder, exclude=exclude)
    kept = {file.path: _kept_hash(file, known.get(file.path, ()), algorithm) for file in found}
    changed = [file for file in found if kept[file.path] is None]
    hashed, not_hashed = hash_files(folder, changed, algorithm=algorithm, progress=progress)

    names = {descriptor.name for descriptor in previous.descriptors}
    types = mimetypes.MimeTypes()
    descriptors: list[Descriptor] = []
    for file in found:
        if (checksum := kept[file.path] or hashed.get(file.path)) is not None:
            for before in known.get(file.path) or [None]:
                descriptors.append(_described(file, checksum, before, names, types))
    return Scan(
        catalog=Catalog(properties=previous.properties, descriptors=(*descriptors, *known.get("", ()))),
        skipped=tuple(sorted(skipped + not_hashed)),
        num_hashed=len(hashed),
        num_bytes_hashed=sum(file.bytes for file in changed if file.path in hashed),
    )


def update_catalog(
    folder: Path,
    *,
    catalog_file: Path | None = None,
    algorithm: str = DEFAULT_ALGORITHM,
    progress: Progress | None = None,
    exclude: Sequence[str] = (),
) -> Scan:
    """Leave ``datapackage.json`` in a folder (or ``catalog_file``) with what the folder has now.

    What the file said before is kept as ``scan`` says, and only files that are new or changed are read.

    Raises:
        InvalidDatabaseConfigError, InvalidDescriptorError: the present file cannot be used; it is left as it is.
        OSError, ValueError: as ``scan`` and ``write_catalog``.
    """
    path = catalog_file or folder / CATALOG_FILE
    try:
        # a size that is missing is about to be found out
        previous = _parse(path, read_file(path, max_bytes=MAX_CATALOG_BYTES), lambda _: 0)
    except FileNotFoundError:
        previous = None
    own = (
        [path.resolve().relative_to(folder.resolve()).as_posix()]
        if path.resolve().is_relative_to(folder.resolve())
        else []
    )
    found = scan(
        folder, algorithm=algorithm, previous=previous, progress=progress, exclude=(*own, *USERS_FILES, *exclude)
    )
    write_catalog(path, found.catalog)
    return found


def _kept_hash(file: FoundFile, before: Sequence[Descriptor], algorithm: str) -> Checksum | None:
    for descriptor in before:
        same = descriptor.bytes == file.bytes and descriptor.properties.get("modified") == _time(file.modified_ns)
        if same and descriptor.hash is not None and descriptor.hash.algorithm == algorithm:
            return descriptor.hash
    return None


def _described(
    file: FoundFile, checksum: Checksum, before: Descriptor | None, names: set[str], types: mimetypes.MimeTypes
) -> Descriptor:
    properties = _format(file.path, types) | dict(before.properties if before else {})
    return Descriptor(
        id=before.id if before else file.path,
        name=before.name if before else _new_name(file.path, names),
        path=file.path,
        bytes=file.bytes,
        hash=checksum,
        endpoint=before.endpoint if before else None,
        properties=properties | {"modified": _time(file.modified_ns)},
    )


def _new_name(path: str, names: set[str]) -> str:
    """A name as Frictionless wants it, that no other resource has; it is added to ``names``."""
    base = name = _NOT_IN_A_NAME.sub("-", path.lower())
    number = 1
    while name in names:
        number += 1
        name = f"{base}-{number}"
    names.add(name)
    return name


def _format(path: str, types: mimetypes.MimeTypes) -> dict[str, Any]:
    """Format, media type, compression and encoding, as far as a file's name tells them."""
    name = path.rpartition("/")[2].lower()
    stem, _, suffix = name.rpartition(".")
    if suffix in _COMPRESSIONS and stem:
        inner = stem.rpartition(".")[2] if "." in stem else suffix
        return {"format": inner, "mediatype": _COMPRESSIONS[suffix], "compression": "gz" if suffix == "bgz" else suffix}
    guess = "text/plain" if suffix in _TEXT_FORMATS and stem else types.guess_type(f"x/{name}")[0]
    answer = {"format": suffix} if stem else {}
    if guess:
        answer["mediatype"] = guess
        if guess.startswith("text/"):
            answer["encoding"] = "utf-8"
    return answer


def _time(modified_ns: int) -> str:
    """RFC 3339 with nanoseconds: as a number they would be beyond what JSON's readers can tell apart."""
    seconds, nanoseconds = divmod(modified_ns, 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{modified_ns} ns"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z"
