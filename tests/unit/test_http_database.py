"""The client of an organization's service, when that answers with anything but what it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from dts_fsm.config import DatabaseConfig, Secret
from dts_fsm.databases.http.database import HttpDatabase
from dts_fsm.databases.http.service import text_of, uuid_of
from dts_fsm.errors import (
    InvalidDatabaseConfigError,
    InvalidDescriptorError,
    InvalidOrcidError,
    InvalidSearchParameterError,
    PermanentError,
    ResourcesNotFoundError,
    TransientError,
    UnauthorizedError,
)
from dts_fsm.interfaces import Database
from dts_fsm.records import SearchParameters, StagingStatus
from dts_fsm.testing import ORCID, FakeDatabase, FakeEndpoint, Rig
from dts_fsm.testing.http_database import ReferenceService, reference_service
from dts_fsm.testing.json_service import Reply, Request

ENDPOINTS = {"disk": FakeEndpoint("disk"), "tape": FakeEndpoint("tape")}
A = {"id": "a", "name": "a", "path": "a", "bytes": 1}


@pytest.fixture
def service() -> Iterator[ReferenceService]:
    offered = FakeDatabase("genomes", endpoint=FakeEndpoint("disk"), endpoint_name="disk", users={ORCID: "ada"})
    for name in ("a", "b", "c"):
        offered.add(name, b"1")
    with reference_service(offered) as service:
        yield service


def database_of(service: ReferenceService, *, endpoints: dict[str, str] | None = None, **options: Any) -> HttpDatabase:
    config = DatabaseConfig(key="genomes", endpoints=endpoints or {"": "disk"}, options={"url": service.url, **options})
    return HttpDatabase.from_config(config, endpoints=ENDPOINTS)


@pytest.fixture
def database(service: ReferenceService) -> Iterator[HttpDatabase]:
    database = database_of(service)
    yield database
    database.close()


def says(status: int, value: Any) -> Callable[[Request, Reply], Reply]:
    return lambda request, reply: (status, value)


class TestDescriptors:
    def test_many_ids_are_asked_for_in_urls_that_servers_take(
        self, service: ReferenceService, database: HttpDatabase
    ) -> None:
        ids = [f"{number:04}{'x' * 96}" for number in range(250)]
        service.alter = lambda request, reply: (
            200,
            [{**A, "id": id_, "path": id_} for id_ in request.query["ids"].split(",")],
        )
        assert [descriptor.id for descriptor in database.descriptors(ORCID, ids)] == ids
        assert len(service.requests) == 7
        assert max(len(request.query["ids"]) for request in service.requests) <= 4000

    def test_they_come_in_the_order_asked_whatever_the_services_order_is(
        self, service: ReferenceService, database: HttpDatabase
    ) -> None:
        service.alter = lambda request, reply: (200, reply[1][::-1])
        assert [descriptor.id for descriptor in database.descriptors(ORCID, ["c", "a", "b"])] == ["c", "a", "b"]

    @pytest.mark.parametrize(
        "reply", [(404, {"error": "none"}), (200, [None, None]), (200, []), (200, {"resources": []})]
    )
    def test_what_the_service_does_not_know_is_listed_whole(
        self, service: ReferenceService, database: HttpDatabase, reply: Reply
    ) -> None:
        service.alter = says(*reply)
        with pytest.raises(ResourcesNotFoundError) as caught:
            database.descriptors(ORCID, ["a", "b"])
        assert caught.value.resource_ids == ("a", "b")

    def test_an_id_with_the_separator_in_it_is_unknown_and_not_taken_for_two(self, database: HttpDatabase) -> None:
        with pytest.raises(ResourcesNotFoundError) as caught:
            database.descriptors(ORCID, ["a", "a,b"])
        assert caught.value.resource_ids == ("a,b",)

    def test_ids_can_have_a_parameter_each(self, service: ReferenceService) -> None:
        service.alter = says(200, [A, {**A, "id": "b,c"}])
        database = database_of(service, ids_separator="")
        assert [descriptor.id for descriptor in database.descriptors(ORCID, ["a", "b,c"])] == ["a", "b,c"]
        database.close()

    def test_inline_data_comes_with_the_files(self, service: ReferenceService, database: HttpDatabase) -> None:
        service.alter = says(200, [A, {"id": "about", "data": {"x": 1}}])
        assert [descriptor.id for descriptor in database.descriptors(ORCID, ["a"])] == ["a", "about"]

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("text", "something else than a list"),
            ({"items": []}, "something else than a list"),
            (["a"], "describes a file as 'a'"),
            ([A, {**A, "bytes": 2}], "describes 'a' in two ways"),
            ([A, {**A, "id": "z"}], "describes 'z', which nobody asked for"),
            (b"<html>", "something else than JSON"),
        ],
    )
    def test_what_is_no_description_is_refused(
        self, service: ReferenceService, database: HttpDatabase, value: Any, message: str
    ) -> None:
        service.alter = says(200, value)
        with pytest.raises(PermanentError, match=message):
            database.descriptors(ORCID, ["a"])

    @pytest.mark.parametrize(
        "change", [{"bytes": -1}, {"bytes": "1"}, {"path": "../a"}, {"path": "/a"}, {"hash": "what"}, {"id": 1}]
    )
    def test_a_description_that_cannot_be_used_is_refused(
        self, service: ReferenceService, database: HttpDatabase, change: dict[str, Any]
    ) -> None:
        service.alter = says(200, [{**A, **change}])
        with pytest.raises(InvalidDescriptorError):
            database.descriptors(ORCID, ["a"])

    def test_functional_names_of_endpoints_become_those_of_the_configuration(self, service: ReferenceService) -> None:
        service.alter = says(200, [{**A, "endpoint": "cold"}, {**A, "id": "b", "endpoint": "disk"}])
        database = database_of(service, endpoints={"hot": "disk", "cold": "tape"})
        assert [descriptor.endpoint for descriptor in database.descriptors(ORCID, ["a", "b"])] == ["tape", "disk"]
        assert database.endpoint_names() == ["disk", "tape"]
        database.close()

    def test_a_service_may_have_words_of_its_own(self, service: ReferenceService) -> None:
        theirs = {"identifier": "a", "location": "a", "size": 1}
        service.alter = says(200, {"data": [theirs]})
        database = database_of(
            service,
            paths={"resources": "v2/files"},
            fields={"ids": "identifiers", "resources": "data", "orcid": "user"},
            descriptor={"id": "identifier", "path": "location", "bytes": "size"},
        )
        (descriptor,) = database.descriptors(ORCID, ["a"])
        assert (descriptor.id, descriptor.path, descriptor.bytes) == ("a", "a", 1)
        assert service.requests[0].path == "v2/files"
        assert dict(service.requests[0].query) == {"identifiers": "a", "user": ORCID}
        database.close()


class TestSearching:
    def test_a_refusal_says_what_the_service_says(self, service: ReferenceService, database: HttpDatabase) -> None:
        service.alter = says(400, {"error": "limit is too large"})
        with pytest.raises(InvalidSearchParameterError, match="limit is too large"):
            database.search(ORCID, SearchParameters())

    def test_a_service_that_gives_one_page_for_ever_is_left(
        self, service: ReferenceService, database: HttpDatabase
    ) -> None:
        service.alter = says(200, [A])
        with pytest.raises(PermanentError, match="the same page again and again"):
            database.search(ORCID, SearchParameters())

    def test_pages_that_overlap_are_refused(self, service: ReferenceService) -> None:
        database = database_of(service, page_size=2)
        pages = iter([[A, {**A, "id": "b"}], [{**A, "id": "b"}, {**A, "id": "c"}]])
        service.alter = lambda request, reply: (200, next(pages))
        with pytest.raises(PermanentError, match="its order is not stable"):
            database.search(ORCID, SearchParameters())
        database.close()

    def test_a_service_may_give_less_than_it_is_asked_for_at_once(self, service: ReferenceService) -> None:
        service.alter = lambda request, reply: (reply[0], reply[1][:1])
        database = database_of(service)
        found = database.search(ORCID, SearchParameters(limit=2)).descriptors
        assert [descriptor.id for descriptor in found] == ["a", "b"]
        database.close()

    def test_own_parameters_are_checked_before_they_are_sent(self, service: ReferenceService) -> None:
        database = database_of(service, search_parameters={"kind": ["reads", "assembly"], "project": None})
        service.alter = lambda request, reply: (200, [A] if request.query["offset"] == "0" else [])
        specific = {"kind": "reads", "project": 7}
        assert len(database.search(ORCID, SearchParameters(specific=specific)).descriptors) == 1
        assert [service.requests[0].query[name] for name in ("kind", "project")] == ["reads", "7"]
        assert database.specific_search_parameters() == {"kind": ["reads", "assembly"], "project": None}
        for wrong in ({"kind": "other"}, {"kind": {}}, {"what": 1}):
            with pytest.raises(InvalidSearchParameterError):
                database.search(ORCID, SearchParameters(specific=wrong))
        database.close()


class TestStaging:
    def test_the_request_has_its_key_and_is_made_once(self, service: ReferenceService, database: HttpDatabase) -> None:
        request_id = uuid4()
        given = database.stage_files(ORCID, ["a"], request_id=request_id)
        assert database.stage_files(ORCID, ["a"], request_id=request_id) == given
        (request,) = service.requests
        assert request.headers["idempotency-key"] == str(request_id)
        assert request.body == b'{"ids": ["a"]}'

    def test_a_lost_answer_is_asked_for_again_by_the_next_submission(
        self, service: ReferenceService, database: HttpDatabase
    ) -> None:
        def lose(request: Request, reply: Reply) -> Reply:
            raise ConnectionAbortedError

        service.alter = lose
        request_id = uuid4()
        with pytest.raises(TransientError):
            database.stage_files(ORCID, ["a"], request_id=request_id)
        assert len(service.requests) == 1
        service.alter = None
        assert database.stage_files(ORCID, ["a"], request_id=request_id) == request_id

    @pytest.mark.parametrize("given", [17, "17", 2**64 - 1, "0", str(UUID(int=2**100 + 1))])
    def test_requests_of_services_that_count_are_known_again(self, given: object) -> None:
        known = uuid_of(given)
        assert known is not None
        assert text_of(known) == str(given)

    @pytest.mark.parametrize("given", [None, True, -1, 2**64, "x", "017", 1.5, [], ""])
    def test_an_id_that_is_none_is_refused(
        self, service: ReferenceService, database: HttpDatabase, given: object
    ) -> None:
        service.alter = says(201, {"request_id": given})
        with pytest.raises(PermanentError, match="neither UUID nor number"):
            database.stage_files(ORCID, ["a"], request_id=uuid4())

    @pytest.mark.parametrize(
        ("reply", "status"),
        [
            ((404, None), StagingStatus.UNKNOWN),
            ((200, {"status": "Pending"}), StagingStatus.ACTIVE),
            ((200, {"status": "ready"}), StagingStatus.SUCCEEDED),
            ((200, {"status": "error"}), StagingStatus.FAILED),
            ((200, {"status": "frozen"}), StagingStatus.FAILED),
        ],
    )
    def test_the_services_words_are_understood(
        self, service: ReferenceService, reply: Reply, status: StagingStatus
    ) -> None:
        service.alter = says(*reply)
        database = database_of(service, words={"failed": ["error", "frozen"]})
        request_id = uuid4()
        assert database.staging_status([request_id]) == {request_id: status}
        database.close()

    @pytest.mark.parametrize("value", [{"status": "thawing"}, {"status": 1}, {}, [], "done"])
    def test_a_word_that_nobody_knows_ends_no_transfer(
        self, service: ReferenceService, database: HttpDatabase, value: Any
    ) -> None:
        service.alter = says(200, value)
        with pytest.raises(TransientError, match="add it to 'words'"):
            database.staging_status([uuid4()])


class TestUsers:
    @pytest.mark.parametrize("status", [400, 404])
    def test_a_stranger_is_named(self, service: ReferenceService, database: HttpDatabase, status: int) -> None:
        service.alter = says(status, None)
        with pytest.raises(InvalidOrcidError, match="has no local user in the database 'genomes'"):
            database.local_user(ORCID)

    @pytest.mark.parametrize(
        "value",
        [
            {"orcid": ORCID, "username": "../ada"},
            {"orcid": ORCID, "username": ""},
            {"orcid": ORCID, "username": 7},
            {"orcid": "0000-0001-0000-0000", "username": "eve"},
            {},
            [],
        ],
    )
    def test_an_answer_that_is_of_nobody_is_refused(
        self, service: ReferenceService, database: HttpDatabase, value: Any
    ) -> None:
        service.alter = says(200, value)
        with pytest.raises(PermanentError):
            database.local_user(ORCID)

    def test_a_service_that_does_not_accept_us_says_so(self, service: ReferenceService, database: HttpDatabase) -> None:
        service.alter = says(401, {"error": "who are you?"})
        with pytest.raises(UnauthorizedError, match=r"who are you\?"):
            database.search(ORCID, SearchParameters())


class TestConfiguration:
    @pytest.mark.parametrize(
        ("options", "key"),
        [
            ({}, "url"),
            ({"url": "genomes"}, "url"),
            ({"url": "https://e.org", "what": 1}, "what"),
            ({"url": "https://e.org", "paths": {"finding": "x"}}, "paths.finding"),
            ({"url": "https://e.org", "fields": {"ids": 1}}, "fields.ids"),
            ({"url": "https://e.org", "words": {"active": []}}, "words.active"),
            ({"url": "https://e.org", "descriptor": {"size": "bytes"}}, "descriptor.size"),
            ({"url": "https://e.org", "page_size": 0}, "page_size"),
        ],
    )
    def test_what_is_wrong_is_named(self, options: dict[str, Any], key: str) -> None:
        config = DatabaseConfig(key="genomes", endpoints={"": "disk"}, options=options)
        with pytest.raises(InvalidDatabaseConfigError) as caught:
            HttpDatabase.from_config(config, endpoints=ENDPOINTS)
        assert caught.value.key == f"databases.genomes.{key}"

    def test_its_endpoints_must_be_there(self) -> None:
        config = DatabaseConfig(key="genomes", endpoints={"": "cloud"}, options={"url": "https://e.org"})
        with pytest.raises(InvalidDatabaseConfigError, match="there is no endpoint 'cloud'"):
            HttpDatabase.from_config(config, endpoints=ENDPOINTS)

    def test_the_secret_of_the_section_is_its_token(self, service: ReferenceService) -> None:
        config = DatabaseConfig(
            key="genomes", endpoints={"": "disk"}, secret=Secret("t0ken"), options={"url": service.url}
        )
        database = HttpDatabase.from_config(config, endpoints=ENDPOINTS)
        database.search(ORCID, SearchParameters())
        database.close()
        assert service.requests[0].headers["authorization"] == "Bearer t0ken"


def test_a_transfer_from_a_service_waits_for_its_staging(rig: Rig) -> None:
    offered: Database = rig.source
    rig.source.staging_duration_s = 30.0
    rig.source.add("d", b"content of d", staged=False)
    with reference_service(offered, orcid=ORCID) as service:
        config = DatabaseConfig(key="source", endpoints={"": "source"}, options={"url": service.url})
        database = HttpDatabase.from_config(config, endpoints={"source": rig.source_endpoint})
        rig.databases["source"] = database
        transfer = rig.create("a", "d")
        rig.tick(3)
        assert rig.store.status(transfer).code == "staging"
        assert rig.run(transfer).code == "succeeded"
        database.close()
