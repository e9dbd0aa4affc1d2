"""NMDC's API on this machine, as far as dts_fsm asks it.

Source: https://api.microbiomedata.org/docs, and the open source behind it (github.com/microbiomedata/nmdc-runtime):
``api/endpoints/users.py`` for tokens, ``find.py`` for studies, ``nmdcschema.py`` and ``util.py`` (``list_resources``)
for collections, filters and pages. The records are those of the NMDC schema, https://w3id.org/nmdc.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from dts_fsm.testing.json_service import Reply, Request, served
from dts_fsm.testing.scripted_service import ScriptedService, form

Record = dict[str, Any]

_DEFAULT_PAGE = 20
_COLLECTION = "nmdcschema/"


class NmdcService(ScriptedService):
    """Answers as NMDC does; every request but that for a token needs one.

    Args:
        users: password by user name, for the password grant.

    Attributes:
        collections: the records by name of their collection, "data_object_set" for example.
        expires: what it says of how long a token lasts, in days, hours and minutes; None: it says nothing.
        largest_page: how many records a page has at most, whatever is asked for; None: as many as are asked for.
        repeats: whether a page begins with the last record of the one before.
        endless: whether every page, the last one included, leads to a next one.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        super().__init__()
        self.users = dict(users)
        self.collections: defaultdict[str, list[Record]] = defaultdict(list)
        self.expires: Any = {"days": 1, "hours": 0, "minutes": 0}
        self.largest_page: int | None = None
        self.repeats = self.endless = False
        self._tokens: set[str] = set()
        self._issued = 0
        self._pages: dict[str, tuple[str, str]] = {}

    # What tests arrange

    def add_file(self, file_id: str, url: str, content: bytes, **more: Any) -> Record:
        """Give the data object of a file with this content, which it has from now on; ``more`` of its slots."""
        record = {
            "id": file_id,
            "type": "nmdc:DataObject",
            "name": url.rpartition("/")[2],
            "description": f"the file {file_id}",
            "file_size_bytes": len(content),
            "md5_checksum": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            "url": url,
            **more,
        }
        self.collections["data_object_set"].append(record)
        return record

    def expire_tokens(self) -> None:
        """Accept no token any more that was given until now."""
        with self.lock:
            self._tokens.clear()

    @property
    def num_tokens(self) -> int:
        """How many tokens it has given."""
        return self._issued

    # What it answers

    def answer(self, request: Request) -> Reply:
        """Give what NMDC would answer."""
        if request.path == "token":
            return self._token(request)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self._tokens:
            return _refused(401, "Could not validate credentials")
        if request.path.startswith("data_objects/study/"):
            return self._of_study(request.path.removeprefix("data_objects/study/"))
        if request.path.startswith("biosamples/"):
            found = self._first("biosample_set", request.path.removeprefix("biosamples/"))
            return (200, found) if found else _refused(404, "Not Found")
        if request.path.startswith(_COLLECTION):
            return self._listed(request.path.removeprefix(_COLLECTION), request.query)
        return _refused(404, "Not Found")

    def _token(self, request: Request) -> Reply:
        if request.method != "POST":
            return _refused(405, "Method Not Allowed")
        fields = form(request)
        if fields.get("grant_type") != "password":
            # FastAPI quotes what it was sent, the password included
            return _refused(422, [{"type": "string_pattern_mismatch", "loc": ["body", "grant_type"], "input": fields}])
        name, password = fields.get("username", ""), fields.get("password")
        if name not in self.users or self.users[name] != password:
            return _refused(401, "Incorrect username or password")
        self._issued += 1
        token = f"token.{self._issued}.of-{name}"
        self._tokens.add(token)
        said = {"access_token": token, "token_type": "bearer", "expires": self.expires}
        return 200, {key: value for key, value in said.items() if value is not None}

    def _first(self, collection: str, record_id: str) -> Record | None:
        return next((record for record in self.collections[collection] if record["id"] == record_id), None)

    def _of_study(self, study_id: str) -> Reply:
        if self._first("study_set", study_id) is None:
            return _refused(404, "Study not found")
        sets = []
        for biosample in self.collections["biosample_set"]:
            if study_id in biosample.get("associated_studies", []):
                objects = [
                    found for i in self._outputs(biosample["id"]) if (found := self._first("data_object_set", i))
                ]
                if objects:
                    sets.append({"biosample_id": biosample["id"], "data_objects": objects})
        return 200, sets

    def _outputs(self, biosample_id: str) -> list[str]:
        """The ids of everything that was made of a biosample, directly or not, in order."""
        found: list[str] = []
        sources = [biosample_id]
        kinds = ("material_processing_set", "data_generation_set", "workflow_execution_set")
        while sources:
            source = sources.pop(0)
            for process in (process for kind in kinds for process in self.collections[kind]):
                if source in (*process.get("has_input", []), *_several(process.get("was_informed_by"))):
                    made = [process["id"], *process.get("has_output", [])]
                    sources += [output for output in made if output not in found]
                    found += [output for output in made if output not in found]
        return found

    def _listed(self, collection: str, params: Mapping[str, str]) -> Reply:
        if not collection.endswith("_set"):
            return _refused(400, "Collection name must be one of those of the schema")
        last_id = ""
        if token := params.get("page_token"):
            kept, last_id = self._pages.pop(token, ("", ""))
            if kept != collection:
                return _refused(400, "Bad page_token")
        try:
            wanted = json.loads(params.get("filter") or "{}")
            limit = int(params.get("max_page_size", _DEFAULT_PAGE))
            after = [record for record in self.collections[collection] if matches(record, wanted)]
        except (ValueError, TypeError, re.error) as error:
            return _refused(422, f"Given `filter` is not valid JSON: {error}")
        after = [record for record in after if record["id"] > last_id]
        limit = min(limit, self.largest_page or limit)
        # MongoDB sorts only what is paged
        if not self.endless and (limit == 0 or limit > len(after)):
            return 200, {"resources": after}
        page = sorted(after, key=lambda record: str(record["id"]))[:limit]
        token = f"nmdc:sys0{len(self.requests)}"
        self._pages[token] = (collection, page[-1]["id"] if page else last_id)
        if self.repeats and last_id:
            page = [record for record in self.collections[collection] if record["id"] == last_id] + page
        return 200, {"resources": page, "next_page_token": token}


def matches(record: Record, wanted: Mapping[str, Any]) -> bool:
    """True where a record meets a filter in MongoDB's language: the part of it that is needed here."""
    for key, condition in wanted.items():
        if key in _JOINED:
            if not _JOINED[key](matches(record, inner) for inner in condition):
                return False
        elif not _meets(_several(record.get(key)), condition):
            return False
    return True


_JOINED: Mapping[str, Callable[[Iterable[bool]], bool]] = {"$and": all, "$or": any}


def _meets(values: list[Any], condition: Any) -> bool:
    """A list meets what one of its members does, as in MongoDB."""
    if not isinstance(condition, dict):
        return condition in values
    flags = re.IGNORECASE if condition.get("$options") == "i" else 0
    compared: Mapping[str, Callable[[Any, Any], bool]] = {
        "$in": lambda value, operand: value in operand,
        "$regex": lambda value, operand: isinstance(value, str) and re.search(operand, value, flags) is not None,
        "$gt": lambda value, operand: value > operand,
        "$gte": lambda value, operand: value >= operand,
        "$lt": lambda value, operand: value < operand,
        "$lte": lambda value, operand: value <= operand,
        "$options": lambda value, operand: True,  # noqa: ARG005
    }
    if unknown := condition.keys() - compared.keys():
        raise ValueError(f"unknown operator: {', '.join(sorted(unknown))}")
    return any(all(compared[name](value, operand) for name, operand in condition.items()) for value in values)


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _refused(status: int, detail: Any) -> Reply:
    return status, {"detail": detail}


def nmdc_service(users: Mapping[str, str]) -> AbstractContextManager[NmdcService]:
    """NMDC runs until the end of the block; see ``NmdcService``."""
    return served(NmdcService(users))
