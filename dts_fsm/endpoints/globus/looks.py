"""Looks at what is in a collection: the sizes of files, with few requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from dts_fsm.endpoints.globus.client import Account
from dts_fsm.endpoints.globus.faults import DeniedError, MissingError
from dts_fsm.endpoints.globus.place import Place

MAX_LISTED = 100_000
"""How many entries of a folder Globus lists.

Source: https://docs.globus.org/api/transfer/file_operations/#list_directory_contents, limit.
"""

_AT_ONCE = 8


def sizes(
    account: Account, place: Place, paths: Iterable[str], *, most: int | None = None, denied: bool = True
) -> Mapping[str, int]:
    """Give the sizes of the files at these paths below the place; what is not there, or is no file, is left out.

    One request asks for all files of a folder.

    Args:
        account: who asks.
        place: where the paths are; they have no fault.
        paths: of files.
        most: how many folders are looked into; None: all. Files in the others are left out.
        denied: whether a folder that may not be read is an error; else its files are left out.

    Raises:
        TransientError: Globus or the collection cannot answer now.
        PermanentError: they refuse to.
    """
    folders: dict[str, dict[str, str]] = {}
    for path in paths:
        folder, _, name = place.path(path).rpartition("/")
        folders.setdefault(folder or "/", {})[name] = path

    def look(folder: str) -> dict[str, int]:
        try:
            return _in_folder(account, place.collection, folder, folders[folder])
        except DeniedError:
            if denied:
                raise
            return {}

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="dts-globus-look") as threads:
        found: dict[str, int] = {}
        for part in threads.map(look, islice(folders, most)):
            found |= part
    return found


def _in_folder(account: Account, collection: str, folder: str, wanted: Mapping[str, str]) -> dict[str, int]:
    """The sizes of files in a folder, by path; ``wanted`` has their paths by name."""
    listed: Mapping[str, int] = {}
    if len(wanted) > 1:
        try:
            listed = account.listing(collection, folder)
        except MissingError:
            return {}
        if len(listed) < MAX_LISTED:
            return {path: listed[name] for name, path in wanted.items() if name in listed}
    found = {}
    for name, path in wanted.items():
        size = listed.get(name)
        if size is None:
            try:
                size = account.size(collection, f"{folder.rstrip('/')}/{name}")
            except MissingError:
                continue
        if size is not None:
            found[path] = size
    return found
