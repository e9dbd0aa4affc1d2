"""URLs: which are taken, what belongs together, and what of them may be seen."""

from __future__ import annotations

import ipaddress
from urllib.parse import unquote, urljoin, urlsplit

from dts_fsm.errors import ConfigurationError, DowngradedRedirectError, PermanentError

Origin = tuple[str, str | None, int | None]

_PORTS = {"http": 80, "https": 443}


def base_of(url: str) -> str:
    """Give the URL that paths are appended to, with a slash at its end.

    Raises:
        ConfigurationError: it is not one of HTTP, or has a user, a password, a query or a fragment. What may be secret
            of it is not shown.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its port, or its brackets
        valid = False
    if not valid:
        shown = "this" if "@" in url or "?" in url else repr(url)
        raise ConfigurationError(f"must be a URL such as https://example.org/api, not {shown}", key="url")
    if "@" in parts.netloc:
        raise ConfigurationError("must have no user and no password: there are settings for them", key="url")
    if "?" in url or "#" in url:
        raise ConfigurationError("must have no query: paths are appended to it", key="url")
    return url.rstrip("/") + "/"


def joined(base: str, path: str) -> str:
    """Give the URL of a path below the base; of a whole URL, that.

    Raises:
        PermanentError: the path leads out of the base, or the URL is none, or not encrypted where the base is.
    """
    if path.startswith(("http://", "https://")):
        if urlsplit(base).scheme == "https" and origin(path)[0] != "https":
            raise DowngradedRedirectError(f"{shown(path)} is not encrypted, unlike {base}")
        return path
    # servers take encoded dots for dots
    if {".", ".."} & {unquote(part) for part in path.partition("?")[0].replace("\\", "/").split("/")}:
        raise PermanentError(f"the path {path.partition('?')[0]!r} leads out of {base}")
    return base + path.lstrip("/")


def redirected(name: str, url: str, location: str) -> str:
    """Give where a redirect leads, without a user and a password.

    Raises:
        DowngradedRedirectError: from https to something else.
        PermanentError: to what is no URL of HTTP.
    """
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        scheme = origin(target)[0]
    except (ValueError, PermanentError):
        raise PermanentError(f"{name} redirects to something that is no URL") from None
    if scheme != "https" and urlsplit(url).scheme == "https":
        raise DowngradedRedirectError(f"{name} redirects from https to {shown(target)}: correct its URL")
    if scheme not in _PORTS or not parts.hostname:
        raise PermanentError(f"{name} redirects to something that is not on the web")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()


def origin(url: str) -> Origin:
    """Give scheme, host and port. Source: RFC 6454.

    Raises:
        PermanentError: it is no URL.
    """
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        raise PermanentError("what should be a URL is none") from None


def shown(url: str) -> str:
    """Give a URL without what may be secret: user, password, query and fragment."""
    bare = url.partition("?")[0].partition("#")[0]
    scheme, separator, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def is_local(url: str) -> bool:
    """True for a URL of this machine, which nobody else sees."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
