"""The manifestor: puts the manifest beside the payload, last and whole, and tells the source database."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from uuid import UUID

import attrs

from dts_fsm.engine.guards import FINALIZE
from dts_fsm.errors import PermanentError, TransientError
from dts_fsm.handlers.moves import begun, statuses, stopped
from dts_fsm.handlers.places import Places
from dts_fsm.interfaces import Endpoint
from dts_fsm.manifest import MANIFEST_NAME, manifest_text
from dts_fsm.records import (
    Checksum,
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
_HAD_ARRIVED = "it is there, or was taken away with the payload: it had been delivered"


class Manifestor:
    """Works in the state finalizing: one delivery, from the service's endpoint to the destination's.

    Args:
        places: where databases and endpoints are found.
        endpoint: the name of the service's endpoint, which sees ``folder``.
        folder: where manifests are written before they are delivered; it is made when it is needed.
    """

    def __init__(self, places: Places, *, endpoint: str, folder: Path) -> None:
        self._places, self._endpoint, self._folder = places, endpoint, folder

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
        content = _text(operation).encode()
        delivery = self._delivery(operation, content)
        _write(self._file(operation), content)
        service = self._places.endpoint(operation.endpoint)
        destination = self._places.endpoint(operation.transfer.destination.endpoint)
        handle = service.transfer(destination, [delivery], operation_id=operation.submission_id)
        return self._status(operation, begun(service, handle))

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
        delivery = self._delivery(operation, _text(operation).encode())
        status = stopped(self._places, operation, handle, [delivery])
        if status.code is OperationCode.LOST:
            if self._there(operation):
                return self._delivered(operation, _HAD_ARRIVED)
            self._discard(operation)
        return self._status(operation, status)

    def _delivery(self, operation: Operation, content: bytes) -> FileTransfer:
        return FileTransfer(
            id=MANIFEST_NAME,
            source_path=_below(self._places.endpoint(operation.endpoint), self._file(operation)),
            destination_path=f"{operation.transfer.folder}/{MANIFEST_NAME}",
            bytes=len(content),
            hash=Checksum("sha256", hashlib.sha256(content).hexdigest()),
        )

    def _status(self, operation: Operation, status: OperationStatus) -> OperationStatus:
        arrived = any(outcome.id == MANIFEST_NAME and outcome.state.arrived for outcome in status.files)
        if arrived or (status.code is OperationCode.SUCCEEDED and self._believed(operation)):
            # also where a cancellation or a failure came after it: a consumer may have it already
            return self._delivered(operation, status.message)
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

    def _delivered(self, operation: Operation, message: str) -> OperationStatus:
        self._discard(operation)
        return OperationStatus(code=OperationCode.SUCCEEDED, message=message, manifest=_text(operation))

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
        manifest = Descriptor(id=MANIFEST_NAME, path=path, bytes=len(_text(operation).encode()))
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

    def _file(self, operation: Operation) -> Path:
        return self._folder / f"{operation.transfer.id}.json"

    def _discard(self, operation: Operation) -> None:
        with contextlib.suppress(OSError):
            self._file(operation).unlink(missing_ok=True)


def _text(operation: Operation) -> str:
    return manifest_text(operation.transfer, operation.files, operation.began_at)


def _write(file: Path, content: bytes) -> None:
    """The file has this content and the mode 0644; raises TransientError where it cannot be written.

    It is read only after this has returned: after a crash in between, the same submission writes it again.
    """
    try:
        try:
            _write_readable(file, content)
        except FileNotFoundError:
            file.parent.mkdir(parents=True, exist_ok=True)
            _write_readable(file, content)
    except OSError as error:
        raise TransientError(
            f"the manifest cannot be written to {file.parent}: {error.strerror}; see service.manifest_dir"
        ) from error


def _write_readable(file: Path, content: bytes) -> None:
    with file.open("wb") as writer:
        # the copy at the destination gets the same mode, and consumers read it there, whatever this process's umask is
        with contextlib.suppress(PermissionError):  # a file system without modes
            os.fchmod(writer.fileno(), _MODE)
        writer.write(content)


def _below(service: Endpoint, file: Path) -> str:
    try:
        return str(PurePosixPath(file).relative_to(service.root or "/"))
    except ValueError:
        raise PermanentError(
            f"service.manifest_dir ({file.parent}) is not below the root of service.endpoint ({service.root}): "
            "choose an endpoint that sees the folder"
        ) from None
