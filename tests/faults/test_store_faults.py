"""Every writing call that a store makes is met by every fault, one by one: nothing that was acknowledged is lost.

``DTS_FAULT_STRIDE`` leaves some out: 1 takes all, 20 each 20th write, and each fourth of the syncs, truncations and
names, of which there are fewer.
"""

from __future__ import annotations

import errno
import os
import queue
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.server import Fault, Report, Server

_STRIDE = int(os.environ.get("DTS_FAULT_STRIDE", "20"))
_SERVERS = 2


class Servers:
    """A few servers that share the faults to be met."""

    def __init__(self, shim: Path, folder: Path) -> None:
        self._resources = ExitStack()
        self._idle: queue.SimpleQueue[Server] = queue.SimpleQueue()
        for _ in range(_SERVERS):
            self._idle.put(self._resources.enter_context(Server(shim, folder)))
        self._threads = self._resources.enter_context(ThreadPoolExecutor(_SERVERS))

    def meet(self, fault: Fault) -> Report:
        """Have one fault, and give what came of it."""
        server = self._idle.get()
        try:
            return server.meet(fault)
        finally:
            self._idle.put(server)

    def meet_all(self, faults: Iterable[Fault]) -> Iterator[tuple[Fault, Report]]:
        """Have the faults, and give what came of each."""
        listed = list(faults)
        return zip(listed, self._threads.map(self.meet, listed), strict=True)

    def close(self) -> None:
        """End the servers."""
        self._resources.close()


@pytest.fixture
def servers(shim: Path, quick_folder: Path) -> Iterator[Servers]:
    servers = Servers(shim, quick_folder)
    yield servers
    servers.close()


def _points(letters: str, only: str) -> list[int]:
    """The numbers of the calls of these letters that are to be met by a fault."""
    points = []
    for group, stride in (("w", _STRIDE), ("stn", max(1, _STRIDE // 5))):
        numbers = [k for k, letter in enumerate(letters, 1) if letter in group and letter in only]
        points += numbers[stride // 2 :: stride]
    return sorted(points)


def _undisturbed(servers: Servers, broken: str = "") -> str:
    """The letters of the calls that the workload makes; nothing is wrong while nothing disturbs it."""
    report = servers.meet(Fault(broken=broken))
    assert (report.findings, report.signal, ["done"] in report.told) == ([], 0, True)
    return report.letters


def _broken_promises(reports: Iterable[tuple[Fault, Report]]) -> list[str]:
    return [f"{fault.kind} at {fault.k}: {finding}" for fault, report in reports for finding in report.findings]


@pytest.mark.parametrize(("kind", "only"), [("kill", "wstn"), ("tear", "w")])
def test_a_process_killed_at_any_call_loses_nothing_that_it_acknowledged(
    servers: Servers, kind: str, only: str
) -> None:
    # killed after a call is killed before the next one, which has had more time to acknowledge what the call wrote
    points = _points(_undisturbed(servers), only)
    reports = list(servers.meet_all(Fault(kind, k) for k in points))
    assert _broken_promises(reports) == []
    assert {signal.SIGKILL} == {report.signal for _, report in reports}


@pytest.mark.parametrize("kind", ["fail once", "fail from then on"])
@pytest.mark.parametrize(("number", "only"), [(errno.EIO, "wstn"), (errno.ENOSPC, "w")], ids=["EIO", "ENOSPC"])
def test_a_process_survives_a_disk_that_fails_or_is_full_at_any_call(
    servers: Servers, kind: str, number: int, only: str
) -> None:
    points = _points(_undisturbed(servers), only)
    reports = list(servers.meet_all(Fault(kind, k, number) for k in points))
    assert _broken_promises(reports) == []
    assert {(0, True)} == {(report.signal, ["done"] in report.told) for _, report in reports}


@pytest.mark.parametrize(
    ("broken", "kind", "number", "only", "finding"),
    [
        ("split commit", "kill", 0, "s", "the history"),
        ("no log", "kill", 0, "w", "damaged"),
        ("ignored error", "fail once", errno.EIO, "s", "lost"),
    ],
)
def test_these_tests_find_a_store_that_breaks_its_promise(
    servers: Servers, broken: str, kind: str, number: int, only: str, finding: str
) -> None:
    points = _points(_undisturbed(servers, broken), only)
    found: list[str] = []
    for first in range(0, len(points), 10):
        faults = [Fault(kind, k, number, broken) for k in points[first : first + 10]]
        found += _broken_promises(servers.meet_all(faults))
        if finding in " ".join(found):
            return
    assert found == [finding]
