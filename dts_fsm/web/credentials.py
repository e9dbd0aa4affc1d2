"""The headers by which a client says who asks."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from dts_fsm.config import Credential, Secret
from dts_fsm.errors import ConfigurationError

CREDENTIAL_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key", "x-amz-security-token"})
"""Headers that no other origin gets, whether or not their values are marked as secrets."""


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
        given[name] = Secret(value) if isinstance(value, str) and name.lower() in CREDENTIAL_HEADERS else value
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
