"""One simulation: an installation, its users and everything that goes wrong, from one seed."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dts_fsm.config import Config, ServiceConfig
from dts_fsm.engine import Engine, Timing
from dts_fsm.handlers import Manifestor, Mover, Stager
from dts_fsm.handlers.places import Places
from dts_fsm.interfaces import Handler
from dts_fsm.records import Overwrite
from dts_fsm.statechart import load_chart
from dts_fsm.store import SqliteStore
from dts_fsm.testing.simulation.clock import SimulatedClock
from dts_fsm.testing.simulation.determinism import deterministic
from dts_fsm.testing.simulation.fate import Died, Fate
from dts_fsm.testing.simulation.faults import FaultPlan
from dts_fsm.testing.simulation.invariants import a_tick_fails_only_with_the_store, everything_ends
from dts_fsm.testing.simulation.oracle import Oracle
from dts_fsm.testing.simulation.process import Charts, Process
from dts_fsm.testing.simulation.report import InvariantViolated, Report
from dts_fsm.testing.simulation.trace import Trace
from dts_fsm.testing.simulation.users import Users
from dts_fsm.testing.simulation.world import SERVICE, Installation, World, standard

SETTINGS: Mapping[str, Any] = {
    "unknown_deadline_s": 900.0,
    "staging_deadline_s": 1800.0,
    "active_deadline_s": 1800.0,
    "inactive_deadline_s": 3600.0,
    "finalizing_deadline_s": 900.0,
    "cancel_deadline_s": 120.0,
    "call_timeout_s": 30.0,
    "poll_interval_s": 30.0,
    "max_retry_delay_s": 60.0,
    "delete_after_s": 3600.0,
    "concurrency": 2,
}
"""Settings of the section ``service`` that differ from the defaults: a simulation lasts for hours, not for weeks."""

_TURNS = 90
_SWEEP_EACH = 25
_QUIET_TURNS = 5000
_STEPS_S = (0.01, 0.3, 1.0, 5.0, 20.0, 60.0)

HandlersOf = Callable[[Places], Mapping[str, Handler]]
"""Makes handlers, by name, for a process: each replaces the package's own."""


class Simulation:
    """A whole installation, simulated: the same seed does the same, in every process.

    The engine, the scheduler, the planner, the handlers and the SQLite store are the real ones; clock, providers,
    users, crashes and the threads that make calls are simulated. An oracle asks after each commit and each effect
    whether every invariant holds.

    Args:
        seed: everything that happens follows from it.
        transfers: how many the users create, beside those that they retry.
        faults: how often what goes wrong; None for a plan that follows from the seed.
        installation: fills the world with endpoints, databases and files; ``standard`` where it is None.
        handlers: makes a host's own handlers for a process, from the places of the world.
        settings: of the section ``service``, beside those in ``SETTINGS`` and those that follow from the seed.
        replay: the command that runs this simulation again, for the report of a failure.

    Attributes:
        trace: what happened, line by line, once it has run.
    """

    def __init__(
        self,
        seed: int,
        *,
        transfers: int = 50,
        faults: FaultPlan | None = None,
        installation: Installation = standard,
        handlers: HandlersOf | None = None,
        settings: Mapping[str, Any] | None = None,
        replay: str | None = None,
    ) -> None:
        self.seed, self._transfers = seed, transfers
        self._installation, self._handlers = installation, handlers
        dice = random.Random(f"settings of {seed}")  # noqa: S311 - the same each time is the point
        self._settings = {**SETTINGS, **_varied_settings(dice), **(settings or {})}
        faults = faults or FaultPlan.varied(dice)
        default = f"python -m dts_fsm.testing.simulation --seed {seed} --transfers {transfers}"
        self._replay = replay or default
        self.clock = SimulatedClock()
        self.trace = Trace(self.clock)
        self._fate = Fate(seed, faults, self.clock, self.trace)
        self._processes: dict[str, Process] = {}
        self._number = 0
        self._standing_still = False
        self._counts = {"ticks": 0, "crashes": 0}

    def run(self) -> Report:
        """Everything has happened, and every invariant held throughout.

        Raises:
            InvariantViolated: one did not; the error's text shows the end of the trace, and how to run it again.
        """
        ids = random.Random(f"ids of {self.seed}")  # noqa: S311 - the same each time is the point
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a folder of its own is made there
        with (
            tempfile.TemporaryDirectory(prefix="dts-simulation-", dir=memory) as folder,
            deterministic(ids, self.clock),
            self._set_up(Path(folder)),
        ):
            self._let_things_go_wrong()
            self._let_everything_end()
        return self._report()

    def _report(self) -> Report:
        return Report(
            seed=self.seed,
            transfers=len(self._oracle.transfers),
            ticks=self._counts["ticks"],
            crashes=self._counts["crashes"],
            checks=self._oracle.steps,
            simulated_s=self.clock.passed.seconds,
            faults=dict(sorted(self._fate.counts.items())),
            ends=dict(sorted(self._oracle.ends().items())),
            lines=len(self.trace.lines),
            digest=self.trace.digest(),
        )

    @contextlib.contextmanager
    def _set_up(self, folder: Path) -> Iterator[None]:
        self._file = folder / "dts.db"
        _copy_of_an_empty_store(self._file)
        self._config = Config(service=ServiceConfig(data_dir=folder, endpoint=SERVICE, **self._settings))
        store = SqliteStore(self._file, synchronous="normal")
        with contextlib.ExitStack() as stack:
            stack.callback(store._connections.close)
            service = self._config.service
            self._oracle = Oracle(store, _charts(), service, self._fate)
            self._oracle.delivered = self._delivered
            self._world = self._oracle.world = World(self._fate, self._oracle, folder)
            self._installation(self._world)
            self._oracle.meanwhile = self._meanwhile
            engine = Engine(
                self._handlers_of(self._world.places),
                Timing(service, self.seed),
                store.stored,
                transfer_chart=_charts()[0],
                operation_chart=_charts()[1],
            )
            self._users = Users(self._transfers, self._file, engine, self._config, self._world, self._oracle)
            stack.callback(self._close)
            yield

    def _close(self) -> None:
        self._users.store.kill()
        for process in self._processes.values():
            process.kill()

    def _handlers_of(self, places: Places) -> dict[str, Handler]:
        service = self._config.service
        return {
            "stager": Stager(places, double_check=service.double_check_staging),
            "mover": Mover(places, overwrite=Overwrite(service.overwrite)),
            "manifestor": Manifestor(places, endpoint=SERVICE, folder=service.manifest_dir),
            **(self._handlers(places) if self._handlers else {}),
        }

    def _start_process(self) -> None:
        self._number += 1
        name = f"P{self._number}"
        self.trace.note(f"{name} starts")
        handlers = self._handlers_of(self._world.places)
        service = self._config.service
        self._processes[name] = Process(
            name, self._file, handlers, self._world.endpoints, _charts(), service, self._fate, self._oracle
        )

    # Turns

    def _let_things_go_wrong(self) -> None:
        for number in range(_TURNS):
            while len(self._processes) < 2 and (not self._processes or self._fate.dice.random() < 0.3):
                self._start_process()
            self._users.turn()
            self._world.turn()
            self._mishaps()
            self._everybody_works()
            self._seen()
            if number % _SWEEP_EACH == 0:
                self._oracle.sweep()
                self._seen()
            self.clock.advance(self._fate.dice.choice(_STEPS_S) * self._fate.dice.uniform(0.5, 1.0))

    def _mishaps(self) -> None:
        fate, dice = self._fate, self._fate.dice
        if fate.happens("clock_jump"):
            seconds = dice.uniform(-60.0, 60.0)
            self.trace.note(f"the wall clock is set by {seconds:+.1f} s")
            self.clock.jump(seconds)
        for name, process in list(self._processes.items()):
            if fate.happens("kill"):
                self._bury(name)
            elif fate.happens("stop"):
                self.trace.note(f"{name} stops")
                process.stop()
                self._counts["ticks"] += process.ticks
                del self._processes[name]
            elif fate.happens("freeze"):
                seconds = dice.uniform(1.0, 5 * self._config.service.lease_time_s)
                self.trace.note(f"{name} is frozen for {seconds:.1f} s")
                process.frozen_until = self.clock.passed.seconds + seconds

    def _everybody_works(self) -> None:
        names = list(self._processes)
        self._fate.dice.shuffle(names)
        for name in names:
            self._one_works(name)

    def _one_works(self, name: str) -> None:
        process = self._processes.get(name)
        if process is None or process.frozen_until > self.clock.passed.seconds:
            return
        now, began_s = self.clock.time(), self.clock.passed.seconds
        try:
            # a process that wakes up makes the calls that it had begun to make, and ticks then
            process.dispatcher.work()
            self._oracle.begins_tick(name)
            ticked = process.turn()
            if ticked and self.clock.passed.seconds == began_s:
                full, cut = process.dispatcher.full_lanes(), process.scheduler._cut
                self._oracle.after_tick(name, now, process.dispatcher.in_flight, full, cut=cut)
            process.dispatcher.work()
        except Died:
            self._bury(name)
        except Exception as error:
            self._oracle.hold(a_tick_fails_only_with_the_store, name, f"{type(error).__name__}: {error}")
        self._seen()

    def _bury(self, name: str) -> None:
        self.trace.note(f"{name} is dead")
        process = self._processes.pop(name)
        process.kill()
        self._counts["ticks"] += process.ticks
        self._counts["crashes"] += 1

    def _meanwhile(self, process: str) -> None:
        """A process stands still in the middle of something, and others go on."""
        if self._standing_still:
            return
        self._standing_still = True
        under_way, self._fate.under_way = self._fate.under_way, None
        try:
            self.clock.advance(self._config.service.lease_time_s * self._fate.dice.uniform(0.1, 3.0))
            for _ in range(2):
                for name in [name for name in self._processes if name != process]:
                    self._one_works(name)
        finally:
            self._standing_still = False
            self._fate.under_way = under_way
        self.trace.note(f"{process} goes on")

    def _delivered(self, endpoint: str, folder: str) -> None:
        if self._fate.happens("taken_away"):
            delay_s = self._fate.dice.uniform(0.0, 60.0)
            self._fate.later(delay_s, lambda: self._world.take_away(endpoint, folder))

    def _seen(self) -> None:
        if self._oracle.violation is not None:
            raise InvariantViolated(self.seed, self.trace, self._oracle.violation, self._replay)

    # The end

    def _let_everything_end(self) -> None:
        self.trace.note("nothing goes wrong any more")
        fate, service = self._fate, self._config.service
        fate.plan = FaultPlan.none()
        self._users.create_rest()
        self._users.resume_some()
        self._world.calm()
        for process in self._processes.values():
            process.frozen_until = 0.0
        if not self._processes:
            self._start_process()
        limits = ("unknown", "staging", "active", "inactive", "finalizing", "cancel")
        longest_s = sum(getattr(service, f"{limit}_deadline_s") for limit in limits)
        ends_at = self.clock.passed.seconds + 1.5 * longest_s + 600.0
        for _ in range(_QUIET_TURNS):
            fate.catch_up()
            self._everybody_works()
            self._seen()
            if not self._oracle.alive() or self.clock.passed.seconds > ends_at:
                break
            self.clock.advance(self._pause_s())
        self._oracle.hold(everything_ends, self._oracle.alive())
        self._oracle.sweep()
        self._seen()
        for process in self._processes.values():
            self._counts["ticks"] += process.ticks

    def _pause_s(self) -> float:
        """Until something is to be done, but no less than a few seconds: polls of one time share a turn."""
        due_at = self._users.store.next_due_at()
        left = [] if due_at is None else [due_at - self.clock.time()]
        leading = [process for process in self._processes.values() if process.scheduler.leading]
        times = [self._fate.next_at(), *(process.dispatcher.next_at for process in leading)]
        left += [at - self.clock.passed.seconds for at in times if at is not None]
        return max(min(left, default=60.0), 3.0)


def _varied_settings(dice: random.Random) -> dict[str, Any]:
    return {
        "partial": dice.choice(("fail", "keep")),
        "overwrite": dice.choice(("never", "if-different", "always")),
        "double_check_staging": dice.choice((True, False)),
        "max_attempts": dice.choice((2, 5)),
    }


@functools.cache
def _charts() -> Charts:
    return load_chart("transfer"), load_chart("operation")


@functools.cache
def _empty_store() -> bytes:
    """The file of a store in which nothing is, made once: the migrations take longer than a short simulation."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "empty.db"
        SqliteStore(file, synchronous="normal").close()
        return file.read_bytes()


def _copy_of_an_empty_store(file: Path) -> None:
    file.write_bytes(_empty_store())
