"""A real FTP server: pyftpdlib in a process of its own, with one user and a folder."""

from __future__ import annotations

import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

USER, PASSWORD = "dts", "a secret of tests"
_START_S = 20


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


@contextmanager
def port_of(script: str, *arguments: str, package: str) -> Iterator[int]:
    """The port of a server that runs as a process and prints it as its first line.

    Raises:
        RuntimeError: it does not begin to serve.
    """
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name(script)), *arguments]
    with (
        tempfile.TemporaryFile("w+") as said,  # not a pipe, which nobody would empty
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                line = process.stdout.readline() if selector.select(_START_S) else ""
            if not line.strip().isdigit():
                said.seek(0)
                raise RuntimeError(f"{script} serves nothing (pip install {package}): {said.read()[-2000:]}")
            yield int(line)
        finally:
            process.kill()
