"""Whatever call of a storage fails, and however: no file is lost, none is wrong, nothing is left, and again is well."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Any
from unittest import mock
from uuid import UUID

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from dts_fsm.endpoints.streaming import Storage, Writing, batch
from dts_fsm.errors import PermanentError, SourceChangedError, TransientError, UnauthorizedError
from dts_fsm.records import FileState, OperationCode, OperationStatus, Overwrite
from dts_fsm.testing.endpoint_pair import checksum, file_of, wait_for_end
from dts_fsm.testing.memory import MemoryEndpoint, MemoryStorage

OPERATION = UUID(int=7)

FAULTS: tuple[Callable[[], Exception], ...] = (
    lambda: TransientError("a connection broke"),
    lambda: PermanentError("no"),
    lambda: OSError(errno.EIO, "a disk broke"),
    lambda: OSError(errno.ENOSPC, "full"),
    lambda: UnauthorizedError("who are you?"),
    lambda: SourceChangedError("another"),
    lambda: KeyError("what nobody expected"),
    lambda: TimeoutError("slow"),
)


@attrs.define
class Trouble:
    """Makes one call fail, before or after it has done what it does."""

    at: int = -1
    fault: Callable[[], Exception] = FAULTS[0]
    after: bool = False
    num_calls: int = 0
    then: Callable[[], object] | None = None  # is called instead of failing
    lock: threading.Lock = attrs.field(factory=threading.Lock)

    def call(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            hit = self.num_calls == self.at
            self.num_calls += 1
        if hit and not self.after:
            self.strike()
        result = work(*args, **kwargs)
        if hit and self.after:
            self.strike()
        return result

    def strike(self) -> None:
        if self.then is None:
            raise self.fault()
        self.then()


class Troubled:
    """A storage, or a writing, whose calls get into trouble."""

    def __init__(self, behind: Storage | Writing, trouble: Trouble) -> None:
        self.behind, self.trouble = behind, trouble

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.behind, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            args = tuple(arg.behind if isinstance(arg, Troubled) else arg for arg in args)
            result = self.trouble.call(value, *args, **kwargs)
            return Troubled(result, self.trouble) if name == "write" else result

        return call


KINDS: dict[str, dict[str, Any]] = {
    "one part": {"part_bytes": 10_000, "exclusive": True},
    "one part, read back": {"part_bytes": 10_000, "exclusive": True, "checked": False},
    "many parts": {"part_bytes": 1000, "exclusive": True},
    "not exclusive": {"part_bytes": 1000, "exclusive": False},
    "read back": {"part_bytes": 1000, "exclusive": False, "checked": False},
    "in order": {"part_bytes": 1000, "in_order": True},
    "in order, read back": {"part_bytes": 700, "in_order": True, "checked": False, "exclusive": False},
    "copied": {"part_bytes": 1000, "twin": True},
}


@attrs.define
class Scene:
    """A source and a destination in memory, with calls of the one or the other in trouble."""

    kind: str
    trouble: Trouble
    where: str
    canceling: bool = False
    source: MemoryStorage = attrs.field(factory=lambda: MemoryStorage(name="source"))
    destination: MemoryStorage = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        settings = dict(KINDS[self.kind])
        if settings.pop("twin", False):
            settings["twin"] = self.source
        self.destination = MemoryStorage(name="destination", **settings)

    def moved(self, files: list[Any]) -> OperationStatus:
        """Move by new endpoints, as a new process would."""
        source: Any = self.source
        destination: Any = self.destination
        if self.where == "source":
            source = Troubled(source, self.trouble)
        else:
            destination = Troubled(destination, self.trouble)
        if self.kind == "copied" and self.where == "source":
            self.destination.twin = source
        here, there = MemoryEndpoint(source, workers=1), MemoryEndpoint(destination, workers=1)
        try:
            if self.canceling:
                self.trouble.then = lambda: here.cancel(OPERATION)
            handle = here.transfer(there, files, operation_id=OPERATION)
            return wait_for_end(here, handle, timeout_s=20)
        finally:
            here.close()
            there.close()

    def clear(self, files: list[Any]) -> None:
        here, there = MemoryEndpoint(self.source), MemoryEndpoint(self.destination)
        here.clear(there, files, operation_id=OPERATION)


@settings(max_examples=300)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    where=st.sampled_from(["source", "destination"]),
    num_bytes=st.sampled_from([0, 1, 999, 1000, 1001, 6500]),
    known=st.booleans(),
    policy=st.sampled_from(list(Overwrite)),
    old=st.sampled_from([None, b"old", b"same"]),
    share=st.integers(0, 999),
    fault=st.sampled_from(FAULTS),
    after=st.booleans(),
    pauses_s=st.sampled_from([(), (0.0, 0.0)]),
)
def test_a_call_that_fails_at_any_point_harms_no_file_and_the_move_ends_well_when_it_is_made_again(
    kind: str,
    where: str,
    num_bytes: int,
    known: bool,
    policy: Overwrite,
    old: bytes | None,
    share: int,
    fault: Callable[[], Exception],
    after: bool,
    pauses_s: tuple[float, ...],
) -> None:
    content = bytes(i % 251 for i in range(num_bytes))
    before = content if old == b"same" else old
    contents = {"a": content, "b": b"another"}
    changes: dict[str, Any] = {"overwrite": policy} | ({} if known else {"hash": None, "bytes": None})
    files = [file_of(path, of, **changes) for path, of in contents.items()]

    def scene_with(trouble: Trouble) -> Scene:
        scene = Scene(kind, trouble, where)
        scene.source.files |= contents
        if before is not None:
            scene.destination.files["delivered/a"] = before
        return scene

    quiet = scene_with(Trouble())
    quiet.moved(files)
    scene = scene_with(Trouble(quiet.trouble.num_calls * share // 1000, fault, after))

    with mock.patch.object(batch, "_PAUSES_S", pauses_s):
        status = scene.moved(files)

    there = scene.destination.files
    assert there.get("delivered/a") in (before, content)
    assert there.get("delivered/b") in (None, b"another")
    outcomes = {outcome.id: outcome for outcome in status.files}
    assert outcomes.keys() == {"id of a", "id of b"}, status
    for path, of in contents.items():
        if (outcome := outcomes[f"id of {path}"]).state is not FileState.FAILED:
            assert (there[f"delivered/{path}"], outcome.observed_bytes) == (of, len(of))
            assert outcome.observed_hash == str(checksum(of))
    assert sum(outcome.state is FileState.FAILED for outcome in outcomes.values()) <= 1 + (
        policy is Overwrite.NEVER and before not in (None, content)
    )

    scene.trouble.at = -1
    again = scene.moved(files)
    kept = policy is Overwrite.NEVER and before not in (None, content)
    assert there == {"delivered/a": before if kept else content, "delivered/b": b"another"}
    assert again.code is (OperationCode.FAILED if kept else OperationCode.SUCCEEDED), again

    scene.clear(files)
    assert scene.destination.parts == {}


@settings(max_examples=200)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    where=st.sampled_from(["source", "destination"]),
    num_bytes=st.sampled_from([0, 1, 1000, 6500]),
    old=st.sampled_from([None, b"old"]),
    share=st.integers(0, 999),
    after=st.booleans(),
)
def test_a_move_that_is_canceled_at_any_call_ends_and_what_it_says_is_so(
    kind: str, where: str, num_bytes: int, old: bytes | None, share: int, after: bool
) -> None:
    content = bytes(i % 251 for i in range(num_bytes))
    files = [file_of("a", content), file_of("b", b"another")]

    def scene_with(trouble: Trouble, *, canceling: bool) -> Scene:
        scene = Scene(kind, trouble, where, canceling)
        scene.source.files |= {"a": content, "b": b"another"}
        if old is not None:
            scene.destination.files["delivered/a"] = old
        return scene

    quiet = scene_with(Trouble(), canceling=False)
    quiet.moved(files)
    scene = scene_with(Trouble(quiet.trouble.num_calls * share // 1000, after=after), canceling=True)

    status = scene.moved(files)

    there = scene.destination.files
    assert status.code in (OperationCode.CANCELED, OperationCode.SUCCEEDED), status
    assert there.get("delivered/a") in (old, content)
    arrived = {outcome.id for outcome in status.files}
    assert all(there[f"delivered/{id_[-1]}"] == (content if id_ == "id of a" else b"another") for id_ in arrived)

    scene.canceling, scene.trouble.at = False, -1
    assert scene.moved(files).code is OperationCode.SUCCEEDED
    assert there == {"delivered/a": content, "delivered/b": b"another"}
    scene.clear(files)
    assert scene.destination.parts == {}
