"""Whole transfers from the JGI Data Portal, its archive standing on this disk instead of behind Globus."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from dts_fsm import Config, Orchestrator, Specification, TransferStatus, User
from dts_fsm.testing import ORCID
from dts_fsm.testing.jdp import JdpService, jdp_service
from dts_fsm.testing.json_service import Reply, Request
from tests.acceptance.conftest import DEADLINE_S, until

SECRET = "shared-with-the-portal"
FOLDER = "sdm/illumina"
CONTENTS = {f"reads-{number}.fastq": f"@read {number}\nACGT\n".encode() * 500 for number in range(60)}
ON_TAPE = {"reads-0.fastq", "reads-59.fastq"}


def described(name: str) -> dict[str, Any]:
    content = CONTENTS[name]
    return {
        "_id": name.removesuffix(".fastq"),
        "file_name": name,
        "file_path": f"/global/dna/dm_archive/{FOLDER}",
        "file_size": float(len(content)),
        "md5sum": hashlib.md5(content).hexdigest(),
        "file_date": "2021-10-04T02:27:31.230000",
        "file_status": "PURGED" if name in ON_TAPE else "RESTORED",
        "metadata": {"proposal": {"award_doi": "10.46936/1", "pi": {"first_name": "Ada", "last_name": "Lovelace"}}},
    }


@attrs.frozen
class Site:
    """A portal, its archive, and a configuration whose destination is a folder."""

    service: JdpService
    archive: Path
    files: list[dict[str, Any]]
    config: Config
    destination: Path

    def specification(self) -> Specification:
        return Specification(
            source="jdp",
            destination="archive",
            file_ids=[f"JDP:{file['_id']}" for file in self.files],
            user=User(name="Ada Lovelace", orcid=ORCID),
        )

    def run(self) -> TransferStatus:
        with Orchestrator(self.config) as dts:
            return dts.wait(dts.create(self.specification()), timeout_s=DEADLINE_S)

    def asked(self, path: str) -> int:
        return sum(request.path.startswith(path) and request.method == "POST" for request in self.service.requests)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    archive, destination = tmp_path / "dm_archive", tmp_path / "destination"
    (archive / FOLDER).mkdir(parents=True)
    destination.mkdir()

    def restore(file: dict[str, Any]) -> None:
        (archive / FOLDER / file["file_name"]).write_bytes(CONTENTS[file["file_name"]])

    files = [described(name) for name in CONTENTS]
    for file in files:
        if file["file_status"] == "RESTORED":
            restore(file)
    organisms = [{"id": f"Gp{number}", "title": "Soil", "files": files[number::7]} for number in range(7)]
    with jdp_service(organisms, secret=SECRET, restore=restore) as service:
        path = tmp_path / "dts.yaml"
        path.write_text(f"""
service: {{data_dir: {tmp_path}/state, endpoint: disk, poll_interval: 20, retry_delay: 0.02, max_retry_delay: 0.05}}
credentials:
  portal: {{secret: {SECRET}}}
endpoints:
  disk: {{provider: local, root: {tmp_path}}}
  dtn: {{provider: local, root: {archive}}}
  place: {{provider: local, root: {destination}}}
databases:
  jdp: {{name: JGI Data Portal, endpoint: dtn, credential: portal, url: "{service.url}"}}
  archive: {{name: An archive, provider: catalog, endpoint: place}}
""")
        yield Site(service, archive, files, Config.load(path), destination)


def delivered(site: Site) -> dict[str, bytes]:
    (folder,) = (site.destination / ORCID).iterdir()
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_come_from_tape_and_disk_with_their_credit_though_the_first_answer_was_lost(site: Site) -> None:
    lost: list[str] = []

    def lose_the_first(request: Request, reply: Reply) -> Reply:
        if request.path == "request_archived_files/" and not lost:
            lost.append(request.path)
            raise ConnectionAbortedError
        return reply

    site.service.alter = lose_the_first
    status = site.run()
    assert (status.code, status.num_files_transferred) == ("succeeded", 60)
    found = delivered(site)
    manifest = json.loads(found.pop("manifest.json"))
    assert found == {f"{FOLDER}/{name}": content for name, content in CONTENTS.items()}
    assert (len(lost), site.asked("request_archived_files/")) == (1, 2)
    for resource in manifest["resources"]:
        file = described(f"{resource['id'].removeprefix('JDP:')}.fastq")
        assert resource["hash"].removeprefix("md5:") == file["md5sum"]
        assert resource["bytes"] == file["file_size"]
        assert resource["credit"]["identifier"] == resource["id"]
        assert resource["credit"]["contributors"][0]["name"] == "Lovelace, Ada"
    assert SECRET not in json.dumps(manifest)


def test_a_process_that_ends_while_tapes_turn_leaves_a_request_that_the_next_one_asks_for(site: Site) -> None:
    site.service.alter = lambda request, reply: (
        (200, {"status": "pending"}) if request.path.startswith("request_archived_files/requests/") else reply
    )
    with Orchestrator(site.config) as dts:
        transfer = dts.create(site.specification())
        until(lambda: any("/requests/" in request.path for request in site.service.requests), "the status is asked for")
    site.service.alter = None
    with Orchestrator(site.config) as dts:
        assert dts.wait(transfer, timeout_s=DEADLINE_S).code == "succeeded"
    assert site.asked("request_archived_files/") == 1


def test_content_that_is_not_what_the_portal_says_is_not_delivered(site: Site) -> None:
    name = "reads-7.fastq"
    (site.archive / FOLDER / name).write_bytes(b"X" * len(CONTENTS[name]))
    with Orchestrator(site.config) as dts:
        transfer = dts.create(site.specification())
        status = dts.wait(transfer, timeout_s=DEADLINE_S)
        failed = [(file.id, file.reason) for file in dts.files(transfer) if file.state == "failed"]
    assert (status.code, failed) == ("failed", [("JDP:reads-7", "checksum mismatch")])


def test_ids_that_the_portal_does_not_know_are_refused_all_at_once_and_nothing_is_staged(site: Site) -> None:
    specification = attrs.evolve(site.specification(), file_ids=["JDP:reads-1", "JDP:nobody", "reads-2"])
    with (
        Orchestrator(site.config) as dts,
        pytest.raises(Exception, match="'JDP:nobody', 'reads-2'|JDP:nobody, reads-2"),
    ):
        dts.create(specification)
    assert site.asked("request_archived_files/") == 0
