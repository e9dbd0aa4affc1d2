"""Takes secrets out of texts that others wrote."""

from __future__ import annotations

import base64
import json
import re
import traceback
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

import attrs

from dts_fsm.config.secret import Secret

_MASK = "***"
_PERCENT = re.compile("%[0-9A-F]{2}")
_SHORTEST_ENCODED = 4
"""Shorter pieces of a secret's other forms stand in texts by chance; a secret as it is is masked at any length."""


class Redactor:
    """Gives texts and errors with ``***`` for every secret that stands anywhere in the records; true if there is one.

    Masked are a secret itself, and its percent-encoded, base64, JSON and ``repr`` forms; in base64 also as a part of
    something longer, as in an Authorization header.
    """

    def __init__(self, *records: Any) -> None:
        forms = {form for secret in _secrets(records) for form in _forms(secret)}
        # The longest first: one secret may be a part of another.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))

    def __bool__(self) -> bool:
        return bool(self._forms)

    def __call__(self, text: str) -> str:
        """Give the text without secrets."""
        for form in self._forms:
            text = text.replace(form, _MASK)
        return text

    def error(self, error: BaseException) -> BaseException:
        """Give the error itself, or, where a secret shows in it, in its attributes or its causes, one in its stead.

        That one is of the same class where this is possible, has the same traceback and masked texts, and no causes.
        """
        if not self._shows_in(error):
            return error
        masked = self._masked(error)
        if masked is None or self._shows_in(masked):
            masked = RuntimeError(self(f"{type(error).__name__}: {words(error)}"))
        masked.with_traceback(error.__traceback__)
        # a line of the source may have the secret in it
        return masked.with_traceback(None) if self._shows_in(masked) else masked

    def _shows_in(self, error: BaseException) -> bool:
        if not self._forms:
            return False
        try:
            shown = f"{''.join(traceback.format_exception(error))}{error.args!r}{vars(error)!r}"
        except Exception:
            return True  # nobody could show it either
        return any(form in shown for form in self._forms)

    def _masked(self, error: BaseException) -> BaseException | None:
        kind = type(error)
        try:
            masked = kind.__new__(kind)
        except TypeError:
            return None  # it cannot be made without arguments of its own
        masked.args = tuple(self._value(argument) for argument in error.args)
        vars(masked).update({name: self._value(value) for name, value in vars(error).items()})
        return masked

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self(value)
        if isinstance(value, list):
            return [self._value(item) for item in value]
        return tuple(map(self._value, value)) if isinstance(value, tuple) else value


def redacted(text: str, record: Any) -> str:
    """Give the text with ``***`` for every secret that stands anywhere in the record."""
    return Redactor(record)(text)


def words(error: BaseException) -> str:
    """Give the error's text; "" for one that cannot say it."""
    try:
        return str(error)
    except Exception:
        return ""


def _secrets(value: Any) -> set[str]:
    if isinstance(value, Secret):
        return {value.reveal()} - {""}
    if attrs.has(type(value)):
        value = [getattr(value, field.name) for field in attrs.fields(type(value))]
    elif isinstance(value, Mapping):
        value = list(value.values())
    elif not isinstance(value, list | tuple | set | frozenset):
        return set()
    return set().union(*(_secrets(item) for item in value))


def _percent_encoded(content: bytes) -> tuple[str, ...]:
    return quote(content, safe=""), quote(content), quote_plus(content)


def _lower(match: re.Match[str]) -> str:
    return match[0].lower()


def _forms(secret: str) -> Iterator[str]:
    yield secret
    content = secret.encode("utf-8", "surrogatepass")
    encoded = [
        secret.strip(),
        *(form for quoted in _percent_encoded(content) for form in (quoted, _PERCENT.sub(_lower, quoted))),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
        repr(content)[2:-1],
    ]
    for offset in range(3):  # where it begins in a group of three bytes; the characters at both ends depend on others
        text = base64.b64encode(bytes(offset) + content)[(0, 2, 3)[offset] : (offset + len(content)) * 8 // 6].decode()
        encoded += [text, text.replace("+", "-").replace("/", "_")]
    yield from (form for form in encoded if len(form) >= _SHORTEST_ENCODED)
