"""The JGI Data Portal on this machine: its documented calls, over files of a test, with tapes that need their time.

Source: files.jgi.doe.gov/apidoc, and what the portal's users rely on: pages of organisms (``p`` from 1, ``x`` at once),
a file with each organism that it belongs to, a request's number and the URL of its status.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from dts_fsm.testing.json_service import JsonService, Reply, Request, served

_STEPS = ("new", "pending", "ready")

_MOST_IDS = 50

File = dict[str, Any]


class JdpService(JsonService):
    """Has organisms with their files, as the portal describes them; ``alter`` changes replies.

    Args:
        organisms: each with "id", "title" and "files"; a file has at least "_id", "file_name", "file_path" and
            "file_size". Files whose "file_status" is "PURGED" must be asked for.
        secret: with which services ask for their users.
        private: the ORCIDs of those who alone may see a file, by its "_id", and who must ask for private data.
        restore: brings a file from tape; called once for each file of a request, before that is said to be ready.
    """

    def __init__(
        self,
        organisms: Sequence[Mapping[str, Any]],
        *,
        secret: str,
        private: Mapping[str, str] | None = None,
        restore: Callable[[File], object] | None = None,
    ) -> None:
        super().__init__()
        self._organisms, self._secret = organisms, secret
        self._private, self._restore = private or {}, restore
        self._lock = threading.Lock()
        self._requests: list[tuple[list[str], list[str]]] = []

    def reply(self, request: Request) -> Reply:
        """Give what the portal would."""
        if request.path.startswith("request_archived_files/requests/"):
            return self._status(request.path.rpartition("/")[2])
        user, _, secret = request.headers.get("authorization", "").removeprefix("Token ").partition("_")
        if not user or secret != self._secret:
            return 401, {"detail": "Invalid token."}
        calls = {
            ("GET", "search/"): self._search,
            ("POST", "search/by_file_ids/"): self._by_ids,
            ("POST", "request_archived_files/"): self._request,
        }
        call = calls.get((request.method, request.path))
        if call is None:
            return 404, {"detail": "Not found."}
        try:
            with self._lock:
                return call(request, user)
        except (ValueError, KeyError) as error:
            return 400, {"detail": f"Not as documented: {error}"}

    def _seen(self, user: str, private: object) -> Iterator[tuple[Mapping[str, Any], list[File]]]:
        """The organisms, each with the files that the user sees."""
        for organism in self._organisms:
            yield (
                organism,
                [
                    file
                    for file in organism["files"]
                    if (owner := self._private.get(file["_id"])) is None or (private and owner == user)
                ],
            )

    def _search(self, request: Request, user: str) -> Reply:
        query = request.query
        words, status, field = query.get("q", "").lower().split(), query.get("ff[file_status]"), query.get("f")
        page, size = int(query.get("p", 1)), int(query.get("x", 10))

        def matches(organism: Mapping[str, Any], file: File) -> bool:
            text = _searched(organism, file, field).lower()
            return all(word in text for word in words) and status in (None, file.get("file_status", "RESTORED"))

        found = []
        for organism, files in self._seen(user, query.get("include_private_data") == "1"):
            if matching := [file for file in files if matches(organism, file)]:
                found.append({**organism, "files": matching})
        if sort := query.get("s"):
            found.sort(key=lambda organism: str(organism.get(sort, "")))
        if query.get("d") == "desc":
            found.reverse()
        some = found[(page - 1) * size : page * size] if page > 0 else []
        return 200, {"organisms": some, "total": len(found), "next_page": len(found) > page * size}

    def _by_ids(self, request: Request, user: str) -> Reply:
        value = request.json()
        ids = value["ids"]
        if len(ids) > _MOST_IDS:
            return 400, {"detail": f"at most {_MOST_IDS} ids"}
        seen = self._seen(user, value.get("include_private_data"))
        found = [
            {**organism, "files": asked}
            for organism, files in seen
            if (asked := [file for file in files if file["_id"] in ids])
        ]
        return 200, {"organisms": found}

    def _request(self, request: Request, user: str) -> Reply:
        value = request.json()
        if value.get("api_version") != "2" or not isinstance(value.get("send_email"), bool):
            raise ValueError("api_version or send_email")
        known = {file["_id"] for _, files in self._seen(user, value.get("include_private_data")) for file in files}
        ids = [id_ for id_ in value["ids"] if id_ in known]
        if not ids:
            return 404, {"detail": "No files found."}
        self._requests.append((ids, list(_STEPS)))
        number = len(self._requests)
        return 200, {
            "updated_count": 0,
            "restored_count": len(ids),
            "request_id": number,
            "request_status_url": f"{self.url}/request_archived_files/requests/{number}",
        }

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
                            self._bring(file)
            return 200, {"status": status, "file_ids": ids}

    def _bring(self, file: File) -> None:
        if file.get("file_status") == "PURGED":
            if self._restore is not None:
                self._restore(file)
            file["file_status"] = "RESTORED"


def _searched(organism: Mapping[str, Any], file: File, field: str | None) -> str:
    """The text that a search looks at, in all fields or in the one that ``f`` names."""
    metadata = file.get("metadata") or {}
    match field:
        case None:
            return f"{organism.get('title')} {file['file_name']} {file['_id']}"
        case "project_id":
            return str(organism["id"])
        case "img_taxon_oid":
            return str((metadata.get("img") or {}).get("taxon_oid"))
        case _:
            return str(metadata.get(field))


def jdp_service(
    organisms: Sequence[Mapping[str, Any]],
    *,
    secret: str,
    private: Mapping[str, str] | None = None,
    restore: Callable[[File], object] | None = None,
) -> AbstractContextManager[JdpService]:
    """The portal runs until the end of the block; see ``JdpService``."""
    return served(JdpService(organisms, secret=secret, private=private, restore=restore))
