"""A provider's own options, checked: unknown ones are refused with the list of those that there are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dts_fsm.config.secret import Secret
from dts_fsm.errors import ConfigurationError

_WORDS: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number above 0",
    float: "a number above 0",
    Secret: "text",
    dict: "a mapping",
    list: "a list",
}


def checked_options(
    options: Mapping[str, Any], kinds: Mapping[str, type], *, owner: str, place: str, error: type[ConfigurationError]
) -> dict[str, Any]:
    """Give the options that have a value, each of the kind that it must have; numbers are above 0.

    Args:
        options: as the configuration has them.
        kinds: what there is: by name str, bool, int, float, Secret, dict or list.
        owner: whose they are, for messages: "an http endpoint".
        place: where they stand, for messages: "endpoints.archive".
        error: the class of what is raised.

    Raises:
        ConfigurationError: of class ``error``, with the option as its key.
    """
    checked = {}
    for name, value in options.items():
        if name not in kinds:
            raise error(f"{owner} has no such option: it has {', '.join(kinds)}", key=f"{place}.{name}")
        if value is None:
            continue
        checked[name] = converted = _of_kind(value, kinds[name])
        if converted is None:
            raise error(f"must be {_WORDS[kinds[name]]}", key=f"{place}.{name}")
    return checked


def _of_kind(value: Any, kind: type) -> Any:
    """The value as one of the kind; None where it is none."""
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    if kind in (int, float):
        number = isinstance(value, int | kind) and not isinstance(value, bool)
        return kind(value) if number and value > 0 and math.isfinite(value) else None
    if kind is dict:
        return dict(value) if isinstance(value, Mapping) and all(isinstance(key, str) for key in value) else None
    return value if isinstance(value, kind) else None
