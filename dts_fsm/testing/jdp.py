"""The JGI Data Portal on this machine: its documented calls, over files of a test, with tapes that need their time.

Source: files.jgi.doe.gov/apidoc.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from dts_fsm.testing.json_service import JsonService, Reply, Request, served

_STEPS = ("new", "pending", "ready")


class JdpService(JsonService):
    """Has organisms with their files, as the portal describes them; ``alter`` changes replies.

    Args:
        organisms: each with "id", "title" and "files"; a file has at least "_id", "file_name", "file_path" and
            "file_size". Files whose "file_status" is "PURGED" must be asked for.
        secret: with which services ask for their users.
    """

    def __init__(self, organisms: Sequence[Mapping[str, Any]], *, secret: str) -> None:
        super().__init__()
        self._organisms, self._secret = organisms, secret
        self._lock = threading.Lock()
        self._requests: list[tuple[list[str], list[str]]] = []

    def reply(self, request: Request) -> Reply:
        """Give what the portal would."""
        if request.path.startswith("request_archived_files/requests/"):
            return self._status(request.path.rpartition("/")[2])
        token = request.headers.get("authorization", "")
        if not token.startswith("Token ") or not token.endswith(f"_{self._secret}"):
            return 401, {"detail": "Invalid token."}
        calls = {
            ("GET", "search/"): self._search,
            ("POST", "search/by_file_ids/"): self._by_ids,
            ("POST", "request_archived_files/"): self._restore,
        }
        call = calls.get((request.method, request.path))
        return call(request) if call else (404, {"detail": "Not found."})

    def _search(self, request: Request) -> Reply:
        words = request.query.get("q", "").lower().split()
        status = request.query.get("ff[file_status]")
        page, size = int(request.query["p"]), int(request.query["x"])
        some = self._organisms[(page - 1) * size : page * size]

        def matches(organism: Mapping[str, Any], file: Mapping[str, Any]) -> bool:
            text = f"{organism.get('title')} {file['file_name']} {file['_id']}".lower()
            return all(word in text for word in words) and status in (None, file.get("file_status", "RESTORED"))

        with self._lock:
            return 200, {
                "organisms": [
                    {**organism, "files": [file for file in organism["files"] if matches(organism, file)]}
                    for organism in some
                ]
            }

    def _by_ids(self, request: Request) -> Reply:
        ids = request.json()["ids"]
        if len(ids) > 50:
            return 400, {"detail": "at most 50 ids"}
        with self._lock:
            found = [
                {**organism, "files": files}
                for organism in self._organisms
                if (files := [file for file in organism["files"] if file["_id"] in ids])
            ]
        return 200, {"organisms": found}

    def _restore(self, request: Request) -> Reply:
        value = request.json()
        known = [file["_id"] for organism in self._organisms for file in organism["files"]]
        ids = [id_ for id_ in value["ids"] if id_ in known]
        if not ids or value.get("api_version") != "2":
            return 404, {"detail": "No files found."}
        with self._lock:
            self._requests.append((ids, list(_STEPS)))
            return 201, {"request_id": len(self._requests), "restored_count": len(ids)}

    def _status(self, number: str) -> Reply:
        with self._lock:
            if not number.isdigit() or not 0 < int(number) <= len(self._requests):
                return 404, {"detail": "Not found."}
            ids, steps = self._requests[int(number) - 1]
            status = steps.pop(0) if len(steps) > 1 else steps[0]
            if status == "ready":
                for organism in self._organisms:
                    for file in organism["files"]:
                        if file["_id"] in ids:
                            file["file_status"] = "RESTORED"
            return 200, {"status": status, "file_ids": ids}


def jdp_service(organisms: Sequence[Mapping[str, Any]], *, secret: str) -> AbstractContextManager[JdpService]:
    """The portal runs until the end of the block; see ``JdpService``."""
    return served(JdpService(organisms, secret=secret))
