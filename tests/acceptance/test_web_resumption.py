"""Files of a real web server: fetched by a process that is killed, or replaced while they are fetched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.records import FileOutcome, FileState, FileTransfer
from dts_fsm.testing.endpoint_pair import file_of, wait_for_end
from tests.acceptance.fetching import before_part, site
from tests.servers.nginx import Nginx

MIB = 1 << 20
PART = 8 * MIB
NUM_PARTS, KEPT = 12, 5


class Folder:
    """A file of the server, and where it arrives."""

    def __init__(self, nginx: Nginx, root: Path) -> None:
        self.nginx, self.root, self.name = nginx, root, uuid4().hex
        self.options = {"url": nginx.secure_url, "ca_file": nginx.ca_file}
        self.content = os.urandom(NUM_PARTS * PART - 1000)
        self.file = file_of(self.name, self.content, destination_path="arrived")
        (nginx.folder / self.name).write_bytes(self.content)
        self.destination = LocalEndpoint(root=root, durable="none")

    def replace(self) -> None:
        """Another file of the same size has the name; it was changed at another time."""
        self.content = self.content[::-1]
        other = self.nginx.folder / f"{self.name}.new"
        other.write_bytes(self.content)
        os.utime(other, (1e9, 1e9))
        other.replace(self.nginx.folder / self.name)

    def move(self, file: FileTransfer, operation_id: UUID, run: str) -> FileOutcome:
        source = site(self.options, run)
        source.transfer(self.destination, [file], operation_id=operation_id)
        (outcome,) = wait_for_end(source, operation_id).files
        source.close()
        return outcome

    def kill_a_move(self, operation_id: UUID) -> None:
        """A process that moves the file was killed, and leaves KEPT parts."""
        arguments = json.dumps([self.options, str(self.root), self.name, operation_id.hex, KEPT])
        killed = subprocess.run([sys.executable, "-m", "tests.acceptance.fetching", arguments], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert sum(part.stat().st_size for part in self.root.glob("*.part")) == KEPT * PART

    def num_bytes_sent(self, run: str) -> int:
        """How many bytes of the file the server has sent to a run."""
        lines = [line.split() for line in self.nginx.access_log.read_text().splitlines()]
        return sum(int(size) for told, path, _, size in lines if (told, path) == (run, f"/{self.name}"))


@pytest.fixture
def folder(nginx: Nginx, tmp_path: Path) -> Iterator[Folder]:
    folder = Folder(nginx, tmp_path)
    yield folder
    folder.destination.close()
    (nginx.folder / folder.name).unlink()


def test_what_a_killed_process_has_fetched_is_not_fetched_again(folder: Folder) -> None:
    operation_id, run = uuid4(), uuid4().hex
    folder.kill_a_move(operation_id)
    assert folder.move(folder.file, operation_id, run).state is FileState.TRANSFERRED
    assert (folder.root / "arrived").read_bytes() == folder.content
    assert folder.num_bytes_sent(run) == len(folder.content) - KEPT * PART
    assert [path.name for path in folder.root.iterdir()] == ["arrived"]


def test_what_a_killed_process_has_fetched_of_another_version_is_fetched_again(folder: Folder) -> None:
    operation_id, run = uuid4(), uuid4().hex
    folder.kill_a_move(operation_id)
    folder.replace()
    file = file_of(folder.name, folder.content, destination_path="arrived", hash=None)
    assert folder.move(file, operation_id, run).state is FileState.TRANSFERRED
    assert (folder.root / "arrived").read_bytes() == folder.content
    assert folder.num_bytes_sent(run) == len(folder.content)


def test_a_file_that_is_replaced_in_the_middle_does_not_arrive(folder: Folder) -> None:
    file = file_of(folder.name, folder.content, destination_path="arrived", hash=None)
    with before_part(2, folder.replace):
        outcome = folder.move(file, uuid4(), "changed")
    assert (outcome.state, outcome.reason, outcome.transient) == (FileState.FAILED, "source changed", True)
    assert list(folder.root.iterdir()) == []
