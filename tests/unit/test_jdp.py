"""The JGI Data Portal, over its documented calls: the contract of databases, and answers that are not as documented."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_fsm.config import Credential, DatabaseConfig, Secret
from dts_fsm.databases.jdp.database import JdpDatabase
from dts_fsm.databases.jdp.files import descriptor_of
from dts_fsm.errors import (
    InvalidDatabaseConfigError,
    InvalidDescriptorError,
    InvalidOrcidError,
    InvalidSearchParameterError,
    MissingOrcidError,
    PermanentError,
    ResourcesNotFoundError,
    TransientError,
    UnauthorizedError,
)
from dts_fsm.records import SearchParameters, StagingStatus
from dts_fsm.records.credit import credit_from
from dts_fsm.serialization import descriptor_from_resource, descriptor_to_resource, dump_json, load_json
from dts_fsm.testing import ORCID, FakeEndpoint, Rig
from dts_fsm.testing.database_suite import DatabaseSuite
from dts_fsm.testing.jdp import JdpService, jdp_service
from dts_fsm.testing.json_service import Reply, Request
from tests.conformance.jdp_cases import JdpCases, JdpSite

SECRET = "shared-with-the-portal"
FILE: dict[str, Any] = {
    "_id": "615a383dcc4ff44f36ca5ba2",
    "file_name": "52444.3.336346.GAG-GTAA.fastq.gz",
    "file_path": "/global/dna/dm_archive/sdm/illumina/05/24/44",
    "file_size": 2458.0,
    "file_date": "2021-10-04T02:27:31.230000",
    "added_date": "2021-10-05T11:00:00",
    "modified_date": "not known",
    "md5sum": "d41d8cd98f00b204e9800998ecf8427e",
    "file_status": "RESTORED",
    "metadata": {
        "img": {"taxon_oid": 3300049478},
        "proposal": {
            "award_doi": "10.46936/10.25585/60001289",
            "doi": "10.46936/fics.proj/60001289",
            "pi": {
                "first_name": "Ada",
                "middle_name": "King",
                "last_name": "Lovelace",
                "institution": "An institute",
                "country": "United Kingdom",
                "email_address": "ada@example.org",
            },
        },
    },
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
OTHER = "0000-0001-5109-3700"
ORGANISM: dict[str, Any] = {"id": "Gp0001", "name": "soil", "title": "Soil microbes", "files": [FILE]}


def _paths(value: Any) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else ()
    return [(key, *rest) for key, inner in items for rest in [(), *_paths(inner)]]


def organisms() -> list[dict[str, Any]]:
    """Sixty organisms with two files each, some of them on tape."""
    return [
        {
            **ORGANISM,
            "id": f"Gp{number:04}",
            "files": [
                {
                    **copy.deepcopy(FILE),
                    "_id": f"{number:04}{letter}",
                    "file_name": f"{number:04}{letter}.fastq.gz",
                    "file_status": "PURGED" if letter == "b" and number < 2 else "RESTORED",
                }
                for letter in "ab"
            ],
        }
        for number in range(60)
    ]


@pytest.fixture
def service() -> Iterator[JdpService]:
    with jdp_service(organisms(), secret=SECRET) as service:
        yield service


def database_of(service: JdpService, **changes: Any) -> JdpDatabase:
    given = {"endpoints": {"": "dtn"}, "secret": Secret(SECRET), "options": {"url": service.url}, **changes}
    return JdpDatabase.from_config(DatabaseConfig(key="jdp", **given), endpoints={"dtn": FakeEndpoint("dtn")})


@pytest.fixture
def jdp(service: JdpService) -> Iterator[JdpDatabase]:
    database = database_of(service)
    yield database
    database.close()


def says(status: int, value: Any) -> Any:
    return lambda request, reply: (status, value)


class TestContract(DatabaseSuite):
    @pytest.fixture
    def database(self, jdp: JdpDatabase) -> JdpDatabase:
        return jdp

    @pytest.fixture
    def known_ids(self) -> Sequence[str]:
        return ["JDP:0001b", "JDP:0000a", "JDP:0059b"]

    @pytest.fixture
    def unstaged_ids(self) -> Sequence[str]:
        return ["JDP:0001b"]

    @pytest.fixture
    def unknown_ids(self) -> Sequence[str]:
        return ("JDP:unknown", "0000a")

    @pytest.fixture
    def orcid(self) -> str:
        return ORCID


class TestCases(JdpCases):
    @pytest.fixture
    def site(self, jdp: JdpDatabase) -> JdpSite:
        return JdpSite(database=jdp, orcid=ORCID, known_ids=["JDP:0001b", "JDP:0000a"], word="soil")


class TestFiles:
    def test_a_file_is_described_with_all_that_the_portal_says(self) -> None:
        found = descriptor_of(ORGANISM, FILE, ("project_id", "img_taxon_oid"))
        assert (found.id, found.path, found.bytes, str(found.hash)) == (
            "JDP:615a383dcc4ff44f36ca5ba2",
            "sdm/illumina/05/24/44/52444.3.336346.GAG-GTAA.fastq.gz",
            2458,
            "md5:d41d8cd98f00b204e9800998ecf8427e",
        )
        properties = dict(found.properties)
        credit = credit_from(properties.pop("credit"))
        assert properties == {
            "format": "fastq",
            "mediatype": "application/gzip",
            "sources": [
                {
                    "title": "Lovelace, Ada King (An institute, United Kingdom)",
                    "path": "https://doi.org/10.46936/10.25585/60001289",
                    "email": "ada@example.org",
                }
            ],
            "extra": {"project_id": "Gp0001", "img_taxon_oid": 3300049478},
        }
        (person,) = credit.contributors
        assert (person.name, person.contributor_roles) == ("Lovelace, Ada King", "PI")
        assert [(date.date, date.event) for date in credit.dates] == [
            ("2021-10-04", "Created"),
            ("2021-10-05", "Accepted"),
        ]
        assert [related.id for related in credit.related_identifiers] == [
            "10.46936/fics.proj/60001289",
            "10.46936/10.25585/60001289",
        ]
        assert (credit.identifier, credit.titles[0].title) == ("JDP:615a383dcc4ff44f36ca5ba2", "Soil microbes")
        assert credit.missing() == ("meta",)

    @pytest.mark.parametrize("metadata", [None, [], {}, {"proposal": None}, {"proposal": {"pi": "Ada"}, "img": 7}])
    def test_a_file_without_a_proposal_can_be_moved_all_the_same(self, metadata: Any) -> None:
        found = descriptor_of({"title": None}, {**FILE, "metadata": metadata, "md5sum": None}, ("img_taxon_oid",))
        assert (found.bytes, found.hash, found.properties["extra"]) == (2458, None, {"img_taxon_oid": None})

    @pytest.mark.parametrize(
        "change",
        [
            {"file_size": 1.5},
            {"file_size": -1},
            {"file_size": "many"},
            {"file_path": "/global/dna/dm_archive/../../etc"},
            {"file_path": "/etc"},
            {"file_name": ""},
            {"file_name": "a\ud800"},
            {"file_name": 7},
            {"file_path": None},
            {"file_path": ""},
            {"file_path": "/global/dna/dm_archiver"},
            {"_id": None},
            {"_id": ["a"]},
            {"file_size": float("nan")},
            {"file_size": 2458.5},
            {"md5sum": "d41d8"},
        ],
    )
    def test_what_cannot_be_used_is_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(InvalidDescriptorError):
            descriptor_of(ORGANISM, {**FILE, **change})

    @pytest.mark.parametrize(
        ("name", "form", "media_type"),
        [
            ("A.FASTQ.GZ", "fastq", "application/gzip"),
            ("a.tar.gz", "tar", "application/gzip"),
            ("a.bam.bai", "bai", "application/octet-stream"),
            ("a.fna", "fasta", "text/plain"),
            ("a.csv", "csv", "text/csv"),
            ("a.out", "text", "application/octet-stream"),
            ("readme", "unknown", "application/octet-stream"),
        ],
    )
    def test_the_name_tells_format_and_media_type_everywhere_the_same(
        self, name: str, form: str, media_type: str
    ) -> None:
        found = descriptor_of(ORGANISM, {**FILE, "file_name": name})
        assert (found.properties["format"], found.properties["mediatype"]) == (form, media_type)

    @pytest.mark.parametrize("folder", ["/global/dna/dm_archive", "/global/dna/dm_archive/"])
    def test_a_file_may_lie_in_the_archive_itself(self, folder: str) -> None:
        assert descriptor_of(ORGANISM, {**FILE, "file_path": folder}).path == FILE["file_name"]

    @pytest.mark.parametrize("value", [float("inf"), 1e300, 10**400, True, ["a"], {"a": 1}, "\ud800"])
    def test_what_is_no_id_is_left_out_of_what_was_asked_for_besides(self, value: Any) -> None:
        file = {**FILE, "metadata": {"img": {"taxon_oid": value}}}
        assert descriptor_of({**ORGANISM, "id": value}, file, ("img_taxon_oid", "project_id")).properties["extra"] == {
            "img_taxon_oid": None,
            "project_id": None,
        }

    @given(st.sampled_from(_paths(FILE)), JSON)
    def test_whatever_the_portal_says_is_used_or_refused(self, path: tuple[Any, ...], value: Any) -> None:
        file = copy.deepcopy(FILE)
        place = file
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        with contextlib.suppress(InvalidDescriptorError):
            found = descriptor_of({**ORGANISM, "title": value}, file, ("img_taxon_oid", "project_id"))
            assert descriptor_from_resource(load_json(dump_json(descriptor_to_resource(found)))) == found


class TestSearching:
    def test_the_portal_is_asked_as_it_wants_to_be(self, service: JdpService, jdp: JdpDatabase) -> None:
        specific = {"f": "img_taxon_oid", "s": "id", "d": "desc", "include_private_data": 1, "extra": "project_id"}
        found = jdp.search(ORCID, SearchParameters(query="3300049478", status="staged", limit=1, specific=specific))
        assert found.descriptors[0].properties["extra"] == {"project_id": "Gp0059"}
        (request,) = service.requests
        assert dict(request.query) == {
            "q": "3300049478",
            "p": "1",
            "x": "50",
            "ff[file_status]": "RESTORED",
            "f": "img_taxon_oid",
            "s": "id",
            "d": "desc",
            "include_private_data": "1",
        }
        assert request.headers["authorization"] == f"Token {ORCID}_{SECRET}"

    @pytest.mark.parametrize(
        "specific",
        [
            {"f": "all"},
            {"include_private_data": True},
            {"include_private_data": "1"},
            {"extra": "project_id,secrets"},
            {"extra": ["project_id"]},
            {"page": 1},
        ],
    )
    def test_other_parameters_are_refused(self, jdp: JdpDatabase, specific: dict[str, Any]) -> None:
        with pytest.raises(InvalidSearchParameterError, match=next(iter(specific))):
            jdp.search(ORCID, SearchParameters(specific=specific))

    def test_private_files_are_found_by_those_who_may_see_them_and_ask(self) -> None:
        with jdp_service(organisms()[:1], secret=SECRET, private={"0000a": ORCID}) as service:
            database = database_of(service)

            def found(orcid: str, **specific: Any) -> list[str]:
                return [one.id for one in database.search(orcid, SearchParameters(specific=specific)).descriptors]

            assert found(ORCID, include_private_data=1) == ["JDP:0000a", "JDP:0000b"]
            assert found(ORCID) == found(OTHER, include_private_data=1) == ["JDP:0000b"]
            assert database.descriptors(ORCID, ["JDP:0000a"])[0].id == "JDP:0000a"
            with pytest.raises(ResourcesNotFoundError):
                database.descriptors(OTHER, ["JDP:0000a"])
            database.close()

    def test_files_of_several_organisms_are_found_once_and_end_no_search(self) -> None:
        # the second page has nothing but what the first had; the third has another file
        shared = [{**ORGANISM, "id": f"Gp{number:04}"} for number in range(100)]
        last = {**ORGANISM, "id": "Gp0100", "files": [{**FILE, "_id": "last"}]}
        with jdp_service([*shared, last], secret=SECRET) as service:
            database = database_of(service)
            found = [one.id for one in database.search(ORCID, SearchParameters()).descriptors]
            database.close()
        assert found == [f"JDP:{FILE['_id']}", "JDP:last"]

    def test_a_portal_that_gives_its_last_page_for_ever_ends_the_search(
        self, service: JdpService, jdp: JdpDatabase
    ) -> None:
        service.alter = says(200, {"organisms": [ORGANISM]})
        assert len(jdp.search(ORCID, SearchParameters()).descriptors) == 1
        assert len(service.requests) == 2

    def test_a_secret_that_the_portal_repeats_is_not_shown(self, service: JdpService, jdp: JdpDatabase) -> None:
        service.alter = lambda request, reply: (400, {"headers": dict(request.headers)})
        with pytest.raises(InvalidSearchParameterError, match=r"\*\*\*") as caught:
            jdp.search(ORCID, SearchParameters(query="soil"))
        assert SECRET not in str(caught.value)
        service.alter = lambda request, reply: (200, {"request_id": request.headers["authorization"]})
        with pytest.raises(PermanentError, match=r"\*\*\*") as refused:
            jdp.stage_files(ORCID, ["JDP:0000b"], request_id=uuid4())
        assert SECRET not in str(refused.value)

    def test_a_file_that_cannot_be_used_hides_no_other(self, service: JdpService, jdp: JdpDatabase) -> None:
        service.alter = lambda request, reply: (
            200,
            {"organisms": [{**ORGANISM, "files": [{**FILE, "file_size": -1}, {**FILE, "_id": "b"}]}]},
        )
        assert [found.id for found in jdp.search(ORCID, SearchParameters()).descriptors] == ["JDP:b"]

    @pytest.mark.parametrize("value", [[], {}, {"organisms": 7}, {"organisms": [7]}, {"organisms": [{"files": [7]}]}])
    def test_an_answer_without_files_is_refused(self, service: JdpService, jdp: JdpDatabase, value: Any) -> None:
        service.alter = says(200, value)
        with pytest.raises(PermanentError, match="something else than files"):
            jdp.search(ORCID, SearchParameters())

    def test_a_refusal_is_told(self, service: JdpService, jdp: JdpDatabase) -> None:
        service.alter = says(400, {"detail": "q is too long"})
        with pytest.raises(InvalidSearchParameterError, match="q is too long"):
            jdp.search(ORCID, SearchParameters())

    def test_the_portal_wants_to_know_who_asks(self, jdp: JdpDatabase) -> None:
        with pytest.raises(MissingOrcidError):
            jdp.search("", SearchParameters())
        with pytest.raises(InvalidOrcidError):
            jdp.descriptors("ada\r\nX: y", ["JDP:0000a"])

    def test_a_secret_that_is_wrong_is_not_shown(self, service: JdpService) -> None:
        database = database_of(service, secret=Secret("another-secret"))
        with pytest.raises(UnauthorizedError, match="Invalid token") as caught:
            database.search(ORCID, SearchParameters())
        database.close()
        assert "another-secret" not in str(caught.value)


class TestDescriptors:
    def test_ids_are_asked_for_by_fifty(self, service: JdpService, jdp: JdpDatabase) -> None:
        ids = [f"JDP:{number:04}{letter}" for letter in "ba" for number in range(59, -1, -1)]
        assert [found.id for found in jdp.descriptors(ORCID, ids)] == ids
        asked = [json.loads(request.body) for request in service.requests]
        assert [len(value["ids"]) for value in asked] == [50, 50, 20]
        assert {(value["aggregations"], value["include_private_data"]) for value in asked} == {(True, 1)}

    def test_a_portal_that_knows_none_of_them_says_404(self, service: JdpService, jdp: JdpDatabase) -> None:
        service.alter = says(404, {"detail": "Not found."})
        with pytest.raises(ResourcesNotFoundError) as caught:
            jdp.descriptors(ORCID, ["JDP:a", "JDP:b"])
        assert caught.value.resource_ids == ("JDP:a", "JDP:b")

    def test_files_that_nobody_asked_for_are_not_taken(self, service: JdpService, jdp: JdpDatabase) -> None:
        service.alter = says(200, {"organisms": [ORGANISM]})
        with pytest.raises(ResourcesNotFoundError):
            jdp.descriptors(ORCID, ["JDP:0000a"])


class TestStaging:
    def test_the_portal_is_asked_once_without_mail(self, service: JdpService, jdp: JdpDatabase) -> None:
        request_id = uuid4()
        given = jdp.stage_files(ORCID, ["JDP:0000b", "JDP:0001b"], request_id=request_id)
        assert jdp.stage_files(ORCID, ["JDP:0000b", "JDP:0001b"], request_id=request_id) == given == UUID(int=1)
        (request,) = service.requests
        assert json.loads(request.body) == {
            "ids": ["0000b", "0001b"],
            "send_email": False,
            "api_version": "2",
            "include_private_data": 1,
        }

    def test_a_request_is_known_again_by_a_new_process(self, service: JdpService, jdp: JdpDatabase) -> None:
        given = jdp.stage_files(ORCID, ["JDP:0000b"], request_id=uuid4())
        later = database_of(service)
        statuses = [later.staging_status([given])[given] for _ in range(3)]
        later.close()
        assert statuses == [StagingStatus.ACTIVE, StagingStatus.ACTIVE, StagingStatus.SUCCEEDED]

    def test_files_that_the_portal_does_not_have_are_named(self, jdp: JdpDatabase) -> None:
        with pytest.raises(ResourcesNotFoundError) as caught:
            jdp.stage_files(ORCID, ["JDP:unknown"], request_id=uuid4())
        assert caught.value.resource_ids == ("JDP:unknown",)

    def test_a_lost_answer_is_not_asked_for_again_here(self, service: JdpService, jdp: JdpDatabase) -> None:
        def lose(request: Request, reply: Reply) -> Reply:
            raise ConnectionAbortedError

        service.alter = lose
        with pytest.raises(TransientError):
            jdp.stage_files(ORCID, ["JDP:0000b"], request_id=uuid4())
        assert len(service.requests) == 1

    @pytest.mark.parametrize("value", [{}, [], {"request_id": None}, {"request_id": "next"}, {"request_id": -1}])
    def test_an_id_that_is_none_is_refused(self, service: JdpService, jdp: JdpDatabase, value: Any) -> None:
        service.alter = says(201, value)
        with pytest.raises(PermanentError, match="must be a number"):
            jdp.stage_files(ORCID, ["JDP:0000b"], request_id=uuid4())

    @pytest.mark.parametrize("value", [{"status": "expired"}, {"status": None}, {}, []])
    def test_a_word_that_nobody_knows_ends_no_transfer(self, service: JdpService, jdp: JdpDatabase, value: Any) -> None:
        service.alter = says(200, value)
        assert jdp.staging_status([UUID(int=1)]) == {UUID(int=1): StagingStatus.ACTIVE}

    def test_a_status_that_is_not_understood_hides_no_other(
        self, service: JdpService, jdp: JdpDatabase, caplog: pytest.LogCaptureFixture
    ) -> None:
        strange, other = (jdp.stage_files(ORCID, [f"JDP:000{number}b"], request_id=uuid4()) for number in range(2))

        def alter(request: Request, reply: Reply) -> Reply:
            return (200, b"<html>") if request.path.endswith("/1") else (200, {"status": "ready"})

        service.alter = alter
        assert jdp.staging_status([strange, other]) == {
            strange: StagingStatus.ACTIVE,
            other: StagingStatus.SUCCEEDED,
        }
        (record,) = caplog.records
        assert record.message == "status not understood"
        assert "something else than JSON" in vars(record)["said"]

    def test_a_portal_that_is_away_is_said_to_be(self, jdp: JdpDatabase, service: JdpService) -> None:
        service.alter = says(503, {"detail": "maintenance"})
        with pytest.raises(TransientError, match="503"):
            jdp.stage_files(ORCID, ["JDP:0000b"], request_id=uuid4())


class TestConfiguration:
    @pytest.mark.parametrize(
        ("changes", "key"),
        [
            ({"secret": None}, "secret"),
            ({"endpoints": {"a": "dtn", "b": "other"}}, "endpoint"),
            ({"endpoints": {"": "other"}}, "endpoint"),
            ({"options": {"url": "portal"}}, "url"),
            ({"options": {"token": "x"}}, "token"),
            ({"options": {"ca_file": "/nowhere/ca.pem"}}, "ca_file"),
            ({"options": {"read_timeout_s": -1}}, "read_timeout_s"),
        ],
    )
    def test_what_is_wrong_is_named(self, service: JdpService, changes: dict[str, Any], key: str) -> None:
        with pytest.raises(InvalidDatabaseConfigError) as caught:
            database_of(service, **changes)
        assert caught.value.key == f"databases.jdp.{key}"

    def test_the_secret_may_be_that_of_a_credential(self, service: JdpService) -> None:
        database = database_of(service, secret=None, credential=Credential(name="jdp", secret=Secret(SECRET)))
        assert len(database.search(ORCID, SearchParameters(limit=1)).descriptors) == 1
        database.close()


def test_a_transfer_waits_for_the_tapes_and_credits_whom_it_should(rig: Rig) -> None:
    file = {**FILE, "file_status": "PURGED", "file_size": 12, "md5sum": None}
    path = "sdm/illumina/05/24/44/52444.3.336346.GAG-GTAA.fastq.gz"
    with jdp_service([{**ORGANISM, "files": [file]}], secret=SECRET) as service:
        config = DatabaseConfig(
            key="source", endpoints={"": "source"}, secret=Secret(SECRET), options={"url": service.url}
        )
        database = JdpDatabase.from_config(config, endpoints={"source": rig.source_endpoint})
        rig.databases["source"] = database
        transfer = rig.create("JDP:615a383dcc4ff44f36ca5ba2")
        rig.tick(3)
        assert rig.store.status(transfer).code == "staging"
        rig.source_endpoint.put(path, b"content of a")
        assert rig.run(transfer).code == "succeeded"
        database.close()
    (manifest,) = [file.content for name, file in rig.destination_endpoint.files.items() if name.endswith(".json")]
    (resource,) = json.loads(manifest or b"")["resources"]
    assert resource["credit"]["contributors"][0]["family_name"] == "Lovelace"
