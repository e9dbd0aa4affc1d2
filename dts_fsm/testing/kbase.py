"""KBase's authentication service on this machine, as far as dts_fsm asks it.

Source: github.com/kbase/auth2, README ("API"), and its errors 10010 and 10020.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from dts_fsm.testing.json_service import Reply, Request, served
from dts_fsm.testing.scripted_service import ScriptedService

PATH = "services/auth/api/V2/"


class KBaseService(ScriptedService):
    """Answers as KBase does.

    Attributes:
        people: what it says of the user of a token, by token; see ``person``.
    """

    def __init__(self, people: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.people: dict[str, Any] = dict(people or {})

    @property
    def api_url(self) -> str:
        """The URL that a configuration has."""
        return f"{self.url}/{PATH}"

    def answer(self, request: Request) -> Reply:
        """Give what KBase would answer."""
        if (request.method, request.path) != ("GET", f"{PATH}me"):
            return _refused(404, "Not Found", 0, "HTTP 404 Not Found")
        token = request.headers.get("authorization", "")
        if not token:
            return _refused(400, "Bad Request", 10010, "No authentication token")
        if token not in self.people:
            return _refused(401, "Unauthorized", 10020, "Invalid token")
        return 200, self.people[token]


def person(username: str, *, name: str, orcids: tuple[str, ...] = (), email: str = "") -> dict[str, Any]:
    """Give what KBase says of a user who has linked these ORCIDs, and an account of Google, to their own."""
    linked = [("Google", email or f"{username}@example.org"), *(("OrcID", orcid) for orcid in orcids)]
    return {
        "user": username,
        "display": name,
        "email": email,
        "created": 1480000000000,
        "lastlogin": 1790000000000,
        "local": False,
        "roles": [],
        "customroles": [],
        "policyids": [],
        "idents": [
            {"provider": provider, "provusername": account, "id": f"{index:032x}"}
            for index, (provider, account) in enumerate(linked)
        ],
    }


def _refused(status: int, phrase: str, code: int, said: str) -> Reply:
    error = {
        "httpcode": status,
        "httpstatus": phrase,
        "appcode": code,
        "apperror": said,
        "message": f"{code} {said}",
        "callid": "1757210147564211",
        "time": 1542737889450,
    }
    return status, {"error": error}


def kbase_service(people: Mapping[str, Any]) -> AbstractContextManager[KBaseService]:
    """KBase runs until the end of the block; see ``KBaseService``."""
    return served(KBaseService(people))
