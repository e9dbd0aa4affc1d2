"""The oracle: sees all that is written and all that takes effect, and asks after each step whether everything holds.

After a commit it reads what the commit has changed, and nothing else; ``sweep`` looks at the whole store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast
from uuid import UUID, uuid5

from dts_fsm.config import ServiceConfig
from dts_fsm.errors import TransferNotFoundError
from dts_fsm.lanes import lane_of
from dts_fsm.manifest import MANIFEST_NAME
from dts_fsm.records import Specification
from dts_fsm.statechart import Chart
from dts_fsm.store import Admission, Change, SqliteStore
from dts_fsm.testing.simulation import invariants as must
from dts_fsm.testing.simulation.effects import Effects
from dts_fsm.testing.simulation.fate import Fate
from dts_fsm.testing.simulation.invariants import Arrow
from dts_fsm.testing.simulation.process import Charts
from dts_fsm.testing.simulation.seen import SeenOperation, SeenTransfer

_TIMES_LEFT_OUT = 20
"""In so many ticks in a row may an operation be left out that is due, while more is due than a tick takes."""

_TRANSFER = """
SELECT id, state, reason, completed_at, wanted, files_transferred, files_skipped, bytes_transferred FROM transfers"""
_OPERATION = "SELECT id, uuid, transfer, kind, endpoint, state, attempts, losses, generation FROM operations"


class Oracle(Effects):
    """Sees everything; ``violation`` is the first thing that was wrong.

    Args:
        store: opened for reading; nobody else uses it.
        charts: of the transfer and of the operation.

    Attributes:
        meanwhile: is called when a process stands still, with its name.
        steps: after how many commits it has looked.
    """

    meanwhile: Callable[[str], None]

    def __init__(self, store: SqliteStore, charts: Charts, settings: ServiceConfig, fate: Fate) -> None:
        super().__init__(store, settings, fate)
        self._arrows = tuple(_arrows(chart) for chart in charts)
        self._final = frozenset(state.name for state in charts[0].states if state.final)
        self._operation_final = frozenset(state.name for state in charts[1].states if state.final)
        self.steps = 0
        self._rows: dict[int, SeenTransfer] = {}
        self._operations: dict[int, SeenOperation] = {}
        self._keys: dict[str, SeenTransfer] = {}
        self._ticks = 0
        self._began: dict[str, int] = {}
        self._seq = 0
        self._ends = 0
        self._left_out: dict[int, int] = {}

    # What users are told

    def promised(self, transfer_id: UUID, key: str | None, specification: Specification) -> None:  # noqa: ARG002
        """A user was given the id of a transfer."""
        name = self._trace.transfer(transfer_id)
        self._trace.note(f"a user is given the id of {name}")
        seen = self.transfers.get(transfer_id)
        self.hold(must.no_transfer_whose_id_was_given_is_lost, name, seen is not None, False)
        if seen is None:
            return
        seen.promised = True
        if key is not None:
            known = self._keys.get(key)
            if known is not None and not self._forgettable(known):
                self.hold(must.a_key_belongs_to_one_transfer, name, known.name)
            self._keys[key] = seen

    def asked(self, transfer_id: UUID, kind: str) -> None:
        """A user's request was accepted."""
        seen = self.transfers[transfer_id]
        if kind == "cancel":
            seen.cancel_asked = True
            if seen.canceled_at is None:
                seen.canceled_at = self._ticks
        elif kind == "resume":
            seen.resume_asked = True

    # What processes write

    def took_office(self, process: str, unawares: bool) -> None:
        """The process has become the scheduler."""
        self._trace.note(f"{process} is the scheduler")
        self.hold(must.who_was_replaced_knows_it, process, unawares)
        self._leader = process

    def begins_tick(self, process: str) -> None:
        """The process begins a tick: what users ask from now on, it may not know in this tick."""
        self._ticks += 1
        self._began[process] = self._ticks

    def created(self, admissions: Sequence[Admission]) -> None:
        """Transfers were stored: their rows, operations and history are there."""
        for admission in admissions:
            row, plan = admission.change.transfer, admission.plan
            if row.id in self.transfers or not row.rowid:
                continue  # the key was known
            folder = plan.destination.folder(row.id)
            contents = {
                f"{folder}/{descriptor.path}": self.world.right_content(plan.specification.source, descriptor.id)
                for descriptor in plan.descriptors
                if not descriptor.inline
            }
            seen = SeenTransfer(
                row.id, self._trace.transfer(row.id), row.rowid, plan.destination.endpoint, folder, contents
            )
            self.transfers[row.id] = self._rows[row.rowid] = seen
            for path, content in contents.items():
                self._paths[seen.endpoint, path] = seen, content
            self._paths[seen.endpoint, f"{folder}/{MANIFEST_NAME}"] = seen, None
        new = [admission.change for admission in admissions if admission.change.transfer.rowid]
        self._look(new)

    def committed(self, process: str, changes: Sequence[Change]) -> None:
        """A tick was committed."""
        self.hold(must.only_the_leader_writes, process, self._leader)
        self._look(changes, self._began.get(process, 0))

    def complained(self, process: str, transfer_id: UUID, message: str) -> None:
        """Something was wrong with deciding on a transfer."""
        name = self._trace.transfer(transfer_id)
        self._trace.note(f"{process} cannot decide on {name}: {message}")
        self.hold(must.every_change_can_be_decided, name, message)

    def _look(self, changes: Sequence[Change], began: int = 0) -> None:
        """Read what a commit has changed, and see whether it holds together."""
        self.steps += 1
        expected = sum(len(change.history) for change in changes)
        chosen = f"({','.join(str(change.transfer.rowid) for change in changes)})"
        with self._store._connections.reader() as db:
            history = db.execute(
                "SELECT h.seq, h.transfer, h.operation, h.event, h.source, h.target, o.uuid, o.kind, o.endpoint "
                "FROM history h LEFT JOIN operations o ON o.id = h.operation WHERE h.seq > ? ORDER BY h.seq",
                (self._seq,),
            ).fetchall()
            transfers = db.execute(f"{_TRANSFER} WHERE id IN {chosen}").fetchall()
            operations = db.execute(f"{_OPERATION} WHERE transfer IN {chosen}").fetchall()
        self.hold(must.what_was_committed_is_stored, expected, len(history))
        for seq, *entry in history:
            self._seq = seq
            self._replay(*entry)
        for row in operations:
            self._check_operation(*row)
        for row in transfers:
            self._check_transfer(row, began)

    def _replay(
        self,
        transfer: int,
        operation: int | None,
        event: str,
        source: str,
        target: str,
        uuid: str | None,
        kind: str,
        endpoint: str,
    ) -> None:
        seen = self._rows.get(transfer)
        if seen is None:
            # stored by a client that died before it could tell: found when its admission is seen
            return
        if uuid is None or operation is None:
            name, machine, arrows = seen.name, seen.machine, self._arrows[0]
            if event == "resume":
                self._check_resume(seen)
        else:
            known = self._operations.get(operation)
            if known is None:
                known = self._meet(seen, operation, UUID(uuid), kind, endpoint)
            name, machine, arrows = known.name, known.machine, self._arrows[1]
        self._trace.note(f"    {name}: {event} -> {target}")
        self.hold(must.the_history_follows_the_chart, name, machine, (event, source, target), arrows)
        machine.state = target
        machine.events[event] += 1
        machine.length += 1
        if event == "fail" and source == "canceling":
            machine.events["fail while canceling"] += 1

    def _meet(self, seen: SeenTransfer, rowid: int, uuid: UUID, kind: str, endpoint: str) -> SeenOperation:
        name = self._trace.operation(seen.id, uuid, kind, endpoint)
        known = SeenOperation(name, uuid, seen)
        self._operations[rowid] = seen.operations[rowid] = self._submissions[uuid] = known
        return known

    def _check_resume(self, seen: SeenTransfer) -> None:
        if seen.wanted == "suspend":
            self.hold(must.only_a_request_lifts_a_suspension, seen.name, seen.resume_asked)

    def _check_operation(
        self,
        rowid: int,
        uuid: str,
        transfer: int,
        kind: str,
        endpoint: str,
        state: str,
        attempts: int,
        losses: int,
        generation: int,
    ) -> None:
        known = self._operations.get(rowid)
        if known is None:
            known = self._meet(self._rows[transfer], rowid, UUID(uuid), kind, endpoint)
        if known.looked_at == (found := (state, attempts, losses, generation, known.machine.length)):
            return
        known.looked_at = found
        self.hold(must.the_history_leads_to_the_state, known.name, known.machine.state, state)
        events = known.machine.events
        recorded = events["retry"] + events["fail"] - events["fail while canceling"]
        self.hold(must.every_attempt_is_recorded, known.name, attempts + losses, recorded)
        self.hold(must.attempts_have_an_end, known.name, attempts, self._settings.max_attempts)
        if generation > known.generation:
            known.generation = generation
            self._submissions[uuid5(known.uuid, str(generation))] = known

    def _check_transfer(self, row: Sequence[Any], began: int) -> None:
        rowid, state, reason, completed_at, wanted, *counters = row
        seen = self._rows[rowid]
        self.hold(must.the_history_leads_to_the_state, seen.name, seen.machine.state, state)
        if wanted == "suspend" and seen.wanted != "suspend":
            seen.resume_asked = False
        seen.wanted = wanted
        if seen.ended is not None:
            self.hold(must.a_transfer_that_has_ended_never_changes, seen.name, seen.ended, tuple(row))
        elif completed_at is not None or state in self._final:
            seen.ended = tuple(row)
            self._ends += 1
            self._check_end(seen, state, reason, counters, began)

    def _check_end(
        self, seen: SeenTransfer, state: str, reason: str | None, counters: Sequence[int], began: int
    ) -> None:
        name = seen.name
        self._trace.note(f"    {name} has ended: {reason or state}")
        states = {known.name: known.machine.state for known in seen.operations.values()}
        self.hold(must.an_ended_transfer_has_no_live_operation, name, states, self._operation_final)
        with self._store._connections.reader() as db:
            journal = db.execute("SELECT status, reason FROM journal WHERE uuid = ?", (str(seen.id),)).fetchall()
            files = {
                id_: (file_state, error)
                for id_, file_state, error in db.execute(
                    "SELECT file_id, state, error FROM files WHERE transfer = ?", (seen.rowid,)
                ).fetchall()
            }
        status = "canceled" if reason == "canceled" else state
        self.hold(must.the_journal_has_each_end_once, name, [(status, reason)], journal)
        file_states = {id_: file_state for id_, (file_state, _) in files.items()}
        self.hold(must.counters_agree_with_the_files, name, counters[:2], list(file_states.values()))
        self.hold(must.counters_stay_within_the_totals, name, self._store.status(seen.id))
        self.hold(must.only_who_asked_is_canceled, name, reason, seen.cancel_asked)
        if seen.canceled_at is not None and seen.canceled_at < began:
            self.hold(must.a_cancellation_is_carried_out, name, state, reason)
        if state == "succeeded":
            if reason == "partial":
                file_states = {id_: s for id_, s in file_states.items() if s != "failed"}
            self.hold(must.success_means_that_all_was_delivered, name, seen.manifest is not None, file_states)
        elif reason != "canceled":
            self.hold(must.every_file_of_a_failure_is_accounted_for, name, files)

    # The whole

    def after_tick(self, process: str, now: float, in_flight: set[int], full: frozenset[str], *, cut: bool) -> None:
        """A tick has ended well: is anything left out that was due?

        Args:
            cut: more was due than a tick takes; then nothing is left out by many ticks in a row.
        """
        with self._store._connections.reader() as db:
            due = db.execute("SELECT id, kind, endpoint FROM operations WHERE due_at <= ?", (now,)).fetchall()
        left_out = [id_ for id_, kind, endpoint in due if id_ not in in_flight and lane_of(kind, endpoint) not in full]
        self._left_out = {id_: self._left_out.get(id_, 0) + 1 for id_ in left_out}
        times = _TIMES_LEFT_OUT if cut else 0
        waiting = [self._operations[id_].name for id_, count in self._left_out.items() if count > times]
        if waiting:
            self.hold(must.nothing_due_is_left_out, process, waiting)

    def sweep(self) -> None:
        """Look at every row of the store."""
        with self._store._connections.reader() as db:
            rows = db.execute(_TRANSFER).fetchall()
            operations = db.execute(_OPERATION).fetchall()
            (records,) = db.execute("SELECT count(*) FROM journal").fetchone()
        stored = {row[0] for row in rows}
        for row in operations:
            self._check_operation(*row)
        for row in rows:
            self._check_transfer(row, 0)
        self.hold(must.the_journal_forgets_nothing, self._ends, records)
        for transfer_id, seen in self.transfers.items():
            here = seen.rowid in stored
            if seen.promised:
                self.hold(must.no_transfer_whose_id_was_given_is_lost, seen.name, here, self._forgettable(seen))
            if here and seen.ended is None:
                self.hold(must.counters_stay_within_the_totals, seen.name, self._status(transfer_id))

    def _status(self, transfer_id: UUID) -> Any:
        try:
            return self._store.status(transfer_id)
        except TransferNotFoundError as error:
            raise AssertionError("a row that was read a moment ago is gone") from error

    def _forgettable(self, seen: SeenTransfer) -> bool:
        if seen.ended is None:
            return False
        completed_at = cast(float, seen.ended[3])
        # the wall clock may have been set back since
        return completed_at < self._fate.clock.time() - self._settings.delete_after_s + 600.0

    def alive(self) -> list[str]:
        """The transfers that have not ended, by name, with their states."""
        return [f"{seen.name} ({seen.machine.state})" for seen in self._rows.values() if seen.ended is None]

    def ends(self) -> Counter[str]:
        """How many transfers ended how."""
        return Counter(_end(seen.ended) for seen in self._rows.values() if seen.ended is not None)


def _end(ended: Sequence[object]) -> str:
    _, state, reason, *_ = ended
    return f"{state}: {reason}" if reason else str(state)


def _arrows(chart: Chart) -> frozenset[Arrow]:
    return frozenset(
        (transition.event, source, transition.target)
        for transition in chart.transitions
        for source in transition.sources
    )
