"""Power cuts under load, on a real file system: what was acknowledged is there when the power is back.

An ext4 image is mounted, a process works on it, is stopped, and the file system is shut down without writing its
journal out; then it is mounted again, and looked at. ``DTS_POWER_CUTS`` says how often; mounting takes the rights of
root and loop devices.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dts_fsm.errors import StoreError
from dts_fsm.store import SqliteStore
from dts_fsm.store.maintenance import check
from tests.faults.disks import CannotMountError, PowerDisk, power_disk
from tests.faults.judge import Told, contradicting, lost
from tests.faults.load import DESTINATION, STORE, digest, orchestrator, prepare

_CUTS = int(os.environ.get("DTS_POWER_CUTS", "4"))
_LOSING_CUTS = 10
"""How many cuts a setting that loses something gets, to do so once."""

_LONGEST_S = 60.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[PowerDisk]:
    """A disk whose power can be cut, with what a load needs."""
    try:
        with power_disk(tmp_path) as disk:
            prepare(disk.root)
            yield disk
    except CannotMountError as error:
        pytest.skip(f"no ext4 image can be mounted here: {error}")


def _cut_under_load(
    disk: PowerDisk, telling: Path, seed: int, *, synchronous: str = "full", durable: bool = True
) -> Told:
    """A process has worked for a while when the power is cut and comes back; gives what it had told by then."""
    telling.touch()
    enough = random.Random(seed).randint(1, 150)
    kept = "durable" if durable else "not"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.load", disk.root, telling, str(seed), synchronous, kept],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + _LONGEST_S
        while telling.read_bytes().count(b"\n") < enough:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "the load tells nothing"
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGSTOP)
        disk.cut()
    finally:
        process.kill()
        process.communicate()
    disk.unmount()
    disk.mount()
    return [json.loads(line) for line in telling.read_text().splitlines()]


def _missing_files(root: Path, told: Told) -> Iterator[str]:
    """Files and manifests that are said to have arrived, by the process that lived or by the store, and are not."""
    arrived = {path: hash_ for word, *files in told if word == "arrived" for path, hash_ in files}
    manifests = {}
    with closing(SqliteStore(root / STORE)) as store:
        for record in store.transfers(limit=10_000):
            files = [file for file in store.files(store.rowid(record.id)) if file.state.arrived]
            arrived |= {f"{record.folder}/{file.path}": file.observed_hash for file in files}
            if record.status.code.value == "succeeded":
                manifests[f"{record.folder}/manifest.json"] = {str(file.path) for file in files}
    for path, hash_ in arrived.items():
        file = root / DESTINATION / path
        found = digest(file) if file.exists() else "nothing"
        if found != hash_:
            yield f"{path} has arrived with {hash_}, and there is {found}"
    for path, names in manifests.items():
        file = root / DESTINATION / path
        try:
            resources = {resource["path"] for resource in json.loads(file.read_bytes())["resources"]}
        except (OSError, ValueError) as error:
            yield f"{path} was delivered, and cannot be read: {error}"
        else:
            if resources != names:
                yield f"{path} has {resources}, not {names}"


def _findings(root: Path, told: Told) -> list[str]:
    """What is not as it was told."""
    if not (root / STORE).exists():
        return ["the store is lost"] if told else []
    try:
        found = check(root / STORE)
    except StoreError as error:
        found = [str(error)]
    if found:
        return found
    with closing(SqliteStore(root / STORE)) as store:
        found += [*lost(store, told), *contradicting(store)]
    return found + list(_missing_files(root, told))


def _carry_on(root: Path) -> list[str]:
    """Everything has run to its end; gives what is wrong then."""
    with orchestrator(root) as dts:
        statuses = [dts.wait(record.id, timeout_s=_LONGEST_S) for record in dts.transfers(limit=10_000)]
    wrong = [f"it ended as {s}" for s in statuses if s.code.value != "succeeded" and s.reason != "canceled"]
    parts = [str(path) for path in (root / DESTINATION).rglob("*.part")]
    return wrong + parts


@pytest.mark.parametrize("seed", range(_CUTS))
def test_a_power_cut_loses_nothing_that_was_acknowledged(disk: PowerDisk, tmp_path: Path, seed: int) -> None:
    told = _cut_under_load(disk, tmp_path / "told", seed)
    assert _findings(disk.root, told) == []
    assert _carry_on(disk.root) == []
    assert _findings(disk.root, told) == []


@pytest.mark.parametrize(("synchronous", "durable"), [("normal", True), ("full", False)])
def test_cuts_find_settings_that_do_not_promise_to_survive_them(
    tmp_path: Path, synchronous: str, durable: bool
) -> None:
    for seed in range(1000, 1000 + _LOSING_CUTS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            with power_disk(folder) as disk:
                prepare(disk.root)
                told = _cut_under_load(disk, folder / "told", seed, synchronous=synchronous, durable=durable)
                if _findings(disk.root, told):
                    return
        except CannotMountError as error:
            pytest.skip(f"no ext4 image can be mounted here: {error}")
    assert (synchronous, durable) == "lost nothing in any cut"
