"""Hostile answers of providers: each is decided on, and every transfer ends."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dts_fsm.errors import PermanentError, TransientError
from dts_fsm.records import (
    FileOutcome,
    FileState,
    Operation,
    OperationCode,
    OperationRequest,
    OperationStatus,
    Transfer,
)
from dts_fsm.serialization import unstructure
from dts_fsm.testing import Rig
from tests.fuzzing import fuzz, limited, own_errors_only
from tests.strategies import OBJECTS, TEXTS, nested


class WordlessError(Exception):
    """An error that cannot even be quoted."""

    def __str__(self) -> str:
        raise ZeroDivisionError("an error that cannot be quoted")


class Puppet:
    """A handler that begins its work at two places, and says of it what it is told to; in the end, that it is done."""

    def __init__(self, name: str, answers: Iterator[Any]) -> None:
        self.name, self._answers = name, answers

    def begin(self, transfer: Transfer) -> Sequence[OperationRequest]:
        """Work at two places."""
        return [OperationRequest(handler=self.name, kind=transfer.state.value, endpoint=place) for place in ("e", "f")]

    def submit(self, operation: Operation) -> Any:
        """What it is told to say."""
        return self._next(OperationStatus(code=OperationCode.SUCCEEDED))

    def poll(self, operations: Sequence[Operation]) -> Any:
        """The same of each operation."""
        return {operation.id: self.submit(operation) for operation in operations}

    def cancel(self, operation: Operation) -> Any:
        """The same, and in the end that it has stopped."""
        return self._next(OperationStatus(code=OperationCode.CANCELED))

    def _next(self, last: OperationStatus) -> Any:
        answer = next(self._answers, last)
        if isinstance(answer, BaseException):
            raise answer
        return answer


SIZES = st.sampled_from((0, 1, 2**31, 2**63 - 1)) | st.integers(0, 2**63 - 1)
FILE_OUTCOMES = st.builds(
    FileOutcome,
    id=st.sampled_from(("a", "b", "tape", "nobody", "")) | st.text(),
    state=st.sampled_from(FileState),
    observed_bytes=st.none() | SIZES,
    observed_hash=st.none() | st.text() | st.sampled_from(TEXTS[:1]),
    error=st.none() | st.sampled_from(TEXTS),
    reason=st.none() | st.sampled_from(TEXTS),
    transient=st.booleans(),
)
STATUSES = st.builds(
    OperationStatus,
    code=st.sampled_from(OperationCode),
    handle=st.none() | st.uuids(),
    message=st.sampled_from(TEXTS) | st.text(),
    reason=st.none() | st.sampled_from(TEXTS),
    transient=st.booleans(),
    num_files_transferred=SIZES,
    num_files_skipped=SIZES,
    num_bytes_transferred=SIZES,
    files=st.lists(FILE_OUTCOMES, max_size=3).map(tuple),
    manifest=st.none() | st.text() | st.just("{}"),
)
ERRORS = st.sampled_from(
    [TransientError, PermanentError, ZeroDivisionError, WordlessError, SystemExit, KeyError]
).flatmap(lambda kind: st.sampled_from(TEXTS).map(kind))
STEPS = st.sampled_from(["tick", "tick", "tick", 0.01, 10.0, 3000.0, "cancel", "suspend", "resume"])


@contextmanager
def complaints() -> Iterator[list[str]]:
    """What the scheduler could not decide on, or not store."""
    found: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "deciding on a transfer raised":
                found.append(repr(record.exc_info))

    logger, listener = logging.getLogger("dts_fsm.scheduler"), Listener()
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield found
    finally:
        logger.removeHandler(listener)
        logger.propagate = True


def went_through(rig: Rig, transfer_id: UUID, steps: Sequence[Any]) -> None:
    """Take the steps, and then let the transfer come to its end; everything can be asked all the time."""
    for step in steps:
        if step == "tick":
            rig.tick()
        elif isinstance(step, float):
            rig.clock.advance(step)
        else:
            rig.store.request(transfer_id, step, rig.clock.time())
        asked(rig, transfer_id)
    rig.store.request(transfer_id, "resume", rig.clock.time())
    assert rig.run(transfer_id, step_s=1000.0).final
    asked(rig, transfer_id)
    assert [record.id for record in rig.store.journal()] == [transfer_id]


def asked(rig: Rig, transfer_id: UUID) -> None:
    status = rig.store.status(transfer_id)
    assert 0 <= status.num_files_skipped <= status.num_files
    assert 0 <= status.num_files_transferred <= status.num_files
    assert 0 <= status.num_bytes_transferred <= status.num_bytes
    rowid = rig.store.rowid(transfer_id)
    told = [rig.store.files(rowid), rig.store.operations(rowid), rig.store.history(transfer_id), rig.store.messages(0)]
    assert unstructure(told) != []


def rigged(folder: str, **options: Any) -> Rig:
    rig = Rig(Path(folder), max_attempts=3, **options)
    rig.source.add("a", b"content of a")
    rig.source.add("tape", b"from tape", staged=False)
    return rig


@fuzz(40)
@given(
    answers=st.lists(STATUSES | STATUSES | ERRORS | st.none() | OBJECTS, max_size=12),
    steps=st.lists(STEPS, max_size=15),
)
@example(
    answers=[
        OperationStatus(
            code=OperationCode.SUCCEEDED,
            files=tuple(FileOutcome(id="a", state=FileState.TRANSFERRED, observed_bytes=2**63 - 1) for _ in range(2)),
        )
    ],
    steps=["tick"] * 4,
)
@example(answers=[OperationStatus(code=OperationCode.SUCCEEDED, manifest="{")], steps=[])
@example(
    answers=[OperationStatus(code=OperationCode.RUNNING, num_bytes_transferred=2**63 - 1) for _ in range(4)],
    steps=["tick", "tick", 3000.0, "tick"],
)
def test_any_answers_of_handlers_are_decided_on_and_the_transfer_ends(answers: list[Any], steps: list[Any]) -> None:
    told = iter(answers)
    handlers = {name: Puppet(name, told) for name in ("stager", "mover", "manifestor")}
    with tempfile.TemporaryDirectory() as folder, complaints() as found, limited():
        rig = rigged(folder, handlers=handlers)
        try:
            went_through(rig, rig.create("a", "tape"), steps)
        finally:
            rig.close()
        assert found == []


@fuzz(40)
@given(
    statuses=st.lists(STATUSES | ERRORS | OBJECTS, max_size=8),
    staged=st.lists(OBJECTS | st.dictionaries(st.sampled_from(["a", "tape", "x"]), OBJECTS) | ERRORS, max_size=4),
    steps=st.lists(STEPS, max_size=15),
)
def test_any_answers_of_endpoints_are_decided_on_and_the_transfer_ends(
    statuses: list[Any], staged: list[Any], steps: list[Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder, complaints() as found, limited():
        rig = rigged(folder)
        endpoint: Any = rig.source_endpoint
        good_statuses, good_staged, told, told_staged = (
            endpoint.statuses,
            endpoint.files_staged,
            iter(statuses),
            iter(staged),
        )

        def lie(answers: Iterator[Any], truth: Any, wrapped: Any) -> Any:
            answer = next(answers, None)
            if isinstance(answer, BaseException):
                raise answer
            return truth() if answer is None else wrapped(answer)

        endpoint.statuses = lambda ids: lie(told, lambda: good_statuses(ids), lambda answer: dict.fromkeys(ids, answer))
        endpoint.files_staged = lambda files: lie(told_staged, lambda: good_staged(files), lambda answer: answer)
        try:
            went_through(rig, rig.create("a", "tape"), steps)
        finally:
            rig.close()
        assert found == []


@pytest.mark.parametrize("depth", [100, 400, 900, 940, 970])
def test_a_descriptor_that_is_nested_too_deep_is_refused_before_anything_is_moved(rig: Rig, depth: int) -> None:
    resource: Any = {"id": "a", "path": "a", "bytes": 12, "deep": nested(depth)}
    rig.source.descriptors = lambda orcid, ids: [resource]  # type: ignore[method-assign]
    with own_errors_only():
        assert rig.run(rig.create("a")).code == "succeeded"


def test_a_provider_that_tells_of_more_than_there_is_makes_no_transfer_last(rig: Rig) -> None:
    rig.source_endpoint.duration_s = float("inf")
    transfer_id = rig.create("a")
    for day in range(1, 10):
        while rig.tick():
            pass
        for move in rig.source_endpoint.transfers():
            rig.source_endpoint.progress(move, 10**9 * day)
        rig.clock.advance(86_400.0)
    assert rig.store.status(transfer_id).reason == "deadline"
