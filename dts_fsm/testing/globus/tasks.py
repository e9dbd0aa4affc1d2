"""The tasks of the loopback Globus, as their documents tell of them.

Source: https://docs.globus.org/api/transfer/task/, Task Document and Event Document.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import attrs

LIVE = ("ACTIVE", "INACTIVE")
"""The states of a task that has not ended. Source: https://docs.globus.org/api/transfer/task/, status."""


@attrs.define(kw_only=True, eq=False)
class Task:
    """A submission, and what has become of it; consistent as long as the service's lock is held.

    Attributes:
        id: not that of the submission.
        document: as it was submitted.
        requested_at, ends_at, completed_at: in UTC; the second is the deadline.
        status: ACTIVE, INACTIVE, SUCCEEDED or FAILED.
        nice_status, nice_details: what bothers it; None: nothing.
        is_paused: whether an administrator has paused one of its collections.
        fatal: the code and the sentence of what has ended it.
        successes, skipped_errors, events: their documents, in order.
        files_skipped: how many were at their destination already.
        faults: how often something failed that may go better.
        num_bytes: how many were carried.
        working: whether it is among those that are worked on, and not queued.
        canceling: whether its owner wants it ended.
    """

    id: UUID
    document: Mapping[str, Any]
    requested_at: datetime
    ends_at: datetime
    completed_at: datetime | None = None
    status: str = "ACTIVE"
    nice_status: str | None = "Queued"
    nice_details: str | None = None
    is_paused: bool = False
    fatal: tuple[str, str] | None = None
    successes: list[dict[str, Any]] = attrs.field(factory=list)
    skipped_errors: list[dict[str, Any]] = attrs.field(factory=list)
    events: list[dict[str, Any]] = attrs.field(factory=list)
    files_skipped: int = 0
    faults: int = 0
    num_bytes: int = 0
    working: bool = False
    canceling: bool = False

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.status in LIVE

    def tell(self, code: str, description: str, *, is_error: bool = False, path: str = "") -> None:
        """The task has an event more.

        Source: https://docs.globus.org/api/transfer/task_events/, The Event Document.
        """
        details = f"Error (transfer)\nFile: {path}\nMessage: {description}\n---\n" if path else description
        self.events.append(
            {
                "DATA_TYPE": "event",
                "code": code,
                "is_error": is_error,
                "description": description,
                "details": details,
                "time": now().isoformat(" ", "seconds"),
            }
        )

    def end(self, code: str, description: str) -> None:
        """It has ended: with SUCCEEDED, or with the code of the error that has ended it."""
        self.status = code if code == "SUCCEEDED" else "FAILED"
        self.fatal = None if code == "SUCCEEDED" else (code, description)
        self.nice_status = self.nice_details = None
        self.working = self.is_paused = False
        self.completed_at = now()
        self.tell(code, description, is_error=self.fatal is not None)

    def shown(self) -> dict[str, Any]:
        """Give its document."""
        return {
            "DATA_TYPE": "task",
            "task_id": str(self.id),
            "type": "TRANSFER",
            "status": self.status,
            "fatal_error": self.fatal and {"code": self.fatal[0], "description": self.fatal[1]},
            "label": self.document.get("label"),
            "request_time": self.requested_at.isoformat(timespec="seconds"),
            "completion_time": self.completed_at and self.completed_at.isoformat(timespec="seconds"),
            "deadline": self.ends_at.isoformat(timespec="seconds"),
            "source_endpoint_id": self.document["source_endpoint"],
            "destination_endpoint_id": self.document["destination_endpoint"],
            "sync_level": self.document.get("sync_level"),
            "encrypt_data": bool(self.document.get("encrypt_data")),
            "verify_checksum": bool(self.document.get("verify_checksum")),
            "skip_source_errors": bool(self.document.get("skip_source_errors")),
            "fail_on_quota_errors": bool(self.document.get("fail_on_quota_errors")),
            "is_ok": None if not self.is_live else self.nice_status in (None, "OK", "Queued"),
            "is_paused": self.is_paused,
            "nice_status": self.nice_status,
            "nice_status_short_description": self.nice_status,
            "nice_status_details": self.nice_details,
            "files": len(self.document["DATA"]),
            "files_transferred": len(self.successes),
            "files_skipped": self.files_skipped,
            "bytes_transferred": self.num_bytes,
            "faults": self.faults,
            "subtasks_total": len(self.document["DATA"]),
            "subtasks_succeeded": len(self.successes) + self.files_skipped,
            "subtasks_skipped_errors": len(self.skipped_errors),
            "history_deleted": False,
            "canceled_by_admin": None,
            "canceled_by_admin_message": None,
        }


def now() -> datetime:
    """Give the time, as documents have it."""
    return datetime.now(UTC)
