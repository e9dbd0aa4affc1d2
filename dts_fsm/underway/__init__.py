"""What a scheduler has in hand: rows in memory, calls of handlers, and moves whose ends were told."""

from dts_fsm.underway.calls import Calls
from dts_fsm.underway.ends import Ends
from dts_fsm.underway.rows import KeptRows

__all__ = ["Calls", "Ends", "KeptRows"]
