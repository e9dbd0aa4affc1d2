"""How often which fault happens in a simulation."""

from __future__ import annotations

import random
from typing import Self

import attrs


def _probability(default: float) -> float:
    validator = [attrs.validators.ge(0.0), attrs.validators.le(1.0)]
    return attrs.field(default=default, validator=validator)


@attrs.frozen(kw_only=True)
class FaultPlan:
    """The probability of each fault, 0 to 1; ``FaultPlan.none()`` has none at all.

    A simulation that is given no plan takes a different one from each seed: a fault that is often there hides what
    happens only without it.

    Attributes:
        error, permanent_error, bug: a provider's call raises a TransientError, a PermanentError or something that no
            plug-in should raise, and has done nothing.
        lost_answer: the call takes effect and raises a TransientError all the same.
        hang: the call never answers; in half of the cases its effect takes place later.
        slow: the answer of a call comes late, sometimes later than the call's time-out.
        killed_before_call, killed_after_call: the process dies in the call, before or after its effect.
        move_fails: some files of a move do arrive, and the others fail for now.
        staging_fails: a staging request comes to nothing.
        stopped_halfway: a move that is canceled has moved some of its files.
        lie: a status contradicts what happened; see ``dts_fsm.testing.simulation.lies``.
        stale: a status that was told before is told again, although there is a newer one.
        silent: a status is left out of the answer.
        pause: in a turn, a provider suspends one of its moves, and goes on later.
        forget, forget_all: in a turn, a provider forgets one move, or everything it knows of moves and requests.
        vanish, change: in a turn, a source file is gone for a while, or has other content.
        sick: in a turn, every call of one provider begins to hang, for a while.
        clock_jump: in a turn, the wall clock is set back or forward by up to a minute.
        kill, stop, freeze: in a turn, a scheduling process is killed, stopped in order, or frozen for a while.
        killed_before_commit, killed_after_commit: the process dies just before or just after a commit.
        commit_fails, commit_unknown: a commit raises, and has or has not taken effect.
        frozen_in_commit: the process is frozen just before a commit, for longer than the lease, and then goes on.
        taken_away: the consumer of a payload takes the folder away soon after its manifest has appeared.
    """

    error: float = _probability(0.03)
    permanent_error: float = _probability(0.003)
    bug: float = _probability(0.007)
    lost_answer: float = _probability(0.02)
    hang: float = _probability(0.01)
    slow: float = _probability(0.05)
    killed_before_call: float = _probability(0.002)
    killed_after_call: float = _probability(0.003)
    move_fails: float = _probability(0.05)
    staging_fails: float = _probability(0.04)
    stopped_halfway: float = _probability(0.3)
    lie: float = _probability(0.02)
    stale: float = _probability(0.03)
    silent: float = _probability(0.02)
    pause: float = _probability(0.1)
    forget: float = _probability(0.05)
    forget_all: float = _probability(0.01)
    vanish: float = _probability(0.01)
    change: float = _probability(0.01)
    sick: float = _probability(0.01)
    clock_jump: float = _probability(0.04)
    kill: float = _probability(0.015)
    stop: float = _probability(0.005)
    freeze: float = _probability(0.02)
    killed_before_commit: float = _probability(0.005)
    killed_after_commit: float = _probability(0.005)
    commit_fails: float = _probability(0.005)
    commit_unknown: float = _probability(0.005)
    frozen_in_commit: float = _probability(0.005)
    taken_away: float = _probability(0.3)

    @classmethod
    def none(cls) -> Self:
        """A plan in which nothing goes wrong."""
        return cls(**dict.fromkeys((field.name for field in attrs.fields(cls)), 0.0))

    @classmethod
    def varied(cls, dice: random.Random) -> Self:
        """A plan in which some faults never happen, and some oftener than usual."""
        return cls(
            **{
                field.name: min(field.default * dice.choice((0.0, 0.5, 1.0, 1.0, 3.0)), 1.0)
                for field in attrs.fields(cls)
            }
        )


CALL_FAULTS = ("error", "permanent_error", "bug", "lost_answer", "hang", "killed_before_call", "killed_after_call")
"""Of a provider's call at most one."""

COMMIT_FAULTS = (
    "killed_before_commit",
    "killed_after_commit",
    "commit_fails",
    "commit_unknown",
    "frozen_in_commit",
)
"""Of a commit at most one."""
