"""Whole transfers from NMDC to KBase: both services on this machine, the files in local folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dts_fsm import (
    Config,
    InvalidDescriptorError,
    InvalidOrcidError,
    Orchestrator,
    ResourcesNotFoundError,
    Specification,
    SpecificationError,
    TransferStatusCode,
    User,
)
from dts_fsm.config import Secret
from dts_fsm.databases.kbase import KBaseDatabase
from dts_fsm.registry import build_databases, build_endpoints
from dts_fsm.testing import ORCID
from dts_fsm.testing.json_service import served
from dts_fsm.testing.kbase import KBaseService, kbase_service, person
from dts_fsm.testing.nmdc import NmdcService
from tests.servers.nmdc import CONTENT, CONTIGS, PASSWORD, PROTEINS, READS, SOIL, SPECTRUM, USER, WATER, furnished

PATHS = {
    READS: "nersc/nmdc:omprc-11-1/reads.fastq.gz",
    CONTIGS: "nersc/nmdc:omprc-11-1/nmdc:wfmgas-11-1.1/contigs.fna",
    PROTEINS: "nersc/nmdc:omprc-11-1/nmdc:wfmgan-11-1.1/proteins.faa",
    SPECTRUM: "emsl/nom/raw/a spectrum.raw",
}


class Site:
    """An installation with NMDC's two endpoints and KBase's."""

    def __init__(self, folder: Path, nmdc: NmdcService, kbase: KBaseService) -> None:
        self.folder, self.nmdc = folder, nmdc
        for file_id, path in PATHS.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(CONTENT[file_id])
        (folder / "kbase").mkdir()
        (folder / "kbase_user_orcids.csv").write_text(f"username,orcid\nada,{ORCID}\n", encoding="utf-8")
        text = f"""
service: {{endpoint: outbox, data_dir: state, manifest_dir: state, poll_interval: 20, retry_delay: 0.05}}
credentials:
  nmdc: {{id: {USER}, secret: "{PASSWORD}"}}
endpoints:
  nersc-dtn: {{provider: local, root: nersc}}
  emsl-dtn: {{provider: local, root: emsl}}
  kbase-dtn: {{provider: local, root: kbase}}
  outbox: {{provider: local, root: .}}
databases:
  nmdc: {{credential: nmdc, url: "{nmdc.url}", endpoints: {{nersc: nersc-dtn, emsl: emsl-dtn}}}}
  kbase: {{url: "{kbase.api_url}", endpoint: kbase-dtn, data_directory: .}}
"""
        text = text.replace("root: ", f"root: {folder}/").replace(f"{folder}/.", str(folder))
        self.config = Config.parse(text, file=str(folder / "dts.yaml"), environment={})

    def asks(self, *file_ids: str, **more: Any) -> Specification:
        """What the owner of a token of KBase's asks for."""
        kbase = build_databases(self.config, build_endpoints(self.config))["kbase"]
        assert isinstance(kbase, KBaseDatabase)
        user = kbase.user(Secret("t0ken")).user
        kbase.close()
        return Specification(**{"source": "nmdc", "destination": "kbase", "file_ids": file_ids, "user": user, **more})

    def delivered(self) -> dict[str, bytes]:
        """What KBase has, by path below the payload's folder."""
        (payload,) = (self.folder / "kbase" / "ada").iterdir()
        return {
            path.relative_to(payload).as_posix(): path.read_bytes() for path in payload.rglob("*") if path.is_file()
        }


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with (
        served(furnished(NmdcService({USER: PASSWORD}))) as nmdc,
        kbase_service({"t0ken": person("ada", name="Ada Lovelace", orcids=(ORCID,))}) as kbase,
    ):
        yield Site(tmp_path, nmdc, kbase)


def test_files_of_both_endpoints_arrive_with_a_manifest_that_has_their_biosamples(site: Site) -> None:
    with Orchestrator(site.config) as dts:
        transfer_id = dts.create(site.asks(*PATHS))
        status = dts.wait(transfer_id, timeout_s=30)
    assert (status.code, status.num_files_transferred) == (TransferStatusCode.SUCCEEDED, 4)

    found = site.delivered()
    manifest = json.loads(found.pop("manifest.json"))
    assert found == {path.partition("/")[2]: CONTENT[file_id] for file_id, path in PATHS.items()}
    assert manifest["username"] == "ada"
    resources = {resource["id"]: resource for resource in manifest["resources"]}
    assert sorted(resources) == sorted([*PATHS, SOIL, WATER])
    for file_id, content in CONTENT.items():
        assert resources[file_id]["hash"] == f"md5:{hashlib.md5(content).hexdigest()}"
        assert resources[file_id]["credit"]["identifier"] == file_id
    assert [resources[biosample]["data"]["name"] for biosample in (SOIL, WATER)] == ["soil", "water"]
    assert [resource.get("path") for resource in (resources[SOIL], resources[WATER])] == [None, None]


def test_a_file_whose_content_is_not_what_nmdc_says_does_not_arrive(site: Site) -> None:
    (site.folder / PATHS[READS]).write_bytes(CONTENT[READS][::-1])
    with Orchestrator(site.config) as dts:
        status = dts.wait(dts.create(site.asks(READS, CONTIGS)), timeout_s=30)
    assert status.code is TransferStatusCode.FAILED
    assert "checksum mismatch" in f"{status.reason} {status.message} {status.failed_files}"


def test_a_transfer_under_way_survives_tokens_that_expire(site: Site) -> None:
    with Orchestrator(site.config) as dts:
        dts.plan(site.asks(READS))
        site.nmdc.expire_tokens()
        status = dts.wait(dts.create(site.asks(READS)), timeout_s=30)
    assert (status.code, site.nmdc.num_tokens) == (TransferStatusCode.SUCCEEDED, 2)


def test_what_cannot_be_transferred_is_refused_when_it_is_asked_for(site: Site) -> None:
    with Orchestrator(site.config) as dts:
        with pytest.raises(ResourcesNotFoundError) as caught:
            dts.create(site.asks("nmdc:dobj-00-a", READS, "nmdc:dobj-00-b"))
        assert caught.value.resource_ids == ("nmdc:dobj-00-a", "nmdc:dobj-00-b")
        with pytest.raises(SpecificationError, match="'kbase' only receives"):
            dts.create(site.asks(READS, source="kbase", destination="nmdc"))
        with pytest.raises(InvalidOrcidError, match="add it to kbase_user_orcids.csv"):
            dts.create(site.asks(READS, user=User(name="Eve", orcid="0000-0001-5109-3700")))
        site.nmdc.collections["data_object_set"][0]["url"] = "https://elsewhere.example/a"
        with pytest.raises(InvalidDescriptorError, match="no endpoint is known for that"):
            dts.create(site.asks(READS))
        assert list(dts.transfers()) == []
