"""A scheduler in office: what it has begun may write only as long as no other can have taken over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dts_fsm import Config, DatabaseConfig, EndpointConfig, Orchestrator, ServiceConfig
from dts_fsm.databases.catalog import CatalogDatabase
from dts_fsm.endpoints import LocalEndpoint
from dts_fsm.errors import StoreError, StoreLeaseLostError
from dts_fsm.running import Made
from dts_fsm.store import SqliteStore
from dts_fsm.testing import Rig

LEASE_S = ServiceConfig(data_dir="any").lease_time_s
FROZEN_S = LEASE_S / 4
"""Not long enough for a lease to be renewed for its own sake."""


class Monotonic:
    """The monotonic clock, which can be advanced as if the process had stood still."""

    def __init__(self) -> None:
        self._real, self._ahead_s = time.monotonic, 0.0

    def __call__(self) -> float:
        return self._real() + self._ahead_s

    def advance(self, by_s: float) -> None:
        self._ahead_s += by_s


@pytest.fixture
def monotonic(monkeypatch: pytest.MonkeyPatch) -> Monotonic:
    clock = Monotonic()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def test_who_has_stood_still_for_the_lease_time_is_out_of_office_until_the_lease_is_renewed(
    rig: Rig, monotonic: Monotonic
) -> None:
    # A leader that was frozen in mid-copy, and woken after another had taken over, went on with its moves.
    scheduler, seen = rig.scheduler, [rig.scheduler.in_office()]
    scheduler.lead()
    seen.append(scheduler.in_office())
    monotonic.advance(LEASE_S)
    seen.append(scheduler.in_office())
    scheduler.lead()
    seen.append(scheduler.in_office())
    assert seen == [False, True, False, True]


def test_a_commit_renews_the_lease_and_one_that_raised_does_not(
    rig: Rig, monotonic: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = rig.scheduler
    rig.create("a")
    scheduler.lead()
    for _ in range(2):  # a tick each with something to write
        monotonic.advance(FROZEN_S)
        assert scheduler.tick() > 0
    monotonic.advance(LEASE_S - FROZEN_S)
    assert scheduler.in_office()
    with monkeypatch.context() as patch:
        patch.setattr(rig.store, "commit", lambda *_: (_ for _ in ()).throw(StoreError("full")))
        with pytest.raises(StoreError):
            scheduler.tick()
    monotonic.advance(FROZEN_S)
    assert not scheduler.in_office()


def test_the_time_that_a_tick_takes_until_it_commits_counts(
    rig: Rig, monotonic: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler, begin = rig.scheduler, rig.handlers["mover"].begin
    rig.create("a")
    scheduler.lead()

    def slow(transfer: Any) -> Any:
        rig.clock.advance(FROZEN_S)
        monotonic.advance(FROZEN_S)
        monkeypatch.undo()
        monkeypatch.setattr(time, "monotonic", monotonic)
        return begin(transfer)

    monkeypatch.setattr(rig.handlers["mover"], "begin", slow)
    while rig.handlers["mover"].begin is slow:
        assert scheduler.tick() > 0
    monotonic.advance(LEASE_S - FROZEN_S)
    assert not scheduler.in_office()


def test_what_was_begun_is_fenced_off_when_the_office_is_taken_and_when_another_has_it(
    rig: Rig, tmp_path: Path, monotonic: Monotonic
) -> None:
    fenced: list[tuple[bool, bool]] = []
    scheduler = rig.scheduler
    scheduler._fence = lambda valid: fenced.append((valid == scheduler.in_office, valid()))
    scheduler.lead()
    assert fenced == [(True, False)]
    other = SqliteStore(tmp_path / "dts.db")
    try:
        assert other.acquire_lease(rig.clock.time() + 2 * LEASE_S, LEASE_S)
        monotonic.advance(LEASE_S)
        assert (scheduler.lead(), fenced) == (False, [(True, False)] * 2)
    finally:
        other.close()


def test_what_was_begun_is_fenced_off_when_a_tick_finds_another_in_office(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    fenced: list[bool] = []
    scheduler = rig.scheduler
    monkeypatch.setattr(rig.store, "acquire_lease", lambda *_: False)
    scheduler._leading = True
    scheduler._fence = lambda _: (fenced.append(scheduler.leading), scheduler._stopping.set())[0]
    monkeypatch.setattr(scheduler, "tick", lambda _: (_ for _ in ()).throw(StoreLeaseLostError("another is it")))
    scheduler.start()
    scheduler._thread.join(10.0)  # type: ignore[union-attr]
    assert fenced == [False]


class _Faulty:
    def fence(self, valid: Callable[[], bool]) -> None:
        raise OSError(f"not {valid()}")


def test_all_that_can_be_fenced_is_although_one_of_them_raises(caplog: pytest.LogCaptureFixture) -> None:
    class Fenced:
        def fence(self, valid: Callable[[], bool]) -> None:
            self.valid = valid()

    fenced, made = Fenced(), Made(Config(service=ServiceConfig(data_dir="any")))
    made.places.extend([lambda: {"fenced": fenced, "none": object()}, lambda: {"faulty": _Faulty()}])
    with caplog.at_level(logging.ERROR):
        made.fence(lambda: True)
    assert (fenced.valid, [(r.place, r.action) for r in caplog.records]) == (True, [("faulty", "fence")])  # type: ignore[attr-defined]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    for name in ("disk", "lab", "outbox", "state"):
        (tmp_path / name).mkdir()
    return Config(
        service=ServiceConfig(data_dir=tmp_path / "state", manifest_dir=tmp_path / "outbox", endpoint="disk"),
        endpoints={
            name: EndpointConfig(key=name, provider="local", root=str(tmp_path / name)) for name in ("disk", "lab")
        },
        databases={
            name: DatabaseConfig(key=name, endpoints={"": endpoint})
            for name, endpoint in (("genomes", "disk"), ("lab", "lab"))
        },
    )


def test_an_orchestrator_fences_its_own_endpoints_and_databases_and_none_that_it_was_given(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    fenced: list[str] = []
    monkeypatch.setattr(LocalEndpoint, "fence", lambda self, _: fenced.append(self.name))
    monkeypatch.setattr(CatalogDatabase, "fence", lambda self, _: fenced.append(f"database {self.name}"))
    with Orchestrator(config):
        pass
    assert sorted(fenced) == ["database genomes", "database lab", "disk", "lab", "service.manifest_dir"]
    fenced.clear()
    given = {name: LocalEndpoint(root=config.endpoints[name].root, name=name) for name in ("disk", "lab")}
    with Orchestrator(config, endpoints=given):
        pass
    assert sorted(fenced) == ["database genomes", "database lab", "service.manifest_dir"]
