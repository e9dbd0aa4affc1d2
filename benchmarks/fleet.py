"""Workloads on stores with many live transfers, or a long history. They are filled by SQL, from one real transfer."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from uuid import UUID

from benchmarks.meter import Meter
from dts_fsm import Orchestrator
from dts_fsm.records import Operation, OperationCode, OperationRequest, OperationStatus, Transfer
from dts_fsm.store.rows import TRANSFER_HOT
from dts_fsm.testing import ORCID, ManualClock, Rig

_DONE = OperationStatus(code=OperationCode.SUCCEEDED)
_GOING_ON = OperationStatus(code=OperationCode.RUNNING)
_SENTENCE = "The files are moved to the destination and verified on arrival."
_AGAIN_S = 30.0
"""How far away the next poll of those is that are not due: as if they had just been asked for."""


_UPDATE = f"UPDATE transfers SET {', '.join(f'{name} = ?' for name in TRANSFER_HOT)} WHERE id = ? AND version = ?"
_HISTORY = ("transfer", "event", "source", "target", "at", "message", *("files_transferred", "files_skipped"))
_RECORD = f"INSERT INTO history ({', '.join(_HISTORY)}) VALUES ({', '.join('?' * len(_HISTORY))})"


_OTHER = {"succeeded": "failed", "failed": "succeeded", "active": "finalizing", "finalizing": "active"}
"""A transition changes the state, and with it the index of the states."""


class _Work:
    """A handler whose work is over when it is asked for, but for moves, which go on until ``over``."""

    over = True

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def begin(self, transfer: Transfer) -> Sequence[OperationRequest]:  # noqa: ARG002 - the same for all
        return [OperationRequest(handler=self._kind, kind=self._kind, endpoint="source")]

    def submit(self, operation: Operation) -> OperationStatus:  # noqa: ARG002 - as above
        return _GOING_ON if self._kind == "mover" else _DONE

    def poll(self, operations: Sequence[Operation]) -> Mapping[UUID, OperationStatus]:
        return {operation.id: _DONE if self.over else _GOING_ON for operation in operations}

    def cancel(self, operation: Operation) -> OperationStatus:  # noqa: ARG002 - as above
        return OperationStatus(code=OperationCode.CANCELED)


def rig_of(folder: Path) -> Rig:
    """An installation without ends, durable, in this folder."""
    handlers = {kind: _Work(kind) for kind in ("stager", "mover", "manifestor")}
    return Rig(folder, handlers=handlers, clock=ManualClock(), synchronous="full", poll_interval_s=60.0)


def cloned(db: sqlite3.Connection, table: str, key: str, count: int, changed: Mapping[str, str]) -> None:
    """The table's rows of the first transfer are there ``count`` times more, with these expressions of ``n.i``."""
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    values = [changed.get(column, f"s.{column}") for column in columns]
    db.execute(
        f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} "
        f"FROM n, (SELECT * FROM {table} WHERE {key} = 1) AS s"
    )


def filled(folder: Path, *, live: int) -> dict[str, float]:
    """The folder has a store with so many transfers whose files are being moved; none is due."""
    rig = rig_of(folder)
    rig.source.add("a", b"content")
    transfer_id = rig.create("a")
    _Work.over = False
    rig.tick(4)
    if rig.store.status(transfer_id).code != "active":
        raise RuntimeError(rig.store.status(transfer_id).message)
    rig.store.release_lease()
    rig.close()
    later = rig.clock.time() + _AGAIN_S
    with Meter() as meter, closing(sqlite3.connect(folder / "dts.db", isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=OFF")
        db.execute("BEGIN")
        uuid = "printf('%08x-0000-4000-8000-{}', n.i)"
        (operations,) = db.execute("SELECT count(*) FROM operations").fetchone()
        cloned(db, "transfers", "id", live - 1, {"id": "1 + n.i", "uuid": uuid.format("000000000000")})
        numbers = {"id": f"s.id + {operations} * n.i", "transfer": "1 + n.i"}
        ids = {"uuid": "printf('%08x-0000-4000-8001-%012x', n.i, s.id)", "due_at": f"iif(s.due_at, {later}, NULL)"}
        cloned(db, "operations", "transfer", live - 1, numbers | ids)
        cloned(db, "files", "transfer", live - 1, {"transfer": "1 + n.i"})
        cloned(db, "specifications", "transfer", live - 1, {"transfer": "1 + n.i"})
        db.execute(f"UPDATE operations SET due_at = {later} WHERE due_at IS NOT NULL")
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return {**meter.figures, "file_bytes": (folder / "dts.db").stat().st_size}


def _cpu_s(work: Callable[[], object], times: int) -> float:
    spent = []
    for _ in range(times):
        before = time.thread_time()
        work()
        spent.append(time.thread_time() - before)
    return statistics.median(spent)


def ticks(folder: Path, *, store: str, due: int, skip: int) -> dict[str, float]:
    """So many of a filled store's transfers, spread over all of it, become due, and come to their end.

    Args:
        skip: how often this was done with the store before.
    """
    del folder
    rig = rig_of(Path(store))
    with Meter() as office:
        rig.scheduler.lead()
    rig.tick()
    figures = {
        "office_s": office.figures["cpu_s"],
        "idle_s": _cpu_s(rig.scheduler.tick, 200),
        "round_s": _cpu_s(rig.scheduler._round, 200),
        "sweep_s": _cpu_s(rig.scheduler.sweep, 20),
    }
    first = rig.store.last_seq()
    figures |= _ended(rig, due, skip)
    figures |= {"num_transitions": rig.store.last_seq() - first, "resident_bytes": _resident_bytes()}
    rig.close()
    return figures


def _ended(rig: Rig, due: int, skip: int) -> dict[str, float]:
    with rig.store._connections.transaction() as db:
        ((all_,),) = db.execute("SELECT max(id) FROM transfers").fetchall()
        db.execute(
            "UPDATE operations SET due_at = ? WHERE due_at IS NOT NULL AND transfer % ? = ? AND transfer / ? < ?",
            (rig.clock.time(), all_ // due, skip % (all_ // due), all_ // due, due),
        )
    _Work.over = True
    with Meter() as meter:
        while rig.scheduler.tick():
            pass
    return meter.figures


def rounds(folder: Path, *, store: str, dues: Sequence[int]) -> dict[str, float]:
    """In turn so many transfers of a filled store, and no others, become due and end; the CPU time of each of them."""
    del folder
    rig = rig_of(Path(store))
    rig.scheduler.lead()
    _ended(rig, dues[0], 0)  # the first time has the statements prepared
    figures = {f"{due}": _ended(rig, due, turn)["cpu_s"] / due for turn, due in enumerate(dues, 1)}
    rig.close()
    return figures


def raw(folder: Path, *, store: str, count: int, batch: int) -> dict[str, float]:
    """The floor: one update of so many of a filled store's transfers, and one row of history each; nothing else."""
    del folder
    with closing(sqlite3.connect(Path(store) / "dts.db", isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=FULL")
        ((live,),) = db.execute("SELECT count(*) FROM transfers").fetchall()
        rows = db.execute(
            f"SELECT id, {', '.join(TRANSFER_HOT)} FROM transfers WHERE id % ? = 0", (max(live // count, 1),)
        ).fetchall()
        with Meter() as meter:
            for first in range(0, len(rows), batch):
                some, now = rows[first : first + batch], time.time()
                db.execute("BEGIN IMMEDIATE")
                db.executemany(
                    _UPDATE, [(_OTHER[state], version + 1, *hot, id_, version) for id_, state, version, *hot in some]
                )
                db.executemany(_RECORD, [(id_, "move", "staging", "active", now, _SENTENCE, 0, 0) for id_, *_ in some])
                db.execute("COMMIT")
    return {**meter.figures, "num_transitions": len(rows)}


def _resident_bytes() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


def calls(folder: Path, *, store: str) -> dict[str, float]:
    """What each call of the library costs on a filled store, in CPU time of the caller's thread."""
    del folder
    rig = rig_of(Path(store))
    rig.source.add("a", b"content")
    dts = Orchestrator(
        rig.config, databases=rig.databases, endpoints=rig.endpoints, handlers=rig.handlers, store=rig.store
    )
    dts.start(schedule=False)
    some = [record.id for record in dts.transfers(limit=100)]
    specification = rig.specification("a")
    turns = iter(some * 1000)
    figures = {
        "create": _cpu_s(lambda: dts.create(specification), 200),
        "create_many of 10": _cpu_s(lambda: dts.create_many([specification] * 10), 20),
        "plan": _cpu_s(lambda: dts.plan(specification), 200),
        "status": _cpu_s(lambda: dts.status(next(turns)), 200),
        "files": _cpu_s(lambda: dts.files(next(turns)), 200),
        "history": _cpu_s(lambda: dts.history(next(turns)), 200),
        "explain": _cpu_s(lambda: dts.explain(next(turns)), 200),
        "transfers(limit=100)": _cpu_s(lambda: dts.transfers(limit=100), 50),
        "journal(limit=100)": _cpu_s(lambda: dts.journal(limit=100), 50),
        "suspend": _cpu_s(lambda: dts.suspend(next(turns), ORCID), 100),
        "resume": _cpu_s(lambda: dts.resume(next(turns), ORCID), 100),
        "subscribe": _cpu_s(lambda: dts.subscribe().close(), 50),
        "cancel": _cpu_s(lambda: dts.cancel(next(turns), ORCID), 100),
    }
    dts.stop()
    rig.close()
    return figures
