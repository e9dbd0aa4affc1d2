"""Histories replayed: where a transfer and its operations are, and where a history departs from the charts.

Pure, and it takes whatever it is given: what is wrong with a history is the answer, not an error.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from dts_fsm.records import Departure, DepartureKind, HistoryRecord, Replay, ReplayedMachine, Stays
from dts_fsm.statechart.definition import Chart
from dts_fsm.statechart.library import load_chart

CREATE, UPGRADE = "create", "upgrade"
"""The events of a history that no chart has: a machine is made; it goes on under a changed chart."""

_Fault = tuple[DepartureKind, str]

_FORM: Mapping[str, Any] = {
    "seq": int,
    "transfer_id": UUID,
    "operation_id": UUID | None,
    "machine": str,
    "event": str,
    "source": str,
    "target": str,
    "time": datetime,
}
"""What types the values of a row have."""


@functools.cache
def _own(name: str) -> Chart:
    return load_chart(name)


def replay(
    history: Iterable[HistoryRecord],
    *,
    transfer_chart: Chart | None = None,
    operation_chart: Chart | None = None,
    states: Mapping[UUID | None, str] | None = None,
    now: datetime | None = None,
) -> Replay:
    """Give where the history of one transfer leads to, and each row that cannot follow from those before by the chart.

    A row says that its machine went from ``source`` to ``target`` by ``event``; whether its guard agreed, no history
    tells. After an "upgrade" a machine goes on in that row's target, under a changed chart: what it did before is held
    to belong together, but not to the chart, which is another one; so is what operations did that had ended before.

    What cannot be noticed is what leads to another history that is in order: the last rows of a machine that are
    missing (give ``states``), another event or another last target for which the chart has a transition as well, an
    "upgrade" in a row's place, rows of different machines that changed places within an instant. Numbers that are left
    out are those of other transfers.

    Args:
        history: of a transfer and its operations, oldest first.
        transfer_chart, operation_chart: the charts that they run under now; None for the package's own.
        states: the states that the store has, by operation id, None for the transfer: what differs is a departure,
            too.
        now: until when a machine that has not ended has been in its state, aware; None for up to its last row.
    """
    charts = {True: transfer_chart or _own("transfer"), False: operation_chart or _own("operation")}
    rows = list(history)
    walk = _Walk(charts, _changed(rows, charts))
    departures = []
    for row in rows:
        fault = walk.step(row)
        if fault is not None:
            departures.append(_departure(row, *fault))
    if states is not None:
        departures += _differences(states, walk.machines)
    return Replay(machines=tuple(m.record(now) for m in walk.machines.values()), departures=tuple(departures))


@attrs.define
class _Machine:
    """A machine on its way; ``spent`` has the count and the time of its stays by state."""

    chart: Chart
    first: HistoryRecord
    last: HistoryRecord
    num_steps: int = 0
    spent: dict[str, list[float]] = attrs.Factory(dict)

    @property
    def ended(self) -> bool:
        return self.last.target in self.chart.final_states

    def go(self, row: HistoryRecord) -> None:
        if self.num_steps:
            self.spent[self.last.target][1] += _seconds(self.last.time, row.time)
        self.num_steps += 1
        stays = self.spent.setdefault(row.target, [0, 0.0])
        if self.num_steps == 1 or row.event != UPGRADE or row.target != self.last.target:
            stays[0] += 1
        self.last = row

    def record(self, now: datetime | None) -> ReplayedMachine:
        spent = {state: list(stays) for state, stays in self.spent.items()}
        if now is not None and not self.ended:
            spent[self.last.target][1] += _seconds(self.last.time, now)
        return ReplayedMachine(
            operation_id=self.first.operation_id,
            machine=self.first.machine,
            state=self.last.target,
            ended=self.ended,
            num_steps=self.num_steps,
            began_at=self.first.time,
            changed_at=self.last.time,
            stays=tuple(Stays(state=s, count=int(count), time_s=time_s) for s, (count, time_s) in spent.items()),
        )


class _Walk:
    """The machines of one history, after the rows so far.

    Args:
        charts: of transfers (True) and of operations (False).
        changed: the numbers of the rows up to which a machine ran under another chart.
    """

    def __init__(self, charts: Mapping[bool, Chart], changed: Mapping[UUID | None, int]) -> None:
        self._charts, self._changed = charts, changed
        self._states = {kind: {state.name for state in chart.states} for kind, chart in charts.items()}
        self._before: HistoryRecord | None = None
        self._transfer: UUID | None = None
        self._rows = 0
        self.machines: dict[UUID | None, _Machine] = {}

    def step(self, row: object) -> _Fault | None:
        """Take a row; gives the first thing that is wrong with it, or None."""
        self._rows += 1
        if not isinstance(row, HistoryRecord):
            return DepartureKind.FORM, f"it is no record of a history, but {type(row).__name__}"
        if wrong := _misshapen(row):
            return DepartureKind.FORM, wrong
        self._transfer = self._transfer or row.transfer_id
        if row.transfer_id != self._transfer:
            return DepartureKind.MACHINE, f"it is of another transfer, {row.transfer_id}"
        fault = self._order(row) or self._row(row) or self._clock(row)
        self._before = row
        machine = self.machines.get(row.operation_id)
        if machine is None:
            chart = self._charts[row.operation_id is None]
            machine = self.machines[row.operation_id] = _Machine(chart, first=row, last=row)
        machine.go(row)
        return fault

    def _order(self, row: HistoryRecord) -> _Fault | None:
        if self._before is None or row.seq > self._before.seq:
            return None
        return DepartureKind.ORDER, f"its number does not come after {self._before.seq}, the one before"

    def _clock(self, row: HistoryRecord) -> _Fault | None:
        if self._before is None or row.time >= self._before.time:
            return None
        early_s = _seconds(row.time, self._before.time)
        return DepartureKind.TIME, f"it is {early_s:g} s earlier than the row before: was the clock set back?"

    def _row(self, row: HistoryRecord) -> _Fault | None:
        machine = self.machines.get(row.operation_id)
        if (row.operation_id is None) is not (row.machine == "transfer"):
            return DepartureKind.MACHINE, f"a row of {_of(row.operation_id)} says that it is one of a {row.machine!r}"
        if machine is not None and machine.first.machine != row.machine:
            return DepartureKind.MACHINE, f"the operation was a {machine.first.machine!r} before, not a {row.machine!r}"
        if row.event == CREATE and not self._known(row, CREATE):
            return self._creation(row, machine)
        if machine is None:
            return DepartureKind.CREATION, f"{_of(row.operation_id)} was not created before"
        if machine.last.target != row.source:
            return DepartureKind.SOURCE, f"it starts from {row.source!r}, and the state was {machine.last.target!r}"
        if row.event == UPGRADE and not self._known(row, UPGRADE):
            return None if self._earlier(row) else self._state(row, row.target)
        if self._earlier(row):
            return None
        return self._transition(row)

    def _creation(self, row: HistoryRecord, machine: _Machine | None) -> _Fault | None:
        if machine is not None:
            return DepartureKind.CREATION, f"{_of(row.operation_id)} is created once more"
        if row.operation_id is not None and None not in self.machines:
            return DepartureKind.CREATION, "an operation is created before its transfer"
        if row.source:
            return DepartureKind.SOURCE, f"a creation starts from {row.source!r}, where nothing was"
        initial = self._charts[row.operation_id is None].initial
        if row.target != initial and not self._earlier(row):
            return DepartureKind.TRANSITION, f"a creation leads to {row.target!r}, and the initial state is {initial!r}"
        return None

    def _transition(self, row: HistoryRecord) -> _Fault | None:
        chart = self._charts[row.operation_id is None]
        if fault := self._state(row, row.source) or self._state(row, row.target):
            return fault
        if not self._known(row, row.event):
            return DepartureKind.EVENT, f"the chart has no event {row.event!r}"
        if row.source in chart.final_states:
            return DepartureKind.END, f"{row.event!r} follows after the end: {row.source!r} is final"
        found = [t.target for t in chart.transitions_from(row.source) if t.event == row.event]
        if row.target not in found:
            leads = f"leads to {' or '.join(map(repr, found))}" if found else "is impossible"
            return DepartureKind.TRANSITION, f"in {row.source!r} the event {row.event!r} {leads}, not to {row.target!r}"
        return None

    def _state(self, row: HistoryRecord, name: str) -> _Fault | None:
        if name in self._states[row.operation_id is None]:
            return None
        return DepartureKind.STATE, f"the chart has no state {name!r}"

    def _known(self, row: HistoryRecord, event: str) -> bool:
        """Whether the chart has the event."""
        return event in self._charts[row.operation_id is None].events

    def _earlier(self, row: HistoryRecord) -> bool:
        """Whether the row belongs to a chart that was changed afterwards."""
        return self._rows < self._changed.get(row.operation_id, 0)


def _changed(rows: Sequence[object], charts: Mapping[bool, Chart]) -> dict[UUID | None, int]:
    """For each machine how many rows there are up to the last change of its chart, that one included."""
    upgraded: dict[UUID | None, int] = {}
    last: dict[UUID | None, int] = {}
    for number, row in enumerate(rows, start=1):
        if isinstance(row, HistoryRecord) and not _misshapen(row):
            last[row.operation_id] = number
            if row.event == UPGRADE and UPGRADE not in charts[row.operation_id is None].events:
                upgraded[row.operation_id] = number
    # an operation that had ended before the others went on under another chart knew the earlier one only
    latest = max((number for id_, number in upgraded.items() if id_ is not None), default=0)
    ended: dict[UUID | None, int] = {id_: latest for id_, number in last.items() if id_ is not None and number < latest}
    return {**ended, **upgraded}


def _misshapen(row: HistoryRecord) -> str | None:
    """What of the row has a type that no history has, or None."""
    for name, kind in _FORM.items():
        value = getattr(row, name)
        if not isinstance(value, kind):
            return f"its {name} is {type(value).__name__}"
    return None if row.time.utcoffset() is not None else "its time has no time zone"


def _departure(row: object, kind: DepartureKind, reason: str) -> Departure:
    seq = operation_id = machine = None
    if isinstance(row, HistoryRecord):
        seq, operation_id, machine = row.seq, row.operation_id, row.machine
    return Departure(
        seq=seq if isinstance(seq, int) else None,
        operation_id=operation_id if isinstance(operation_id, UUID) else None,
        machine=machine if isinstance(machine, str) else "",
        kind=kind,
        reason=reason,
    )


def _differences(states: Mapping[UUID | None, str], machines: Mapping[UUID | None, _Machine]) -> list[Departure]:
    found = []
    for id_ in dict.fromkeys((*machines, *states)):
        machine, stored = machines.get(id_), states.get(id_)
        if machine is None:
            reason = f"the store has {_of(id_)} in {stored!r}, and the history has nothing of it"
        elif stored is None:
            reason = f"the history leads to {machine.last.target!r}, and the store has no such machine"
        elif stored != machine.last.target:
            reason = f"the history leads to {machine.last.target!r}, and the store says {stored!r}"
        else:
            continue
        found.append(
            Departure(
                seq=None,
                operation_id=id_,
                machine=machine.first.machine if machine else "transfer" if id_ is None else "",
                kind=DepartureKind.STORED,
                reason=reason,
            )
        )
    return found


def _of(operation_id: UUID | None) -> str:
    return "the transfer" if operation_id is None else "an operation"


def _seconds(begin: datetime, end: datetime) -> float:
    return max((end - begin).total_seconds(), 0.0)
