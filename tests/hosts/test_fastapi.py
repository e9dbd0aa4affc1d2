"""The host of the page on FastAPI, under a real uvicorn."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from contextlib import ExitStack

import httpx2
import pytest

from tests.hosts.servers import ORDER, Server, Site, until

COMMAND = ("uvicorn", "transfers:app", "--timeout-graceful-shutdown", "2", "--port")


@pytest.fixture
def site(site: Site) -> Site:
    site.save("fastapi.md")
    return site


def leader(site: Site) -> int:
    """Give the id of the process that has the lease of the site's store; 0 for nobody."""
    with contextlib.closing(sqlite3.connect(site.folder / "state" / "dts.db")) as db:
        (owner,) = db.execute("SELECT owner FROM lease").fetchone()
    return int(owner.split(":")[1]) if owner else 0


def state(client: httpx2.Client, where: str) -> str:
    return client.get(where).json()["code"]


def test_a_server_ends_although_somebody_listens_and_the_next_one_goes_on(site: Site, ada: httpx2.Client) -> None:
    with site.serving(*COMMAND, str(site.port), DTS_SCHEDULE="no") as server:
        where = ada.post("/transfers", json=ORDER).headers["Location"]
        with ada.stream("GET", f"{where}/events") as stream:
            lines = stream.iter_lines()
            seen = next(lines)
            assert next(lines) == "event: unknown"
            assert server.stop() < 20.0
    with site.serving(*COMMAND, str(site.port)):
        rest = ada.get(f"{where}/events", headers={"Last-Event-ID": seen.removeprefix("id: ")}).text
    events = [line for line in rest.splitlines() if line.startswith("event: ")]
    assert events == ["event: active", "event: finalizing", "event: succeeded"]


def test_more_listeners_than_threads_leave_the_server_free_to_answer(site: Site, ada: httpx2.Client) -> None:
    with site.serving(*COMMAND, str(site.port), DTS_SCHEDULE="no"):
        where = ada.post("/transfers", json=ORDER).headers["Location"]
        with ExitStack() as listeners:
            clients = [listeners.enter_context(site.client()) for _ in range(60)]
            streams = [listeners.enter_context(client.stream("GET", f"{where}/events")) for client in clients]
            assert {next(stream.iter_lines()).split(":")[0] for stream in streams} == {"id"}
            assert state(ada, where) == "unknown"


def test_of_several_workers_one_leads_and_when_it_is_killed_another_does(site: Site, ada: httpx2.Client) -> None:
    with site.serving(*COMMAND, str(site.port), "--workers", "2") as server:
        until(lambda: _workers_ready(server) == 2, "both workers are ready")
        first = leader(site)
        os.kill(first, signal.SIGKILL)
        until(lambda: leader(site) not in (0, first), "another worker leads")
        where = _created(site)
        until(lambda: _state(site, where) == "succeeded", "the transfer has ended")


def _workers_ready(server: Server) -> int:
    return server.said().count("Application startup complete")


def _created(site: Site) -> str:
    """Where a new transfer is; a connection that a killed worker had taken is made again."""
    headers = {"Idempotency-Key": "once"}
    for _ in range(10):
        with site.client() as client, contextlib.suppress(httpx2.TransportError):
            return client.post("/transfers", json=ORDER, headers=headers).headers["Location"]
    raise AssertionError("no worker answers")


def _state(site: Site, where: str) -> str | None:
    with site.client() as client, contextlib.suppress(httpx2.TransportError):
        return state(client, where)
    return None
