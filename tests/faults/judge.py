"""Whether a store is as its users were told, whatever befell the process that told them."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from dts_fsm.records import HistoryRecord
from dts_fsm.statechart import Chart, load_chart
from dts_fsm.store import SqliteStore
from dts_fsm.store.maintenance import check
from dts_fsm.testing import Rig
from tests.faults.workload import TOGETHER, Installation

Told = Sequence[Sequence[Any]]
"""What a workload told, in order: a word, then values."""

_STEPS = 300


def findings(folder: Path, told: Told) -> list[str]:
    """Give one sentence for each promise that is broken; whoever asks is a process that has seen no fault.

    The store is opened, compared with what was told, and all its transfers are carried on to their end.
    """
    path = folder / "dts.db"
    opened = ["opened"] in told
    wrong = [f"{words}" for words in told if words[0] in ("stuck", "raised")]
    wrong += [f"{words}" for words in told if words[0] == "refused" and words[1] != "StoreError"]
    if opened:
        wrong += [f"before: {finding}" for finding in check(path)]
    rig = Installation(folder, lambda *_: None)
    times = [at for word, *values in told if word == "time" for at in values]
    rig.clock.advance(max([at - rig.clock.time() for at in times], default=0.0))
    rig.source_endpoint.duration_s = 1.0
    with closing(rig):
        wrong += lost(rig.store, told)
        keyed = [rig.store.keyed(key) is not None for key in TOGETHER]
        if len(set(keyed)) != 1:
            wrong.append(f"of two transfers created in one commit there are {keyed}")
        wrong += contradicting(rig.store)
        wrong += _unintended(path, told)
        if not rig.scheduler.lead():
            wrong.append("the lease of a dead process is still held")
        wrong += _unfinished(rig, told)
        wrong += contradicting(rig.store)
    return wrong + [f"after: {finding}" for finding in check(path)]


def lost(store: SqliteStore, told: Told) -> Iterator[str]:
    """Transfers, requests and transitions that were acknowledged and are not there."""
    journal = {record.id for record in store.journal()}
    pruning = ["pruning"] in told
    history = defaultdict(dict)
    for record in store.transfers(limit=1000):
        history[record.id] = {entry.seq: entry for entry in store.history(record.id)}
    for word, *values in told:
        if word not in ("created", "requested", "published"):
            continue
        id_ = UUID(values[1] if word == "published" else values[0])
        if id_ not in history:
            if not (pruning and id_ in journal):
                yield f"{word} {values}: the transfer is lost"
        elif word == "created":
            found = store.keyed(values[1])
            if found is None or found[0] != id_:
                yield f"the key {values[1]} does not belong to {id_} any more"
        elif word == "published":
            entry = history[id_].get(values[0])
            if entry is None or entry.target != values[2] or entry.machine != "transfer":
                yield f"published {values}: history has {entry}"
        elif not _taken_up(store, id_, values[1], history[id_].values()):
            yield f"requested {values}: it was forgotten"


def _taken_up(store: SqliteStore, id_: UUID, kind: str, history: Any) -> bool:
    row = store.load([store.rowid(id_)])[store.rowid(id_)]
    waiting = {request.kind for request in store.requests([row.rowid])}
    heard = any(entry.event == kind for entry in history) or row.wanted in (kind, "cancel")
    return kind in waiting or heard or row.completed_at is not None


def contradicting(store: SqliteStore) -> Iterator[str]:
    """Histories that do not lead to the state, step by step along the chart."""
    charts = {"transfer": load_chart("transfer"), "operation": load_chart("operation")}
    for record in store.transfers(limit=1000):
        rowid = store.rowid(record.id)
        states = {None: record.status.code.value} | {o.id: o.state for o in store.operations(rowid)}
        entries: defaultdict[UUID | None, list[HistoryRecord]] = defaultdict(list)
        for entry in store.history(record.id):
            entries[entry.operation_id].append(entry)
        if set(entries) != set(states):
            yield f"{record.id} has {set(states)}, and history of {set(entries)}"
        for machine, steps in entries.items():
            chart = charts["transfer" if machine is None else "operation"]
            yield from _replayed(chart, steps, states.get(machine))


def _replayed(chart: Chart, steps: Sequence[HistoryRecord], state: str | None) -> Iterator[str]:
    at = ""
    for step in steps:
        legal = any(
            (t.event, t.target) == (step.event, step.target) and step.source in t.sources for t in chart.transitions
        )
        legal = legal or (step.event, step.source, step.target) == ("create", "", chart.initial)
        if step.source != at or not legal:
            yield f"{step} does not follow {at!r}"
        at = step.target
    if at != state:
        yield f"the history of {steps[0].transfer_id} leads to {at}, and the state is {state}"


def _unintended(path: Path, told: Told) -> Iterator[str]:
    """Submissions that a provider was given before they were recorded."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT uuid, generation FROM operations WHERE submitted = 1").fetchall()
    known = {str(UUID(uuid) if n == 0 else uuid5(UUID(uuid), str(n))) for uuid, last in rows for n in range(last + 1)}
    pruning = ["pruning"] in told
    for word, *values in told:
        if word == "called" and values[0] not in known and not pruning:
            yield f"the provider was given {values[0]}, which is not on record"


def _unfinished(rig: Rig, told: Told) -> Iterator[str]:
    """What does not end as it should, once nothing disturbs any more."""
    canceled = {values[0] for word, *values in told if word == "requested" and values[1] == "cancel"}
    for record in rig.store.transfers(limit=1000):
        # a suspension may be stored whose user did not live to ask for more
        rig.store.request(record.id, "resume", rig.clock.time())
    for _ in range(_STEPS):
        while rig.tick():
            pass
        records = rig.store.transfers(limit=1000)
        if all(record.status.final for record in records):
            break
        rig.clock.advance(20.0)
    journal = [record.id for record in rig.store.journal()]
    for record in records:
        expected = {"failed"} if str(record.id) in canceled else {"succeeded"}
        code = record.status.code.value
        if record.specification.file_ids == ("c",):
            expected.add("failed")  # its cancellation may have been stored, and not acknowledged
        if code not in expected:
            yield f"{record.id} is {code}: {record.status.message}"
        if code == "succeeded" and record.status.num_files_transferred != record.status.num_files:
            yield f"{record.id} succeeded with {record.status}"
        if journal.count(record.id) != 1:
            yield f"{record.id} is {journal.count(record.id)} times in the journal"
