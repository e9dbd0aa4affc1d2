"""A tour of both charts: for each transition, a way on which the real engine was seen to take it.

The ways are searched for, not written down: from the situations that are known already each action is tried that may
make the wanted event happen, and every transition that the history shows on the way counts. So a chart or a handler
of one's own needs no more than its events do. Then pairs of transitions are looked for in the same manner; some of
those that a chart allows its guards never let happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Protocol
from uuid import UUID

import attrs

from dts_fsm.statechart import Chart
from dts_fsm.store import Store
from dts_fsm.testing.coverage import Arrow, arrows_of, pairs_of, walks

Way = tuple[str, ...]
"""The names of actions, methods that are given a transfer's id, that happen at once: before the next tick."""

Place = tuple[str, tuple[Arrow, ...]]
"""A transition of the chart "transfer" or "operation", or two that follow each other."""

_PATIENCE = 8
"""How many waits something may take to happen."""

_MOST_TRIALS = 1000
"""Some pairs cannot be reached: the search for them must end."""


@attrs.frozen
class Leg:
    """A way that has been gone, and can be gone again: the same each time.

    Attributes:
        files: what the transfer is created of.
        steps: what happens then, each time followed by so many waits.
    """

    files: tuple[str, ...]
    steps: tuple[tuple[Way, int], ...] = ()

    def __str__(self) -> str:
        steps = [
            f"{' and '.join((*way, 'wait'))} x {waits}" if waits else " and ".join(way) for way, waits in self.steps
        ]
        return ", ".join([f"create {' '.join(self.files)}", *steps])


class Traveler(Protocol):
    """A rig with everything that can be done to it."""

    def create(self, files: tuple[str, ...]) -> UUID:
        """A transfer of these files exists."""
        ...

    def wait(self) -> None:
        """One tick has happened, and where it did nothing, time has passed."""
        ...

    def check(self) -> None:
        """Everything that is promised holds."""
        ...

    def crash(self) -> None:
        """The process was killed, and another goes on."""
        ...

    def end(self) -> None:
        """Every transfer has come to its end, and everything is closed."""
        ...

    def leave(self) -> None:
        """Everything is closed, however it stands."""
        ...

    @property
    def store(self) -> Store:
        """Where the histories are."""
        ...


def go(traveler: Traveler, leg: Leg) -> UUID:
    """The traveler has gone a leg; gives the transfer with which."""
    transfer_id = traveler.create(leg.files)
    for way, waits in leg.steps:
        act(traveler, transfer_id, way)
        for _ in range(waits):
            traveler.wait()
    return transfer_id


def act(traveler: Traveler, transfer_id: UUID, way: Way) -> None:
    """The actions of a way have happened."""
    for action in way:
        getattr(traveler, action)(transfer_id)


@attrs.define(eq=False)
class Tour:
    """What a search found.

    Attributes:
        legs: for each transition and pair that was reached the leg that first did, in the order of their discovery.
        missing: the transitions and pairs that no way led to.
    """

    legs: dict[Place, Leg] = attrs.Factory(dict)
    missing: list[Place] = attrs.Factory(list)

    def lines(self) -> Iterator[str]:
        """Give each way with what it was the first to reach, and what no way led to."""
        for leg in dict.fromkeys(self.legs.values()):
            yield f"{leg}: {', '.join(words_of(place) for place, first in self.legs.items() if first == leg)}"
        yield from (f"not reached: {words_of(place)}" for place in self.missing)


def words_of(place: Place) -> str:
    """Give a place in words."""
    machine, (first, *then) = place
    return f"{machine}: {first}" + "".join(f", then -{arrow.event}-> {arrow.target}" for arrow in then)


@attrs.frozen
class _Base:
    """How things stand at the end of a leg: the machines' states, and what each of them did last."""

    states: frozenset[tuple[str, str]] = frozenset()
    last: frozenset[tuple[str, Arrow]] = frozenset()


class Search:
    """Looks for a tour.

    Args:
        guide: sends a traveler to a fresh rig in which work takes its time.
        charts: "transfer" and "operation".
        loads: the sets of files that transfers are created of.
        ways: event -> what may make it happen, the likeliest first.
        actions: what may be tried for any other event.
    """

    def __init__(
        self,
        guide: Callable[[], Traveler],
        charts: Mapping[str, Chart],
        loads: Sequence[tuple[str, ...]],
        ways: Mapping[str, Sequence[Way]],
        actions: Sequence[str],
    ) -> None:
        self._guide, self._charts, self._ways = guide, charts, ways
        self._anything: list[Way] = [(), *((action,) for action in actions)]
        self._tour = Tour()
        self._bases = {Leg(files): _Base() for files in loads}
        self._tried: set[tuple[Leg, Way]] = set()

    def transitions(self) -> Tour:
        """Give the tour of the transitions; what a traveler's check raises comes out."""
        arrows: list[Place] = [(name, (arrow,)) for name, chart in self._charts.items() for arrow in arrows_of(chart)]
        for candidates in (self._near, self._far, self._wild):
            self._look_for_all(arrows, candidates)
        return self._tour

    def pairs(self) -> Tour:
        """Give the same tour, of pairs of transitions as well."""
        pairs: list[Place] = [(name, pair) for name, chart in self._charts.items() for pair in pairs_of(chart)]
        self._look_for_all(pairs, self._next)
        return self._tour

    def _look_for_all(self, places: Sequence[Place], candidates: Callable[[Place], Iterator[tuple[Leg, Way]]]) -> None:
        found = True
        while found:
            found = False
            for place in places:
                found |= place not in self._tour.legs and self._look_for(place, candidates(place))
        before = [place for place in self._tour.missing if place not in places]
        self._tour.missing = [*before, *(place for place in places if place not in self._tour.legs)]

    def _near(self, place: Place) -> Iterator[tuple[Leg, Way]]:
        """The ways of the event, from where its source state is; and from the beginning."""
        machine, (arrow,) = place
        for leg, base in list(self._bases.items()):
            if not leg.steps or (machine, arrow.source) in base.states:
                yield from ((leg, way) for way in self._ways_of(arrow))

    def _far(self, place: Place) -> Iterator[tuple[Leg, Way]]:
        """The ways of the event, from anywhere: what happens at once may pass through the source state."""
        for leg in list(self._bases):
            yield from ((leg, way) for way in self._ways_of(place[1][0]))

    def _wild(self, place: Place) -> Iterator[tuple[Leg, Way]]:
        """Anything at all, from where the source state is."""
        machine, (arrow,) = place
        for leg, base in list(self._bases.items()):
            if (machine, arrow.source) in base.states:
                yield from ((leg, way) for way in self._anything)

    def _next(self, place: Place) -> Iterator[tuple[Leg, Way]]:
        """The ways of the second event, from where the first was the last to happen."""
        machine, (first, second) = place
        for leg, base in list(self._bases.items()):
            if (machine, first) in base.last:
                yield from ((leg, way) for way in self._ways_of(second))

    def _ways_of(self, arrow: Arrow) -> Sequence[Way]:
        return self._ways.get(arrow.event, self._anything)

    def _look_for(self, place: Place, candidates: Iterator[tuple[Leg, Way]]) -> bool:
        before = len(self._tour.legs)
        for leg, way in candidates:
            if (leg, way) in self._tried or len(self._tried) >= _MOST_TRIALS:
                continue
            self._tried.add((leg, way))
            self._try(leg, way, place)
            if place in self._tour.legs:
                break
        return len(self._tour.legs) > before

    def _try(self, leg: Leg, way: Way, wanted: Place) -> None:
        traveler = self._guide()
        gone = leg
        try:
            transfer_id = go(traveler, leg)
            self._note(traveler.store, transfer_id, leg)
            act(traveler, transfer_id, way)
            for waits in range(1, _PATIENCE + 1):
                gone = Leg(leg.files, (*leg.steps, (way, waits)))
                traveler.wait()
                traveler.check()
                self._note(traveler.store, transfer_id, gone)
                if wanted in self._tour.legs:
                    traveler.end()
                if wanted in self._tour.legs or traveler.store.status(transfer_id).final:
                    return
        except Exception as error:
            error.add_note(f"on the tour: {gone}")
            raise
        finally:
            traveler.leave()

    def _note(self, store: Store, transfer_id: UUID, leg: Leg) -> None:
        """What this leg was the first to reach is its own."""
        walked = {
            (operation_id, "transfer" if operation_id is None else "operation"): walk
            for operation_id, walk in walks(store.history(transfer_id)).items()
        }
        reached: list[Place] = []
        for (_, machine), walk in walked.items():
            reached += [(machine, (arrow,)) for arrow in walk]
            reached += [(machine, pair) for pair in pairwise(walk)]
        if new := [place for place in reached if place not in self._tour.legs]:
            self._tour.legs.update(dict.fromkeys(new, leg))
            operations = store.operations(store.rowid(transfer_id))
            self._bases[leg] = _Base(
                frozenset(
                    {("transfer", store.status(transfer_id).code.value)}
                    | {("operation", operation.state) for operation in operations}
                ),
                frozenset((machine, walk[-1]) for (_, machine), walk in walked.items() if walk),
            )
