"""Many seeds, spread over processes, and what came of all of them."""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice

import attrs

from dts_fsm.testing.simulation.report import InvariantViolated, Report
from dts_fsm.testing.simulation.simulation import Simulation

_CHUNK = 10

Factory = Callable[[int, int], Simulation]
"""Makes the simulation of a seed with so many transfers."""


@attrs.frozen
class Failure:
    """A seed that failed, and the text of its error, which says how to see it again."""

    seed: int
    text: str


@attrs.define
class Summary:
    """What came of many seeds."""

    seeds: int = 0
    transfers: int = 0
    ticks: int = 0
    checks: int = 0
    crashes: int = 0
    simulated_s: float = 0.0
    faults: Counter[str] = attrs.Factory(Counter)
    ends: Counter[str] = attrs.Factory(Counter)
    failures: list[Failure] = attrs.Factory(list)

    def add(self, result: Report | Failure) -> None:
        """Count one seed in."""
        self.seeds += 1
        if isinstance(result, Failure):
            self.failures.append(result)
            return
        self.transfers += result.transfers
        self.ticks += result.ticks
        self.checks += result.checks
        self.crashes += result.crashes
        self.simulated_s += result.simulated_s
        self.faults.update(result.faults)
        self.ends.update(result.ends)


def factory_of(name: str | None) -> Factory:
    """Give the function ``module:name`` of a host, which makes the simulation of a seed; None for the standard one.

    Raises:
        ImportError, AttributeError, ValueError: there is no such function.
    """
    if name is None:
        return lambda seed, transfers: Simulation(seed, transfers=transfers)
    module, _, attribute = name.partition(":")
    found: Factory = getattr(importlib.import_module(module), attribute)
    return found


def run_seeds(seeds: Sequence[int], transfers: int, factory: str | None) -> list[Report | Failure]:
    """Run these seeds one after the other."""
    make = factory_of(factory)
    results: list[Report | Failure] = []
    # a simulation makes few cycles, and lives for a fraction of a second
    gc.disable()
    for seed in seeds:
        try:
            results.append(make(seed, transfers).run())
        except InvariantViolated as error:
            results.append(Failure(seed, str(error)))
        except Exception:
            results.append(Failure(seed, f"seed {seed} could not be simulated:\n{traceback.format_exc()}"))
        gc.collect(1)
    gc.enable()
    return results


def run_many(
    first: int, seeds: int, *, transfers: int, processes: int, factory: str | None = None
) -> Iterator[Report | Failure]:
    """Run the seeds from ``first`` on, and give what came of each, as it comes."""
    chunks = (range(at, min(at + _CHUNK, first + seeds)) for at in range(first, first + seeds, _CHUNK))
    if processes == 1:
        for chunk in chunks:
            yield from run_seeds(chunk, transfers, factory)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        waiting: set[Future[list[Report | Failure]]] = set()
        while True:
            room = 2 * processes - len(waiting)
            waiting |= {pool.submit(run_seeds, chunk, transfers, factory) for chunk in islice(chunks, room)}
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()
