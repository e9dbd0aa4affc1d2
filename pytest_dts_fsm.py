"""The plug-in for pytest that comes with dts_fsm: fixtures, and how much of the statecharts a run has walked.

pytest imports it in every run wherever the package is installed. So it stands beside the package, which takes a while
to import, and imports it when something of it is asked for; what reports is in ``dts_fsm.testing.plugin``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dts_fsm.testing import ManualClock, Rig

_OPTIONS = {
    "coverage": "show how much of the charts was walked; fail unless PERCENT of the states and of the transitions of "
    "each chart that was used were",
    "pairs": "show which pairs of transitions were never walked; fail unless PERCENT of those of each chart were",
}

pytest.register_assert_rewrite("dts_fsm.testing")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options are known, as those of the command and of the configuration file."""
    group = parser.getgroup("dts_fsm", "statecharts of file transfers")
    for name, sentence in _OPTIONS.items():
        group.addoption(f"--dts-fsm-{name}", metavar="PERCENT", help=sentence)
        parser.addini(f"dts_fsm_{name}", f"PERCENT for --dts-fsm-{name}; empty: not asked for", default="")


def pytest_configure(config: pytest.Config) -> None:
    """What reports is there, where somebody has asked for it."""
    coverage, pairs = (_percent(config, name) for name in _OPTIONS)
    if coverage is not None or pairs is not None:
        from dts_fsm.testing.plugin import CoverageReport  # noqa: PLC0415 - see above

        config.pluginmanager.register(CoverageReport(coverage or 0.0, pairs), "dts_fsm coverage")


def _percent(config: pytest.Config, name: str) -> float | None:
    """What the command line asks for, or the configuration file; None where neither does."""
    text = config.getoption(f"--dts-fsm-{name}") or config.getini(f"dts_fsm_{name}")
    try:
        return float(text) if text else None
    except ValueError:
        raise pytest.UsageError(f"dts_fsm_{name} is to be a number of percent, and is {text!r}") from None


@pytest.fixture
def dts_clock() -> ManualClock:
    """A clock that moves only when it is told to; the one of ``dts_rig``."""
    from dts_fsm.testing import ManualClock  # noqa: PLC0415 - see above

    return ManualClock()


@pytest.fixture
def dts_rig(tmp_path: Path, dts_clock: ManualClock) -> Iterator[Rig]:
    """A whole installation of fakes, in the test's own folder; what its transfers walk is counted."""
    from dts_fsm.testing import Rig  # noqa: PLC0415 - see above
    from dts_fsm.testing.coverage import RUN  # noqa: PLC0415 - see above

    rig = Rig(tmp_path, clock=dts_clock)
    try:
        yield rig
        RUN.record_store(rig.store, rig.transfer_chart, rig.operation_chart)
    finally:
        rig.close()
