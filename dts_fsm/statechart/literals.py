"""The names of states and events as types.

Generated from the statecharts by ``python -m dts_fsm.statechart.typed``; do not edit.
"""

from __future__ import annotations

from typing import Literal

__all__ = [
    "OperationEvent",
    "OperationState",
    "TransferEvent",
    "TransferState",
]

TransferState = Literal["unknown", "staging", "active", "inactive", "finalizing", "succeeded", "failed"]
"""The states of the chart ``transfer``, in the order of its file."""

TransferEvent = Literal["succeed", "cancel", "fail", "suspend", "stage", "move", "finalize", "resume"]
"""The events of the chart ``transfer``, in the order of its file."""

OperationState = Literal[
    "pending",
    "submitting",
    "running",
    "suspended",
    "canceling",
    "succeeded",
    "failed",
    "canceled",
]
"""The states of the chart ``operation``, in the order of its file."""

OperationEvent = Literal[
    "submit",
    "start",
    "suspend",
    "resume",
    "succeed",
    "retry",
    "fail",
    "cancel",
    "acknowledge",
    "abandon",
]
"""The events of the chart ``operation``, in the order of its file."""
