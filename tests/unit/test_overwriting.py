"""What becomes of a file that is in the place of one to be moved, at every instant and after every kill."""

from __future__ import annotations

import errno
import os
import signal
import stat
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from dts_fsm.endpoints import moving
from dts_fsm.endpoints.batches import Batch, Meter
from dts_fsm.endpoints.moving import move_batch
from dts_fsm.records import FileOutcome, FileState, Overwrite, TransferStatusCode
from dts_fsm.testing import ORCID, Rig
from tests.folders import CONTENT, Place, in_child, make_device, make_socket, sha256, unprivileged

OTHER = b"what somebody else has put there"
MUTATIONS = ("open", "write", "fchmod", "utime", "fsync", "rename", "link", "unlink", "mkdir", "close")
"""The calls by which the file system is changed, or between which it is."""


def _states(outcomes: Sequence[FileOutcome]) -> list[tuple[FileState, str | None, bool]]:
    return [(outcome.state, outcome.reason, outcome.transient) for outcome in outcomes]


EXISTS = [(FileState.FAILED, "exists", False)]


def _before(monkeypatch: pytest.MonkeyPatch, name: str, happens: Callable[[], object]) -> None:
    """Before the first call of this function of ``os`` something happens."""
    real, waiting = getattr(os, name), [happens]

    def late(*args: Any, **kwargs: Any) -> Any:
        while waiting:
            waiting.pop()()
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, late)


# never


def test_a_file_that_is_never_overwritten_is_not_even_touched(place: Place) -> None:
    (place.destination / "file").write_bytes(OTHER)
    before = (place.destination / "file").lstat()
    (outcome,) = move_batch(place.batch(place.put(overwrite=Overwrite.NEVER)))
    assert _states([outcome]) == EXISTS
    assert outcome.error == (
        "file: a file with other content is there, and service.overwrite is 'never': "
        "move that file away, or change the setting"
    )
    assert place.arrived() == {"file": OTHER}
    after = (place.destination / "file").lstat()
    assert (before.st_ino, before.st_ctime_ns) == (after.st_ino, after.st_ctime_ns)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("num_files", [1, 8])
@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_during_the_copy_is_never_replaced(
    place: Place, monkeypatch: pytest.MonkeyPatch, num_files: int, durable: bool, links: bool
) -> None:
    files = [place.put(f"{i}".encode(), f"folder/{i}", overwrite=Overwrite.NEVER) for i in range(num_files)]
    if not links:
        _without_links(monkeypatch, errno.EPERM)
    _before(monkeypatch, "link", lambda: (place.destination / "folder" / "0").write_bytes(OTHER))
    outcomes = move_batch(place.batch(*files, durable=durable))
    expected = {file.id: (FileState.TRANSFERRED, None) for file in files} | {"folder/0": (FileState.FAILED, "exists")}
    assert expected == {outcome.id: (outcome.state, outcome.reason) for outcome in outcomes}
    assert {file.id: file.id[-1:].encode() for file in files} | {"folder/0": OTHER} == place.arrived()


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("durable", [True, False])
def test_a_right_file_that_appears_during_the_copy_counts_as_one_that_was_there(
    place: Place, monkeypatch: pytest.MonkeyPatch, known: bool, durable: bool
) -> None:
    changes: dict[str, Any] = {} if known else {"hash": None, "bytes": None}
    file = place.put(overwrite=Overwrite.NEVER, **changes)
    _before(monkeypatch, "link", lambda: (place.destination / "file").write_bytes(CONTENT))
    meter = Meter()
    (outcome,) = move_batch(place.batch(file, durable=durable), meter)
    assert (FileState.SKIPPED, len(CONTENT), str(sha256(CONTENT))) == (
        outcome.state,
        outcome.observed_bytes,
        outcome.observed_hash,
    )
    assert (meter.num_files, meter.num_skipped, meter.num_bytes) == (1, 1, len(CONTENT))
    assert place.arrived() == {"file": CONTENT}


def test_a_right_file_that_appears_during_the_copy_is_durable_once_it_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [place.put(f"{i}".encode(), f"folder/{i}", overwrite=Overwrite.NEVER) for i in range(8)]
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
    )
    monkeypatch.setattr(moving, "syncs_at_once", lambda _: True)
    monkeypatch.setattr(moving, "sync_file_system", lambda _: synced.append("all"))
    _before(monkeypatch, "link", lambda: (place.destination / "folder" / "0").write_bytes(b"0"))
    outcomes = move_batch(place.batch(*files))
    assert [outcome.state for outcome in outcomes] == [FileState.SKIPPED] + [FileState.TRANSFERRED] * 7
    assert synced == ["all", "file", "folder", "all"]


def test_a_file_that_appears_and_goes_again_is_tried_for_once_more(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: Any, **__: Any) -> None:
        raise FileExistsError(errno.EEXIST, "File exists")

    file = place.put(overwrite=Overwrite.NEVER)
    monkeypatch.setattr(os, "link", link)
    assert _states(move_batch(place.batch(file))) == [(FileState.FAILED, "i/o error", True)]
    assert place.arrived() == {}


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("elsewhere")])
def test_an_odd_file_that_appears_during_the_copy_is_left_there(
    place: Place, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object]
) -> None:
    file = place.put(overwrite=Overwrite.NEVER)
    _before(monkeypatch, "link", lambda: make(place.destination / "file"))
    assert _states(move_batch(place.batch(file))) == [(FileState.FAILED, "unsafe path", False)]
    assert os.listdir(place.destination) == ["file"]


def _without_links(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_where_there_are_no_hard_links_files_arrive_all_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    _without_links(monkeypatch, number)
    (outcome,) = move_batch(place.batch(place.put(overwrite=Overwrite.NEVER)))
    assert outcome.state is FileState.TRANSFERRED
    assert place.arrived() == {"file": CONTENT}


def test_another_error_of_linking_is_the_files_own(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_links(monkeypatch, errno.ENOSPC)
    assert _states(move_batch(place.batch(place.put(overwrite=Overwrite.NEVER)))) == [
        (FileState.FAILED, "no space", False)
    ]
    assert place.arrived() == {}


def test_a_temporary_name_that_cannot_be_removed_does_not_make_an_arrived_file_fail(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlink(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    file = place.put(overwrite=Overwrite.NEVER)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        (outcome,) = move_batch(place.batch(file))
    assert outcome.state is FileState.TRANSFERRED
    assert (place.destination / "file").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Overwrite.NEVER, EXISTS),
        (Overwrite.IF_DIFFERENT, [(FileState.TRANSFERRED, None, False)]),
        (Overwrite.ALWAYS, [(FileState.TRANSFERRED, None, False)]),
    ],
)
def test_a_file_that_may_not_be_compared_exists_for_never_and_is_replaced_otherwise(
    policy: Overwrite, expected: list[tuple[FileState, str | None, bool]]
) -> None:
    with tempfile.TemporaryDirectory() as base, unprivileged() as executor:
        os.chmod(base, 0o755)
        place = Place.below(Path(base))
        os.chmod(place.destination, 0o777)
        (place.destination / "file").write_bytes(CONTENT)
        os.chmod(place.destination / "file", 0)
        outcomes = executor.submit(move_batch, place.batch(place.put(overwrite=policy))).result(30)
        assert expected == _states(outcomes)
        assert os.listdir(place.destination) == ["file"]


# always


def test_always_copies_again_what_is_right(place: Place) -> None:
    file = place.put(overwrite=Overwrite.ALWAYS)
    (place.destination / "file").write_bytes(CONTENT)
    before = (place.destination / "file").stat().st_ino
    os.chmod(place.source / "file", 0o640)
    assert _states(move_batch(place.batch(file))) == [(FileState.TRANSFERRED, None, False)]
    after = (place.destination / "file").stat()
    assert before != after.st_ino
    assert after.st_mode & 0o777 == 0o640
    assert place.arrived() == {"file": CONTENT}


def test_always_leaves_what_is_right_where_the_source_is_not(place: Place) -> None:
    file = place.put(overwrite=Overwrite.ALWAYS)
    (place.destination / "file").write_bytes(CONTENT)
    (place.source / "file").write_bytes(CONTENT[::-1])
    assert _states(move_batch(place.batch(file))) == [(FileState.FAILED, "checksum mismatch", False)]
    assert place.arrived() == {"file": CONTENT}


# All of them


@pytest.mark.parametrize("policy", Overwrite)
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, make_socket, make_device])
def test_what_is_not_a_regular_file_is_replaced_under_no_policy(
    place: Place, policy: Overwrite, make: Callable[[Path], object]
) -> None:
    make(place.destination / "file")
    before = (place.destination / "file").stat()
    assert _states(move_batch(place.batch(place.put(overwrite=policy)))) == [(FileState.FAILED, "unsafe path", False)]
    after = (place.destination / "file").stat()
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)


@pytest.mark.parametrize("policy", [Overwrite.IF_DIFFERENT, Overwrite.ALWAYS])
def test_a_target_that_has_another_name_elsewhere_is_replaced_and_not_written_through(
    place: Place, policy: Overwrite
) -> None:
    (place.outside / "kept").write_bytes(OTHER)
    os.link(place.outside / "kept", place.destination / "file")
    move_batch(place.batch(place.put(overwrite=policy)))
    assert (place.arrived(), (place.outside / "kept").read_bytes()) == ({"file": CONTENT}, OTHER)


@pytest.mark.parametrize("policy", [Overwrite.IF_DIFFERENT, Overwrite.ALWAYS])
@pytest.mark.parametrize("num_files", [1, 8])
def test_a_reader_sees_the_old_content_or_the_new_whole_at_every_instant(
    place: Place, policy: Overwrite, num_files: int
) -> None:
    contents = [bytes([letter]) * 150_000 for letter in b"AB"]
    others = [place.put(b"x", f"{i}") for i in range(num_files - 1)]
    move_batch(place.batch(place.put(contents[0])))
    over, seen = threading.Event(), []

    def watch() -> None:
        while not over.is_set():
            seen.append((place.destination / "file").read_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for i in range(30):
            file = place.put(contents[i % 2], overwrite=policy)
            assert move_batch(place.batch(file, *others, durable=False))[0].state.arrived
    finally:
        over.set()
        watcher.join()
    assert set(seen) <= set(contents)
    assert len(seen) > 1


# Killed at every call


def _killed(batch: Batch, call: int) -> bool:
    """Move the batch in a child process that is killed before the ``call``-th change; False where it ended first."""

    def work() -> None:
        num_calls = 0

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                nonlocal num_calls
                num_calls += 1
                if num_calls == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)

            return wrapper

        os.fsync = int  # the disk is spared: no power is cut here
        for name in MUTATIONS:
            setattr(os, name, counted(getattr(os, name)))
        move_batch(batch)

    child = in_child(work)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


TRANSFERRED, SKIPPED = FileState.TRANSFERRED, FileState.SKIPPED


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("num_files", [1, 5])
@pytest.mark.parametrize(
    ("policy", "there", "ends"),
    [
        (Overwrite.NEVER, None, {TRANSFERRED, SKIPPED}),
        (Overwrite.NEVER, OTHER, {FileState.FAILED}),
        (Overwrite.NEVER, CONTENT, {SKIPPED}),
        (Overwrite.IF_DIFFERENT, None, {TRANSFERRED, SKIPPED}),
        (Overwrite.IF_DIFFERENT, OTHER, {TRANSFERRED, SKIPPED}),
        (Overwrite.ALWAYS, OTHER, {TRANSFERRED}),
        (Overwrite.ALWAYS, CONTENT, {TRANSFERRED}),
    ],
)
def test_a_kill_at_any_call_leaves_old_or_new_and_the_same_submission_comes_to_the_right_end(
    place: Place, policy: Overwrite, there: bytes | None, ends: set[FileState], num_files: int, known: bool
) -> None:
    changes: dict[str, Any] = {"overwrite": policy} | ({} if known else {"hash": None})
    contents = {"folder/0": CONTENT} | {f"folder/{i}": b"small" for i in range(1, num_files)}
    files = [place.put(content, path, **changes) for path, content in contents.items()]
    target = place.destination / "folder" / "0"
    new = there if policy is Overwrite.NEVER and there is not None else CONTENT
    states: set[FileState] = set()
    call, killed = 0, True
    while killed:
        call += 1
        target.parent.mkdir()
        if there is not None:
            target.write_bytes(there)
        batch = place.batch(*files, durable=num_files == 1)
        killed = _killed(batch, call)
        left = target.read_bytes() if target.exists() else None
        assert left in (there, new), call
        outcomes = move_batch(attrs.evolve(batch, attempt="again", durable=False))
        (first,) = [outcome for outcome in outcomes if outcome.id == "folder/0"]
        states.add(first.state)
        assert first.reason in (None, "exists"), call
        assert contents | {"folder/0": new} == place.arrived(), call
        for path in target.parent.iterdir():
            path.unlink()
        target.parent.rmdir()
    assert ends == states
    assert call > 5


# The setting


@pytest.mark.parametrize("crash", [True, False])
@pytest.mark.parametrize(
    ("policy", "there", "code", "num_skipped"),
    [
        ("never", b"another's", TransferStatusCode.FAILED, 0),
        ("never", b"content of a", TransferStatusCode.SUCCEEDED, 1),
        ("if-different", b"another's", TransferStatusCode.SUCCEEDED, 0),
        ("if-different", b"content of a", TransferStatusCode.SUCCEEDED, 1),
        ("always", b"another's", TransferStatusCode.SUCCEEDED, 0),
        ("always", b"content of a", TransferStatusCode.SUCCEEDED, 0),
    ],
)
def test_the_setting_says_what_becomes_of_a_file_in_the_way(
    tmp_path: Path, policy: str, there: bytes, code: TransferStatusCode, num_skipped: int, crash: bool
) -> None:
    rig = Rig(tmp_path, overwrite=policy)
    try:
        for name in ("a", "b"):
            rig.source.add(name, f"content of {name}".encode())
        transfer_id = rig.create("a", "b")
        path = f"{ORCID}/dts-{transfer_id}/a"
        rig.destination_endpoint.put(path, there)
        rig.source_endpoint.duration_s = 10
        while not rig.source_endpoint.submissions:
            rig.tick()
            rig.clock.advance(1)
        if crash:
            rig.reopen()  # the endpoints know nothing of the move any more: it is submitted again
        status = rig.run(transfer_id)
        assert (code, num_skipped) == (status.code, status.num_files_skipped)
        failed = [
            (file.id, file.reason)
            for file in rig.store.files(rig.store.rowid(transfer_id))
            if file.state is FileState.FAILED
        ]
        assert failed == ([("a", "exists")] if code is TransferStatusCode.FAILED else [])
        expected = there if policy == "never" else b"content of a"
        assert expected == rig.destination_endpoint.files[path].content
        assert len(rig.source_endpoint.submissions) >= 1 + crash
    finally:
        rig.close()
