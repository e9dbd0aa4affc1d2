"""What all tests share: a rig, and no way out to a network."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # machines are slow and shared: only a time-out tells
settings.load_profile("unhurried")

pytest.register_assert_rewrite(
    "dts_fsm.testing.database_suite",
    "dts_fsm.testing.endpoint_suite",
    "dts_fsm.testing.store_suite",
    "tests.strategies",
)

from dts_fsm.testing import Rig  # noqa: E402 - the suites must be registered before anything imports them

GENOMES = Path(__file__).parent / "data" / "genomes"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test wants to reach {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture
def genomes() -> Path:
    """The folder of real genome files."""
    return GENOMES


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A rig whose source has the files a, b and c."""
    rig = Rig(tmp_path)
    for name in ("a", "b", "c"):
        rig.source.add(name, f"content of {name}".encode())
    yield rig
    rig.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have found out besides passing: how much of the model was explored."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
