"""The mover: has the files moved from their source endpoints, and believes nothing that contradicts itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import attrs

from dts_fsm.handlers.moves import begun, statuses, stopped
from dts_fsm.handlers.places import Places
from dts_fsm.records import (
    FileOutcome,
    FileRecord,
    FileState,
    FileTransfer,
    Operation,
    OperationCode,
    OperationRequest,
    OperationStatus,
    Overwrite,
    Transfer,
)

_ENDED = (OperationCode.SUCCEEDED, OperationCode.FAILED, OperationCode.CANCELED)


_MANY_FILES = 20_000
"""How a move of more files stands is asked by a call of its own: each call has its time, and its memory."""

_NOT_ARRIVED = "the endpoint says that it has moved the file, and it is not at the destination"


class Mover:
    """Works in the state active: one move from each source endpoint, of the files that have not arrived yet.

    Args:
        places: where endpoints are found.
        overwrite: what becomes of a file that is in the place of one to be moved.
    """

    def __init__(self, places: Places, *, overwrite: Overwrite = Overwrite.IF_DIFFERENT) -> None:
        self._places, self._overwrite = places, overwrite

    def begin(self, transfer: Transfer) -> Sequence[OperationRequest]:
        """Move from each source endpoint."""
        return [OperationRequest(handler="mover", kind="move", endpoint=s.endpoint) for s in transfer.sources]

    def submit(self, operation: Operation) -> OperationStatus:
        """Hand the files over that have not arrived yet."""
        files = self._moves(operation)
        if not files:
            return OperationStatus(code=OperationCode.SUCCEEDED)
        source = self._places.endpoint(operation.endpoint)
        destination = self._places.endpoint(operation.transfer.destination.endpoint)
        handle = source.transfer(destination, files, operation_id=operation.submission_id)
        if len(files) > _MANY_FILES:
            return OperationStatus(code=OperationCode.RUNNING, handle=handle)
        return self._checked(operation, begun(source, handle))

    def poll(self, operations: Sequence[Operation]) -> Mapping[UUID, OperationStatus]:
        """Ask the source endpoint how its moves stand, all in one call."""
        return {
            operation.id: self._checked(operation, status) for operation, status in statuses(self._places, operations)
        }

    def cancel(self, operation: Operation) -> OperationStatus:
        """Have the move stopped."""
        handle = operation.handle
        if handle is None:
            # whether the provider has it is not known: the same submission again gives the id to cancel it by
            submitted = self.submit(operation)
            if submitted.handle is None:
                return submitted  # it has ended, or there was nothing to move
            handle = submitted.handle
        return self._checked(operation, stopped(self._places, operation, handle, self._moves(operation)))

    def _moves(self, operation: Operation) -> list[FileTransfer]:
        return [
            FileTransfer(
                id=file.id,
                source_path=file.path,
                destination_path=f"{operation.transfer.folder}/{file.path}",
                bytes=file.descriptor.bytes,
                hash=file.descriptor.hash,
                overwrite=self._overwrite,
            )
            for file in _to_move(operation)
            if file.path is not None
        ]

    def _checked(self, operation: Operation, status: OperationStatus) -> OperationStatus:
        if status.code is OperationCode.SUCCEEDED and not status.files:
            status = self._looked_after(operation, status)
        return checked(operation, status)

    def _looked_after(self, operation: Operation, status: OperationStatus) -> OperationStatus:
        """The status with an outcome for each file, by a look at the destination: the provider told of none."""
        transfer = operation.transfer
        there = [attrs.evolve(file.descriptor, path=f"{transfer.folder}/{file.path}") for file in _to_move(operation)]
        arrived = self._places.endpoint(transfer.destination.endpoint).files_staged(there)
        outcomes = [
            FileOutcome(id=file.id, state=FileState.TRANSFERRED, observed_bytes=file.bytes)
            if arrived.get(file.id, False)
            else FileOutcome(id=file.id, state=FileState.FAILED, reason="not arrived", error=_NOT_ARRIVED)
            for file in there
        ]
        return attrs.evolve(status, files=tuple(outcomes))


def _to_move(operation: Operation) -> Iterator[FileRecord]:
    return (
        file
        for file in operation.files
        if file.endpoint == operation.endpoint and file.path is not None and not file.state.arrived
    )


def checked(operation: Operation, status: OperationStatus) -> OperationStatus:
    """Give the status with the outcome of each file that was to be moved, once, and none that contradicts itself.

    What it says of size and checksum is compared with the
    descriptors; a file it says nothing of, among others that it does speak of, has not arrived.
    """
    if status.code not in _ENDED:
        return status
    told = {outcome.id: outcome for outcome in status.files}
    outcomes: list[FileOutcome] = []
    for file in _to_move(operation):
        outcome = told.get(file.id)
        if outcome is not None and (outcome.state.arrived or outcome.state is FileState.FAILED):
            outcomes.append(_believed(file, outcome))
        elif status.code is OperationCode.SUCCEEDED and not told:
            outcomes.append(FileOutcome(id=file.id, state=FileState.TRANSFERRED, observed_bytes=file.descriptor.bytes))
        elif status.code is not OperationCode.CANCELED:
            message = status.message or f"the endpoint {operation.endpoint!r} says nothing of this file"
            outcomes.append(
                FileOutcome(
                    id=file.id, state=FileState.FAILED, error=message, reason=status.reason, transient=status.transient
                )
            )
    failed = [outcome for outcome in outcomes if outcome.state is FileState.FAILED]
    if status.code is OperationCode.CANCELED or not failed:
        return status if status.files == tuple(outcomes) else attrs.evolve(status, files=tuple(outcomes))
    reasons = Counter(outcome.reason for outcome in failed if outcome.reason)
    first = failed[0]
    return attrs.evolve(
        status,
        code=OperationCode.FAILED,
        files=tuple(outcomes),
        reason=reasons.most_common(1)[0][0] if reasons else status.reason,
        message=status.message or f"{len(failed)} of {len(outcomes)} files failed; {first.id}: {first.error}",
        transient=any(outcome.transient for outcome in failed),
    )


def _believed(file: FileRecord, outcome: FileOutcome) -> FileOutcome:
    if outcome.state is FileState.FAILED:
        return outcome
    expected = file.descriptor
    if outcome.observed_bytes is None:
        outcome = attrs.evolve(outcome, observed_bytes=expected.bytes)
    if outcome.observed_bytes != expected.bytes:
        error = f"expected {expected.bytes} bytes, {outcome.observed_bytes} arrived"
        return attrs.evolve(outcome, state=FileState.FAILED, error=error, reason="size mismatch")
    if expected.hash is not None and outcome.observed_hash is not None:
        algorithm, _, digest = outcome.observed_hash.lower().partition(":")
        if algorithm == expected.hash.algorithm and digest != expected.hash.digest:
            error = f"expected {expected.hash}, {outcome.observed_hash} arrived"
            return attrs.evolve(outcome, state=FileState.FAILED, error=error, reason="checksum mismatch")
    return outcome
