"""Rules of transfers as a Hypothesis state machine: a tour of the charts first, then walks at random from its places.

A host derives a class, says what is its own, and has a test::

    class MyRules(TransferRules):
        def make_handlers(self, places):
            return {"mover": MyMover(places)}

    TestMyRules = MyRules.TestCase

The engine, the scheduler and the SQLite store are the real ones; the process is killed between any two steps.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from types import TracebackType
from typing import Any, ClassVar, Literal
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from dts_fsm.errors import PermanentError, TransientError
from dts_fsm.records import StagingStatus
from dts_fsm.statechart import Chart
from dts_fsm.testing.actions import WORK_S, TransferActions
from dts_fsm.testing.coverage import arrows_of
from dts_fsm.testing.tour import Leg, Search, Tour, Way, act, go, words_of

_VERBS = ("submit", "poll", "cancel", "submit answer", "poll answer", "cancel answer")
_METHODS = ("stage_files", "staging_status", "finalize")
_KILL_EVERY = 4
"""Waits between two crashes: a move that was lost in one arrives before the next."""

_KILLED_WAITS = 40


class TransferRules(TransferActions, RuleBasedStateMachine):
    """The real engine, scheduler and store, and what must hold whatever users, providers and crashes do.

    Before the first walk, transfers of each load are left alone, and must succeed, with crashes too; and are left in
    trouble, and must end. Then a tour looks for a way to each transition of both charts, asks on the way whether
    everything promised holds, and goes each way twice more with a crash after every step. Each walk begins at the end
    of one of these ways. In the end of everything the providers work again, or hang for good: every transfer must end.

    Attributes:
        variants: settings of which each walk has one; the tour has the first.
        loads: the sets of files that transfers are created of.
        troubles: what is done to transfers that are then left to themselves.
        beyond_reach: the transitions that no way leads to, in the words of the error that names them.
    """

    variants: ClassVar[Sequence[Mapping[str, Any]]] = ({"partial": "fail"}, {"partial": "keep"})
    loads: ClassVar[Sequence[tuple[str, ...]]] = (("a",), ("tape",), ("a", "b", "meta", "tape"), ("meta",))
    troubles: ClassVar[Sequence[Way]] = (("calls_keep_failing",), ("file_vanishes",))
    beyond_reach: ClassVar[frozenset[str]] = frozenset()

    transfers = Bundle("transfers")

    # The tour

    @classmethod
    def take_tour(cls) -> Tour:
        """Give the tour of the charts; it is taken once.

        Raises:
            AssertionError: something promised does not hold on the way; or the transitions that no way leads to are
                others than those that are said to be beyond reach.
        """
        taken = _taken(cls)
        if isinstance(taken, Tour):
            return taken
        # the same each time, so that nobody takes it for chance
        raise taken[0].with_traceback(taken[1])

    @classmethod
    def _travel(cls) -> TransferRules:
        rules = cls()
        rules.begin(**cls.variants[0])
        rules.rig.source_endpoint.duration_s = rules.rig.source.staging_duration_s = WORK_S
        return rules

    @classmethod
    def _search(cls) -> Tour:
        for files in cls.loads:
            cls._leave_alone(files)
            cls._leave_in_trouble(files)
        rules = cls._travel()
        charts = {"transfer": rules.rig.transfer_chart, "operation": rules.rig.operation_chart}
        rules.leave()
        search = Search(cls._travel, charts, cls.loads, cls.ways, _actions(cls.ways))
        cls._every_transition_is_reached(tour := search.transitions())
        for leg in dict.fromkeys(leg for (_, arrows), leg in tour.legs.items() if len(arrows) == 1):
            for before_calls in (False, True):
                rules = cls._travel()
                try:
                    rules.stumble(leg, before_calls=before_calls)
                except Exception as error:
                    error.add_note(f"on the tour, with a crash after every step: {leg}")
                    raise
                finally:
                    rules.leave()
        return search.pairs()

    @classmethod
    def _every_transition_is_reached(cls, tour: Tour) -> None:
        missing = {words_of(place) for place in tour.missing}
        try:
            assert missing == cls.beyond_reach
        except AssertionError as error:
            error.add_note(f"on the tour: what no way leads to is {sorted(missing)}")
            raise

    @classmethod
    def _leave_alone(cls, files: tuple[str, ...]) -> None:
        regularly = [range(first, _KILLED_WAITS, _KILL_EVERY) for first in range(_KILL_EVERY)]
        for kills, before_calls in [((), False), *((kills, early) for kills in regularly for early in (False, True))]:
            rules = cls()
            rules.begin(**cls.variants[0])
            try:
                rules.left_alone(files, kills, before_calls=before_calls)
            except Exception as error:
                error.add_note(f"left alone{', with crashes' if kills else ''}: create {' '.join(files)}")
                raise
            finally:
                rules.leave()

    @classmethod
    def _leave_in_trouble(cls, files: tuple[str, ...]) -> None:
        for trouble, variant in product(cls.troubles, cls.variants):
            rules = cls()
            rules.begin(**variant)
            try:
                rules.left_in_trouble(files, trouble)
            except Exception as error:
                what = f"create {' '.join(files)}, {' and '.join(trouble)}, with {dict(variant)}"
                error.add_note(f"left in trouble: {what}")
                raise
            finally:
                rules.leave()

    def stumble(self, leg: Leg, *, before_calls: bool) -> None:
        """A leg of the tour was gone with a crash after every step, and the transfer has ended.

        Args:
            before_calls: each crash was between a commit and its calls, and in the end the providers hang.
        """
        transfer_id = self.create(leg.files)
        for way, waits in leg.steps:
            act(self, transfer_id, way)
            for _ in range(waits):
                self.crash(before_calls=before_calls)
                self.wait()
                self.check()
        self.hangs = before_calls
        self.end()

    @initialize(data=st.data(), hangs=st.booleans())
    def start(self, data: Any, hangs: bool) -> None:
        """A walk begins where a leg of the tour ends."""
        legs = list(dict.fromkeys(self.take_tour().legs.values()))
        variant = data.draw(st.sampled_from(self.variants), label="settings")
        leg = data.draw(st.sampled_from(legs), label="leg")
        self.begin(**variant)
        self.hangs = hangs
        self.rig.source_endpoint.duration_s = self.rig.source.staging_duration_s = WORK_S
        go(self, leg)

    # The walks

    def _live(self) -> list[UUID]:
        return [transfer_id for transfer_id in self.promises.ids if not self.store.status(transfer_id).final]

    @precondition(lambda self: self._live())
    @rule(data=st.data(), waits=st.integers(1, 6))
    def a_transfer_goes_on(self, data: Any, waits: int) -> None:
        """One of the events that its chart has in its present state is made to happen."""
        transfer_id = data.draw(st.sampled_from(self._live()), label="transfer")
        self._step(data, transfer_id, self.rig.transfer_chart, [self.store.status(transfer_id).code.value], waits)

    @precondition(lambda self: self._live())
    @rule(data=st.data(), waits=st.integers(1, 6))
    def an_operation_goes_on(self, data: Any, waits: int) -> None:
        """One of the events that its chart has in its present state is made to happen."""
        transfer_id = data.draw(st.sampled_from(self._live()), label="transfer")
        states = [operation.state for operation in self.store.operations(self.store.rowid(transfer_id))]
        self._step(data, transfer_id, self.rig.operation_chart, states, waits)

    def _step(self, data: Any, transfer_id: UUID, chart: Chart, states: Sequence[str], waits: int) -> None:
        arrows = [arrow for arrow in arrows_of(chart) if arrow.source in states]
        # an end ends the walk of its machine: what goes on is likelier
        going_on = [arrow for arrow in arrows if not chart.state(arrow.target).final]
        if arrows:
            arrow = data.draw(st.sampled_from(going_on * 3 + arrows), label="transition")
            ways = self.ways.get(arrow.event, [(action,) for action in _actions(self.ways)])
            act(self, transfer_id, data.draw(st.sampled_from(ways), label="way"))
        for _ in range(waits):
            self.wait()

    @rule(target=transfers, data=st.data())
    def a_transfer_is_created(self, data: Any) -> UUID:
        """There is one more."""
        return self.create(data.draw(st.sampled_from(self.loads), label="files"))

    @rule(times=st.integers(1, 4))
    def ticks(self, times: int) -> None:
        """The scheduler works."""
        self.rig.tick(times)

    @rule(seconds=st.sampled_from([0.01, 1.0, 60.0, 3600.0, 100_000.0]))
    def time_passes(self, seconds: float) -> None:
        """Nobody does anything for a while."""
        self.rig.clock.advance(seconds)

    @rule(transfer_id=transfers, kind=st.sampled_from(["cancel", "suspend", "resume", "suspend", "resume"]))
    def a_user_asks(self, transfer_id: UUID, kind: Literal["cancel", "suspend", "resume"]) -> None:
        """Anything, in any state."""
        self._ask(transfer_id, kind)

    @rule(verb=st.sampled_from(_VERBS), error=st.sampled_from(["not now", "never", "oops"]), times=st.integers(1, 3))
    def calls_go_wrong(self, verb: str, error: str, times: int) -> None:
        """The call is not made, or its answer is lost."""
        self.rig.calls.faults.add(verb, _error(error), times)

    @rule(method=st.sampled_from(_METHODS), error=st.sampled_from(["not now", "never", "oops"]))
    def the_source_database_errs(self, method: str, error: str) -> None:
        """It is asked, and raises."""
        self.rig.source.faults.add(method, _error(error))

    @rule(seconds=st.sampled_from([0.0, 5.0, WORK_S]))
    def moves_take(self, seconds: float) -> None:
        """So long, from now on."""
        self.rig.source_endpoint.duration_s = seconds

    @rule(result=st.sampled_from([StagingStatus.SUCCEEDED, StagingStatus.FAILED, StagingStatus.UNKNOWN]))
    def staging_comes_to(self, result: StagingStatus) -> None:
        """This, from now on."""
        self.rig.source.staging_result = result

    @rule(paused=st.booleans())
    def the_provider_suspends_or_goes_on(self, paused: bool) -> None:
        """With all moves."""
        for move in self.rig.source_endpoint.transfers():
            self.rig.source_endpoint.pause(move, paused)

    @rule(content=st.sampled_from([b"content of a", b"content of X", b"short", None]))
    def a_source_file_changes(self, content: bytes | None) -> None:
        """It is as it was, or other, or gone."""
        if content is None:
            self.rig.source_endpoint.files.pop("a", None)
        else:
            self.rig.source_endpoint.put("a", content)

    @rule(before_calls=st.booleans())
    def the_process_is_killed(self, before_calls: bool) -> None:
        """And another goes on."""
        self.crash(before_calls=before_calls)

    @invariant()
    def everything_promised_holds(self) -> None:
        """See ``Promises``."""
        self.check()

    def teardown(self) -> None:
        """Every transfer has ended, unless something has failed already."""
        if not hasattr(self, "rig"):
            return
        try:
            if sys.exc_info()[0] is None:
                self.end()
        finally:
            self.leave()


def _error(kind: str) -> Exception:
    return {"not now": TransientError(kind), "never": PermanentError(kind)}.get(kind, ZeroDivisionError(kind))


@cache
def _taken(rules: type[TransferRules]) -> Tour | tuple[Exception, TracebackType | None]:
    try:
        return rules._search()
    except Exception as error:
        return error, error.__traceback__


def _actions(ways: Mapping[str, Sequence[Way]]) -> tuple[str, ...]:
    """The names of all actions that ways are made of."""
    return tuple(dict.fromkeys(action for alternatives in ways.values() for way in alternatives for action in way))
