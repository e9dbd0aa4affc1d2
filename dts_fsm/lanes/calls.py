"""Calls of handlers: whatever a handler does, each operation gets an answer, and no secret is in it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Literal
from uuid import UUID

import attrs

from dts_fsm.config import Redactor
from dts_fsm.config.redaction import words
from dts_fsm.engine import Answer
from dts_fsm.errors import DtsError, PermanentError, ProviderError, TransientError
from dts_fsm.interfaces import Handler
from dts_fsm.records import Operation, OperationStatus
from dts_fsm.records.checks import readable

_log = logging.getLogger(__name__)

NO_SECRETS = Redactor()

Verb = Literal["submit", "poll", "cancel"]


@attrs.define(eq=False)
class Call:
    """One call of a handler.

    Attributes:
        rowids: for each operation, in the same order, the row ids of its transfer and of itself.
        term: in which of its scheduler's terms of office it was asked for.
        in_office: says whether its scheduler may still make it: a process that stood still may not.
        started_at: monotonic seconds, once a thread has taken it up.
        given_up: True once nobody listens to its answer any more, for it took too long.
        withdrawn: True once it is not to be made any more.
    """

    verb: Verb
    handler: Handler
    lane: str
    operations: Sequence[Operation]
    rowids: Sequence[tuple[int, int]]
    term: int = 0
    in_office: Callable[[], bool] = lambda: True
    answers: Mapping[UUID, Answer] = attrs.Factory(dict)
    started_at: float | None = None
    given_up: bool = False
    withdrawn: bool = False

    @property
    def owner(self) -> str:
        """The user for whom it is made; "" for polls, which ask for many at once."""
        return "" if self.verb == "poll" else self.operations[0].transfer.specification.user.orcid

    def run(self, redact: Redactor = NO_SECRETS) -> None:
        """Make the call; ``answers`` has an answer for every operation afterwards, whatever the handler does."""
        if not self.in_office():
            self.fail(None)
            return
        try:
            self.answers = self._asked(self.operations, redact)
        except BaseException as error:
            if isinstance(error, TransientError) or len(self.operations) == 1:
                self.fail(_provider_error(self, error, redact))
            else:
                # one of them may be at fault: the others shall not suffer for it
                self.answers = {operation.id: self._alone(operation, redact) for operation in self.operations}

    def _alone(self, operation: Operation, redact: Redactor) -> Answer:
        try:
            return self._asked([operation], redact)[operation.id]
        except BaseException as error:
            return _provider_error(self, error, redact)

    def _asked(self, operations: Sequence[Operation], redact: Redactor) -> Mapping[UUID, Answer]:
        found: Mapping[UUID, object]
        if self.verb == "poll":
            found = dict(self.handler.poll(operations))
        elif self.verb == "submit":
            found = {operation.id: self.handler.submit(operation) for operation in operations}
        else:
            found = {operation.id: self.handler.cancel(operation) for operation in operations}
        return {operation.id: _sound(found.get(operation.id), redact) for operation in operations}

    def fail(self, error: ProviderError | None) -> None:
        """Answer every operation with the error, or with no news."""
        self.answers = dict.fromkeys((operation.id for operation in self.operations), error)


def _sound(answer: object, redact: Redactor) -> Answer:
    if answer is None:
        return answer
    if isinstance(answer, OperationStatus):
        return _masked(answer, redact) if redact else answer
    raise TypeError(f"it answered with {type(answer).__name__}, not with an OperationStatus")


def _masked(status: OperationStatus, redact: Redactor) -> OperationStatus:
    def text(given: str | None) -> str | None:
        return None if given is None else redact(given)

    files = tuple(
        file
        if file.error is None and file.reason is None and file.observed_hash is None
        else attrs.evolve(
            file, error=text(file.error), reason=text(file.reason), observed_hash=text(file.observed_hash)
        )
        for file in status.files
    )
    return attrs.evolve(status, message=redact(status.message), reason=text(status.reason), files=files)


def _provider_error(call: Call, error: BaseException, redact: Redactor) -> ProviderError:
    text = readable(redact(words(error)))
    if isinstance(error, TransientError):
        return TransientError(text or type(error).__name__)
    if isinstance(error, DtsError):
        return PermanentError(text or type(error).__name__)
    # SystemExit is no plug-in's to raise, and what is not caught here would cost the lane its thread
    _log.error(
        "handler raised",
        exc_info=redact.error(error),
        extra={"action": call.verb, "handler": type(call.handler).__name__},
    )
    return TransientError(f"{type(error).__name__}: {text}")
