"""The map from ORCIDs to a database's local users, from a CSV, TSV or JSON file."""

from __future__ import annotations

import csv
import json
import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dts_fsm.databases.files import Rereader
from dts_fsm.errors import InvalidDatabaseConfigError, InvalidOrcidError
from dts_fsm.records.checks import is_orcid, is_unicode

logger = logging.getLogger(__name__)

USERS_FILES = ("users.json", "users.csv")
"""Where a database looks for its users, in this order, when its configuration names no file."""

MAX_USERS_BYTES = 64 * 1024 * 1024
MAX_USER_BYTES = 255
"""The longest name of one folder on the usual file systems."""

_LINE_END = re.compile(r"\r\n|\r|\n")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class UserMap:
    """Gives the local user of an ORCID; reads its file again whenever that has changed.

    A CSV file has a header that names the columns ``orcid`` and ``user`` (or ``username``), or none, and then the first
    two columns are meant, in either order; blank lines and lines that begin with # do not count. A file whose name
    ends in .tsv has tabs instead of commas. A JSON file is an object ``{orcid: user}``, or a list of objects with
    ``orcid`` and ``username`` (or ``user``).

    Args:
        files: the first of them that exists is read.
        required: whether one must exist; otherwise, without a file, each ORCID is its own local user.
        root: a folder that symbolic links must not lead out of, for files below it.
        steady: whether the former content counts, whole, while a file that has been read once has a fault or is not
            there; that is logged, and told to those who are not found. Otherwise everybody is refused meanwhile.
    """

    def __init__(
        self,
        files: Sequence[Path] = (),
        *,
        required: bool = False,
        root: Path | None = None,
        steady: bool = False,
    ) -> None:
        self._files, self._required, self._steady = tuple(files), required, steady
        self._reader = Rereader(_parsed, max_bytes=MAX_USERS_BYTES, root=root)
        self._lock = threading.Lock()
        self._kept: dict[Path, Mapping[str, str]] = {}
        self._faults: dict[Path, str] = {}

    def local_user(self, orcid: str) -> str:
        """Give the local user of this ORCID. Idempotent.

        Raises:
            InvalidOrcidError: the ORCID is malformed, or the file does not have it.
            InvalidDatabaseConfigError: the file has a fault (with line or key), leads outside the root, or does
                not exist and is required.
        """
        if not is_orcid(orcid):
            raise InvalidOrcidError(orcid, "does not have the form dddd-dddd-dddd-dddX")
        for file in self._files:
            try:
                users, former = self._read(file)
            except FileNotFoundError:
                continue
            if orcid not in users:
                # not the fault itself: its text may have other people's names
                told = "; its former content counts, for it has a fault: see the log" if former else ""
                raise InvalidOrcidError(orcid, f"has no local user here: add it to {file.name}{told}")
            return users[orcid]
        if self._required:
            names = " or ".join(str(file) for file in self._files)
            raise InvalidDatabaseConfigError("the users file does not exist: create it", file=names, key="users")
        return orcid

    def _read(self, file: Path) -> tuple[Mapping[str, str], bool]:
        """The users of a file, and whether these are its former content, as the present one has a fault."""
        try:
            found = self._reader.get(file)
            if isinstance(found, InvalidDatabaseConfigError):
                raise found.with_traceback(None)
        except (InvalidDatabaseConfigError, FileNotFoundError) as error:
            if not self._steady or file not in self._kept:
                raise
            fault = "it is not there" if isinstance(error, FileNotFoundError) else str(error)
            self._tell(file, fault)
            return self._kept[file], True
        if self._steady:
            self._kept[file] = found
            self._tell(file, "")
        return found, False

    def _tell(self, file: Path, fault: str) -> None:
        """Log a change of what is wrong with a file, once."""
        with self._lock:
            before, self._faults[file] = self._faults.get(file, ""), fault
        extra = {"action": "read users", "file": str(file)}
        if fault and fault != before:
            logger.warning("the users file has a fault: its former content counts", extra=extra | {"fault": fault})
        elif before and not fault:
            logger.info("the users file can be read again", extra=extra)


def _parsed(path: Path, content: bytes) -> Mapping[str, str] | InvalidDatabaseConfigError:
    """What ``parse_users`` gives or raises: a fault is kept as well, until the file changes."""
    try:
        return parse_users(path, content)
    except InvalidDatabaseConfigError as error:
        return error


def parse_users(path: Path, content: bytes) -> Mapping[str, str]:
    """Give the users by ORCID that a file says; its name ends in .json, .tsv or .csv.

    Raises:
        InvalidDatabaseConfigError: it is of neither form, an ORCID is malformed or there twice, or a user is empty or
            could not be the name of one folder.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidDatabaseConfigError(f"it is not UTF-8: {error.reason}", file=str(path)) from error
    users: dict[str, str] = {}
    rows = _json_rows(path, text) if path.suffix.lower() == ".json" else _csv_rows(path, text)
    for line, key, orcid, user in rows:
        fault = _orcid_fault(orcid) or user_fault(user)
        if fault is None and orcid in users:
            fault = f"the ORCID {orcid!r} is there twice"
        if fault:
            raise InvalidDatabaseConfigError(fault, file=str(path), line=line, key=key)
        users[orcid] = user
    return users


def _orcid_fault(orcid: object) -> str | None:
    if isinstance(orcid, str) and is_orcid(orcid):
        return None
    return f"{orcid!r} is not an ORCID: the form is dddd-dddd-dddd-dddX"


def user_fault(user: object) -> str | None:
    """Give what makes a name unusable for a local user, or None: it becomes a folder's."""
    if not isinstance(user, str) or not user.strip():
        return f"the local user must be a name, not {user!r}"
    if not is_unicode(user) or _CONTROL.search(user) or "/" in user or "\\" in user or user in (".", ".."):
        return f"the local user {user!r} cannot be the name of a folder: no slashes, control characters, '.' or '..'"
    if user != user.strip() or len(user.encode()) > MAX_USER_BYTES:
        return f"the local user {user!r} has blanks at its ends, or more than {MAX_USER_BYTES} bytes"
    return None


_Row = tuple[int | None, str | None, Any, Any]


def _csv_rows(path: Path, text: str) -> Iterator[_Row]:
    columns: tuple[int, int] | None = None
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    for line, content in enumerate(_LINE_END.split(text), start=1):
        if not content.strip() or content.lstrip().startswith("#"):
            continue
        try:
            cells = next(csv.reader([content], strict=True, skipinitialspace=True, delimiter=delimiter))
            row = [cell.strip() for cell in cells]
        except csv.Error as error:
            raise InvalidDatabaseConfigError(f"it is not CSV: {error}", file=str(path), line=line) from error
        if columns is None:
            columns = _header(path, line, row)
            if columns:
                continue
            columns = (1, 0) if len(row) > 1 and is_orcid(row[1]) and not is_orcid(row[0]) else (0, 1)
        if len(row) <= max(columns):
            raise InvalidDatabaseConfigError("the line needs an ORCID and a user", file=str(path), line=line)
        yield line, None, row[columns[0]], row[columns[1]]


def _header(path: Path, line: int, row: Sequence[str]) -> tuple[int, int] | None:
    names = [cell.lower() for cell in row]
    if "orcid" not in names:
        return None
    for name in ("user", "username"):
        if name in names:
            return names.index("orcid"), names.index(name)
    raise InvalidDatabaseConfigError("the header has no column 'user' or 'username'", file=str(path), line=line)


def _json_rows(path: Path, text: str) -> Iterator[_Row]:
    try:
        # pairs, not a dict: of two entries with one ORCID json would silently keep the last
        value = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise InvalidDatabaseConfigError(f"it is not JSON: {error}", file=str(path)) from error
    if isinstance(value, _Pairs):
        for orcid, user in value:
            yield None, repr(orcid), orcid, user
        return
    if not isinstance(value, list):
        raise InvalidDatabaseConfigError("it must be an object {orcid: user}, or a list of objects", file=str(path))
    for index, item in enumerate(value):
        if not isinstance(item, _Pairs):
            raise InvalidDatabaseConfigError(
                "it must be an object with orcid and username", file=str(path), key=f"[{index}]"
            )
        entry = dict(item)
        yield None, f"[{index}]", entry.get("orcid"), entry.get("username", entry.get("user"))


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs, to be told from a JSON list."""
