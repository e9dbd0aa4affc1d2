"""The check of an organization's service: it finds nothing wrong with the reference, and each fault that is put in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from dts_fsm.cli.main import main
from dts_fsm.databases.http.conformance import CHECKS
from dts_fsm.testing import ORCID, FakeDatabase, FakeEndpoint
from dts_fsm.testing.http_database import ReferenceService, reference_service
from dts_fsm.testing.json_service import Reply, Request

NAMES = [check.__name__.replace("_", " ") for check in CHECKS]


@pytest.fixture
def service() -> Iterator[ReferenceService]:
    offered = FakeDatabase("genomes", endpoint=FakeEndpoint("disk"), endpoint_name="disk", users={ORCID: "ada"})
    for name in "abcdef":
        offered.add(name, b"1", staged=name > "b")
    with reference_service(offered, orcid=ORCID) as service:
        yield service


def check(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["database", "check", *arguments])


def verdicts(url: str, *options: str) -> dict[str, str]:
    findings = json.loads(check(url, "--json", "--orcid", ORCID, "--stage", *options).stdout)
    return {finding["name"]: finding["verdict"] for finding in findings}


def test_the_reference_does_all_that_the_guide_says(service: ReferenceService) -> None:
    assert verdicts(service.url) == dict.fromkeys(NAMES, "passed")


def on(path: str, change: Callable[[Request, Any], Reply | None], method: str = "GET") -> Callable[..., Reply]:
    """Change the replies to one call, where the change gives another."""

    def alter(request: Request, reply: Reply) -> Reply:
        return (change(request, reply[1]) if (request.method, request.path) == (method, path) else None) or reply

    return alter


FAULTS: dict[str, Callable[..., Reply]] = {
    "search finds": on("search", lambda request, value: (200, value + value[:1])),
    "limit": on("search", lambda request, value: (200, value * 2) if request.query.get("limit") == "1" else None),
    "pages": on("search", lambda request, value: (200, value[::-1]) if request.query.get("limit") == "2" else None),
    "beyond": on("search", lambda request, value: (500, None) if len(request.query["offset"]) > 5 else None),
    "bad limit": on("search", lambda request, value: (200, []) if request.query["limit"] == "many" else None),
    "statuses": on("search", lambda request, value: (200, [A]) if "status" in request.query else None),
    "resources": on("resources", lambda request, value: (200, value[::-1]) if len(value) > 2 else None),
    "unknown ids": on("resources", lambda request, value: (200, value[1:]) if len(value) == 2 else None),
    "no ids": on("resources", lambda request, value: (200, []) if "ids" not in request.query else None),
    "local user": on(f"localuser/{ORCID}", lambda request, value: (200, {**value, "username": "../ada"})),
    "stranger": on("localuser/0000-0000-0000-0000", lambda request, value: (200, {"username": "root"})),
    "unknown request": on("staging", lambda request, value: (200, {"status": "active"}) if "error" in value else None),
    "bad staging": on("staging", lambda request, value: (201, {}) if request.body == b"{}" else None, "POST"),
    "staging": on("staging", lambda request, value: (200, value) if "request_id" in value else None, "POST"),
}
A = {"id": "a", "name": "a", "path": "a", "bytes": 1}


@pytest.mark.parametrize("name", NAMES)
def test_each_check_finds_its_fault(service: ReferenceService, name: str) -> None:
    service.alter = FAULTS[name]
    assert verdicts(service.url)[name] == "failed"


@pytest.mark.parametrize(
    ("status", "verdict"), [("failed", "failed"), ("thawing", "failed"), ("active", "not checked"), ("ready", "passed")]
)
def test_staging_is_followed_to_its_end(service: ReferenceService, status: str, verdict: str) -> None:
    service.alter = on("staging", lambda request, value: (200, {"status": status}) if "status" in value else None)
    assert verdicts(service.url, "--timeout", "0")["staging"] == verdict


@pytest.mark.parametrize("given", [None, -1, "next", {}])
def test_a_staging_request_needs_an_id(service: ReferenceService, given: object) -> None:
    service.alter = on("staging", lambda request, value: (201, {"request_id": given}), "POST")
    assert verdicts(service.url)["staging"] == "failed"


def test_nothing_is_staged_unless_it_is_asked_for(service: ReferenceService) -> None:
    result = check(service.url, "--orcid", ORCID)
    assert result.exit_code == 0
    assert [request.body for request in service.requests if request.method == "POST"] == [b"{}"]
    assert result.stdout.splitlines()[-1] == "13 passed, 0 failed, 1 not checked"


def test_what_is_wrong_is_said_with_the_services_own_words(service: ReferenceService) -> None:
    service.alter = on("search", lambda request, value: (400, {"error": "no searching today"}))
    result = check(service.url, "--json")
    assert result.exit_code == 1
    first = json.loads(result.stdout)[0]
    assert (first["verdict"], first["reason"]) == (
        "failed",
        'answers 400 instead of 200: {"error": "no searching today"}',
    )
    assert "failed       search finds" in check(service.url).stdout


def test_a_service_without_files_leaves_much_unchecked() -> None:
    with reference_service(FakeDatabase("none", endpoint=FakeEndpoint("disk"), endpoint_name="disk")) as service:
        found = verdicts(service.url)
    assert {name for name, verdict in found.items() if verdict == "not checked"} == {
        "limit",
        "statuses",
        "resources",
        "unknown ids",
        "staging",
    }


def test_a_service_that_is_not_there_fails_every_check() -> None:
    findings = json.loads(check("http://127.0.0.1:9", "--json").stdout)
    assert {finding["verdict"] for finding in findings} == {"failed", "not checked"}


def test_a_token_comes_from_the_environment(service: ReferenceService, monkeypatch: pytest.MonkeyPatch) -> None:
    token = uuid4().hex
    monkeypatch.setenv("DTS_FSM_DATABASE_TOKEN", token)
    assert check(service.url).exit_code == 0
    assert {request.headers["authorization"] for request in service.requests} == {f"Bearer {token}"}


def test_a_service_with_words_of_its_own_is_checked_by_its_configuration(
    service: ReferenceService, tmp_path: Path
) -> None:
    service.alter = lambda request, reply: reply
    config = tmp_path / "dts.yaml"
    config.write_text(
        f"""
service: {{data_dir: {tmp_path}, endpoint: disk}}
endpoints: {{disk: {{name: Disk, provider: local, root: {tmp_path}}}}}
databases:
  genomes: {{name: Genomes, organization: We, provider: http, endpoint: disk, url: "{service.url}"}}
""",
        encoding="utf-8",
    )
    result = check("genomes", "--config", str(config))
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "12 passed, 0 failed, 2 not checked")
    assert "there is no database 'others'" in check("others", "--config", str(config)).stderr


def test_what_is_no_url_is_said() -> None:
    result = check("genomes")
    assert (result.exit_code, "must be a URL such as" in result.stderr) == (1, True)
