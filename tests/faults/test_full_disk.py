"""Disks without room: under the store, and under the destination."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dts_fsm.errors import StoreError
from dts_fsm.store.maintenance import check
from dts_fsm.testing.rig import ORCID
from tests.faults.load import DESTINATION, FILES, STORE, digest, orchestrator, prepare, specification

_LONGEST_S = 60.0
_SMALL = tuple(name for name in FILES if name.endswith(".small"))
_LARGE = tuple(name for name in FILES if name.endswith(".large"))

Mount = Callable[[str, str], Path]


@contextmanager
def _filled(disk: Path) -> Iterator[None]:
    """There is not a byte of room on the disk for a while."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    yield
    ballast.unlink()


def test_a_store_on_a_full_disk_refuses_clearly_loses_nothing_and_goes_on_when_there_is_room(
    tmp_path: Path, mounted: Mount
) -> None:
    disk = mounted("state", "12m")
    prepare(tmp_path)
    with orchestrator(tmp_path) as dts:
        before = [dts.create(specification(*_SMALL)) for _ in range(5)]
        with _filled(disk):
            for _ in range(3):
                with pytest.raises(StoreError, match="make room"):
                    # what the log has room for is still stored
                    before += [dts.create(specification(*_SMALL)) for _ in range(1000)]
            assert {dts.status(id_).num_files for id_ in before} == {len(_SMALL)}
        after = dts.create(specification(*_LARGE))
        ended = {dts.wait(id_, timeout_s=_LONGEST_S).code.value for id_ in (*before, after)}
    assert (ended, check(tmp_path / STORE)) == ({"succeeded"}, [])


def test_a_store_that_cannot_be_made_for_want_of_room_says_so_and_is_made_later(mounted: Mount) -> None:
    disk = mounted("state", "2m")
    root = disk.parent
    prepare(root)
    with _filled(disk), pytest.raises(StoreError, match="make room"):
        orchestrator(root).start()
    with orchestrator(root) as dts:
        id_ = dts.create(specification(*_SMALL))
        assert dts.wait(id_, timeout_s=_LONGEST_S).code.value == "succeeded"


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_that_has_no_room_fails_with_the_reason_leaves_nothing_behind_and_stops_no_other(
    tmp_path: Path, mounted: Mount, durable: bool
) -> None:
    disk = mounted(DESTINATION, "2m")
    prepare(tmp_path)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes((2 << 20) - 600_000))
    with orchestrator(tmp_path, durable=durable) as dts:
        too_much = dts.create(specification("0.huge", *_SMALL))
        status = dts.wait(too_much, timeout_s=_LONGEST_S)
        arrived = {file.path: file.state.arrived for file in dts.files(too_much)}
        reasons = {file.error for file in dts.files(too_much) if file.error}
        assert (status.code.value, status.reason) == ("failed", "no space")
        assert arrived == {"0.huge": False} | dict.fromkeys(_SMALL, True)
        assert reasons == {"0.huge: No space left on device"}
        assert [path.name for path in disk.rglob("*.part")] == []
        assert dts.wait(dts.create(specification(*_SMALL)), timeout_s=_LONGEST_S).code.value == "succeeded"
        ballast.unlink()
        rest = dts.retry(too_much, ORCID)
        assert dts.wait(rest, timeout_s=_LONGEST_S).code.value == "succeeded"
        found = {file.path: digest(disk / dts.transfer(rest).folder / str(file.path)) for file in dts.files(rest)}
        assert found == {file.path: file.observed_hash for file in dts.files(rest)}


def test_a_destination_that_is_full_to_the_last_byte_fails_the_transfer_with_the_reason(
    tmp_path: Path, mounted: Mount
) -> None:
    disk = mounted(DESTINATION, "1m")
    prepare(tmp_path)
    with orchestrator(tmp_path) as dts:
        with _filled(disk):
            status = dts.wait(dts.create(specification(*_SMALL)), timeout_s=_LONGEST_S)
            assert (status.code.value, status.reason) == ("failed", "no space")
            assert [name for name in os.listdir(disk) if name.endswith(".part")] == []
        assert dts.wait(dts.create(specification(*_SMALL)), timeout_s=_LONGEST_S).code.value == "succeeded"
