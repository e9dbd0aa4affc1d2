"""A workload beside which somebody else reads the store for long, as a backup or a shell of sqlite3 does."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from benchmarks.meter import Meter
from benchmarks.orchestration import World

LOG_BYTES = 64 << 20
"""Above this the store shortens its log, or reports who holds it back."""

_LOOKS_S = 12.0
"""Two looks of the store at its log, and a little."""

_TURNS = 10


class _Reports(logging.Handler):
    """Remembers how long the log was when it was first reported."""

    log_bytes: int | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.log_bytes is None and getattr(record, "action", "") == "checkpoint":
            self.log_bytes = record.__dict__["log_bytes"]


def log(folder: Path, *, count: int, reads: bool) -> dict[str, float]:
    """So many transfers succeed, a tenth of them at a time, while somebody may read the store all the time.

    ``most_bytes`` is how long the write-ahead log became, ``untold_bytes`` how long before that was reported, and
    ``after_bytes`` how long it is when the reader has ended and something more was written.
    """
    reports = _Reports()
    logging.getLogger("dts_fsm").addHandler(reports)
    world = World(folder, transfers=count + 1, files=3)
    store, most_bytes = folder / "dts.db", 0
    wal = Path(f"{store}-wal")
    with world.dts as dts, closing(sqlite3.connect(store, isolation_level=None)) as reader, Meter() as meter:
        dts.wait(dts.create(world.specifications.pop()))
        if reads:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM transfers").fetchall()
        for turn in range(_TURNS):
            for transfer_id in reversed(dts.create_many(world.specifications[turn::_TURNS])):
                dts.wait(transfer_id)
            most_bytes = max(most_bytes, wal.stat().st_size)
        if reads:
            reader.execute("COMMIT")
        ended_s = time.monotonic()
        while (after_bytes := wal.stat().st_size) > LOG_BYTES and time.monotonic() < ended_s + _LOOKS_S:
            dts.wait(dts.create(world.specifications[0]))
            time.sleep(0.1)
    untold_bytes = most_bytes if reports.log_bytes is None else reports.log_bytes
    return {**meter.figures, "most_bytes": most_bytes, "untold_bytes": untold_bytes, "after_bytes": after_bytes}
