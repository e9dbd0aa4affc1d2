"""What the oracle knows of transfers and operations, from what it has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

import attrs

from dts_fsm.testing.simulation.invariants import Replayed


@attrs.define(eq=False)
class Violation:
    """The first invariant that did not hold, and what contradicts it."""

    invariant: Callable[..., str | None]
    complaint: str


@attrs.define(eq=False)
class SeenOperation:
    """What the oracle knows of an operation."""

    name: str
    uuid: UUID
    owner: SeenTransfer
    machine: Replayed = attrs.Factory(Replayed)
    generation: int = 0
    looked_at: tuple[object, ...] = ()


@attrs.define(eq=False)
class SeenTransfer:
    """What the oracle knows of a transfer.

    Attributes:
        endpoint, folder: where its payload goes.
        contents: path at the destination -> the right content.
        canceled_at: the number of ticks that had begun when its cancellation was accepted, or None.
        resume_asked: whether its user has asked for it since the suspension was taken up.
        ended: what must not change any more, once it has ended.
        manifest: what was delivered, or None.
        unknowable: whether nobody can know, once a consumer has taken the payload away, that the manifest had been
            delivered: there is no file beside it; or an earlier delivery was abandoned; or its provider had forgotten
            it, and its answer was lost or it is submitted by a process that is not the scheduler any more.
    """

    id: UUID
    name: str
    rowid: int
    endpoint: str
    folder: str
    contents: Mapping[str, bytes]
    machine: Replayed = attrs.Factory(Replayed)
    operations: dict[int, SeenOperation] = attrs.Factory(dict)
    promised: bool = False
    wanted: str = ""
    cancel_asked: bool = False
    canceled_at: int | None = None
    resume_asked: bool = False
    ended: tuple[object, ...] | None = None
    manifest: bytes | None = None
    unknowable: bool = False
