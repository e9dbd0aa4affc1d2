"""A real SFTP server on a free port of this machine: OpenSSH's, as the user of the tests."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import pytest

from dts_fsm.config import EndpointConfig
from dts_fsm.endpoints.sftp.endpoint import SftpEndpoint
from tests.servers.process import program, running
from tests.servers.web import free_port

_CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
LogLevel ERROR
Subsystem sftp internal-sftp
"""


@attrs.frozen(kw_only=True)
class SftpServer:
    """Where the server is.

    Attributes:
        files: the folder below which tests have theirs.
        port: of 127.0.0.1.
        known_hosts: the file that knows it.
        key: the file with the one key that it takes.
    """

    files: Path
    port: int
    known_hosts: Path
    key: Path

    def options(self) -> dict[str, Any]:
        """Give what an endpoint must be told."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "known_hosts": str(self.known_hosts),
            "private_key": str(self.key),
        }

    def config(self, root: Path, **options: Any) -> EndpointConfig:
        """Give a section of a configuration."""
        return EndpointConfig(key="tree", provider="sftp", root=str(root), options={**self.options(), **options})

    def folder(self) -> Path:
        """Give a new folder of the server's."""
        folder = self.files / uuid4().hex
        folder.mkdir()
        return folder

    def endpoint(self, root: Path, **options: Any) -> SftpEndpoint:
        """Give an endpoint with this root."""
        return SftpEndpoint.from_config(self.config(root, **options))


@contextmanager
def serving_trees(folder: Path) -> Iterator[SftpServer]:
    """A server that runs until the context ends, and has its own files in this folder."""
    sshd = program("sshd", "apt-get install openssh-server")
    keygen = program("ssh-keygen", "apt-get install openssh-client")
    for name in ("host_key", "key"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it locks itself in before anybody has logged in
    port = free_port()
    (folder / "sshd_config").write_text(_CONFIG.format(folder=folder, port=port), encoding="utf-8")
    host_key = (folder / "host_key.pub").read_text(encoding="utf-8").rsplit(" ", 1)[0]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n", encoding="utf-8")
    (folder / "files").mkdir()

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with running([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], folder=folder, ready=answers):
        yield SftpServer(files=folder / "files", port=port, known_hosts=folder / "known_hosts", key=folder / "key")


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    """A server that runs until the tests end."""
    with serving_trees(tmp_path_factory.mktemp("sshd")) as server:
        yield server
