"""The manifestor: puts the manifest beside the payload, last and whole, and tells the source database."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from uuid import UUID

import attrs

from dts_fsm.engine.guards import FINALIZE
from dts_fsm.errors import PermanentError, TransientError
from dts_fsm.handlers.moves import begun, statuses, stopped
from dts_fsm.handlers.places import Places
from dts_fsm.manifest import MANIFEST_NAME, Rendered, manifest_pieces, render
from dts_fsm.records import (
    Descriptor,
    FileTransfer,
    Operation,
    OperationCode,
    OperationRequest,
    OperationStatus,
    Transfer,
)

_log = logging.getLogger(__name__)

_MODE = 0o644
_FEW_FILES = 20
_HAD_ARRIVED = "it is there, or was taken away with the payload: it had been delivered"


class Manifestor:
    """Works in the state finalizing: one delivery, from the service's endpoint to the destination's.

    Args:
        places: where databases and endpoints are found.
        endpoint: the name of the service's endpoint, which sees ``folder``.
        folder: where manifests are written before they are delivered; it is made when it is needed.
    """

    def __init__(self, places: Places, *, endpoint: str, folder: Path) -> None:
        self._places, self._endpoint, self._folder = places, endpoint, str(folder)

    def begin(self, transfer: Transfer) -> Sequence[OperationRequest]:  # noqa: ARG002 - every transfer gets one
        """Deliver one manifest."""
        return [OperationRequest(handler="manifestor", kind="manifest", endpoint=self._endpoint)]

    def follow(self, transfer: Transfer, request: OperationRequest) -> Sequence[OperationRequest]:
        """Tell the source database once the manifest is there: in that database's own lane, for it may be asleep."""
        if request.kind == FINALIZE:
            return []
        return [OperationRequest(handler="manifestor", kind=FINALIZE, endpoint=transfer.specification.source)]

    def submit(self, operation: Operation) -> OperationStatus:
        """Write the manifest, and have it delivered; or tell the source database of the delivery."""
        if operation.kind == FINALIZE:
            return self._finalize(operation)
        if operation.resubmitted and self._there(operation):
            return self._delivered(operation, _HAD_ARRIVED)
        service = self._places.endpoint(operation.endpoint)
        below = _below(service.root, self._folder)
        rendered = _write(self._file(operation), operation)
        delivery = _delivery(operation, below, rendered)
        destination = self._places.endpoint(operation.transfer.destination.endpoint)
        handle = service.transfer(destination, [delivery], operation_id=operation.submission_id)
        return self._status(operation, begun(service, handle), rendered)

    def poll(self, operations: Sequence[Operation]) -> Mapping[UUID, OperationStatus]:
        """Ask the service's endpoint for all deliveries at once; finish those that have arrived."""
        return {
            operation.id: self._status(operation, status) for operation, status in statuses(self._places, operations)
        }

    def cancel(self, operation: Operation) -> OperationStatus:
        """Have the delivery stopped; one that has arrived is reported as such, and the transfer has succeeded."""
        if operation.kind == FINALIZE:
            return OperationStatus(code=OperationCode.CANCELED)
        handle = operation.handle
        if handle is None:
            submitted = self.submit(operation)
            if submitted.handle is None:
                return submitted
            handle = submitted.handle
        below = _below(self._places.endpoint(operation.endpoint).root, self._folder)
        delivery = _delivery(operation, below, _rendered(operation))
        status = stopped(self._places, operation, handle, [delivery])
        if status.code is OperationCode.LOST:
            if self._there(operation):
                return self._delivered(operation, _HAD_ARRIVED)
            self._discard(operation)
        return self._status(operation, status)

    def _status(
        self, operation: Operation, status: OperationStatus, rendered: Rendered | None = None
    ) -> OperationStatus:
        arrived = any(outcome.id == MANIFEST_NAME and outcome.state.arrived for outcome in status.files)
        if arrived or (status.code is OperationCode.SUCCEEDED and self._believed(operation)):
            # also where a cancellation or a failure came after it: a consumer may have it already
            return self._delivered(operation, status.message, rendered)
        if status.code is OperationCode.SUCCEEDED:
            message = f"{operation.endpoint} says that it has delivered the manifest, and it is not there yet"
            return OperationStatus(code=OperationCode.RUNNING, handle=status.handle, message=message)
        if status.code in (OperationCode.FAILED, OperationCode.CANCELED):
            self._discard(operation)
        reason = status.reason or ("manifest failed" if status.code is OperationCode.FAILED else None)
        transient = status.transient or any(outcome.transient for outcome in status.files)
        errors = "; ".join(outcome.error for outcome in status.files if outcome.error)
        # the manifest is no file of the payload: it does not count
        return OperationStatus(
            code=status.code,
            handle=status.handle,
            message=status.message or errors,
            reason=reason,
            transient=transient,
        )

    def _delivered(self, operation: Operation, message: str, rendered: Rendered | None = None) -> OperationStatus:
        self._discard(operation)
        packed = (rendered or _rendered(operation)).packed
        return OperationStatus(code=OperationCode.SUCCEEDED, message=message, manifest=packed)

    def _finalize(self, operation: Operation) -> OperationStatus:
        transfer = operation.transfer
        database = self._places.database(operation.endpoint)
        try:
            database.finalize(transfer.specification.user.orcid, transfer.id)
        except PermanentError as error:
            # payload and manifest are there: whatever the source makes of it, that has happened
            # what went wrong is in the answer's message, without secrets
            _log.warning("finalize failed", extra={"action": "finalize", "transfer_id": str(transfer.id)})
            return OperationStatus(code=OperationCode.SUCCEEDED, message=f"delivered, and not taken note of: {error}")
        return OperationStatus(code=OperationCode.SUCCEEDED)

    def _believed(self, operation: Operation) -> bool:
        """True where nothing contradicts a provider that says that it has delivered the manifest."""
        if not any(file.state.arrived for file in operation.files):
            return True  # whether a consumer has taken it away could not be told
        try:
            return self._there(operation)
        except TransientError:
            return False  # the deliveries that were asked about together must not suffer for it

    def _there(self, operation: Operation) -> bool:
        """True where the manifest is at the destination, or was taken away with the payload."""
        path = f"{operation.transfer.folder}/{MANIFEST_NAME}"
        manifest = Descriptor(id=MANIFEST_NAME, path=path, bytes=_rendered(operation).num_bytes)
        destination = self._places.endpoint(operation.transfer.destination.endpoint)
        return destination.files_staged([manifest]).get(MANIFEST_NAME, False) or self._taken_away(operation)

    def _taken_away(self, operation: Operation) -> bool:
        """True where nothing is left of what had arrived: consumers take a folder once its manifest has appeared."""
        folder = operation.transfer.folder
        arrived = [
            attrs.evolve(file.descriptor, path=f"{folder}/{file.path}")
            for file in operation.files
            if file.state.arrived
        ]
        if not arrived:
            return False
        destination = self._places.endpoint(operation.transfer.destination.endpoint)
        return not any(destination.files_staged(arrived).values())

    def _file(self, operation: Operation) -> str:
        return os.path.join(self._folder, _name(operation))

    def _discard(self, operation: Operation) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._file(operation))


def _name(operation: Operation) -> str:
    return f"{operation.transfer.id}.json"


def _delivery(operation: Operation, below: str, rendered: Rendered) -> FileTransfer:
    return FileTransfer(
        id=MANIFEST_NAME,
        source_path=os.path.join(below, _name(operation)),
        destination_path=f"{operation.transfer.folder}/{MANIFEST_NAME}",
        bytes=rendered.num_bytes,
        hash=rendered.checksum,
    )


def _rendered(operation: Operation, write: Callable[[bytes], object] = lambda content: None) -> Rendered:  # noqa: ARG005 - nobody wants it
    transfer = operation.transfer
    pieces = manifest_pieces(transfer, operation.files, operation.began_at)
    return render(pieces, write, small=len(transfer.specification.file_ids) <= _FEW_FILES)


def _write(file: str, operation: Operation) -> Rendered:
    """The file has the manifest and the mode 0644; raises TransientError where it cannot be written.

    It is read only after this has returned: after a crash in between, the same submission writes it again.
    """
    try:
        try:
            return _write_readable(file, operation)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(file), exist_ok=True)
            return _write_readable(file, operation)
    except OSError as error:
        raise TransientError(
            f"the manifest cannot be written to {os.path.dirname(file)}: {error.strerror}; see service.manifest_dir"
        ) from error


def _write_readable(file: str, operation: Operation) -> Rendered:
    with open(file, "wb") as writer:
        # the copy at the destination gets the same mode, and consumers read it there, whatever this process's umask is
        with contextlib.suppress(PermissionError):  # a file system without modes
            os.fchmod(writer.fileno(), _MODE)
        return _rendered(operation, writer.write)


@lru_cache
def _below(root: str, folder: str) -> str:
    """The folder as an endpoint with this root sees it."""
    try:
        return str(PurePosixPath(folder).relative_to(root or "/"))
    except ValueError:
        raise PermanentError(
            f"service.manifest_dir ({folder}) is not below the root of service.endpoint ({root}): "
            "choose an endpoint that sees the folder"
        ) from None
