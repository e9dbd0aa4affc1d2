"""What hosts and authors of plug-ins test with: fakes, a manual clock, rules, and the conformance suites.

The suites need pytest, and ``TransferRules`` needs Hypothesis: install ``dts-fsm[testing]``. Everything else is there
without them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from dts_fsm.testing.clocks import ManualClock
from dts_fsm.testing.coverage import Arrow, ChartCoverage, Coverage
from dts_fsm.testing.endpoint_pair import EndpointPair
from dts_fsm.testing.fakes import FakeDatabase, FakeEndpoint, FakeFile, PromptEndpoint
from dts_fsm.testing.faults import Faults, FaultyDispatcher
from dts_fsm.testing.promises import Promises
from dts_fsm.testing.rig import ORCID, Rig
from dts_fsm.testing.simulation import FaultPlan, InvariantViolated, Simulation

if TYPE_CHECKING:
    from dts_fsm.testing.actions import WAYS
    from dts_fsm.testing.database_suite import DatabaseSuite
    from dts_fsm.testing.endpoint_suite import EndpointSuite
    from dts_fsm.testing.handler_suite import HandlerCase, HandlerSuite
    from dts_fsm.testing.rules import TransferRules
    from dts_fsm.testing.store_suite import StoreSuite

_NEED_MORE = {
    "DatabaseSuite": "database_suite",
    "EndpointSuite": "endpoint_suite",
    "HandlerCase": "handler_suite",
    "HandlerSuite": "handler_suite",
    "StoreSuite": "store_suite",
    "TransferRules": "rules",
    "WAYS": "actions",
}
"""What needs pytest or Hypothesis, and the module that has it: imported when it is asked for."""


def __getattr__(name: str) -> object:
    if name not in _NEED_MORE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_NEED_MORE[name]}"), name)


__all__ = [
    "ORCID",
    "WAYS",
    "Arrow",
    "ChartCoverage",
    "Coverage",
    "DatabaseSuite",
    "EndpointPair",
    "EndpointSuite",
    "FakeDatabase",
    "FakeEndpoint",
    "FakeFile",
    "FaultPlan",
    "Faults",
    "FaultyDispatcher",
    "HandlerCase",
    "HandlerSuite",
    "InvariantViolated",
    "ManualClock",
    "Promises",
    "PromptEndpoint",
    "Rig",
    "Simulation",
    "StoreSuite",
    "TransferRules",
]
