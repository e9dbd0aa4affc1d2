"""The contract of ``Handler`` as tests, to be run over every implementation.

The author of a handler writes, in a test module of their own::

    from dts_fsm.testing import HandlerCase, HandlerSuite

    class TestMyHandler(HandlerSuite):
        @pytest.fixture
        def case(self, tmp_path):
            return HandlerCase(handler=..., transfer=..., files=..., restart=..., advance=..., effects=...)

The tests call the handler as the scheduler does, and know its providers through the functions of the case alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar
from uuid import uuid4

import attrs
import pytest

from dts_fsm.interfaces import Handler
from dts_fsm.records import (
    FileRecord,
    FileState,
    Operation,
    OperationCode,
    OperationRequest,
    OperationStatus,
    Transfer,
)
from dts_fsm.serialization import dump_json, unstructure

_LOOKS = 50
"""How often it is looked whether work goes on that should have stopped."""

_LIVE = (OperationCode.RUNNING, OperationCode.SUSPENDED)
_TOLD = {FileState.STAGED, FileState.UNSTAGED, FileState.TRANSFERRED, FileState.SKIPPED, FileState.FAILED}


def _pause() -> None:
    threading.Event().wait(0.002)


@attrs.frozen(kw_only=True)
class HandlerCase:
    """A handler under test, work for it, and what a test needs to look behind it.

    Attributes:
        handler: as a process has it that has just begun.
        transfer: a transfer in a state whose work the handler does; that work can be done, and takes a while where
            ``advance`` lets time pass.
        files: the files of that transfer, as the store would have them.
        restart: gives the handler as a new process would have it, after the old one was killed; its providers may have
            forgotten everything. Without it the handler stays as it is.
        advance: called between two looks at unfinished work; a short pause unless a fake's clock is to be turned.
        effects: gives how much its providers have been made to do so far, in anything that can be compared: files
            moved, requests accepted. Without it that is not looked at.
    """

    handler: Handler
    transfer: Transfer
    files: Sequence[FileRecord] = ()
    restart: Callable[[], Handler] | None = None
    advance: Callable[[], object] = _pause
    effects: Callable[[], object] = lambda: None

    def operation(self, request: OperationRequest) -> Operation:
        """Give a new operation as the engine would make it of the request."""
        operation_id = uuid4()
        return Operation(
            id=operation_id,
            submission_id=operation_id,
            handler=request.handler,
            kind=request.kind,
            endpoint=request.endpoint,
            transfer=self.transfer,
            began_at=self.transfer.created_at,
            files=self.files,
        )


class HandlerSuite:
    """What every handler must do; a subclass says with the fixture ``case`` which handler it is, and for what work.

    Attributes:
        timeout_s: how long the work may take.
        knows_how_canceled_work_ended: False for work that is not taken back, of which nobody can say how it ended, and
            that does no harm when it is done again: asking a database to stage files, for instance.
    """

    timeout_s: ClassVar[float] = 30.0
    knows_how_canceled_work_ended: ClassVar[bool] = True

    @pytest.fixture
    def case(self) -> HandlerCase:
        """A fresh handler with its work; override it."""
        raise NotImplementedError("override the fixture 'case'")

    @pytest.fixture
    def operation(self, case: HandlerCase) -> Operation:
        """The first operation that the handler begins."""
        return case.operation(case.handler.begin(case.transfer)[0])

    @staticmethod
    def another(operation: Operation) -> Operation:
        """Give the same work for another transfer; one transfer has no two of a kind."""
        transfer = attrs.evolve(operation.transfer, id=uuid4())
        return attrs.evolve(operation, id=(new_id := uuid4()), submission_id=new_id, transfer=transfer)

    def end_of(
        self, case: HandlerCase, operation: Operation, answer: OperationStatus, handler: Handler | None = None
    ) -> OperationStatus:
        """Ask, and let time pass, until the work has ended; gives the last answer."""
        handler, deadline_s = handler or case.handler, time.monotonic() + self.timeout_s
        while answer.code in _LIVE:
            if time.monotonic() > deadline_s:
                pytest.fail(f"the {operation.kind} is still {answer.code} after {self.timeout_s:g} s")
            case.advance()
            operation = attrs.evolve(operation, handle=answer.handle or operation.handle)
            heard = handler.poll([operation]).get(operation.id)
            answer = answer if heard is None else attrs.evolve(heard, handle=heard.handle or operation.handle)
        return answer

    def canceled(self, case: HandlerCase, operation: Operation) -> OperationStatus:
        """Cancel again and again, as the scheduler does, until the answer is final."""
        deadline_s = time.monotonic() + self.timeout_s
        while (answer := case.handler.cancel(operation)).code in _LIVE:
            if time.monotonic() > deadline_s:
                pytest.fail(f"the {operation.kind} cannot be canceled within {self.timeout_s:g} s")
            operation = attrs.evolve(operation, handle=answer.handle or operation.handle)
            case.advance()
        return answer

    # What it begins

    def test_it_has_the_methods_of_a_handler(self, case: HandlerCase) -> None:
        assert isinstance(case.handler, Handler)

    def test_what_it_begins_is_the_same_each_time_and_in_each_process(self, case: HandlerCase) -> None:
        first = list(case.handler.begin(case.transfer))
        assert {OperationRequest} == {type(request) for request in first}
        assert first == list(case.handler.begin(case.transfer))
        again = case.restart() if case.restart else case.handler
        assert first == list(again.begin(case.transfer))

    def test_it_begins_no_work_twice(self, case: HandlerCase) -> None:
        requests = case.handler.begin(case.transfer)
        assert len({(one.handler, one.kind, one.endpoint) for one in requests}) == len(requests)

    def test_to_begin_has_no_effects(self, case: HandlerCase) -> None:
        before = case.effects()
        case.handler.begin(case.transfer)
        assert before == case.effects()

    def test_what_follows_an_operation_is_the_same_each_time_and_has_no_effects(self, case: HandlerCase) -> None:
        follow: Callable[[Transfer, OperationRequest], Sequence[OperationRequest]]
        follow = getattr(case.handler, "follow", lambda transfer, request: [])  # noqa: ARG005 - it may have none
        before = case.effects()
        for request in case.handler.begin(case.transfer):
            followed = list(follow(case.transfer, request))
            assert followed == list(follow(case.transfer, request))
            assert {type(one) for one in followed} <= {OperationRequest}
            assert request not in followed
        assert before == case.effects()

    def test_the_guards_that_it_offers_can_be_asked(self, case: HandlerCase) -> None:
        guards = getattr(case.handler, "guards", {})
        assert [name for name, guard in guards.items() if not (isinstance(name, str) and callable(guard))] == []

    # Submitting

    def test_work_that_is_submitted_ends_well(self, case: HandlerCase, operation: Operation) -> None:
        answer = self.end_of(case, operation, case.handler.submit(operation))
        assert (answer.code, answer.reason) == (OperationCode.SUCCEEDED, None)

    def test_the_same_submission_again_does_nothing_twice(self, case: HandlerCase, operation: Operation) -> None:
        first = case.handler.submit(operation)
        once = case.effects()
        again = case.handler.submit(attrs.evolve(operation, resubmitted=True))
        assert once == case.effects()
        if first.code in _LIVE and again.code in _LIVE:
            assert first.handle == again.handle
        assert self.end_of(case, operation, again).code is OperationCode.SUCCEEDED
        ended = case.effects()
        last = self.end_of(case, operation, case.handler.submit(attrs.evolve(operation, resubmitted=True)))
        assert (OperationCode.SUCCEEDED, ended) == (last.code, case.effects())

    def test_a_submission_is_finished_by_another_process(self, case: HandlerCase, operation: Operation) -> None:
        case.handler.submit(operation)
        handler = case.restart() if case.restart else case.handler
        answer = handler.submit(attrs.evolve(operation, resubmitted=True))
        assert self.end_of(case, operation, answer, handler).code is OperationCode.SUCCEEDED

    def test_another_process_can_ask_for_work_that_the_first_has_handed_over(
        self, case: HandlerCase, operation: Operation
    ) -> None:
        answer = case.handler.submit(operation)
        if answer.code not in _LIVE:
            return
        handler = case.restart() if case.restart else case.handler
        heard = handler.poll([attrs.evolve(operation, handle=answer.handle)]).get(operation.id)
        # it goes on, or its provider has lost it: then it is submitted again
        assert heard is None or heard.code in (*_LIVE, OperationCode.SUCCEEDED, OperationCode.LOST)

    # Polling

    def test_only_what_is_asked_for_is_answered(self, case: HandlerCase, operation: Operation) -> None:
        other = self.another(operation)
        answers = {one.id: case.handler.submit(one) for one in (operation, other)}
        asked = [attrs.evolve(one, handle=answers[one.id].handle) for one in (operation, other)]
        if {answer.code for answer in answers.values()} <= {*_LIVE}:
            assert set(case.handler.poll(asked)) <= {operation.id, other.id}
            assert set(case.handler.poll(asked[:1])) <= {operation.id}
            assert set(case.handler.poll(asked[1:])) <= {other.id}

    def test_an_end_is_told_as_often_as_it_is_asked_for(self, case: HandlerCase, operation: Operation) -> None:
        submitted = case.handler.submit(operation)
        ended = self.end_of(case, operation, submitted)
        if submitted.code in _LIVE:
            effects = case.effects()
            asked = attrs.evolve(operation, handle=submitted.handle)
            again = [case.handler.poll([asked])[operation.id] for _ in range(2)]
            assert [(ended.code, ended.files)] * 2 == [(answer.code, answer.files) for answer in again]
            assert effects == case.effects()

    def test_work_that_was_never_submitted_has_not_succeeded(self, case: HandlerCase, operation: Operation) -> None:
        if case.handler.submit(operation).code not in _LIVE:
            return
        other = self.another(operation)
        heard = case.handler.poll([other]).get(other.id)
        assert heard is None or heard.code is OperationCode.LOST

    # Canceling

    def test_what_is_canceled_ends_and_again_says_the_same(self, case: HandlerCase, operation: Operation) -> None:
        answer = case.handler.submit(operation)
        asked = attrs.evolve(operation, handle=answer.handle)
        ended = self.canceled(case, asked)
        assert ended.code in (OperationCode.CANCELED, OperationCode.SUCCEEDED, OperationCode.LOST)
        assert ended.code == self.canceled(case, asked).code

    def test_what_is_canceled_before_the_answer_to_its_submission_ends(
        self, case: HandlerCase, operation: Operation
    ) -> None:
        case.handler.submit(operation)
        ended = self.canceled(case, attrs.evolve(operation, resubmitted=True))
        assert ended.code in (OperationCode.CANCELED, OperationCode.SUCCEEDED, OperationCode.LOST)

    def test_work_that_ended_before_it_was_canceled_is_reported_as_it_ended(
        self, case: HandlerCase, operation: Operation
    ) -> None:
        answer = case.handler.submit(operation)
        self.end_of(case, operation, answer)
        effects = case.effects()
        ended = self.canceled(case, attrs.evolve(operation, handle=answer.handle, resubmitted=True))
        expected = {OperationCode.SUCCEEDED} if self.knows_how_canceled_work_ended else {*OperationCode} - {*_LIVE}
        assert ended.code in expected
        assert effects == case.effects()

    def test_what_was_canceled_does_nothing_more(self, case: HandlerCase, operation: Operation) -> None:
        answer = case.handler.submit(operation)
        asked = attrs.evolve(operation, handle=answer.handle)
        if self.canceled(case, asked).code is not OperationCode.CANCELED or not self.knows_how_canceled_work_ended:
            return
        effects = case.effects()
        for _ in range(_LOOKS):
            case.advance()
            case.handler.poll([asked])
        assert effects == case.effects()

    # Answers

    def test_answers_are_sound_and_tell_of_each_file_once(self, case: HandlerCase, operation: Operation) -> None:
        first = case.handler.submit(operation)
        last = self.end_of(case, operation, first)
        known = [file.id for file in case.files if file.path is not None]
        for answer in (first, last):
            assert isinstance(answer, OperationStatus)
            assert isinstance(dump_json(unstructure(answer)), str)
            told = [outcome.id for outcome in answer.files]
            assert len(set(told)) == len(told)
            assert set(told) <= set(known)
            assert {outcome.state for outcome in answer.files} <= _TOLD
            assert answer.num_files_skipped <= answer.num_files_transferred <= len(known)
            # outcomes are given once, with the answer that ends the work
            assert answer.code not in _LIVE or answer.files == ()
        assert [outcome for outcome in last.files if outcome.state is FileState.FAILED] == []

    def test_threads_that_ask_at_once_are_answered(self, case: HandlerCase, operation: Operation) -> None:
        operations = [operation, *(self.another(operation) for _ in range(7))]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(case.handler.submit, operations))
        ends = [self.end_of(case, one, answer) for one, answer in zip(operations, answers, strict=True)]
        assert {OperationCode.SUCCEEDED} == {end.code for end in ends}
