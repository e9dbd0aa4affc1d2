"""Whole transfers from a folder to a bucket, and from there to another folder, by the orchestrator."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from dts_fsm import Config, Orchestrator, Specification, User
from dts_fsm.databases.scan import update_catalog
from tests.servers.s3 import S3Server

ORCID = "0000-0002-1825-0097"


def test_files_go_to_a_bucket_and_come_back_as_they_were(s3_server: S3Server, tmp_path: Path, genomes: Path) -> None:
    source, back = Path(shutil.copytree(genomes, tmp_path / "source")), tmp_path / "back"
    back.mkdir()
    update_catalog(source)
    text = f"""
service: {{endpoint: source, data_dir: state}}
endpoints:
  source: {{provider: local, root: source}}
  back: {{provider: local, root: back}}
  store:
    provider: s3
    bucket: {s3_server.bucket}
    root: /{tmp_path.name}
    endpoint_url: {s3_server.url}
    credential: store
credentials:
  store: {{id: {s3_server.access_key}, secret: {s3_server.secret}}}
databases:
  genomes: {{endpoint: source}}
  store: {{endpoint: store}}
  back: {{endpoint: back}}
"""
    config = Config.parse(text, file=str(tmp_path / "dts.yaml"))
    user = User(name="Ada", orcid=ORCID)
    paths = sorted(
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and path.name != "datapackage.json"
    )
    with Orchestrator(config) as dts:
        first = Specification(source="genomes", destination="store", file_ids=paths, user=user)
        there = dts.create(first)
        status = dts.wait(there, timeout_s=60)
        assert status.code == "succeeded", status
        folder = f"{ORCID}/dts-{there}"
        ids = [f"{folder}/{path}" for path in (*paths, "manifest.json")]
        here = dts.create(Specification(source="store", destination="back", file_ids=ids, user=user))
        status = dts.wait(here, timeout_s=60)
        assert status.code == "succeeded", status
    arrived = back / ORCID / f"dts-{here}" / folder
    assert {path: (source / path).read_bytes() for path in paths} == {
        path: (arrived / path).read_bytes() for path in paths
    }
    manifest = json.loads((arrived / "manifest.json").read_text(encoding="utf-8"))
    assert paths == sorted(resource["path"].removeprefix(f"{folder}/") for resource in manifest["resources"])
