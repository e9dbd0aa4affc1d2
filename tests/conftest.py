"""What all tests share: a rig, and no way out to a network."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from coverage import Coverage
from coverage.exceptions import CoverageWarning
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # machines are slow and shared: only a time-out tells
settings.load_profile("unhurried")

pytest.register_assert_rewrite(
    "dts_fsm.testing.database_suite",
    "dts_fsm.testing.endpoint_suite",
    "dts_fsm.testing.store_suite",
    "tests.conformance.jdp_cases",
    "tests.strategies",
)

from dts_fsm.endpoints.streaming import batch  # noqa: E402
from dts_fsm.testing import Rig  # noqa: E402 - the suites must be registered before anything imports them
from tests.servers.globus import globus  # noqa: E402, F401 - a server for all who ask for it
from tests.servers.nginx import nginx  # noqa: E402, F401 - a server for all who ask for it
from tests.servers.s3 import s3_server  # noqa: E402, F401 - a server for all who ask for it
from tests.servers.sftp import sftp_server  # noqa: E402, F401 - a server for all who ask for it

GENOMES = Path(__file__).parent / "data" / "genomes"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("live"):
        return
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test wants to reach {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(autouse=True)
def _uncovered(request: pytest.FixtureRequest) -> Iterator[None]:
    measuring = Coverage.current() if request.node.get_closest_marker("uncovered") else None
    if measuring is None:
        yield
        return
    measuring.stop()
    yield
    with warnings.catch_warnings(action="ignore", category=CoverageWarning):  # all is imported already
        measuring.start()


@pytest.fixture
def genomes() -> Path:
    """The folder of real genome files."""
    return GENOMES


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults that may pass are tried as often as ever, without waiting in between."""
    monkeypatch.setattr(batch, "_PAUSES_S", (0.0, 0.0))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A rig whose source has the files a, b and c."""
    rig = Rig(tmp_path)
    for name in ("a", "b", "c"):
        rig.source.add(name, f"content of {name}".encode())
    yield rig
    rig.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything that a test may need is installed, a test that is skipped has failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and "DTS_NO_SKIPS" in os.environ:
        report.outcome = "failed"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """What a failed test quotes may have lone surrogates, with which no worker could tell of it."""
    return _sendable((yield))


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_sendable(key): _sendable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_sendable(item) for item in value)
    return value


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have found out besides passing: how much of the model was explored."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
