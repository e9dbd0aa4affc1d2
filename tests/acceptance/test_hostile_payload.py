"""A payload of good files and of every kind of bad one, through the whole orchestrator and real folders."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dts_fsm import Config, Descriptor, FileState, Orchestrator, ServiceConfig, Specification, TransferStatusCode, User
from dts_fsm.endpoints import LocalEndpoint
from dts_fsm.records import StagingStatus
from dts_fsm.testing import ORCID, FakeDatabase, FakeEndpoint
from tests.acceptance.conftest import until
from tests.folders import CONTENT, SECRET, Place, make_device, make_socket, sha256, unprivileged

LONG = "n" * 255
GOOD = {
    "plain": CONTENT,
    "empty": b"",
    "File": b"with a capital",
    "file": b"without",
    "folder/ümlaut, 'quotes' and a space": b"\x00\r\n",
    "d/" * 200 + "deep": b"deep",
    LONG: b"long",
    "sparse": bytes(2 << 20) + b"end",
    "one name": b"two names",
    "other name": b"two names",
    "link inside": CONTENT,
    "there already": b"right",
}
NOT_REGULAR = ("unsafe path", "is not a regular file")
OUTSIDE = ("unsafe path", "a symbolic link leads outside the endpoint's root")
MISSING = ("not found", "there is no such file at the source")
DENIED = ("denied", "Permission denied")
BAD = {
    "missing": MISSING,
    "dangling link": MISSING,
    "a file/below": MISSING,
    "fifo": NOT_REGULAR,
    "socket": NOT_REGULAR,
    "device": NOT_REGULAR,
    "a folder": NOT_REGULAR,
    "link outside": OUTSIDE,
    "absolute link": OUTSIDE,
    "folder outside/file": OUTSIDE,
    "circle": ("unsafe path", "leads through too many symbolic links, or in circles"),
    "secret": DENIED,
    "closed/file": DENIED,
    LONG + "n": ("name too long", "File name too long"),
    "of another size": ("size mismatch", "expected 3 bytes, found 7"),
    "of other content": ("checksum mismatch", "expected sha256:.*, found sha256:"),
    "that changes": ("source changed", "the file changed while it was copied"),
    "that exists": ("exists", "a file with other content is there, and service.overwrite is 'never'"),
    "at a link": NOT_REGULAR,
    "at a folder": NOT_REGULAR,
    "below a link/file": ("unsafe path", "'below a link' is not a folder"),
}


@pytest.fixture
def place() -> Iterator[Place]:
    """Below a folder that everybody may search: permissions hold for the endpoint, as whoever tests may be root."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        place = Place.below(Path(folder))
        os.chmod(place.destination, 0o777)
        yield place
        os.chmod(place.source / "closed", 0o700)


def _fill(place: Place) -> dict[str, Descriptor]:
    """The good files and the bad ones are at the source; gives what the database says of them."""
    source = place.source
    for path, content in GOOD.items():
        place.put(content, path)
    with (source / "sparse").open("wb") as writer:
        writer.seek(2 << 20)
        writer.write(b"end")
    for name, target in (("other name", "one name"), ("link inside", "plain")):
        (source / name).unlink()
        (os.link if name == "other name" else os.symlink)(
            source / target if name == "other name" else target, source / name
        )
    for name in ("a file", "secret", "closed/file", "that changes", "that exists", "at a link", "at a folder"):
        place.put(b"content", name)
    for name in ("of another size", "of other content", "below a link/file"):
        place.put(b"content", name)
    os.mkfifo(source / "fifo")
    make_socket(source / "socket")
    make_device(source / "device")
    (source / "a folder").mkdir()
    (source / "dangling link").symlink_to("nowhere")
    (source / "link outside").symlink_to("../outside/file")
    (source / "absolute link").symlink_to(place.outside / "file")
    (source / "folder outside").symlink_to("../outside")
    (source / "circle").symlink_to("circle")
    (source / "secret").chmod(0)
    (source / "closed").chmod(0)
    descriptors = [
        Descriptor(id=path, path=path, bytes=len(content), hash=str(sha256(content))) for path, content in GOOD.items()
    ]
    for path in BAD:
        says: dict[str, Any] = {"bytes": 7, "hash": str(sha256(b"content"))}
        says |= {"of another size": {"bytes": 3}, "of other content": {"hash": str(sha256(b"CONTENT"))}}.get(path, {})
        descriptors.append(Descriptor(id=path, path=path, **says))
    return {descriptor.id: descriptor for descriptor in descriptors}


def _occupy(place: Place, folder: Path) -> None:
    """Things are in the way at the destination."""
    folder.mkdir(parents=True)
    (folder / "there already").write_bytes(GOOD["there already"])
    (folder / "that exists").write_bytes(b"another's")
    (folder / "at a link").symlink_to(place.outside / "file")
    (folder / "at a folder").mkdir()
    (folder / "below a link").symlink_to(place.outside)
    for path in (folder.parent, folder, folder / "there already"):
        path.chmod(0o777)


def _change_while_it_is_read(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    real, inode, times = os.readv, file.stat().st_ino, itertools.count(1)
    if os.geteuid() == 0:
        os.chown(file, 65534, -1)  # whose rights the endpoint has

    def readv(fd: int, *args: Any) -> int:
        if os.fstat(fd).st_ino == inode:
            os.utime(file, ns=(0, next(times)))
        return real(fd, *args)

    monkeypatch.setattr(os, "readv", readv)


def test_good_files_arrive_and_each_bad_one_has_a_reason_of_its_own(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FakeDatabase("genomes", endpoint=FakeEndpoint(), endpoint_name="disk")
    source.descriptors_by_id = _fill(place)
    source.staging_result = StagingStatus.ACTIVE  # until the destination is prepared
    archive = FakeDatabase("archive", endpoint=FakeEndpoint(), endpoint_name="archive", users={ORCID: "ada"})
    _change_while_it_is_read(monkeypatch, place.source / "that changes")
    service = ServiceConfig(
        data_dir=tmp_path, overwrite="never", poll_interval_s=0.01, retry_delay_s=0.01, max_attempts=2
    )
    with (
        unprivileged() as executor,
        closing(LocalEndpoint(root=place.source, name="disk", executor=executor)) as disk,
        closing(LocalEndpoint(root=place.destination, name="archive")) as shelf,
        Orchestrator(
            Config(service=service),
            databases={"genomes": source, "archive": archive},
            endpoints={"disk": disk, "archive": shelf},
        ) as dts,
    ):
        transfer_id = dts.create(
            Specification(
                source="genomes", destination="archive", file_ids=[*GOOD, *BAD], user=User(name="Ada", orcid=ORCID)
            )
        )
        until(lambda: dts.status(transfer_id).code is TransferStatusCode.STAGING, "staging")
        folder = place.destination / "ada" / f"dts-{transfer_id}"
        _occupy(place, folder)
        source.staging_result = StagingStatus.SUCCEEDED
        status = dts.wait(transfer_id, timeout_s=60)
        records = {record.id: record for record in dts.files(transfer_id)}

    wrong = {
        path: records[path]
        for path, (reason, error) in BAD.items()
        if (records[path].state, records[path].reason) != (FileState.FAILED, reason)
        or not re.search(error, records[path].error or "")
    }
    assert wrong == {}
    expected = dict.fromkeys(GOOD, FileState.TRANSFERRED) | {"there already": FileState.SKIPPED}
    assert expected == {path: records[path].state for path in GOOD}
    assert {path: (folder / path).read_bytes() for path in GOOD} == GOOD
    assert (status.code, status.num_files_transferred, status.num_files_skipped) == (
        TransferStatusCode.FAILED,
        len(GOOD),
        1,
    )
    # nothing else was left, and what was in the way is as it was
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    assert found == {*GOOD, "that exists", "at a link"}
    assert ((folder / "that exists").read_bytes(), (place.outside / "file").read_bytes()) == (b"another's", SECRET)
    assert os.listdir(place.outside) == ["file"]
