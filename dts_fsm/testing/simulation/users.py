"""The users of a simulation: they create, repeat, cancel, suspend, resume and retry, at any moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeVar
from uuid import UUID

import attrs

from dts_fsm.config import Config
from dts_fsm.engine import Engine
from dts_fsm.errors import DtsError, IdempotencyConflictError, NothingToRetryError, StoreError, TransientError
from dts_fsm.planner import Planner
from dts_fsm.records import Plan, Specification, User
from dts_fsm.store import Admission
from dts_fsm.testing.rig import ORCID
from dts_fsm.testing.simulation.fate import Died, Fate
from dts_fsm.testing.simulation.process import Observer, SimulatedStore
from dts_fsm.testing.simulation.world import World

T = TypeVar("T")

_USER = User(name="Ada", orcid=ORCID)


class Confidant(Observer, Protocol):
    """Who is told, beside what is written, of what users were promised."""

    def promised(self, transfer_id: UUID, key: str | None, specification: Specification) -> None:
        """A user was given the id of a transfer."""
        ...

    def asked(self, transfer_id: UUID, kind: str) -> None:
        """A user's request was accepted."""
        ...


@attrs.define(eq=False)
class _Wish:
    """A transfer that a user wants until an id has come back."""

    specification: Specification
    key: str | None


class _Planner(Planner):
    """The real planner; it asks in the thread of the caller, because there is no other in a simulation."""

    def plans(self, specifications: Sequence[Specification]) -> list[Plan]:
        """See ``Planner``."""
        for specification in specifications:
            self._check_request(specification)
        return [self._plan(specification, _at_once) for specification in specifications]


def _at_once(place: str, question: Callable[[], T]) -> T:  # noqa: ARG001 - the planner's way to ask
    return question()


class Users:
    """All users, who share one client process that schedules nothing.

    Args:
        transfers: how many they want in all.
        store_file: the store's file.
        engine: admits transfers; never decides.

    Attributes:
        ids: the transfers that they know of, oldest first.
        left: how many transfers they still want.
    """

    def __init__(
        self,
        transfers: int,
        store_file: Path,
        engine: Engine,
        config: Config,
        world: World,
        confidant: Confidant,
    ) -> None:
        self.left = transfers
        self.ids: list[UUID] = []
        self._keyed: list[_Wish] = []
        self._again: list[_Wish] = []
        self._file, self._engine, self._world, self._confidant = store_file, engine, world, confidant
        self._planner = _Planner(config, world.databases, world.endpoints)
        self._fate: Fate = world.fate
        self.store = self._opened()

    def _opened(self) -> SimulatedStore:
        return SimulatedStore(self._file, "client", self._fate, self._confidant)

    # Creating

    def turn(self) -> None:
        """Some of them do something."""
        dice = self._fate.dice
        if self.left or self._again:
            for _ in range(min(dice.choice((0, 0, 1, 1, 2, 5)), self.left + len(self._again))):
                self._create()
        if self._keyed and dice.random() < 0.05:
            self._repeat()
        for _ in range(dice.choice((0, 0, 1, 2)) if self.ids else 0):
            self._ask(dice.choice(self.ids), dice.choice(("cancel", "suspend", "suspend", "resume", "resume")))
        if self.ids and dice.random() < 0.05:
            self._retry(dice.choice(self.ids))

    def create_rest(self) -> None:
        """They want what they still want at once."""
        while self.left or self._again:
            self._create()

    def _create(self) -> None:
        if self._again:
            wish = self._again.pop()
        else:
            self.left -= 1
            wish = self._wish()
        try:
            transfer_id = self._created(wish)
        except Died:
            self._die()
        except StoreError as error:
            self._fate.trace.note(f"client: {error}")
        except TransientError:
            self._again.append(wish)
            return
        else:
            self._promised(transfer_id, wish)
            return
        # whether it was stored the user does not know: with a key it is safe to ask again
        if wish.key is not None:
            self._again.append(wish)

    def _wish(self) -> _Wish:
        dice, world = self._fate.dice, self._world
        source = dice.choice(list(world.sources))
        files = world.sources[source]
        specification = Specification(
            source=source,
            destination=dice.choice(world.destinations),
            file_ids=dice.sample(files, dice.randint(1, min(4, len(files)))),
            user=_USER,
        )
        return _Wish(specification, f"key {dice.getrandbits(64):x}" if dice.random() < 0.6 else None)

    def _created(self, wish: _Wish) -> UUID:
        """The same steps as the orchestrator's ``create``."""
        if wish.key is not None and (known := self.store.keyed(wish.key)) is not None:
            if known[1] != wish.specification:
                raise IdempotencyConflictError(wish.key, known[0])
            return known[0]
        plan = self._planner.plan(wish.specification)
        change = self._engine.admit(plan, self._fate.clock.time())
        return self.store.create([Admission(change=change, plan=plan, key=wish.key)])[0]

    def _promised(self, transfer_id: UUID, wish: _Wish) -> None:
        if transfer_id not in self.ids:
            self.ids.append(transfer_id)
        if wish.key is not None and wish not in self._keyed:
            self._keyed.append(wish)
        self._confidant.promised(transfer_id, wish.key, wish.specification)

    def _repeat(self) -> None:
        """Somebody whose answer was lost asks again with the same key."""
        wish = self._fate.dice.choice(self._keyed)
        self._fate.trace.note("a client repeats a create with its key")
        self._again.append(wish)
        self._create()

    def _die(self) -> None:
        self.store.kill()
        self.store = self._opened()

    # What they ask of transfers

    def _ask(self, transfer_id: UUID, kind: Literal["cancel", "suspend", "resume"]) -> None:
        if self.store.request(transfer_id, kind, self._fate.clock.time()):
            self._fate.trace.note(f"a user asks: {kind} {self._fate.trace.transfer(transfer_id)}")
            self._confidant.asked(transfer_id, kind)

    def resume_some(self) -> None:
        """Half of those who may have suspended their transfers resume them."""
        for transfer_id in self.ids:
            if self._fate.dice.random() < 0.5:
                self._ask(transfer_id, "resume")

    def _retry(self, transfer_id: UUID) -> None:
        """The same steps as the orchestrator's ``retry``."""
        try:
            record = self.store.transfer(transfer_id)
            if record.status.code != "failed" or record.retried_by is not None:
                return
            arrived = {file.id for file in self.store.files(self.store.rowid(transfer_id)) if file.state.arrived}
            left = tuple(id_ for id_ in record.specification.file_ids if id_ not in arrived)
            specification = attrs.evolve(record.specification, file_ids=left or record.specification.file_ids)
            plan = self._planner.plan(specification)
            change = self._engine.admit(plan, self._fate.clock.time())
            created = self.store.create([Admission(change=change, plan=plan, retry_of=transfer_id)])[0]
        except Died:
            self._die()
        except (StoreError, NothingToRetryError, DtsError) as error:
            self._fate.trace.note(f"client: {self._fate.trace.plain(str(error))}")
        else:
            self._fate.trace.note(f"a user retries {self._fate.trace.transfer(transfer_id)}")
            self._promised(created, _Wish(specification, None))
