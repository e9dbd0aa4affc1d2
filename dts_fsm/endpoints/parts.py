"""Parts, the unfinished files of moves: how they are named, and how those that nobody works on are removed."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress

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
    with suppress(OSError):  # litter is no reason to fail
        for name in os.listdir(folder):
            if name.startswith(prefix) and (before is None or name[len(prefix) :] < before):
                with suppress(OSError):
                    os.unlink(name, dir_fd=folder)


def clear(root: str, paths: Iterable[str], operation: str) -> None:
    """No parts of the operation are in the folders of these files below the root; what cannot be removed stays.

    No folder is made and no symbolic link followed. Idempotent.
    """
    with suppress(OSError):
        root_fd = open_root(root)
        try:
            for path in {normal_path(path).rpartition("/")[0] for path in paths}:
                with suppress(OSError, UnsafePathError):
                    folder = open_folder(root_fd, components(path) if path else ())
                    try:
                        sweep(folder, operation)
                    finally:
                        os.close(folder)
        finally:
            os.close(root_fd)


def part_prefix(operation: str) -> str:
    """Give how the names of all unfinished files of a move begin."""
    return f".dts-{operation}-"
