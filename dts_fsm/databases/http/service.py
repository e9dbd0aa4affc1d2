"""Asks an organization's web service, and takes nothing in its answers for granted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID

from dts_fsm.databases.http.dialect import Dialect
from dts_fsm.errors import InvalidSearchParameterError, PermanentError, TransientError
from dts_fsm.records import Descriptor, SearchParameters, StagingStatus
from dts_fsm.records.checks import is_orcid, shown
from dts_fsm.serialization import descriptor_from_resource
from dts_fsm.web import HttpClient

_MOST_IDS = 100
_MOST_ID_CHARACTERS = 4000
"""How many ids are asked for at once, and how long they are in the URL: many servers take 8,000 characters of it."""

_LARGEST = 2**53
"""JSON numbers beyond this are not the same everywhere. Source: RFC 8259, section 6."""


class Service:
    """The calls that the guide describes.

    Args:
        client: asks the service.
        name: the database's name in the configuration; for messages.
        dialect: the service's words.
        page_size: how many results of a search are asked for at once.
    """

    def __init__(self, client: HttpClient, *, name: str, dialect: Dialect, page_size: int) -> None:
        self._client, self._name, self._dialect, self._page_size = client, name, dialect, page_size

    def resources(self, orcid: str, ids: Sequence[str]) -> Iterator[Descriptor]:
        """Give what the service describes of these ids; unknown ones are left out.

        Raises:
            PermanentError: an answer is not what the guide says.
            InvalidDescriptorError: a description cannot be used.
        """
        separator, fields = self._dialect.ids_separator, self._dialect.fields
        # an id that has the separator in it cannot be asked for: to the service it would be two
        for chunk in _chunks([id_ for id_ in ids if not separator or separator not in id_]):
            params = {fields["ids"]: separator.join(chunk) if separator else chunk, fields["orcid"]: orcid}
            answer = self._client.request("GET", self._dialect.paths["resources"], params=params, accept=(404,))
            if answer.status == 404:
                continue  # the service knows none of them
            yield from self._described(answer.json(), set(chunk))

    def _described(self, value: Any, asked: set[str]) -> Iterator[Descriptor]:
        seen: dict[str, Descriptor] = {}
        for descriptor in self._descriptors(value):
            if descriptor.id in seen and seen[descriptor.id] != descriptor:
                raise PermanentError(f"the database {self._name!r} describes {descriptor.id!r} in two ways")
            if descriptor.id not in asked and not descriptor.inline:
                raise PermanentError(f"the database {self._name!r} describes {descriptor.id!r}, which nobody asked for")
            if descriptor.id not in seen:
                yield descriptor
            seen[descriptor.id] = descriptor

    def search(self, orcid: str, parameters: SearchParameters) -> Iterator[Descriptor]:
        """Give what the service finds, page by page.

        Raises:
            InvalidSearchParameterError: the service refuses a parameter.
            PermanentError: an answer is not what the guide says, or the pages never end.
        """
        offset, left = parameters.offset, parameters.limit or None
        seen: set[str] = set()
        while offset < _LARGEST and left != 0:
            page = self._page(orcid, parameters, offset, min(left or self._page_size, self._page_size))
            new = [descriptor for descriptor in page if descriptor.id not in seen]
            if page and not new:
                raise PermanentError(f"the database {self._name!r} answers with the same page again and again")
            if len(new) != len(page):
                raise PermanentError(f"the database {self._name!r} has a file in two pages: its order is not stable")
            if not page:
                return
            seen.update(descriptor.id for descriptor in new)
            yield from new[:left]
            offset += len(page)
            left = None if left is None else max(left - len(page), 0)

    def _page(self, orcid: str, parameters: SearchParameters, offset: int, limit: int) -> list[Descriptor]:
        fields = self._dialect.fields
        given = {
            fields["query"]: parameters.query or None,
            fields["status"]: self._dialect.search_word(parameters.status),
            fields["offset"]: offset,
            fields["limit"]: limit,
            fields["orcid"]: orcid,
            **parameters.specific,
        }
        answer = self._client.request("GET", self._dialect.paths["search"], params=given, accept=(400,))
        if answer.status == 400:
            said = " ".join(answer.body.decode("utf-8", "replace").split())[:300]
            raise InvalidSearchParameterError(self._name, f"the database says: {said or 'nothing more'}")
        return list(self._descriptors(answer.json()))

    def _descriptors(self, value: Any) -> Iterator[Descriptor]:
        """The descriptors of an answer: a list of them, or an object that has it; null stands for an unknown id."""
        if isinstance(value, dict):
            value = value.get(self._dialect.fields["resources"])
        if not isinstance(value, list):
            raise PermanentError(f"the database {self._name!r} answers with something else than a list of resources")
        for given in value:
            if given is None:
                continue
            if not isinstance(given, dict):
                raise PermanentError(f"the database {self._name!r} describes a file as {shown(given)}")
            yield descriptor_from_resource(self._dialect.resource(given))

    def stage(self, orcid: str, ids: Sequence[str], request_id: UUID) -> UUID:
        """Ask for files to be staged, and give the service's id of the request.

        The request is not repeated here: whoever schedules does that, under the same ``Idempotency-Key``.

        Raises:
            TransientError: it is not known whether the service has got it.
            PermanentError: the service refuses, or gives no id.
        """
        answer = self._client.request(
            "POST",
            self._dialect.paths["staging"],
            params={self._dialect.fields["orcid"]: orcid},
            json_body={self._dialect.fields["ids"]: list(ids)},
            headers={"Idempotency-Key": str(request_id)},
        )
        value = answer.json()
        given = value.get(self._dialect.fields["request_id"]) if isinstance(value, dict) else None
        number = uuid_of(given)
        if number is None:
            raise PermanentError(
                f"the database {self._name!r} gives a staging request the id {shown(given)}: neither UUID nor number"
            )
        return number

    def staging_status(self, request_id: UUID) -> StagingStatus:
        """Give how a staging request stands; UNKNOWN where the service does not know it.

        Raises:
            TransientError: its word for it is not among those that are configured.
        """
        params = {self._dialect.fields["staging_id"]: text_of(request_id)}
        answer = self._client.request("GET", self._dialect.paths["staging"], params=params, accept=(404,))
        if answer.status == 404:
            return StagingStatus.UNKNOWN
        value = answer.json()
        word = value.get(self._dialect.fields["staging_status"]) if isinstance(value, dict) else None
        status = self._dialect.status(word)
        if status is None:
            raise TransientError(
                f"the database {self._name!r} calls the status of a staging request {shown(word)}: add it to 'words'"
            )
        return status

    def local_user(self, orcid: str) -> str | None:
        """Give the local user of an ORCID, or None where the service knows none.

        Raises:
            PermanentError: the answer is of somebody else, or is none.
        """
        if not is_orcid(orcid):
            return None
        answer = self._client.request("GET", self._dialect.user_path(orcid), accept=(400, 404))
        if answer.status in (400, 404):
            return None
        value = answer.json()
        fields = self._dialect.fields
        user = value.get(fields["username"]) if isinstance(value, dict) else None
        if not isinstance(user, str) or value.get(fields["orcid"], orcid) != orcid:
            raise PermanentError(f"the database {self._name!r} answers with {shown(value)} when asked for {orcid}")
        return user


def uuid_of(given: object) -> UUID | None:
    """Give a request's id as we keep it: a UUID as it is, a number as the UUID of that value."""
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < 2**64:
        return UUID(int=given)
    if isinstance(given, str):
        if given.isascii() and given.isdigit() and len(given) < 20:
            return UUID(int=int(given)) if str(int(given)) == given else None
        try:
            return UUID(given)
        except ValueError:
            return None
    return None


def text_of(request_id: UUID) -> str:
    """Give the id as the service knows it."""
    return str(request_id.int) if request_id.int < 2**64 else str(request_id)


def _chunks(ids: Sequence[str]) -> Iterator[list[str]]:
    """Ids that are asked for together, in their order."""
    chunk: list[str] = []
    length = 0
    for id_ in ids:
        more = len(quote(id_, safe="")) + 3
        if chunk and (len(chunk) == _MOST_IDS or length + more > _MOST_ID_CHARACTERS):
            yield chunk
            chunk, length = [], 0
        chunk.append(id_)
        length += more
    if chunk:
        yield chunk
