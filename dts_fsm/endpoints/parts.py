"""Parts, the unfinished files of moves: how they are named, and how those that nobody works on are removed."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial

from dts_fsm.endpoints.beneath import components, open_folder, open_root
from dts_fsm.errors import UnsafePathError
from dts_fsm.records.checks import normal_path


def part_names(operation: str, attempt: str) -> Iterator[str]:
    """Give names that no other file has, one after the other; operation and attempt are those of the batch."""
    unique = f"{part_prefix(operation)}{attempt}-{secrets.token_hex(8)}"
    return (f"{unique}-{number}.part" for number in itertools.count())


def sweep(folder: int, operation: str, *, before: str | None = None) -> None:
    """No parts of the operation are in the folder, or none of attempts earlier than this; what cannot be removed stays.

    Those of a later attempt are left alone: a forgotten run that begins late must not disturb the one that counts.
    """
    prefix = part_prefix(operation)
    _remove(folder, lambda name: name.startswith(prefix) and (before is None or name[len(prefix) :] < before))


def clear(root: str, paths: Iterable[str], operation: str) -> None:
    """No parts of these files are in their folders below the root; those of the operation's other files stay."""
    begins: dict[str, set[str]] = {}
    for folder, _, name in (normal_path(path).rpartition("/") for path in paths):
        begins.setdefault(folder, set()).add(part_begins(operation, name))
    for folder, unwanted in begins.items():
        _within(root, folder, partial(_remove, unwanted=partial(is_part_of, unwanted)))


def clear_folders(root: str, paths: Iterable[str], operation: str) -> None:
    """No parts of the operation are in the folders of these files below the root, whatever files they are of."""
    for path in {normal_path(path).rpartition("/")[0] for path in paths}:
        _within(root, path, partial(sweep, operation=operation))


def part_begins(operation: str, name: str) -> str:
    """Give how the names of all parts begin that a move makes of one file, of this name; no "-" follows."""
    return f"{part_prefix(operation)}{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:24]}-"


def is_part_of(begins: Collection[str], name: str) -> bool:
    """Say whether a name is that of a part of one of the files whose parts begin so."""
    return name[: name.rfind("-") + 1] in begins


def part_prefix(operation: str) -> str:
    """Give how the names of all unfinished files of a move begin."""
    return f".dts-{operation}-"


def _within(root: str, path: str, act: Callable[[int], object]) -> None:
    """Act on a folder below the root, if it is there. No folder is made, and no symbolic link followed."""
    with suppress(OSError, UnsafePathError):
        root_fd = open_root(root)
        try:
            folder = open_folder(root_fd, components(path) if path else ())
        finally:
            os.close(root_fd)
        try:
            act(folder)
        finally:
            os.close(folder)


def _remove(folder: int, unwanted: Callable[[str], bool]) -> None:
    """Remove what has an unwanted name; what cannot be removed stays."""
    with suppress(OSError):  # litter is no reason to fail
        for name in filter(unwanted, os.listdir(folder)):
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)
