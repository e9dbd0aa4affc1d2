"""Moving files between storages that this machine can read and write, whatever their services are."""

from dts_fsm.endpoints.streaming.batch import RelayBatch
from dts_fsm.endpoints.streaming.buffers import Buffers
from dts_fsm.endpoints.streaming.lines import Lines
from dts_fsm.endpoints.streaming.relay import Relay
from dts_fsm.endpoints.streaming.storage import Entry, Storage, Writing

__all__ = ["Buffers", "Entry", "Lines", "Relay", "RelayBatch", "Storage", "Writing"]
