"""The stager: finds out which files are at their endpoint, and has the others brought there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, islice
from uuid import UUID

from dts_fsm.handlers.places import Places
from dts_fsm.records import (
    FileOutcome,
    FileRecord,
    FileState,
    Operation,
    OperationCode,
    OperationRequest,
    OperationStatus,
    StagingStatus,
    Transfer,
    TransferStatusCode,
)

SURVEY, STAGE = "survey", "stage"

_ASKED_AT_ONCE = 10_000
"""About how many files an endpoint is asked in one call: a transfer may have a million."""


class Stager:
    """Works in the states unknown (a survey of each source endpoint) and staging (one request to the source database).

    Args:
        places: where databases and endpoints are found.
        double_check: when the database says that the files are there, ask the endpoint too.
    """

    def __init__(self, places: Places, *, double_check: bool = False) -> None:
        self._places, self._double_check = places, double_check

    def begin(self, transfer: Transfer) -> Sequence[OperationRequest]:
        """Survey each source endpoint first; then ask the source database to stage what is missing."""
        if transfer.state is TransferStatusCode.UNKNOWN:
            return [OperationRequest(handler="stager", kind=SURVEY, endpoint=s.endpoint) for s in transfer.sources]
        return [OperationRequest(handler="stager", kind=STAGE, endpoint=transfer.specification.source)]

    def submit(self, operation: Operation) -> OperationStatus:
        """Do a survey at once, or hand over the staging request."""
        if operation.kind == SURVEY:
            missing = self._missing(file for file in operation.files if file.endpoint == operation.endpoint)
            return OperationStatus(
                code=OperationCode.SUCCEEDED,
                message=f"{len(missing)} files are to be staged" if missing else "all files are there",
                files=tuple(FileOutcome(id=file.id, state=FileState.UNSTAGED) for file in missing),
            )
        file_ids = [file.id for file in _unstaged(operation)]
        if not file_ids:
            return OperationStatus(code=OperationCode.SUCCEEDED)
        orcid = operation.transfer.specification.user.orcid
        database = self._places.database(operation.endpoint)
        handle = database.stage_files(orcid, file_ids, request_id=operation.submission_id)
        return OperationStatus(code=OperationCode.RUNNING, handle=handle)

    def poll(self, operations: Sequence[Operation]) -> Mapping[UUID, OperationStatus]:
        """Ask the source database how its requests stand."""
        database = self._places.database(operations[0].endpoint)
        handles = [operation.handle or operation.submission_id for operation in operations]
        found = database.staging_status(handles)
        return {
            operation.id: self._status(operation, found.get(handle, StagingStatus.UNKNOWN))
            for operation, handle in zip(operations, handles, strict=True)
        }

    def cancel(self, operation: Operation) -> OperationStatus:
        """Stop waiting: databases cannot take back a staging request, and files that come late do no harm."""
        message = f"{operation.endpoint} may still stage the files"
        return OperationStatus(code=OperationCode.CANCELED, message=message if operation.kind == STAGE else "")

    def _status(self, operation: Operation, status: StagingStatus) -> OperationStatus:
        match status:
            case StagingStatus.UNKNOWN:
                return OperationStatus(code=OperationCode.LOST)
            case StagingStatus.FAILED:
                message = f"the database {operation.endpoint!r} could not stage the files"
                return OperationStatus(code=OperationCode.FAILED, message=message)
            case StagingStatus.ACTIVE:
                return OperationStatus(code=OperationCode.RUNNING)
        staged = _unstaged(operation)
        if self._double_check and (missing := self._missing(sorted(staged, key=lambda file: file.endpoint))):
            message = f"the database says that all is staged, and {len(missing)} files are not at their endpoint yet"
            return OperationStatus(code=OperationCode.RUNNING, message=message)
        outcomes = tuple(FileOutcome(id=file.id, state=FileState.STAGED) for file in staged)
        return OperationStatus(code=OperationCode.SUCCEEDED, files=outcomes)

    def _missing(self, files: Iterable[FileRecord]) -> list[FileRecord]:
        missing = []
        for endpoint, group in groupby(files, lambda file: file.endpoint):
            while here := list(islice(group, _ASKED_AT_ONCE)):
                staged = self._places.endpoint(endpoint).files_staged([file.descriptor for file in here])
                missing += [file for file in here if not staged.get(file.id, False)]
        return missing


def _unstaged(operation: Operation) -> list[FileRecord]:
    return [file for file in operation.files if file.state is FileState.UNSTAGED]
