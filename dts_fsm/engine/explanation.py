"""Why a transfer waits: for each event what its guard says, why it says no, and all of it in a sentence.

Pure, as the engine is; and it does not raise where a handler's guard does, for then somebody will want to know why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dts_fsm.engine.guards import ENDED, EXPIRE
from dts_fsm.engine.operations import trouble
from dts_fsm.engine.reasons import OBSTACLES, OPERATION_OBSTACLES, Facts, listed, stands, unstaged
from dts_fsm.engine.transfers import Engine
from dts_fsm.records import EventVerdict, Explanation, OperationExplanation, OperationRecord
from dts_fsm.records.checks import readable
from dts_fsm.statechart import Chart, Model, StateMachine, TransitionDef
from dts_fsm.statechart.texts import duration
from dts_fsm.store.rows import OperationRow, TransferRow, time_of

_UNSAID = {
    "start": "its provider has not accepted it yet",
    "suspend": "its provider has not suspended it",
    "resume": "its provider has not gone on with it",
    "succeed": "its provider has not said that it succeeded",
    "retry": "no failure has been heard of",
    "fail": "no failure has been heard of",
    "cancel": "nothing asks it to stop",
    "acknowledge": "its provider has not acknowledged that it stopped",
}
"""What the events of an operation wait for, but for those that wait for a time."""


def explain(engine: Engine, facts: Facts) -> Explanation:
    """Give why the transfer waits now; a guard that raises says no, and that it raised."""
    row = facts.row
    times = [at for at in (row.due_at, *(op.due_at for op in row.operations)) if at is not None]
    state = next((state for state in engine.machine.chart.states if state.name == row.state), None)
    events = _verdicts(engine.machine, row, lambda transition, possible: _why(engine, facts, transition, possible))
    failed = row.state == "failed" and row.reason != "canceled"
    troubled = failed or any(row.message.startswith(trouble(op)) for op in row.operations)
    return Explanation(
        transfer_id=row.id,
        state=row.state,
        description=state.description if state else "The present chart has no such state.",
        requested=None if row.completed_at is not None else _requested(facts),
        next_poll_at=time_of(min(times)) if times else None,
        deadline_at=None if row.deadline_at is None else time_of(row.deadline_at),
        last_error=row.message if troubled else None,
        events=events,
        operations=tuple(_record(op) for op in row.operations),
        summary=_summary(facts, events, engine.machine.chart),
        message=row.message,
        deadline=None if state is None or row.deadline_at is None else state.deadline,
        scheduled=facts.scheduled,
        live_operations=tuple(_operation(engine, facts, op) for op in row.operations if op.state not in ENDED),
        chart=row.chart,
        asked_at=time_of(facts.now),
    )


def _requested(facts: Facts) -> str | None:
    return facts.requested or (facts.row.wanted if facts.row.wanted != EXPIRE else "") or None


def _operation(engine: Engine, facts: Facts, op: OperationRow) -> OperationExplanation:
    chart: Chart = engine.operations.machine.chart
    given_up_at = facts.given_up_at(op)
    return OperationExplanation(
        id=op.id,
        summary=stands(facts, op),
        description=next((state.description for state in chart.states if state.name == op.state), ""),
        late_s=facts.late_s(op),
        lane_full=None if facts.crowded is None else op.rowid in facts.crowded,
        deadline_at=None if given_up_at is None else time_of(given_up_at),
        events=_verdicts(
            engine.operations.machine,
            op,
            lambda transition, possible: _why_of_operation(facts, op, transition, possible),
        ),
    )


def _record(op: OperationRow) -> OperationRecord:
    return OperationRecord(
        id=op.id,
        handler=op.handler,
        kind=op.kind,
        endpoint=op.endpoint,
        state=op.state,
        attempts=op.attempts,
        next_poll_at=None if op.due_at is None else time_of(op.due_at),
        message=op.message,
    )


def _verdicts(
    machine: StateMachine, model: Model, why: Callable[[TransitionDef, bool], str]
) -> tuple[EventVerdict, ...]:
    """Each event of the model's state; none where the chart does not have that state."""
    if model.state not in {state.name for state in machine.chart.states}:
        return ()
    verdicts = []
    for transition, guard in machine.exits(model):
        try:
            possible, told = guard is None or guard(model), ""
        except Exception as error:
            possible, told = False, f"its guard raised {type(error).__name__}"
        verdicts.append(
            EventVerdict(
                event=transition.event,
                target=transition.target,
                guard=transition.guard or "",
                possible=possible,
                description=transition.description,
                why=told or why(transition, possible),
            )
        )
    return tuple(verdicts)


def _why(engine: Engine, facts: Facts, transition: TransitionDef, possible: bool) -> str:
    name = transition.guard
    if name is None:
        return "it has no guard: somebody has to fire it"
    if possible:
        return ""
    if name not in engine.reasons:
        told = listed(OBSTACLES[name](facts))
    else:
        told = _reason_of_handler(engine.reasons[name], facts.row)
    described = {guard.name: guard.description for guard in engine.machine.chart.guards}
    return told or f"not so: {described[name]}"


def _reason_of_handler(reason: Callable[[TransferRow], object] | None, row: TransferRow) -> str:
    if reason is None:
        return ""
    try:
        return str(readable(str(reason(row))))
    except Exception as error:
        return f"what says why raised {type(error).__name__}"


def _why_of_operation(facts: Facts, op: OperationRow, transition: TransitionDef, possible: bool) -> str:
    if not possible:
        return OPERATION_OBSTACLES[str(transition.guard)](facts, op)
    if transition.event == "submit":
        due = op.due_at is not None and op.due_at <= facts.now
        return "" if due or op.due_at is None else f"it is due {facts.relative(op.due_at)}"
    given_up_at = facts.given_up_at(op)
    if transition.event == "abandon" and given_up_at is not None:
        return f"its provider's time to acknowledge ends {facts.relative(given_up_at)}"
    return _UNSAID.get(transition.event, "nobody has said that it happened")


def _summary(facts: Facts, events: Sequence[EventVerdict], chart: Chart) -> str:
    """What somebody needs to know who has ten seconds."""
    row = facts.row
    message = row.message.rstrip(".")
    if row.completed_at is not None:
        reason = f" ({row.reason})" if row.reason else ""
        again = "; `retry` begins a new transfer of what did not arrive"
        hint = again if row.state == "failed" and row.reason != "canceled" else ""
        return f"it ended {facts.relative(row.completed_at)}: {row.state}{reason}: {message}{hint}"
    told = []
    if facts.scheduled is False:
        told.append("no process schedules this store, and nothing happens until a service is started")
    if row.chart != chart.fingerprint:
        told.append(f"it is under the chart {row.chart}, and what is said here is of the chart {chart.fingerprint}")
    if row.state not in chart.live_states:
        told.append(f"the present chart has no state {row.state!r}")
    told.append(_waits_for(facts, events))
    late_s = 0.0 if row.due_at is None else facts.now - row.due_at
    if facts.scheduled and late_s > 2 * facts.timing.settings.poll_interval_s:
        told.append(f"its deadline passed {duration(late_s)} ago, and its scheduler has not looked at it since")
    return "; ".join(told)


def _waits_for(facts: Facts, events: Sequence[EventVerdict]) -> str:
    row = facts.row
    now = [event.event for event in events if event.possible and event.guard]
    lives = [stands(facts, op) for op in row.operations if op.state not in ENDED]
    work = listed(lives) or "nothing is under way"
    if facts.requested:
        return f"its user asked to {facts.requested} it, and the next tick takes that up; now {work}"
    if now:
        return f"{now[0]} can happen now, and the next tick sees to it: {row.message}"
    match row.wanted:
        case "cancel":
            return f"its user asked to cancel it, and it waits until all work has stopped: {work}"
        case "expire":
            return f"its time in this state is over, and it fails once all work has stopped: {work}"
        case "suspend" if row.suspended_from:
            return "its user suspended it, and it waits for its user to resume it"
        case "suspend":
            return f"its user suspended it, and it waits until all work has stopped: {work}"
        case "resume":
            return f"its user resumed it, and it waits until all work has stopped: {work}"
    missing = f"{unstaged(facts)}; " if row.num_unstaged else ""
    return f"{missing}{work}"
