"""What a replay of a history finds out: where its machines are, and where it departs from the chart."""

from __future__ import annotations

import enum
from datetime import datetime
from uuid import UUID

import attrs


class DepartureKind(enum.StrEnum):
    """What is wrong with a row of a history."""

    FORM = "form"
    ORDER = "order"
    TIME = "time"
    CREATION = "creation"
    SOURCE = "source"
    END = "end"
    STATE = "state"
    EVENT = "event"
    TRANSITION = "transition"
    MACHINE = "machine"
    STORED = "stored"


@attrs.frozen(kw_only=True)
class Departure:
    """A row of a history that cannot follow from the chart and the rows before it.

    Attributes:
        seq: the row's number in the history; None where it has none, or where a row is missing.
        operation_id: the operation that the row is about, or None for the transfer.
        machine: what the row says of itself: "transfer", or the operation's kind.
        kind: what is wrong, for programs: FORM (not a record of the history, or a value of the wrong type), ORDER (its
            number does not come after the one before), TIME (it is earlier than the row before), CREATION (a machine
            that was never created, or once more), SOURCE (it does not start from where the machine was), END (the
            machine had ended), STATE and EVENT (unknown to the chart), TRANSITION (the chart has no such one), MACHINE
            (of another transfer, or of another kind than before), STORED (the store says something else).
        reason: the same as a sentence.
    """

    seq: int | None
    operation_id: UUID | None
    machine: str
    kind: DepartureKind
    reason: str


@attrs.frozen(kw_only=True)
class Stays:
    """How long a machine was in a state, all stays together.

    Attributes:
        count: how often it came there.
        time_s: for how long; a stay that ended before it began, as the clock was set back, counts 0. The present stay
            counts up to the time that ``replay`` was given, and a final state lasts 0.
    """

    state: str
    count: int
    time_s: float


@attrs.frozen(kw_only=True)
class ReplayedMachine:
    """A machine as its history leads to it.

    Attributes:
        operation_id: the operation, or None for the transfer itself.
        machine: "transfer", or the operation's kind.
        state: where the last row leads to.
        ended: whether that is a final state of the chart.
        num_steps: how many rows it has.
        began_at, changed_at: the times of the first and of the last row, aware UTC.
        stays: how long it was in each state, in the order in which it came there first.
    """

    operation_id: UUID | None
    machine: str
    state: str
    ended: bool
    num_steps: int
    began_at: datetime
    changed_at: datetime
    stays: tuple[Stays, ...]


@attrs.frozen(kw_only=True)
class Replay:
    """What a history leads to.

    Attributes:
        machines: the transfer and its operations, in the order of their first row.
        departures: the rows that cannot follow from the chart and the rows before, in the order of the history; each
            row once. After one of them a machine is taken to be where its row says.
    """

    machines: tuple[ReplayedMachine, ...]
    departures: tuple[Departure, ...]

    @property
    def states(self) -> dict[UUID | None, str]:
        """Give the state of each machine: by operation id, None for the transfer."""
        return {machine.operation_id: machine.state for machine in self.machines}
