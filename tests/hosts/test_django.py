"""The host of the page on Django, under a real gunicorn and a real runserver, beside the service."""

from __future__ import annotations

import contextlib
import sys

import httpx2
import pytest

from tests.hosts.servers import ORDER, Site, until

SERVICE = (sys.executable, "manage.py", "run_transfers")


@pytest.fixture
def site(site: Site) -> Site:
    site.run("django-admin", "startproject", "host", ".")
    site.run(sys.executable, "manage.py", "startapp", "transfers")
    site.save("django.md")
    return site


def gunicorn(site: Site, *more: str) -> tuple[str, ...]:
    bind = f"127.0.0.1:{site.port}"
    common = (
        "gunicorn",
        "host.wsgi",
        "--bind",
        bind,
        "--preload",
        "--workers",
        "2",
        "--threads",
        "4",
        "--no-control-socket",
    )
    return (*common, "--graceful-timeout", "2", *more)


def state(client: httpx2.Client, where: str) -> str:
    return client.get(where).json()["code"]


def test_what_workers_create_while_there_is_no_service_is_carried_out_once_there_is(
    site: Site, ada: httpx2.Client
) -> None:
    with site.serving(*gunicorn(site)):
        places = [ada.post("/transfers", json=ORDER).headers["Location"] for _ in range(8)]
        assert {state(ada, where) for where in places} == {"unknown"}
        with site.serving(*SERVICE, says="ready: leading"):
            for where in places:
                until(lambda where=where: state(ada, where) == "succeeded", "the transfer has ended")


def test_when_the_service_is_killed_the_one_beside_it_goes_on_and_workers_never_lead(
    site: Site, ada: httpx2.Client
) -> None:
    with site.serving(*gunicorn(site)), site.serving(*SERVICE, says="ready: leading") as first:
        with site.serving(*SERVICE, says="ready: standby"):
            first.kill()
            where = ada.post("/transfers", json=ORDER).headers["Location"]
            until(lambda: state(ada, where) == "succeeded", "the transfer has ended")
        where = ada.post("/transfers", json=ORDER).headers["Location"]
        assert state(ada, where) == "unknown"


def test_a_web_server_ends_although_somebody_listens(site: Site, ada: httpx2.Client) -> None:
    with site.serving(*gunicorn(site)) as server:
        where = ada.post("/transfers", json=ORDER).headers["Location"]
        with ada.stream("GET", f"{where}/events") as stream:
            lines = stream.iter_lines()
            assert [next(lines).split(":")[0], next(lines)] == ["id", "event: unknown"]
            assert server.stop() < 20.0


def test_the_development_server_reloads_and_transfers_are_as_they_were(site: Site, ada: httpx2.Client) -> None:
    command = (sys.executable, "manage.py", "runserver", f"127.0.0.1:{site.port}")
    with site.serving(*command, DJANGO_DEBUG="yes") as server:
        where = ada.post("/transfers", json=ORDER).headers["Location"]
        views = site.folder / "transfers" / "views.py"
        views.write_text(f"{views.read_text(encoding='utf-8')}\n# changed\n", encoding="utf-8")
        until(lambda: server.said().count("Watching for file changes") == 2, "the server has begun again")
        until(lambda: _state(site, where) == "unknown", "it answers")


def test_a_check_of_the_project_finds_a_fault_in_the_configuration(site: Site) -> None:
    file = site.folder / "dts.yaml"
    file.write_text(
        file.read_text(encoding="utf-8").replace("poll_interval: 1000", "pol_interval: 1000"), encoding="utf-8"
    )
    said = site.run(sys.executable, "manage.py", "check", code=1)
    assert "(transfers.E001)" in said
    assert "dts.yaml:5: service.pol_interval" in said


def _state(site: Site, where: str) -> str | None:
    with site.client() as client, contextlib.suppress(httpx2.TransportError):
        return state(client, where)
    return None
