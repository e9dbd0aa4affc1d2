"""Workloads on a store with a long history and journal, filled by SQL from one real transfer that has ended."""

from __future__ import annotations

import itertools
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.fleet import cloned, rig_of
from benchmarks.meter import Meter


def filled(folder: Path, *, rows: int) -> dict[str, float]:
    """The folder has a store with so many rows of history, six to a transfer, and as many rows of the journal."""
    rig = rig_of(folder)
    rig.source.add("a", b"content")
    transfer_id = rig.create("a")
    rig.run(transfer_id)
    with Meter() as meter, closing(sqlite3.connect(folder / "dts.db", isolation_level=None)) as db:
        ((events,),) = db.execute("SELECT count(*) FROM history").fetchall()
        ((operations,),) = db.execute("SELECT count(*) FROM operations").fetchall()
        more = max(rows // events - 1, 1)
        db.execute("PRAGMA synchronous=OFF")
        db.execute("BEGIN")
        uuid, own, age = "printf('%08x-0000-4000-8000-000000000000', n.i)", {"transfer": "1 + n.i"}, "s.{0} + n.i"
        cloned(db, "transfers", "id", more, {"id": "1 + n.i", "uuid": uuid, "completed_at": age.format("completed_at")})
        ids = {"id": f"s.id + {operations} * n.i", "uuid": "printf('%08x-0000-4000-8001-%012x', n.i, s.id)"}
        cloned(db, "operations", "transfer", more, own | ids)
        cloned(db, "files", "transfer", more, own)
        cloned(db, "specifications", "transfer", more, own)
        numbers = {"seq": f"s.seq + {events} * n.i", "operation": f"s.operation + {operations} * n.i"}
        cloned(db, "history", "transfer", more, own | numbers | {"at": age.format("at")})
        uuid = "printf('%08x-0000-4000-8002-000000000000', n.i)"
        cloned(db, "journal", "id", rows - 1, {"id": "1 + n.i", "uuid": uuid, "stop_time": age.format("stop_time")})
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    rig.close()
    return {**meter.figures, "file_bytes": (folder / "dts.db").stat().st_size}


def read(folder: Path, *, store: str) -> dict[str, float]:
    """The CPU time of each kind of read, and the longest time that a call took that prunes."""
    del folder
    rig = rig_of(Path(store))
    rig.scheduler.lead()
    some = itertools.cycle(record.id for record in rig.store.transfers(limit=100))
    last = rig.store.last_seq()
    middle = datetime.fromtimestamp(rig.clock.time() + last / 20, UTC)
    rig.source.add("b", b"content")
    rig.tick()
    figures = {
        "create": _cpu_s(lambda: rig.create("b")),
        "status": _cpu_s(lambda: rig.store.status(next(some))),
        "history(id)": _cpu_s(lambda: rig.store.history(next(some))),
        "messages after the newest 500": _cpu_s(lambda: rig.store.messages(last - 500, 500)),
        "messages after the middle": _cpu_s(lambda: rig.store.messages(last // 2, 500)),
        "journal(limit=100)": _cpu_s(lambda: rig.store.journal(limit=100)),
        "journal(start, limit=100)": _cpu_s(lambda: rig.store.journal(middle, limit=100)),
        "transfers(limit=100)": _cpu_s(lambda: rig.store.transfers(limit=100)),
    }
    rig.run(rig.create("b"))
    figures["a tick without work"] = _cpu_s(rig.scheduler.tick)
    longest_s = 0.0
    for _ in range(200):
        began_s = time.perf_counter()
        pruned = rig.store.prune(rig.clock.time() + 1e12)
        longest_s = max(longest_s, time.perf_counter() - began_s)
        if not pruned:
            break
    rig.close()
    return figures | {"longest_prune_s": longest_s}


def _cpu_s(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(50):
        before = time.thread_time()
        work()
        spent.append(time.thread_time() - before)
    return statistics.median(spent)
