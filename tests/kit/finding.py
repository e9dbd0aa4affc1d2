"""What finds a defect: the rules of transfers, or a test of a conformance suite; and in which of their parts."""

from __future__ import annotations

import contextlib
import inspect
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from dts_fsm.records import FileState, TransferStatusCode
from dts_fsm.store import SqliteStore
from dts_fsm.testing import Coverage, HandlerSuite, StoreSuite, TransferRules, rules
from dts_fsm.testing import actions as actions_module
from dts_fsm.testing.store_rows import LEASE_S, NOW
from tests.conformance.test_handler_suite import Site

BUDGET = settings(
    max_examples=40,
    stateful_step_count=25,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],  # a finding is enough, the smallest one is not looked for
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
"""Less than the default of Hypothesis, which is what a host has."""

Found = tuple[str, str]
"""When or where, and by which promise or test."""


def by_rules(own: dict[str, Any], patch: pytest.MonkeyPatch) -> Found | None:
    """Run the rules with these attributes of a class; what they walk is not counted."""
    patch.setattr(actions_module, "RUN", Coverage())
    try:
        run_state_machine_as_test(type("Rules", (TransferRules,), own), settings=BUDGET)
    except Exception as error:
        notes = [note.partition(": ")[0] for note in getattr(error, "__notes__", ())]
        when = [note for note in notes if note.startswith(("left ", "on the tour"))]
        ours = {Path(module.__file__ or "") for module in (rules, actions_module)} | {_PROMISES}
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) in ours]
        return when[0] if when else "on a walk", _words(frames[-1].name)
    return None


_PROMISES = Path(inspect.getfile(actions_module.Promises))


def by_suites(own: dict[str, Any]) -> Found | None:
    """Run the suite of handlers for a mover of one's own, else that of stores; each test has fresh fixtures."""
    for suite, fixtures in ((HandlerSuite, _movers(own)),) if own else ((StoreSuite, _stores),):
        for name, test in inspect.getmembers(suite, inspect.isfunction):
            wanted = [parameter for parameter in inspect.signature(test).parameters if parameter != "self"]
            if name.startswith("test_"):
                with tempfile.TemporaryDirectory() as folder, fixtures(Path(folder)) as given:
                    if set(wanted) <= set(given):  # a test with cases of its own is left to pytest
                        try:
                            test(suite(), **{one: given[one] for one in wanted})
                        except (Exception, pytest.fail.Exception):
                            return suite.__name__, _words(name)
    return None


@contextlib.contextmanager
def _stores(folder: Path) -> Iterator[dict[str, Any]]:
    opened: list[SqliteStore] = []

    def open_store() -> SqliteStore:
        opened.append(SqliteStore(folder / "dts.db"))
        return opened[-1]

    assert open_store().acquire_lease(NOW, LEASE_S)
    try:
        yield {"store": opened[0], "open_store": open_store}
    finally:
        for store in opened:
            store.close()


def _movers(own: dict[str, Any]) -> Callable[[Path], contextlib.AbstractContextManager[dict[str, Any]]]:
    @contextlib.contextmanager
    def movers(folder: Path) -> Iterator[dict[str, Any]]:
        site = Site(folder)

        def moved() -> object:
            return sorted(site.archive.files), len(site.disk.transfers())

        case = site.case(
            lambda: own["make_handlers"](None, site.places)["mover"],
            TransferStatusCode.ACTIVE,
            moved,
            a=FileState.PENDING,
            b=FileState.STAGED,
        )
        yield {"case": case, "operation": case.operation(case.handler.begin(case.transfer)[0])}

    return movers


def _words(name: str) -> str:
    return name.strip("_").removeprefix("test_").replace("_", " ")
