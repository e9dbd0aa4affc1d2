"""File systems that fail, and that somebody plays tricks with, under the local endpoint."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import resource
import shutil
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import pytest

from dts_fsm.databases.finding import MAX_DEPTH
from dts_fsm.databases.scan import scan
from dts_fsm.endpoints import LocalEndpoint, moving
from dts_fsm.endpoints.beneath import MAX_LINKS, open_root, open_source
from dts_fsm.endpoints.moving import move_batch
from dts_fsm.errors import UnsafePathError
from dts_fsm.records import Descriptor, FileOutcome, FileState, FileTransfer, OperationCode, Overwrite
from dts_fsm.testing.endpoint_pair import wait_for_end
from tests.folders import CONTENT, SECRET, Place, in_child, make_deep, make_device, make_socket, sha256, take_deep

DEPTH = 10_000
OLD = b"what was there before"


def _reasons(outcomes: list[FileOutcome]) -> dict[str, str | None]:
    return {outcome.id: outcome.reason for outcome in outcomes}


# Every call fails once


CALLS = (
    *("open", "dup", "stat", "fstat", "fstatvfs", "listdir", "mkdir"),
    *("readv", "write", "posix_fadvise", "fchmod", "utime", "fsync", "link", "rename", "unlink", "close"),
)
REASONS = {
    errno.ENOSPC: {"no space"},
    errno.EDQUOT: {"no space"},
    errno.EROFS: {"denied"},
    errno.EACCES: {"denied", "exists"},
    errno.EIO: {"i/o error"},
    errno.ESTALE: {"i/o error"},
}


def _writes(fd: int) -> bool:
    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_WRONLY)


@contextmanager
def _failing(call: int, number: int) -> Iterator[list[str]]:
    """The ``call``-th call of the operating system fails; gives its name, once it has."""
    with pytest.MonkeyPatch.context() as patch:
        calls, failed = itertools.count(1), []

        def failing(name: str) -> Callable[..., Any]:
            real = getattr(os, name) if name != "fsync" else int  # the disk is spared: no power is cut here

            def wrapper(*args: Any, **kwargs: Any) -> Any:
                # closing fails for what was written only, and what has failed to be closed is closed
                if name == "close" and not _writes(args[0]):
                    return real(*args, **kwargs)
                if next(calls) == call:
                    failed.append(name)
                    if name == "close":
                        real(*args)
                    raise OSError(number, os.strerror(number))
                return real(*args, **kwargs)

            return wrapper

        def sync_all(folder: int) -> None:
            os.fsync(folder)

        for name in CALLS:
            patch.setattr(os, name, failing(name))
        patch.setattr(moving, "sync_file_system", sync_all)
        yield failed


@pytest.mark.parametrize("number", REASONS)
@pytest.mark.parametrize("num_files", [1, 5])
@pytest.mark.parametrize("policy", Overwrite)
def test_whichever_call_fails_nothing_is_half_there_nor_said_to_be_there_and_the_next_attempt_succeeds(
    place: Place, policy: Overwrite, num_files: int, number: int
) -> None:
    contents = {f"folder/{i}": f"{i}".encode() * 9 for i in range(num_files)}
    files = [place.put(content, path, overwrite=policy) for path, content in contents.items()]
    failed_at: set[str] = set()
    for call in itertools.count(1):
        if policy is not Overwrite.NEVER:
            (place.destination / "folder").mkdir()
            (place.destination / "folder" / "0").write_bytes(OLD)
        batch = place.batch(*files)
        num_open = len(os.listdir("/dev/fd"))
        with _failing(call, number) as failed:
            outcomes = move_batch(batch)
        assert num_open == len(os.listdir("/dev/fd")), failed
        failed_at.update(failed)
        assert sorted(outcome.id for outcome in outcomes) == sorted(contents), failed
        arrived = place.arrived()
        for outcome in outcomes:
            there = arrived.get(outcome.id)
            if outcome.state is FileState.FAILED:
                assert outcome.reason in REASONS[number], (failed, outcome)
                assert there in (None, OLD, contents[outcome.id]), failed
            else:
                assert there == contents[outcome.id], failed
        litter = arrived.keys() - contents.keys()
        assert len(litter) <= (failed == ["unlink"]), failed
        again = move_batch(attrs.evolve(batch, attempt="again", durable=False))
        assert {(path, True) for path in contents} == {(outcome.id, outcome.state.arrived) for outcome in again}, failed
        assert contents == place.arrived(), failed
        shutil.rmtree(place.destination / "folder")
        if not failed:
            break
    expected = {"open", "stat", "fstat", "listdir", "readv", "write", "fchmod", "utime", "fsync", "close"}
    assert failed_at >= expected | ({"mkdir", "link", "unlink"} if policy is Overwrite.NEVER else {"rename"})


def test_a_destination_that_is_read_only_refuses_every_file_for_good(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open, real_mkdir = os.open, os.mkdir

    def refuse(real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if real is real_mkdir or args[1] & os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(*args, **kwargs)

    files = [place.put(path="file"), place.put(path="folder/file")]
    monkeypatch.setattr(os, "open", lambda *args, **kwargs: refuse(real_open, *args, **kwargs))
    monkeypatch.setattr(os, "mkdir", lambda *args, **kwargs: refuse(real_mkdir, *args, **kwargs))
    outcomes = move_batch(place.batch(*files))
    assert [(outcome.reason, outcome.transient, outcome.error) for outcome in outcomes] == [
        ("denied", False, "file: Read-only file system"),
        ("denied", False, "folder/file: Read-only file system"),
    ]


# Depth and length


@contextmanager
def _few_open_files(num_files: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + num_files, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_path_deeper_than_the_kernel_can_read_takes_a_few_open_files(place: Place) -> None:
    # Each folder on the way was kept open: one deep path took all the files that a process may have open.
    path = make_deep(place.source, DEPTH, CONTENT)
    file = FileTransfer(id="deep", source_path=path, destination_path=path, hash=sha256(CONTENT))
    try:
        with _few_open_files(30), closing(LocalEndpoint(root=place.source)) as source:
            staged = source.files_staged([Descriptor(id="deep", path=path, bytes=len(CONTENT))])
            (outcome,) = move_batch(place.batch(file, durable=False))
            (again,) = move_batch(place.batch(file, durable=False))
    finally:
        took, arrived = take_deep(place.source), take_deep(place.destination)
    assert staged == {"deep": True}
    assert (outcome.state, again.state) == (FileState.TRANSFERRED, FileState.SKIPPED), outcome
    assert (DEPTH, CONTENT) == took == arrived


def test_a_folder_deeper_than_the_kernel_can_read_is_left_out_of_a_catalog(place: Place) -> None:
    make_deep(place.source, DEPTH // 4, CONTENT)
    try:
        found = scan(place.source)
    finally:
        take_deep(place.source)
    assert [f"folders are nested more than {MAX_DEPTH} deep"] == [skipped.reason for skipped in found.skipped]


def test_a_link_back_up_from_a_deep_folder_is_followed_below_the_root(place: Place) -> None:
    place.put(path="top")
    deep = place.source / "/".join(["d"] * 50)
    deep.mkdir(parents=True)
    (deep / "link").symlink_to("../" * 50 + "top")
    (deep / "out").symlink_to("../" * 51 + "outside/file")
    (deep / "zigzag").symlink_to("../d/" * (MAX_LINKS + 1) + "../" * 50 + "top")
    root, below = open_root(str(place.source)), "d/" * 50
    try:
        fd = open_source(root, f"{below}link")
        assert os.read(fd, len(CONTENT)) == CONTENT
        os.close(fd)
        with pytest.raises(UnsafePathError, match="outside the endpoint's root"):
            open_source(root, f"{below}out")
        with pytest.raises(UnsafePathError, match="too many symbolic links, or in circles"):
            open_source(root, f"{below}zigzag")
    finally:
        os.close(root)


@pytest.mark.parametrize("num_links", [MAX_LINKS, MAX_LINKS + 1])
@pytest.mark.parametrize("way", ["", "../folder/"])
def test_as_many_links_are_followed_as_the_kernel_would_follow(place: Place, num_links: int, way: str) -> None:
    place.put(path="folder/0")
    for i in range(1, num_links + 1):
        (place.source / "folder" / f"{i}").symlink_to(f"{way}{i - 1}")
    file = FileTransfer(id="x", source_path=f"folder/{num_links}", destination_path="file")
    (outcome,) = move_batch(place.batch(file))
    assert outcome.reason == (None if num_links <= MAX_LINKS else "unsafe path")


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127 + "n", "a b'\"\\*?[]{}$`;|&<>#%~", "-rf", "...", " "])
@pytest.mark.parametrize("policy", Overwrite)
def test_a_name_as_long_or_odd_as_it_may_be_arrives(place: Place, name: str, policy: Overwrite) -> None:
    file = place.put(path=f"{name}/{name}", overwrite=policy)
    (outcome,) = move_batch(place.batch(file))
    assert outcome.state is FileState.TRANSFERRED, outcome
    assert {file.id: CONTENT} == place.arrived()


@pytest.mark.parametrize("name", ["n" * 256, "é" * 128])
def test_a_name_that_is_one_byte_too_long_fails_alone(place: Place, name: str) -> None:
    file = place.put()
    others = [attrs.evolve(file, id="folder", destination_path=f"{name}/file")]
    others += [attrs.evolve(file, id="name", destination_path=name), attrs.evolve(file, id="from", source_path=name)]
    outcomes = move_batch(place.batch(*others, file))
    assert _reasons(outcomes) == {
        "folder": "name too long",
        "name": "name too long",
        "from": "name too long",
        "file": None,
    }
    assert {"file: File name too long"} == {outcome.error for outcome in outcomes if outcome.id in ("folder", "name")}
    assert place.arrived() == {"file": CONTENT}


# Names


def test_neighbours_with_names_that_are_not_text_are_left_alone(place: Place) -> None:
    # A folder with the name of an unfinished file ended the clearing away: the unfinished files after it stayed.
    file = place.put(path="folder/file")
    batch = place.batch(file)
    folder = os.fsencode(place.destination / "folder")
    os.mkdir(folder)
    names = [b"\xff\xfe", b"new\nline", b"\x1b[31m", b"\xed\xa0\x80"]
    for name in names:
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(b"a neighbour's")
    prefix = b".dts-" + batch.operation.encode() + b"-0"
    for i in range(5):
        os.mkdir(folder + b"/" + prefix + b"%d" % (2 * i))
        Path(os.fsdecode(folder + b"/" + prefix + b"%d\xff" % (2 * i + 1))).write_bytes(b"half")
    (outcome,) = move_batch(batch)
    assert outcome.state is FileState.TRANSFERRED
    folders = [prefix + b"%d" % (2 * i) for i in range(5)]
    assert sorted([*names, *folders, b"file"]) == sorted(os.listdir(folder))


def test_a_root_whose_name_is_not_text_is_a_root_like_any_other(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe\n"))
    odd.mkdir()
    place = Place.below(odd)
    file = place.put(path="folder/file")
    with closing(LocalEndpoint(root=place.source)) as source, closing(LocalEndpoint(root=place.destination)) as target:
        missing = attrs.evolve(file, id="missing", source_path="missing")
        status = wait_for_end(source, source.transfer(target, [file, missing], operation_id=uuid4()))
    assert (status.code, status.num_files_transferred) == (OperationCode.FAILED, 1)
    assert place.arrived() == {"folder/file": CONTENT}


def test_names_that_differ_by_case_or_by_composition_alone_are_files_of_their_own(place: Place) -> None:
    names = ["file", "File", "FILE", "\u00e9", "e\u0301", "ﬁle"]
    if len({(place.outside / name).touch() or (place.outside / name).stat().st_ino for name in names}) < len(names):
        names = ["file", "another"]  # this machine's file system does not tell them apart
    outcomes = move_batch(place.batch(*(place.put(name.encode(), name) for name in names)))
    assert dict.fromkeys(names) == _reasons(outcomes)
    assert {name: name.encode() for name in names} == place.arrived()


# Odd files


def test_a_sparse_file_arrives_with_its_holes_as_zeros(place: Place) -> None:
    content = b"begin" + bytes(3 << 20) + b"end"
    with (place.source / "file").open("wb") as writer:
        writer.write(b"begin")
        writer.seek(3 << 20, os.SEEK_CUR)
        writer.write(b"end")
    file = FileTransfer(id="x", source_path="file", destination_path="file", bytes=len(content), hash=sha256(content))
    assert move_batch(place.batch(file))[0].state is FileState.TRANSFERRED
    assert place.arrived() == {"file": content}


def test_names_of_one_file_arrive_as_files_of_their_own(place: Place) -> None:
    files = [place.put(path="one")]
    os.link(place.source / "one", place.source / "two")
    files.append(attrs.evolve(files[0], id="two", source_path="two", destination_path="two"))
    assert _reasons(move_batch(place.batch(*files))) == {"one": None, "two": None}
    inodes = {(place.destination / name).stat().st_ino for name in ("one", "two")}
    assert (len(inodes), place.arrived()) == (2, {"one": CONTENT, "two": CONTENT})


# Things that are swapped all the time


@contextmanager
def _exchanging(*places: tuple[Path, str, str]) -> Iterator[None]:
    """Another process changes the names of two things in a folder all the time, whatever the folder is called then."""
    folders = [os.open(folder, os.O_RDONLY) for folder, _, _ in places]

    def work() -> None:
        while True:
            for folder, (_, one, other) in zip(folders, places, strict=True):
                for former, name in ((one, "aside"), (other, one), ("aside", other)):
                    with suppress(OSError):  # the endpoint was faster, and has made something of the name
                        os.rename(former, name, src_dir_fd=folder, dst_dir_fd=folder)

    child = in_child(work)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for folder in folders:
            os.close(folder)


@pytest.mark.parametrize("policy", Overwrite)
def test_destination_folders_that_are_swapped_for_links_all_the_time_never_lead_outside(
    place: Place, policy: Overwrite
) -> None:
    file = place.put(b"inside", "a/b/file", overwrite=policy)
    (place.outside / "b").mkdir()
    (place.outside / "b" / "file").write_bytes(SECRET)
    (place.destination / "a" / "b").mkdir(parents=True)
    (place.destination / "link").symlink_to(place.outside)
    (place.destination / "a" / "link").symlink_to(place.outside / "b")
    with _exchanging((place.destination, "a", "link"), (place.destination / "a", "b", "link")):
        reasons = {move_batch(place.batch(file, durable=False))[0].reason for _ in range(300)}
    assert reasons <= {None, "unsafe path", "i/o error", "exists"}
    assert [(place.outside / name).read_bytes() for name in ("file", "b/file")] == [SECRET, SECRET]
    assert {"file", "b"} == set(os.listdir(place.outside))


def test_a_source_folder_that_is_swapped_for_another_all_the_time_gives_one_file_or_the_other(place: Place) -> None:
    right, wrong = b"right" * 50_000, b"wrong" * 50_000
    file = place.put(right, "a/file")
    place.put(wrong, "other/file")
    with _exchanging((place.source, "a", "other")):
        outcomes = [
            move_batch(place.batch(attrs.evolve(file, destination_path=f"{i}"), durable=False))[0] for i in range(200)
        ]
    assert {outcome.reason for outcome in outcomes} <= {None, "checksum mismatch", "not found"}
    arrived = [f"{i}" for i, outcome in enumerate(outcomes) if outcome.state.arrived]
    assert dict.fromkeys(arrived, right) == place.arrived()


@pytest.mark.parametrize("side", ["source", "destination"])
@pytest.mark.parametrize("make", [os.mkfifo, make_socket, make_device])
def test_a_file_that_is_swapped_for_an_odd_one_all_the_time_blocks_nobody(
    place: Place, side: str, make: Callable[[Path], object]
) -> None:
    file = place.put(b"content")
    (place.destination / "file").write_bytes(OLD)
    root = getattr(place, side)
    make(root / "odd")
    with _exchanging((root, "file", "odd")):
        outcomes = [move_batch(place.batch(file, durable=False))[0] for _ in range(300)]
    assert {outcome.reason for outcome in outcomes} <= {None, "unsafe path", "not found", "source changed", "i/o error"}
    here = [path for path in place.destination.iterdir() if stat.S_ISREG(path.lstat().st_mode)]
    assert {path.read_bytes() for path in here} <= {b"content", OLD}


# Roots


def _removed(place: Place) -> None:
    shutil.rmtree(place.destination)


def _moved_away(place: Place) -> None:
    place.destination.rename(place.destination.with_name("elsewhere"))


def _replaced(place: Place) -> None:
    _moved_away(place)
    place.destination.mkdir()


@pytest.mark.parametrize("happens", [_removed, _moved_away, _replaced])
@pytest.mark.parametrize("moment", ["readv", "rename"])
@pytest.mark.parametrize("num_files", [1, 8])
def test_what_went_to_a_root_that_is_the_destination_no_longer_has_not_arrived(
    place: Place, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Place], None], moment: str, num_files: int
) -> None:
    # It was said to have arrived, and a manifest in the new root would have listed files that are not there.
    files = [place.put(f"{i}".encode(), f"folder/{i}") for i in range(num_files)]
    real, waiting = getattr(os, moment), [happens]

    def late(*args: Any, **kwargs: Any) -> Any:
        while waiting:
            with monkeypatch.context() as patch:
                patch.setattr(os, moment, real)
                waiting.pop()(place)
        return real(*args, **kwargs)

    monkeypatch.setattr(os, moment, late)
    outcomes = move_batch(place.batch(*files, durable=False))
    monkeypatch.undo()
    assert {file.id: ("i/o error", True) for file in files} == {
        outcome.id: (outcome.reason, outcome.transient) for outcome in outcomes
    }
    place.destination.mkdir(exist_ok=True)
    outcomes = move_batch(place.batch(*files, durable=False))
    assert dict.fromkeys([file.id for file in files]) == _reasons(outcomes)


def test_a_source_root_that_vanishes_during_the_move_leaves_what_had_arrived(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [place.put(f"{i}".encode(), f"{i}") for i in range(5)]
    real, calls = os.readv, itertools.count()

    def readv(*args: Any) -> int:
        if next(calls) == 2:  # one for each file
            shutil.rmtree(place.source)
        return real(*args)

    monkeypatch.setattr(os, "readv", readv)
    outcomes = move_batch(place.batch(*files))
    assert _reasons(outcomes) == {"0": None, "1": None, "2": "source changed", "3": "not found", "4": "not found"}
    assert place.arrived() == {"0": b"0", "1": b"1"}


def test_a_target_that_is_right_is_compared_with_no_source_that_changes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = place.put(hash=None)
    (place.destination / "file").write_bytes(CONTENT)
    real, changes = os.readv, [lambda: os.truncate(place.source / "file", 7)]

    def readv(*args: Any) -> int:
        count = real(*args)
        while changes:
            changes.pop()()
        return count

    monkeypatch.setattr(os, "readv", readv)
    (outcome,) = move_batch(place.batch(file))
    assert (outcome.reason, outcome.transient) == ("source changed", True)
    assert place.arrived() == {"file": CONTENT}
