"""Several processes on one store: exactly one schedules, and whatever befalls it, another goes on."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.crash.judge import findings
from tests.crash.site import Scenario, Site, files_below

DEADLINE_S = 60.0
BUSY_S = 5.0
"""How much longer than they must things may take on a machine that does much else."""

MANY = tuple(f"{number}.bin" for number in range(600))
FEW = ("few/1.txt", "few/2.txt")
SIZES = dict.fromkeys(MANY, 30_000) | dict.fromkeys(FEW, 100)


def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> float:
    """Wait until the condition holds, and give how many seconds that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + deadline_s, f"not in time: {what}"
        threading.Event().wait(0.002)
    return time.monotonic() - began


class Member:
    """One of the processes on the store."""

    def __init__(self, site: Site, *role: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.crash.member", str(site.config), *role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._store = site.store

    def send(self, *words: str) -> None:
        """Ask for something, and do not wait for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def ask(self, *words: str) -> Any:
        """Give the answer."""
        assert self.process.stdout is not None
        self.send(*words)
        return json.loads(self.process.stdout.readline())

    @property
    def leading(self) -> bool:
        """True while this process is the scheduler."""
        return bool(self.ask("leading"))

    def ended(self, transfer_id: str) -> bool:
        """True once the transfer has ended."""
        return self.ask("status", transfer_id)[0] in ("succeeded", "failed")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def freeze(self) -> None:
        """The process stands still, and not in the middle of a commit: that would be everyone's to wait for."""
        while True:
            os.kill(self.process.pid, signal.SIGSTOP)
            os.waitpid(self.process.pid, os.WUNTRACED)
            with closing(sqlite3.connect(self._store, timeout=0, isolation_level=None)) as db:
                try:
                    db.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    self.wake()
                    continue
                db.execute("ROLLBACK")
            return

    def wake(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        if self.process.poll() is None:
            self.wake()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        try:
            self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()


class Cluster:
    """A site, the processes on it, and what they were asked for.

    Args:
        settings: of the section ``service``.
    """

    def __init__(self, folder: Path, *, staging_delay_s: float = 0.0, **settings: float) -> None:
        self._scenario: dict[str, Any] = {
            "sizes": SIZES,
            "archived": frozenset(FEW) if staging_delay_s else frozenset(),
            "staging_delay_s": staging_delay_s,
            "settings": settings,
        }
        self._folder = folder
        self._orders: dict[str, tuple[str, ...]] = {}
        self._canceled: list[str] = []
        self.site = Site(folder, Scenario(orders={}, **self._scenario))
        self._members: list[Member] = []

    def join(self, *role: str) -> Member:
        """Another process works on the store; it can be asked at once."""
        member = Member(self.site, *role)
        self._members.append(member)
        member.ask("leading")
        return member

    def create(self, member: Member, key: str, *file_ids: str) -> str:
        """Have the process create a transfer."""
        transfer_id = str(member.ask("create", key, *file_ids))
        self._orders[key] = file_ids
        self.site.told.add(f"created {key}", transfer_id)
        return transfer_id

    def cancel(self, member: Member, transfer_id: str, key: str) -> None:
        """Have the process cancel a transfer."""
        member.ask("cancel", transfer_id)
        self.canceled(transfer_id, key)

    def canceled(self, transfer_id: str, key: str) -> None:
        """The transfer is known to have been canceled in time."""
        self._canceled.append(key)
        self.site.told.add("cancel in time", transfer_id)

    def lease(self) -> tuple[str, int]:
        """Give the name of the scheduler and its epoch, as the store has them."""
        with closing(sqlite3.connect(self.site.store)) as db:
            owner, epoch = db.execute("SELECT owner, epoch FROM lease").fetchone()
        return str(owner), int(epoch)

    def findings(self) -> list[str]:
        """Let all processes end, and give what is wrong then."""
        self.close()
        acts = dict.fromkeys(self._canceled, ("cancel",))
        return list(findings(Site(self._folder, Scenario(orders=self._orders, acts=acts, **self._scenario))))

    def close(self) -> None:
        for member in self._members:
            member.close()
        self._members.clear()


Clusters = Callable[..., Cluster]


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[Clusters]:
    """Gives clusters of processes, none of which is left behind."""
    made: list[Cluster] = []

    def make(**options: float) -> Cluster:
        made.append(Cluster(tmp_path / f"site-{len(made)}", **options))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


def test_a_killed_scheduler_is_replaced_at_once(clusters: Clusters) -> None:
    cluster = clusters(lease_time=600.0)
    leader, standby, client = cluster.join(), cluster.join(), cluster.join("client")
    assert [member.leading for member in (leader, standby, client)] == [True, False, False]
    transfer_id = cluster.create(client, "many", *MANY)
    until(lambda: client.ask("status", transfer_id)[0] == "active", "the move is under way")
    leader.kill()
    until(lambda: standby.leading, "another leads", BUSY_S)
    until(lambda: client.ended(transfer_id), "the transfer has ended")
    assert client.ask("status", transfer_id) == ["succeeded", None, len(MANY)]
    assert cluster.findings() == []


def test_a_frozen_scheduler_is_replaced_within_the_lease_time_and_writes_nothing_when_it_wakes(
    clusters: Clusters,
) -> None:
    cluster = clusters(lease_time=2.0)
    leader, standby, client = cluster.join(), cluster.join(), cluster.join("client")
    transfer_id = cluster.create(client, "many", *MANY)
    until(lambda: client.ask("status", transfer_id)[0] == "active", "the move is under way")
    leader.freeze()
    _, epoch = cluster.lease()
    other_id = cluster.create(client, "few", *FEW)
    doomed_id = cluster.create(client, "doomed", *FEW)
    cluster.cancel(client, doomed_id, "doomed")
    assert client.ask("status", other_id) == ["unknown", None, 0]
    assert until(lambda: standby.leading, "another leads") < 2.0 + BUSY_S
    for id_ in (transfer_id, other_id, doomed_id):
        until(lambda id_=id_: client.ended(id_), "the transfers have ended")  # type: ignore[misc]
    owner, later = cluster.lease()
    assert later == epoch + 1
    leader.wake()
    until(lambda: not leader.leading, "the former leader knows")
    last_id = cluster.create(leader, "last", *FEW)
    until(lambda: leader.ended(last_id), "what it is asked for is done by the other")
    assert cluster.lease() == (owner, later)
    standby.kill()
    until(lambda: leader.leading, "the former leader stood by", 2.0 + BUSY_S)
    again_id = cluster.create(client, "again", *FEW)
    until(lambda: client.ended(again_id), "it carries transfers out again")
    assert cluster.findings() == []


def test_a_former_scheduler_puts_nothing_in_a_folder_that_was_taken_away(clusters: Clusters) -> None:
    cluster = clusters(lease_time=1.0)
    leader, standby = cluster.join(), cluster.join()
    transfer_id = cluster.create(standby, "many", *MANY)
    until(lambda: files_below(cluster.site.delivered), "the first files arrive")
    leader.freeze()
    until(lambda: standby.ended(transfer_id), "the other has carried it out")
    (payload,) = cluster.site.delivered.glob("*/*")
    payload.rename(cluster.site.folder / "taken")
    leader.wake()
    until(lambda: not leader.leading, "the former leader knows")
    later_id = cluster.create(standby, "later", *MANY)
    until(lambda: standby.ended(later_id), "there was time to do harm")
    assert not payload.exists()


def test_a_cancellation_takes_effect_although_its_process_is_killed_as_it_returns(clusters: Clusters) -> None:
    cluster = clusters(staging_delay_s=600.0)
    leader, client = cluster.join(), cluster.join("client")
    transfer_id = cluster.create(client, "few", *FEW)
    until(lambda: leader.ask("status", transfer_id)[0] == "staging", "it is being staged")
    client.send("cancel and die", transfer_id)
    assert client.process.wait(DEADLINE_S) == -signal.SIGKILL
    cluster.canceled(transfer_id, "few")
    until(lambda: leader.ended(transfer_id), "it is canceled")
    assert leader.ask("status", transfer_id)[:2] == ["failed", "canceled"]
    assert cluster.findings() == []
