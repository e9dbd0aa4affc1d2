"""Real copies through the orchestrator and its local endpoints, verified and durable."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from benchmarks.meter import Meter, peak_bytes
from dts_fsm import Config, Descriptor, Orchestrator, ServiceConfig, Specification, User
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.testing import ORCID, FakeDatabase, FakeEndpoint

_BLOCK_BYTES = 1 << 20


def make_source(folder: Path, *, files: int, size_bytes: int) -> dict[str, float]:
    """The folder has files of this size with different contents."""
    block = os.urandom(_BLOCK_BYTES)
    for number in range(files):
        with (folder / f"{number:06}.bin").open("wb") as file:
            file.write(number.to_bytes(8, "big")[:size_bytes])
            left = size_bytes - file.tell()
            while left:
                left -= file.write(block[:left])
    return {"num_bytes": files * size_bytes}


def transfer(folder: Path, *, source: str) -> dict[str, float]:
    """One transfer of all of the source's files has succeeded, each file compared with the checksum it must have."""
    archive = folder / "archive"
    archive.mkdir()
    descriptors = {path.name: _descriptor(path) for path in sorted(Path(source).iterdir())}
    ends = {"source": LocalEndpoint(root=source), "destination": LocalEndpoint(root=archive)}
    dts = Orchestrator(
        Config(service=ServiceConfig(data_dir=folder, synchronous="full")),
        databases={"genomes": _database("source", descriptors), "archive": _database("destination", {})},
        endpoints=ends,
    )
    specification = Specification(
        source="genomes", destination="archive", file_ids=list(descriptors), user=User(name="Ada", orcid=ORCID)
    )
    with dts, Meter() as meter:
        status = dts.wait(dts.create(specification))
        if status.code != "succeeded":
            raise RuntimeError(status.message)
    for end in ends.values():
        end.close()
    return {**meter.figures, "peak_bytes": peak_bytes()}


def _descriptor(path: Path) -> Descriptor:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Descriptor(id=path.name, path=path.name, bytes=path.stat().st_size, hash=f"sha256:{digest}")


def _database(endpoint_name: str, descriptors: Mapping[str, Descriptor]) -> FakeDatabase:
    """A database in memory, whose files are at a real endpoint."""
    database = FakeDatabase(endpoint_name, endpoint=FakeEndpoint(endpoint_name), endpoint_name=endpoint_name)
    database.descriptors_by_id.update(descriptors)
    return database
