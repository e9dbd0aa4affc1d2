"""An engine on single rows: for tests that say to the letter what an answer or the time makes of a transfer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dts_fsm.config import ServiceConfig
from dts_fsm.engine import Answer, Engine, Timing
from dts_fsm.records import OperationCode, OperationRequest, OperationStatus, Transfer
from dts_fsm.store import Change, OperationRow, Stored, TransferRow
from dts_fsm.testing.store_rows import NOW, plan


class Mute:
    """A handler that begins one operation of its kind."""

    def __init__(self, name: str) -> None:
        self.name = name

    def begin(self, transfer: Transfer) -> Sequence[OperationRequest]:
        return [OperationRequest(handler=self.name, kind=self.name, endpoint="there")]


def engine_of_mutes(folder: Path, **settings: Any) -> Engine:
    """Give an engine whose handlers begin one operation each; every transfer is that of ``plan("a", "b")``."""
    planned = plan("a", "b")
    known = Stored(specification=planned.specification, destination=planned.destination, sources=planned.sources)
    handlers = {name: Mute(name) for name in ("stager", "mover", "manifestor")}
    timing = Timing(ServiceConfig(data_dir=folder, **settings), seed=0)
    return Engine(handlers, timing, lambda rowid: known)  # type: ignore[arg-type]


def survey(row: TransferRow) -> OperationRow:
    """The first operation of a transfer."""
    return row.operations[0]


def said(code: OperationCode, message: str = "", **fields: Any) -> OperationStatus:
    """A provider's answer."""
    return OperationStatus(code=code, message=message, **fields)


def hear(engine: Engine, row: TransferRow, *answers: Answer, at: float = NOW) -> Change:
    """The engine has decided on these answers for the transfer's first operation."""
    change = engine.decide(row, at, answers=[(survey(row), answer) for answer in answers])
    assert {entry.at for entry in change.history} <= {at}
    return change
