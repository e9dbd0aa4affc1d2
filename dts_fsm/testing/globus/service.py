"""The loopback Globus: its web service, and what tests can do to it.

Each rule says the page of Globus' documentation that it comes from; where none is named, the documentation is silent,
and the rule is the more awkward of those that there may be.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from dts_fsm.testing.globus.collections import Collection, FileError
from dts_fsm.testing.globus.submissions import check_submission
from dts_fsm.testing.globus.tasks import Task, now
from dts_fsm.testing.globus.tokens import SCOPE, Tokens
from dts_fsm.testing.globus.workshop import Workshop
from dts_fsm.testing.json_service import Reply, Request, WithHeaders, served
from dts_fsm.testing.scripted_service import ScriptedService, form

_TRANSFER = "v0.10/"
_DEFAULT_LIMIT, _MOST_LISTED = 10, 1000
_CANCEL_S = 10.0
"""For how long a cancellation waits for the task. Source: https://docs.globus.org/api/transfer/task/, Cancel task."""


class _RefusalError(Exception):
    """A request is not carried out.

    Source: https://docs.globus.org/api/transfer/overview/, Errors.
    """

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.more = status, code, more


class GlobusService(ScriptedService):
    """Transfers files between folders, as Globus does between collections; everything is one user's.

    Use it by ``globus_service``. What the user asked is in ``requests``; ``instead`` of the base class lets the next
    answers be others.

    Args:
        folders: the folder of each collection, by its id.

    Attributes:
        collections: by their ids.
        tokens: who may ask.
        tasks: by their ids.
        page_size: how many successes, or skipped errors, come with one answer.
        max_requests_per_s: more are refused in any one second; None: none are. Globus grants a user about 20.
        max_pending: how many tasks may not have ended. Source: https://docs.globus.org/faq/transfer-sharing/, limits.
        mapped: the collections to which nothing is transferred, nor from them, without a consent to that.
    """

    most_body_bytes = 64 << 20

    def __init__(self, folders: Mapping[UUID, Path]) -> None:
        super().__init__()
        self.collections = {id_: Collection(root=folder) for id_, folder in folders.items()}
        self.tokens = Tokens()
        self.tasks: dict[UUID, Task] = {}
        self.page_size = 1000
        self.max_requests_per_s: int | None = None
        self.max_pending = 100
        self.mapped: set[UUID] = set()
        self.workshop = Workshop(self.lock, self.collections)
        self._submission_ids: dict[str, UUID | None] = {}
        self._losses: list[str] = []
        self._asked_at: deque[float] = deque()
        self.alter = self._lost

    def server_close(self) -> None:
        """Every task stops where it is."""
        self.workshop.close()
        super().server_close()

    # What tests arrange

    def lose_answers(self, times: int, path: str = "transfer") -> None:
        """The next requests of this path of Transfer are carried out, and get no answer: the connection is cut."""
        with self.lock:
            self._losses += [f"{_TRANSFER}{path}"] * times

    def fail_next(
        self, times: int, status: int, code: str, *, path: str = "", retry_after_s: int | None = None
    ) -> None:
        """The next requests whose path of Transfer begins so are refused, and nothing is done."""
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        value = WithHeaders(_error(code, f"{code}: not now", path), headers)
        self.instead(f"{_TRANSFER}{path}", status=status, value=value, times=times)

    @property
    def submissions(self) -> list[dict[str, Any]]:
        """The documents of all that was submitted, in order, those that were refused included."""
        return [each.json() for each in self.asked_for(f"{_TRANSFER}transfer")]

    # What it answers

    def answer(self, request: Request) -> Reply:
        """Give what Globus would answer."""
        if request.path == "v2/oauth2/token":
            return self.tokens.issued(request.headers, form(request))
        path = request.path.removeprefix(_TRANSFER)
        try:
            self._check(request)
            return self._answered(request, path)
        except _RefusalError as error:
            wait = {"Retry-After": "1"} if error.status == 429 else {}
            return error.status, WithHeaders(_error(error.code, str(error), path, **error.more), wait)

    def _check(self, request: Request) -> None:
        if self.tokens.scope(request.headers) is None:
            raise _RefusalError(401, "AuthenticationFailed", "Token is not active")
        at = time.monotonic()
        while self._asked_at and self._asked_at[0] <= at - 1:
            self._asked_at.popleft()
        if self.max_requests_per_s is not None and len(self._asked_at) >= self.max_requests_per_s:
            raise _RefusalError(429, "TooManyRequests", "Too many requests")
        self._asked_at.append(at)

    def _answered(self, request: Request, path: str) -> Reply:
        match request.method, path.split("/"):
            case "GET", ["submission_id"]:
                id_ = str(uuid4())
                self._submission_ids[id_] = None
                return 200, {"DATA_TYPE": "submission_id", "value": id_}
            case "POST", ["transfer"]:
                return self._submitted(request)
            case "GET", ["task_list"]:
                return 200, self._list(request.query)
            case "GET", ["task", id_]:
                return 200, self._task(id_).shown()
            case "POST", ["task", id_, "cancel"]:
                return self._canceled(self._task(id_), path)
            case "GET", ["task", id_, "pause_info"]:
                return 200, self._pause(self._task(id_))
            case "GET", ["task", id_, "event_list"]:
                return 200, self._events(self._task(id_), request.query)
            case "GET", ["task", id_, "successful_transfers"]:
                task = self._task(id_)
                if task.is_live:
                    raise _RefusalError(409, "TaskIncomplete", "The task has not ended")
                return 200, self._page("successful_transfers", task.successes, request.query)
            case "GET", ["task", id_, "skipped_errors"]:
                return 200, self._page("skipped_errors", self._task(id_).skipped_errors, request.query)
            case "GET", ["operation", "endpoint", id_, "ls"]:
                return 200, self._looked(id_, request.query, lambda place, path: _listing(place.listing(path), path))
            case "GET", ["operation", "endpoint", id_, "stat"]:
                return 200, self._looked(id_, request.query, lambda place, path: place.stat(path))
        raise _RefusalError(404, "ClientError.NotFound", "No such resource")

    def _submitted(self, request: Request) -> Reply:
        """Source: https://docs.globus.org/api/transfer/task_submit/, Submit a transfer task, Result codes, Errors."""
        try:
            document = request.json()
            submission_id = document.get("submission_id")
            if (known := self._submission_ids.get(str(submission_id))) is not None:
                return 200, self._accepted("Duplicate", known, str(submission_id))
            ends_at = check_submission(document, self.collections.keys())
        except LookupError as error:
            raise _RefusalError(404, "EndpointNotFound", str(error)) from None
        except (ValueError, TypeError) as error:
            raise _RefusalError(400, "ClientError.BadRequest", str(error)) from None
        if submission_id not in self._submission_ids:
            raise _RefusalError(400, "ClientError.BadRequest", f"Unknown submission_id {submission_id}")
        self._check_consents(request, document)
        if sum(task.is_live for task in self.tasks.values()) >= self.max_pending:
            raise _RefusalError(409, "LimitExceeded", f"There are {self.max_pending} pending tasks")
        task = Task(id=uuid4(), document=document, requested_at=now(), ends_at=ends_at)
        self._submission_ids[submission_id] = task.id
        self.tasks[task.id] = task
        self.workshop.take(task)
        return 202, self._accepted("Accepted", task.id, submission_id)

    def _check_consents(self, request: Request, document: Mapping[str, Any]) -> None:
        """Source: https://docs.globus.org/api/flows/working-with-consents/, data_access."""
        scope = self.tokens.scope(request.headers) or ""
        for id_ in (UUID(document["source_endpoint"]), UUID(document["destination_endpoint"])):
            needed = f"https://auth.globus.org/scopes/{id_}/data_access"
            if id_ in self.mapped and needed not in scope:
                raise _RefusalError(403, "ConsentRequired", "Missing consents", required_scopes=[f"{SCOPE}[*{needed}]"])

    def _accepted(self, code: str, task_id: UUID, submission_id: str) -> dict[str, Any]:
        return {
            "DATA_TYPE": "transfer_result",
            "code": code,
            "message": "The transfer has been accepted and a task has been created and queued for execution",
            "request_id": uuid4().hex[:9],
            "resource": "/transfer",
            "submission_id": submission_id,
            "task_id": str(task_id),
        }

    def _task(self, text: str) -> Task:
        try:
            return self.tasks[UUID(text)]
        except (ValueError, KeyError):
            raise _RefusalError(404, "ClientError.NotFound", f"Task {text} not found") from None

    def _list(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Source: https://docs.globus.org/api/transfer/task/, Get task list, Filter and Order By Options."""
        found = list(self.tasks.values())
        for condition in filter(None, query.get("filter", "").split("/")):
            name, _, values = condition.partition(":")
            wanted = values.split(",")
            match name:
                case "task_id":
                    found = [task for task in found if str(task.id) in wanted]
                case "status":
                    found = [task for task in found if task.status in wanted]
                case "label":
                    found = [task for task in found if task.document.get("label") in wanted]
                case _:
                    raise _RefusalError(400, "ClientError.BadRequest", f"Unknown filter {name}")
        start, stop = _range(query)
        page = [task.shown() for task in found[start:stop]]
        return {"DATA_TYPE": "task_list", "offset": start, "limit": stop - start, "total": len(found), "DATA": page}

    def _canceled(self, task: Task, path: str) -> Reply:
        """Source: https://docs.globus.org/api/transfer/task/, Cancel task by id."""
        if not task.is_live:
            code = "TaskComplete"
        else:
            code = "Canceled" if self.workshop.canceled(task, within_s=_CANCEL_S) else "CancelAccepted"
        return 200, {"DATA_TYPE": "result", "code": code, "message": code, "resource": f"/{path}", "request_id": "1"}

    def _pause(self, task: Task) -> dict[str, Any]:
        """Source: https://docs.globus.org/api/transfer/task/, Get task pause info, and Limited pause rule document."""
        said = [
            self.collections[UUID(task.document[end])].paused for end in ("source_endpoint", "destination_endpoint")
        ]
        rules = [{"DATA_TYPE": "pause_rule_limited", "message": text} for text in said if text is not None]
        return {"DATA_TYPE": "pause_info_limited", "pause_rules": rules, "source_pause_message": None}

    def _events(self, task: Task, query: Mapping[str, str]) -> dict[str, Any]:
        """Source: https://docs.globus.org/api/transfer/task/, Get event list: the newest first."""
        found = [each for each in reversed(task.events) if query.get("filter") != "is_error:1" or each["is_error"]]
        start, stop = _range(query)
        page = {"offset": start, "limit": stop - start, "total": len(found), "DATA": found[start:stop]}
        return {"DATA_TYPE": "event_list", **page}

    def _page(self, kind: str, entries: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
        """Source: https://docs.globus.org/api/transfer/task/, Get task successful transfers: pages by marker."""
        try:
            start = int(query.get("marker", 0))
        except ValueError:
            raise _RefusalError(400, "ClientError.BadRequest", "The marker is none of this service") from None
        stop = start + self.page_size
        following = stop if stop < len(entries) else None
        return {"DATA_TYPE": kind, "marker": start, "next_marker": following, "DATA": entries[start:stop]}

    def _looked(
        self, id_: str, query: Mapping[str, str], look: Callable[[Collection, str], dict[str, Any] | None]
    ) -> dict[str, Any]:
        """Source: https://docs.globus.org/api/transfer/file_operations/, List directory contents, and Stat."""
        path = query.get("path", "/")
        try:
            found = look(self.collections[UUID(id_)], path)
        except (ValueError, KeyError):
            raise _RefusalError(404, "EndpointNotFound", f"No such collection {id_}") from None
        except (FileError, PermissionError) as error:
            raise _RefusalError(403, "EndpointPermissionDenied", f"Denied by endpoint: {error}") from None
        if found is None:
            raise _RefusalError(404, "ClientError.NotFound", f"Path not found: {path}")
        return found

    def _lost(self, request: Request, reply: Reply) -> Reply:
        with self.lock:
            if request.path not in self._losses:
                return reply
            self._losses.remove(request.path)
        raise ConnectionAbortedError("a test wants this answer lost")


def _listing(entries: list[dict[str, Any]] | None, path: str) -> dict[str, Any] | None:
    return entries if entries is None else {"DATA_TYPE": "file_list", "path": path, "DATA": entries}


def _range(query: Mapping[str, str]) -> tuple[int, int]:
    try:
        start, limit = int(query.get("offset", 0)), int(query.get("limit", _DEFAULT_LIMIT))
    except ValueError:
        raise _RefusalError(400, "ClientError.BadRequest", "The offset and the limit must be numbers") from None
    return max(start, 0), max(start, 0) + min(max(limit, 0), _MOST_LISTED)


def _error(code: str, message: str, path: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "message": message, "request_id": uuid4().hex[:9], "resource": f"/{path}", **more}


def globus_service(folders: Mapping[UUID, Path]) -> AbstractContextManager[GlobusService]:
    """Globus runs until the end of the block; see ``GlobusService``."""
    return served(GlobusService(folders))
