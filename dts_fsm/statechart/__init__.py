"""Statecharts: read, checked and run. ``drawing`` draws them."""

from dts_fsm.statechart.definition import Chart, GuardDef, MigrationDef, StateDef, TransitionDef
from dts_fsm.statechart.findings import RULES, Finding, Rule, Severity, refusals
from dts_fsm.statechart.library import CHARTS, chart_text, load_chart, load_chart_file
from dts_fsm.statechart.lint import check, lint
from dts_fsm.statechart.literals import OperationEvent, OperationState, TransferEvent, TransferState
from dts_fsm.statechart.machine import Callback, Guard, Model, StateMachine
from dts_fsm.statechart.reader import parse_chart
from dts_fsm.statechart.replay import replay

__all__ = [
    "CHARTS",
    "RULES",
    "Callback",
    "Chart",
    "Finding",
    "Guard",
    "GuardDef",
    "MigrationDef",
    "Model",
    "OperationEvent",
    "OperationState",
    "Rule",
    "Severity",
    "StateDef",
    "StateMachine",
    "TransferEvent",
    "TransferState",
    "TransitionDef",
    "chart_text",
    "check",
    "lint",
    "load_chart",
    "load_chart_file",
    "parse_chart",
    "refusals",
    "replay",
]
