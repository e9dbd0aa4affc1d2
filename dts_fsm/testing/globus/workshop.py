"""Where the tasks of the loopback Globus are worked on, each by a thread of its own.

Source: https://docs.globus.org/api/transfer/task_behavior/: Queuing, Deadlines, Errors.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from dts_fsm.testing.globus.collections import Collection, FileError, carried
from dts_fsm.testing.globus.tasks import Task, now

_AT_ONCE = 3
"""On how many tasks of a user Globus works at once."""

_SKIPPABLE = ("AMBIGUOUS_PATH", "FILE_NOT_FOUND", "PERMISSION_DENIED")
"""Source: https://docs.globus.org/api/transfer/task_events/, Skippable Errors."""

_PASSING = ("VERIFY_CHECKSUM",)
"""What is tried again until the deadline."""

_OF_QUOTA = ("NO_SPACE_LEFT", "QUOTA_EXCEEDED")

_FAULT_S = 0.05
_LONGEST_WAIT_S = 60.0


class Workshop:
    """Works on tasks, unless a test holds them up.

    Args:
        lock: held whenever a task is looked at or changed.
        collections: by their ids.

    Attributes:
        moves_after_s: how long a task takes at least.
    """

    def __init__(self, lock: threading.RLock, collections: Mapping[UUID, Collection]) -> None:
        self._changed = threading.Condition(lock)
        self._collections = collections
        self._tasks: list[Task] = []
        self._threads: list[threading.Thread] = []
        self.moves_after_s = 0.0
        self._held = self._closed = False
        self._inactive: str | None = None

    def take(self, task: Task) -> None:
        """The task is worked on, as soon as fewer than three others are."""
        self._tasks.append(task)
        thread = threading.Thread(target=self._work, args=(task,), daemon=True, name=f"globus-{task.id}")
        self._threads.append(thread)
        thread.start()

    def canceled(self, task: Task, *, within_s: float) -> bool:
        """The task ends before its next file; True if that is so already."""
        with self._changed:
            task.canceling = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not task.is_live, within_s)

    def close(self) -> None:
        """Nothing is worked on any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    # What tests arrange

    def hold(self) -> None:
        """Every task stays as it is."""
        self._set(_held=True)

    def release(self) -> None:
        """They go on."""
        self._set(_held=False)

    def pause(self, collection: UUID, message: str) -> None:
        """An administrator pauses a collection. Source: https://docs.globus.org/api/transfer/task/, is_paused."""
        with self._changed:
            self._collections[collection].paused = message
            self._changed.notify_all()

    def resume(self, collection: UUID) -> None:
        """Tasks of the collection go on."""
        with self._changed:
            self._collections[collection].paused = None
            self._changed.notify_all()

    def inactivate(self, reason: str) -> None:
        """All tasks wait for their owner. Source: https://docs.globus.org/api/transfer/task/, status, INACTIVE."""
        self._set(_inactive=reason)

    def activate(self) -> None:
        """The owner has done what was needed."""
        self._set(_inactive=None)

    def fault(self, code: str, message: str) -> None:
        """Every live task meets an error that may pass, and tells of it until its next file has arrived."""
        with self._changed:
            for task in self._tasks:
                if task.is_live:
                    _meet(task, FileError(code, "", message))

    def _set(self, **changes: Any) -> None:
        with self._changed:
            for name, value in changes.items():
                setattr(self, name, value)
            self._changed.notify_all()

    # Working

    def _work(self, task: Task) -> None:
        begins_at = time.monotonic() + self.moves_after_s
        source, destination = (
            self._collections[UUID(task.document[end])] for end in ("source_endpoint", "destination_endpoint")
        )
        for item in task.document["DATA"]:
            while self._goes_on(task, source, destination, begins_at):
                try:
                    success = carried(item, task.document, source, destination)
                except FileError as error:
                    if self._passes(task, item, error):
                        break
                else:
                    self._arrived(task, success)
                    break
            if not task.is_live or self._closed:
                return
        with self._changed:
            if task.skipped_errors:
                task.tell("SKIPPED_ERRORS", f"{len(task.skipped_errors)} paths were skipped")
            task.end("SUCCEEDED", "")
            self._changed.notify_all()

    def _goes_on(self, task: Task, source: Collection, destination: Collection, begins_at: float) -> bool:
        """Wait until the task may carry its next file; False where it has ended."""
        with self._changed:
            while not self._closed:
                left_s = (task.ends_at - now()).total_seconds()
                if task.canceling:
                    task.end("CANCELED", "The task was canceled by its owner")
                elif left_s <= 0:
                    task.end("EXPIRED", "The task did not end before its deadline")
                if not task.is_live:
                    self._changed.notify_all()
                    return False
                task.status = "ACTIVE" if self._inactive is None else "INACTIVE"
                task.is_paused = source.paused is not None or destination.paused is not None
                if self._inactive is not None:
                    task.nice_status, task.nice_details = "AUTH", self._inactive
                waits = task.is_paused or self._inactive is not None
                if waits:
                    task.working = False
                elif task.working or sum(each.working for each in self._tasks) < _AT_ONCE:
                    if not task.working:
                        task.nice_status = task.nice_details = None
                        task.tell("STARTED", "started")
                    task.working = True
                    if not self._held and time.monotonic() >= begins_at:
                        return True
                pause_s = begins_at - time.monotonic() if task.working and not self._held else left_s
                self._changed.wait(max(min(left_s, pause_s, _LONGEST_WAIT_S), 0.001))
            return False

    def _passes(self, task: Task, item: Mapping[str, Any], error: FileError) -> bool:
        """Take note of what keeps a file from arriving; True where the others are gone on with, without it."""
        with self._changed:
            quota = error.code in _OF_QUOTA and not task.document.get("fail_on_quota_errors")
            if error.code in _PASSING or quota:
                _meet(task, error)
                self._changed.wait(_FAULT_S)
                return False
            task.tell(error.code, str(error), is_error=True, path=error.path)
            if (
                error.code in _SKIPPABLE
                and task.document.get("skip_source_errors")
                and error.path == item["source_path"]
            ):
                task.skipped_errors.append(
                    {
                        "DATA_TYPE": "skipped_error",
                        "error_code": error.code,
                        "error_details": f"Error (transfer)\nFile: {error.path}\nMessage: {error}\n",
                        "error_time": now().isoformat(" ", "seconds"),
                        "source_path": item["source_path"],
                        "destination_path": item["destination_path"],
                        "is_directory": False,
                        "is_symlink": False,
                        "external_checksum": item.get("external_checksum"),
                        "checksum_algorithm": item.get("checksum_algorithm"),
                    }
                )
                return True
            task.end(error.code, str(error))
            self._changed.notify_all()
            return True

    def _arrived(self, task: Task, success: dict[str, Any] | None) -> None:
        with self._changed:
            task.nice_status = task.nice_details = None
            if success is None:
                task.files_skipped += 1
            else:
                task.successes.append(success)
                task.num_bytes += success["size"]


def _meet(task: Task, error: FileError) -> None:
    task.faults += 1
    task.nice_status, task.nice_details = error.code, str(error)
    task.tell(error.code, str(error), is_error=True, path=error.path)
