"""A web service as organizations offer it to dts_fsm, over any database: the reference for those who write their own.

It is for trials and tests: it asks nobody who they are.

Source: the integration guide of KBase's Data Transfer Service.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID, uuid4

import attrs

from dts_fsm.errors import DtsError, InvalidOrcidError, ResourcesNotFoundError
from dts_fsm.interfaces import Database
from dts_fsm.records import SearchParameters, StagingStatus
from dts_fsm.serialization import descriptor_to_resource

_MOST_BODY_BYTES = 1 << 20


@attrs.frozen
class Request:
    """What a client asks.

    Attributes:
        method: of HTTP.
        path: below the service's URL, without a slash at its beginning.
        query: the last value of each parameter.
        headers: names in lower case.
        body: as it came.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


Reply = tuple[int, Any]
"""A status of HTTP, and what becomes the body, as JSON."""

Alteration = Callable[[Request, Reply], Reply]
"""Makes another reply of that which would be given; it may wait, or raise ``ConnectionAbortedError`` for none."""


class ReferenceService(ThreadingHTTPServer):
    """Offers a database on a free port of 127.0.0.1, or on the given one.

    Attributes:
        requests: what was asked, in order.
        alter: changes replies, for tests of those who ask; None: none.
    """

    daemon_threads = True

    def __init__(self, database: Database, *, port: int = 0, orcid: str = "") -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.requests: list[Request] = []
        self.alter: Alteration | None = None
        self._database, self._orcid = database, orcid

    @property
    def url(self) -> str:
        """Where it is, without a slash at its end."""
        return f"http://127.0.0.1:{self.server_port}"

    def reply(self, request: Request) -> Reply:
        """Give what the guide says."""
        calls = {
            ("GET", "resources"): self._resources,
            ("GET", "search"): self._search,
            ("POST", "staging"): self._stage,
            ("GET", "staging"): self._staging_status,
        }
        call = calls.get((request.method, request.path))
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
        value = json.loads(request.body)
        ids = value.get("ids") if isinstance(value, dict) else None
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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ReferenceService

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length", 0))
        if length > _MOST_BODY_BYTES:
            self.close_connection = True
            return self._send((413, {"error": "the body is too large"}))
        request = Request(
            method=self.command,
            path=parts.path.strip("/"),
            query={name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()},
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
        )
        self.server.requests.append(request)
        reply = self.server.reply(request)
        try:
            self._send(self.server.alter(request, reply) if self.server.alter else reply)
        except ConnectionError:
            self.close_connection = True
        return None

    do_GET = do_POST = _handle  # noqa: N815 - the library's names

    def _send(self, reply: Reply) -> None:
        status, value = reply
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(value, bytes) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def reference_service(database: Database, *, port: int = 0, orcid: str = "") -> Iterator[ReferenceService]:
    """The service runs.

    Args:
        database: what it offers.
        port: 0 for a free one.
        orcid: who asks where a request does not say it.
    """
    with ReferenceService(database, port=port, orcid=orcid) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join()
