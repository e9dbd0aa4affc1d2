"""The JGI Data Portal as a database: genome files, most of them on tape until somebody asks for them."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from dts_fsm.config import Redactor, Secret
from dts_fsm.config.options import checked_options
from dts_fsm.databases.http.service import text_of, uuid_of
from dts_fsm.databases.jdp.files import EXTRA, PREFIX, descriptor_of, files_of
from dts_fsm.databases.users import UserMap
from dts_fsm.errors import (
    ConfigurationError,
    InvalidDatabaseConfigError,
    InvalidDescriptorError,
    InvalidOrcidError,
    InvalidSearchParameterError,
    MissingOrcidError,
    PermanentError,
    ResourcesNotFoundError,
)
from dts_fsm.interfaces import Endpoint
from dts_fsm.records import Descriptor, SearchFileStatus, SearchParameters, SearchResults, StagingStatus
from dts_fsm.records.checks import is_orcid, shown
from dts_fsm.web import HttpClient

if TYPE_CHECKING:
    from dts_fsm.config import DatabaseConfig

_log = logging.getLogger(__name__)

JDP_URL = "https://files.jgi.doe.gov/"
"""The portal's service. Source: files.jgi.doe.gov/apidoc."""

_OPTIONS: dict[str, type] = {
    "url": str,
    "base_url": str,
    "users": str,
    "ca_file": str,
    "connect_timeout_s": float,
    "read_timeout_s": float,
    "delete_after": float,
    "data_directory": str,
}

_CLIENT = {"ca_file", "connect_timeout_s", "read_timeout_s"}

_SEARCH_PARAMETERS: Mapping[str, Sequence[str | int]] = {
    "d": ("asc", "desc"),
    "f": ("ssr", "biosample", "project_id", "library", "img_taxon_oid"),
    "include_private_data": (0, 1),
    "s": ("name", "id", "title", "kingdom", "score.avg"),
    "extra": EXTRA,
}

_FILE_STATUS = {SearchFileStatus.STAGED: "RESTORED", SearchFileStatus.UNSTAGED: "PURGED"}

_STAGING = {"new": StagingStatus.ACTIVE, "pending": StagingStatus.ACTIVE, "ready": StagingStatus.SUCCEEDED}

_MOST_IDS = 50
_PAGE = 50
"""How many ids, and how many organisms of a search, the portal is asked for at once."""

_MOST_PAGES = 2000

_REMEMBERED = 10_000


class JdpDatabase:
    """Asks the portal on behalf of users, who are known by their ORCIDs there.

    Args:
        client: asks the portal.
        secret: what it has given to this service, for all of its users.
        name: the database's name in the configuration.
        endpoint_name: the name of the endpoint at which its files are.
        users: the local users of ORCIDs, where something is delivered to it.
    """

    def __init__(
        self, client: HttpClient, *, secret: Secret, name: str, endpoint_name: str, users: UserMap | None = None
    ) -> None:
        self.name = name
        self._client, self._secret, self._endpoint_name = client, secret, endpoint_name
        self._users = users or UserMap()
        self._lock = threading.Lock()
        self._requests: OrderedDict[UUID, UUID] = OrderedDict()

    @classmethod
    def from_config(cls, config: DatabaseConfig, *, endpoints: Mapping[str, Endpoint]) -> Self:
        """Make the database that a section of the configuration describes; nothing is asked of the portal yet.

        Raises:
            InvalidDatabaseConfigError: an option is unknown or wrong, there is no secret, or not exactly one endpoint.
        """
        place = f"databases.{config.key}"
        options = checked_options(
            config.options, _OPTIONS, owner="a jdp database", place=place, error=InvalidDatabaseConfigError
        )
        names = list(dict.fromkeys(config.endpoints.values()))
        if len(names) != 1 or names[0] not in endpoints:
            raise InvalidDatabaseConfigError(
                f"a jdp database has one endpoint, which must be configured, not {', '.join(map(repr, names))}",
                key=f"{place}.endpoint",
            )
        secret = config.secret or (config.credential.secret if config.credential else None)
        if secret is None or not secret.reveal():
            raise InvalidDatabaseConfigError(
                "is missing: the portal gives it to services that ask for their users", key=f"{place}.secret"
            )
        try:
            client = HttpClient(
                options.get("url") or options.get("base_url") or JDP_URL,
                name="the JGI Data Portal",
                secrets=(secret,),
                **{name: options[name] for name in _CLIENT & options.keys()},
            )
        except ConfigurationError as error:
            raise InvalidDatabaseConfigError(error.message, key=f"{place}.{error.key}") from error
        users = UserMap([Path(options["users"])], required=True) if "users" in options else None
        return cls(client, secret=secret, name=config.key, endpoint_name=names[0], users=users)

    def close(self) -> None:
        """Close the connections. Idempotent; the database remains usable."""
        self._client.close()

    # Finding files

    def search(self, orcid: str, parameters: SearchParameters) -> SearchResults:
        """Give the files that the portal finds, in its order; what cannot be used of them is left out, and logged.

        The portal pages by organisms, which have different numbers of files: what lies before ``offset`` is read, too.

        Raises:
            InvalidSearchParameterError: a parameter is not the portal's.
            MissingOrcidError, InvalidOrcidError: the portal asks who asks.
        """
        headers = self._headers(orcid)
        given, extra = self._specific(parameters.specific)
        found: list[Descriptor] = []
        for number, descriptor in enumerate(self._found(headers, parameters, given, extra)):
            if number >= parameters.offset:
                found.append(descriptor)
            if parameters.limit and len(found) == parameters.limit:
                break
        return SearchResults(descriptors=tuple(found))

    def _found(
        self,
        headers: Mapping[str, Secret],
        parameters: SearchParameters,
        given: Mapping[str, str | int],
        extra: tuple[str, ...],
    ) -> Iterator[Descriptor]:
        seen: set[str] = set()
        former: object = None
        for page in range(1, _MOST_PAGES + 1):
            query = {
                "q": parameters.query,
                "p": page,
                "x": _PAGE,
                "ff[file_status]": _FILE_STATUS.get(parameters.status),
                **given,
            }
            answer = self._client.request("GET", "search/", params=query, headers=headers, accept=(400,))
            if answer.status == 400:
                said = Redactor(headers, self._secret)(" ".join(answer.body.decode("utf-8", "replace").split()))[:300]
                raise InvalidSearchParameterError(self.name, f"the portal says: {said or 'nothing more'}")
            value = answer.json()
            files = self._files(value)
            if not value["organisms"] or value["organisms"] == former:
                return  # the end, or a portal that gives its last page for ever
            former = value["organisms"]
            for organism, file in files:
                # a file of two organisms is found with each of them
                if (id_ := str(file.get("_id"))) in seen:
                    continue
                seen.add(id_)
                try:
                    yield descriptor_of(organism, file, extra)
                except InvalidDescriptorError as error:
                    _log.warning("unusable", extra={"action": "search", "reason": str(error)})
        raise PermanentError("the JGI Data Portal's pages never end: narrow the search")

    def _files(self, value: Any) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        try:
            return list(files_of(value))
        except ValueError as error:
            raise PermanentError(f"the JGI Data Portal answers with something else than files: {error}") from None

    def specific_search_parameters(self) -> Mapping[str, Any]:
        """Give the portal's own parameters, each with its values."""
        return {name: list(values) for name, values in _SEARCH_PARAMETERS.items()}

    def _specific(self, specific: Mapping[str, Any]) -> tuple[dict[str, str | int], tuple[str, ...]]:
        given: dict[str, str | int] = {}
        extra: tuple[str, ...] = ()
        for name, value in specific.items():
            values = _SEARCH_PARAMETERS.get(name)
            if values is None:
                known = ", ".join(_SEARCH_PARAMETERS)
                raise InvalidSearchParameterError(self.name, f"there is no parameter {shown(name)}; known are: {known}")
            wanted = (
                [part.strip() for part in value.split(",")] if name == "extra" and isinstance(value, str) else [value]
            )
            if not all(isinstance(one, type(values[0])) and one in values for one in wanted) or isinstance(value, bool):
                allowed = ", ".join(map(str, values))
                raise InvalidSearchParameterError(
                    self.name, f"{name} cannot be {shown(value)}; its values are: {allowed}"
                )
            if name == "extra":
                extra = tuple(wanted)
            else:
                given[name] = value
        return given, extra

    def descriptors(self, orcid: str, file_ids: Sequence[str]) -> Sequence[Descriptor]:
        """Give one descriptor for each id, in their order, private files of the user's included.

        Raises:
            ResourcesNotFoundError: the portal does not know some of them, or they do not begin with "JDP:".
            InvalidDescriptorError: the portal describes one in a way that cannot be used.
            MissingOrcidError, InvalidOrcidError: the portal asks who asks.
        """
        headers = self._headers(orcid)
        ids = [id_.removeprefix(PREFIX) for id_ in dict.fromkeys(file_ids) if id_.startswith(PREFIX)]
        found: dict[str, Descriptor] = {}
        for first in range(0, len(ids), _MOST_IDS):
            some = ids[first : first + _MOST_IDS]
            answer = self._client.request(
                "POST",
                "search/by_file_ids/",
                json_body={"ids": some, "aggregations": True, "include_private_data": 1},
                headers=headers,
                safe=True,
                accept=(404,),
            )
            if answer.status == 404:
                continue  # it knows none of them
            for organism, file in self._files(answer.json()):
                if file.get("_id") in some:
                    descriptor = descriptor_of(organism, file)
                    found[descriptor.id] = descriptor
        if missing := [file_id for file_id in file_ids if file_id not in found]:
            raise ResourcesNotFoundError(self.name, missing)
        return [found[file_id] for file_id in file_ids]

    def endpoint_names(self) -> Sequence[str]:
        """See ``Database``."""
        return [self._endpoint_name]

    # Staging

    def stage_files(self, orcid: str, file_ids: Sequence[str], *, request_id: UUID) -> UUID:
        """Ask for files to be restored from tape; a request that this process has made is not made again.

        After a crash, or when the answer was lost, it is: the portal then has two requests for the same files, and
        finds for the second that they are restored, or being restored.

        Raises:
            ResourcesNotFoundError: the portal knows none of the files.
            TransientError: it is not known whether the portal has got the request.
        """
        headers = self._headers(orcid)
        with self._lock:
            known = self._requests.get(request_id)
        if known is not None:
            return known
        answer = self._client.request(
            "POST",
            "request_archived_files/",
            json_body={
                "ids": [id_.removeprefix(PREFIX) for id_ in file_ids],
                "send_email": False,
                "api_version": "2",
                "include_private_data": 1,
            },
            headers=headers,
            accept=(404,),
        )
        if answer.status == 404:
            raise ResourcesNotFoundError(self.name, file_ids)
        value = answer.json()
        number = value.get("request_id") if isinstance(value, Mapping) else None
        given = uuid_of(number)
        if given is None:
            said = _quoted(number, Redactor(headers, self._secret))
            raise PermanentError(f"the JGI Data Portal gives a request the id {said}: must be a number")
        with self._lock:
            self._requests[request_id] = given
            while len(self._requests) > _REMEMBERED:
                self._requests.popitem(last=False)
        return given

    def staging_status(self, ids: Sequence[UUID]) -> Mapping[UUID, StagingStatus]:
        """Give how the requests stand, by one call for each.

        A status that is not understood is logged, and counts as ACTIVE: it must not hide those of other requests, and
        ends with the deadline of staging.
        """
        return {id_: self._status(id_) for id_ in ids}

    def _status(self, request_id: UUID) -> StagingStatus:
        answer = self._client.request("GET", f"request_archived_files/requests/{text_of(request_id)}", accept=(404,))
        if answer.status == 404:
            return StagingStatus.UNKNOWN
        try:
            value = answer.json()
        except PermanentError as error:
            value = str(error)
        word = value.get("status") if isinstance(value, Mapping) else value
        status = _STAGING.get(word) if isinstance(word, str) else None
        if status is None:
            said = _quoted(word, Redactor(self._secret))
            _log.warning(
                "status not understood", extra={"action": "stage", "request_id": str(request_id), "said": said}
            )
            return StagingStatus.ACTIVE
        return status

    def finalize(self, orcid: str, id: UUID) -> None:  # noqa: A002 - DTS's signature
        """Nothing: the portal need not know."""

    def local_user(self, orcid: str) -> str:
        """Give the local user by the file ``users``; without one, the ORCID itself.

        Raises:
            InvalidOrcidError: it is none, or the file does not have it.
        """
        return self._users.local_user(orcid)

    def _headers(self, orcid: str) -> dict[str, Secret]:
        if not orcid:
            raise MissingOrcidError(self.name)
        if not is_orcid(orcid):
            raise InvalidOrcidError(orcid, "does not have the form dddd-dddd-dddd-dddX")
        return {"Authorization": Secret(f"Token {orcid}_{self._secret.reveal()}")}


def _quoted(value: object, redact: Redactor) -> str:
    """What the portal says, for a message: secrets are taken out before it is cut short."""
    return shown(redact(value)) if isinstance(value, str) else redact(shown(value))
