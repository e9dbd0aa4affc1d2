"""The folders that are collections of the loopback Globus, and the files that are carried between them."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import attrs

_CHUNK_BYTES = 1 << 20

ALGORITHMS = ("MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512")
"""Source: https://docs.globus.org/api/transfer/task_submit/, transfer_item, checksum_algorithm."""


class FileError(Exception):
    """A file cannot be carried.

    Attributes:
        code: of the event that tells of it. Source: https://docs.globus.org/api/transfer/task_events/.
        path: of the file, at the end that is to blame.
    """

    def __init__(self, code: str, path: str, said: str) -> None:
        super().__init__(said)
        self.code, self.path = code, path


@attrs.define(kw_only=True)
class Collection:
    """A folder of this machine as a collection; no path leads out of it, symbolic links included.

    Attributes:
        root: the folder.
        denied: the paths that may not be read or written, whoever runs this.
        full: whether its quota is used up.
        damages: by path, how often a file will be written wrongly there.
        paused: what an administrator says of why it is paused; None: it is not.
    """

    root: Path
    denied: set[str] = attrs.field(factory=set)
    full: bool = False
    damages: dict[str, int] = attrs.field(factory=dict)
    paused: str | None = None

    def place(self, path: str) -> Path:
        """Give where this path of the collection is, a folder's own included."""
        pure = PurePosixPath(path)
        if not path.startswith("/") or ".." in pure.parts or "\0" in path:
            raise FileError("INVALID_PATH_NAME", path, "Invalid path name")
        if path in self.denied:
            raise FileError("PERMISSION_DENIED", path, "Permission denied")
        place = self.root.joinpath(*pure.parts[1:])
        if not place.resolve().is_relative_to(self.root.resolve()):
            raise FileError("PERMISSION_DENIED", path, "Path not allowed")
        return place

    def stat(self, path: str) -> dict[str, Any] | None:
        """Give the document of a file or folder; None where there is none."""
        try:
            return _document(self.place(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def listing(self, path: str) -> list[dict[str, Any]] | None:
        """Give the documents of what is in a folder, by name; None where there is no such folder."""
        try:
            inside = sorted(self.place(path).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return None
        return [_document(each) for each in inside if each.exists()]


def _document(place: Path) -> dict[str, Any]:
    found = place.stat()
    return {
        "DATA_TYPE": "file",
        "name": place.name,
        "type": "dir" if place.is_dir() else "file",
        "size": found.st_size,
        "permissions": f"{found.st_mode & 0o7777:04o}",
        "last_modified": datetime.fromtimestamp(int(found.st_mtime), UTC).isoformat(" "),
    }


def carried(
    item: Mapping[str, Any], terms: Mapping[str, Any], source: Collection, destination: Collection
) -> dict[str, Any] | None:
    """The file is at its destination, whole; give the document that says so, or None for one that was there.

    Args:
        item: the transfer_item.
        terms: the transfer document that it is in.
        source, destination: where its paths are.

    Raises:
        FileError: it is not there.
    """
    came_from, path = item["source_path"], item["destination_path"]
    with _faults(came_from):
        original = source.place(came_from)
        if original.is_dir():
            raise FileError("IS_A_DIRECTORY", came_from, "Path is a directory")
        before = original.stat()
    with _faults(path):
        target = destination.place(path)
        if target.exists() and _is_there(terms.get("sync_level"), original, before, target):
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        if destination.full:
            raise FileError("QUOTA_EXCEEDED", path, "Quota exceeded")
    half = target.with_name(f".globus-{uuid4().hex}")
    try:
        algorithm = item.get("checksum_algorithm") or "MD5"
        with _faults(came_from):
            digest = _copied(original, half, algorithm)
        expected = item.get("external_checksum")
        if expected is not None and expected.lower() != digest:
            raise FileError("EXTERNAL_CHECKSUM_MISMATCH", path, "Checksum does not match the external checksum")
        if destination.damages.get(path, 0) > 0:
            destination.damages[path] -= 1
            if terms.get("verify_checksum"):
                raise FileError("VERIFY_CHECKSUM", path, "Checksum verification failed")
            half.write_bytes(b"\xff" + half.read_bytes()[1:])
        with _faults(path):
            half.replace(target)
    finally:
        half.unlink(missing_ok=True)
    success = {
        "DATA_TYPE": "successful_transfer",
        "source_path": came_from,
        "destination_path": path,
        "size": before.st_size,
    }
    if expected is not None or terms.get("verify_checksum"):
        success |= {"checksum": digest, "checksum_algorithm": algorithm}
    return success


def _copied(original: Path, half: Path, algorithm: str) -> str:
    hasher = hashlib.new(algorithm.lower(), usedforsecurity=False)
    with original.open("rb") as reading, half.open("xb") as writing:
        while chunk := reading.read(_CHUNK_BYTES):
            hasher.update(chunk)
            writing.write(chunk)
    return hasher.hexdigest()


def _is_there(level: int | None, original: Path, found: os.stat_result, target: Path) -> bool:
    """Whether the file need not be carried.

    Source: https://docs.globus.org/api/transfer/task_submit/, sync_level: each level has those below it.
    """
    there = target.stat()
    same_size = there.st_size == found.st_size
    rules: Mapping[int | None, Callable[[], bool]] = {
        None: lambda: False,
        0: lambda: True,
        1: lambda: same_size,
        2: lambda: same_size and found.st_mtime <= there.st_mtime,
        3: lambda: same_size and original.read_bytes() == target.read_bytes(),
    }
    return rules[level]()


class _faults:  # noqa: N801 - it is used as a function
    """What the operating system says of a path, as Globus would."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, OSError):
            return
        codes = {
            errno.ENOENT: "FILE_NOT_FOUND",
            errno.ENOTDIR: "FILE_NOT_FOUND",
            errno.EISDIR: "IS_A_DIRECTORY",
            errno.ENOSPC: "NO_SPACE_LEFT",
            errno.EDQUOT: "QUOTA_EXCEEDED",
            errno.ENAMETOOLONG: "INVALID_PATH_NAME",
            errno.ELOOP: "INVALID_SYMLINK",
        }
        code = codes.get(error.errno or 0, "PERMISSION_DENIED")
        raise FileError(code, self._path, os.strerror(error.errno or errno.EACCES)) from error
