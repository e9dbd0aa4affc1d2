"""The contract of endpoints, over drivers of fsspec: a real FTP server, a real WebDAV server, and memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from dts_fsm.config import Secret
from dts_fsm.endpoints.endpoint import MovingEndpoint
from dts_fsm.endpoints.fsspec import FsspecEndpoint
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.testing.endpoint_pair import EndpointPair
from dts_fsm.testing.endpoint_suite import EndpointSuite
from tests.servers.ftp import PASSWORD, FtpServer, ftp_server  # noqa: F401 - a fixture
from tests.servers.webdav import PASSWORD as WEBDAV_PASSWORD
from tests.servers.webdav import USER as WEBDAV_USER
from tests.servers.webdav import WebdavServer, webdav_server  # noqa: F401 - a fixture


class Place:
    """A folder behind an endpoint, in which tests look by another way than the endpoint's."""

    def __init__(self, endpoint: MovingEndpoint, folder: Path | str) -> None:
        self.endpoint, self.folder = endpoint, folder

    def put(self, path: str, content: bytes) -> None:
        if isinstance(self.folder, Path):
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)
            file.write_bytes(content)
        else:
            MemoryFileSystem().pipe_file(f"{self.folder}/{path}", content)

    def read(self, path: str) -> bytes | None:
        if isinstance(self.folder, Path):
            file = self.folder / path
            return file.read_bytes() if file.is_file() else None
        try:
            return MemoryFileSystem().cat_file(f"{self.folder}/{path}")
        except FileNotFoundError:
            return None

    def litter(self) -> list[str]:
        """What is left of unfinished files."""
        if isinstance(self.folder, Path):
            return [str(path) for path in self.folder.rglob("*.part")]
        return [path for path in MemoryFileSystem().find(self.folder) if path.endswith(".part")]


def ftp(server: FtpServer) -> Place:
    name = uuid4().hex
    (server.folder / name).mkdir()
    options = {**server.options, "password": Secret(PASSWORD)}
    endpoint = FsspecEndpoint(protocol="ftp", root=f"/{name}", storage_options=options, name="ftp", part_bytes=70_000)
    return Place(endpoint, server.folder / name)


def webdav(server: WebdavServer) -> Place:
    name = uuid4().hex
    (server.folder / name).mkdir()
    options = {"base_url": server.url, "auth": (WEBDAV_USER, Secret(WEBDAV_PASSWORD))}
    endpoint = FsspecEndpoint(
        protocol="webdav", root=f"/{name}", storage_options=options, name="webdav", part_bytes=70_000
    )
    return Place(endpoint, server.folder / name)


def memory() -> Place:
    root = f"/{uuid4().hex}"
    endpoint = FsspecEndpoint(protocol="memory", root=root, name="memory", part_bytes=70_000)
    return Place(endpoint, root)


def local(folder: Path) -> Place:
    folder.mkdir()
    return Place(LocalEndpoint(root=folder), folder)


def pair_of(source: Place, destination: Place) -> Iterator[EndpointPair]:
    def restart() -> MovingEndpoint:
        source.endpoint.close()
        return source.endpoint

    yield EndpointPair(
        source=source.endpoint, destination=destination.endpoint, put=source.put, read=destination.read, restart=restart
    )
    source.endpoint.close()
    destination.endpoint.close()
    assert destination.litter() == []


class TestFromAFolderToFtp(EndpointSuite):
    @pytest.fixture
    def pair(self, tmp_path: Path, ftp_server: FtpServer) -> Iterator[EndpointPair]:  # noqa: F811
        yield from pair_of(local(tmp_path / "source"), ftp(ftp_server))


class TestFromFtpToAFolder(EndpointSuite):
    @pytest.fixture
    def pair(self, tmp_path: Path, ftp_server: FtpServer) -> Iterator[EndpointPair]:  # noqa: F811
        yield from pair_of(ftp(ftp_server), local(tmp_path / "destination"))


class TestFromFtpToFtp(EndpointSuite):
    @pytest.fixture
    def pair(self, ftp_server: FtpServer) -> Iterator[EndpointPair]:  # noqa: F811
        yield from pair_of(ftp(ftp_server), ftp(ftp_server))


class TestFromMemoryToMemory(EndpointSuite):
    @pytest.fixture
    def pair(self) -> Iterator[EndpointPair]:
        yield from pair_of(memory(), memory())


class TestFromWebdavToWebdav(EndpointSuite):
    @pytest.fixture
    def pair(self, webdav_server: WebdavServer) -> Iterator[EndpointPair]:  # noqa: F811
        yield from pair_of(webdav(webdav_server), webdav(webdav_server))


class TestFromFtpToMemory(EndpointSuite):
    @pytest.fixture
    def pair(self, ftp_server: FtpServer) -> Iterator[EndpointPair]:  # noqa: F811
        yield from pair_of(ftp(ftp_server), memory())
