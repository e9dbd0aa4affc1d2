"""Real copies: by the tools that everybody has, by the local endpoint alone, and by the whole orchestrator."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from benchmarks.meter import Meter, peak_bytes
from dts_fsm import Config, Descriptor, Orchestrator, ServiceConfig, Specification, User
from dts_fsm.endpoints.endpoint import MovingEndpoint
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.records import Checksum, FileTransfer, OperationCode
from dts_fsm.records.checksum import new_hasher
from dts_fsm.testing import ORCID, FakeDatabase, FakeEndpoint

TOOLS: Mapping[str, str] = {
    "cp -r": "cp -r $SOURCE $TARGET",
    "cp -r and sync -f": "cp -r $SOURCE $TARGET && sync -f $TARGET",
    "rsync -a --fsync": "rsync -a --fsync $SOURCE/ $TARGET",
    "rclone copy --checksum and sync -f": "rclone copy --checksum --config= $SOURCE $TARGET && sync -f $TARGET",
}

_BLOCK_BYTES = 1 << 20
_LOOK_S = 0.002


def make_source(
    folder: Path, *, files: int, size_bytes: int, folders: int = 1, sparse: bool = False
) -> dict[str, float]:
    """There are files of this size in so many folders; with different contents, unless they are holes."""
    block = os.urandom(_BLOCK_BYTES)
    for number in range(min(files, folders)):
        (folder / f"{number:03}").mkdir()
    for number in range(files):
        with (folder / f"{number % folders:03}" / f"{number:06}.bin").open("wb") as file:
            if sparse:
                file.truncate(size_bytes)
                continue
            file.write(number.to_bytes(8, "big")[:size_bytes])
            left = size_bytes - file.tell()
            while left:
                left -= file.write(block[:left])
    return {"num_bytes": files * size_bytes}


def copied(folder: Path, *, source: str, tool: str, keep: bool) -> dict[str, float]:
    """One of ``TOOLS`` has copied the source folder; the copy is deleted where it is not to be kept."""
    target = folder / "copy"
    make_equal(Path(source), folder)
    with Meter() as meter:
        subprocess.run(
            ["sh", "-c", TOOLS[tool]], env=os.environ | {"SOURCE": source, "TARGET": str(target)}, check=True
        )
    _end(target, keep)
    return meter.figures


def hashed(folder: Path, *, source: str, algorithm: str) -> dict[str, float]:
    """One core has hashed all files of the source folder."""
    make_equal(Path(source), folder)
    with Meter() as meter:
        for path in paths_below(Path(source)):
            checksum_of(path, algorithm)
    return meter.figures


def moved(
    folder: Path, *, source: str, algorithm: str, durable: str, keep: bool, workers: int = 4, even: bool = True
) -> dict[str, float]:
    """A local endpoint has moved the source folder, each file compared with the checksum it must have, if any.

    Args:
        algorithm: of these checksums, or "none".
        even: whether the time is to be compared with that of another tool.
    """
    target = folder / "copy"
    target.mkdir()
    files = [
        FileTransfer(id=name, source_path=name, destination_path=name, bytes=path.stat().st_size, hash=checksum)
        for path in paths_below(Path(source))
        for name in [path.relative_to(source).as_posix()]
        for checksum in [None if algorithm == "none" else checksum_of(path, algorithm)]
    ]
    here = LocalEndpoint(root=source, workers=workers)
    there = LocalEndpoint(root=target, durable=durable, default_checksum="none" if algorithm == "none" else "sha256")
    if even:
        make_equal(Path(source), folder)
    with Meter() as meter:
        id_ = here.transfer(there, files, operation_id=uuid4())
        while (status := here.statuses([id_])[id_]).code is OperationCode.RUNNING:
            time.sleep(_LOOK_S)
    here.close()
    if status.code is not OperationCode.SUCCEEDED:
        raise RuntimeError(status.message)
    _end(target, keep)
    return {**meter.figures, "peak_bytes": peak_bytes()}


def moved_between(here: MovingEndpoint, there: MovingEndpoint, source: Path, folder: Path) -> dict[str, float]:
    """What is in the source folder, and at one of two endpoints, was moved to the other; compared with its SHA-256."""
    files = [
        FileTransfer(
            id=name,
            source_path=name,
            destination_path=name,
            bytes=path.stat().st_size,
            hash=checksum_of(path, "sha256"),
        )
        for path in paths_below(source)
        for name in [path.relative_to(source).as_posix()]
    ]
    make_equal(source, folder)  # directly before: what is free is given back to the host within seconds
    with Meter() as meter:
        id_ = here.transfer(there, files, operation_id=uuid4())
        while (status := here.statuses([id_])[id_]).code is OperationCode.RUNNING:
            time.sleep(_LOOK_S)
    here.close()
    there.close()
    if status.code is not OperationCode.SUCCEEDED:
        raise RuntimeError(status.message)
    return {**meter.figures, "peak_bytes": peak_bytes()}


def transfer(folder: Path, *, source: str) -> dict[str, float]:
    """One transfer of all of the source's files has succeeded, each file compared with the SHA-256 it must have."""
    archive = folder / "archive"
    archive.mkdir()
    descriptors = {item.id: item for item in (_descriptor(Path(source), path) for path in paths_below(Path(source)))}
    ends = {"source": LocalEndpoint(root=source), "destination": LocalEndpoint(root=archive)}
    dts = Orchestrator(
        Config(service=ServiceConfig(data_dir=folder, synchronous="full")),
        databases={"genomes": _database("source", descriptors), "archive": _database("destination", {})},
        endpoints=ends,
    )
    specification = Specification(
        source="genomes", destination="archive", file_ids=list(descriptors), user=User(name="Ada", orcid=ORCID)
    )
    make_equal(Path(source), folder)
    with dts, Meter() as meter:
        status = dts.wait(dts.create(specification))
        if status.code != "succeeded":
            raise RuntimeError(status.message)
    for end in ends.values():
        end.close()
    return {**meter.figures, "peak_bytes": peak_bytes()}


def make_equal(source: Path, folder: Path) -> None:
    """The source is in the page cache, and there is as much memory at hand as its copy takes.

    A virtual machine gives memory back that it has not used for seconds; to get it again from its host takes up to ten
    times as long as to fill it. Whoever comes next after a pause would pay for that, and nobody else.
    """
    num_bytes = 0
    for path in paths_below(source):
        with path.open("rb", buffering=0) as file:
            while content := file.read(_BLOCK_BYTES):
                num_bytes += len(content)
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for _ in range(num_bytes // _BLOCK_BYTES + 1):
            file.write(bytes(_BLOCK_BYTES))
    filler.unlink()


def _end(target: Path, keep: bool) -> None:
    if not keep:
        shutil.rmtree(target)


def paths_below(source: Path) -> list[Path]:
    """Give the files in a folder and below, in order."""
    return sorted(path for path in source.rglob("*") if path.is_file())


def checksum_of(path: Path, algorithm: str) -> Checksum:
    """Give the checksum of a file."""
    hasher = new_hasher(algorithm)
    with path.open("rb", buffering=0) as file:
        while content := file.read(_BLOCK_BYTES):
            hasher.update(content)
    return Checksum(algorithm, hasher.hexdigest())


def _descriptor(source: Path, path: Path) -> Descriptor:
    name = path.relative_to(source).as_posix()
    return Descriptor(id=name, path=name, bytes=path.stat().st_size, hash=checksum_of(path, "sha256"))


def _database(endpoint_name: str, descriptors: Mapping[str, Descriptor]) -> FakeDatabase:
    """A database in memory, whose files are at a real endpoint."""
    database = FakeDatabase(endpoint_name, endpoint=FakeEndpoint(endpoint_name), endpoint_name=endpoint_name)
    database.descriptors_by_id.update(descriptors)
    return database
