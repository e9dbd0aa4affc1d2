"""NMDC's API: records of a collection, page by page, and of a study.

Source: https://api.microbiomedata.org/docs
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, quote_plus

from dts_fsm.config import Redactor, Secret
from dts_fsm.databases.nmdc.tokens import Tokens
from dts_fsm.errors import PermanentError, ProviderError, TransientError, UnauthorizedError
from dts_fsm.web import Answer, HttpClient

Record = Mapping[str, Any]

BATCH = 200
"""How many ids are asked for at once, and how many records a page has."""

_MOST_CHARACTERS = 7600
"""How long a filter is in a URL: servers, and what stands before them, take lines of 8 KiB. 200 ids are 6,400."""

MOST_WRITTEN_CHARACTERS = 4000
"""How much of that somebody else's filter may take."""

_LONGEST_ID = 500
"""No id of NMDC's is nearly as long: longer ones are not asked for."""

_MOST_FRUITLESS = 3
"""After how many pages without anything new a listing is given up."""

_MOST_FORGOTTEN = 3
"""How often a listing is gone on with by ids, because its token is not known any more."""

_TOGETHER = 4
"""How many batches are asked for at once."""


class RefusedFilterError(Exception):
    """The service finds fault with a filter; the text says which."""


class NmdcApi:
    """Asks NMDC's API. Safe for threads.

    Args:
        client: for the service.
        tokens: give what every request needs.
    """

    def __init__(self, client: HttpClient, tokens: Tokens) -> None:
        self._client, self._tokens = client, tokens

    @property
    def name(self) -> str:
        """What messages call the service."""
        return self._client.name

    def close(self) -> None:
        """Close the connections. Idempotent; it remains usable."""
        self._client.close()

    def with_ids(
        self, collection: str, ids: Collection[str], *, key: str = "id", also: Record | None = None
    ) -> list[Record]:
        """Give the records of a collection whose ``key`` is, or has, one of these; each once, in no order.

        They are asked for in batches of 200; what is not there is left out, and so is what was not asked for.

        Args:
            also: a filter that somebody has written, which they must meet, too.

        Raises:
            RefusedFilterError: the service finds fault with ``also``.
            UnauthorizedError, TransientError, PermanentError: as ``HttpClient.request``.
        """
        batches = list(_batches(ids, _MOST_CHARACTERS - written_length(also)))
        if len(batches) < 2:
            answers = [self._batch(collection, key, batch, also) for batch in batches]
        else:
            with ThreadPoolExecutor(_TOGETHER, thread_name_prefix="nmdc") as pool:
                answers = list(pool.map(lambda batch: self._batch(collection, key, batch, also), batches))
        return list({record["id"]: record for answer in answers for record in answer}.values())

    def pages(self, collection: str, wanted: Record, *, refusable: bool = False) -> Iterator[list[Record]]:
        """Give the records of a collection that meet a filter, a page at a time, each record once, in order of id.

        Args:
            wanted: in MongoDB's language; {}: all of them.
            refusable: whether the service may find fault with the filter, which somebody has written.

        Raises:
            RefusedFilterError: it does find fault with the filter.
            UnauthorizedError, TransientError, PermanentError: as ``HttpClient.request``; also where its pages lead in
                a circle, or on and on without bringing anything.
        """
        path, refusals = f"nmdcschema/{quote(collection, safe='')}", (400, 422) if refusable else ()
        params: dict[str, Any] = {"filter": _json(wanted), "max_page_size": BATCH}
        seen: set[str] = set()
        turned: set[str] = set()
        fruitless = forgotten = 0
        while True:
            turning = "page_token" in params
            answer = self._get(path, params, accept=(400,) if turning else refusals)
            if turning and answer.status == 400:
                # a token is good for one use: where the answer was lost on its way, asking again finds it used
                forgotten += 1
                if forgotten > _MOST_FORGOTTEN:
                    raise TransientError(f"{self.name} does not know its own page_token any more: {_detail(answer)}")
                rest = {"$and": [wanted, {"id": {"$gt": max(seen)}}]} if seen else wanted
                params = {"filter": _json(rest), "max_page_size": BATCH}
                continue
            if answer.status in refusals:
                raise RefusedFilterError(_detail(answer))
            value = answer.json()
            rows = value.get("resources") if isinstance(value, dict) else None
            if not isinstance(rows, list):
                raise PermanentError(f"{answer.url} answered without a list 'resources'")
            fresh = {row["id"]: row for row in reversed(rows) if has_id(row) and row["id"] not in seen}
            seen |= fresh.keys()
            yield [fresh[record_id] for record_id in sorted(fresh)]
            token = value.get("next_page_token")
            if not token:
                return
            fruitless = 0 if fresh else fruitless + 1
            if not isinstance(token, str) or token in turned or fruitless >= _MOST_FRUITLESS:
                raise PermanentError(f"the pages of {answer.url} do not come to an end: its page_token leads nowhere")
            turned.add(token)
            params = {**params, "page_token": token}

    def of_study(self, study_id: str) -> list[tuple[str, list[Record]]] | None:
        """Give the data objects of a study as (id of a biosample, its data objects); None: there is no such study.

        Raises:
            UnauthorizedError, TransientError, PermanentError: as ``HttpClient.request``.
        """
        answer = self._get(f"data_objects/study/{quote(study_id, safe='')}", accept=(404,))
        if answer.status == 404:
            return None
        sets = answer.json()
        if not isinstance(sets, list):
            raise PermanentError(f"{answer.url} answered without a list of data objects")
        found: list[tuple[str, list[Record]]] = []
        for item in sets:
            objects = item.get("data_objects", item.get("data_object_set")) if isinstance(item, dict) else None
            if not isinstance(objects, list):
                raise PermanentError(f"{answer.url} answered with a biosample without a list 'data_objects'")
            found.append((str(item.get("biosample_id")), [record for record in objects if has_id(record)]))
        return found

    def biosample(self, biosample_id: str) -> Record | None:
        """Give the record of a biosample; None: there is none. Raises as ``of_study``."""
        answer = self._get(f"biosamples/{quote(biosample_id, safe='')}", accept=(404,))
        if answer.status == 404:
            return None
        record = answer.json()
        if not isinstance(record, dict):
            raise PermanentError(f"{answer.url} answered without a biosample")
        return record

    # The inner parts

    def _batch(self, collection: str, key: str, batch: Sequence[str], also: Record | None) -> list[Record]:
        """The records of one batch."""
        wanted = set(batch)
        filtered: Record = {key: {"$in": list(batch)}}
        if also:
            filtered = {"$and": [filtered, also]}
        found: list[Record] = []
        for page in self.pages(collection, filtered, refusable=bool(also)):
            found += [record for record in page if not wanted.isdisjoint(texts(record.get(key)))]
            if key == "id" and len(found) == len(wanted):
                break  # a full page leads to a next one, which would be empty
        return found

    def _get(self, path: str, params: Record | None = None, *, accept: Collection[int] = ()) -> Answer:
        """The answer to a request; one that is refused with 401 is made again with another token, once."""
        token = self._tokens.token()
        answer = self._asked(path, params, token, accept={*accept, 401})
        if answer.status != 401:
            return answer
        return self._asked(path, params, self._tokens.renewed(token), accept=accept)

    def _asked(self, path: str, params: Record | None, token: Secret, *, accept: Collection[int]) -> Answer:
        headers: dict[str, str | Secret] = {
            "Authorization": Secret(f"Bearer {token.reveal()}"),
            "Accept": "application/json",
        }
        try:
            return self._client.request("GET", path, params=params, headers=headers, accept=accept)
        except (ProviderError, UnauthorizedError) as error:
            # the client masks the header; a service may quote the token alone
            fault = Redactor(token).error(error)
        raise fault


def has_id(row: Any) -> bool:
    """True for a record with an id; whatever else a service sends is left out."""
    return isinstance(row, dict) and isinstance(row.get("id"), str) and bool(row["id"])


def texts(value: Any) -> list[str]:
    """Give the texts of a slot that has one of them or a list, as versions of the schema differ in."""
    return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]


def written_length(value: Any) -> int:
    """Give how many characters a value takes in a URL, as JSON."""
    return len(quote_plus(_json(value)))


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _batches(ids: Collection[str], most_characters: int) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for wanted in dict.fromkeys(ids):
        if len(wanted) > _LONGEST_ID:
            continue
        characters = written_length(wanted) + len("%2C")
        if batch and (len(batch) == BATCH or size + characters > most_characters):
            yield batch
            batch, size = [], 0
        batch.append(wanted)
        size += characters
    if batch:
        yield batch


def _detail(answer: Answer) -> str:
    value = answer.json()
    detail = value.get("detail") if isinstance(value, dict) else None
    return " ".join(str(detail or answer.status).split())[:300]
