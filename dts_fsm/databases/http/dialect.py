"""How a service names what it is asked, and what it answers: configurable, with the guide's words as defaults.

Source: the integration guide of KBase's Data Transfer Service, which says what an organization offers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote

import attrs

from dts_fsm.errors import InvalidDatabaseConfigError
from dts_fsm.records import SearchFileStatus, StagingStatus

_PATHS = {"resources": "resources", "search": "search", "staging": "staging", "local_user": "localuser/{orcid}"}

_FIELDS = {
    "ids": "ids",
    "orcid": "orcid",
    "query": "query",
    "status": "status",
    "offset": "offset",
    "limit": "limit",
    "request_id": "request_id",
    "staging_id": "id",
    "staging_status": "status",
    "username": "username",
    "resources": "resources",
}

_WORDS: Mapping[str, Sequence[str]] = {
    "active": ("active", "new", "pending", "staging", "running"),
    "succeeded": ("succeeded", "ready", "staged", "done"),
    "failed": ("failed", "error"),
    "unknown": ("unknown",),
    "staged": ("staged",),
    "unstaged": ("unstaged",),
}


def _merged(default: Mapping[str, Any], given: Mapping[str, Any], *, kind: str, place: str) -> dict[str, Any]:
    for name, value in given.items():
        if name not in default:
            raise InvalidDatabaseConfigError(
                f"there is no such one: there are {', '.join(default)}", key=f"{place}.{name}"
            )
        words = value if kind == "words" and isinstance(value, list) else [value]
        if not words or not all(isinstance(word, str) and word for word in words):
            raise InvalidDatabaseConfigError("must be text", key=f"{place}.{name}")
    return {**default, **given}


@attrs.frozen(kw_only=True)
class Dialect:
    """The names that a service uses.

    Attributes:
        paths: of "resources", "search", "staging" and "local_user", relative to the service's URL; "{orcid}" in the
            last stands for the user's.
        fields: of queries, bodies and answers: our name -> the service's.
        descriptor: the properties of a descriptor: ours -> the service's, for those that have another name there.
        words: of the status of a staging request and of searched files: ours -> the service's, in lower case; the first
            is the one that is asked with.
        ids_separator: what stands between the ids of a query; "" where each has a parameter of its own.
    """

    paths: Mapping[str, str]
    fields: Mapping[str, str]
    descriptor: Mapping[str, str]
    words: Mapping[str, Sequence[str]]
    ids_separator: str = ","

    @classmethod
    def from_options(cls, options: dict[str, Any], *, place: str) -> Self:
        """Take the dialect's options out of those of a configuration.

        Raises:
            InvalidDatabaseConfigError: one has a name that there is not, or is no text.
        """
        words = _merged(_WORDS, options.pop("words", {}), kind="words", place=f"{place}.words")
        own = ("id", "name", "path", "bytes", "hash", "endpoint")
        descriptor = options.pop("descriptor", {})
        _merged(dict.fromkeys(own, ""), descriptor, kind="text", place=f"{place}.descriptor")
        return cls(
            paths=_merged(_PATHS, options.pop("paths", {}), kind="text", place=f"{place}.paths"),
            fields=_merged(_FIELDS, options.pop("fields", {}), kind="text", place=f"{place}.fields"),
            descriptor=descriptor,
            words={
                name: [word.lower() for word in ([value] if isinstance(value, str) else value)]
                for name, value in words.items()
            },
            ids_separator=options.pop("ids_separator", ","),
        )

    def user_path(self, orcid: str) -> str:
        """Give the path at which the local user of an ORCID is asked for."""
        return self.paths["local_user"].replace("{orcid}", quote(orcid, safe=""))

    def status(self, word: object) -> StagingStatus | None:
        """Give what a word of the service means, or None."""
        text = word.strip().lower() if isinstance(word, str) else None
        return next((status for status in StagingStatus if text in self.words[status.value]), None)

    def search_word(self, status: SearchFileStatus) -> str | None:
        """Give the service's word for files of this status, or None for all files."""
        return None if status is SearchFileStatus.ANY else self.words[status.value][0]

    def resource(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Give a resource with its properties under our names."""
        theirs = {name: ours for ours, name in self.descriptor.items()}
        return {theirs.get(name, name): value for name, value in given.items() if value is not None}
