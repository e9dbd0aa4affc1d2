"""A catalog made from the files of a folder, and brought up to date when the folder has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from glob import escape
from pathlib import Path, PurePosixPath

import attrs

from dts_fsm.databases.catalog_file import (
    CATALOG_FILE,
    Catalog,
    frictionless_name,
    read_catalog,
    unwritable,
    write_catalog,
)
from dts_fsm.databases.finding import FoundFile, SkippedFile, find_files
from dts_fsm.databases.hashing import Progress, hash_files
from dts_fsm.databases.media import format_of
from dts_fsm.databases.users import USERS_FILES
from dts_fsm.errors import InvalidDatabaseConfigError, InvalidDescriptorError
from dts_fsm.records import Checksum, Descriptor
from dts_fsm.records.checksum import DEFAULT_ALGORITHM

_CORRECT = "correct it, or take it out, and run this again"


@attrs.frozen(kw_only=True)
class Scan:
    """What the scan of a folder found.

    Attributes:
        catalog: the files in order of path, then the inline resources that were there.
        skipped: what was left out, and why, in order of path.
        gone: the paths of former resources that are no longer there, in order.
        num_hashed, num_bytes_hashed: what had to be read; the other files had not changed.
    """

    catalog: Catalog
    skipped: tuple[SkippedFile, ...]
    gone: tuple[str, ...]
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
    modification are the same their checksum; its package properties and inline resources are kept. Files that are gone
    are dropped. A resource whose file, or a folder above it, had to be skipped stays as it was: what somebody wrote
    about it must not be lost with a day's missing permission.

    Args:
        algorithm: one of ``dts_fsm.records.checksum.DIGEST_HEX_DIGITS``.
        progress: see ``hash_files``.
        exclude: see ``find_files``; by default the catalog and the users files of the folder itself.

    Raises:
        OSError: the folder cannot be read.
        ValueError: the algorithm is unknown.
        InvalidDescriptorError: the path of a new file is already the id of another resource.
    """
    previous = previous or Catalog()
    known: dict[str, list[Descriptor]] = {}
    inline = [descriptor for descriptor in previous.descriptors if descriptor.path is None]
    for descriptor in previous.descriptors:
        if descriptor.path is not None:
            known.setdefault(descriptor.path, []).append(descriptor)
    found, skipped = find_files(folder, exclude=exclude)
    kept = {file.path: _kept_hash(file, known.get(file.path, ()), algorithm) for file in found}
    changed = [file for file in found if kept[file.path] is None]
    hashed, not_hashed = hash_files(folder, changed, algorithm=algorithm, progress=progress)
    skipped = sorted((*skipped, *not_hashed), key=lambda file: file.path)

    names = _Names(descriptor.name for descriptor in previous.descriptors)
    descriptors: list[Descriptor] = []
    for file in found:
        if (checksum := kept[file.path] or hashed.get(file.path)) is not None:
            earlier = known.pop(file.path, None)
            descriptors.extend(
                [_updated(file, checksum, before) for before in earlier]
                if earlier
                else [_described(file, checksum, names)]
            )
    unseen = _below({file.path for file in skipped}, known)
    descriptors.extend(descriptor for path in unseen for descriptor in known.pop(path))
    descriptors.sort(key=lambda descriptor: descriptor.path or "")
    return Scan(
        catalog=Catalog(
            properties=previous.properties,
            descriptors=(*descriptors, *inline),
            unsized=previous.unsized & {descriptor.id for descriptor in descriptors if descriptor.path in unseen},
        ),
        skipped=tuple(skipped),
        gone=tuple(sorted(known)),
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

    What the file said before is kept as ``scan`` says, and only files that are new or changed are read. Resources that
    share a path are kept: ``Scan.catalog.shared_paths`` names them.

    Raises:
        InvalidDatabaseConfigError, InvalidDescriptorError: the present file, a property or a resource of it, cannot be
            used, or it is a link that leads outside the folder; it is left as it is.
        OSError, ValueError, SerializationError: as ``scan`` and ``write_catalog``.
    """
    path = catalog_file or folder / CATALOG_FILE
    try:
        previous = read_catalog(path, root=folder)
    except FileNotFoundError:
        previous = Catalog()
    # before hours of hashing, not after them
    if found := unwritable(dict(previous.properties)):
        place, fault = found
        raise InvalidDatabaseConfigError(f"{fault}; {_CORRECT}", file=str(path), key=place or None)
    for resource_id, fault in previous.faults.items():
        raise InvalidDescriptorError(resource_id, f"{fault}; {_CORRECT}")
    own = path.parent.resolve() / path.name
    excluded = [CATALOG_FILE, *USERS_FILES, *exclude]
    if own.is_relative_to(folder.resolve()):
        excluded.append(escape(own.relative_to(folder.resolve()).as_posix()))
    result = scan(folder, algorithm=algorithm, previous=previous, progress=progress, exclude=excluded)
    write_catalog(path, result.catalog)
    return result


def _below(skipped: set[str], paths: Iterable[str]) -> set[str]:
    """Those of the paths that were skipped, or are below a folder that was."""
    return {
        path
        for path in paths
        if path in skipped or any(str(folder) in skipped for folder in PurePosixPath(path).parents)
    }


def _kept_hash(file: FoundFile, before: Sequence[Descriptor], algorithm: str) -> Checksum | None:
    for descriptor in before:
        same = descriptor.bytes == file.bytes and descriptor.properties.get("modified") == _time(file.modified_ns)
        if same and descriptor.hash is not None and descriptor.hash.algorithm == algorithm:
            return descriptor.hash
    return None


def _updated(file: FoundFile, checksum: Checksum, before: Descriptor) -> Descriptor:
    properties = format_of(file.path) | dict(before.properties) | {"modified": _time(file.modified_ns)}
    return attrs.evolve(before, bytes=file.bytes, hash=checksum, properties=properties)


def _described(file: FoundFile, checksum: Checksum, names: _Names) -> Descriptor:
    return Descriptor(
        id=file.path,
        name=names.new(file.path),
        path=file.path,
        bytes=file.bytes,
        hash=checksum,
        properties=format_of(file.path) | {"modified": _time(file.modified_ns)},
    )


class _Names:
    """Makes names as Frictionless wants them, each once."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        # many names may come down to the same hyphens: counting from 1 each time would be quadratic
        self._numbers: Counter[str] = Counter()

    def new(self, path: str) -> str:
        """Give a name for the file that no other resource has."""
        base = name = frictionless_name(path)
        while name in self._taken:
            self._numbers[base] += 1
            name = f"{base}-{self._numbers[base] + 1}"
        self._taken.add(name)
        return name


def _time(modified_ns: int) -> str:
    """RFC 3339 with nanoseconds: as a number they would be beyond what JSON's readers can tell apart."""
    seconds, nanoseconds = divmod(modified_ns, 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{modified_ns} ns"
    return f"{moment.replace(tzinfo=None).isoformat()}.{nanoseconds:09}Z"
