"""What a search in a catalog means: words, patterns, and values of properties."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import translate
from typing import Any

import attrs

from dts_fsm.databases.catalog_file import Catalog
from dts_fsm.errors import InvalidSearchParameterError
from dts_fsm.records import Descriptor
from dts_fsm.records.checks import shown

SPECIFIC_PARAMETERS = ("format", "mediatype")
"""The properties of descriptors by whose value a search can be narrowed."""

MAX_QUERY_CHARACTERS = 4096
"""Far beyond what people type; more would let one request occupy a thread for long."""

_PATTERN = re.compile(r"[*?]|\[.[^]]*\]")


@attrs.frozen(kw_only=True)
class Query:
    """A search, ready to be asked of many descriptors; everything is without regard to case.

    Attributes:
        words: each must occur in id, name, path, title, description or a keyword.
        patterns: each must match the whole of path, name or id.
        values: property -> the value that it must have, in lower case.
    """

    words: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]
    values: Mapping[str, str]

    @classmethod
    def parse(cls, text: str, specific: Mapping[str, Any], *, catalog: Catalog, database: str) -> Query:
        """Give the query of these words and patterns, separated by blanks; ``*`` in a pattern matches slashes, too.

        Raises:
            InvalidSearchParameterError: a specific parameter is unknown, or has a value that no descriptor has; the
                text is too long.
        """
        if len(text) > MAX_QUERY_CHARACTERS:
            raise InvalidSearchParameterError(database, f"the query is longer than {MAX_QUERY_CHARACTERS} characters")
        terms = text.split()
        patterns = [term for term in terms if _PATTERN.search(term)]
        known = specific_values(catalog) if specific else {}
        for name, value in specific.items():
            if name not in known:
                raise InvalidSearchParameterError(
                    database, f"there is no parameter {shown(name)}; known are: {', '.join(known)}"
                )
            if not isinstance(value, str) or value.lower() not in known[name]:
                raise InvalidSearchParameterError(
                    database, f"{name} cannot be {shown(value)}; its values are: {', '.join(known[name]) or 'none'}"
                )
        return cls(
            words=tuple(term.casefold() for term in terms if term not in patterns),
            patterns=tuple(re.compile(translate(pattern), re.IGNORECASE) for pattern in patterns),
            values={name: value.lower() for name, value in specific.items()},
        )

    def matches(self, catalog: Catalog) -> Iterator[Descriptor]:
        """Give the descriptors that match, in the catalog's order."""
        for descriptor, text in zip(catalog.descriptors, catalog.search_texts, strict=True):
            if (
                all(word in text for word in self.words)
                and all(_property(descriptor, name) == value for name, value in self.values.items())
                and all(_matches(pattern, descriptor) for pattern in self.patterns)
            ):
                yield descriptor


def specific_values(catalog: Catalog) -> dict[str, list[str]]:
    """Give for each of ``SPECIFIC_PARAMETERS`` the values that the catalog's descriptors have, in order."""
    return {
        name: sorted({value for descriptor in catalog.descriptors if (value := _property(descriptor, name))})
        for name in SPECIFIC_PARAMETERS
    }


def _property(descriptor: Descriptor, name: str) -> str:
    value = descriptor.properties.get(name)
    return value.lower() if isinstance(value, str) else ""


def _matches(pattern: re.Pattern[str], descriptor: Descriptor) -> bool:
    fields = (descriptor.path or "", descriptor.name, descriptor.id)
    return any(pattern.match(field) is not None for field in fields)
