"""Defects, each a small and named change of a chart, a handler, the engine or the store, for the test kit to find.

They are mistakes that somebody might make, not sabotage: a shortcut, a forgotten case, a promise kept too late.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest

from dts_fsm.engine import Engine
from dts_fsm.engine import guards as engine_guards
from dts_fsm.engine import operations as engine_operations
from dts_fsm.engine import transfers as engine_transfers
from dts_fsm.engine.guards import CANCEL
from dts_fsm.engine.operations import OperationEngine
from dts_fsm.handlers import Manifestor, Mover, Stager
from dts_fsm.handlers.places import Places
from dts_fsm.interfaces import Handler
from dts_fsm.records import (
    Message,
    Operation,
    OperationCode,
    OperationRequest,
    OperationStatus,
    Transfer,
    TransferStatusCode,
)
from dts_fsm.scheduler import Scheduler
from dts_fsm.statechart import Chart, chart_text, parse_chart
from dts_fsm.store import RequestRow, SqliteStore, writing
from dts_fsm.store.lease import Lease
from dts_fsm.store.queries import Queries

Seeded = Mapping[str, Any]
"""What the defect asks of ``TransferRules``: its class attributes."""


@attrs.frozen
class Defect:
    """A mistake, and what finds it.

    Attributes:
        place: "chart", "handler", "engine" or "store".
        found: when the rules find it, and by which of their promises; or in which suite, and by which test.
        seed: makes the mistake, until the patch is undone.
    """

    place: str
    sentence: str
    found: tuple[str, str]
    seed: Callable[[pytest.MonkeyPatch], Seeded]


DEFECTS: dict[str, Defect] = {}


def _defect(
    place: str, sentence: str, *found: str
) -> Callable[[Callable[[pytest.MonkeyPatch], Seeded]], Callable[[pytest.MonkeyPatch], Seeded]]:
    def note(seed: Callable[[pytest.MonkeyPatch], Seeded]) -> Callable[[pytest.MonkeyPatch], Seeded]:
        when, what = found
        DEFECTS[seed.__name__] = Defect(place, sentence, (when, what), seed)
        return seed

    return note


def _changed(name: str, *changes: tuple[str, str]) -> Chart:
    """The package's chart with texts replaced that it has once each."""
    text = chart_text(name)
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return parse_chart(text, file=f"{name}.toml")


def _handler(name: str, make: Callable[[Places], Handler]) -> Seeded:
    return {"make_handlers": lambda self, places: {name: make(places)}}


# In a chart


@_defect(
    "chart",
    "an active transfer may succeed before its manifest is delivered",
    "left alone",
    "a manifest means that every file has arrived whole",
)
def succeeds_without_a_manifest(patch: pytest.MonkeyPatch) -> Seeded:
    old = 'event = "succeed"\nfrom = ["finalizing"]'
    return {"transfer_chart": _changed("transfer", (old, old.replace("[", '["active", ')))}


@_defect(
    "chart",
    "what was suspended while staging resumes as active, and the other way round",
    "on the tour",
    "resuming leads back",
)
def resumes_elsewhere(patch: pytest.MonkeyPatch) -> Seeded:
    return {
        "transfer_chart": _changed(
            "transfer",
            ('to = "staging"\nguard = "resumed_staging"', 'to = "staging"\nguard = "resumed_active"'),
            ('to = "active"\nguard = "resumed_active"', 'to = "active"\nguard = "resumed_staging"'),
        )
    }


@_defect("chart", "`cancel` is missing from the state finalizing", "on the tour", "nothing contradicts itself")
def cannot_cancel_while_finalizing(patch: pytest.MonkeyPatch) -> Seeded:
    every = 'from = ["unknown", "staging", "active", "inactive", "finalizing"]\nto = "failed"\nguard = "canceled"'
    return {
        "transfer_chart": _changed(
            "transfer",
            (every, every.replace(', "finalizing"', "")),
            ('everywhere = ["cancel", "fail"]', 'everywhere = ["fail"]'),
        )
    }


@_defect("chart", "the state active has no deadline", "left alone", "nothing contradicts itself")
def no_deadline(patch: pytest.MonkeyPatch) -> Seeded:
    return {"transfer_chart": _changed("transfer", ('deadline = "active_deadline"\n', ""))}


@_defect(
    "chart", "a transfer that fails is not recorded in the journal", "left in trouble", "nothing contradicts itself"
)
def failures_are_not_recorded(patch: pytest.MonkeyPatch) -> Seeded:
    sentence = 'its reason says why."\nenter = "journal.record"\n'
    return {"transfer_chart": _changed("transfer", (sentence, sentence.replace('enter = "journal.record"\n', "")))}


@_defect("chart", "an operation that is running cannot be begun again", "left alone, with crashes", "check success")
def what_is_lost_stays_lost(patch: pytest.MonkeyPatch) -> Seeded:
    old = 'event = "retry"\nfrom = ["submitting", "running", "suspended"]'
    return {"operation_chart": _changed("operation", (old, old.replace('"running", ', "")))}


# In a handler


class _Credulous(Mover):
    def poll(self, operations: Sequence[Operation]) -> Mapping[UUID, OperationStatus]:
        return {
            id_: OperationStatus(code=OperationCode.SUCCEEDED) if status.code is OperationCode.FAILED else status
            for id_, status in super().poll(operations).items()
        }


@_defect(
    "handler",
    "the mover takes a move that has ended for one that has succeeded",
    "left in trouble",
    "a manifest means that every file has arrived whole",
)
def the_mover_believes_too_much(patch: pytest.MonkeyPatch) -> Seeded:
    return _handler("mover", _Credulous)


class _Careless(Mover):
    def cancel(self, operation: Operation) -> OperationStatus:
        return OperationStatus(code=OperationCode.CANCELED)


@_defect(
    "handler",
    "the mover says that a move is canceled, and does not tell the provider",
    "on the tour",
    "what was stopped has stopped",
)
def the_mover_cancels_nothing(patch: pytest.MonkeyPatch) -> Seeded:
    return _handler("mover", _Careless)


class _Restarting(Mover):
    def submit(self, operation: Operation) -> OperationStatus:
        return super().submit(attrs.evolve(operation, submission_id=uuid4()))


@_defect(
    "handler",
    "the mover makes up an id of its own for each submission",
    "HandlerSuite",
    "the same submission again does nothing twice",
)
def the_mover_submits_anew(patch: pytest.MonkeyPatch) -> Seeded:
    return _handler("mover", _Restarting)


class _Forgetful(Mover):
    def __init__(self, places: Places) -> None:
        super().__init__(places)
        self._begun: set[UUID] = set()

    def begin(self, transfer: Transfer) -> Sequence[OperationRequest]:
        if transfer.id in self._begun:
            return []
        self._begun.add(transfer.id)
        return super().begin(transfer)


@_defect(
    "handler",
    "the mover remembers what it has begun, and begins nothing after a suspension",
    "on the tour",
    "nothing contradicts itself",
)
def the_mover_begins_once(patch: pytest.MonkeyPatch) -> Seeded:
    return _handler("mover", _Forgetful)


class _Blind(Stager):
    def submit(self, operation: Operation) -> OperationStatus:
        if operation.kind == "survey":
            return OperationStatus(code=OperationCode.SUCCEEDED)
        return super().submit(operation)


@_defect("handler", "the stager takes every file for staged", "left alone", "check success")
def the_stager_does_not_look(patch: pytest.MonkeyPatch) -> Seeded:
    return _handler("stager", _Blind)


class _Silent(Manifestor):
    def follow(self, transfer: Transfer, request: OperationRequest) -> Sequence[OperationRequest]:
        return []


@_defect("handler", "the manifestor does not tell the source database of the delivery", "left alone", "check success")
def the_source_is_not_told(patch: pytest.MonkeyPatch) -> Seeded:
    def make_handlers(self: Any, places: Places) -> Mapping[str, Handler]:
        root = Path(places.endpoint("source").root)
        return {"manifestor": _Silent(places, endpoint="source", folder=root / "manifests")}

    return {"make_handlers": make_handlers}


class _Fragile(Mover):
    def submit(self, operation: Operation) -> OperationStatus:
        if operation.resubmitted:
            return OperationStatus(code=OperationCode.FAILED, message="it has been submitted before")
        return super().submit(operation)


@_defect(
    "handler",
    "the mover refuses a submission that is repeated after a crash",
    "left alone, with crashes",
    "check success",
)
def the_mover_refuses_repetitions(patch: pytest.MonkeyPatch) -> Seeded:
    return _handler("mover", _Fragile)


# In the engine


@_defect("engine", "attempts are not counted", "left in trouble", "attempts are limited")
def tries_for_ever(patch: pytest.MonkeyPatch) -> Seeded:
    limited = engine_operations.operation_guards
    patch.setattr(engine_operations, "operation_guards", lambda max_attempts: limited(10**9))
    return {}


@_defect(
    "engine",
    "a submission whose answer was lost is repeated under another id",
    "left in trouble",
    "who is called is on record",
)
def submits_under_another_id(patch: pytest.MonkeyPatch) -> Seeded:
    stock = OperationEngine._error

    def error(self: OperationEngine, change: Any, operation: Any, *rest: Any) -> None:
        stock(self, change, operation, *rest)
        operation.generation += operation.state == "pending"

    patch.setattr(OperationEngine, "_error", error)
    return {}


@_defect(
    "engine",
    "providers are called before the intention to call them is stored",
    "left alone",
    "who is called is on record",
)
def calls_before_the_commit(patch: pytest.MonkeyPatch) -> Seeded:
    stock = Scheduler._commit

    def commit(self: Scheduler, changes: Any, now: float) -> Any:
        self._calls.make([change.transfer for change in changes], now)
        return stock(self, changes, now)

    patch.setattr(Scheduler, "_commit", commit)
    return {}


@_defect(
    "engine", "a user's cancellation of a suspended transfer is dropped", "on the tour", "every transition is reached"
)
def drops_cancellations(patch: pytest.MonkeyPatch) -> Seeded:
    stock = Engine._request

    def request(self: Engine, row: Any, kind: str) -> None:
        if not (kind == CANCEL and row.state == "inactive"):
            stock(self, row, kind)

    patch.setattr(Engine, "_request", request)
    return {}


@_defect(
    "engine", "a transfer ends as canceled while its operations still run", "on the tour", "nothing contradicts itself"
)
def ends_too_early(patch: pytest.MonkeyPatch) -> Seeded:
    patch.setattr(engine_guards, "_canceled", lambda row: row.wanted == CANCEL)
    return {}


@_defect("engine", "each file that arrives is counted twice", "left in trouble", "the counts are those of the files")
def counts_twice(patch: pytest.MonkeyPatch) -> Seeded:
    stock = engine_operations._take_files

    def take_files(change: Any, outcomes: Any) -> None:
        stock(change, outcomes)
        change.transfer.files_transferred += sum(outcome.state.arrived for outcome in outcomes)

    patch.setattr(engine_operations, "_take_files", take_files)
    return {}


@_defect("engine", "deadlines pass unnoticed", "on the tour, with a crash after every step", "every transfer ends")
def forgets_deadlines(patch: pytest.MonkeyPatch) -> Seeded:
    patch.setattr(Engine, "_expire", lambda self, row, now, not_before: None)
    return {}


@_defect(
    "engine",
    "a transfer of which some files are missing succeeds without saying so",
    "left in trouble",
    "a manifest means that every file has arrived whole",
)
def hides_what_is_missing(patch: pytest.MonkeyPatch) -> Seeded:
    patch.setattr(engine_transfers, "partly_moved", lambda row: False)
    return {}


# In the store


@_defect("store", "repeated attempts are not in the history", "left alone, with crashes", "history leads to the state")
def history_has_gaps(patch: pytest.MonkeyPatch) -> Seeded:
    stock = writing.insert

    def insert(db: Any, table: str, names: Any, rows: Any, *how: Any) -> None:
        stock(db, table, names, (row for row in rows if table != "history" or row[2] != "retry"), *how)

    patch.setattr(writing, "insert", insert)
    return {}


@_defect(
    "store",
    "what users ask is kept in memory alone, until it is taken up",
    "on the tour, with a crash after every step",
    "what was canceled is canceled",
)
def requests_are_kept_in_memory(patch: pytest.MonkeyPatch) -> Seeded:
    kept: dict[SqliteStore, list[RequestRow]] = {}
    stock = SqliteStore.due

    def request(self: SqliteStore, transfer_id: UUID, kind: str, at: float) -> bool:
        if self.status(transfer_id).final:
            return False
        kept.setdefault(self, []).append(RequestRow(0, self.rowid(transfer_id), kind))
        return True

    def due(self: SqliteStore, now: float, limit: int, **how: Any) -> list[int]:
        return [*(one.transfer for one in kept.get(self, ())), *stock(self, now, limit, **how)]

    def requests(self: SqliteStore, rowids: Collection[int]) -> list[RequestRow]:
        found = [one for one in kept.get(self, ()) if one.transfer in rowids]
        kept[self] = [one for one in kept.get(self, ()) if one not in found]
        return found

    for name, method in (("request", request), ("due", due), ("requests", requests)):
        patch.setattr(SqliteStore, name, method)
    return {}


@_defect(
    "store",
    "what became of files is remembered from the first look at them",
    "left alone",
    "the counts are those of the files",
)
def files_are_out_of_date(patch: pytest.MonkeyPatch) -> Seeded:
    known: dict[tuple[Queries, int], Any] = {}
    stock = Queries.files
    patch.setattr(Queries, "files", lambda self, rowid: known.setdefault((self, rowid), stock(self, rowid)))
    return {}


@_defect(
    "store",
    "files that a transfer gave up stay as they were",
    "left in trouble",
    "a failure names every file that is missing",
)
def files_are_not_given_up(patch: pytest.MonkeyPatch) -> Seeded:
    patch.setattr(writing, "_GIVE_FILES_UP", writing._GIVE_FILES_UP.replace("transfer = ?", "transfer = -?"))
    return {}


@_defect("store", "subscribers do not hear of suspensions", "on the tour", "every transition is heard of once")
def messages_are_left_out(patch: pytest.MonkeyPatch) -> Seeded:
    stock = Queries.messages

    def messages(self: Queries, after: int, *how: Any) -> tuple[list[Message], int]:
        found, last = stock(self, after, *how)
        return [message for message in found if message.status.code is not TransferStatusCode.INACTIVE], last

    patch.setattr(Queries, "messages", messages)
    return {}


@_defect(
    "store",
    "a row that has changed since it was read is overwritten",
    "StoreSuite",
    "a row that changed since it was read is not overwritten",
)
def overwrites_newer_rows(patch: pytest.MonkeyPatch) -> Seeded:
    careless = writing._UPDATE_TRANSFER.replace("AND version = ?", "AND ? >= 0")
    patch.setattr(writing, "_UPDATE_TRANSFER", careless)
    return {}


@_defect("store", "a scheduler that was replaced may still write", "StoreSuite", "a commit extends the lease")
def the_lease_is_not_looked_at(patch: pytest.MonkeyPatch) -> Seeded:
    patch.setattr(Lease, "keep", lambda self, db, now: None)
    return {}
