"""Workloads of the whole orchestrator, with its threads and a durable store, over fakes that need no time."""

from __future__ import annotations

import gc
import sqlite3
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks.meter import Meter, peak_bytes
from dts_fsm import Config, Descriptor, Orchestrator, ServiceConfig, Specification, User
from dts_fsm.interfaces import Endpoint
from dts_fsm.records import FileTransfer
from dts_fsm.testing import ORCID, FakeDatabase, FakeFile, PromptEndpoint

_USER = User(name="Ada", orcid=ORCID)
_FILE_BYTES = 1000
_FILE = FakeFile(_FILE_BYTES)


_REMEMBERED = 1000
"""Of how many moves that have ended a fake says so: as many as the endpoints that move files themselves."""


class _Frugal(PromptEndpoint):
    """An endpoint that grows no faster than a real one: it forgets moves that ended long ago."""

    def transfer(self, destination: Endpoint, files: Sequence[FileTransfer], *, operation_id: UUID) -> UUID:
        """See ``Endpoint``."""
        handle = super().transfer(destination, files, operation_id=operation_id)
        with self._lock:
            while len(self._moves) > _REMEMBERED and (oldest := next(iter(self._moves.values()))).result is not None:
                del self._moves[oldest.id]
        self.submissions.clear()
        return handle


class _Forgetful(dict[str, FakeFile]):
    """The files of a fake to which more and more come: they are nowhere in memory."""

    def __setitem__(self, path: str, file: FakeFile) -> None:
        pass


class World:
    """An orchestrator between two fake databases, and specifications of files that are there.

    What it is made of is not gone through by the garbage collector: it is not the orchestrator's, and would cost more
    the more transfers there are.
    """

    def __init__(self, folder: Path, *, transfers: int, files: int, duration_s: float = 0.0) -> None:
        source = _Frugal("source", sees=folder, duration_s=duration_s)
        destination = _Frugal("destination")
        destination.files = _Forgetful()
        genomes = FakeDatabase("genomes", endpoint=source, endpoint_name="source")
        archive = FakeDatabase("archive", endpoint=destination, endpoint_name="destination")
        self.specifications = [
            Specification(
                source="genomes",
                destination="archive",
                file_ids=[
                    genomes.add(f"{transfer}-{file}", _FILE_BYTES, path=f"run/{transfer}/{file}.fasta").id
                    for file in range(files)
                ],
                user=_USER,
                description="a transfer of a benchmark",
            )
            for transfer in range(transfers)
        ]
        self.dts = Orchestrator(
            Config(service=ServiceConfig(data_dir=folder, endpoint="source", synchronous="full")),
            databases={"genomes": genomes, "archive": archive},
            endpoints={"source": source, "destination": destination},
        )
        gc.freeze()


class _Bottomless(_Frugal):
    """An endpoint that has every file, and remembers none that it gets: it takes no memory for them."""

    def __init__(self, name: str, *, sees: Path | None = None) -> None:
        super().__init__(name, sees=sees)
        self.files = _Forgetful()

    def _find(self, path: str) -> FakeFile | None:
        return super()._find(path) if path.endswith(".json") else _FILE


class _Describing(FakeDatabase):
    """A database that describes files when it is asked for them."""

    def descriptors(self, orcid: str, file_ids: Sequence[str]) -> list[Descriptor]:  # noqa: ARG002 - the contract's
        return [Descriptor(id=file_id, path=f"run/{file_id}.fasta", bytes=_FILE_BYTES) for file_id in file_ids]


def large(folder: Path, *, files: int) -> dict[str, float]:
    """One transfer of so many files is created, and succeeds; the fakes take no memory for them."""
    source, destination = _Bottomless("source", sees=folder), _Bottomless("destination")
    databases = {
        "genomes": _Describing("genomes", endpoint=source, endpoint_name="source"),
        "archive": _Describing("archive", endpoint=destination, endpoint_name="destination"),
    }
    config = Config(service=ServiceConfig(data_dir=folder, endpoint="source", synchronous="full"))
    before = peak_bytes()
    specification = Specification(
        source="genomes", destination="archive", file_ids=[f"file-{number:08}" for number in range(files)], user=_USER
    )
    ends: dict[str, Endpoint] = {"source": source, "destination": destination}
    with Orchestrator(config, databases=databases, endpoints=ends) as dts:
        with Meter() as meter:
            began_s = time.thread_time()
            transfer_id = dts.create(specification)
            create_s = time.thread_time() - began_s
            status = dts.wait(transfer_id)
        if status.code != "succeeded":
            raise RuntimeError(status.message)
        figures = {**meter.figures, "create_s": create_s, "start_bytes": before, "peak_bytes": peak_bytes()}
        for name, call, times in (("status_s", dts.status, 100), ("files_s", dts.files, 1)):
            began_s = time.thread_time()
            for _ in range(times):
                call(transfer_id)
            figures[name] = (time.thread_time() - began_s) / times
    return figures


def transfers(folder: Path, *, count: int, files: int) -> dict[str, float]:
    """So many transfers are created in one call, and succeed."""
    world = World(folder, transfers=count, files=files)
    with world.dts as dts:
        with Meter() as all_of_it:
            with Meter() as creation:
                ids = dts.create_many(world.specifications)
            states = {dts.wait(transfer_id).code.value for transfer_id in reversed(ids)}
        if states != {"succeeded"}:
            raise RuntimeError(f"transfers ended as {states}")
        num_transitions = len(dts.history(ids[0])) * count
    return {
        **all_of_it.figures,
        **{f"create_{name}": value for name, value in creation.figures.items()},
        "num_transitions": num_transitions,
        "peak_bytes": peak_bytes(),
    }


def creations(folder: Path, *, threads: int, count: int, sync_s: float = 0.0) -> dict[str, float]:
    """So many threads create transfers, one in a call; nothing is carried out.

    Args:
        sync_s: how much longer each commit takes, as on a slower disk.
    """
    if sync_s:
        sqlite3.connect = partial(sqlite3.connect, factory=_slower(sync_s))
    world = World(folder, transfers=count, files=3)
    world.dts.start(schedule=False)
    left, turn = iter(world.specifications), threading.Lock()

    def create() -> None:
        while True:
            with turn:
                specification = next(left, None)
            if specification is None:
                return
            world.dts.create(specification)

    working = [threading.Thread(target=create) for _ in range(threads)]
    with Meter() as meter:
        for thread in working:
            thread.start()
        for thread in working:
            thread.join()
    world.dts.stop()
    return meter.figures


def _slower(sync_s: float) -> type[sqlite3.Connection]:
    class Slower(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "COMMIT":
                time.sleep(sync_s)
            return super().execute(sql, *values)

    return Slower


def heard(folder: Path, *, count: int, subscribers: int, reading: int) -> dict[str, float]:
    """So many transfers succeed while so many hear of everything, of whom some read."""
    world = World(folder, transfers=count, files=3)
    with world.dts as dts:
        listening = [dts.subscribe() for _ in range(subscribers)]
        for subscription in listening[:reading]:
            threading.Thread(target=lambda mine: deque(mine, maxlen=0), args=(subscription,), daemon=True).start()
        with Meter() as meter:
            for transfer_id in reversed(dts.create_many(world.specifications)):
                dts.wait(transfer_id)
        for subscription in listening:
            subscription.close()
    return meter.figures


def starts(folder: Path, *, command: list[str]) -> dict[str, float]:
    """A command of Python's has run: the CPU time of its process."""
    with Meter() as meter:
        subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=folder)
    return meter.figures


def statuses(folder: Path, *, running: int, count: int) -> dict[str, float]:
    """So many statuses are asked for, one after the other, while so many transfers run."""
    world = World(folder, transfers=running, files=3, duration_s=3600.0)
    with world.dts as dts:
        ids = dts.create_many(world.specifications)
        for transfer_id in ids:
            while dts.status(transfer_id).code != "active":
                time.sleep(0.01)
        wall_s, own_s = [], []
        for number in range(count):
            began_s, own = time.perf_counter(), time.thread_time()
            dts.status(ids[number % running])
            wall_s.append(time.perf_counter() - began_s)
            own_s.append(time.thread_time() - own)
    wall_s.sort()
    own_s.sort()
    slow = count * 99 // 100
    return {"cpu_s": sum(own_s), "slow_cpu_s": own_s[slow], "median_s": wall_s[count // 2], "slow_s": wall_s[slow]}
