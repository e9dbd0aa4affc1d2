"""From every kind of endpoint to every other: killed in the middle, gone on with, and every byte looked at."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dts_fsm.databases.scan import update_catalog
from dts_fsm.testing import ORCID
from tests.acceptance.conftest import ROOT
from tests.acceptance.matrix.places import Place, bucket, digests_of, ftp, local, tree, web
from tests.conftest import GENOMES
from tests.servers.ftp import ftp_server  # noqa: F401 - a fixture

_LARGE_MIB = 200
_SOURCES = ("local", "s3", "sftp", "http", "fsspec")
_DESTINATIONS = ("local", "s3", "sftp", "fsspec")

Made = Callable[[str, str], Place]


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three real files, and one of 200 MiB of which no two MiB are alike."""
    folder = tmp_path_factory.mktemp("payload")
    for path in [path for path in sorted(GENOMES.rglob("*")) if path.is_file() and path.suffix != ".md"][:3]:
        target = folder / path.relative_to(GENOMES)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    block = bytes(range(256)) * 4095
    with (folder / "assembly.bin").open("wb") as file:
        for number in range(_LARGE_MIB):
            file.write(number.to_bytes(256, "big") + block)
    update_catalog(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """Makes a place of a kind; its server is started by whoever asks first."""

    def made(kind: str, name: str) -> Place:
        if kind == "local":
            return local(tmp_path / name)
        if kind == "s3":
            return bucket(request.getfixturevalue("s3_server"))
        if kind == "sftp":
            return tree(request.getfixturevalue("sftp_server"))
        if kind == "fsspec":
            return ftp(request.getfixturevalue("ftp_server"))
        return web(request.getfixturevalue("nginx"))

    return made


def run(config: Path, file_ids: list[str], *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.acceptance.matrix.run", str(config), json.dumps(file_ids), *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.parametrize("destination", _DESTINATIONS)
@pytest.mark.parametrize("source", _SOURCES)
def test_a_transfer_that_is_killed_in_the_middle_is_finished_by_the_next_process(
    payload: Path, place: Made, tmp_path: Path, source: str, destination: str
) -> None:
    genomes, archive = place(source, "genomes"), place(destination, "archive")
    genomes.put(payload)
    service = tmp_path / "service"
    service.mkdir()
    catalog = tmp_path / "datapackage.json"
    shutil.copy(payload / catalog.name, catalog)
    # a catalog of what is not a folder of this machine must be named, though nothing is asked of it
    known = {"catalog": str(catalog)} if destination == "sftp" else {}
    parts: dict[str, Any] = {
        "service": {"data_dir": "state", "endpoint": "service", "manifest_dir": str(service)},
        "endpoints": {
            "service": {"provider": "local", "root": str(service)},
            "genomes": dict(genomes.config),
            "archive": dict(archive.config),
        },
        "databases": {
            "genomes": {"provider": "catalog", "endpoint": "genomes", "catalog": str(catalog)},
            "archive": {"provider": "bucket" if destination == "s3" else "catalog", "endpoint": "archive", **known},
        },
    }
    if destination == "fsspec":  # it receives alone: there is nothing in its catalog
        parts["databases"]["archive"]["catalog"] = str(tmp_path / "nothing.json")
    config = tmp_path / "dts.yaml"
    config.write_text(yaml.safe_dump(parts), encoding="utf-8")
    expected = {path: digest for path, digest in digests_of(payload).items() if path != catalog.name}

    killed = run(config, list(expected), "kill")
    assert (killed.returncode, killed.stdout) == (-9, ""), killed.stderr
    assert not any(path.endswith(("assembly.bin", "manifest.json")) for path in archive.digests())

    ended = run(config, list(expected))
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["code"] == "succeeded", told
    folder = f"{ORCID}/dts-{told['id']}/"
    arrived = dict(archive.digests())
    assert arrived.pop(f"{folder}manifest.json")
    assert arrived == {folder + path: digest for path, digest in expected.items()}
