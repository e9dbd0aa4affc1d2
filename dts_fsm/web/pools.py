"""Connections: TLS is verified, and a proxy is used where the environment names one."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from dts_fsm.config import Secret
from dts_fsm.errors import ConfigurationError
from dts_fsm.web.addresses import is_local
from dts_fsm.web.deadlines import POOLS, Deadline, until


class Connections:
    """Sends requests, and keeps what connections it has made for the next; safe for threads.

    The proxy of a URL is that of ``https_proxy`` or ``http_proxy``, as the environment has them when this is made,
    unless ``no_proxy`` has the host, or it is this machine.

    Args:
        ca_file: certificates to trust instead of the system's.
        connect_timeout_s, read_timeout_s: how long a connection may take, and a server be silent.
        kept: how many connections are kept open to each host.

    Raises:
        ConfigurationError: the certificates cannot be read, or a proxy's URL is none.
    """

    def __init__(self, *, ca_file: str | None, connect_timeout_s: float, read_timeout_s: float, kept: int) -> None:
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise ConfigurationError(f"the certificates {ca_file!r} cannot be read: {error}", key="ca_file") from error
        options: dict[str, Any] = {
            "maxsize": kept,
            "ssl_context": context,
            "timeout": urllib3.Timeout(connect=connect_timeout_s, read=read_timeout_s),
        }
        self._direct = _bounded(urllib3.PoolManager(**options))
        proxies = {scheme: url for scheme, url in urllib.request.getproxies().items() if scheme in POOLS}
        self._through = {scheme: _through(url, options) for scheme, url in proxies.items()}
        self.secrets = tuple(secret for url in proxies.values() for secret in _secrets(url))

    def close(self) -> None:
        """Close the connections; others are made where they are needed. Idempotent."""
        for manager in (self._direct, *self._through.values()):
            manager.clear()

    def send(
        self, method: str, url: str, *, body: bytes | None, headers: Mapping[str, str], deadline: Deadline
    ) -> urllib3.BaseHTTPResponse:
        """Give the answer to one request, whatever it is; its body has not been read, and is read until the deadline.

        Raises:
            HTTPError, OSError, ValueError: there is none.
        """
        with until(deadline):
            return self._manager(url).request(
                method,
                url,
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )

    def _manager(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = self._through.get(parts.scheme)
        return self._direct if proxy is None or is_local(url) or _is_exempt(parts.hostname or "") else proxy


def _bounded(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    manager.pool_classes_by_scheme = POOLS
    return manager


def _through(proxy: str, options: Mapping[str, Any]) -> urllib3.PoolManager:
    through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    user, password = unquote(through.username or ""), unquote(through.password or "")
    headers = urllib3.make_headers(proxy_basic_auth=f"{user}:{password}") if user else None
    bare = through._replace(netloc=through.netloc.rpartition("@")[2]).geturl()
    try:
        return _bounded(urllib3.ProxyManager(bare, proxy_headers=headers, **options))
    except (HTTPError, ValueError) as error:
        raise ConfigurationError(f"the proxy of the environment cannot be used: {error}", key="url") from None


def _is_exempt(host: str) -> bool:
    return bool(urllib.request.proxy_bypass(host))


def _secrets(proxy: str) -> tuple[Secret, ...]:
    password = unquote(urlsplit(proxy if "://" in proxy else f"http://{proxy}").password or "")
    return (Secret(password),) if password else ()
