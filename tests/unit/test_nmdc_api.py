"""What is asked of NMDC's API, and what becomes of answers that are large, late, wrong or hostile."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

import pytest

from dts_fsm.databases.nmdc import NmdcDatabase
from dts_fsm.databases.nmdc.database import MOST_FOUND
from dts_fsm.errors import (
    InvalidDescriptorError,
    InvalidSearchParameterError,
    PermanentError,
    ResourcesNotFoundError,
    TransientError,
    UnavailableError,
)
from dts_fsm.records import Descriptor, SearchParameters
from dts_fsm.testing import ORCID
from dts_fsm.testing.json_service import Reply, Request, served
from dts_fsm.testing.nmdc import NmdcService
from tests.servers.nmdc import (
    CONTENT,
    CONTIGS,
    NERSC,
    PASSWORD,
    PROTEINS,
    READS,
    SOIL,
    SPECTRUM,
    STUDY,
    USER,
    WATER,
    database,
    furnished,
)

OBJECTS = "nmdcschema/data_object_set"


@pytest.fixture
def server() -> Iterator[NmdcService]:
    with served(furnished(NmdcService({USER: PASSWORD}))) as server:
        yield server


@pytest.fixture
def nmdc(server: NmdcService) -> Iterator[NmdcDatabase]:
    nmdc = database(server)
    yield nmdc
    nmdc.close()


def add_files(server: NmdcService, number: int) -> list[str]:
    """Give the ids of so many files, in order."""
    ids = [f"nmdc:dobj-99-{index:08}" for index in range(number)]
    for file_id in ids:
        server.add_file(file_id, f"{NERSC}/many/{file_id}", b"", was_generated_by="nmdc:wfmgas-11-1.1")
    return ids


def files(described: Any) -> list[str]:
    return [descriptor.id for descriptor in described if not descriptor.inline]


def search(nmdc: NmdcDatabase, **parameters: Any) -> list[str]:
    return files(nmdc.search(ORCID, SearchParameters(**parameters)).descriptors)


class TestBatches:
    def test_450_ids_are_asked_for_in_batches_of_200(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        ids = add_files(server, 450)[::-1]
        assert files(nmdc.descriptors(ORCID, ids)) == ids
        asked = [json.loads(asked.query["filter"])["id"]["$in"] for asked in server.asked_for(OBJECTS)]
        assert sorted(asked) == sorted([ids[:200], ids[200:400], ids[400:]])
        assert {asked.query["max_page_size"] for asked in server.asked_for(OBJECTS)} == {"200"}

    def test_a_few_requests_find_what_many_files_belong_to(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        ids = add_files(server, 450)
        described = nmdc.descriptors(ORCID, ids)
        assert described[-1].id == SOIL
        assert {len(descriptor.properties["biosample_ids"]) for descriptor in described[:-1]} == {1}
        assert len(server.requests) < 20

    def test_an_id_that_is_repeated_counts_once(self, nmdc: NmdcDatabase) -> None:
        assert files(nmdc.descriptors(ORCID, [READS, CONTIGS, READS])) == [READS, CONTIGS]

    def test_no_line_of_a_request_is_longer_than_servers_take(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        ids = [f"nmdc:{'ü' * 100}-{index}" for index in range(60)] + ["x" * 100_000]
        with pytest.raises(ResourcesNotFoundError) as caught:
            nmdc.descriptors(ORCID, ids)
        assert caught.value.resource_ids == tuple(ids)
        lengths = [len(quote_plus(asked.query["filter"])) for asked in server.asked_for(OBJECTS)]
        assert max(lengths) < 7900
        assert len(lengths) > 1

    def test_each_missing_id_of_each_batch_is_reported_in_order(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        ids = add_files(server, 250)
        missing = [f"nmdc:dobj-00-{index:08}" for index in range(250)]
        asked = [file_id for pair in zip(missing, ids, strict=True) for file_id in pair]
        with pytest.raises(ResourcesNotFoundError) as caught:
            nmdc.descriptors(ORCID, asked)
        assert caught.value.resource_ids == tuple(missing)

    def test_nothing_is_asked_for_no_ids(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        assert nmdc.descriptors(ORCID, []) == ()
        assert server.requests == []


class TestPages:
    @pytest.mark.parametrize("repeats", [False, True])
    def test_pages_are_followed_by_their_tokens_and_repeated_rows_count_once(
        self, server: NmdcService, nmdc: NmdcDatabase, repeats: bool
    ) -> None:
        ids = add_files(server, 25)
        server.largest_page, server.repeats = 7, repeats
        assert search(nmdc, query="99-") == ids
        pages = [asked.query.get("page_token") for asked in server.asked_for(OBJECTS)]
        assert (len(pages), len(set(pages)), pages[0]) == (4, 4, None)

    def test_a_batch_that_is_complete_is_not_asked_on_about(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        ids = add_files(server, 200)
        assert files(nmdc.descriptors(ORCID, ids)) == ids
        assert len(server.asked_for(OBJECTS)) == 1

    def test_a_page_token_that_never_ends_is_found_out(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        server.endless = True
        with pytest.raises(PermanentError, match="do not come to an end"):
            search(nmdc)
        with pytest.raises(PermanentError, match="do not come to an end"):
            nmdc.descriptors(ORCID, [READS, "nmdc:dobj-00-00000000"])
        assert len(server.requests) < 20

    def test_a_page_token_that_comes_again_is_found_out(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        for index in range(9):
            server.instead(OBJECTS, value={"resources": [{"id": f"x:{index}"}], "next_page_token": "same"})
        with pytest.raises(PermanentError, match="do not come to an end"):
            search(nmdc)
        assert len(server.asked_for(OBJECTS)) == 2

    def test_a_page_whose_answer_was_lost_is_asked_for_without_its_used_token(
        self, server: NmdcService, nmdc: NmdcDatabase
    ) -> None:
        ids = add_files(server, 25)
        server.largest_page = 7
        lost: list[str] = []

        def lose(request: Request, reply: Reply) -> Reply:
            token = request.query.get("page_token")
            if token is None or lost:
                return reply
            lost.append(token)
            return 503, None

        server.alter = lose
        assert search(nmdc, query="99-") == ids
        asked = [request.query.get("page_token") for request in server.asked_for(OBJECTS)]
        assert asked[:4] == [None, lost[0], lost[0], None]
        assert nmdc.search(ORCID, SearchParameters(specific={"filter": {"id": ids[0]}})).descriptors[0].id == ids[0]

    def test_a_service_that_forgets_each_of_its_tokens_is_a_transient_error(
        self, server: NmdcService, nmdc: NmdcDatabase
    ) -> None:
        add_files(server, 25)
        server.largest_page = 2
        server.alter = lambda request, reply: (
            (400, {"detail": "Bad page_token"}) if "page_token" in request.query else reply
        )
        with pytest.raises(TransientError, match="does not know its own page_token any more: Bad page_token"):
            search(nmdc, query="99-")
        assert len(server.asked_for(OBJECTS)) < 10

    @pytest.mark.parametrize(
        "value", [None, [], 7, "text", {}, {"resources": None}, {"resources": {}}, b"", b"<html>", b"[" * 100_000]
    )
    def test_an_answer_of_another_shape_is_refused(self, server: NmdcService, nmdc: NmdcDatabase, value: Any) -> None:
        server.instead(OBJECTS, value=value)
        with pytest.raises(PermanentError, match="data_object_set answered with"):
            nmdc.descriptors(ORCID, [READS])

    @pytest.mark.parametrize("token", [7, ["a"], {"a": 1}, True])
    def test_a_page_token_that_is_no_text_is_refused(self, server: NmdcService, nmdc: NmdcDatabase, token: Any) -> None:
        server.instead(OBJECTS, value={"resources": [], "next_page_token": token})
        with pytest.raises(PermanentError, match="do not come to an end"):
            nmdc.descriptors(ORCID, [READS])

    def test_rows_that_nobody_asked_for_and_rows_without_an_id_are_left_out(
        self, server: NmdcService, nmdc: NmdcDatabase
    ) -> None:
        own = server.collections["data_object_set"][0]
        stranger = {**own, "id": "nmdc:dobj-66-stranger"}
        rows = [stranger, None, 7, {}, {"id": None}, {"id": ["a"]}, own, {**own, "url": "https://elsewhere.example/"}]
        server.instead(OBJECTS, value={"resources": rows})
        assert files(nmdc.descriptors(ORCID, [READS])) == [READS]


class TestFaults:
    def test_an_overloaded_service_is_asked_again(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        server.instead(OBJECTS, status=503, times=2)
        assert files(nmdc.descriptors(ORCID, [READS])) == [READS]

    def test_a_service_that_stays_down_is_a_transient_error(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        server.instead(OBJECTS, status=500, times=9)
        with pytest.raises(TransientError, match="NMDC answered 500"):
            nmdc.descriptors(ORCID, [READS])

    def test_a_slow_answer_is_waited_for_and_a_silent_service_is_not(self, server: NmdcService) -> None:
        patient, hasty = database(server, read_timeout_s=20.0), database(server, read_timeout_s=0.05)
        server.instead(OBJECTS, value={"resources": server.collections["data_object_set"]}, delay_s=0.3)
        assert files(patient.descriptors(ORCID, [READS])) == [READS]
        server.instead(OBJECTS, delay_s=2.0, times=9)
        with pytest.raises(UnavailableError):
            hasty.descriptors(ORCID, [READS])
        patient.close()
        hasty.close()

    def test_a_service_that_is_not_there_is_a_transient_error(self) -> None:
        with served(NmdcService({USER: PASSWORD})) as server:
            nmdc = database(server)
        with pytest.raises(UnavailableError, match="NMDC"):
            nmdc.descriptors(ORCID, [READS])
        nmdc.close()

    def test_a_fault_of_one_batch_fails_the_whole(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        ids = add_files(server, 450)
        server.instead(OBJECTS, status=400, value={"detail": "no"})
        with pytest.raises(PermanentError, match="NMDC answered 400"):
            nmdc.descriptors(ORCID, ids)


class TestStudies:
    def test_an_older_name_of_the_list_is_understood(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        objects = server.collections["data_object_set"]
        sets = [{"biosample_id": SOIL, "data_object_set": objects[:2]}, {"data_objects": objects[1:3]}]
        server.instead("data_objects/study", value=sets)
        assert search(nmdc, specific={"study_id": STUDY}) == sorted([READS, CONTIGS, PROTEINS])

    @pytest.mark.parametrize("value", [None, {}, [7], [{}], [{"biosample_id": SOIL, "data_objects": 7}], b"<"])
    def test_an_answer_of_another_shape_is_refused(self, server: NmdcService, nmdc: NmdcDatabase, value: Any) -> None:
        server.instead("data_objects/study", value=value)
        with pytest.raises(PermanentError, match="answered with"):
            search(nmdc, specific={"study_id": STUDY})

    def test_a_biosample_of_another_shape_is_refused(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        server.instead("biosamples", value=[])
        with pytest.raises(PermanentError, match="without a biosample"):
            search(nmdc, specific={"sample_id": SOIL})

    def test_a_biosample_has_its_own_files_alone(self, nmdc: NmdcDatabase) -> None:
        assert search(nmdc, specific={"sample_id": WATER}) == [SPECTRUM]
        assert search(nmdc, specific={"sample_id": SOIL, "study_id": STUDY}) == sorted([READS, CONTIGS, PROTEINS])

    def test_words_narrow_a_study_of_many_files_in_batches(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        ids = add_files(server, 450)
        server.collections["workflow_execution_set"][0]["has_output"] += ids
        server.collections["data_object_set"][-1]["description"] = "the Last one"
        assert search(nmdc, query="last ONE", specific={"study_id": STUDY}) == ids[-1:]
        assert max(len(quote_plus(asked.query["filter"])) for asked in server.asked_for(OBJECTS)) < 7900


class TestSearches:
    @pytest.mark.parametrize(
        ("specific", "message"),
        [
            ({"sort": "id"}, "there is no parameter 'sort'; known are: study_id"),
            ({"study_id": 7}, "study_id must be text, not 7"),
            ({"study_id": "../../users/me"}, "study_id must be an id such as"),
            ({"sample_id": "nmdc:.."}, "sample_id must be an id such as"),
            ({"sample_id": "\ud800"}, "sample_id must be an id such as"),
            ({"filter": "{'id': 1}"}, "filter is not a JSON object"),
            ({"filter": "{" * 9000}, "filter is not a JSON object"),
            ({"filter": {"a": object()}}, "filter is not a JSON object"),
            ({"filter": "id"}, "'id' is neither"),
            ({"filter": "$where:1"}, "is neither"),
            ({"filter": '{"$and": [{"$where": "while(1);"}]}'}, "may not have \\$where"),
            ({"filter": {"a": {"$function": {}}}}, "may not have \\$function"),
            ({"filter": {"id": "x" * 5000}}, "too long"),
        ],
    )
    def test_a_parameter_that_cannot_be_meant_is_refused_before_anything_is_asked(
        self, server: NmdcService, nmdc: NmdcDatabase, specific: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InvalidSearchParameterError, match=message):
            search(nmdc, specific=specific)
        assert server.requests == []

    @pytest.mark.parametrize(
        ("terms", "found"),
        [
            ("file_size_bytes:>15", [READS, SPECTRUM]),
            ("file_size_bytes:<=6,name.search:faa$", [PROTEINS]),
            ("data_object_type:Metagenome Raw Reads", [READS]),
            ("name:>=reads", [READS]),
        ],
    )
    def test_filters_may_be_written_as_nmdc_writes_those_of_find_requests(
        self, nmdc: NmdcDatabase, terms: str, found: list[str]
    ) -> None:
        assert search(nmdc, specific={"filter": terms}) == sorted(found)

    def test_a_filter_that_nmdc_does_not_understand_is_answered_with_its_words(self, nmdc: NmdcDatabase) -> None:
        with pytest.raises(InvalidSearchParameterError, match=r"NMDC does not understand .*: .*unknown operator: \$x"):
            search(nmdc, specific={"filter": {"id": {"$x": 1}}})
        with pytest.raises(InvalidSearchParameterError, match="NMDC does not understand"):
            search(nmdc, specific={"filter": {"id": {"$x": 1}}, "study_id": STUDY})

    def test_words_are_words_and_no_patterns(self, nmdc: NmdcDatabase) -> None:
        assert search(nmdc, query=".*") == []
        assert search(nmdc, query="READS.FASTQ") == [READS]

    def test_a_workflow_is_searched_for_what_says_that_it_comes_of_it(self, nmdc: NmdcDatabase) -> None:
        assert search(nmdc, specific={"activity_id": "nmdc:wfmgan-11-1.1"}) == [PROTEINS]

    def test_a_limit_ends_the_asking(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        ids = add_files(server, 40)
        server.largest_page = 10
        assert search(nmdc, query="99-", offset=5, limit=10) == ids[5:15]
        assert len(server.asked_for(OBJECTS)) == 2

    def test_more_files_than_anybody_reads_are_not_given_without_a_limit(
        self, server: NmdcService, nmdc: NmdcDatabase
    ) -> None:
        rows = [
            {"id": f"x:{index:09}", "url": f"{NERSC}/{index}", "file_size_bytes": 1} for index in range(MOST_FOUND + 1)
        ]
        server.instead(OBJECTS, value={"resources": rows})
        with pytest.raises(InvalidSearchParameterError, match="more than 10000 files match: narrow the search"):
            search(nmdc)

    def test_a_data_object_that_cannot_be_used_is_left_out_and_logged(
        self, server: NmdcService, nmdc: NmdcDatabase, caplog: pytest.LogCaptureFixture
    ) -> None:
        del server.collections["data_object_set"][0]["url"]
        assert search(nmdc) == sorted([CONTIGS, PROTEINS, SPECTRUM])
        assert [(record.action, record.fault) for record in caplog.records] == [
            ("search", f"the descriptor {READS!r} cannot be used: it has no URL: NMDC does not offer its file")
        ]


class TestDescribing:
    @pytest.fixture
    def described(self, nmdc: NmdcDatabase) -> dict[str, Descriptor]:
        return {each.id: each for each in nmdc.descriptors(ORCID, [READS, CONTIGS, PROTEINS, SPECTRUM])}

    def test_paths_are_relative_to_the_root_of_the_endpoint_that_has_the_host(
        self, described: dict[str, Descriptor]
    ) -> None:
        assert {file_id: (described[file_id].endpoint, described[file_id].path) for file_id in CONTENT} == {
            READS: ("tape", "nmdc:omprc-11-1/reads.fastq.gz"),
            CONTIGS: ("tape", "nmdc:omprc-11-1/nmdc:wfmgas-11-1.1/contigs.fna"),
            PROTEINS: ("tape", "nmdc:omprc-11-1/nmdc:wfmgan-11-1.1/proteins.faa"),
            SPECTRUM: ("disk", "nom/raw/a spectrum.raw"),
        }

    def test_a_file_has_its_size_its_md5_and_its_format(self, described: dict[str, Descriptor]) -> None:
        reads = described[READS]
        assert (reads.bytes, str(reads.hash), reads.properties["format"], reads.properties["data_object_type"]) == (
            18,
            f"md5:{hashlib.md5(CONTENT[READS]).hexdigest()}",
            "fastq",
            "Metagenome Raw Reads",
        )

    def test_every_way_from_a_biosample_to_a_file_is_found(self, described: dict[str, Descriptor]) -> None:
        assert {file_id: described[file_id].properties["biosample_ids"] for file_id in CONTENT} == {
            READS: [SOIL],
            CONTIGS: [SOIL],
            PROTEINS: [SOIL],
            SPECTRUM: [WATER],
        }
        assert {tuple(described[file_id].properties["study_ids"]) for file_id in CONTENT} == {(STUDY,)}

    def test_each_biosample_is_there_once_as_inline_data(
        self, server: NmdcService, described: dict[str, Descriptor]
    ) -> None:
        inline = [descriptor for descriptor in described.values() if descriptor.inline]
        assert [(descriptor.id, descriptor.properties["data"]) for descriptor in inline] == [
            (record["id"], record) for record in server.collections["biosample_set"]
        ]

    def test_a_file_that_belongs_to_nothing_is_described_all_the_same(
        self, server: NmdcService, nmdc: NmdcDatabase
    ) -> None:
        server.add_file("nmdc:dobj-11-orphan", f"{NERSC}/orphan", b"")
        (orphan,) = nmdc.descriptors(ORCID, ["nmdc:dobj-11-orphan"])
        assert (orphan.bytes, orphan.properties.get("biosample_ids")) == (0, None)
        assert orphan.properties["credit"]["identifier"] == orphan.id

    def test_processes_that_lead_in_a_circle_are_left(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        records = server.collections
        records["material_processing_set"][0]["has_input"] = ["nmdc:procsm-11-2"]
        records["workflow_execution_set"][0]["was_informed_by"] = "nmdc:wfmgas-11-1.1"
        described = nmdc.descriptors(ORCID, [CONTIGS, SPECTRUM])
        assert [descriptor.properties.get("biosample_ids") for descriptor in described] == [None, None]

    def test_a_study_of_a_biosample_stands_in_for_that_of_the_measurement(
        self, server: NmdcService, nmdc: NmdcDatabase
    ) -> None:
        del server.collections["data_generation_set"][0]["associated_studies"]
        assert nmdc.descriptors(ORCID, [READS])[0].properties["study_ids"] == [STUDY]

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"url": None}, "it has no URL"),
            ({"url": 7}, "it has no URL"),
            ({"url": "https://elsewhere.example/data/a"}, "no endpoint is known for that; known are: data.microbiomed"),
            ({"url": "https://data.microbiomedata.org/other/a"}, "no endpoint is known for that"),
            ({"url": "https://data.microbiomedata.org.evil.example/data/a"}, "no endpoint is known for that"),
            ({"url": "https://data.microbiomedata.org:444/data/a"}, "no endpoint is known for that"),
            ({"url": "https://me@data.microbiomedata.org/data/a"}, "is not one of a file at a web server"),
            ({"url": "ftp://data.microbiomedata.org/data/a"}, "is not one of a file at a web server"),
            ({"url": "data/a"}, "is not one of a file at a web server"),
            ({"url": "https://[::1/data/a"}, "cannot be read"),
            ({"url": "https://data.microbiomedata.org:port/data/a"}, "cannot be read"),
            ({"url": f"{NERSC}/a?b=c"}, "has more than a path"),
            ({"url": f"{NERSC}/a#b"}, "has more than a path"),
            ({"url": f"{NERSC}/"}, "the path is empty"),
            ({"url": f"{NERSC}/../a"}, "leads upwards"),
            ({"url": f"{NERSC}/a/%2e%2e/%2E./b"}, "leads upwards"),
            ({"url": f"{NERSC}/a%2f..%2fb"}, "hides a slash"),
            ({"url": f"{NERSC}/a%00b"}, "control characters"),
            ({"url": f"{NERSC}/a%ff"}, "is not UTF-8"),
            ({"file_size_bytes": None}, "its size"),
            ({"file_size_bytes": -1}, "its size"),
            ({"file_size_bytes": "18"}, "its size"),
            ({"md5_checksum": "abc"}, "the hash 'abc'"),
            ({"md5_checksum": ["a"]}, "its hash must be text"),
            ({"name": {"a": 1}}, "its name must be text"),
        ],
    )
    def test_what_cannot_be_used_is_refused_with_the_reason(
        self, server: NmdcService, nmdc: NmdcDatabase, changed: dict[str, Any], message: str
    ) -> None:
        server.collections["data_object_set"][0].update(changed)
        with pytest.raises(InvalidDescriptorError, match=message):
            nmdc.descriptors(ORCID, [CONTIGS, READS])

    @pytest.mark.parametrize("changed", [{"md5_checksum": None}, {"md5_checksum": ""}, {"file_size_bytes": 18.0}])
    def test_what_nmdc_need_not_say_may_be_missing(
        self, server: NmdcService, nmdc: NmdcDatabase, changed: dict[str, Any]
    ) -> None:
        server.collections["data_object_set"][0].update(changed)
        assert nmdc.descriptors(ORCID, [READS])[0].bytes == 18

    def test_related_records_of_any_shape_do_no_harm(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        odd: list[Any] = [None, 7, "text", {"a": 1}, [[]], [None, 7, {}]]
        for value in odd:
            for collection, slots in (
                ("data_object_set", ("was_generated_by", "description", "data_object_type")),
                ("workflow_execution_set", ("was_informed_by", "has_output")),
                ("data_generation_set", ("has_input", "associated_studies")),
                ("biosample_set", ("associated_studies",)),
                ("study_set", ("title", "alternative_titles", "funding_sources", "associated_dois", "name")),
                ("study_set", ("has_credit_associations",)),
            ):
                for record in server.collections[collection]:
                    record.update(dict.fromkeys(slots, value))
            assert files(nmdc.descriptors(ORCID, [READS, PROTEINS])) == [READS, PROTEINS]


class TestCredit:
    def test_it_says_whom_the_file_is_owed_to(self, nmdc: NmdcDatabase) -> None:
        assert nmdc.descriptors(ORCID, [READS])[0].properties["credit"] == {
            "identifier": READS,
            "resource_type": "dataset",
            "url": f"{NERSC}/nmdc:omprc-11-1/reads.fastq.gz",
            "publisher": {
                "organization_id": "ROR:05cwx3318",
                "organization_name": "National Microbiome Data Collaborative",
            },
            "titles": [{"title": "Tara Oceans Mediterranean Sea Expedition 2013"}, {"title": "Tara"}],
            "contributors": [
                {
                    "contributor_type": "Person",
                    "contributor_id": "ORCID:0000-0002-1825-0097",
                    "name": "Ada King Lovelace",
                    "given_name": "Ada King",
                    "family_name": "Lovelace",
                    "contributor_roles": "Principal Investigator,Data curation",
                }
            ],
            "descriptions": [{"description_text": f"the file {READS}", "language": "en"}],
            "funding": [{"funder": {"organization_name": "U.S. Department of Energy"}}],
            "related_identifiers": [
                {"id": "DOI:10.5281/zenodo.1242459", "description": "Dataset DOI", "relationship_type": "IsCitedBy"}
            ],
        }

    def test_a_slip_in_a_study_costs_that_item_alone(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        study = server.collections["study_set"][0] = dict(server.collections["study_set"][0])
        study["has_credit_associations"] = [
            {"applies_to_person": {"name": "Plato", "orcid": "orcid:0000-0002-1825-0098"}},
            {"applies_to_person": {"orcid": "orcid:0000-0002-1825-0097"}},
            "Socrates",
        ]
        study["associated_dois"] = [{"doi_value": ""}, {"doi_value": "https://doi.org/10.1/a:b"}]
        credit = nmdc.descriptors(ORCID, [READS])[0].properties["credit"]
        assert credit["contributors"] == [{"contributor_type": "Person", "name": "Plato"}]
        assert credit["related_identifiers"] == [{"id": "DOI:10.1/a:b", "relationship_type": "IsCitedBy"}]
