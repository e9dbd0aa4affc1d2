"""One scheduling process: the real engine, scheduler and store, with calls and commits that meet their fate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from dts_fsm.config import ServiceConfig
from dts_fsm.engine import Engine, Timing
from dts_fsm.errors import StoreError, StoreLeaseLostError
from dts_fsm.interfaces import Endpoint, Handler
from dts_fsm.scheduler import Scheduler
from dts_fsm.statechart import Chart
from dts_fsm.store import Admission, Change, SqliteStore, TransferRow
from dts_fsm.testing.simulation.dispatcher import SimulatedDispatcher
from dts_fsm.testing.simulation.fate import Died, Fate
from dts_fsm.testing.simulation.faults import COMMIT_FAULTS

Charts = tuple[Chart, Chart]
"""Of the transfer and of the operation; read once, because reading them takes longer than a process lives."""


class Observer(Protocol):
    """Who is told of what processes write, and what may happen in the middle of that."""

    def took_office(self, process: str, unawares: bool) -> None:
        """The process has become the scheduler; ``unawares`` where it takes itself for the scheduler already."""
        ...

    def created(self, admissions: Sequence[Admission]) -> None:
        """Transfers were stored."""
        ...

    def committed(self, process: str, changes: Sequence[Change]) -> None:
        """The process has committed a tick."""
        ...

    def complained(self, process: str, transfer_id: UUID, message: str) -> None:
        """Something was wrong with deciding on a transfer."""
        ...

    def meanwhile(self, process: str) -> None:
        """The process stands still for longer than its lease, and others go on."""
        ...


class SimulatedStore(SqliteStore):
    """The real store, opened by one simulated process, whose commits meet their fate."""

    def __init__(self, path: Path, process: str, fate: Fate, observer: Observer) -> None:
        super().__init__(path, synchronous="normal")
        self._process, self._fate, self._observer = process, fate, observer
        self._epoch: int | None = None
        self.leading: Callable[[], bool] = lambda: False

    def create(self, admissions: Sequence[Admission]) -> list[UUID]:
        """See ``Store``."""
        fault = self._before("create")
        ids = super().create(admissions)
        self._observer.created(admissions)
        self._after("create", fault)
        return ids

    def commit(self, changes: Sequence[Change], now: float) -> None:
        """See ``Store``."""
        fault = self._before("commit")
        super().commit(changes, now)
        self._observer.committed(self._process, changes)
        self._after("commit", fault)

    def acquire_lease(self, now: float, lease_time_s: float) -> bool:
        """See ``Store``."""
        leads = super().acquire_lease(now, lease_time_s)
        if leads and self._lease._epoch != self._epoch:
            self._epoch = self._lease._epoch
            self._observer.took_office(self._process, self.leading())
        return leads

    def _before(self, what: str) -> str | None:
        fault = self._fate.one_of(COMMIT_FAULTS)
        if fault is None:
            return None
        self._fate.trace.note(f"{self._process}, {what}: {fault.replace('_', ' ')}")
        if fault == "killed_before_commit":
            raise Died
        if fault == "commit_fails":
            raise StoreError("the disk refuses")
        if fault == "frozen_in_commit":
            self._observer.meanwhile(self._process)
        return fault

    def _after(self, what: str, fault: str | None) -> None:
        if fault == "killed_after_commit":
            raise Died
        if fault == "commit_unknown":
            self._connections._abandon_writer()
            raise StoreError(f"nobody knows whether the {what} took effect")

    def kill(self) -> None:
        """The process is dead: its connections and its locks are gone, and it has written nothing more."""
        self._lease._unlock()
        self._connections.close()


class _Engine(Engine):
    """The real engine; its complaints are heard."""

    def __init__(self, process: str, observer: Observer, *args: Any, charts: Charts) -> None:
        super().__init__(*args, transfer_chart=charts[0], operation_chart=charts[1])
        self._process, self._observer = process, observer

    def complain(self, row: TransferRow, message: str, now: float) -> Change:
        self._observer.complained(self._process, row.id, message)
        return super().complain(row, message, now)


class Process:
    """One scheduling process of the installation.

    Attributes:
        frozen_until: until when it stands still, in seconds since the beginning.
        ticks: how often it has ticked as the scheduler.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        handlers: Mapping[str, Handler],
        endpoints: Mapping[str, Endpoint],
        charts: Charts,
        settings: ServiceConfig,
        fate: Fate,
        observer: Observer,
    ) -> None:
        self.name, self._fate = name, fate
        self.store = SimulatedStore(path, name, fate, observer)
        timing = Timing(settings, fate.dice.randrange(2**32))
        self.engine = _Engine(name, observer, handlers, timing, self.store.stored, charts=charts)
        self.dispatcher = SimulatedDispatcher(name, fate, settings)
        self.scheduler = Scheduler(
            store=self.store,
            engine=self.engine,
            handlers=handlers,
            dispatcher=self.dispatcher,
            settings=settings,
            clock=fate.clock,
            published=lambda: None,
        )
        self._unwatch = self.scheduler.watch(endpoints)
        self.store.leading = lambda: self.scheduler.leading
        self.frozen_until = 0.0
        self.ticks = 0

    def turn(self) -> bool:
        """One round of the scheduler's thread, as ``Scheduler`` has it; True for a tick without a fault.

        Raises:
            Died: it was killed.
            Exception: what no scheduler should raise.
        """
        try:
            if not self.scheduler.lead():
                return False
            self.ticks += 1
            self.scheduler._round()
        except StoreLeaseLostError:
            self._fate.trace.note(f"{self.name} is not the scheduler any more")
            self.scheduler._leave_office()
            return False
        except StoreError as error:
            self._fate.trace.note(f"{self.name}: {error}")
            return False
        return True

    def kill(self) -> None:
        """It is dead, and has done nothing more."""
        self._unwatch()
        self.dispatcher.close()
        self.store.kill()

    def stop(self) -> None:
        """It has stopped in order."""
        self._unwatch()
        self.scheduler._leave_office()
        self.dispatcher.close()
        self.store.close()
