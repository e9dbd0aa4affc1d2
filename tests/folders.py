"""Real folders between which tests move files, and what makes them hostile."""

from __future__ import annotations

import ctypes
import hashlib
import os
import socket
import stat
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs

from dts_fsm.endpoints.batches import Batch, batches
from dts_fsm.endpoints.beneath import Sources, open_root
from dts_fsm.endpoints.copying import CHUNK_BYTES, Copier
from dts_fsm.records import Checksum, FileOutcome, FileState, FileTransfer

CONTENT = b"0123456789abcdef" * (CHUNK_BYTES // 8)  # two chunks
SECRET = b"what lies outside the root"


def sha256(content: bytes) -> Checksum:
    return Checksum("sha256", hashlib.sha256(content).hexdigest())


@attrs.define
class Place:
    """A source and a destination folder, and one outside of both."""

    source: Path
    destination: Path
    outside: Path
    advance: Callable[[int], object] = int

    @classmethod
    def below(cls, folder: Path) -> Place:
        place = cls(folder / "source", folder / "destination", folder / "outside")
        for made in (place.source, place.destination, place.outside):
            made.mkdir()
        (place.outside / "file").write_bytes(SECRET)
        return place

    def put(self, content: bytes = CONTENT, path: str = "file", **changes: Any) -> FileTransfer:
        (self.source / path).parent.mkdir(parents=True, exist_ok=True)
        (self.source / path).write_bytes(content)
        file = FileTransfer(id=path, source_path=path, destination_path=path, bytes=len(content), hash=sha256(content))
        return attrs.evolve(file, **changes)

    def copy(self, file: FileTransfer, *, sync: bool = False) -> FileOutcome:
        source, folder = open_root(str(self.source)), open_root(str(self.destination))
        sources = Sources(source)
        try:
            outcome = Copier(sources, self.advance).copy(file, folder=folder, name="file", part="part", sync=sync)
            if outcome.state is FileState.TRANSFERRED:
                os.rename("part", "file", src_dir_fd=folder, dst_dir_fd=folder)
            return outcome
        finally:
            sources.close()
            os.close(source)
            os.close(folder)

    def batch(self, *files: FileTransfer, **changes: Any) -> Batch:
        (batch,) = batches(
            files,
            source_root=str(self.source),
            destination_root=str(self.destination),
            operation_id=uuid4(),
            durable=True,
        )
        return attrs.evolve(batch, **changes)

    def arrived(self) -> dict[str, bytes]:
        """Everything below the destination, temporary files and links' targets included."""
        return {
            str(path.relative_to(self.destination)): path.read_bytes()
            for path in self.destination.rglob("*")
            if path.is_file()
        }


def unprivileged() -> Executor:
    """A thread that permissions hold for: root gives its rights to files away, for this thread alone."""

    def drop() -> None:
        if os.geteuid() == 0:
            ctypes.CDLL(None).setfsuid(65534)

    return ThreadPoolExecutor(1, initializer=drop)


def in_child(work: Callable[[], object]) -> int:
    """A child process does this, and ends; gives its id. It needs no lock that another thread might hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what Python says of forks where there are threads
        child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def make_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


def make_device(path: Path) -> None:
    """A node of /dev/zero is there, which never ends; for who may make none, a FIFO, which never begins."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        os.mkfifo(path)


def make_deep(root: Path, depth: int, content: bytes) -> str:
    """A file is ``depth`` folders below the root, deeper than any path can say; gives its path."""
    here = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        here = _entered(here, "d")
    with open(os.open("file", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=here), "wb") as writer:
        writer.write(content)
    os.close(here)
    return "d/" * depth + "file"


def take_deep(root: Path) -> tuple[int, bytes | None]:
    """Remove the chain of folders that ``make_deep`` made; gives its depth and the file's content, None for no file."""
    depth, content = 0, None
    here = os.open(root, os.O_RDONLY)
    while "d" in os.listdir(here):
        here, depth = _entered(here, "d"), depth + 1
    for name in os.listdir(here):
        with open(os.open(name, os.O_RDONLY, dir_fd=here), "rb") as reader:
            content = reader.read()
        os.unlink(name, dir_fd=here)
    for _ in range(depth):
        here = _entered(here, "..")
        os.rmdir("d", dir_fd=here)
    os.close(here)
    return depth, content


def _entered(here: int, name: str) -> int:
    there = os.open(name, os.O_RDONLY, dir_fd=here)
    os.close(here)
    return there
