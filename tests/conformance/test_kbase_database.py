"""The contract of databases as far as it concerns a destination, and KBase's own cases: a KBase on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dts_fsm.config import Secret
from dts_fsm.databases.kbase import KBaseDatabase
from dts_fsm.testing import ORCID
from dts_fsm.testing.database_suite import DatabaseSuite
from dts_fsm.testing.kbase import kbase_service, person
from dts_fsm.web import HttpClient
from tests.conformance.kbase_cases import KBaseCases, KBaseSite


@pytest.fixture
def kbase(tmp_path: Path) -> Iterator[KBaseDatabase]:
    (tmp_path / "users.csv").write_text(f"{ORCID},ada\n", encoding="utf-8")
    with kbase_service({"t0ken": person("ada", name="Ada", orcids=(ORCID,))}) as server:
        database = KBaseDatabase(
            name="kbase",
            endpoint_name="disk",
            users=tmp_path / "users.csv",
            client=HttpClient(server.api_url, name="KBase"),
        )
        yield database
        database.close()


class TestKBase(KBaseCases):
    @pytest.fixture
    def site(self, kbase: KBaseDatabase) -> KBaseSite:
        return KBaseSite(database=kbase, token=Secret("t0ken"), username="ada")


class TestKBaseAsADatabase(DatabaseSuite):
    @pytest.fixture
    def database(self, kbase: KBaseDatabase) -> KBaseDatabase:
        return kbase

    @pytest.fixture
    def orcid(self) -> str:
        return ORCID

    @pytest.fixture
    def known_ids(self) -> Sequence[str]:
        return ()

    # it has no files: what remains is what a destination is asked
    test_an_empty_search_finds_every_file_once = None
    test_the_same_search_finds_the_same_files_in_the_same_order = None
    test_the_pages_of_a_search_are_together_the_whole = None
    test_nothing_lies_beyond_the_last_result = None
    test_a_search_for_what_nobody_would_write_finds_nothing = None
    test_every_result_can_be_asked_for_and_is_described_alike = None
    test_staged_and_unstaged_files_are_together_all_files = None
    test_files_that_need_staging_are_found_as_unstaged = None
    test_a_search_parameter_that_it_does_not_have_is_refused_by_name = None
    test_each_file_that_is_asked_for_is_described_once = None
    test_a_file_has_a_size_and_a_path_that_stays_below_its_root = None
    test_a_file_is_at_one_of_the_databases_endpoints = None
    test_unknown_ids_are_refused_and_all_of_them_listed_in_order = None
    test_staged_files_are_found_as_staged = None
    test_a_request_that_is_made_twice_has_one_id_and_one_end = None
    test_files_that_are_staged_can_be_asked_for_again = None
    test_to_finalize_is_harmless_also_twice_and_for_transfers_it_does_not_know = None
    test_threads_that_ask_at_once_get_the_same_answers = None
