"""A real FTP server: pyftpdlib in a process of its own, with one user and a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from tests.servers.processes import port_of

USER, PASSWORD = "dts", "a secret of tests"


@attrs.frozen(kw_only=True)
class FtpServer:
    """A server that runs.

    Attributes:
        folder: what its user sees as "/".
    """

    port: int
    folder: Path

    @property
    def options(self) -> dict[str, object]:
        """What fsspec's driver is called with, without the password."""
        return {"host": "127.0.0.1", "port": self.port, "username": USER, "timeout": 10}


@pytest.fixture(scope="session")
def ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpServer]:
    """One server for all tests; each uses a folder of its own below the server's."""
    with running(tmp_path_factory.mktemp("ftp")) as server:
        yield server


@contextmanager
def running(folder: Path) -> Iterator[FtpServer]:
    """A server that has the folder; it ends with the context, or with this process."""
    folder.mkdir(parents=True, exist_ok=True)
    with port_of("ftp_process.py", str(folder), USER, PASSWORD, package="pyftpdlib") as port:
        yield FtpServer(port=port, folder=folder)
