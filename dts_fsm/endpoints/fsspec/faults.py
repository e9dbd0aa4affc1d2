"""What drivers raise, as our errors: each has its own kinds, and none of them may be imported here."""

from __future__ import annotations

import errno
import ftplib
import ssl
from http import HTTPStatus

from dts_fsm.config import Redactor
from dts_fsm.endpoints.outcomes import is_known
from dts_fsm.errors import (
    PermanentError,
    ProviderError,
    TransientError,
    UnauthorizedError,
    UnavailableError,
    UnsafePathError,
)

_TRANSIENT_STATUSES = frozenset({408, 423, 425, 429, 500, 502, 503, 504})

_STATUSES = {"ForbiddenOperation": 403, "ResourceLocked": 423, "BadGatewayError": 502, "InsufficientStorage": 507}
"""Errors of webdav4 that do not carry the status which they stand for."""


def translated(error: Exception, place: str, redact: Redactor) -> Exception:
    """Give our error for one that a driver has raised.

    What the file system's own errors say, and our own, stays; what nobody knows may go better later.

    Args:
        error: the driver's.
        place: what was asked for; begins the message.
        redact: takes secrets out of it.
    """
    if isinstance(error, ProviderError | UnauthorizedError):
        return error
    text = redact(f"{place}: {_said(error)}")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return FileNotFoundError(errno.ENOENT, text)
    if isinstance(error, FileExistsError) or type(error).__name__ == "ResourceAlreadyExists":  # webdav4's
        return FileExistsError(errno.EEXIST, text)
    if isinstance(error, IsADirectoryError):
        return UnsafePathError(text)
    if (status := _status(error)) is not None:
        return _of_status(status, text)
    if isinstance(error, ftplib.Error):
        return _of_reply(str(error)[:3], text)
    if isinstance(error, ssl.SSLCertVerificationError):
        return PermanentError(text)
    if isinstance(error, PermissionError):
        return PermissionError(error.errno or errno.EACCES, text)
    if isinstance(error, TimeoutError | ConnectionError | EOFError):
        return UnavailableError(text)
    if isinstance(error, OSError) and is_known(error.errno):
        return OSError(error.errno, text)
    if isinstance(error, NotImplementedError | LookupError | TypeError | ValueError):
        return PermanentError(text)  # a driver that is asked for what it does not have, or gets what it does not know
    return TransientError(text)


def _said(error: Exception) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _status(error: Exception) -> int | None:
    """The status of HTTP that an error carries, as those of aiohttp, httpx, requests and webdav4 do."""
    response = getattr(error, "response", None)
    for holder, name in ((error, "status"), (error, "status_code"), (response, "status_code"), (response, "status")):
        value = getattr(holder, name, None)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return _STATUSES.get(type(error).__name__)


def _of_status(status: int, text: str) -> Exception:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return UnauthorizedError(text)
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        return FileNotFoundError(errno.ENOENT, text)
    if status == HTTPStatus.INSUFFICIENT_STORAGE:
        return OSError(errno.ENOSPC, text)
    return (TransientError if status in _TRANSIENT_STATUSES else PermanentError)(text)


def _of_reply(code: str, text: str) -> Exception:
    """Source: RFC 959, section 4.2."""
    if code in ("530", "532", "332"):
        return UnauthorizedError(text)
    if code in ("452", "552"):
        return OSError(errno.ENOSPC, text)
    return (PermanentError if code.startswith("5") else TransientError)(text)
