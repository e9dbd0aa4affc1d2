"""The tokens of the loopback Globus.

Source: https://docs.globus.org/api/auth/reference/, Token; and RFC 6749, sections 4.4, 5 and 6.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from dts_fsm.testing.json_service import Reply

SCOPE = "urn:globus:auth:scope:transfer.api.globus.org:all"
_LIFETIME_S = 172_800


class Tokens:
    """Who may ask.

    Attributes:
        client_id, client_secret: of an app that acts for itself.
        native_id, refresh_token: of an app without a secret, and what somebody who has logged in was given.
        login_scope: what somebody who has logged in has consented to; an app consents by asking.
        lifetime_s: for how long an access token is good.
        num_issued: how many were given.
    """

    def __init__(self) -> None:
        self.client_id, self.native_id = str(uuid4()), str(uuid4())
        self.client_secret, self.refresh_token = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        self.login_scope = SCOPE
        self.lifetime_s: float = _LIFETIME_S
        self.num_issued = 0
        self._ends_at: dict[str, float] = {}
        self._scopes: dict[str, str] = {}

    def expire(self) -> None:
        """No access token that was given until now is good any more."""
        self._ends_at.clear()

    def scope(self, headers: Mapping[str, str]) -> str | None:
        """Give what the access token of a request is good for; None where it has none that is good."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        is_good = scheme == "Bearer" and self._ends_at.get(token, 0.0) > time.monotonic()
        return self._scopes[token] if is_good else None

    def issued(self, headers: Mapping[str, str], fields: Mapping[str, str]) -> Reply:
        """Give the answer to a request for an access token."""
        client = _basic(headers.get("authorization", ""))
        is_app = client == (self.client_id, self.client_secret)
        if client is not None and not is_app:
            return 401, {"error": "invalid_client", "error_description": "Client authentication failed"}
        match fields.get("grant_type"):
            case "client_credentials":
                granted = is_app
            case "refresh_token":
                granted = fields.get("refresh_token") == self.refresh_token and (
                    is_app or fields.get("client_id") == self.native_id
                )
            case _:
                return 400, {"error": "unsupported_grant_type"}
        if not granted:
            return 400, {"error": "invalid_grant", "error_description": "The grant is not valid"}
        token = secrets.token_urlsafe(32)
        self._ends_at[token] = time.monotonic() + self.lifetime_s
        self._scopes[token] = (
            fields.get("scope", SCOPE) if fields["grant_type"] != "refresh_token" else self.login_scope
        )
        self.num_issued += 1
        answer: dict[str, Any] = {
            "access_token": token,
            "scope": SCOPE,
            "expires_in": int(self.lifetime_s),
            "token_type": "Bearer",
            "resource_server": "transfer.api.globus.org",
            "other_tokens": [],
        }
        if fields["grant_type"] == "refresh_token":
            answer["refresh_token"] = self.refresh_token
        return 200, answer


def _basic(header: str) -> tuple[str, str] | None:
    scheme, _, text = header.partition(" ")
    if scheme != "Basic":
        return None
    try:
        name, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, secret
