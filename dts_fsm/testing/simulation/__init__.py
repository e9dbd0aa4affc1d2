"""A seeded simulation of a whole installation, in which everything goes wrong that can, and an oracle that looks on.

The engine, the scheduler, the planner, the handlers and the SQLite store are the real ones; clock, providers, users,
threads and crashes are simulated. From one seed follows everything that happens, so that a failure can be seen again::

    Simulation(seed=7, transfers=50).run()

``python -m dts_fsm.testing.simulation --seeds 1000`` runs many.
"""

from dts_fsm.testing.simulation.faults import FaultPlan
from dts_fsm.testing.simulation.invariants import GUARANTEES
from dts_fsm.testing.simulation.report import InvariantViolated, Report
from dts_fsm.testing.simulation.simulation import SETTINGS, Simulation
from dts_fsm.testing.simulation.world import SERVICE, Installation, World, standard

__all__ = [
    "GUARANTEES",
    "SERVICE",
    "SETTINGS",
    "FaultPlan",
    "Installation",
    "InvariantViolated",
    "Report",
    "Simulation",
    "World",
    "standard",
]
