"""SFTP over a real server: who it is, what leads elsewhere, and connections that break."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dts_fsm.config import Credential, EndpointConfig, Secret
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.endpoints.sftp.endpoint import SftpEndpoint
from dts_fsm.endpoints.sftp.storage import SftpTree, _part_name
from dts_fsm.endpoints.sftp.writing import PART_BYTES
from dts_fsm.errors import InvalidEndpointConfigError, PermanentError, TransientError, UnsafePathError
from dts_fsm.records import Descriptor, FileOutcome, FileState, OperationCode
from dts_fsm.testing.endpoint_pair import file_of, wait_for_end
from tests.servers.sftp import SftpServer
from tests.servers.web import free_port

LARGE = bytes(range(256)) * 4096 * 27 + b"the end"


@pytest.fixture
def root(sftp_server: SftpServer) -> Path:
    return sftp_server.folder()


@pytest.fixture
def there(sftp_server: SftpServer, root: Path) -> Iterator[SftpEndpoint]:
    endpoint = sftp_server.endpoint(root)
    yield endpoint
    endpoint.close()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[LocalEndpoint]:
    (tmp_path / "here").mkdir()
    endpoint = LocalEndpoint(root=tmp_path / "here", durable="none")
    yield endpoint
    endpoint.close()


def tree(endpoint: SftpEndpoint) -> SftpTree:
    storage = endpoint.storage(arriving=True)
    assert isinstance(storage, SftpTree)
    return storage


def moved(source: Any, destination: Any, path: str, content: bytes) -> FileOutcome:
    handle = source.transfer(destination, [file_of(path, content)], operation_id=uuid4())
    (outcome,) = wait_for_end(source, handle).files
    return outcome


class Proxy:
    """Stands before the server, and breaks all connections when it is told to."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.num_bytes = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._open += [client, server]
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while content := one.recv(1 << 16):
                self.num_bytes += len(content)
                other.sendall(content)
        except OSError:
            pass
        self._shut(one, other)

    def _shut(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def cut(self) -> None:
        """Every connection breaks; new ones can be made."""
        self._shut(*self._open)
        self._open.clear()

    def close(self) -> None:
        self._listener.close()
        self.cut()


@pytest.fixture
def proxy(sftp_server: SftpServer) -> Iterator[Proxy]:
    proxy = Proxy(sftp_server.port)
    yield proxy
    proxy.close()


def through(proxy: Proxy, server: SftpServer, root: Path, tmp_path: Path) -> SftpEndpoint:
    known = tmp_path / "known"
    known.write_text(server.known_hosts.read_text().replace(f":{server.port}", f":{proxy.port}"))
    return server.endpoint(root, port=proxy.port, known_hosts=str(known))


class TestWhoItIs:
    def refusal(self, server: SftpServer, root: Path, **options: Any) -> str:
        endpoint = server.endpoint(root, **options)
        with pytest.raises(PermanentError) as caught:
            endpoint.files_staged([Descriptor(id="a", path="a", bytes=1)])
        endpoint.close()
        return str(caught.value)

    def test_a_server_that_is_not_known_is_not_asked(self, sftp_server: SftpServer, root: Path, tmp_path: Path) -> None:
        empty = tmp_path / "known_hosts"
        empty.write_text("")
        assert "is not known: ask who runs it for its host key" in self.refusal(
            sftp_server, root, known_hosts=str(empty)
        )

    def test_a_server_with_another_key_is_not_trusted(
        self, sftp_server: SftpServer, root: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
        known = tmp_path / "known_hosts"
        key = other.with_suffix(".pub").read_text().rsplit(" ", 1)[0]
        known.write_text(f"[127.0.0.1]:{sftp_server.port} {key}\n")
        assert "has another host key" in self.refusal(sftp_server, root, known_hosts=str(known))

    def test_a_key_that_the_server_does_not_take_is_said(
        self, sftp_server: SftpServer, root: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
        assert "does not accept the user" in self.refusal(sftp_server, root, private_key=str(other))

    def test_files_that_are_not_there_are_said(self, sftp_server: SftpServer, root: Path) -> None:
        assert "cannot be read" in self.refusal(sftp_server, root, known_hosts="/none")
        assert "cannot be read" in self.refusal(sftp_server, root, private_key="/none")

    def test_a_key_with_a_passphrase_is_opened_with_the_secret(
        self, sftp_server: SftpServer, root: Path, tmp_path: Path
    ) -> None:
        key = tmp_path / "key"
        key.write_bytes(sftp_server.key.read_bytes())
        key.chmod(0o600)
        subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "pass phrase", "-f", str(key)], check=True)
        assert "cannot be used" in self.refusal(sftp_server, root, private_key=str(key))
        given = sftp_server.config(root, private_key=str(key))
        config = EndpointConfig(
            key="tree",
            provider="sftp",
            root=str(root),
            credential=Credential(name="c", id=getpass.getuser(), secret=Secret("pass phrase")),
            options=given.options,
        )
        endpoint = SftpEndpoint.from_config(config)
        assert endpoint.files_staged([]) == {}
        assert endpoint.files_staged([Descriptor(id="a", path="a", bytes=1)]) == {"a": False}
        endpoint.close()

    def test_nobody_there_may_be_there_later(self, sftp_server: SftpServer, root: Path) -> None:
        endpoint = sftp_server.endpoint(root, port=free_port())
        with pytest.raises(TransientError, match="cannot be reached"):
            endpoint.files_staged([Descriptor(id="a", path="a", bytes=1)])
        endpoint.close()

    def test_a_root_that_is_not_there_is_said(self, sftp_server: SftpServer, root: Path) -> None:
        endpoint = sftp_server.endpoint(root / "none")
        with pytest.raises(PermanentError, match="is not an existing folder of the server"):
            endpoint.files_staged([Descriptor(id="a", path="a", bytes=1)])
        endpoint.close()


class TestLinks:
    def test_one_that_leads_elsewhere_is_not_followed(
        self, there: SftpEndpoint, here: LocalEndpoint, root: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "secret").write_text("secret")
        (root / "out").symlink_to(tmp_path / "secret")
        (root / "far").symlink_to(tmp_path)
        for path in ("out", "far/secret"):
            outcome = moved(there, here, path, b"secret")
            assert (outcome.state, outcome.reason) == (FileState.FAILED, "unsafe path")

    def test_one_that_stays_below_the_root_is(self, there: SftpEndpoint, here: LocalEndpoint, root: Path) -> None:
        (root / "data").mkdir()
        (root / "data" / "a").write_text("content")
        (root / "latest").symlink_to("data")
        assert moved(there, here, "latest/a", b"content").state is FileState.TRANSFERRED

    def test_none_is_written_through(
        self, there: SftpEndpoint, here: LocalEndpoint, root: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "elsewhere").mkdir()
        (root / "delivered").symlink_to(tmp_path / "elsewhere")
        (Path(here.root) / "a").write_text("content")
        assert moved(here, there, "a", b"content").reason == "unsafe path"
        assert list((tmp_path / "elsewhere").iterdir()) == []

    def test_a_folder_is_no_file(self, there: SftpEndpoint, root: Path) -> None:
        (root / "folder").mkdir()
        with pytest.raises(UnsafePathError, match="is not a regular file"):
            tree(there).look("folder")


class TestInterruptions:
    def test_a_connection_that_breaks_is_made_again_and_gone_on_with(
        self, sftp_server: SftpServer, root: Path, tmp_path: Path, here: LocalEndpoint, proxy: Proxy
    ) -> None:
        (Path(here.root) / "a").write_bytes(LARGE)
        there, operation = through(proxy, sftp_server, root, tmp_path), uuid4()
        here.transfer(there, [file_of("a", LARGE)], operation_id=operation)
        while not any(part.stat().st_size > 2 * PART_BYTES for part in root.rglob("*.part")):
            time.sleep(0.001)
        kept = max(part.stat().st_size for part in root.rglob("*.part"))
        proxy.num_bytes = 0
        proxy.cut()
        (outcome,) = wait_for_end(here, operation).files
        assert outcome.state is FileState.TRANSFERRED, outcome
        assert (root / "delivered" / "a").read_bytes() == LARGE
        assert list(root.rglob("*.part")) == []
        # all of it is read back; what whole parts were kept is not put again
        put_again = len(LARGE) - (kept - 1) // PART_BYTES * PART_BYTES
        assert proxy.num_bytes < len(LARGE) + put_again + PART_BYTES // 2
        there.close()

    def test_what_the_server_keeps_otherwise_is_noticed_where_it_is_read_back_and_put_again(
        self, sftp_server: SftpServer, here: LocalEndpoint, root: Path
    ) -> None:
        (Path(here.root) / "a").write_bytes(LARGE)
        there, operation = sftp_server.endpoint(root, read_back=True), uuid4()
        spoilt = threading.Event()

        def spoil() -> None:
            while not spoilt.is_set():
                for part in root.rglob("*.part"):
                    if part.stat().st_size > PART_BYTES:
                        with part.open("r+b") as file:
                            file.write(b"spoilt")
                        spoilt.set()
                        return
                time.sleep(0.001)

        thread = threading.Thread(target=spoil)
        thread.start()
        here.transfer(there, [file_of("a", LARGE)], operation_id=operation)
        (outcome,) = wait_for_end(here, operation).files
        assert spoilt.is_set()
        thread.join()
        assert outcome.state is FileState.TRANSFERRED, outcome
        assert (root / "delivered" / "a").read_bytes() == LARGE
        assert list(root.rglob("*.part")) == []
        assert moved(here, there, "a", LARGE).state is FileState.SKIPPED
        (Path(here.root) / "b").write_bytes(b"small")
        assert moved(here, there, "b", b"small").state is FileState.TRANSFERRED
        assert (root / "delivered" / "b").read_bytes() == b"small"
        there.close()

    @pytest.mark.parametrize("known", [True, False])
    def test_parts_that_an_earlier_run_has_left_are_always_read_back(
        self, there: SftpEndpoint, here: LocalEndpoint, root: Path, known: bool
    ) -> None:
        (Path(here.root) / "a").write_bytes(LARGE)
        operation, found = uuid4(), here.storage(arriving=False).look("a")
        assert found is not None
        writing = tree(there).write("delivered/a", num_bytes=len(LARGE), operation=operation.hex, version=found.version)
        for number in range(3):
            writing.put(number, LARGE[number * PART_BYTES : (number + 1) * PART_BYTES])
        writing.leave()
        (part,) = root.rglob("*.part")
        with part.open("r+b") as file:
            file.write(bytes(1000))  # as after a power cut
        moving = file_of("a", LARGE) if known else file_of("a", LARGE, hash=None)
        here.transfer(there, [moving], operation_id=operation)
        (outcome,) = wait_for_end(here, operation).files
        assert outcome.state is FileState.TRANSFERRED, outcome
        assert (root / "delivered" / "a").read_bytes() == LARGE
        assert list(root.rglob("*.part")) == []

    def test_a_small_file_goes_through_no_link_under_the_name_that_it_has_meanwhile(
        self, there: SftpEndpoint, root: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "elsewhere").write_text("another's")
        writing = tree(there).write("a", num_bytes=5, operation="1" * 32, version="1")
        (root / _part_name("a", num_bytes=5, operation="1" * 32, version="1").decode()).symlink_to(
            tmp_path / "elsewhere"
        )
        writing.put(0, b"small")
        writing.complete(None, exclusive=True)
        assert ((tmp_path / "elsewhere").read_text(), os.listdir(root)) == ("another's", ["a"])
        assert ((root / "a").is_symlink(), (root / "a").read_bytes()) == (False, b"small")

    def test_of_a_small_file_that_must_not_replace_another_nothing_is_left(
        self, there: SftpEndpoint, root: Path
    ) -> None:
        (root / "a").write_text("another's")
        writing = tree(there).write("a", num_bytes=5, operation="1" * 32, version="1")
        writing.put(0, b"small")
        with pytest.raises(FileExistsError):
            writing.complete(None, exclusive=True)
        assert (os.listdir(root), (root / "a").read_text()) == (["a"], "another's")

    def test_a_canceled_move_leaves_nothing_after_it_was_cleared(
        self, there: SftpEndpoint, here: LocalEndpoint, root: Path
    ) -> None:
        (Path(here.root) / "a").write_bytes(LARGE)
        operation, file = uuid4(), file_of("a", LARGE)
        here.transfer(there, [file], operation_id=operation)
        while not list(root.rglob("*.part")):
            time.sleep(0.001)
        here.cancel(operation)
        assert wait_for_end(here, operation).code in (OperationCode.CANCELED, OperationCode.SUCCEEDED)
        here.clear(there, [file], operation_id=operation)
        assert list(root.rglob("*.part")) == []

    def test_a_source_that_changes_meanwhile_fails(self, there: SftpEndpoint, root: Path) -> None:
        (root / "a").write_bytes(b"content")
        storage = tree(there)
        entry = storage.look("a")
        assert entry is not None
        os.utime(root / "a", (1, 1))
        with pytest.raises(Exception, match="the file changed while it was read"):
            storage.read("a", entry, 0, 7)
        (root / "a").unlink()
        with pytest.raises(Exception, match="the file changed while it was read"):
            storage.read("a", entry, 0, 7)

    def test_the_server_copies_by_itself(self, sftp_server: SftpServer, there: SftpEndpoint, root: Path) -> None:
        (root / "a").write_bytes(LARGE)
        other_root = sftp_server.folder()
        other = sftp_server.endpoint(other_root)
        assert tree(other).can_copy(tree(there))
        assert moved(there, other, "a", LARGE).state is FileState.TRANSFERRED
        assert (other_root / "delivered" / "a").read_bytes() == LARGE
        other.close()


class TestConfiguration:
    @pytest.mark.parametrize(
        ("change", "key"),
        [
            ({"host": None}, "host"),
            ({"known_hosts": None}, "known_hosts"),
            ({"user": None}, "user"),
            ({"private_key": None}, "private_key"),
            ({"port": "22"}, "port"),
            ({"durable": "batch"}, "durable"),
            ({"agent": True}, "agent"),
            ({"workers": 0}, "workers"),
        ],
    )
    def test_what_is_wrong_is_named(self, change: dict[str, Any], key: str) -> None:
        given = {"host": "e.org", "user": "ada", "known_hosts": "known", "private_key": "key", **change}
        with pytest.raises(InvalidEndpointConfigError) as caught:
            SftpEndpoint.from_config(EndpointConfig(key="tree", provider="sftp", options=given))
        assert caught.value.key == f"endpoints.tree.{key}"
