"""What becomes of a store's transfers under other statecharts than they were made under."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import attrs

from dts_fsm.serialization import from_json
from dts_fsm.statechart import Chart
from dts_fsm.store.maintenance import reading
from dts_fsm.store.rows import Stored, TransferRow
from dts_fsm.store.sqlite import load_rows

_LIVING = """
SELECT 'transfer' AS machine, chart, state, suspended_from, count(*) FROM transfers WHERE completed_at IS NULL
GROUP BY chart, state, suspended_from
UNION ALL
SELECT 'operation', chart, state, '', count(*) FROM operations WHERE due_at IS NOT NULL GROUP BY chart, state
ORDER BY machine DESC, chart, state, suspended_from"""

_TRANSFERS = """
SELECT t.id, record FROM transfers t JOIN specifications ON transfer = t.id
WHERE completed_at IS NULL AND chart = ? AND state = ? AND suspended_from = ? AND t.id > ? ORDER BY t.id LIMIT 1000"""

_BEFORE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "mover.begin": ("survey", ("move", "manifest", "finalize")),
    "manifestor.begin": ("move", ("manifest", "finalize")),
}
"""By the callback of a state: the kind of work that each source endpoint must have done before, and what follows."""

How = Literal["same", "kept", "mapped", "stranded", "early"]


@attrs.frozen(kw_only=True)
class Fate:
    """What becomes of the machines of one kind that are in one state, and were made under one chart.

    Attributes:
        machine: "transfer" or "operation".
        chart: the fingerprint of the chart that they were made under.
        suspended_from: the state in which they are to be resumed, or "".
        count: how many there are.
        target: the state in which they go on, or None where nothing says it.
        resumed_in: the state in which they are to be resumed then; "" where they are not, or nothing says it.
        how: "same" (the chart is the present one), "kept" (another chart, which has a state of this name as well;
            whether it means the same, nobody can tell from here), "mapped" (a migration of the present chart says so),
            "stranded" (nothing says where) or "early" (a migration says where, and work that must come before is not
            done). An orchestrator refuses a store that has any of the last two.
    """

    machine: str
    chart: str
    state: str
    suspended_from: str
    count: int
    target: str | None
    resumed_in: str
    how: How

    @property
    def refused(self) -> bool:
        """True where they cannot go on."""
        return self.how in ("stranded", "early")


def too_early(chart: Chart, row: TransferRow, endpoints: Callable[[], Collection[str]]) -> str | None:
    """Give the state whose work would begin too early if this chart's migrations led the transfer to it, or None.

    Files are moved once they are staged, and the manifest is delivered once they have arrived; that holds for what a
    suspended transfer does when it is resumed, too.

    Args:
        row: a live transfer that was made under another chart, with its operations.
        endpoints: gives the transfer's source endpoints; it is called only where they matter.
    """
    target = chart.carried(row.chart, row.phase)
    if target is None or target == row.phase or (before := _BEFORE.get(chart.state(target).enter or "")) is None:
        return None
    kind, later = before
    under_way = any(operation.due_at is not None and operation.kind not in later for operation in row.operations)
    if under_way or (kind == "survey" and row.num_unstaged > 0):
        return target
    done = {
        operation.endpoint for operation in row.operations if (operation.kind, operation.state) == (kind, "succeeded")
    }
    return None if done.issuperset(endpoints()) else target


def plan(store: Path, charts: Mapping[str, Chart]) -> list[Fate]:
    """Give what becomes of all that lives in the store under these charts; nothing is changed.

    Args:
        store: its file; a service may go on meanwhile.
        charts: "transfer" and "operation".

    Raises:
        StoreError: there is no store, it is damaged, or of another version.
    """
    fates: list[Fate] = []
    with reading(store) as db:
        db.execute("BEGIN")  # all of it as it was at one instant
        for machine, fingerprint, state, suspended_from, count in db.execute(_LIVING).fetchall():
            fate = _fate(charts[machine], machine, fingerprint, state, suspended_from, count)
            early = 0
            if machine == "transfer" and fate.how == "mapped":
                early = sum(
                    too_early(charts["transfer"], row, endpoints) is not None for row, endpoints in _transfers(db, fate)
                )
            if early < count:
                fates.append(attrs.evolve(fate, count=count - early))
            if early:
                fates.append(attrs.evolve(fate, count=early, how="early"))
    return fates


def _fate(chart: Chart, machine: str, fingerprint: str, state: str, suspended_from: str, count: int) -> Fate:
    """What the chart says, whatever has been done."""
    target = chart.carried(fingerprint, state, suspended_from)
    resumed = chart.carried(fingerprint, suspended_from) if suspended_from else ""
    how: How = "kept"
    if target is None or resumed is None:
        how = "stranded"
    elif fingerprint == chart.fingerprint:
        how = "same"
    elif any({state, suspended_from} & set(one.states) for one in chart.migrations if one.fingerprint == fingerprint):
        how = "mapped"
    return Fate(
        machine=machine,
        chart=fingerprint,
        state=state,
        suspended_from=suspended_from,
        count=count,
        target=target,
        resumed_in=(resumed or "") if target == state else "",
        how=how,
    )


def _transfers(db: sqlite3.Connection, fate: Fate) -> Iterator[tuple[TransferRow, Callable[[], Collection[str]]]]:
    """The transfers of this fate, each with what gives its source endpoints."""
    last = 0
    while found := db.execute(_TRANSFERS, (fate.chart, fate.state, fate.suspended_from, last)).fetchall():
        records = dict(found)
        last = max(records)
        for rowid, row in load_rows(db, records).items():
            yield row, partial(_endpoints, records[rowid])


def _endpoints(record: str) -> set[str]:
    return {source.endpoint for source in from_json(record, Stored).sources}
