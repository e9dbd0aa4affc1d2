"""A process under load, whose store, sources and destination are all on one disk; it tells what it acknowledged."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any

from dts_fsm import Config, Orchestrator, Specification, TransferStatusCode, User
from dts_fsm.config import ServiceConfig
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.testing import FakeDatabase, FakeEndpoint
from dts_fsm.testing.rig import ORCID

STORE = "state/dts.db"
DESTINATION = "archive"

FILES = {f"{n}.small": 3_000 for n in range(6)} | {f"{n}.large": 400_000 for n in range(2)} | {"0.huge": 1_300_000}
_AT_ONCE = 6
_WITHFILES = (TransferStatusCode.FINALIZING, TransferStatusCode.SUCCEEDED)


def _content(name: str, size: int) -> bytes:
    return random.Random(name).randbytes(size)


def prepare(root: Path) -> None:
    """The folders and the sources are on the disk, and stay there."""
    for folder in ("state", "source", DESTINATION):
        (root / folder).mkdir(exist_ok=True)
    for name, size in FILES.items():
        (root / "source" / name).write_bytes(_content(name, size))
    os.sync()


def orchestrator(root: Path, *, durable: bool = True, **settings: Any) -> Orchestrator:
    """Give an orchestrator of real folders; not started."""
    nothing = FakeEndpoint()
    source = FakeDatabase("source", endpoint=nothing, endpoint_name="source")
    for name, size in FILES.items():
        source.add(name, _content(name, size))
    service = ServiceConfig(data_dir=root / "state", poll_interval_s=0.02, lease_time_s=2.0, **settings)
    return Orchestrator(
        Config(service=service),
        databases={
            "source": source,
            "destination": FakeDatabase("destination", endpoint=nothing, endpoint_name="destination"),
        },
        endpoints={
            "source": LocalEndpoint(root=root / "source", name="source", workers=2),
            "destination": LocalEndpoint(root=root / DESTINATION, name="destination", durable=durable),
        },
    )


def specification(*names: str) -> Specification:
    """Give a request for these files."""
    return Specification(source="source", destination="destination", file_ids=names, user=User(name="Ada", orcid=ORCID))


def main() -> None:
    """Work, and tell, until killed."""
    root, telling, seed, synchronous, durable = sys.argv[1:]
    told = os.open(telling, os.O_WRONLY | os.O_APPEND)

    def tell(*words: object) -> None:
        os.write(told, json.dumps(words).encode() + b"\n")

    choice = random.Random(int(seed))
    with orchestrator(Path(root), synchronous=synchronous, durable=durable == "durable") as dts:

        def listen() -> None:
            folders = {}
            for message in dts.subscribe(10_000, after=0):
                id_ = message.transfer_id
                tell("published", message.seq, str(id_), message.status.code.value)
                if message.status.code in _WITHFILES:
                    folder = folders.setdefault(id_, dts.transfer(id_).folder)
                    arrived = [file for file in dts.files(id_) if file.state.arrived]
                    tell("arrived", *((f"{folder}/{file.path}", file.observed_hash) for file in arrived))

        threading.Thread(target=listen, daemon=True).start()
        under_way = deque[Any]()
        for number in itertools.count():
            ending = ".large" if number % 4 == 3 else ".small"
            names = [name for name in FILES if name.endswith(ending)]
            names = choice.sample(names, choice.randint(1, len(names)))
            id_ = dts.create(specification(*names), idempotency_key=str(number))
            tell("created", str(id_), str(number))
            under_way.append(id_)
            if choice.random() < 0.3:
                dts.cancel(id_, ORCID)
                tell("requested", str(id_), "cancel")
            if len(under_way) > _AT_ONCE:
                dts.wait(under_way.popleft(), timeout_s=60)


def digest(file: Path) -> str:
    """The file's checksum, as the store has it."""
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


if __name__ == "__main__":
    main()
