"""What hosts and authors of plug-ins test with: fakes, a manual clock, and the conformance suites.

The suites are imported from their own modules (``store_suite``, ``endpoint_suite``, ``database_suite``), because they
need pytest: install ``dts-fsm[testing]``.
"""

from dts_fsm.testing.clocks import ManualClock
from dts_fsm.testing.fakes import FakeDatabase, FakeEndpoint, FakeFile
from dts_fsm.testing.faults import Faults
from dts_fsm.testing.rig import ORCID, Rig
from dts_fsm.testing.simulation import FaultPlan, InvariantViolated, Simulation

__all__ = [
    "ORCID",
    "FakeDatabase",
    "FakeEndpoint",
    "FakeFile",
    "FaultPlan",
    "Faults",
    "InvariantViolated",
    "ManualClock",
    "Rig",
    "Simulation",
]
