"""Charts in the formats of others, and back: SCXML and XState. A chart that went there comes back equal."""

from dts_fsm.statechart.exchange.scxml_reader import from_scxml
from dts_fsm.statechart.exchange.scxml_writer import to_scxml
from dts_fsm.statechart.exchange.xstate import from_xstate, to_xstate

__all__ = ["from_scxml", "from_xstate", "to_scxml", "to_xstate"]
