"""Connections to a service: TLS is verified, and a proxy is used where the environment names one."""

from __future__ import annotations

import ssl
import urllib.request
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from dts_fsm.config import Secret
from dts_fsm.errors import ConfigurationError


def connections(
    base_url: str, *, ca_file: str | None, connect_timeout_s: float, read_timeout_s: float, kept: int
) -> tuple[urllib3.PoolManager, tuple[Secret, ...]]:
    """Give the connections, and what must not be seen of the proxy's URL.

    The proxy is that of ``https_proxy`` or ``http_proxy``, unless ``no_proxy`` has the host.

    Raises:
        ConfigurationError: the certificates cannot be read, or the proxy's URL is none.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigurationError(f"the certificates {ca_file!r} cannot be read: {error}", key="ca_file") from error
    timeout = urllib3.Timeout(connect=connect_timeout_s, read=read_timeout_s)
    parts = urlsplit(base_url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy is None or urllib.request.proxy_bypass(parts.hostname or ""):
        return urllib3.PoolManager(maxsize=kept, ssl_context=context, timeout=timeout), ()
    through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    user, password = unquote(through.username or ""), unquote(through.password or "")
    headers = urllib3.make_headers(proxy_basic_auth=f"{user}:{password}") if user else None
    bare = through._replace(netloc=through.netloc.rpartition("@")[2]).geturl()
    try:
        manager = urllib3.ProxyManager(bare, proxy_headers=headers, maxsize=kept, ssl_context=context, timeout=timeout)
    except (HTTPError, ValueError) as error:
        raise ConfigurationError(f"the proxy of the environment cannot be used: {error}", key="url") from None
    return manager, (Secret(password),) if password else ()
