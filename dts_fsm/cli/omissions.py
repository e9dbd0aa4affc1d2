"""What a catalog leaves out of its folder: what nobody would miss, and what somebody will."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import attrs

from dts_fsm.cli.shown import console, count, say, show_listed
from dts_fsm.databases.files import TEMPORARY_PREFIX, write_file
from dts_fsm.databases.finding import SkippedFile
from dts_fsm.serialization import dump_json, from_json, unstructure

INCOMPLETE = 4
"""The exit status where all went well, and a regular file or a folder had to be left out."""


@attrs.frozen(kw_only=True)
class Omission:
    """Something that was left out.

    Attributes:
        path: below the folder, escaped where it is not printable.
        reason: a sentence.
        missed: True for a regular file and for a folder: somebody counts on those.
    """

    path: str
    reason: str
    missed: bool


@attrs.frozen(kw_only=True)
class Omissions:
    """All that was left out of a folder."""

    files: tuple[Omission, ...] = ()
    num_empty_folders: int = 0

    @classmethod
    def of(cls, folder: Path, skipped: Iterable[SkippedFile], *, num_empty_folders: int = 0) -> Omissions:
        """Give the omissions for what the scan of the folder skipped; those that are missed come first."""
        files = [
            Omission(path=file.printable_path, reason=file.reason, missed=_missed(folder / file.path))
            for file in skipped
        ]
        return cls(files=tuple(sorted(files, key=lambda file: not file.missed)), num_empty_folders=num_empty_folders)

    @classmethod
    def read(cls, file: Path) -> Omissions:
        """Give what ``write`` has written; nothing where there is no file.

        Raises:
            SerializationError: the file has been damaged.
        """
        try:
            return from_json(file.read_bytes(), cls)
        except FileNotFoundError:
            return cls()

    def write(self, file: Path) -> None:
        """The file has these omissions, for the run that goes on with the transfer."""
        write_file(file, dump_json(unstructure(self)).encode())

    @property
    def num_missed(self) -> int:
        """How many regular files and folders were left out."""
        return sum(file.missed for file in self.files)

    def as_json(self) -> list[dict[str, Any]]:
        """Give one entry for each file."""
        return [unstructure(file) for file in self.files]

    def tell(self, folder: Path, *, quiet: bool) -> None:
        """Who reads standard error knows what was left out; quietly, only what is missed."""
        told = [file for file in self.files if file.missed or not quiet]
        if told:
            say(f"left out of {folder}: {len(told):,}")
            show_listed(console(err=True), ("path", "reason"), [(file.path, file.reason) for file in told])
        if self.num_empty_folders and not quiet:
            say(f"left out of {folder}: {count(self.num_empty_folders, 'empty folder')}")

    def tell_end(self) -> None:
        """Who reads the end of standard error knows that not everything is there."""
        if self.num_missed:
            say(f"incomplete: {self.num_missed:,} of the files and folders had to be left out, see above")


def is_excluded(path: str, patterns: Sequence[str]) -> bool:
    """True where the path, or a folder above it, matches a pattern: the rule of ``find_files``."""
    parts = path.split("/")
    ways = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return any(fnmatchcase(way, pattern) for way in ways for pattern in patterns)


def num_empty_folders(folder: Path, *, exclude: Sequence[str]) -> int:
    """Give how many folders below have nothing in them; what is excluded is not looked at."""
    number = 0
    for here, folders, files in os.walk(folder):
        below = Path(here).relative_to(folder)
        number += not folders and not files and here != str(folder)
        folders[:] = [name for name in folders if not is_excluded((below / name).as_posix(), exclude)]
    return number


def _missed(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError):
        return True  # what it is cannot be told: it may be a file that matters
    return stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and not path.name.startswith(TEMPORARY_PREFIX))
