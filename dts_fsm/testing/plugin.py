"""What reports to pytest how much of the charts a run has walked; ``pytest_dts_fsm`` registers it on demand."""

from __future__ import annotations

from typing import Any

import pytest

from dts_fsm.testing.coverage import RUN


class CoverageReport:
    """Shows what was walked, and fails a run in which too little was; the workers of pytest-xdist count together.

    Args:
        coverage: so many percent of the states, and of the transitions, of each chart that was used are asked for.
        pairs: so many percent of the pairs of transitions; those that were not walked are named. None asks for none.
    """

    def __init__(self, coverage: float = 0.0, pairs: float | None = None) -> None:
        self._least = {"states": coverage, "transitions": coverage, "pairs": pairs or 0.0}
        self._names_pairs = pairs is not None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A worker has told what it saw; the run has failed where too little was seen."""
        if (output := getattr(session.config, "workeroutput", None)) is not None:
            output["dts_fsm coverage"] = RUN.dump()
        elif session.exitstatus == pytest.ExitCode.OK and self._shortfalls(session.config):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """What a worker of pytest-xdist saw counts as well; one that crashed told nothing."""
        RUN.add(getattr(node, "workeroutput", {}).get("dts_fsm coverage", ()))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table is shown."""
        terminalreporter.section("statecharts walked")
        for line in RUN.lines(pairs=self._names_pairs):
            terminalreporter.line(line)
        for sentence in self._shortfalls(terminalreporter.config):
            terminalreporter.line(f"FAILED {sentence}", red=True)

    def _shortfalls(self, config: pytest.Config) -> list[str]:
        return [] if config.option.collectonly else RUN.shortfalls(self._least)
