"""What a process does while faults befall it, and what it tells: each acknowledgement goes to a pipe at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from dts_fsm.errors import StoreError
from dts_fsm.interfaces import Endpoint
from dts_fsm.store import Admission
from dts_fsm.testing import Rig

Tell = Callable[..., None]
"""Takes a word and JSON values; what it was told is safe from any kill."""

FILES = ("a", "b", "c")
DELETE_AFTER_S = 100.0
NEVER_S = 1e6
TOGETHER = ("four", "five")
"""The keys of two transfers that are created in one commit."""

_ATTEMPTS = 6
_PATIENCE = 3
"""So many attempts of one act may fail before the fault goes away."""


class Installation(Rig):
    """A rig that tells which transitions it has published, and which submissions its provider has been given."""

    def __init__(self, folder: Path, tell: Tell) -> None:
        self._tell, self._told_seq = tell, 0
        super().__init__(folder, delete_after_s=DELETE_AFTER_S)
        for name in FILES:
            self.source.add(name, f"content of {name}".encode())
        transfer = self.source_endpoint.transfer

        def told(destination: Endpoint, files: Any, *, operation_id: UUID) -> UUID:
            tell("called", str(operation_id))
            return transfer(destination, files, operation_id=operation_id)

        self.source_endpoint.transfer = told  # type: ignore[method-assign]

    def _publish(self) -> None:
        try:
            messages, self._told_seq = self.store.messages(self._told_seq)
        except StoreError:
            return  # the next one tells of these, too
        for message in messages:
            self._tell("published", message.seq, str(message.transfer_id), message.status.code.value)


class Workload:
    """Acts on a store in a folder, one after the other; one that the store refuses is tried again.

    Args:
        tell: takes the acknowledgements.
        heal: makes the fault go away.
    """

    def __init__(self, folder: Path, tell: Tell, heal: Callable[[], None]) -> None:
        self._folder, self._tell, self._heal = folder, tell, heal
        self._rig: Installation | None = None
        self._ids: dict[str, UUID] = {}

    def run(self) -> None:
        """All acts are done, and the store is closed."""
        for act in self._acts():
            self._until_done(act)
        self._tell("done")

    def _acts(self) -> list[Callable[[], None]]:
        slow, quick = self._moves_last(NEVER_S), self._moves_last(0.0)
        return [
            self._open,
            self._tick,
            self._create("one", "a", "b"),
            *[self._tick] * 5,
            slow,
            self._create("two", "c"),
            *[self._tick] * 2,
            self._request("two", "cancel"),
            *[self._tick] * 2,
            self._create("three", "a"),
            self._tick,
            self._request("three", "suspend"),
            *[self._tick] * 2,
            self._request("three", "resume"),
            quick,
            self._tick,
            self._reopen,
            *[self._tick] * 3,
            self._prune,
            self._create_together,
            *[self._tick] * 2,
            self._close,
        ]

    def _until_done(self, act: Callable[[], None]) -> None:
        for attempt in range(_ATTEMPTS):
            if attempt == _PATIENCE:
                self._heal()
            try:
                act()
            except StoreError as error:
                self._tell("refused", type(error).__name__, str(error))
            else:
                return
        self._tell("stuck", str(act))

    @property
    def _open_rig(self) -> Installation:
        assert self._rig is not None
        return self._rig

    def _open(self) -> None:
        self._rig = Installation(self._folder, self._tell)
        self._tell("opened")

    def _tick(self) -> None:
        rig = self._open_rig
        rig.tick()
        rig.clock.advance(20.0)
        self._tell("time", rig.clock.time())

    def _moves_last(self, duration_s: float) -> Callable[[], None]:
        def act() -> None:
            self._open_rig.source_endpoint.duration_s = duration_s

        return act

    def _create(self, key: str, *file_ids: str) -> Callable[[], None]:
        def act() -> None:
            self._ids[key] = self._open_rig.create(*file_ids, key=key)
            self._tell("created", str(self._ids[key]), key, *file_ids)

        return act

    def _create_together(self) -> None:
        rig = self._open_rig
        plans = [rig.planner.plan(rig.specification("b")) for _ in TOGETHER]
        now = rig.clock.time()
        ids = rig.store.create(
            [
                Admission(change=rig.engine.admit(plan, now), plan=plan, key=key)
                for plan, key in zip(plans, TOGETHER, strict=True)
            ]
        )
        for key, id_ in zip(TOGETHER, ids, strict=True):
            self._tell("created", str(id_), key, "b")

    def _request(self, key: str, kind: Any) -> Callable[[], None]:
        def act() -> None:
            rig = self._open_rig
            if rig.store.request(self._ids[key], kind, rig.clock.time()):
                self._tell("requested", str(self._ids[key]), kind)

        return act

    def _prune(self) -> None:
        rig = self._open_rig
        rig.clock.advance(2 * DELETE_AFTER_S)
        self._tell("pruning")
        self._tell("pruned", rig.store.prune(rig.clock.time() - DELETE_AFTER_S))

    def _reopen(self) -> None:
        self._open_rig.reopen()

    def _close(self) -> None:
        self._open_rig.close()
