"""The regular files below a folder, found without following a link out of it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from fnmatch import translate
from pathlib import Path

import attrs

from dts_fsm.databases.files import TEMPORARY_PREFIX
from dts_fsm.records.checks import path_fault

MAX_DEPTH = 100
"""How deep folders may be nested: each level costs one open file and one stack frame."""


@attrs.frozen(kw_only=True)
class FoundFile:
    """A regular file: its path below the scanned folder, its size, and its time of modification since 1970."""

    path: str
    bytes: int
    modified_ns: int


@attrs.frozen(kw_only=True)
class SkippedFile:
    """Something that was left out.

    Attributes:
        path: below the scanned folder, as Python gives it: it may have control characters and lone surrogates.
        reason: a sentence.
    """

    path: str
    reason: str

    @property
    def printable_path(self) -> str:
        """The path with whatever could play tricks on a terminal or on a log escaped."""
        return self.path if self.path.isprintable() else ascii(self.path)[1:-1]


def find_files(folder: Path, *, exclude: Sequence[str] = ()) -> tuple[list[FoundFile], list[SkippedFile]]:
    """Give the regular files below a folder, and what was left out with the reasons, both in order of path.

    Args:
        exclude: patterns of paths that are left out without a word, as ``fnmatch`` knows them: ``*`` matches slashes,
            too. A folder that matches is not entered.

    Raises:
        OSError: the folder itself cannot be read.
    """
    finder = _Finder(exclude)
    root = os.open(folder, _FOLDER)
    try:
        finder.visit(root, prefix="", depth=0)
    finally:
        os.close(root)
    return sorted(finder.found, key=lambda file: file.path), sorted(finder.skipped, key=lambda file: file.path)


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class _Finder:
    def __init__(self, exclude: Sequence[str]) -> None:
        self.found: list[FoundFile] = []
        self.skipped: list[SkippedFile] = []
        self._excluded = re.compile("|".join(map(translate, exclude)) or r"(?!)")

    def visit(self, folder: int, *, prefix: str, depth: int) -> None:
        """Look at every entry of an open folder, and of the folders in it."""
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            path = prefix + name
            if self._excluded.match(path):
                continue
            try:
                self._look(folder, name, path, depth)
            except OSError as error:
                self._skip(path, error.strerror or "it cannot be read")

    def _look(self, folder: int, name: str, path: str, depth: int) -> None:
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if fault := path_fault(path):
            self._skip(path, fault)
        elif stat.S_ISLNK(info.st_mode):
            self._skip(path, "it is a symbolic link: links are not followed")
        elif stat.S_ISDIR(info.st_mode):
            if depth >= MAX_DEPTH:
                self._skip(path, f"folders are nested more than {MAX_DEPTH} deep")
            else:
                self._enter(folder, name, path, depth)
        elif not stat.S_ISREG(info.st_mode):
            self._skip(path, "it is not a regular file")
        elif name.startswith(TEMPORARY_PREFIX):
            self._skip(path, "it is an unfinished file of a transfer")
        else:
            self.found.append(FoundFile(path=path, bytes=info.st_size, modified_ns=info.st_mtime_ns))

    def _enter(self, folder: int, name: str, path: str, depth: int) -> None:
        # O_NOFOLLOW: the folder may have been exchanged for a symbolic link since we looked
        inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
        try:
            self.visit(inner, prefix=f"{path}/", depth=depth + 1)
        finally:
            os.close(inner)

    def _skip(self, path: str, reason: str) -> None:
        self.skipped.append(SkippedFile(path=path, reason=reason))
