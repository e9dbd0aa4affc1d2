"""The manifestor: puts the manifest beside the payload, last and whole, and tells the source database."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from uuid import UUID

import attrs

from dts_fsm.errors import PermanentError, ProviderError, TransientError
from dts_fsm.handlers.places import Places
from dts_fsm.interfaces import Endpoint
from dts_fsm.manifest import MANIFEST_NAME, manifest_text
from dts_fsm.records import (
    Checksum,
    FileState,
    FileTransfer,
    Operation,
    OperationCode,
    OperationRequest,
    OperationStatus,
    Transfer,
)

_log = logging.getLogger(__name__)

_ARRIVED = (FileState.TRANSFERRED, FileState.SKIPPED)


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

    def submit(self, operation: Operation) -> OperationStatus:
        """Write the manifest, and have it delivered."""
        text = _text(operation)
        if operation.resubmitted and self._taken_away(operation):
            return self._delivered(operation, text, "the payload was taken away, so the manifest had been delivered")
        service = self._places.endpoint(operation.endpoint)
        file = self._file(operation)
        content = text.encode()
        _write(file, content)
        delivery = FileTransfer(
            id=MANIFEST_NAME,
            source_path=_below(service, file),
            destination_path=f"{operation.transfer.folder}/{MANIFEST_NAME}",
            bytes=len(content),
            hash=Checksum("sha256", hashlib.sha256(content).hexdigest()),
        )
        destination = self._places.endpoint(operation.transfer.destination.endpoint)
        handle = service.transfer(destination, [delivery], operation_id=operation.submission_id)
        return OperationStatus(code=OperationCode.RUNNING, handle=handle)

    def poll(self, operations: Sequence[Operation]) -> Mapping[UUID, OperationStatus]:
        """Ask the service's endpoint for all deliveries at once; finish those that have arrived."""
        handles = [operation.handle or operation.submission_id for operation in operations]
        statuses = self._places.endpoint(operations[0].endpoint).statuses(handles)
        return {
            operation.id: self._status(operation, statuses[handle])
            for operation, handle in zip(operations, handles, strict=True)
            if handle in statuses
        }

    def cancel(self, operation: Operation) -> OperationStatus:
        """Have the delivery stopped; one that has arrived is reported as such, and the transfer has succeeded."""
        handle = operation.handle
        if handle is None:
            submitted = self.submit(operation)
            if submitted.handle is None:
                return submitted
            handle = submitted.handle
        service = self._places.endpoint(operation.endpoint)
        service.cancel(handle)
        status = service.statuses([handle]).get(handle, OperationStatus(code=OperationCode.RUNNING))
        return self._status(operation, attrs.evolve(status, handle=handle), at_once=True)

    def _status(self, operation: Operation, status: OperationStatus, *, at_once: bool = False) -> OperationStatus:
        if status.code is OperationCode.SUCCEEDED:
            return self._delivered(operation, _text(operation), status.message, at_once=at_once)
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

    def _delivered(self, operation: Operation, text: str, message: str, *, at_once: bool = False) -> OperationStatus:
        """Tell the source database, and end; a database that cannot be reached is waited for, unless ``at_once``."""
        specification = operation.transfer.specification
        try:
            self._places.database(specification.source).finalize(specification.user.orcid, operation.transfer.id)
        except ProviderError as error:
            # the payload is complete and its manifest is there: whatever the source makes of it, that has happened
            message = f"delivered; the database {specification.source!r} could not take note of it: {error}"
            _log.warning(
                "finalize failed",
                extra={"action": "finalize", "transfer_id": str(operation.transfer.id), "error": str(error)},
            )
            if not isinstance(error, PermanentError) and not at_once:
                return OperationStatus(code=OperationCode.RUNNING, message=message)
        self._discard(operation)
        return OperationStatus(code=OperationCode.SUCCEEDED, message=message, manifest=text)

    def _taken_away(self, operation: Operation) -> bool:
        """True where nothing is left of what had arrived: consumers take a folder once its manifest has appeared."""
        folder = operation.transfer.folder
        arrived = [
            attrs.evolve(file.descriptor, path=f"{folder}/{file.path}")
            for file in operation.files
            if file.state in _ARRIVED
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
    """The file has this content; raises TransientError where it cannot be written.

    It is read only after this has returned: after a crash in between, the same submission writes it again.
    """
    try:
        try:
            file.write_bytes(content)
        except FileNotFoundError:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    except OSError as error:
        raise TransientError(
            f"the manifest cannot be written to {file.parent}: {error.strerror}; see service.manifest_dir"
        ) from error


def _below(service: Endpoint, file: Path) -> str:
    try:
        return str(PurePosixPath(file).relative_to(service.root or "/"))
    except ValueError:
        raise PermanentError(
            f"service.manifest_dir ({file.parent}) is not below the root of service.endpoint ({service.root}): "
            "choose an endpoint that sees the folder"
        ) from None
