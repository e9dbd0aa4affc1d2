"""Whether an installation is as it should be: when a process has just been killed, and when all has ended."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid5

from dts_fsm import Config, Orchestrator, TransferStatus
from dts_fsm.databases.files import TEMPORARY_PREFIX
from dts_fsm.records import HistoryRecord, JournalRecord, TransferRecord
from dts_fsm.statechart import Chart, load_chart
from dts_fsm.store.maintenance import check
from tests.crash.site import ORCID, Site, files_below

MANIFEST = "manifest.json"


class Witness:
    """Looks at the files of a site again and again, and remembers what it saw."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._seen: dict[Path, int] = {}

    def look(self) -> Iterator[str]:
        """Give a sentence for each file that is not whole, was written again, has gone, or came too early."""
        site = self._site
        places = {path: site.disk / path for path in site.scenario.archived if (site.disk / path).exists()}
        seen = {file: site.content(path) for path, file in places.items()}
        folders = defaultdict(set)
        for name, file in files_below(site.delivered).items():
            _, folder, path = name.split("/", 2)
            if _is_unfinished(name):
                continue
            if path in site.scenario.wrong:
                yield f"{file} is there, and its checksum is wrong"
            folders[folder].add(path)
            seen[file] = file.read_bytes() if path == MANIFEST else site.content(path)
        for file, content in seen.items():
            if file.read_bytes() != content:
                yield f"{file} is not whole"
        for folder, paths in folders.items():
            if MANIFEST in paths and not any(paths == {*order, MANIFEST} for order in site.scenario.orders.values()):
                yield f"the manifest of {folder} is there, and of the files only {paths}"
        yield from (f"{file} has gone" for file in self._seen.keys() - seen.keys())
        now = {file: file.stat().st_ino for file in seen}
        yield from (f"{file} was written again" for file, inode in now.items() if self._seen.get(file, inode) != inode)
        self._seen = now


def findings(site: Site) -> Iterator[str]:
    """Give a sentence for each promise that is broken once all transfers have ended and no process lives."""
    dts = Orchestrator(Config.load(site.config))
    dts.start(schedule=False)
    try:
        transfers = dts.transfers(limit=1000)
        records = {record.specification.description: record for record in transfers}
        if len(transfers) != len(site.scenario.orders):
            yield f"{len(site.scenario.orders)} transfers were asked for, and there are {len(transfers)}"
        journal = dts.journal()
        for key in site.scenario.orders:
            if len(ids := set(site.told.values(f"created {key}"))) != 1:
                yield f"{key} was given the ids {ids}"
            record = records.get(key)
            if record is None or str(record.id) not in ids:
                yield f"{key} is lost"
                continue
            yield from _ended(site, record)
            yield from _recorded(record, journal)
            yield from _replayed(record.status, dts.history(record.id))
            yield from _delivered(site, record, [entry for entry in journal if entry.id == record.id])
    finally:
        dts.stop()
    yield from (
        f"journal: {count} records of {id_}" for id_, count in Counter(e.id for e in journal).items() if count > 1
    )
    yield from _strange(site)
    yield from _submissions(site)
    yield from check(site.store)


def left(site: Site) -> Iterator[str]:
    """Give a sentence for each unfinished file that is left once no process lives."""
    for folder in (site.disk, site.delivered):
        yield from (f"{path} is left in {folder.name}" for path in files_below(folder) if _is_unfinished(path))
    yield from (f"{path} is left in {site.manifests.name}" for path in files_below(site.manifests))


def _is_unfinished(path: str) -> bool:
    return os.path.basename(path).startswith(TEMPORARY_PREFIX)


def _ended(site: Site, record: TransferRecord) -> Iterator[str]:
    scenario, status = site.scenario, record.status
    order = scenario.orders[record.specification.description]
    expected: dict[str, set[str | None]] = {"succeeded": {None}}
    if scenario.wrong & set(order):
        expected = {"failed": {"checksum mismatch"}}
    if "cancel" in scenario.acts.get(record.specification.description, ()):
        # who asks again after the crash, for want of an answer, may come too late
        asked_in_time = str(record.id) in site.told.values("cancel in time")
        expected = {**({} if asked_in_time else expected), "failed": {"canceled"}}
    if status.reason not in expected.get(status.code, set()):
        yield f"{record.id} is {status.code}, {status.reason}, and not {expected}: {status.message}"
    if status.code == "succeeded" and status.num_files_transferred != len(order):
        yield f"{record.id} succeeded with {status.num_files_transferred} of {len(order)} files"


def _recorded(record: TransferRecord, journal: Sequence[JournalRecord]) -> Iterator[str]:
    word = "canceled" if record.status.reason == "canceled" else record.status.code.value
    found = [entry.status for entry in journal if entry.id == record.id]
    if found != [word]:
        yield f"{record.id} is {word}, and the journal says {found}"


def _replayed(status: TransferStatus, history: Sequence[HistoryRecord]) -> Iterator[str]:
    charts = {True: load_chart("transfer"), False: load_chart("operation")}
    machines: dict[UUID | None, str] = {}
    for entry in history:
        chart = charts[entry.operation_id is None]
        before = machines.get(entry.operation_id, "")
        if entry.source != before or not _is_step(chart, entry):
            yield f"history: {entry.event} from {entry.source!r} to {entry.target!r} after {before!r}"
        machines[entry.operation_id] = entry.target
    if machines.pop(None, "") != status.code:
        yield f"the history does not lead to {status.code}"
    ends = charts[False].final_states
    yield from (f"operation {id_} is {state} for ever" for id_, state in machines.items() if state not in ends)


def _is_step(chart: Chart, entry: HistoryRecord) -> bool:
    if entry.event == "create":
        return (entry.source, entry.target) == ("", chart.initial)
    return any(
        (step.event, step.target) == (entry.event, entry.target) and entry.source in step.sources
        for step in chart.transitions
    )


def _delivered(site: Site, record: TransferRecord, journal: Sequence[JournalRecord]) -> Iterator[str]:
    order = set(site.scenario.orders[record.specification.description])
    folder = site.delivered / ORCID / f"dts-{record.id}"
    there = {path for path in files_below(folder) if not _is_unfinished(path)}
    match record.status:
        case TransferStatus(code="succeeded"):
            if there != order | {MANIFEST}:
                yield f"{record.id} succeeded, and at the destination there is {there}"
            else:
                yield from _manifest(site, record, folder, journal)
        case TransferStatus(reason="canceled"):
            if not there <= order:
                yield f"{record.id} was canceled, and at the destination there is {there}"
        case _:
            if there != order - site.scenario.wrong:
                yield f"{record.id} failed, and at the destination there is {there}"


def _manifest(site: Site, record: TransferRecord, folder: Path, journal: Sequence[JournalRecord]) -> Iterator[str]:
    manifest = json.loads((folder / MANIFEST).read_text())
    if [entry.manifest for entry in journal] != [manifest]:
        yield f"the journal has another manifest of {record.id}"
    if manifest["contributors"][0]["id"] != str(record.id):
        yield f"the manifest of {record.id} is that of another transfer"
    listed = {resource["path"]: resource for resource in manifest["resources"]}
    if set(listed) != set(site.scenario.orders[record.specification.description]):
        yield f"the manifest of {record.id} lists {set(listed)}"
    for path, resource in listed.items():
        content = (folder / path).read_bytes()
        algorithm, _, digest = resource["hash"].rpartition(":")
        if (resource["bytes"], digest) != (len(content), hashlib.new(algorithm or "md5", content).hexdigest()):
            yield f"the manifest of {record.id} is wrong about {path}"


def _strange(site: Site) -> Iterator[str]:
    """What nobody asked for: folders of other transfers, a source that is not what it was."""
    ids = {id_ for key in site.scenario.orders for id_ in site.told.values(f"created {key}")}
    for folder in site.delivered.glob("*/*"):
        if folder.parent.name != ORCID or folder.name.removeprefix("dts-") not in ids:
            yield f"{folder} belongs to no transfer"
    for path in site.scenario.sizes:
        places = [site.archive / path] if path in site.scenario.archived else [site.disk / path]
        if [place.read_bytes() for place in places] != [site.content(path)]:
            yield f"the source {path} is not what it was"


def _submissions(site: Site) -> Iterator[str]:
    """What a provider was given that is not on record, and work that was begun twice."""
    with closing(sqlite3.connect(site.store)) as db:
        rows = db.execute("SELECT uuid, generation, transfer, kind, endpoint, state FROM operations").fetchall()
    known = {str(UUID(row[0]) if n == 0 else uuid5(UUID(row[0]), str(n))) for row in rows for n in range(row[1] + 1)}
    yield from (f"{id_} was submitted and is not on record" for id_ in set(site.told.values("submitted")) - known)
    done = Counter(tuple(row[2:5]) for row in rows if row[5] == "succeeded")
    yield from (f"{work} was done {count} times" for work, count in done.items() if count > 1)
