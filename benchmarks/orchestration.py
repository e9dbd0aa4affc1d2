"""Workloads of the whole orchestrator, with its threads and a durable store, over fakes that need no time."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.meter import Meter, peak_bytes
from dts_fsm import Config, Orchestrator, ServiceConfig, Specification, User
from dts_fsm.testing import ORCID, FakeDatabase, PromptEndpoint

_USER = User(name="Ada", orcid=ORCID)
_FILE_BYTES = 1000


class _World:
    """An orchestrator between two fake databases, and specifications of files that are there."""

    def __init__(self, folder: Path, *, transfers: int, files: int, duration_s: float = 0.0) -> None:
        source = PromptEndpoint("source", sees=folder, duration_s=duration_s)
        destination = PromptEndpoint("destination")
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


def transfers(folder: Path, *, count: int, files: int) -> dict[str, float]:
    """So many transfers are created in one call, and succeed."""
    world = _World(folder, transfers=count, files=files)
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


def statuses(folder: Path, *, running: int, count: int) -> dict[str, float]:
    """So many statuses are asked for, one after the other, while so many transfers run."""
    world = _World(folder, transfers=running, files=3, duration_s=3600.0)
    with world.dts as dts:
        ids = dts.create_many(world.specifications)
        for transfer_id in ids:
            while dts.status(transfer_id).code != "active":
                time.sleep(0.01)
        wall_s = []
        cpu_s = time.thread_time()
        for number in range(count):
            began_s = time.perf_counter()
            dts.status(ids[number % running])
            wall_s.append(time.perf_counter() - began_s)
        cpu_s = time.thread_time() - cpu_s
    wall_s.sort()
    return {"cpu_s": cpu_s, "median_s": wall_s[count // 2], "slow_s": wall_s[count * 99 // 100]}
