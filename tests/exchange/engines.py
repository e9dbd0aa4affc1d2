"""Engines that run the same charts: ours, python-statemachine and XState, with one way to ask all of them.

``walk`` fires every sequence of events, up to a length, and notes each that does something, with the state that is
reached and the callback that is called: ``"active mover.begin"``. An idle event leaves an engine where it was, so that
a sequence ends where it ends without its idle events: those without any are walked, and ``predicted`` tells all others
from them. Nothing is taken on trust for it: at each place every idle event is really fired, the walk goes on with the
very engine that it was fired at, and tests run every sequence by itself, in python-statemachine the short ones.
"""

from __future__ import annotations

import contextlib
import io
import json
import select
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import attrs
from statemachine.io import load

from dts_fsm.errors import IllegalTransitionError
from dts_fsm.statechart import Chart, StateMachine
from dts_fsm.statechart.exchange import to_scxml, to_xstate

NODE = Path(__file__).parent / "node"

Reached = dict[str, str]
"""What each sequence of events, with spaces between, leads to."""

Round = tuple[str, frozenset[str]]
"""An event, and the guards that agree when it is fired."""

_ANSWER_TIMEOUT_S = 300.0

_ID = UUID(int=7)


class Run(Protocol):
    """One run of an engine, from the chart's beginning."""

    def fire(self, event: str, agreeing: frozenset[str]) -> str:
        """Give what the event led to, "" for nothing."""


@attrs.define
class Here:
    """A run of our own machine."""

    machine: StateMachine
    state: str
    agreeing: frozenset[str] = frozenset()
    entered: list[str] = attrs.field(factory=list)
    id: UUID = _ID

    def fire(self, event: str, agreeing: frozenset[str]) -> str:
        before, self.agreeing, self.entered = self.state, agreeing, []
        with contextlib.suppress(IllegalTransitionError):
            self.machine.fire(self, event)
        return _outcome(before, self.state, self.entered)


def here(chart: Chart) -> Callable[[], Run]:
    """Give what begins a run of the chart in our own engine."""

    def guard(name: str) -> Callable[[Here], bool]:
        return lambda run: name in run.agreeing

    def callback(name: str) -> Callable[[Here], None]:
        return lambda run: run.entered.append(name)

    machine = StateMachine(
        chart,
        callbacks={state.enter: callback(state.enter) for state in chart.states if state.enter},
        guards={found.name: guard(found.name) for found in chart.guards},
    )
    return lambda: Here(machine, chart.initial)


class Data:
    """Where python-statemachine keeps a document's data items: the guards."""


class Elsewhere:
    """A run of python-statemachine, which has loaded our SCXML."""

    def __init__(self, kind: Any, chart: Chart) -> None:
        self._guards = [guard.name for guard in chart.guards]
        self._model = Data()
        with contextlib.redirect_stdout(io.StringIO()):  # the first state's log
            self._machine = kind(model=self._model)

    def fire(self, event: str, agreeing: frozenset[str]) -> str:
        for name in self._guards:
            setattr(self._model, name, name in agreeing)
        before = self._state()
        with contextlib.redirect_stdout(io.StringIO()) as logged:
            self._machine.send(event)
        return _outcome(before, self._state(), [line[len("enter: '") : -1] for line in logged.getvalue().splitlines()])

    def _state(self) -> str:
        (state,) = self._machine.configuration
        return str(state.id)


def elsewhere(chart: Chart, text: str | None = None) -> Callable[[], Run]:
    """Give what begins a run of the chart in python-statemachine, or of another SCXML document."""
    kind = load(to_scxml(chart) if text is None else text, format="scxml")
    return lambda: Elsewhere(kind, chart)


def walk(begin: Callable[[], Run], events: Sequence[str], agreeing: frozenset[str], length: int) -> Reached:
    """Give what is reached by each sequence in which every event does something."""
    reached: Reached = {}

    def below(path: tuple[str, ...], run: Run) -> None:
        for event in events:
            outcome = run.fire(event, agreeing)
            if outcome:
                longer = (*path, event)
                reached[" ".join(longer)] = outcome
                if len(longer) < length:
                    below(longer, run)
                run = begin()
                for earlier in path:
                    run.fire(earlier, agreeing)

    below((), begin())
    return reached


def predicted(reached: Reached, events: Iterable[str]) -> list[str]:
    """Give what ``follow`` gives, for guards that stay as they are, from what ``walk`` has reached."""
    path: tuple[str, ...] = ()
    outcomes = []
    for event in events:
        outcome = reached.get(" ".join((*path, event)), "")
        path = (*path, event) if outcome else path
        outcomes.append(outcome)
    return outcomes


def follow(begin: Callable[[], Run], rounds: Iterable[Round]) -> list[str]:
    """Give what each event does in turn, while the guards change."""
    run = begin()
    return [run.fire(event, agreeing) for event, agreeing in rounds]


class XState:
    """XState in one process of Node, which is asked again and again."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", str(NODE / "walk.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def walk(self, chart: Chart, agreeing: frozenset[str], length: int, *, text: str | None = None) -> Reached:
        """Do what ``walk`` does, with the chart's export or another text."""
        return dict(self._ask("walk", chart, text, agreeing=sorted(agreeing), events=chart.events, length=length))

    def every(self, chart: Chart, agreeing: frozenset[str], length: int, reached: Reached) -> tuple[int, list[Any]]:
        """Give how many sequences there are, each of them run, and those that do not do what ``reached`` tells."""
        rest = {"agreeing": sorted(agreeing), "events": chart.events, "length": length, "reached": reached}
        answer = self._ask("every", chart, None, **rest)
        return answer["sequences"], answer["wrong"]

    def follow(self, chart: Chart, rounds: Iterable[Round]) -> list[str]:
        """Do what ``follow`` does."""
        return list(self._ask("follow", chart, None, rounds=[(event, sorted(agreeing)) for event, agreeing in rounds]))

    def close(self) -> None:
        """The process has ended."""
        self._process.communicate(timeout=_ANSWER_TIMEOUT_S)

    def _ask(self, question: str, chart: Chart, text: str | None, **rest: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        machine = json.loads(to_xstate(chart) if text is None else text)
        guards = [guard.name for guard in chart.guards]
        request = {"question": question, "machine": machine, "guards": guards, **rest}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], _ANSWER_TIMEOUT_S)
        assert ready, f"no answer from Node in {_ANSWER_TIMEOUT_S:g} s"
        answer = self._process.stdout.readline()
        assert answer, "Node has ended: see its message on standard error"
        return json.loads(answer)


def missing() -> str:
    """Say why XState cannot run here, "" where it can."""
    if shutil.which("node") is None:
        return "XState needs Node: apt-get install nodejs npm, then tests/exchange/node/install"
    if not (NODE / "node_modules" / "xstate").is_dir():
        return "XState is not installed: run tests/exchange/node/install"
    return ""


def assignments(chart: Chart) -> list[frozenset[str]]:
    """Give every set of guards that may agree at once."""
    found = [frozenset[str]()]
    for guard in chart.guards:
        found += [agreeing | {guard.name} for agreeing in found if not agreeing & set(guard.excludes)]
    return found


def largest_assignments(chart: Chart) -> list[frozenset[str]]:
    """Give the sets of guards to which no other could be added: with these, every transition is taken by some walk."""
    every = assignments(chart)
    return [agreeing for agreeing in every if not any(agreeing < more for more in every)]


def num_sequences(chart: Chart, length: int) -> int:
    """Give the number of sequences of events, up to a length, for one set of guards."""
    return sum(len(chart.events) ** events for events in range(1, length + 1))


def _outcome(before: str, after: str, called: Sequence[str]) -> str:
    return "" if before == after and not called else " ".join((after, *called))
