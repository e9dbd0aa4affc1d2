"""A web service as organizations offer it to dts_fsm, over any database: the reference for those who write their own.

It is for trials and tests: it asks nobody who they are.

Source: the integration guide of KBase's Data Transfer Service.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from urllib.parse import unquote
from uuid import UUID, uuid4

from dts_fsm.errors import DtsError, InvalidOrcidError, ResourcesNotFoundError
from dts_fsm.interfaces import Database
from dts_fsm.records import SearchParameters, StagingStatus
from dts_fsm.serialization import descriptor_to_resource
from dts_fsm.testing.json_service import JsonService, Reply, Request, served


class ReferenceService(JsonService):
    """Offers a database; ``requests`` has what was asked, and ``alter`` changes replies, for tests of those who ask.

    Args:
        database: what it offers.
        port: 0 for a free one.
        orcid: who asks where a request does not say it.
    """

    def __init__(self, database: Database, *, port: int = 0, orcid: str = "") -> None:
        super().__init__(port)
        self._database, self._orcid = database, orcid

    def reply(self, request: Request) -> Reply:
        """Give what the guide says."""
        calls = {
            ("GET", "resources"): self._resources,
            ("GET", "search"): self._search,
            ("POST", "staging"): self._stage,
            ("GET", "staging"): self._staging_status,
        }
        call = calls.get((request.method, request.path.rstrip("/")))
        if request.method == "GET" and request.path.startswith("localuser/"):
            call = self._local_user
        if call is None:
            return 404, {"error": "there is no such page"}
        try:
            return call(request)
        except ResourcesNotFoundError as error:
            return 404, {"error": str(error)}
        except (DtsError, ValueError) as error:
            return 400, {"error": str(error)}

    def _orcid_of(self, request: Request) -> str:
        return request.query.get("orcid", self._orcid)

    def _resources(self, request: Request) -> Reply:
        ids = [id_ for id_ in request.query.get("ids", "").split(",") if id_]
        if not ids:
            return 400, {"error": "which resources? give ?ids="}
        orcid, known = self._orcid_of(request), ids
        try:
            found = self._database.descriptors(orcid, ids)
        except ResourcesNotFoundError as error:
            known = [id_ for id_ in ids if id_ not in error.resource_ids]
            found = self._database.descriptors(orcid, known) if known else []
        by_id = {descriptor.id: descriptor_to_resource(descriptor) for descriptor in found}
        more = [resource for id_, resource in by_id.items() if id_ not in known]
        return 200, [*(by_id.get(id_) for id_ in ids), *more]

    def _search(self, request: Request) -> Reply:
        own = ("query", "status", "offset", "limit", "orcid")
        parameters = SearchParameters(
            query=request.query.get("query", ""),
            status=request.query.get("status", "any"),
            offset=int(request.query.get("offset", 0)),
            limit=int(request.query.get("limit", 0)),
            specific={name: value for name, value in request.query.items() if name not in own},
        )
        found = self._database.search(self._orcid_of(request), parameters)
        return 200, [descriptor_to_resource(descriptor) for descriptor in found.descriptors]

    def _stage(self, request: Request) -> Reply:
        ids = request.json().get("ids")
        if not isinstance(ids, list) or not ids or not all(isinstance(id_, str) for id_ in ids):
            return 400, {"error": 'the body must be {"ids": ["...", ...]}'}
        orcid = self._orcid_of(request)
        self._database.descriptors(orcid, ids)
        key = request.headers.get("idempotency-key")
        request_id = self._database.stage_files(orcid, ids, request_id=UUID(key) if key else uuid4())
        return 201, {"request_id": str(request_id)}

    def _staging_status(self, request: Request) -> Reply:
        request_id = UUID(request.query.get("id", ""))
        status = self._database.staging_status([request_id])[request_id]
        if status is StagingStatus.UNKNOWN:
            return 404, {"error": "there is no such staging request"}
        return 200, {"status": status.value}

    def _local_user(self, request: Request) -> Reply:
        orcid = unquote(request.path.partition("/")[2])
        try:
            return 200, {"orcid": orcid, "username": self._database.local_user(orcid)}
        except InvalidOrcidError as error:
            return 404, {"error": str(error)}


def reference_service(
    database: Database, *, port: int = 0, orcid: str = ""
) -> AbstractContextManager[ReferenceService]:
    """The service runs until the end of the block; see ``ReferenceService``."""
    return served(ReferenceService(database, port=port, orcid=orcid))
