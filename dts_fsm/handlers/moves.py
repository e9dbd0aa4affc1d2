"""What mover and manifestor share: asking endpoints how their moves stand, and having them stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

import attrs

from dts_fsm.handlers.places import Places
from dts_fsm.records import Operation, OperationCode, OperationStatus


def statuses(places: Places, operations: Sequence[Operation]) -> Iterator[tuple[Operation, OperationStatus]]:
    """Give how the operations, all of one endpoint, stand; those that it does not speak of are left out. One call."""
    handles = [operation.handle or operation.submission_id for operation in operations]
    found = places.endpoint(operations[0].endpoint).statuses(handles)
    for operation, handle in zip(operations, handles, strict=True):
        if handle in found:
            yield operation, found[handle]


def stopped(places: Places, operation: Operation, handle: UUID) -> OperationStatus:
    """Ask the endpoint to stop a move, and give how it stands then, with its handle."""
    endpoint = places.endpoint(operation.endpoint)
    endpoint.cancel(handle)
    status = endpoint.statuses([handle]).get(handle, OperationStatus(code=OperationCode.RUNNING))
    return attrs.evolve(status, handle=handle)
