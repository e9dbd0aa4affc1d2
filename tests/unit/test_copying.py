"""Finding files below a root, copying one of them, and moving a batch."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_fsm.endpoints import copying, moving
from dts_fsm.endpoints.batches import BATCH_BYTES, Meter, batches, destination_folder
from dts_fsm.endpoints.beneath import open_root, open_source
from dts_fsm.endpoints.copying import CHUNK_BYTES, Copier
from dts_fsm.endpoints.durability import Durability, sync_file_system, syncs_at_once
from dts_fsm.endpoints.moving import move_batch
from dts_fsm.endpoints.outcomes import SourceMissingError
from dts_fsm.errors import ChecksumMismatchError, SizeMismatchError, SourceChangedError, UnsafePathError
from dts_fsm.records import FileOutcome, FileState, FileTransfer, Overwrite
from tests.folders import CONTENT, SECRET, Place, make_device, make_socket, sha256

# One file


@pytest.mark.parametrize("size_bytes", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 7])
def test_a_copy_has_the_content_and_its_checksum_is_told(place: Place, size_bytes: int) -> None:
    content = (CONTENT * 2)[:size_bytes]
    expected = FileOutcome(
        id="file", state=FileState.TRANSFERRED, observed_bytes=size_bytes, observed_hash=str(sha256(content))
    )
    assert expected == place.copy(attrs.evolve(place.put(content), hash=None), sync=True)
    assert {"file": content} == place.arrived()


def test_a_copy_keeps_permission_bits_and_modification_time_but_no_setuid_bit(place: Place) -> None:
    file = place.put()
    os.chmod(place.source / "file", 0o4751)
    os.utime(place.source / "file", ns=(5, 1_234_567_890_123_456_789))
    place.copy(file)
    status = (place.destination / "file").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o751, 1_234_567_890_123_456_789)


def test_a_file_system_without_modes_and_times_is_no_hindrance(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)  # what vfat answers
    assert place.copy(place.put()).state is FileState.TRANSFERRED


def test_writes_that_are_cut_short_are_continued(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:100_003]))
    place.copy(place.put())
    assert place.arrived() == {"file": CONTENT}


def test_a_target_that_is_right_is_left_alone(place: Place) -> None:
    file = place.put()
    place.copy(file)
    before = (place.destination / "file").stat()
    (place.source / "file").unlink()  # not even needed, once the checksum is known
    outcome = place.copy(file, sync=True)
    assert (FileState.SKIPPED, len(CONTENT), str(sha256(CONTENT))) == (
        outcome.state,
        outcome.observed_bytes,
        outcome.observed_hash,
    )
    after = (place.destination / "file").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_without_a_checksum_source_and_target_are_compared(place: Place) -> None:
    file = attrs.evolve(place.put(), hash=None, bytes=None)
    place.copy(file)
    outcome = place.copy(file)
    assert (FileState.SKIPPED, str(sha256(CONTENT))) == (outcome.state, outcome.observed_hash)
    (place.destination / "file").write_bytes(CONTENT[::-1])
    assert place.copy(file).state is FileState.TRANSFERRED
    assert place.arrived() == {"file": CONTENT}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"source_path": "missing"}, SourceMissingError),
        ({"source_path": "file/below"}, SourceMissingError),
        ({"bytes": 3}, SizeMismatchError),
        ({"hash": sha256(b"other")}, ChecksumMismatchError),
    ],
)
def test_a_file_that_is_not_as_it_should_be_leaves_nothing(
    place: Place, changes: dict[str, Any], error: type[Exception]
) -> None:
    file = attrs.evolve(place.put(), **changes)
    with pytest.raises(error):
        place.copy(file)
    assert place.arrived() == {}


def _append(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b"more")


def _overwrite_and_set_the_time_back(file: Path) -> None:
    before = file.stat()
    with file.open("r+b") as stream:
        stream.write(b"X")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(CONTENT[::-1])
    other.replace(file)


@pytest.mark.parametrize(
    "change",
    [_append, _overwrite_and_set_the_time_back, _replace, Path.unlink, lambda file: os.truncate(file, CHUNK_BYTES)],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_source_that_changes_under_the_copy_is_noticed(
    place: Place, change: Callable[[Path], None], known: bool
) -> None:
    file = place.put()
    changes: Iterator[Callable[[Path], None]] = iter([change])

    def advance(_: int) -> None:
        for once in changes:
            once(place.source / "file")

    place.advance = advance
    with pytest.raises(SourceChangedError):
        place.copy(file if known else attrs.evolve(file, hash=None))
    assert place.arrived() == {}


def test_a_source_that_grows_for_ever_is_given_up(place: Place) -> None:
    file = place.put()
    place.advance = lambda _: os.truncate(place.source / "file", 1 << 40)
    with pytest.raises(SourceChangedError):
        place.copy(file)
    assert place.arrived() == {}


def test_a_disk_that_is_full_leaves_nothing(place: Place) -> None:
    file = place.put()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK_BYTES, hard))  # a limit that the kernel holds root to as well
    try:
        (outcome,) = move_batch(place.batch(file))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (outcome.state, outcome.reason, outcome.transient) == (FileState.FAILED, "no space", False)
    assert place.arrived() == {}


def test_a_large_file_that_cannot_fit_is_refused_before_it_is_copied(place: Place) -> None:
    space = os.statvfs(place.destination)
    size_bytes = 2 * space.f_bfree * space.f_frsize + (1 << 30)
    (place.source / "file").touch()
    os.truncate(place.source / "file", size_bytes)  # with no block behind it
    written: list[int] = []
    place.advance = written.append
    with pytest.raises(OSError, match="No space left"):
        place.copy(FileTransfer(id="file", source_path="file", destination_path="file", bytes=size_bytes))
    assert written == []
    assert place.arrived() == {}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_write_that_fails_for_lack_of_space_says_so(
    place: Place, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def write(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    file = place.put()
    monkeypatch.setattr(os, "write", write)  # a full disk or quota, which a test cannot have without mounting one
    (outcome,) = move_batch(place.batch(file))
    assert outcome.reason == "no space"
    assert place.arrived() == {}


# Where it may lead


@pytest.mark.parametrize("depth", range(4))
@pytest.mark.parametrize("absolute", [True, False])
def test_a_link_to_the_outside_is_refused_at_every_component_of_a_source(
    place: Place, depth: int, absolute: bool
) -> None:
    file = place.put(path="a/b/c/file")
    parts = file.source_path.split("/")
    below = place.outside.joinpath(*parts[depth + 1 :])
    below.parent.mkdir(parents=True, exist_ok=True)
    if depth < 3:
        below.write_bytes(CONTENT)
    component = place.source.joinpath(*parts[: depth + 1])
    component.rename(place.source / "aside")
    target = place.outside if depth < 3 else place.outside / "file"
    component.symlink_to(target if absolute else os.path.relpath(target, component.parent))
    (outcome,) = move_batch(place.batch(file))
    assert (outcome.reason, outcome.transient) == ("unsafe path", False)
    assert place.arrived() == {}


@pytest.mark.parametrize("depth", range(4))
def test_a_link_is_refused_at_every_component_of_a_destination(place: Place, depth: int) -> None:
    file = place.put(path="a/b/c/file")
    (place.outside / "b" / "c").mkdir(parents=True)
    parts = file.destination_path.split("/")
    component = place.destination.joinpath(*parts[: depth + 1])
    component.parent.mkdir(parents=True, exist_ok=True)
    component.symlink_to(place.outside if depth < 3 else place.outside / "file")
    (outcome,) = move_batch(place.batch(file))
    assert (outcome.reason, outcome.transient) == ("unsafe path", False)
    assert (place.outside / "file").read_bytes() == SECRET
    assert {"b", "file"} == {path.name for path in place.outside.iterdir()}


def test_links_that_stay_below_the_root_are_followed_at_a_source(place: Place) -> None:
    place.put(path="a/b/file")
    (place.source / "a" / "link").symlink_to("../a/./b//file")
    (place.source / "folder").symlink_to("a/b/..")
    file = FileTransfer(id="x", source_path="folder/link", destination_path="file", hash=sha256(CONTENT))
    place.copy(file)
    assert place.arrived() == {"file": CONTENT}


def test_a_link_that_leads_out_and_in_again_is_refused(place: Place) -> None:
    place.put()
    (place.source / "link").symlink_to("../source/file")
    with pytest.raises(UnsafePathError):
        place.copy(FileTransfer(id="x", source_path="link", destination_path="file"))


def test_links_in_a_circle_are_refused(place: Place) -> None:
    (place.source / "one").symlink_to("two")
    (place.source / "two").symlink_to("one")
    with pytest.raises(UnsafePathError):
        place.copy(FileTransfer(id="x", source_path="one", destination_path="file"))


@pytest.mark.parametrize("path", ["../outside/file", "a/../../outside/file", "nul\0byte", "a\nb", "..", ".", "//"])
def test_a_path_with_dots_or_control_characters_is_refused_on_both_sides(place: Place, path: str) -> None:
    file = place.put()
    for changes in ({"source_path": path}, {"destination_path": path}):
        (outcome,) = move_batch(place.batch(attrs.evolve(file, **changes)))
        assert outcome.reason == "unsafe path"
    assert place.arrived() == {}


def test_an_absolute_path_is_refused(place: Place) -> None:
    file = attrs.evolve(place.put(), source_path=str(place.outside / "file"))
    with pytest.raises(UnsafePathError):
        place.copy(file)


@pytest.mark.parametrize("side", ["source", "destination"])
@pytest.mark.parametrize("swapped", ["a", "b"])
def test_a_folder_that_is_swapped_for_a_link_between_look_and_open_leads_nowhere(
    place: Place, monkeypatch: pytest.MonkeyPatch, side: str, swapped: str
) -> None:
    file = place.put(path="a/b/file")
    (place.destination / "a" / "b").mkdir(parents=True)
    (place.outside / "b").mkdir()
    (place.outside / "b" / "file").write_bytes(CONTENT)
    batch = place.batch(file)
    root = getattr(place, side)
    folder = root / "a" if swapped == "a" else root / "a" / "b"
    real_open = os.open

    def swap() -> None:
        if not folder.is_symlink():
            folder.rename(root / "aside")
            folder.symlink_to(place.outside if swapped == "a" else place.outside / "b")

    def late_open(path: Any, *args: Any, **kwargs: Any) -> int:
        if path == swapped:
            swap()
        return real_open(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", late_open)
    (outcome,) = move_batch(batch)
    monkeypatch.undo()
    assert folder.is_symlink()
    assert outcome.state == FileState.FAILED
    assert {"b", "file"} == {path.name for path in place.outside.iterdir()}
    assert [path.name for path in (place.outside / "b").iterdir()] == ["file"]
    assert place.arrived() == {}


def test_folders_that_are_swapped_for_links_all_the_time_never_lead_outside(place: Place) -> None:
    place.put(b"inside", path="a/file")
    (place.outside / "file").write_bytes(SECRET)
    folder, aside, link = place.source / "a", place.source / "aside", place.source / "link"
    link.symlink_to(place.outside)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            folder.rename(aside)
            link.rename(folder)
            folder.rename(link)
            aside.rename(folder)

    thread = threading.Thread(target=swap)
    thread.start()
    root = open_root(str(place.source))
    seen = set()
    try:
        for _ in range(2000):
            try:
                fd = open_source(root, "a/file")
            except (OSError, UnsafePathError):
                continue
            seen.add(os.read(fd, 100))
            os.close(fd)
    finally:
        over.set()
        thread.join()
        os.close(root)
    assert seen <= {b"inside"}


@pytest.mark.parametrize("make", [os.mkfifo, make_socket, make_device, Path.mkdir])
@pytest.mark.parametrize("side", ["source", "destination"])
def test_what_is_not_a_regular_file_is_refused_without_blocking(
    place: Place, make: Callable[[Path], None], side: str
) -> None:
    file = place.put()
    odd = getattr(place, side) / "file"
    odd.unlink(missing_ok=True)
    make(odd)
    (outcome,) = move_batch(place.batch(file))
    assert (outcome.reason, outcome.transient) == ("unsafe path", False)
    assert not odd.is_file()
    assert place.arrived() == {}


@pytest.mark.parametrize("device", ["null", "zero", "full"])
def test_a_device_is_refused(place: Place, device: str) -> None:
    file = FileTransfer(id="x", source_path=device, destination_path="file")
    (outcome,) = move_batch(place.batch(file, source_root="/dev"))
    assert outcome.reason == "unsafe path"
    assert place.arrived() == {}


def test_a_fifo_that_takes_a_files_place_after_the_look_does_not_block(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = place.put()
    real_stat = os.stat

    def late_stat(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        status = real_stat(path, *args, **kwargs)
        if path == "file" and stat.S_ISREG(status.st_mode) and next(looks) == 0:  # after the first look at the source
            (place.source / "file").unlink()
            os.mkfifo(place.source / "file")
        return status

    looks = itertools.count()
    monkeypatch.setattr(os, "stat", late_stat)
    with pytest.raises(UnsafePathError):
        place.copy(file)


# A batch


def test_a_batch_goes_through_more_folders_than_may_be_open(place: Place) -> None:
    files = [place.put(f"{i}".encode(), path=f"{i % 70}/x/{i}") for i in range(140)]
    outcomes = move_batch(place.batch(*files))
    assert {(file.id, FileState.TRANSFERRED) for file in files} == {(o.id, o.state) for o in outcomes}
    assert {file.id: (place.source / file.id).read_bytes() for file in files} == place.arrived()


def test_the_meter_ends_with_what_arrived(place: Place) -> None:
    right = place.put(b"right", path="right")
    move_batch(place.batch(right))
    meter = Meter()
    wrong = attrs.evolve(place.put(b"wrong", path="wrong"), hash=sha256(b"else"))
    move_batch(place.batch(right, place.put(b"new", path="new"), wrong), meter)
    assert (meter.num_files, meter.num_skipped, meter.num_bytes) == (2, 1, 8)


@pytest.mark.parametrize("num_files", [2, 20])
@pytest.mark.parametrize("at_once", [True, False])
def test_nothing_is_renamed_before_its_content_is_durable_and_nothing_told_before_its_name_is(
    place: Place, monkeypatch: pytest.MonkeyPatch, num_files: int, at_once: bool
) -> None:
    files = [place.put(f"{i}".encode(), path=f"folder/{i}") for i in range(num_files)]
    unsynced: set[str] = set()
    renamed: set[str] = set()
    real_fsync, real_rename = os.fsync, os.rename

    def path_of(fd: int) -> str:
        return os.readlink(f"/proc/self/fd/{fd}") if os.path.exists("/proc/self/fd") else ""

    def fsync(fd: int) -> None:
        unsynced.discard(os.path.basename(path_of(fd)))
        if os.path.isdir(path_of(fd)):
            renamed.clear()
        real_fsync(fd)

    def sync_all(_: int) -> None:
        unsynced.clear()
        renamed.clear()

    def rename(source: str, target: str, **kwargs: Any) -> None:
        assert source not in unsynced
        renamed.add(target)
        real_rename(source, target, **kwargs)

    real_copy = Copier.copy

    def copy(copier: Copier, file: FileTransfer, *, part: str, sync: bool, **kwargs: Any) -> FileOutcome:
        if not sync:
            unsynced.add(part)
        return real_copy(copier, file, part=part, sync=sync, **kwargs)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(Copier, "copy", copy)
    monkeypatch.setattr(moving, "sync_file_system", sync_all)
    monkeypatch.setattr(moving, "syncs_at_once", lambda _: at_once)
    outcomes = move_batch(place.batch(*files))
    assert [FileState.TRANSFERRED] * num_files == [outcome.state for outcome in outcomes]
    assert set() == renamed


@pytest.mark.parametrize("failing_call", [1, 2])
def test_when_syncing_fails_no_file_is_said_to_have_arrived(
    place: Place, monkeypatch: pytest.MonkeyPatch, failing_call: int
) -> None:
    files = [place.put(f"{i}".encode(), path=f"folder/{i}") for i in range(20)]
    calls = itertools.count(1)

    def sync_all(_: int) -> None:
        if next(calls) == failing_call:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(moving, "sync_file_system", sync_all)
    monkeypatch.setattr(moving, "syncs_at_once", lambda _: True)
    outcomes = move_batch(place.batch(*files))
    assert [(outcome.reason, outcome.transient) for outcome in outcomes] == [("i/o error", True)] * 20
    assert sum(name.endswith(".part") for name in place.arrived()) == 0


def test_a_batch_that_is_not_durable_syncs_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise AssertionError("not asked for")

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(moving, "sync_file_system", refuse)
    files = [place.put(f"{i}".encode(), path=f"folder/{i}") for i in range(20)]
    assert sum(o.state is FileState.TRANSFERRED for o in move_batch(place.batch(*files, durable=False))) == 20


def test_a_large_file_that_is_not_durable_is_left_to_the_system_to_write_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[int, int]] = []
    monkeypatch.setattr(copying, "_WRITE_BACK_BYTES", CHUNK_BYTES)
    monkeypatch.setattr(copying, "_begin_write_back", lambda _, offset, count: begun.append((offset, count)))
    file = place.put(bytes(2 * CHUNK_BYTES))
    assert move_batch(place.batch(file, durable=Durability.NONE))[0].state is FileState.TRANSFERRED
    assert begun == []
    (place.destination / "file").unlink()
    assert move_batch(place.batch(file))[0].state is FileState.TRANSFERRED
    assert begun == [(0, CHUNK_BYTES), (CHUNK_BYTES, CHUNK_BYTES)]


def test_where_each_file_is_durable_for_itself_it_is_so_before_the_next_is_begun(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_fsync, real_rename, real_copy = os.fsync, os.rename, Copier.copy

    def fsync(fd: int) -> None:
        done.append("sync a folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "sync a file")
        real_fsync(fd)

    def rename(source: str, target: str, **kwargs: Any) -> None:
        done.append(f"show {target}")
        real_rename(source, target, **kwargs)

    def copy(copier: Copier, file: FileTransfer, **kwargs: Any) -> FileOutcome:
        done.append(f"copy {file.id}")
        return real_copy(copier, file, **kwargs)

    def refuse(_: int) -> None:
        raise AssertionError("not asked for")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(Copier, "copy", copy)
    monkeypatch.setattr(moving, "sync_file_system", refuse)
    files = [place.put(f"{i}".encode(), path=f"{i}") for i in range(20)]
    outcomes = move_batch(place.batch(*files, durable=Durability.FILE))
    assert [outcome.state for outcome in outcomes] == [FileState.TRANSFERRED] * 20
    steps = [[f"copy {i}", "sync a file", f"show {i}", "sync a folder"] for i in range(20)]
    assert [step for of_one in steps for step in of_one] == done


def test_what_appears_in_a_folder_that_was_just_made_is_met_as_overwrite_says(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, replaced, folder = (place.put(b"ours", path=f"folder/{name}") for name in ("kept", "replaced", "place"))
    real_copy = Copier.copy

    def copy(copier: Copier, file: FileTransfer, **kwargs: Any) -> FileOutcome:
        outcome = real_copy(copier, file, **kwargs)
        target = place.destination / file.destination_path
        if file is folder:
            target.mkdir()
        else:
            target.write_bytes(b"theirs")
        return outcome

    monkeypatch.setattr(Copier, "copy", copy)
    kept = attrs.evolve(kept, overwrite=Overwrite.NEVER)
    outcomes = {outcome.id: outcome for outcome in move_batch(place.batch(kept, replaced, folder))}
    reasons = {id_: (outcome.reason, outcome.transient) for id_, outcome in outcomes.items() if outcome.reason}
    assert reasons == {"folder/kept": ("exists", False), "folder/place": ("unsafe path", False)}
    assert place.arrived() == {"folder/kept": b"theirs", "folder/replaced": b"ours"}


def test_a_failed_rename_fails_one_file_and_leaves_no_litter(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [place.put(f"{i}".encode(), path=f"folder/{i}") for i in range(8)]
    real_rename = os.rename

    def rename(source: str, target: str, **kwargs: Any) -> None:
        if target == "3":
            raise OSError(errno.EIO, "Input/output error")
        real_rename(source, target, **kwargs)

    monkeypatch.setattr(os, "rename", rename)
    outcomes = {outcome.id: outcome.state for outcome in move_batch(place.batch(*files))}
    assert {file.id: FileState.FAILED if file.id == "folder/3" else FileState.TRANSFERRED for file in files} == outcomes
    assert {f"folder/{i}" for i in range(8) if i != 3} == set(place.arrived())


def test_litter_of_the_same_operation_is_cleared_away_and_no_other(place: Place) -> None:
    file = place.put(path="folder/file")
    batch = place.batch(file)
    (place.destination / "folder").mkdir()
    litter = f".dts-{batch.operation}-00000000-1.part"
    others = f".dts-{uuid4().hex}-00000000-1.part"
    later = f".dts-{batch.operation}-{int(batch.attempt, 16) + 1:024x}-1.part"  # of a run that has replaced this one
    for name in (litter, others, later):
        (place.destination / "folder" / name).write_bytes(b"half")
    move_batch(batch)
    assert place.arrived() == {f"folder/{others}": b"half", f"folder/{later}": b"half", "folder/file": CONTENT}


def test_a_root_that_has_gone_fails_all_files_transiently(place: Place) -> None:
    batch = place.batch(place.put(), source_root=str(place.source / "gone"))
    assert [(outcome.reason, outcome.transient) for outcome in move_batch(batch)] == [("i/o error", True)]


def test_no_file_is_left_open(place: Place) -> None:
    before = len(os.listdir("/dev/fd"))
    files = [place.put(f"{i}".encode(), path=f"{i % 3}/{i}") for i in range(30)]
    move_batch(place.batch(*files, attrs.evolve(files[0], source_path="missing"), attrs.evolve(files[1], bytes=99)))
    assert before == len(os.listdir("/dev/fd"))


def test_syncing_the_file_system_of_a_folder_works_where_it_is_said_to(place: Place) -> None:
    fd = open_root(str(place.destination))
    try:
        if syncs_at_once(fd):
            sync_file_system(fd)
    finally:
        os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        sync_file_system(fd)
    assert not syncs_at_once(fd)


_SIZES = st.lists(st.one_of(st.none(), st.integers(0, 2 * BATCH_BYTES)), max_size=40)


@given(sizes=_SIZES, max_files=st.integers(1, 5))
def test_batches_have_all_files_in_order_within_their_limits(sizes: list[int | None], max_files: int) -> None:
    files = [
        FileTransfer(id=f"{i}", source_path=f"{i}", destination_path=f"{i % 3}/{i}", bytes=size)
        for i, size in enumerate(sizes)
    ]
    made = list(
        batches(
            files,
            source_root="/s",
            destination_root="/d",
            operation_id=uuid4(),
            durable=True,
            max_files=max_files,
        )
    )
    assert files == [file for batch in made for file in batch.files]
    assert all(1 <= len(batch.files) <= max_files for batch in made)
    assert all(
        len(batch.files) == 1
        or sum(BATCH_BYTES if file.bytes is None else file.bytes for file in batch.files) <= BATCH_BYTES
        for batch in made
    )
    folders = [folder for batch in made for folder in batch.new_folders]
    assert sorted({destination_folder(file) for file in files}) == sorted(folders)
