"""Staging from an archive: the queue, the copies, and everything that may be in their way."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from dts_fsm.databases import files, staging
from dts_fsm.databases.files import copy_beneath, sweep_beneath
from dts_fsm.databases.staging import StagingQueue
from dts_fsm.errors import SizeMismatchError, SourceChangedError, TransientError, UnsafePathError
from dts_fsm.records import Descriptor, StagingStatus
from tests.folders import make_device, make_socket

DEADLINE_S = 20.0
FILE = Descriptor(id="a", path="a", bytes=1)


def _until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it has not happened in time"
        threading.Event().wait(0.002)


class Robot:
    """Brings files only when told, and says which."""

    def __init__(self) -> None:
        self.brought: list[str] = []
        self.began, self.go_on = threading.Event(), threading.Event()
        self.error: Exception | None = None

    def bring(self, _: UUID, files: Sequence[Descriptor], stopped: threading.Event) -> None:
        self.began.set()
        _until(lambda: self.go_on.is_set() or stopped.is_set())
        if stopped.is_set():
            raise TransientError("stopped")
        if self.error is not None:
            raise self.error
        self.brought += [file.id for file in files]


@pytest.fixture
def robot() -> Robot:
    return Robot()


@pytest.fixture
def queue(robot: Robot) -> Iterator[StagingQueue]:
    queue = StagingQueue(robot.bring)
    yield queue
    queue.close()


def _ended(queue: StagingQueue, request_id: UUID) -> StagingStatus:
    _until(lambda: queue.status(request_id) is not StagingStatus.ACTIVE)
    return queue.status(request_id)


def test_requests_are_worked_off_in_their_order_and_then_the_thread_ends(queue: StagingQueue, robot: Robot) -> None:
    ids = [uuid4(), uuid4()]
    for number, request_id in enumerate(ids):
        queue.ask(request_id, [Descriptor(id=f"{number}{name}", path=name, bytes=1) for name in "ab"])
    assert [queue.status(request_id) for request_id in ids] == [StagingStatus.ACTIVE] * 2
    robot.go_on.set()
    assert [_ended(queue, request_id) for request_id in ids] == [StagingStatus.SUCCEEDED] * 2
    assert robot.brought == ["0a", "0b", "1a", "1b"]
    _until(lambda: not any(thread.name == "dts-fsm-staging" for thread in threading.enumerate()))
    queue.ask(third := uuid4(), [FILE])
    assert _ended(queue, third) is StagingStatus.SUCCEEDED


def test_a_request_without_files_has_succeeded_at_once(queue: StagingQueue) -> None:
    queue.ask(request_id := uuid4(), [])
    assert queue.status(request_id) is StagingStatus.SUCCEEDED


def test_a_request_under_way_is_not_made_twice(queue: StagingQueue, robot: Robot) -> None:
    request_id = uuid4()
    queue.ask(request_id, [FILE])
    queue.ask(request_id, [FILE])
    robot.go_on.set()
    queue.ask(last := uuid4(), [])
    assert _ended(queue, request_id) is StagingStatus.SUCCEEDED
    assert queue.status(last) is StagingStatus.SUCCEEDED
    assert robot.brought == ["a"]


def test_a_request_that_failed_can_be_made_again(
    queue: StagingQueue, robot: Robot, caplog: pytest.LogCaptureFixture
) -> None:
    robot.error = OSError(28, "No space left on device")
    robot.go_on.set()
    queue.ask(request_id := uuid4(), [FILE])
    assert _ended(queue, request_id) is StagingStatus.FAILED
    assert [record.message for record in caplog.records] == ["staging failed"]
    robot.error = None
    queue.ask(request_id, [FILE])
    assert _ended(queue, request_id) is StagingStatus.SUCCEEDED


def test_a_request_waits_for_the_tape(robot: Robot) -> None:
    robot.go_on.set()
    queue = StagingQueue(robot.bring, delay_s=0.05)
    began_s = time.monotonic()
    queue.ask(request_id := uuid4(), [FILE])
    assert _ended(queue, request_id) is StagingStatus.SUCCEEDED
    assert time.monotonic() - began_s >= 0.05


def test_closing_ends_what_is_under_way_and_forgets_it(
    queue: StagingQueue, robot: Robot, caplog: pytest.LogCaptureFixture
) -> None:
    queue.ask(done := uuid4(), [])
    queue.ask(first := uuid4(), [FILE])
    queue.ask(second := uuid4(), [FILE])
    assert robot.began.wait(DEADLINE_S)
    queue.close()
    queue.close()
    statuses = [queue.status(request_id) for request_id in (done, first, second)]
    assert statuses == [StagingStatus.SUCCEEDED, StagingStatus.UNKNOWN, StagingStatus.UNKNOWN]
    assert (robot.brought, caplog.records) == ([], [])
    robot.go_on.set()
    queue.ask(first, [FILE])
    assert _ended(queue, first) is StagingStatus.SUCCEEDED


def test_closing_does_not_wait_for_the_tape(robot: Robot) -> None:
    queue = StagingQueue(robot.bring, delay_s=3600)
    queue.ask(request_id := uuid4(), [FILE])
    queue.close()
    assert queue.status(request_id) is StagingStatus.UNKNOWN
    assert not robot.began.is_set()


def test_a_request_is_not_begun_while_its_fence_is_shut(queue: StagingQueue, robot: Robot) -> None:
    asked, valid = threading.Event(), threading.Event()
    robot.go_on.set()
    queue.fence(lambda: asked.set() or valid.is_set())  # type: ignore[func-returns-value]
    queue.ask(first := uuid4(), [FILE])
    assert asked.wait(DEADLINE_S)
    assert (queue.status(first), robot.began.is_set()) == (StagingStatus.ACTIVE, False)
    valid.set()
    assert _ended(queue, first) is StagingStatus.SUCCEEDED
    valid.clear()
    queue.ask(second := uuid4(), [FILE])
    queue.fence(lambda: True)
    assert (queue.status(second), len(robot.brought)) == (StagingStatus.UNKNOWN, 1)
    queue.ask(second, [FILE])
    assert _ended(queue, second) is StagingStatus.SUCCEEDED


def test_the_oldest_ended_requests_are_forgotten(
    queue: StagingQueue, robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MAX_REMEMBERED", 3)
    queue.ask(active := uuid4(), [FILE])
    ids = [uuid4() for _ in range(5)]
    for request_id in ids:
        queue.ask(request_id, [])
    expected = [StagingStatus.UNKNOWN] * 3 + [StagingStatus.SUCCEEDED] * 2
    assert expected == [queue.status(request_id) for request_id in ids]
    assert queue.status(active) is StagingStatus.ACTIVE
    robot.go_on.set()


def test_requests_under_way_are_never_forgotten(
    queue: StagingQueue, robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MAX_REMEMBERED", 1)
    ids = [uuid4() for _ in range(3)]
    for request_id in ids:
        queue.ask(request_id, [FILE])
    assert [queue.status(request_id) for request_id in ids] == [StagingStatus.ACTIVE] * 3
    robot.go_on.set()


# Copies


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text("content", encoding="utf-8")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def _contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_copy_is_whole_with_its_time_and_nothing_beside_it(archive: Path, root: Path) -> None:
    os.utime(archive / "sub" / "file", ns=(5, 7))
    for _ in range(2):
        copy_beneath(archive, root, "sub/file", size_bytes=7)
        assert _contents(root) == {"sub/file": "content"}
    assert (root / "sub" / "file").stat().st_mtime_ns == 7


def test_a_copy_replaces_what_was_there(archive: Path, root: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "file").write_text("half", encoding="utf-8")
    copy_beneath(archive, root, "sub/file", size_bytes=7)
    assert _contents(root) == {"sub/file": "content"}


@pytest.mark.parametrize("side", ["archive", "root"])
@pytest.mark.parametrize("component", ["sub", "sub/file"])
def test_no_symbolic_link_is_followed_on_either_side(
    tmp_path: Path, archive: Path, root: Path, side: str, component: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("private", encoding="utf-8")
    folder = archive if side == "archive" else root
    if side == "archive":
        (archive / "sub" / "file").unlink()
        if component == "sub":
            (archive / "sub").rmdir()
    elif component == "sub/file":
        (root / "sub").mkdir()
    (folder / component).symlink_to(outside if component == "sub" else outside / "file")
    with pytest.raises(UnsafePathError, match="symbolic link"):
        copy_beneath(archive, root, "sub/file", size_bytes=7)
    assert _contents(outside) == {"file": "private"}
    if side == "archive":
        assert _contents(root) == {}


def test_what_is_no_regular_file_is_refused_without_being_opened(
    archive: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A FIFO was opened, and whoever waited to write to it was told that somebody reads; a socket was an i/o error.
    os.mkfifo(archive / "fifo")
    make_device(archive / "device")
    make_socket(archive / "socket")
    opened, real_open = [], os.open
    monkeypatch.setattr(
        os, "open", lambda name, *args, **kwargs: opened.append(name) or real_open(name, *args, **kwargs)
    )
    for name in ("fifo", "device", "socket", "sub"):
        with pytest.raises(UnsafePathError, match="not a regular file"):
            copy_beneath(archive, root, name, size_bytes=0)
    assert [archive] * 4 == opened


def test_a_fifo_that_takes_a_files_place_after_the_look_does_not_block(
    archive: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_stat = os.stat

    def late_stat(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        status = real_stat(path, *args, **kwargs)
        if path == "file":
            (archive / "sub" / "file").unlink()
            os.mkfifo(archive / "sub" / "file")
        return status

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", late_stat)
        with pytest.raises(UnsafePathError, match="not a regular file"):
            copy_beneath(archive, root, "sub/file", size_bytes=7)


def test_a_folder_or_a_file_in_the_way_is_an_error_and_stays(archive: Path, root: Path) -> None:
    (root / "sub" / "file").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        copy_beneath(archive, root, "sub/file", size_bytes=7)
    (root / "sub" / "file").rmdir()
    (root / "sub").rmdir()
    (root / "sub").touch()
    with pytest.raises(UnsafePathError, match="not a folder"):
        copy_beneath(archive, root, "sub/file", size_bytes=7)
    assert _contents(root) == {"sub": ""}


def test_another_size_than_the_catalogs_is_refused(archive: Path, root: Path) -> None:
    with pytest.raises(SizeMismatchError, match="expected 8 bytes, found 7"):
        copy_beneath(archive, root, "sub/file", size_bytes=8)
    assert _contents(root) == {}


def test_a_file_that_is_missing_is_an_error(archive: Path, root: Path) -> None:
    with pytest.raises(FileNotFoundError):
        copy_beneath(archive, root, "sub/other", size_bytes=8)


def test_a_copy_that_is_stopped_leaves_nothing(archive: Path, root: Path) -> None:
    stopped = threading.Event()
    copy_beneath(archive, root, "sub/file", size_bytes=7, stopped=stopped)
    (root / "sub" / "file").unlink()
    stopped.set()
    with pytest.raises(TransientError, match="was stopped"):
        copy_beneath(archive, root, "sub/file", size_bytes=7, stopped=stopped)
    assert _contents(root) == {}


def test_temporary_files_with_a_prefix_are_swept_from_the_folders_of_the_files_alone(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The names were random: a kill while a file was staged left the half of it in the source's folder for ever.
    (tmp_path / "outside").mkdir()
    (root / "sub" / "inner").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path / "outside")
    for folder in (root, root / "sub", root / "sub" / "inner", tmp_path / "outside"):
        for name in ("file", ".dts-1-a.part", ".dts-1-b.part", ".dts-2-a.part"):
            (folder / name).touch()
    before, listed, listdir = _contents(root).keys(), [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or listdir(folder))
    for paths in (["file", "other", "sub/file", "sub/other", "missing/file", "link/file", "file/below"], []):
        sweep_beneath(root, paths, ".dts-1-")
    swept = {".dts-1-a.part", ".dts-1-b.part", "sub/.dts-1-a.part", "sub/.dts-1-b.part"}
    assert (before - swept, 4, 2) == (_contents(root).keys(), len(listdir(tmp_path / "outside")), len(listed))


def test_what_cannot_be_swept_is_no_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    (root / ".dts-1-a.part").touch()
    monkeypatch.setattr(os, "unlink", refuse)
    sweep_beneath(root, ["file"], ".dts-1-")
    assert _contents(root) == {".dts-1-a.part": ""}


def test_a_source_that_grows_meanwhile_is_not_followed(
    archive: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = files._refuse_link

    def write_meanwhile(folder: int, name: str, path: str) -> None:
        original(folder, name, path)
        with open(archive / "sub" / "file", "a", encoding="utf-8") as writer:
            writer.write(" and more")

    monkeypatch.setattr(files, "_refuse_link", write_meanwhile)
    with pytest.raises(SourceChangedError, match="changed while it was copied"):
        copy_beneath(archive, root, "sub/file", size_bytes=7)
    assert _contents(root) == {}
