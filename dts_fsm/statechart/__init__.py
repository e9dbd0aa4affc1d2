"""Statecharts: read, checked and run. ``diagrams`` draws them; it is also a command, and so not imported here."""

from dts_fsm.statechart.definition import Chart, GuardDef, StateDef, TransitionDef
from dts_fsm.statechart.library import CHARTS, chart_text, load_chart, load_chart_file
from dts_fsm.statechart.lint import check, lint
from dts_fsm.statechart.machine import Callback, Guard, Model, StateMachine
from dts_fsm.statechart.reader import parse_chart

__all__ = [
    "CHARTS",
    "Callback",
    "Chart",
    "Guard",
    "GuardDef",
    "Model",
    "StateDef",
    "StateMachine",
    "TransitionDef",
    "chart_text",
    "check",
    "lint",
    "load_chart",
    "load_chart_file",
    "parse_chart",
]
