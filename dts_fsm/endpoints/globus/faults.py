"""Errors of Globus and of its SDK, as ours: what may go better later, what will not, and who is not let in."""

from __future__ import annotations

import re
from collections.abc import Callable

from globus_sdk import GlobusAPIError, GlobusError, NetworkError

from dts_fsm.errors import PermanentError, TransientError, UnauthorizedError

_MAX_TEXT = 300
_MAX_SCOPES = 5
_BLANKS = re.compile(r"\s+")

# What codes contain where a collection, not Globus itself, is the one that refuses.
_DENIED = ("PermissionDenied", "LoginFailed", "NotAuthorized", "AccessDenied")
_MISSING = ("NotFound", "NotDirectory", "NotADirectory", "NoSuch")
_LATER = ("Limit", "TooMany", "Busy")


class MissingError(PermanentError):
    """There is no such task, collection, folder or file."""


class DeniedError(PermanentError):
    """The identity that asks may not do that."""


class RefusedCredentialError(PermanentError, UnauthorizedError):
    """Globus does not accept the credential, or wants a consent that it does not have."""


class LaterError(TransientError):
    """Globus wants to be asked more slowly.

    Attributes:
        after_s: not before so many seconds.
    """

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


def shown(text: object, limit: int = _MAX_TEXT) -> str:
    """Give what somebody else has written as one line, not too long."""
    line = _BLANKS.sub(" ", str(text)).strip()
    printable = "".join(letter if letter.isprintable() else "?" for letter in line[: 4 * limit])
    return printable if len(printable) <= limit else f"{printable[: limit - 1]}…"


def converted(error: GlobusError, what: str, hide: Callable[[str], str]) -> PermanentError | TransientError:
    """Give our error for one of the SDK's.

    Args:
        error: what the SDK raised.
        what: what was asked for, for the message: "the tasks".
        hide: takes secrets out of a text.
    """
    if not isinstance(error, GlobusAPIError):
        cause = error.underlying_exception if isinstance(error, NetworkError) else error
        return TransientError(f"Globus could not be asked for {what}: {hide(shown(cause))}")
    code, said = str(error.code or ""), hide(shown(error.message or error.http_reason or ""))
    words = f"{what}: {said} ({hide(shown(code or error.http_status, 100))})"
    if consent := error.info.consent_required:
        scopes = ", ".join(shown(scope, 200) for scope in (consent.required_scopes or [])[:_MAX_SCOPES])
        return RefusedCredentialError(f"Globus wants a consent for {words}: log in again with the scopes {scopes}")
    if error.http_status == 401 or "AuthenticationFailed" in code or _is_bad_grant(error):
        return RefusedCredentialError(
            f"Globus does not accept the credential for {words}: it has expired, was revoked, or is wrong"
        )
    if error.http_status == 429:
        return LaterError(f"Globus was asked too often for {words}", _after_s(error))
    if _has(code, _LATER) and error.http_status in (400, 403, 409):
        return LaterError(f"Globus does not take any more now: {words}", _after_s(error))
    if error.http_status in (403, 404) or "ExternalError" in code or "EndpointError" in code:
        return _refused(error.http_status, code, words)
    if error.http_status == 503 and "Retry-After" in error.headers:
        return LaterError(f"Globus could not answer for {words}", _after_s(error))
    if error.http_status >= 500 or error.http_status == 408:
        return TransientError(f"Globus could not answer for {words}")
    return PermanentError(f"Globus refuses {words}")


def _refused(status: int, code: str, words: str) -> PermanentError | TransientError:
    if _has(code, _DENIED) or status == 403:
        return DeniedError(f"Globus does not permit {words}: give this identity the right on the collection")
    if _has(code, _MISSING) or status == 404:
        return MissingError(f"Globus does not find {words}")
    return TransientError(f"the collection could not answer for {words}")


def _has(code: str, words: tuple[str, ...]) -> bool:
    return any(word in code for word in words)


def _is_bad_grant(error: GlobusAPIError) -> bool:
    """Whether Globus Auth refuses to give a token."""
    raw = error.raw_json
    return isinstance(raw, dict) and raw.get("error") in ("invalid_grant", "invalid_client", "unauthorized_client")


def _after_s(error: GlobusAPIError) -> float:
    try:
        after_s = float(error.headers.get("Retry-After", ""))
    except ValueError:
        return 1.0
    return min(max(0.0, after_s), 300.0)  # in this order, for NaN becomes 0
