"""The records: frozen, validated when made, without any knowledge of JSON, rows or state machines."""

from dts_fsm.records.answers import (
    EventVerdict,
    Explanation,
    OperationRecord,
    Plan,
    SearchFileStatus,
    SearchParameters,
    SearchResults,
    StagingStatus,
)
from dts_fsm.records.checksum import Checksum
from dts_fsm.records.operations import (
    FileOutcome,
    Operation,
    OperationCode,
    OperationRequest,
    OperationStatus,
    SourceSummary,
    Transfer,
)
from dts_fsm.records.specification import Descriptor, Destination, FileTransfer, Overwrite, Specification, User
from dts_fsm.records.status import (
    FailedFile,
    FileRecord,
    FileState,
    HistoryRecord,
    JournalRecord,
    Message,
    TransferRecord,
    TransferStatus,
    TransferStatusCode,
)

__all__ = [
    "Checksum",
    "Descriptor",
    "Destination",
    "EventVerdict",
    "Explanation",
    "FailedFile",
    "FileOutcome",
    "FileRecord",
    "FileState",
    "FileTransfer",
    "HistoryRecord",
    "JournalRecord",
    "Message",
    "Operation",
    "OperationCode",
    "OperationRecord",
    "OperationRequest",
    "OperationStatus",
    "Overwrite",
    "Plan",
    "SearchFileStatus",
    "SearchParameters",
    "SearchResults",
    "SourceSummary",
    "Specification",
    "StagingStatus",
    "Transfer",
    "TransferRecord",
    "TransferStatus",
    "TransferStatusCode",
    "User",
]
