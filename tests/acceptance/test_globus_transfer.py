"""Whole transfers between collections of a loopback Globus, manifest included, whatever happens to this process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from dts_fsm import Config, Orchestrator, Specification, User
from dts_fsm.databases.scan import update_catalog
from dts_fsm.testing import ORCID
from tests.acceptance.conftest import DEADLINE_S, ROOT, until
from tests.acceptance.matrix.places import digests_of
from tests.conftest import GENOMES
from tests.servers.globus import HERE, SERVICE, THERE, Globus


@attrs.frozen
class Site:
    """A configuration all of whose endpoints are collections, and what is at the source."""

    globus: Globus
    config: Path
    expected: dict[str, str]

    def specification(self, destination: str = "archive", file_ids: Sequence[str] = ()) -> Specification:
        return Specification(
            source="genomes",
            destination=destination,
            file_ids=list(file_ids or self.expected),
            user=User(name="Ada", orcid=ORCID),
        )

    def orchestrator(self) -> Orchestrator:
        return Orchestrator(Config.load(self.config))

    def arrived(self, folder: str) -> dict[str, str]:
        return dict(digests_of(self.globus.root(THERE) / folder))


@pytest.fixture
def site(globus: Globus, tmp_path: Path) -> Site:
    shutil.copytree(GENOMES, globus.root(HERE) / "genomes")
    source = globus.root(HERE) / "genomes"
    update_catalog(source)
    catalog = tmp_path / "datapackage.json"
    shutil.move(source / catalog.name, catalog)
    known = {resource["path"] for resource in json.loads(catalog.read_text())["resources"]}
    nothing = tmp_path / "nothing.json"

    def collection(id_: object, **more: Any) -> dict[str, Any]:
        return {"provider": "globus", "id": str(id_), "credential": "app", **globus.options(), **more}

    tokens = globus.service.tokens
    parts = {
        "service": {
            "data_dir": "state",
            "endpoint": "service",
            "manifest_dir": str(globus.root(SERVICE) / "manifests"),
            "poll_interval": 20,
            "retry_delay": 0.02,
            "max_retry_delay": 0.05,
        },
        "credentials": {"app": {"id": tokens.client_id, "secret": tokens.client_secret}},
        "endpoints": {
            "service": collection(SERVICE, base_path=str(globus.root(SERVICE))),
            "genomes": collection(HERE, root="/genomes"),
            "archive": collection(THERE),
        },
        "databases": {
            "genomes": {"provider": "catalog", "endpoint": "genomes", "catalog": str(catalog)},
            "archive": {"provider": "catalog", "endpoint": "archive", "catalog": str(nothing)},
        },
    }
    config = tmp_path / "dts.yaml"
    config.write_text(yaml.safe_dump(parts), encoding="utf-8")
    return Site(globus, config, {path: digest for path, digest in digests_of(source).items() if path in known})


def test_a_payload_and_its_manifest_go_to_a_custom_destination(site: Site) -> None:
    with site.orchestrator() as dts:
        transfer_id = dts.create(site.specification(f"globus:{THERE}:from/jgi:app"))
        status = dts.wait(transfer_id, timeout_s=DEADLINE_S)
    assert (status.code, status.num_files_transferred) == ("succeeded", len(site.expected)), status.message
    arrived = site.arrived(f"from/jgi/dts-{transfer_id}")
    assert arrived.pop("manifest.json")
    assert arrived == site.expected
    manifest = json.loads((site.globus.root(THERE) / f"from/jgi/dts-{transfer_id}" / "manifest.json").read_text())
    assert {resource["path"] for resource in manifest["resources"]} == set(site.expected)
    assert site.globus.service.tokens.client_secret not in json.dumps(manifest)


def test_globus_goes_on_while_nobody_is_there_and_the_next_process_finds_its_task(site: Site) -> None:
    service = site.globus.service
    service.workshop.hold()
    command = [sys.executable, "-m", "tests.acceptance.matrix.run", str(site.config), json.dumps(list(site.expected))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        until(lambda: service.tasks, "the task is submitted")
        process.kill()
    service.workshop.release()
    until(lambda: not any(task.is_live for task in service.tasks.values()), "the task has ended")
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    told = json.loads(ended.stdout)
    assert told["code"] == "succeeded", told
    arrived = site.arrived(f"{ORCID}/dts-{told['id']}")
    assert arrived.pop("manifest.json")
    assert (arrived, len(service.tasks)) == (site.expected, 2)


def test_a_paused_collection_makes_a_transfer_inactive_until_it_is_resumed(site: Site) -> None:
    workshop = site.globus.service.workshop
    workshop.pause(HERE, "the file system is full")
    with site.orchestrator() as dts:
        transfer_id = dts.create(site.specification())
        until(lambda: dts.status(transfer_id).code == "inactive", "the transfer waits")
        assert dts.explain(transfer_id).summary.endswith("paused the collection: the file system is full")
        workshop.resume(HERE)
        assert dts.wait(transfer_id, timeout_s=DEADLINE_S).code == "succeeded"
    assert len(site.globus.service.tasks) == 2


def test_a_canceled_transfer_cancels_its_task(site: Site) -> None:
    service = site.globus.service
    service.workshop.hold()
    with site.orchestrator() as dts:
        transfer_id = dts.create(site.specification())
        until(lambda: service.tasks, "the task is submitted")
        dts.cancel(transfer_id, orcid=ORCID)
        status = dts.wait(transfer_id, timeout_s=DEADLINE_S)
    assert (status.code, status.num_files_transferred) == ("failed", 0)
    assert [task.fatal for task in service.tasks.values()] == [("CANCELED", "The task was canceled by its owner")]


def test_a_suspended_transfer_goes_on_with_what_has_not_arrived(site: Site) -> None:
    service = site.globus.service
    with site.orchestrator() as dts:
        service.workshop.hold()
        transfer_id = dts.create(site.specification())
        until(lambda: service.tasks, "the task is submitted")
        dts.suspend(transfer_id, orcid=ORCID)
        until(lambda: dts.status(transfer_id).code == "inactive", "the transfer is suspended")
        service.workshop.release()
        dts.resume(transfer_id, orcid=ORCID)
        assert dts.wait(transfer_id, timeout_s=DEADLINE_S).code == "succeeded"
    assert site.arrived(f"{ORCID}/dts-{transfer_id}").items() >= site.expected.items()


def test_every_missing_or_denied_file_is_reported_and_nothing_else(site: Site) -> None:
    service = site.globus.service
    missing, denied, *others = site.expected
    with site.orchestrator() as dts:
        service.workshop.hold()
        transfer_id = dts.create(site.specification())
        until(lambda: service.tasks, "the task is submitted")
        service.collections[HERE].denied = {f"/genomes/{denied}"}
        (site.globus.root(HERE) / "genomes" / missing).unlink()
        service.workshop.release()
        status = dts.wait(transfer_id, timeout_s=DEADLINE_S)
        told = {file.id: (file.state, file.reason) for file in dts.files(transfer_id)}
    assert status.code == "failed"
    expected: dict[str, tuple[str, str | None]] = dict.fromkeys(others, ("transferred", None))
    assert told == expected | {missing: ("failed", "not found"), denied: ("failed", "denied")}
