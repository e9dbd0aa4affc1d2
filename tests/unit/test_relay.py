"""Moves between storages where services hang, lie, fail half way, or are asked for more than there is room for."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest

from dts_fsm.endpoints.batches import CanceledError, Meter
from dts_fsm.endpoints.outcomes import failure
from dts_fsm.endpoints.streaming import Buffers, Entry, Lines, Relay, Writing
from dts_fsm.errors import ChecksumMismatchError, PermanentError, TransientError, UnauthorizedError
from dts_fsm.records import Checksum, FileOutcome, FileState, OperationCode, OperationStatus, Overwrite
from dts_fsm.testing.endpoint_pair import checksum, file_of, wait_for_end
from dts_fsm.testing.memory import MemoryEndpoint, MemoryStorage

CONTENT = bytes(i % 251 for i in range(6500))
FILE = file_of("a", CONTENT)

pytestmark = pytest.mark.usefixtures("no_pauses")


@attrs.define(kw_only=True, slots=False)
class Storage(MemoryStorage):
    """A storage whose calls can be replaced by a test's own."""

    reads: Callable[[str, int, int, bytes], bytes] = lambda path, start, stop, content: content
    writings: Callable[[Writing], Writing] = lambda writing: writing

    def read(self, path: str, entry: Entry, start: int, stop: int) -> bytes:
        return self.reads(path, start, stop, super().read(path, entry, start, stop))

    def write(self, path: str, *, num_bytes: int, operation: str, version: str) -> Writing:
        inner = super().write(path, num_bytes=num_bytes, operation=operation, version=version)
        return self.writings(inner)


class Around:
    """A writing of which some methods are another's."""

    def __init__(self, inner: Writing, **methods: Any) -> None:
        self._inner = inner
        vars(self).update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.fixture
def lines() -> Iterator[Lines]:
    lines = Lines(4, name="test")
    yield lines
    lines.shutdown(wait=True)


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """What hangs waits for this; it is set when the test has ended."""
    event = threading.Event()
    yield event
    event.set()


def relay_of(source: Storage, destination: Storage, lines: Lines, **changes: Any) -> Relay:
    relay = Relay(
        source=source,
        destination=destination,
        operation="1" * 32,
        algorithm="sha256",
        lines=lines,
        buffers=Buffers(1 << 20),
    )
    return attrs.evolve(relay, **changes)


def a_storage(**settings: Any) -> Storage:
    return Storage(files={"a": CONTENT}, **settings)


def another(**settings: Any) -> Storage:
    return Storage(**{"exclusive": False, **settings})


def moved(source: MemoryStorage, destination: MemoryStorage, *files: Any, workers: int = 4) -> OperationStatus:
    here, there = MemoryEndpoint(source, workers=workers), MemoryEndpoint(destination)
    try:
        return wait_for_end(here, here.transfer(there, files or [FILE], operation_id=uuid4()))
    finally:
        here.close()
        there.close()


# Canceling


@pytest.mark.parametrize("call", ["read", "look", "put"])
def test_a_canceled_move_ends_although_a_service_hangs(call: str, hanging: threading.Event) -> None:
    begun = threading.Event()

    def hang(*args: Any) -> Any:
        begun.set()
        hanging.wait(0.5 if call != "read" else None)  # a look, or a put, has time-outs of its own
        return args[-1] if call == "read" else None

    source, destination = a_storage(), another()
    if call == "read":
        source.reads = hang
    elif call == "look":
        destination.look = hang  # type: ignore[method-assign]
    else:
        destination.writings = lambda inner: Around(inner, put=hang)  # type: ignore[assignment, return-value]
    here, there = MemoryEndpoint(source), MemoryEndpoint(destination)
    handle = here.transfer(there, [FILE], operation_id=uuid4())
    assert begun.wait(10)
    here.cancel(handle)
    assert wait_for_end(here, handle, timeout_s=10).code is OperationCode.CANCELED
    assert destination.files == {}


def test_one_who_waits_for_memory_can_be_canceled() -> None:
    buffers = Buffers(10)
    assert buffers.take(10, None)
    with pytest.raises(CanceledError):
        buffers.take(1, Meter(canceled=True))


def test_a_read_that_nobody_waits_for_any_more_gives_its_memory_back_when_it_ends(
    lines: Lines, hanging: threading.Event
) -> None:
    begun = threading.Event()
    meter = Meter()

    def hang(path: str, start: int, stop: int, content: bytes) -> bytes:
        begun.set()
        hanging.wait()
        return content

    buffers = Buffers(10_000)
    relay = relay_of(a_storage(reads=hang), another(), lines, buffers=buffers)
    canceled: list[BaseException] = []

    def move() -> None:
        try:
            relay.move(FILE, meter)
        except CanceledError as error:
            canceled.append(error)

    thread = threading.Thread(target=move)
    thread.start()
    assert begun.wait(10)
    meter.canceled = True
    thread.join(10)
    assert (len(canceled), buffers.take(10_000, None)) == (1, False)
    hanging.set()
    lines.shutdown(wait=True)
    assert buffers.take(10_000, None) is True


def test_reading_back_can_be_canceled(lines: Lines) -> None:
    meter = Meter()

    def recall(number: int) -> bytes:
        meter.canceled = True
        return CONTENT[number * 1000 : (number + 1) * 1000]

    destination = another(checked=False, writings=lambda inner: Around(inner, recall=recall))
    with pytest.raises(CanceledError):
        relay_of(a_storage(), destination, lines).move(FILE, meter)
    assert destination.files == {}


def test_a_process_can_end_while_a_service_hangs() -> None:
    script = (
        "import threading\n"
        "from dts_fsm.endpoints.streaming import Lines\n"
        "begun = threading.Event()\n"
        "def hang():\n    begun.set()\n    threading.Event().wait()\n"
        "Lines(2, name='test').submit(hang)\n"
        "begun.wait()\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=30, check=False).returncode == 0


# Memory


def test_parts_larger_than_all_buffers_and_more_files_than_buffers_are_moved_in_bounded_memory(lines: Lines) -> None:
    class Counted(Buffers):
        least = 1500

        def give(self, num_bytes: int) -> None:
            Counted.least = min(Counted.least, self._left)
            super().give(num_bytes)

    buffers = Counted(1500)
    source, destination = Storage(files={f"{i}": CONTENT for i in range(12)}), another(part_bytes=2000)
    relay = relay_of(source, destination, lines, buffers=buffers)
    threads = [
        threading.Thread(target=relay.move, args=(file_of(f"{i}", CONTENT), Meter()), daemon=True) for i in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {f"delivered/{i}": CONTENT for i in range(12)} == destination.files
    assert (buffers._left, Counted.least > -2000) == (1500, True)


# Services that lie


@pytest.mark.parametrize("algorithm", ["sha256", None])
@pytest.mark.parametrize("given", [b"", b"short", b"x" * 1001])
def test_a_part_of_another_length_than_asked_for_is_an_error(given: bytes, algorithm: str | None, lines: Lines) -> None:
    source = a_storage(reads=lambda path, start, stop, content: given if start == 1000 else content)
    destination = another()
    with pytest.raises(TransientError, match=f"{len(given)} bytes were read where there are 1000"):
        relay_of(source, destination, lines, algorithm=algorithm).move(attrs.evolve(FILE, hash=None), Meter())
    assert destination.files == {}


def test_the_checksum_is_that_of_the_bytes_whatever_the_service_says_of_it(lines: Lines) -> None:
    class Liar(Storage):
        def look(self, path: str) -> Entry | None:
            entry = super().look(path)
            return entry and attrs.evolve(entry, checksums={"sha256": "0" * 64})

        def read(self, path: str, entry: Entry, start: int, stop: int) -> bytes:
            return super().read(path, attrs.evolve(entry, checksums={}), start, stop)

    relay = relay_of(Liar(files={"a": CONTENT}), another(), lines)
    with pytest.raises(ChecksumMismatchError):
        relay.move(attrs.evolve(FILE, hash=Checksum("sha256", "0" * 64)), Meter())
    assert str(checksum(CONTENT)) == relay.move(FILE, Meter()).observed_hash


def test_what_arrived_otherwise_than_it_was_sent_is_noticed_by_reading_it_back() -> None:
    def broken(inner: Writing) -> Any:
        return Around(inner, put=lambda number, content: inner.put(number, content[:-1] + b"?" if number else content))

    destination = another(checked=False, writings=broken)
    status = moved(a_storage(), destination)
    assert (status.code, status.transient, destination.files, destination.parts) == (OperationCode.FAILED, True, {}, {})
    assert "read back" in (status.files[0].error or "")


def test_a_file_of_another_size_than_was_written_is_not_called_arrived() -> None:
    def short(inner: Writing) -> Any:
        return Around(inner, complete=lambda *_, **__: Entry(bytes=1, version=""))

    status = moved(a_storage(), another(writings=short))
    assert [(outcome.state, outcome.reason) for outcome in status.files] == [(FileState.FAILED, "size mismatch")]


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_service_where_something_appears_and_vanishes_for_ever_is_given_up(exclusive: bool) -> None:
    def never(inner: Writing) -> Any:
        def complete(*_: Any, **__: Any) -> Entry:
            raise FileExistsError

        return Around(inner, complete=complete)

    destination = another(exclusive=exclusive, part_bytes=10_000, writings=never)
    status = moved(a_storage(), destination, attrs.evolve(FILE, overwrite=Overwrite.NEVER))
    assert (status.code, status.transient) == (OperationCode.FAILED, True)


# Services that fail


def test_a_file_that_is_there_because_an_answer_was_lost_is_not_in_its_own_way() -> None:
    def twice(inner: Writing) -> Any:
        def complete(*args: Any, **kwargs: Any) -> Entry:
            inner.complete(*args, **kwargs)
            raise FileExistsError  # what the second request is answered

        return Around(inner, complete=complete)

    destination = another(writings=twice)
    status = moved(a_storage(), destination, attrs.evolve(FILE, overwrite=Overwrite.NEVER))
    assert [outcome.state for outcome in status.files] == [FileState.SKIPPED], status
    assert destination.files == {"delivered/a": CONTENT}


def test_after_a_part_that_could_not_be_put_in_order_none_is_put() -> None:
    numbers: list[int] = []

    def failing(inner: Writing) -> Any:
        def put(number: int, content: bytes) -> None:
            numbers.append(number)
            if number == 2:
                raise TransientError("full")
            inner.put(number, content)

        return Around(inner, put=put)

    status = moved(a_storage(), another(in_order=True, writings=failing))
    assert (status.code, numbers) == (OperationCode.FAILED, [0, 1, 2, 2, 2])  # it is tried three times


def test_a_fault_in_tidying_up_hides_neither_an_arrival_nor_a_wrong_checksum() -> None:
    def untidy(inner: Writing) -> Any:
        def fail() -> None:
            raise TransientError("gone")

        return Around(inner, leave=fail, discard=fail)

    files = [FILE, attrs.evolve(file_of("b", CONTENT), source_path="a", hash=checksum(b"other"))]
    status = moved(a_storage(), another(writings=untidy), *files)
    assert {outcome.id: outcome.reason for outcome in status.files} == {"id of a": None, "id of b": "checksum mismatch"}


def test_what_an_earlier_run_left_that_is_wrong_and_cannot_be_removed_fails_and_appears_nowhere() -> None:
    def left(inner: Writing) -> Any:
        return Around(inner, checked=True, recall=lambda number: b"?" * 1000 if number == 0 else None)

    destination = another(writings=left)
    status = moved(a_storage(), destination)
    assert (status.code, status.transient, destination.files) == (OperationCode.FAILED, True, {})


def test_an_error_that_nobody_expected_fails_one_file_alone() -> None:
    def broken(path: str, start: int, stop: int, content: bytes) -> bytes:
        if path == "a":
            raise ZeroDivisionError("a driver's fault")
        return content

    source = Storage(files={"a": CONTENT, "b": CONTENT}, reads=broken)
    destination = another()
    status = moved(source, destination, FILE, file_of("b", CONTENT), workers=1)
    expected = {"id of a": (FileState.FAILED, True), "id of b": (FileState.TRANSFERRED, False)}
    assert expected == {outcome.id: (outcome.state, outcome.transient) for outcome in status.files}


@pytest.mark.parametrize(
    ("error", "reason", "transient"),
    [
        (PermanentError("no"), "error", False),
        (TransientError("later"), "error", True),
        (UnauthorizedError("who?"), "denied", False),
        (PermissionError("no"), "denied", False),
        (OSError("odd"), "i/o error", True),
    ],
)
def test_what_may_go_better_later_is_told_from_what_will_not(error: Exception, reason: str, transient: bool) -> None:
    outcome = failure(FILE, error)
    assert (reason, transient) == (outcome.reason, outcome.transient)


# Going on


def test_parts_that_were_put_before_a_kill_are_not_put_again_and_the_source_is_still_hashed() -> None:
    source, destination = a_storage(), another()
    operation = UUID(int=5)
    version = source.look("a")
    assert version is not None
    writing = destination.write("delivered/a", num_bytes=len(CONTENT), operation=operation.hex, version=version.version)
    for number in range(4):
        writing.put(number, CONTENT[number * 1000 : (number + 1) * 1000])
    destination.num_put = 0
    here = MemoryEndpoint(source)
    status = wait_for_end(here, here.transfer(MemoryEndpoint(destination), [FILE], operation_id=operation))
    expected = FileOutcome(
        id=FILE.id, state=FileState.TRANSFERRED, observed_bytes=6500, observed_hash=str(checksum(CONTENT))
    )
    assert ((expected,), 2500, {}) == (status.files, destination.num_put, destination.parts)


def test_lines_that_are_shut_down_take_no_more_and_can_drop_what_waits() -> None:
    lines = Lines(1, name="test")
    begun, free = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        free.wait(10)
        return "done"

    running = lines.submit(work)
    waiting = lines.submit(work)
    assert begun.wait(10)
    lines.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(RuntimeError, match="closed"):
        lines.submit(work)
    free.set()
    lines.shutdown(wait=True)
    assert (running.result(), waiting.cancelled()) == ("done", True)
