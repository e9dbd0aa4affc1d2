"""The local endpoint: settings, workers, progress, cancellation, crashes."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest

from dts_fsm.config import EndpointConfig
from dts_fsm.endpoints import LocalEndpoint, copying, local
from dts_fsm.endpoints import endpoint as endpoint_module
from dts_fsm.endpoints.batches import Batch, batches
from dts_fsm.endpoints.durability import Durability
from dts_fsm.endpoints.moving import _Work, move_batch
from dts_fsm.errors import InvalidEndpointConfigError, PermanentError, SourceChangedError, TransientError
from dts_fsm.records import Checksum, Descriptor, FileState, FileTransfer, OperationCode, OperationStatus, Overwrite
from dts_fsm.records.checksum import MissingHashError
from dts_fsm.testing import FakeEndpoint
from dts_fsm.testing.endpoint_pair import wait_for_end
from tests.folders import unprivileged

MIB = 1 << 20
DEADLINE_S = 30.0


@attrs.frozen
class Pair:
    source: LocalEndpoint
    destination: LocalEndpoint

    def put(self, path: str, content: bytes) -> FileTransfer:
        file = Path(self.source.root, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        checksum = Checksum("sha256", hashlib.sha256(content).hexdigest())
        return FileTransfer(id=path, source_path=path, destination_path=path, bytes=len(content), hash=checksum)

    def begin(self, *files: FileTransfer, operation_id: UUID | None = None) -> UUID:
        return self.source.transfer(self.destination, files, operation_id=operation_id or uuid4())

    def move(self, *files: FileTransfer, operation_id: UUID | None = None) -> OperationStatus:
        return wait_for_end(self.source, self.begin(*files, operation_id=operation_id))

    def status(self, handle: UUID) -> OperationStatus:
        return self.source.statuses([handle])[handle]

    def arrived(self) -> set[str]:
        root = Path(self.destination.root)
        return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def make_pair(tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    made: list[LocalEndpoint] = []

    def make(base: Path = tmp_path, **settings: Any) -> Pair:
        for name in ("source", "destination"):
            (base / name).mkdir(exist_ok=True)
            made.append(LocalEndpoint(root=base / name, name=name, **settings))
        return Pair(*made[-2:])

    yield make
    for endpoint in made:
        endpoint.close()


class Gate:
    """Stops every write until it is opened, and tells when the first has come to it."""

    def __init__(self) -> None:
        self.reached, self._open, self._free_bytes = threading.Event(), threading.Event(), 0
        self._write = os.write

    def let_pass(self, num_bytes: int) -> None:
        self._free_bytes = num_bytes

    def open(self) -> None:
        self._open.set()

    def write(self, fd: int, data: Any) -> int:
        self._free_bytes -= len(data)
        if self._free_bytes < 0:
            self.reached.set()
            assert self._open.wait(DEADLINE_S)
        return self._write(fd, data)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(os, "write", gate.write)
    yield gate
    gate.open()


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline


# Settings


@pytest.mark.parametrize("root", ["missing", "file", "nul\0byte"])
def test_a_root_that_is_no_folder_is_refused(tmp_path: Path, root: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidEndpointConfigError, match=r"endpoints\.tape\.root"):
        LocalEndpoint(root=f"{tmp_path}/{root}", name="tape")


@pytest.mark.parametrize("workers", [0, -1, True, 1.5, "4"])
def test_workers_that_are_no_positive_number_are_refused(tmp_path: Path, workers: Any) -> None:
    with pytest.raises(InvalidEndpointConfigError, match=r"endpoints\.tape\.workers"):
        LocalEndpoint(root=tmp_path, name="tape", workers=workers)


@pytest.mark.parametrize(
    ("setting", "durability"),
    [
        (True, Durability.BATCH),
        (False, Durability.NONE),
        ("file", Durability.FILE),
        ("batch", Durability.BATCH),
        ("none", Durability.NONE),
        (Durability.FILE, Durability.FILE),
    ],
)
def test_durable_is_one_of_three_words_or_yes_or_no_as_in_earlier_versions(
    make_pair: Callable[..., Pair], setting: bool | str, durability: Durability
) -> None:
    executor = _Idle()
    pair = make_pair(executor=executor)
    destination = LocalEndpoint(root=pair.destination.root, durable=setting)
    pair.source.transfer(destination, [pair.put("a", b"x")], operation_id=uuid4())
    assert [durability] == [batch.durable for batch in executor.given]


@pytest.mark.parametrize("setting", ["yes", "", "FILE", 1, None])
def test_another_word_for_durable_is_refused(tmp_path: Path, setting: Any) -> None:
    with pytest.raises(InvalidEndpointConfigError, match=r"endpoints\.tape\.durable: must be one of 'file', 'batch'"):
        LocalEndpoint(root=tmp_path, name="tape", durable=setting)


@pytest.mark.parametrize(
    ("setting", "observed"),
    [
        ("none", None),
        ("md5", "md5:9dd4e461268c8034f5c8564e155c67a6"),
        ("sha1", "sha1:11f6ad8ec52a2984abaafd7c3b516503785c2072"),
    ],
)
def test_what_has_no_checksum_is_hashed_as_the_destination_says(
    make_pair: Callable[..., Pair], tmp_path: Path, setting: str, observed: str | None
) -> None:
    pair = make_pair()
    unknown, known = attrs.evolve(pair.put("unknown", b"x"), hash=None), pair.put("known", b"x")
    destination = LocalEndpoint(root=pair.destination.root, default_checksum=setting)
    handle = pair.source.transfer(destination, [unknown, known], operation_id=uuid4())
    outcomes = {outcome.id: outcome.observed_hash for outcome in wait_for_end(pair.source, handle).files}
    assert {"unknown": observed, "known": str(known.hash)} == outcomes
    assert {"unknown", "known"} == pair.arrived()


def test_what_has_no_checksum_is_compared_before_it_is_skipped_also_where_it_is_not_hashed(
    make_pair: Callable[..., Pair],
) -> None:
    pair = make_pair()
    files = [attrs.evolve(pair.put(name, b"x"), hash=None) for name in ("same", "other")]
    Path(pair.destination.root, "same").write_bytes(b"x")
    Path(pair.destination.root, "other").write_bytes(b"y")
    destination = LocalEndpoint(root=pair.destination.root, default_checksum="none")
    handle = pair.source.transfer(destination, files, operation_id=uuid4())
    states = {outcome.id: outcome.state for outcome in wait_for_end(pair.source, handle).files}
    assert states == {"same": FileState.SKIPPED, "other": FileState.TRANSFERRED}
    assert Path(pair.destination.root, "other").read_bytes() == b"x"


@pytest.mark.parametrize("setting", ["", "crc", "sha-256", True, None])
def test_an_unknown_default_checksum_is_refused(tmp_path: Path, setting: Any) -> None:
    with pytest.raises(
        InvalidEndpointConfigError, match=r"endpoints\.tape\.default_checksum: must be 'none' or one of"
    ):
        LocalEndpoint(root=tmp_path, name="tape", default_checksum=setting)


def test_a_checksum_whose_package_is_missing_is_refused_as_a_default_and_fails_a_file_for_good(
    make_pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(algorithm: str) -> Any:
        raise MissingHashError(algorithm, "blake3")

    pair = make_pair()
    monkeypatch.setattr(endpoint_module, "new_hasher", missing)
    monkeypatch.setattr(copying, "new_hasher", missing)
    with pytest.raises(InvalidEndpointConfigError, match=r"default_checksum: .*pip install 'dts-fsm\[hashes\]'"):
        LocalEndpoint(root=pair.destination.root, default_checksum="blake3")
    (outcome,) = pair.move(attrs.evolve(pair.put("a", b"x"), hash=Checksum("blake3", "0" * 64))).files
    assert (outcome.state, outcome.reason, outcome.transient) == (FileState.FAILED, "unknown checksum", False)
    assert "pip install 'dts-fsm[hashes]'" in str(outcome.error)


def test_a_root_may_be_a_link_and_is_told_as_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_pair: Callable[..., Pair]
) -> None:
    pair = make_pair()
    (tmp_path / "link").symlink_to("source")
    monkeypatch.chdir(tmp_path)
    with closing(LocalEndpoint(root="link")) as endpoint:
        assert str(tmp_path / "link") == endpoint.root
        handle = endpoint.transfer(pair.destination, [pair.put("a", b"x")], operation_id=uuid4())
        assert wait_for_end(endpoint, handle).code is OperationCode.SUCCEEDED


def test_an_endpoint_is_made_from_its_configuration(tmp_path: Path) -> None:
    config = EndpointConfig(key="tape", provider="local", root=str(tmp_path), options={"workers": 2, "durable": False})
    endpoint = LocalEndpoint.from_config(config)
    assert ("tape", "local", str(tmp_path)) == (endpoint.name, endpoint.provider, endpoint.root)


@pytest.mark.parametrize("options", [{"wrokers": 2}, {"root": "/"}, {"workers": 0}])
def test_a_configuration_with_a_wrong_option_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    config = EndpointConfig(key="tape", provider="local", root=str(tmp_path), options=options)
    with pytest.raises(InvalidEndpointConfigError, match=r"endpoints\.tape\."):
        LocalEndpoint.from_config(config)


# What is staged


def test_links_that_lead_outside_and_odd_files_are_not_staged(tmp_path: Path, make_pair: Callable[..., Pair]) -> None:
    pair = make_pair()
    (tmp_path / "outside").write_bytes(b"abc")
    pair.put("inside", b"abc")
    source = Path(pair.source.root)
    (source / "out").symlink_to("../outside")
    (source / "in").symlink_to("inside")
    os.mkfifo(source / "fifo")
    descriptors = [Descriptor(id=name, path=name, bytes=0 if name == "fifo" else 3) for name in ("out", "in", "fifo")]
    assert pair.source.files_staged(descriptors) == {"out": False, "in": True, "fifo": False}


def test_a_root_that_has_gone_has_no_answer(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair()
    os.rmdir(pair.source.root)
    with pytest.raises(PermanentError, match=pair.source.root):
        pair.source.files_staged([Descriptor(id="a", path="a", bytes=1)])


def test_a_file_system_that_does_not_answer_is_asked_again(
    make_pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    pair = make_pair()
    monkeypatch.setattr(local, "_is_staged", fail)
    with pytest.raises(TransientError, match="source/a"):
        pair.source.files_staged([Descriptor(id="a", path="a", bytes=1)])


# Workers and progress


def test_several_files_are_moved_at_once(make_pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    pair = make_pair(workers=3)
    together = threading.Barrier(3, timeout=DEADLINE_S)

    def move(*args: Any) -> Any:
        together.wait()
        return move_batch(*args)

    monkeypatch.setattr(local, "move_batch", move)
    assert pair.move(*(pair.put(f"{i}", b"x" * i) for i in range(3))).code is OperationCode.SUCCEEDED


def test_a_move_is_told_as_running_with_the_bytes_of_the_file_under_way(
    make_pair: Callable[..., Pair], gate: Gate
) -> None:
    pair = make_pair(workers=1)
    small, large = pair.put("small", b"x" * 1000), pair.put("large", b"y" * (9 * MIB))
    gate.let_pass(1000 + 2 * MIB)
    handle = pair.begin(small, large)
    assert gate.reached.wait(DEADLINE_S)
    expected = OperationStatus(
        code=OperationCode.RUNNING, num_files_transferred=1, num_bytes_transferred=1000 + 2 * MIB
    )
    assert expected == pair.status(handle)
    gate.open()
    ended = wait_for_end(pair.source, handle)
    assert (
        ended.code,
        ended.num_files_transferred,
        ended.num_bytes_transferred,
    ) == (OperationCode.SUCCEEDED, 2, 9 * MIB + 1000)


def test_a_move_is_canceled_within_a_file(make_pair: Callable[..., Pair], gate: Gate) -> None:
    pair = make_pair(workers=1)
    files = [pair.put("small", b"x"), pair.put("large", b"y" * (3 * MIB)), pair.put("later", b"z")]
    gate.let_pass(1 + MIB)
    handle = pair.begin(*files)
    assert gate.reached.wait(DEADLINE_S)
    pair.source.cancel(handle)
    assert pair.status(handle).code is OperationCode.RUNNING  # until the worker has noticed
    gate.open()
    ended = wait_for_end(pair.source, handle)
    assert (ended.code, [outcome.id for outcome in ended.files]) == (OperationCode.CANCELED, ["small"])
    assert {"small"} == pair.arrived()


def test_a_move_of_no_files_succeeds(make_pair: Callable[..., Pair]) -> None:
    assert make_pair().move().code is OperationCode.SUCCEEDED


def test_a_file_that_changes_all_the_time_fails_transiently(make_pair: Callable[..., Pair], gate: Gate) -> None:
    pair = make_pair()
    file = pair.put("a", b"x" * MIB)
    handle = pair.begin(file)
    assert gate.reached.wait(DEADLINE_S)
    os.utime(Path(pair.source.root, "a"))
    gate.open()
    ended = wait_for_end(pair.source, handle)
    assert (ended.code, ended.reason, ended.transient) == (OperationCode.FAILED, "source changed", True)


def test_the_most_common_reason_is_told_and_a_failure_is_transient_only_if_all_are(
    make_pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*_: Any) -> None:
        raise SourceChangedError("it changed")

    pair = make_pair()
    right, missing = pair.put("right", b""), pair.put("right", b"")
    moving = [pair.put(f"{i}", b"x") for i in range(2)]
    monkeypatch.setattr("dts_fsm.endpoints.copying._check_unchanged", changed)
    several = pair.move(*moving, attrs.evolve(missing, id="missing", source_path="nowhere"))
    assert (several.reason, several.transient) == ("source changed", False)
    assert "3 of 3 files failed" in several.message
    monkeypatch.undo()
    assert pair.move(right).code is OperationCode.SUCCEEDED


def test_nobody_may_read_what_permissions_forbid(make_pair: Callable[..., Pair]) -> None:
    with tempfile.TemporaryDirectory() as base, unprivileged() as executor:
        os.chmod(base, 0o755)
        pair = make_pair(Path(base), executor=executor)
        file, open_file = pair.put("closed", b"x"), pair.put("open", b"y")
        os.chmod(pair.destination.root, 0o777)
        os.chmod(Path(pair.source.root, "closed"), 0)
        ended = pair.move(file, open_file)
        assert {("closed", "denied", False), ("open", None, False)} == {
            (outcome.id, outcome.reason, outcome.transient) for outcome in ended.files
        }
        os.chmod(pair.destination.root, 0o555)
        refused = pair.move(attrs.evolve(open_file, destination_path="other"))
        assert (refused.reason, refused.transient) == ("denied", False)
        os.chmod(pair.destination.root, 0o755)


def test_a_file_that_may_not_be_looked_at_is_left_to_the_move_which_fails_it_alone(
    make_pair: Callable[..., Pair],
) -> None:
    with tempfile.TemporaryDirectory() as base, unprivileged() as executor:
        os.chmod(base, 0o755)
        pair = make_pair(Path(base), executor=executor)
        closed, open_file = pair.put("closed/file", b"x"), pair.put("open", b"y")
        long = [
            attrs.evolve(open_file, id="source", source_path=f"{'n' * 300}/file", destination_path="other"),
            attrs.evolve(open_file, id="destination", destination_path=f"folder/{'n' * 300}"),
        ]
        os.chmod(pair.destination.root, 0o777)
        os.chmod(Path(pair.source.root, "closed"), 0)
        descriptors = [
            Descriptor(id=file.id, path=file.source_path, bytes=1) for file in (closed, open_file, *long)
        ] + [Descriptor(id="missing", path="missing", bytes=1)]
        staged = executor.submit(pair.source.files_staged, descriptors).result(DEADLINE_S)
        ended = pair.move(closed, *long, open_file)
        os.chmod(Path(pair.source.root, "closed"), 0o755)
    assert staged == {
        "closed/file": True,
        "open": True,
        "source": True,
        "destination": True,
        "missing": False,
    }
    assert {
        ("closed/file", "denied", False),
        ("source", "name too long", False),
        ("destination", "name too long", False),
        ("open", None, False),
    } == {(outcome.id, outcome.reason, outcome.transient) for outcome in ended.files}


def test_a_root_that_may_not_be_read_has_no_answer() -> None:
    with tempfile.TemporaryDirectory() as base, unprivileged() as executor:
        endpoint = LocalEndpoint(root=base)
        os.chmod(base, 0)
        asked = executor.submit(endpoint.files_staged, [Descriptor(id="a", path="a", bytes=1)])
        with pytest.raises(PermanentError, match=base):
            asked.result(DEADLINE_S)
        os.chmod(base, 0o700)


def test_destination_folders_are_made_once_and_keep_what_is_in_them(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair()
    Path(pair.destination.root, "folder").mkdir(mode=0o750)
    Path(pair.destination.root, "folder", "other").touch()
    pair.move(pair.put("folder/a", b"x"))
    assert {"folder/a", "folder/other"} == pair.arrived()
    assert stat.S_IMODE(Path(pair.destination.root, "folder").stat().st_mode) == 0o750


# Executors of others


class _Idle(Executor):
    """Does nothing with what it is given."""

    def __init__(self) -> None:
        self.given: list[Batch] = []

    def submit(self, _: Any, /, *args: Any, **__: Any) -> Future[Any]:
        self.given.append(args[0])
        return Future()


class _Broken(Executor):
    """Loses its workers, or is shut down."""

    def __init__(self, error: Exception, *, at_once: bool) -> None:
        self._error, self._at_once = error, at_once

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        if self._at_once:
            raise self._error
        future: Future[Any] = Future()
        future.set_exception(self._error)
        return future


@pytest.mark.parametrize("at_once", [True, False])
def test_an_executor_that_breaks_makes_files_fail_transiently(make_pair: Callable[..., Pair], at_once: bool) -> None:
    pair = make_pair(executor=_Broken(BrokenProcessPool("a worker was killed"), at_once=at_once))
    ended = pair.move(pair.put("a", b"x"), pair.put("b", b"y"))
    assert (ended.code, ended.transient, len(ended.files)) == (OperationCode.FAILED, True, 2)
    assert "a worker was killed" in ended.message


class _Held(Executor):
    """Keeps what it is given and never begins."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        self.futures.append(Future())
        return self.futures[-1]


def test_work_that_waits_in_an_executor_is_taken_back_when_canceled(make_pair: Callable[..., Pair]) -> None:
    executor = _Held()
    pair = make_pair(executor=executor)
    handle = pair.begin(*(pair.put(f"{i}", b"x") for i in range(50)))
    assert pair.status(handle).code is OperationCode.RUNNING
    pair.source.cancel(handle)
    assert pair.status(handle).code is OperationCode.CANCELED
    assert all(future.cancelled() for future in executor.futures)


def test_work_that_an_executor_drops_fails_transiently(make_pair: Callable[..., Pair]) -> None:
    executor = _Held()
    pair = make_pair(executor=executor)
    handle = pair.begin(pair.put("a", b"x"))
    executor.futures[0].cancel()
    ended = pair.status(handle)
    assert (ended.code, ended.transient) == (OperationCode.FAILED, True)


def test_a_batch_and_its_outcome_can_be_pickled(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair()
    (batch,) = batches(
        [pair.put("a", b"x")],
        source_root=pair.source.root,
        destination_root=pair.destination.root,
        operation_id=uuid4(),
        durable=False,
    )
    function, copy = pickle.loads(pickle.dumps((move_batch, batch)))
    assert batch == copy
    outcomes = function(copy)
    assert outcomes == pickle.loads(pickle.dumps(outcomes))


# What is remembered


def test_the_newest_ended_moves_are_remembered_and_no_untold_end_is_forgotten(
    make_pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_module, "MAX_REMEMBERED", 3)
    pair = make_pair()
    handles = [pair.begin(pair.put(f"{i}", b"x")) for i in range(5)]
    for handle in handles:
        wait_for_end(pair.source, handle)
    lost = [handle for handle in handles if pair.status(handle).code is OperationCode.LOST]
    assert handles[:2] == lost
    assert handles[2:] == list(pair.source.transfers())


def test_a_closed_endpoint_has_lost_what_was_under_way_and_can_be_used_again(
    make_pair: Callable[..., Pair], gate: Gate
) -> None:
    pair = make_pair()
    ended = pair.begin()
    handle = pair.begin(pair.put("a", b"x"))
    assert gate.reached.wait(DEADLINE_S)
    closing_thread = threading.Thread(target=pair.source.close)
    closing_thread.start()
    _wait_until(lambda: handle not in pair.source.transfers())
    gate.open()
    closing_thread.join(DEADLINE_S)
    pair.source.close()
    assert (pair.status(ended).code, pair.status(handle).code) == (OperationCode.SUCCEEDED, OperationCode.LOST)
    assert pair.move(pair.put("a", b"x"), operation_id=handle).code is OperationCode.SUCCEEDED
    assert {"a"} == pair.arrived()


def test_a_worker_that_hangs_does_not_hold_who_closes(
    make_pair: Callable[..., Pair], gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(endpoint_module, "CLOSE_TIMEOUT_S", 0.01)
    others = set(threading.enumerate())
    pair = make_pair(workers=1)
    first, second = pair.begin(pair.put("a", b"x")), pair.begin(pair.put("b", b"x"))
    assert gate.reached.wait(DEADLINE_S)
    hung = {thread for thread in threading.enumerate() if thread.name.startswith("dts-source")} - others
    pair.source.close()
    assert [pair.status(handle).code for handle in (first, second)] == [OperationCode.LOST] * 2
    assert [record.num_threads for record in caplog.records] == [1]  # type: ignore[attr-defined]
    gate.open()
    for thread in hung:
        thread.join(DEADLINE_S)
    assert [thread.is_alive() for thread in hung] == [False]
    assert pair.arrived() == set()


# Fences, and what a killed process has left


class Fence:
    """A predicate that can be changed, and that tells when it was asked."""

    def __init__(self, valid: bool) -> None:
        self.valid, self.asked = valid, threading.Event()

    def __call__(self) -> bool:
        self.asked.set()
        return self.valid

    def shut(self) -> None:
        self.valid = False
        self.asked.clear()


def test_a_move_waits_while_its_fence_is_shut_and_goes_on_when_it_is_not(make_pair: Callable[..., Pair]) -> None:
    pair, fence = make_pair(), Fence(False)
    pair.source.fence(fence)
    handle = pair.begin(pair.put("sub/a", b"x"))
    assert fence.asked.wait(DEADLINE_S)
    assert (pair.status(handle).code, os.listdir(pair.destination.root)) == (OperationCode.RUNNING, [])
    fence.valid = True
    assert wait_for_end(pair.source, handle).code is OperationCode.SUCCEEDED
    assert {"sub/a"} == pair.arrived()


@pytest.mark.parametrize("policy", Overwrite)
def test_a_file_that_is_complete_is_put_in_place_by_nobody_who_may_not_write_any_more(
    make_pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch, policy: Overwrite
) -> None:
    # A scheduler that was frozen in mid-copy, and woken after another had taken over, went on with its moves: it made
    # again what a consumer had taken away.
    pair, fence = make_pair(workers=1), Fence(True)
    publish = _Work.publish

    def frozen(work: _Work) -> None:
        fence.shut()
        publish(work)

    pair.source.fence(fence)
    file = attrs.evolve(pair.put("a", b"x"), overwrite=policy)
    with monkeypatch.context() as patch:
        patch.setattr(_Work, "publish", frozen)
        handle = pair.begin(file)
        _wait_until(lambda: not fence.valid and fence.asked.is_set())
        assert {path for path in pair.arrived() if not path.startswith(".dts-")} == set()
        pair.source.fence(lambda: True)
    assert (pair.status(handle).code, pair.arrived()) == (OperationCode.LOST, set())
    assert pair.move(file, operation_id=handle).code is OperationCode.SUCCEEDED


def test_a_worker_that_hung_while_it_was_fenced_off_puts_nothing_in_place_under_the_next_fence(
    make_pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, opened, publish = threading.Event(), threading.Event(), _Work.publish

    def hanging(work: _Work) -> None:
        reached.set()
        assert opened.wait(DEADLINE_S)
        publish(work)

    monkeypatch.setattr(endpoint_module, "CLOSE_TIMEOUT_S", 0.01)
    monkeypatch.setattr(_Work, "publish", hanging)
    pair = make_pair(workers=1)
    handle = pair.begin(pair.put("a", b"x"))
    assert reached.wait(DEADLINE_S)
    hung = {thread for thread in threading.enumerate() if thread.name.startswith("dts-source")}
    pair.source.fence(lambda: True)
    assert pair.status(handle).code is OperationCode.LOST
    opened.set()
    for thread in hung:
        thread.join(DEADLINE_S)
    assert ([thread.is_alive() for thread in hung], pair.arrived()) == ([False], set())


def test_a_folder_is_made_by_nobody_who_may_not_write_any_more(
    make_pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, fence, real_open = make_pair(), Fence(True), os.open

    def frozen(path: Any, *args: Any, **kwargs: Any) -> int:
        if path == "inner":
            fence.shut()
        return real_open(path, *args, **kwargs)

    file = pair.put("outer/inner/a", b"x")
    pair.source.fence(fence)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", frozen)
        pair.begin(file)
        _wait_until(lambda: not fence.valid and fence.asked.is_set())
        pair.source.fence(lambda: True)
    assert not Path(pair.destination.root, "outer", "inner").exists()


def test_a_move_that_is_canceled_while_its_fence_is_shut_ends(make_pair: Callable[..., Pair]) -> None:
    pair, fence = make_pair(), Fence(False)
    pair.source.fence(fence)
    handle = pair.begin(pair.put("a", b"x"))
    assert fence.asked.wait(DEADLINE_S)
    pair.source.cancel(handle)
    assert wait_for_end(pair.source, handle).code is OperationCode.CANCELED
    assert pair.arrived() == set()


def _litter(pair: Pair, operation_id: UUID, *folders: str) -> set[str]:
    """Give the paths of files that a killed move of this id has left."""
    paths = {str(Path(folder, f".dts-{operation_id.hex}-0123abcd-{'0' * 16}.part")) for folder in folders}
    for path in paths:
        file = Path(pair.destination.root, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"half")
    return paths


def test_what_a_killed_move_left_is_cleared_away_and_nothing_else(make_pair: Callable[..., Pair]) -> None:
    # Kill in mid-copy, then cancel or suspend: unfinished files stayed in the payload's folder for ever.
    pair, operation_id, other_id = make_pair(), uuid4(), uuid4()
    files = [pair.put(path, b"x") for path in ("a", "sub/b", "sub/c", "../bad", "missing/d")]
    _litter(pair, operation_id, "", "sub")
    others = _litter(pair, other_id, "", "sub") | _litter(pair, operation_id, "elsewhere")
    for _ in range(2):
        pair.source.clear(pair.destination, files, operation_id=operation_id)
        assert others == pair.arrived()
    assert not Path(pair.destination.root, "missing").exists()


def test_nothing_is_cleared_away_of_a_move_that_is_running(make_pair: Callable[..., Pair], gate: Gate) -> None:
    pair = make_pair()
    file = pair.put("a", b"x")
    handle = pair.begin(file)
    assert gate.reached.wait(DEADLINE_S)
    (part,) = pair.arrived()
    pair.source.clear(pair.destination, [file], operation_id=handle)
    assert {part} == pair.arrived()
    gate.open()
    assert wait_for_end(pair.source, handle).code is OperationCode.SUCCEEDED


def test_no_link_is_followed_to_what_is_cleared_away(make_pair: Callable[..., Pair], tmp_path: Path) -> None:
    pair, operation_id = make_pair(), uuid4()
    litter = _litter(pair, operation_id, "real")
    Path(pair.destination.root, "sub").symlink_to("real")
    pair.source.clear(pair.destination, [pair.put("sub/b", b"x")], operation_id=operation_id)
    assert litter == pair.arrived()


def test_to_clear_away_what_cannot_be_reached_or_removed_is_no_error(
    make_pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, operation_id = make_pair(), uuid4()
    file = pair.put("a", b"x")
    litter = _litter(pair, operation_id, "")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        pair.source.clear(pair.destination, [file], operation_id=operation_id)
    assert litter == pair.arrived()
    pair.source.clear(FakeEndpoint(), [file], operation_id=operation_id)
    Path(pair.destination.root).rename(f"{pair.destination.root}-gone")
    pair.source.clear(pair.destination, [file], operation_id=operation_id)


def test_files_that_cannot_be_listed_fail_the_move_transiently(make_pair: Callable[..., Pair]) -> None:
    class Files(tuple[FileTransfer, ...]):
        def __iter__(self) -> Iterator[FileTransfer]:
            raise OSError("the store has gone")

    pair = make_pair()
    handle = pair.source.transfer(pair.destination, Files([pair.put("a", b"x")]), operation_id=uuid4())
    ended = wait_for_end(pair.source, handle)
    assert (ended.code, ended.transient) == (OperationCode.FAILED, True)


# Large files and killed processes, each in a process of its own


def _run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_large_file_needs_a_few_megabytes_of_memory(tmp_path: Path) -> None:
    # The source has no blocks, and the disk is spared the copy: it is the memory that is measured.
    script = """
        import os, resource, sys, uuid
        from dts_fsm.endpoints import LocalEndpoint
        from dts_fsm.records import FileTransfer
        from dts_fsm.testing.endpoint_pair import wait_for_end

        base = sys.argv[1]
        size_bytes = 1025 << 20
        os.makedirs(f"{base}/source"); os.makedirs(f"{base}/destination")
        open(f"{base}/source/large", "w").close()
        os.truncate(f"{base}/source/large", size_bytes)
        source = LocalEndpoint(root=f"{base}/source", workers=1)
        destination = LocalEndpoint(root=f"{base}/destination")
        os.write = lambda fd, data: len(data)
        os.posix_fadvise = lambda *_: None
        files = [FileTransfer(id="large", source_path="large", destination_path="large", bytes=size_bytes)]
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        status = wait_for_end(source, source.transfer(destination, files, operation_id=uuid.uuid4()), timeout_s=100)
        after_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(status.code, status.num_bytes_transferred, after_kb - before_kb, file=sys.stderr)
        source.close()
    """
    run = _run(script, tmp_path)
    code, num_bytes, growth_kb = run.stderr.split()
    assert (code, int(num_bytes)) == ("succeeded", 1025 << 20)
    assert int(growth_kb) < 8 << 10


def test_a_process_ends_though_a_worker_hangs(tmp_path: Path) -> None:
    script = """
        import os, sys, threading
        from pathlib import Path
        from uuid import uuid4
        from dts_fsm.endpoints import LocalEndpoint
        from dts_fsm.records import FileTransfer

        reached = threading.Event()

        def hang(fd, data):
            reached.set()
            threading.Event().wait()

        os.write = hang
        source = LocalEndpoint(root=sys.argv[1])
        Path(sys.argv[1], "a").write_bytes(b"x")
        files = [FileTransfer(id="a", source_path="a", destination_path="b/a", bytes=1)]
        source.transfer(source, files, operation_id=uuid4())
        assert reached.wait(30)
        print("main has ended")
    """
    ended = _run(script, tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "main has ended\n"), ended.stderr


def test_a_killed_move_is_finished_by_the_same_submission(tmp_path: Path, make_pair: Callable[..., Pair]) -> None:
    script = """
        import os, signal, sys, uuid
        from dts_fsm.endpoints import LocalEndpoint
        from dts_fsm.records import FileTransfer
        from dts_fsm.testing.endpoint_pair import wait_for_end

        base, operation_id = sys.argv[1], uuid.UUID(sys.argv[2])
        real_write, written = os.write, 0

        def write(fd, data):
            global written
            written += len(data)
            if written > 2 << 20:
                os.kill(os.getpid(), signal.SIGKILL)
            return real_write(fd, data)

        os.write = write
        source = LocalEndpoint(root=f"{base}/source", workers=1)
        files = [FileTransfer(id=name, source_path=name, destination_path=name) for name in ("small", "large")]
        destination = LocalEndpoint(root=f"{base}/destination")
        wait_for_end(source, source.transfer(destination, files, operation_id=operation_id))
    """
    pair = make_pair()
    small, large = pair.put("small", b"x"), pair.put("large", b"y" * (5 << 20))
    operation_id = uuid4()
    run = _run(script, tmp_path, operation_id)
    assert run.returncode == -signal.SIGKILL, run.stderr
    litter = pair.arrived() - {"small"}
    assert len(litter) == 1
    assert pair.status(operation_id).code is OperationCode.LOST
    ended = pair.move(small, large, operation_id=operation_id)
    assert {("small", FileState.SKIPPED), ("large", FileState.TRANSFERRED)} == {(o.id, o.state) for o in ended.files}
    assert {"small", "large"} == pair.arrived()
    assert Path(pair.destination.root, "large").read_bytes() == b"y" * (5 << 20)
