"""A real WebDAV server: WsgiDAV on cheroot in a process of its own, with one user and a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.servers.processes import port_of

USER, PASSWORD = "dts", "a secret of tests"


@attrs.frozen(kw_only=True)
class WebdavServer:
    """A server that runs.

    Attributes:
        folder: what its user sees as "/".
    """

    url: str
    folder: Path


@pytest.fixture(scope="session")
def webdav_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebdavServer]:
    """One server for all tests; each uses a folder of its own below the server's."""
    folder = tmp_path_factory.mktemp("webdav")
    with port_of("webdav_process.py", str(folder), USER, PASSWORD, package="wsgidav cheroot") as port:
        yield WebdavServer(url=f"http://127.0.0.1:{port}", folder=folder)
