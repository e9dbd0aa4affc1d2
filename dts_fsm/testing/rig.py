"""A whole installation of fakes that moves only when it is told to: the same each time, and without waiting."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from dts_fsm.config import Config, ServiceConfig
from dts_fsm.engine import Engine, Timing
from dts_fsm.handlers import Manifestor, Mover, Stager
from dts_fsm.handlers.places import Places
from dts_fsm.interfaces import Handler
from dts_fsm.planner import Planner
from dts_fsm.records import Overwrite, Specification, TransferStatus, User
from dts_fsm.scheduler import Scheduler
from dts_fsm.statechart import Chart, load_chart
from dts_fsm.store import Admission, SqliteStore
from dts_fsm.testing.clocks import ManualClock
from dts_fsm.testing.fakes import FakeDatabase, FakeEndpoint
from dts_fsm.testing.faults import FaultyDispatcher

ORCID = "0000-0002-1825-0097"
"""The user of a rig's transfers. Source: the example in ORCID's documentation."""


_own_chart = functools.cache(load_chart)


class Rig:
    """The real engine, scheduler and SQLite store between two fake databases, "source" and "destination".

    Args:
        folder: for the store's file and the manifests.
        handlers: by name, instead of the package's own; or a function that makes them of the rig's places, which is
            called again by ``reopen``, as in a new process.
        transfer_chart, operation_chart: instead of the package's own.
        clock: instead of a new one.
        endpoint: the class of the two endpoints.
        seed: for the jitter of the back-off.
        settings: of the section ``service``.

    Attributes:
        clock: advance it.
        source, destination: the databases; ``source_endpoint`` and ``destination_endpoint`` have their files.
        calls: makes the calls of handlers, and has faults for them on command.
        transfer_chart, operation_chart: the charts that run.
        store, engine, scheduler: the real ones; ``reopen`` replaces them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        handlers: Mapping[str, Handler] | Callable[[Places], Mapping[str, Handler]] | None = None,
        transfer_chart: Chart | None = None,
        operation_chart: Chart | None = None,
        clock: ManualClock | None = None,
        endpoint: type[FakeEndpoint] = FakeEndpoint,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        self.clock = clock or ManualClock()
        folder = folder.absolute()
        self.config = Config(service=ServiceConfig(data_dir=folder, endpoint="source", **settings))
        self.source_endpoint = endpoint("source", clock=self.clock, sees=folder)
        self.destination_endpoint = endpoint("destination", clock=self.clock)
        self.endpoints = {"source": self.source_endpoint, "destination": self.destination_endpoint}
        self.source = FakeDatabase("source", endpoint=self.source_endpoint, endpoint_name="source", clock=self.clock)
        self.destination = FakeDatabase(
            "destination", endpoint=self.destination_endpoint, endpoint_name="destination", clock=self.clock
        )
        self.databases = {"source": self.source, "destination": self.destination}
        self.planner = Planner(self.config, self.databases, self.endpoints)
        self.published = 0
        self.calls = FaultyDispatcher()
        self.transfer_chart = transfer_chart or _own_chart("transfer")
        self.operation_chart = operation_chart or _own_chart("operation")
        self.handlers: dict[str, Handler] = {}
        self._places, self._given, self._seed = Places(self.databases, self.endpoints), handlers, seed
        self._open()

    def _open(self) -> None:
        service = self.config.service
        if callable(self._given) or not self.handlers:
            given = self._given(self._places) if callable(self._given) else self._given
            self.handlers = {
                "stager": Stager(self._places, double_check=service.double_check_staging),
                "mover": Mover(self._places, overwrite=Overwrite(service.overwrite)),
                "manifestor": Manifestor(self._places, endpoint="source", folder=service.manifest_dir),
                **(given or {}),
            }
        self.store = SqliteStore(service.data_dir / "dts.db", synchronous=service.synchronous)
        try:
            self.engine = Engine(
                self.handlers,
                Timing(service, self._seed),
                self.store.stored,
                transfer_chart=self.transfer_chart,
                operation_chart=self.operation_chart,
            )
        except BaseException:
            self.store.close()  # a chart or a handler was refused, and nobody has the rig to close it
            raise
        self.scheduler = Scheduler(
            store=self.store,
            engine=self.engine,
            handlers=self.handlers,
            dispatcher=self.calls,
            settings=service,
            clock=self.clock,
            published=self._publish,
        )
        self._unwatch = self.scheduler.watch(self.endpoints)

    def _publish(self) -> None:
        self.published += 1

    def reopen(self) -> None:
        """The process has ended, and another goes on with its store; the endpoints know of no moves any more."""
        self._unwatch()
        self.store.close()
        self.calls.close()
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
