"""What a simulation comes to: a report, or an error that tells how to see it again."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import attrs

from dts_fsm.testing.simulation.invariants import guarantee_of
from dts_fsm.testing.simulation.seen import Violation
from dts_fsm.testing.simulation.trace import Trace

_SHOWN_LINES = 60


@attrs.frozen(kw_only=True)
class Report:
    """What happened in a simulation in which every invariant held.

    Attributes:
        transfers: how many were stored, retries and those of clients that died included.
        ticks: how often a scheduler ticked.
        crashes: how many scheduling processes were killed.
        checks: after how many commits the oracle looked.
        simulated_s: how long it lasted by the simulated clock.
        faults: how often each fault happened, by the names in ``FaultPlan``.
        ends: how many transfers ended how, "failed: deadline" for example.
        lines, digest: of the trace; the same seed gives the same.
    """

    seed: int
    transfers: int
    ticks: int
    crashes: int
    checks: int
    simulated_s: float
    faults: Mapping[str, int]
    ends: Mapping[str, int]
    lines: int
    digest: str


class InvariantViolated(AssertionError):  # noqa: N818 - it says what has happened
    """An invariant did not hold.

    Attributes:
        seed: of the simulation.
        step: the number of the trace's last line.
        invariant: the name of the function that says what must hold.
        complaint: what contradicts it.
        trace: all lines up to then.
        file: where the whole trace was written.
    """

    def __init__(self, seed: int, trace: Trace, violation: Violation, replay: str) -> None:
        self.seed, self.step, self.trace = seed, len(trace.lines), tuple(trace.lines)
        self.invariant, self.complaint = violation.invariant.__name__, trace.plain(violation.complaint)
        sentence = (violation.invariant.__doc__ or "").partition("\n")[0]
        self.file = Path(tempfile.gettempdir()) / f"dts-simulation-{seed}.txt"
        head = (
            f"seed {seed}, line {self.step}: {self.invariant}\n"
            f"  it must hold that: {sentence}\n"
            f"  which is part of:  {guarantee_of(violation.invariant)}\n"
            f"  but:               {self.complaint}\n"
            f"  again:             {replay}\n"
        )
        self.file.write_text(head + "\n".join(self.trace) + "\n", encoding="utf-8")
        last = "\n".join(self.trace[-_SHOWN_LINES:])
        super().__init__(f"{head}  the whole trace:   {self.file}\n{last}")
