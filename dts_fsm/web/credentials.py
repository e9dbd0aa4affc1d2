"""The headers by which a client says who asks."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from dts_fsm.config import Credential, Secret
from dts_fsm.errors import ConfigurationError

_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key", "x-amz-security-token"})
"""Headers that say who asks, whether or not their values are marked as secrets."""

_HARMLESS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "range",
        "user-agent",
        "want-digest",
        "want-repr-digest",
    }
)
"""Headers that another origin gets, too: of all others nobody knows what they tell."""


def is_credential(name: str, value: str | Secret) -> bool:
    """True for a header that says who asks, or is secret in another way."""
    return isinstance(value, Secret) or name.lower() in _CREDENTIALS


def is_harmless(name: str, value: str | Secret) -> bool:
    """True for a header that can be sent to whomever a server redirects to."""
    return name.lower() in _HARMLESS and not isinstance(value, Secret)


def authorization(
    credential: Credential | None, token: Secret | None, headers: Mapping[str, Any]
) -> dict[str, str | Secret]:
    """Give the headers of a client; those that are known to be credentials are secrets.

    Args:
        credential: an id and a secret are a user and a password (RFC 7617), a secret alone is a bearer's (RFC 6750).
        token: a bearer's.
        headers: more of them, by name.

    Raises:
        ConfigurationError: a header is no text, or two of these say who asks.
    """
    given: dict[str, str | Secret] = {}
    for name, value in headers.items():
        if not isinstance(value, str | Secret) or not name:
            raise ConfigurationError("must map names of headers to text", key="headers")
        given[name] = Secret(value) if isinstance(value, str) and is_credential(name, value) else value
    ways = [key for key, used in (("credential", credential), ("token", token)) if used is not None]
    ways += ["headers"] * any(name.lower() == "authorization" for name in given)
    if len(ways) > 1:
        raise ConfigurationError(f"stands beside {ways[0]!r}: one of them says who asks", key=ways[1])
    if credential is not None and credential.id:
        secret = credential.secret.reveal() if credential.secret else ""
        given["Authorization"] = Secret("Basic " + base64.b64encode(f"{credential.id}:{secret}".encode()).decode())
    elif (bearer := credential.secret if credential else token) is not None:
        given["Authorization"] = Secret(f"Bearer {bearer.reveal()}")
    return given
