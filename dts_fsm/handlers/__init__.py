"""The handlers of the three working states: stager (staging), mover (active), manifestor (finalizing)."""

from dts_fsm.handlers.manifestor import Manifestor
from dts_fsm.handlers.mover import Mover
from dts_fsm.handlers.stager import Stager

__all__ = ["Manifestor", "Mover", "Stager"]
