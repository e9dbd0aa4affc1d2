"""What must not be seen of a request, and how it is revealed to the server alone."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dts_fsm.config import Redactor, Secret
from dts_fsm.web.credentials import is_credential


def revealed(value: Any) -> Any:
    """Give a value, of a header, a form, a query or JSON, as it is sent: with the text of its secrets."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: revealed(item) for key, item in value.items()}
    return [revealed(item) for item in value] if isinstance(value, list | tuple) else value


def has_secret(value: Any) -> bool:
    """True where a secret stands anywhere in the value."""
    if isinstance(value, Secret):
        return True
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return any(map(has_secret, items))


class Masks:
    """Gives what takes the secrets of requests out of texts; most have the same as the one before.

    Args:
        always: what must never be seen.
    """

    def __init__(self, always: Iterable[Secret]) -> None:
        self._always = frozenset(always)
        self._last = (self._always, Redactor(list(self._always)))

    def of(self, headers: Iterable[Mapping[str, str | Secret]], *values: Any) -> Redactor:
        """Give what masks the credentials in these headers, and every secret in the values.

        Of a credential, what stands behind its scheme is one by itself, and so are a user's name and password together,
        and the password: servers quote them so.
        """
        found = self._always.union(*(map(_credentials, headers)), _secrets(values))
        secrets, redact = self._last
        if secrets != found:
            redact = Redactor(list(found))
            self._last = (found, redact)
        return redact


def _credentials(headers: Mapping[str, str | Secret]) -> Iterator[Secret]:
    for name, value in headers.items():
        if not is_credential(name, value):
            continue
        text = revealed(value)
        yield Secret(text)
        scheme, _, rest = text.partition(" ")
        if rest := rest.strip():
            yield Secret(rest)
        if scheme.lower() == "basic":
            try:
                pair = base64.b64decode(rest, validate=True).decode()
            except (binascii.Error, ValueError):
                continue
            yield Secret(pair)
            yield Secret(pair.partition(":")[2])


def _secrets(value: Any) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _secrets(item)
