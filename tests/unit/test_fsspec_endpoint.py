"""The endpoint of fsspec's drivers: its configuration, and servers that are cut off, killed, silent, or wrong."""

from __future__ import annotations

import errno
import ftplib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import fsspec
import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.ftp import FTPFile
from fsspec.implementations.memory import MemoryFileSystem

from dts_fsm.config import Config, Credential, EndpointConfig, Redactor, Secret
from dts_fsm.endpoints.fsspec import FsspecEndpoint
from dts_fsm.endpoints.fsspec.faults import translated
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.errors import (
    InvalidEndpointConfigError,
    InvalidProviderError,
    PermanentError,
    TransientError,
    UnauthorizedError,
    UnavailableError,
    UnsafePathError,
)
from dts_fsm.records import Descriptor, OperationCode, OperationStatus, Overwrite
from dts_fsm.registry import build_endpoints, endpoint_factory
from dts_fsm.testing.endpoint_pair import file_of, wait_for_end
from tests.servers.ftp import PASSWORD, FtpServer, ftp_server, running  # noqa: F401 - a fixture
from tests.servers.webdav import PASSWORD as WEBDAV_PASSWORD
from tests.servers.webdav import USER, WebdavServer, webdav_server  # noqa: F401 - a fixture

NO_SECRETS = Redactor()


def ftp(server: FtpServer, **changes: Any) -> FsspecEndpoint:
    options = {**server.options, "password": Secret(PASSWORD), **changes}
    return FsspecEndpoint(protocol="ftp", storage_options=options, name="archive", part_bytes=1 << 16)


def moved(source: Any, destination: Any, *files: Any, operation_id: UUID | None = None) -> OperationStatus:
    try:
        return wait_for_end(source, source.transfer(destination, files, operation_id=operation_id or uuid4()))
    finally:
        source.close()
        destination.close()


@pytest.fixture
def source(tmp_path: Path) -> LocalEndpoint:
    (tmp_path / "source").mkdir()
    return LocalEndpoint(root=tmp_path / "source")


def config(credential: Credential | None = None, **options: Any) -> EndpointConfig:
    return EndpointConfig(key="archive", provider="fsspec", root="/data", credential=credential, options=options)


class TestConfiguration:
    def test_a_file_describes_it_and_its_secrets_are_secret(self, tmp_path: Path) -> None:
        text = (
            f"service: {{data_dir: {tmp_path}, endpoint: archive}}\n"
            "endpoints:\n"
            "  archive:\n"
            "    provider: fsspec\n"
            "    protocol: ftp\n"
            "    root: /data\n"
            "    workers: 3\n"
            "    default_checksum: md5\n"
            "    storage_options: {host: ftp.example.org, port: 2121, username: dts, password: '${PASSWORD}'}\n"
            "databases: {archive: {endpoint: archive, provider: catalog}}\n"
        )
        parsed = Config.parse(text, environment={"PASSWORD": "hidden"})
        assert parsed.endpoints["archive"].options["storage_options"]["password"] == Secret("hidden")
        endpoint = build_endpoints(parsed)["archive"]
        assert (endpoint.provider, endpoint.root) == ("fsspec", "/data")

    @pytest.mark.parametrize(
        ("options", "key", "message"),
        [
            ({}, "protocol", "name the driver of fsspec"),
            ({"protocol": "fttp"}, "protocol", "did you mean"),
            ({"protocol": "file"}, "protocol", "the provider 'local' is for that"),
            ({"protocol": "smb"}, "protocol", "needs a package that is not installed: .*smbprotocol"),
            ({"protocol": "ftp", "host": "x"}, "host", "it has 'protocol', 'storage_options'"),
            ({"protocol": "ftp", "storage_options": "x"}, "storage_options", "must be a mapping"),
            ({"protocol": "ftp", "workers": 0}, "workers", "whole number above 0"),
            ({"protocol": "ftp", "default_checksum": "crc"}, "default_checksum", "must be 'none' or one of"),
        ],
    )
    def test_what_is_wrong_is_said_with_its_key(self, options: dict[str, Any], key: str, message: str) -> None:
        with pytest.raises(InvalidEndpointConfigError, match=message) as caught:
            FsspecEndpoint.from_config(config(**options))
        assert caught.value.key == f"endpoints.archive.{key}"

    @pytest.mark.parametrize("root", ["ftp://example.org/data", "/data/../other"])
    def test_a_root_that_is_no_folder_is_refused(self, root: str) -> None:
        with pytest.raises(InvalidEndpointConfigError, match="must be a folder"):
            FsspecEndpoint(protocol="ftp", root=root)

    def test_a_credential_is_the_user_and_the_password(self, ftp_server: FtpServer) -> None:  # noqa: F811
        options = {key: value for key, value in ftp_server.options.items() if key != "username"}
        credential = Credential(name="dts", id="dts", secret=Secret(PASSWORD))
        endpoint = FsspecEndpoint.from_config(
            EndpointConfig(
                key="archive",
                provider="fsspec",
                credential=credential,
                options={"protocol": "ftp", "storage_options": options},
            )
        )
        assert dict(endpoint.files_staged([Descriptor(id="1", path="nowhere", bytes=1)])) == {"1": False}
        endpoint.close()

    @pytest.mark.parametrize(
        ("protocol", "options", "key"),
        [("memory", {}, "credential"), ("ftp", {"username": "x"}, "storage_options.username")],
    )
    def test_a_credential_that_says_nothing_or_what_is_said_elsewhere_is_refused(
        self, protocol: str, options: dict[str, Any], key: str
    ) -> None:
        credential = Credential(name="dts", id="dts", secret=Secret("x"))
        with pytest.raises(InvalidEndpointConfigError) as caught:
            FsspecEndpoint.from_config(config(credential, protocol=protocol, storage_options=options))
        assert caught.value.key == f"endpoints.archive.{key}"

    def test_without_the_package_it_is_said_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in sys.modules if name.startswith("dts_fsm.endpoints.fsspec")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "fsspec", None)
        with pytest.raises(InvalidProviderError, match=r"pip install 'dts-fsm\[fsspec\]'"):
            endpoint_factory("fsspec")


class TestFtp:
    def test_a_wrong_password_is_denied_and_not_shown(self, ftp_server: FtpServer, source: LocalEndpoint) -> None:  # noqa: F811
        (Path(source.root) / "a").write_bytes(b"x")
        endpoint = ftp(ftp_server, password=Secret("530 hidden"))
        status = moved(source, endpoint, file_of("a", b"x"))
        assert (status.code, status.reason, status.transient) == (OperationCode.FAILED, "denied", False)
        assert "hidden" not in repr(status)
        with pytest.raises(PermanentError, match="refuses to be looked at"):
            endpoint.files_staged([Descriptor(id="1", path="a", bytes=1)])

    def test_a_server_that_is_away_may_come_back(self, source: LocalEndpoint) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        (Path(source.root) / "a").write_bytes(b"x")
        endpoint = FsspecEndpoint(protocol="ftp", storage_options={"host": "127.0.0.1", "port": port})
        status = moved(source, endpoint, file_of("a", b"x"))
        assert (status.code, status.transient) == (OperationCode.FAILED, True)
        with pytest.raises(TransientError):
            endpoint.files_staged([Descriptor(id="1", path="a", bytes=1)])

    def test_a_server_that_says_nothing_is_given_up(self, source: LocalEndpoint) -> None:
        (Path(source.root) / "a").write_bytes(b"x")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            options = {"host": "127.0.0.1", "port": listener.getsockname()[1], "timeout": 0.2}
            endpoint = FsspecEndpoint(protocol="ftp", storage_options=options)
            status = moved(source, endpoint, file_of("a", b"x"))
        assert (status.code, status.transient) == (OperationCode.FAILED, True)

    def test_a_move_that_the_server_did_not_survive_ends_well_with_the_next(
        self, tmp_path: Path, source: LocalEndpoint
    ) -> None:
        content = os.urandom(6 << 20)
        (Path(source.root) / "a").write_bytes(content)
        operation = uuid4()
        with running(tmp_path / "served") as server:
            endpoint = ftp(server)
            handle = source.transfer(endpoint, [file_of("a", content)], operation_id=operation)
            until(lambda: any(tmp_path.rglob("*.part")))
        status = wait_for_end(source, handle)
        assert (status.code, status.transient) == (OperationCode.FAILED, True)
        assert not (tmp_path / "served/delivered/a").exists()
        source.close()
        with running(tmp_path / "served") as server:
            another = LocalEndpoint(root=source.root)  # this one knows that move, and would tell again how it ended
            status = moved(another, ftp(server), file_of("a", content), operation_id=operation)
        assert status.code is OperationCode.SUCCEEDED, status
        assert (tmp_path / "served/delivered/a").read_bytes() == content
        assert list(tmp_path.rglob("*.part")) == []

    @pytest.mark.parametrize("direction", ["to", "from"])
    def test_a_killed_move_is_finished_by_the_next_process_and_nothing_is_left(
        self,
        direction: str,
        tmp_path: Path,
        ftp_server: FtpServer,  # noqa: F811
    ) -> None:
        content = os.urandom(24 << 20 if direction == "from" else 8 << 20)
        served, here = ftp_server.folder / uuid4().hex, tmp_path / "here"
        served.mkdir()
        here.mkdir()
        first, last = (here, served) if direction == "to" else (served, here)
        (first / "a").write_bytes(content)
        operation = uuid4()
        script = tmp_path / "move.py"
        script.write_text(
            "import sys\nfrom uuid import UUID\n"
            "from tests.unit.test_fsspec_endpoint import killed_move\n"
            "_, direction, here, root, port, num_bytes, operation = sys.argv\n"
            "killed_move(direction, here, root, int(port), int(num_bytes), UUID(operation))\n",
            encoding="utf-8",
        )
        command = [sys.executable, str(script), direction, str(here), f"/{served.name}", str(ftp_server.port)]
        process = subprocess.Popen(
            [*command, str(len(content)), str(operation)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        try:
            until(lambda: any(part.stat().st_size >= 1 << 20 for part in last.rglob("*.part")))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert not (last / "delivered/a").exists()
        local = LocalEndpoint(root=here)
        remote = FsspecEndpoint(
            protocol="ftp",
            root=f"/{served.name}",
            storage_options={**ftp_server.options, "password": Secret(PASSWORD)},
        )
        ends = (local, remote) if direction == "to" else (remote, local)
        status = moved(*ends, file_of("a", content), operation_id=operation)
        assert status.code is OperationCode.SUCCEEDED, status
        assert (last / "delivered/a").read_bytes() == content
        assert list(last.rglob("*.part")) == []

    @pytest.mark.usefixtures("no_pauses")
    def test_what_a_server_stored_otherwise_is_noticed_by_reading_it_back(
        self,
        tmp_path: Path,
        ftp_server: FtpServer,  # noqa: F811
        source: LocalEndpoint,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        upload = FTPFile._upload_chunk

        def broken(self: FTPFile, final: bool = False) -> Any:
            self.buffer.seek(0)
            self.buffer.write(b"?")
            return upload(self, final)

        monkeypatch.setattr(FTPFile, "_upload_chunk", broken)
        name = uuid4().hex
        (Path(source.root) / name).write_bytes(b"content")
        status = moved(source, ftp(ftp_server), file_of(name, b"content"))
        assert (status.code, status.transient) == (OperationCode.FAILED, True)
        assert "read back" in (status.files[0].error or "")
        assert list((ftp_server.folder / "delivered").glob(f"*{name}*")) == []

    @pytest.mark.parametrize("name", ["a[1]*?.txt", "[ab]", "**", "a;b #c%20d?e", "ends with a dot."])
    def test_names_are_no_patterns(self, name: str, ftp_server: FtpServer, source: LocalEndpoint) -> None:  # noqa: F811
        folder = ftp_server.folder / "delivered" / "[x]*"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a1b.txt").write_bytes(b"another's")
        (Path(source.root) / name).write_bytes(b"first")
        for content in (b"first", b"other"):
            (Path(source.root) / name).write_bytes(content)
            file = file_of(name, content, destination_path=f"delivered/[x]*/{name}")
            assert moved(source, ftp(ftp_server), file).code is OperationCode.SUCCEEDED
            assert (folder / name).read_bytes() == content
        assert (folder / "a1b.txt").read_bytes() == b"another's"

    def test_a_file_that_changes_while_it_is_read_is_not_mixed(self, ftp_server: FtpServer) -> None:  # noqa: F811
        name = uuid4().hex
        (ftp_server.folder / name).write_bytes(b"x" * 100)
        endpoint = ftp(ftp_server)
        storage = endpoint.storage(arriving=False)
        entry = storage.look(name)
        assert entry is not None
        assert storage.read(name, entry, 10, 20) == b"x" * 10
        (ftp_server.folder / name).write_bytes(b"y" * 99)
        with pytest.raises(Exception, match="changed while it was read"):
            storage.read(name, entry, 10, 20)
        (ftp_server.folder / name).unlink()
        with pytest.raises(Exception, match="has gone"):
            storage.read(name, entry, 10, 20)
        endpoint.close()


def test_a_file_that_appears_on_webdav_in_the_last_instant_is_not_overwritten(
    webdav_server: WebdavServer,  # noqa: F811
) -> None:
    options = {"base_url": webdav_server.url, "auth": (USER, Secret(WEBDAV_PASSWORD))}
    endpoint = FsspecEndpoint(protocol="webdav", storage_options=options)
    storage = endpoint.storage(arriving=True)
    part, target = (webdav_server.folder / name for name in ("a part", "a target"))
    part.write_bytes(b"new")
    target.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        storage.rename("a target", "/a part", "/a target", exclusive=True)
    assert target.read_bytes() == b"old"
    storage.rename("a target", "/a part", "/a target", exclusive=False)
    assert (target.read_bytes(), part.exists()) == (b"new", False)
    endpoint.close()


def killed_move(direction: str, here: str, root: str, port: int, num_bytes: int, operation: UUID) -> None:
    """Move a file, as a process that is to be killed."""
    options = {"host": "127.0.0.1", "port": port, "username": "dts", "password": PASSWORD}
    remote = FsspecEndpoint(protocol="ftp", root=root, storage_options=options, part_bytes=1 << 16)
    local = LocalEndpoint(root=here)
    source, destination = (local, remote) if direction == "to" else (remote, local)
    content = Path(here, "a").read_bytes() if direction == "to" else b""
    file = file_of("a", content, bytes=num_bytes, hash=None)
    source.transfer(destination, [file], operation_id=operation)  # type: ignore[attr-defined]
    time.sleep(60)


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Odd(MemoryFileSystem):
    """A driver that does as a test says."""

    protocol = "odd"
    store: dict[str, Any] = {}
    pseudo_dirs = [""]
    cachable = False
    fault: Exception | None = None

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        if self.fault:
            raise self.fault
        self.cp_file(path1, path2)
        self.rm_file(path1)


class Poor(AbstractFileSystem):
    """A driver that can neither rename nor copy."""

    protocol = "poor"


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> Iterator[FsspecEndpoint]:
    fsspec.register_implementation("odd", Odd, clobber=True)
    fsspec.register_implementation("poor", Poor, clobber=True)
    Odd.store.clear()
    monkeypatch.setattr(Odd, "fault", None)
    endpoint = FsspecEndpoint(protocol="odd", root="/x")
    yield endpoint
    endpoint.close()


class TestOddDrivers:
    def test_a_service_that_renames_onto_nothing_alone_leaves_what_is_there(
        self, odd: FsspecEndpoint, source: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Odd, "fault", FileExistsError("there"))
        Odd().pipe_file("/x/delivered/a", b"old")
        (Path(source.root) / "a").write_bytes(b"new")
        status = moved(source, odd, file_of("a", b"new", overwrite=Overwrite.ALWAYS))
        assert (status.code, status.transient) == (OperationCode.FAILED, False)
        assert "does not rename a file onto another" in (status.files[0].error or "")
        assert {path: file.getvalue() for path, file in Odd.store.items()} == {"/x/delivered/a": b"old"}

    def test_nothing_is_written_with_a_driver_that_cannot_make_it_appear_whole(
        self, odd: FsspecEndpoint, source: LocalEndpoint
    ) -> None:
        poor = FsspecEndpoint(protocol="poor")
        with pytest.raises(PermanentError, match="cannot rename or copy"):
            poor.storage(arriving=True).write("a", num_bytes=1, operation="1" * 32, version="")

    def test_a_folder_is_no_file(self, odd: FsspecEndpoint) -> None:
        Odd().pipe_file("/x/deep/a", b"old")
        with pytest.raises(UnsafePathError, match="not a file, but a directory"):
            odd.storage(arriving=False).look("deep")

    def test_more_or_less_than_was_asked_for_is_an_error(
        self, odd: FsspecEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Odd().pipe_file("/x/a", b"0123456789")
        storage = odd.storage(arriving=False)
        entry = storage.look("a")
        assert entry is not None
        monkeypatch.setattr(Odd, "cat_file", lambda *_, **__: b"0123456789")
        with pytest.raises(PermanentError, match="more than the part"):
            storage.read("a", entry, 2, 4)
        monkeypatch.setattr(Odd, "cat_file", lambda *_, **__: b"")
        with pytest.raises(TransientError, match="0 bytes of 2"):
            storage.read("a", entry, 2, 4)

    def test_a_service_that_does_not_say_how_large_a_file_is_cannot_be_used(
        self, odd: FsspecEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Odd, "info", lambda *_, **__: {"type": "file", "size": None})
        with pytest.raises(PermanentError, match="how large"):
            odd.storage(arriving=False).look("a")


class StatusError(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


@pytest.mark.parametrize(
    ("error", "kind", "number"),
    [
        (ftplib.error_perm("530 Login incorrect"), UnauthorizedError, None),
        (ftplib.error_perm("552 Exceeded storage allocation"), OSError, errno.ENOSPC),
        (ftplib.error_temp("452 Insufficient storage"), OSError, errno.ENOSPC),
        (ftplib.error_perm("550 No"), PermanentError, None),
        (ftplib.error_temp("421 Too many connections"), TransientError, None),
        (ftplib.error_proto("?"), TransientError, None),
        (EOFError(), UnavailableError, None),
        (TimeoutError("timed out"), UnavailableError, None),
        (ConnectionResetError(), UnavailableError, None),
        (ssl.SSLCertVerificationError("self-signed"), PermanentError, None),
        (PermissionError(errno.EACCES, "no"), PermissionError, errno.EACCES),
        (OSError(errno.ENOSPC, "full"), OSError, errno.ENOSPC),
        (OSError("odd"), TransientError, None),
        (NotADirectoryError("x"), FileNotFoundError, errno.ENOENT),
        (IsADirectoryError("x"), UnsafePathError, None),
        (StatusError(401), UnauthorizedError, None),
        (StatusError(404), FileNotFoundError, errno.ENOENT),
        (StatusError(429), TransientError, None),
        (StatusError(507), OSError, errno.ENOSPC),
        (StatusError(400), PermanentError, None),
        (NotImplementedError(), PermanentError, None),
        (KeyError("size"), PermanentError, None),
        (RuntimeError("?"), TransientError, None),
        (TransientError("ours"), TransientError, None),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_drivers_raise_becomes_one_of_our_errors(
    error: Exception, kind: type[Exception], number: int | None
) -> None:
    found = translated(error, "archive: a", NO_SECRETS)
    assert (type(found), getattr(found, "errno", None)) == (kind, number)


def test_a_secret_that_a_driver_quotes_is_masked() -> None:
    found = translated(RuntimeError("https://me:hidden@example.org"), "archive", Redactor(Secret("hidden")))
    assert str(found) == "archive: RuntimeError: https://me:***@example.org"
