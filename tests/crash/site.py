"""An installation with real files, and what its users ask of it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import threading
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import attrs

from dts_fsm import Config, Orchestrator, Specification, User
from dts_fsm.databases.scan import update_catalog
from dts_fsm.endpoints.copying import Copier
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.records import FileOutcome
from tests.crash.points import Told

ORCID = "0000-0002-1825-0097"
LONGEST_S = 30
"""Nothing here takes a tenth of it, unless it hangs."""


@attrs.frozen(kw_only=True)
class Scenario:
    """What is asked of an installation.

    Attributes:
        sizes: of the files, in bytes, by path.
        orders: the file ids of each transfer, by its idempotency key.
        archived: files that must be staged first.
        wrong: files whose checksum in the catalog is another.
        acts: what the user asks of a transfer while it is being moved, by its key: "cancel", or "suspend" and "resume".
        workers: of the source's endpoint.
        settings: further ones of the section ``service``.
        staging_delay_s: how long staging takes at least.
    """

    sizes: Mapping[str, int]
    orders: Mapping[str, tuple[str, ...]]
    archived: frozenset[str] = frozenset()
    wrong: frozenset[str] = frozenset()
    acts: Mapping[str, tuple[str, ...]] = attrs.Factory(dict)
    workers: int = 4
    settings: Mapping[str, float] = attrs.Factory(dict)
    staging_delay_s: float = 0.0


_SMALL = {"a.txt": 20, "sub/b.bin": (1 << 20) + 1, "sub/empty": 0}
_MANY = {f"{number}.txt": number for number in range(8)}


def _one(sizes: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    return {"one": tuple(sizes)}


SCENARIOS = {
    "plain": Scenario(sizes=_SMALL, orders=_one(_SMALL)),
    # one worker gets batches that are large enough for their files to be synced and renamed together
    "together": Scenario(sizes=_MANY, orders=_one(_MANY), workers=1),
    "staged": Scenario(sizes=_SMALL, orders=_one(_SMALL), archived=frozenset({"a.txt", "sub/b.bin"})),
    "canceled": Scenario(sizes=_SMALL, orders=_one(_SMALL), acts={"one": ("cancel",)}),
    "suspended": Scenario(sizes=_SMALL, orders=_one(_SMALL), acts={"one": ("suspend", "resume")}),
    "mismatched": Scenario(sizes=_SMALL, orders=_one(_SMALL), wrong=frozenset({"sub/b.bin"})),
}


@functools.lru_cache(1000)
def _content(path: str, size_bytes: int) -> bytes:
    return random.Random(path).randbytes(size_bytes)


class Site:
    """The folders of an installation, in which processes live and die one after the other.

    Args:
        folder: where it is; it is made when it does not exist.
    """

    def __init__(self, folder: Path, scenario: Scenario) -> None:
        self.folder, self.scenario = folder, scenario
        self.disk, self.archive, self.delivered = folder / "disk", folder / "archive", folder / "delivered"
        self.state, self.config = folder / "state", folder / "dts.yaml"
        if not folder.exists():
            self._make()
        self.told = Told(folder / "told")

    @property
    def store(self) -> Path:
        """The store's file."""
        return self.state / "dts.db"

    @property
    def manifests(self) -> Path:
        """Where manifests are written before they are delivered."""
        return self.folder / "outbox"

    def content(self, path: str) -> bytes:
        """Give what the file has at its source."""
        return _content(path, self.scenario.sizes[path])

    def _make(self) -> None:
        for place in (self.disk, self.archive, self.delivered, self.state, self.manifests):
            place.mkdir(parents=True)
        for path in self.scenario.sizes:
            file = self.disk / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.content(path))
        update_catalog(self.disk)
        catalog = json.loads((self.disk / "datapackage.json").read_text())
        for resource in catalog["resources"]:
            if resource["path"] in self.scenario.wrong:
                resource["hash"] = hashlib.md5(b"another content").hexdigest()
        (self.disk / "datapackage.json").write_text(json.dumps(catalog))
        for path in self.scenario.archived:
            file = self.archive / path
            file.parent.mkdir(parents=True, exist_ok=True)
            (self.disk / path).rename(file)
        settings = "".join(f"  {key}: {value}\n" for key, value in self.scenario.settings.items())
        self.config.write_text(
            f"""
service:
  endpoint: outbox
  data_dir: {self.state}
  manifest_dir: {self.manifests}
  poll_interval: 20
  retry_delay: 0.02
  max_retry_delay: 0.1
{settings}
endpoints:
  disk: {{provider: local, root: {self.disk}, workers: {self.scenario.workers}}}
  delivered: {{provider: local, root: {self.delivered}}}
  outbox: {{provider: local, root: {self.manifests}}}
databases:
  genomes: {{endpoint: disk, archive: {self.archive}, staging_delay: {self.scenario.staging_delay_s}}}
  lab: {{endpoint: delivered}}
"""
        )

    def live(self, gate: Gate | None = None) -> None:
        """A process lives: it asks for what has not been answered yet, and works until all transfers have ended."""
        with Orchestrator(Config.load(self.config)) as dts:
            ids = {key: self.create(dts, key) for key in self.scenario.orders}
            for key, transfer_id in ids.items():
                self._act(dts, key, transfer_id, gate)
            for transfer_id in ids.values():
                dts.wait(transfer_id, LONGEST_S)

    def create(self, dts: Orchestrator, key: str) -> UUID:
        """The transfer that has this key is asked for, and its id is told."""
        specification = Specification(
            source="genomes",
            destination="lab",
            file_ids=self.scenario.orders[key],
            user=User(name="Ada", orcid=ORCID),
            description=key,
            instructions={"key": key},
        )
        transfer_id = dts.create(specification, idempotency_key=key)
        self.told.add(f"created {key}", transfer_id)
        return transfer_id

    def _act(self, dts: Orchestrator, key: str, transfer_id: UUID, gate: Gate | None) -> None:
        for act in self.scenario.acts.get(key, ()):
            if str(transfer_id) in self.told.values(act):
                continue
            if gate is not None and act != "resume":
                gate.reached.wait(LONGEST_S)
            getattr(dts, act)(transfer_id, ORCID)
            self.told.add(act, transfer_id)
            if gate is not None:
                self.told.add(f"{act} in time", transfer_id)
            if act == "suspend":
                _until_stopped(dts, transfer_id)


def _until_stopped(dts: Orchestrator, transfer_id: UUID) -> None:
    with dts.subscribe(after=0, transfer_id=transfer_id) as messages:
        for message in messages:
            if message.status.code == "inactive":
                return


class Gate:
    """Holds every copy of this process until a move has been asked to stop: what the user asks finds it under way."""

    def __init__(self) -> None:
        self.reached, self._open = threading.Event(), threading.Event()
        copy, cancel = Copier.copy, LocalEndpoint.cancel

        def held(copier: Copier, *arguments: object, **options: object) -> FileOutcome:
            self.reached.set()
            self._open.wait(LONGEST_S)
            return copy(copier, *arguments, **options)  # type: ignore[arg-type]

        def opening(endpoint: LocalEndpoint, move: UUID) -> None:
            cancel(endpoint, move)
            self._open.set()

        Copier.copy, LocalEndpoint.cancel = held, opening  # type: ignore[method-assign, assignment]


def files_below(folder: Path) -> dict[str, Path]:
    """Give all that is not a folder, by its path below the folder."""
    return {
        os.path.relpath(os.path.join(place, name), folder): Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
    }
