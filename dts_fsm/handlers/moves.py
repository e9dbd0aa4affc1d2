"""What mover and manifestor share: asking endpoints how their moves stand, and having them stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from uuid import UUID

import attrs

from dts_fsm.errors import ProviderError
from dts_fsm.handlers.places import Places
from dts_fsm.interfaces import Endpoint
from dts_fsm.records import FileTransfer, Operation, OperationCode, OperationStatus

_STOPPED = (OperationCode.LOST, OperationCode.CANCELED, OperationCode.FAILED)


def statuses(places: Places, operations: Sequence[Operation]) -> Iterator[tuple[Operation, OperationStatus]]:
    """Give how the operations, all of one endpoint, stand; those that it does not speak of are left out. One call."""
    handles = [operation.handle or operation.submission_id for operation in operations]
    found = places.endpoint(operations[0].endpoint).statuses(handles)
    for operation, handle in zip(operations, handles, strict=True):
        if handle in found:
            yield operation, found[handle]


def begun(endpoint: Endpoint, handle: UUID) -> OperationStatus:
    """Give how a move stands that has just been submitted, with its handle.

    An endpoint that says of itself when moves end knows how they stand without asking anybody: what has ended already
    is found now, and not by a poll.
    """
    status = None
    if hasattr(endpoint, "watch"):
        with contextlib.suppress(ProviderError):  # it has the move, whatever keeps it from saying more
            status = endpoint.statuses([handle]).get(handle)
    if status is None:
        return OperationStatus(code=OperationCode.RUNNING, handle=handle)
    goes_on = status.code in (OperationCode.RUNNING, OperationCode.SUSPENDED)
    return attrs.evolve(status, handle=handle) if goes_on else status


def stopped(places: Places, operation: Operation, handle: UUID, files: Sequence[FileTransfer]) -> OperationStatus:
    """Ask the endpoint to stop a move of these files, and give how it stands then, with its handle.

    What it has left unfinished is removed once it has stopped, by an endpoint that can do that: a process that was
    killed has not done it, and nobody submits the move again.
    """
    endpoint = places.endpoint(operation.endpoint)
    endpoint.cancel(handle)
    status = endpoint.statuses([handle]).get(handle, OperationStatus(code=OperationCode.RUNNING))
    clear = getattr(endpoint, "clear", None)
    # a destination that is not configured any more is no reason to keep a user from canceling
    destination = places.endpoints.get(operation.transfer.destination.endpoint)
    if status.code in _STOPPED and clear is not None and destination is not None:
        clear(destination, files, operation_id=operation.submission_id)
    return attrs.evolve(status, handle=handle)
