"""A whole installation of fakes that moves only when it is told to: the same each time, and without waiting."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from dts_fsm.config import Config, ServiceConfig
from dts_fsm.engine import Engine, Timing
from dts_fsm.handlers import Manifestor, Mover, Stager
from dts_fsm.handlers.places import Places
from dts_fsm.interfaces import Handler
from dts_fsm.lanes import InlineDispatcher
from dts_fsm.planner import Planner
from dts_fsm.records import Overwrite, Specification, TransferStatus, User
from dts_fsm.scheduler import Scheduler
from dts_fsm.statechart import Chart
from dts_fsm.store import Admission, SqliteStore
from dts_fsm.testing.clocks import ManualClock
from dts_fsm.testing.fakes import FakeDatabase, FakeEndpoint

ORCID = "0000-0002-1825-0097"
"""The user of a rig's transfers. Source: the example in ORCID's documentation."""


class Rig:
    """The real engine, scheduler and SQLite store between two fake databases, "source" and "destination".

    Args:
        folder: for the store's file and the manifests.
        handlers: by name, instead of the package's own.
        transfer_chart: instead of the package's own.
        seed: for the jitter of the back-off.
        settings: of the section ``service``.

    Attributes:
        clock: advance it.
        source, destination: the databases; ``source_endpoint`` and ``destination_endpoint`` have their files.
        store, engine, scheduler: the real ones; ``reopen`` replaces them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        handlers: Mapping[str, Handler] | None = None,
        transfer_chart: Chart | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        self.clock = ManualClock()
        folder = folder.absolute()
        self.config = Config(service=ServiceConfig(data_dir=folder, endpoint="source", **settings))
        self.source_endpoint = FakeEndpoint("source", clock=self.clock, sees=folder)
        self.destination_endpoint = FakeEndpoint("destination", clock=self.clock)
        self.endpoints = {"source": self.source_endpoint, "destination": self.destination_endpoint}
        self.source = FakeDatabase("source", endpoint=self.source_endpoint, endpoint_name="source", clock=self.clock)
        self.destination = FakeDatabase(
            "destination", endpoint=self.destination_endpoint, endpoint_name="destination", clock=self.clock
        )
        self.databases = {"source": self.source, "destination": self.destination}
        places = Places(self.databases, self.endpoints)
        self.handlers: dict[str, Handler] = {
            "stager": Stager(places, double_check=self.config.service.double_check_staging),
            "mover": Mover(places, overwrite=Overwrite(self.config.service.overwrite)),
            "manifestor": Manifestor(places, endpoint="source", folder=self.config.service.manifest_dir),
            **(handlers or {}),
        }
        self.planner = Planner(self.config, self.databases, self.endpoints)
        self.published = 0
        self._chart, self._seed = transfer_chart, seed
        self._open()

    def _open(self) -> None:
        service = self.config.service
        self.store = SqliteStore(service.data_dir / "dts.db", synchronous=service.synchronous)
        stored = functools.lru_cache(1000)(self.store.stored)
        self.engine = Engine(self.handlers, Timing(service, self._seed), stored, transfer_chart=self._chart)
        self.scheduler = Scheduler(
            store=self.store,
            engine=self.engine,
            handlers=self.handlers,
            dispatcher=InlineDispatcher(),
            settings=service,
            clock=self.clock,
            published=self._publish,
        )

    def _publish(self) -> None:
        self.published += 1

    def reopen(self) -> None:
        """The process has ended, and another goes on with its store; the endpoints know of no moves any more."""
        self.store.close()
        for endpoint in self.endpoints.values():
            endpoint.forget()
        self._open()

    def specification(self, *file_ids: str, **changes: Any) -> Specification:
        """Give a request for these files from source to destination; ``changes`` replace its fields."""
        fields: dict[str, Any] = {
            "source": "source",
            "destination": "destination",
            "file_ids": file_ids,
            "user": User(name="Ada", orcid=ORCID),
        }
        return Specification(**(fields | changes))

    def create(self, *file_ids: str, key: str | None = None, **changes: Any) -> UUID:
        """A transfer of these files is stored; gives its id."""
        plan = self.planner.plan(self.specification(*file_ids, **changes))
        change = self.engine.admit(plan, self.clock.time())
        return self.store.create([Admission(change=change, plan=plan, key=key)])[0]

    def tick(self, times: int = 1) -> int:
        """Tick so many times; gives how much happened, see ``Scheduler.tick``."""
        self.scheduler.lead()
        return sum(self.scheduler.tick() for _ in range(times))

    def run(self, transfer_id: UUID, *, step_s: float = 1.0, limit: int = 10_000) -> TransferStatus:
        """Tick, and let time pass, until the transfer has ended.

        Raises:
            TimeoutError: it has not ended after ``limit`` steps.
        """
        for _ in range(limit):
            while self.tick():
                pass
            status = self.store.status(transfer_id)
            if status.final:
                return status
            self.clock.advance(step_s)
        raise TimeoutError(f"the transfer {transfer_id} is still {self.store.status(transfer_id).code.value}")

    def close(self) -> None:
        """Close the store."""
        self.store.close()
