"""The contract of ``Database`` as tests, to be run over every implementation.

A plug-in's author writes, in a test module of their own::

    class TestMyDatabase(DatabaseSuite):
        @pytest.fixture
        def database(self): ...
        @pytest.fixture
        def known_ids(self): ...
        @pytest.fixture
        def orcid(self): ...

and for failures with all their particulars ``pytest.register_assert_rewrite("dts_fsm.testing.database_suite")`` in
``conftest.py``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from dts_fsm.errors import InvalidOrcidError, InvalidSearchParameterError, ResourcesNotFoundError
from dts_fsm.interfaces import Database
from dts_fsm.records import Descriptor, SearchFileStatus, SearchParameters, StagingStatus
from dts_fsm.records.checks import path_fault
from dts_fsm.serialization import dump_json, load_json


class DatabaseSuite:
    """What every database must do; subclasses say with fixtures which database it is and what it has.

    Attributes:
        staging_timeout_s: how long a staging request may take before a test fails.
    """

    staging_timeout_s: float = 30.0

    @pytest.fixture
    def database(self) -> Database:
        """A fresh database, with the files of ``known_ids``; override it."""
        raise NotImplementedError("override the fixture 'database'")

    @pytest.fixture
    def known_ids(self) -> Sequence[str]:
        """The ids of at least two files that can be moved, visible to ``orcid``; override it."""
        raise NotImplementedError("override the fixture 'known_ids'")

    @pytest.fixture
    def orcid(self) -> str:
        """The ORCID of a user whom the database knows; override it."""
        raise NotImplementedError("override the fixture 'orcid'")

    @pytest.fixture
    def unknown_ids(self) -> Sequence[str]:
        """At least two ids that the database does not have."""
        return ("no such file: zeta", "no such file: alpha")

    @pytest.fixture
    def unstaged_ids(self) -> Sequence[str]:
        """Those of ``known_ids`` that must be staged before they can be moved."""
        return ()

    @pytest.fixture
    def strangers(self) -> Sequence[str]:
        """ORCIDs for which there is no local user, malformed ones among them."""
        return ("", "0000", "0000-0002-1825-009x", "../../../../0000", "0000-0002-1825-0097\n")

    def let_time_pass(self, database: Database) -> None:  # noqa: ARG002 - for overriding
        """Make it possible for a staging request to go on; a fake with a clock of its own turns it here."""
        threading.Event().wait(0.005)

    def _end_of(self, database: Database, request_id: UUID) -> StagingStatus:
        deadline_s = time.monotonic() + self.staging_timeout_s
        while (status := database.staging_status([request_id])[request_id]) is StagingStatus.ACTIVE:
            if time.monotonic() > deadline_s:
                pytest.fail(f"staging has not ended within {self.staging_timeout_s} s")
            self.let_time_pass(database)
        return status

    @staticmethod
    def _found(database: Database, orcid: str, **parameters: object) -> list[str]:
        results = database.search(orcid, SearchParameters(**parameters))  # type: ignore[arg-type] # the test's own
        return [descriptor.id for descriptor in results.descriptors]

    def test_it_has_every_method_of_the_protocol(self, database: Database) -> None:
        assert isinstance(database, Database)

    # Searching

    def test_an_empty_search_finds_every_file_once(
        self, database: Database, orcid: str, known_ids: Sequence[str]
    ) -> None:
        found = self._found(database, orcid)
        assert sorted(set(found)) == sorted(found)
        assert set(known_ids) <= set(found)

    def test_the_same_search_finds_the_same_files_in_the_same_order(self, database: Database, orcid: str) -> None:
        assert self._found(database, orcid) == self._found(database, orcid)

    @pytest.mark.parametrize("limit", [1, 2, 3, 1000])
    def test_the_pages_of_a_search_are_together_the_whole(self, database: Database, orcid: str, limit: int) -> None:
        whole = self._found(database, orcid)
        pages: list[str] = []
        while page := self._found(database, orcid, offset=len(pages), limit=limit):
            assert len(page) == min(limit, len(whole) - len(pages))
            pages += page
        assert whole == pages

    def test_nothing_lies_beyond_the_last_result(self, database: Database, orcid: str) -> None:
        num_files = len(self._found(database, orcid))
        assert self._found(database, orcid, offset=num_files) == []
        assert self._found(database, orcid, offset=2**70, limit=2**70) == []

    def test_a_search_for_what_nobody_would_write_finds_nothing(self, database: Database, orcid: str) -> None:
        assert self._found(database, orcid, query=uuid4().hex) == []

    def test_every_result_can_be_asked_for_and_is_described_alike(
        self, database: Database, orcid: str, known_ids: Sequence[str]
    ) -> None:
        results = database.search(orcid, SearchParameters()).descriptors
        known = [descriptor for descriptor in results if descriptor.id in known_ids]
        assert known == _asked_for(database, orcid, [descriptor.id for descriptor in known])

    def test_staged_and_unstaged_files_are_together_all_files(self, database: Database, orcid: str) -> None:
        staged = self._found(database, orcid, status=SearchFileStatus.STAGED)
        unstaged = self._found(database, orcid, status=SearchFileStatus.UNSTAGED)
        assert set(staged) & set(unstaged) == set()
        assert sorted(self._found(database, orcid)) == sorted(staged + unstaged)

    def test_files_that_need_staging_are_found_as_unstaged(
        self, database: Database, orcid: str, known_ids: Sequence[str], unstaged_ids: Sequence[str]
    ) -> None:
        unstaged = self._found(database, orcid, status=SearchFileStatus.UNSTAGED)
        assert sorted(unstaged_ids) == sorted(set(unstaged) & set(known_ids))

    def test_the_databases_own_search_parameters_are_json_values_by_name(self, database: Database) -> None:
        parameters = dict(database.specific_search_parameters())
        assert parameters == load_json(dump_json(parameters))

    def test_a_search_parameter_that_it_does_not_have_is_refused_by_name(self, database: Database, orcid: str) -> None:
        with pytest.raises(InvalidSearchParameterError, match="no_such_parameter"):
            self._found(database, orcid, specific={"no_such_parameter": 1})

    # Describing

    def test_each_file_that_is_asked_for_is_described_once(
        self, database: Database, orcid: str, known_ids: Sequence[str]
    ) -> None:
        for ids in (known_ids, known_ids[::-1], known_ids[:1]):
            described = database.descriptors(orcid, ids)
            # inline data may go with the files
            files = [descriptor.id for descriptor in described if descriptor.id in ids or not descriptor.inline]
            assert sorted(ids) == sorted(files)

    def test_a_file_has_a_size_and_a_path_that_stays_below_its_root(
        self, database: Database, orcid: str, known_ids: Sequence[str]
    ) -> None:
        for descriptor in _asked_for(database, orcid, known_ids):
            assert descriptor.bytes is not None
            assert path_fault(descriptor.path or "") is None

    def test_a_file_is_at_one_of_the_databases_endpoints(
        self, database: Database, orcid: str, known_ids: Sequence[str]
    ) -> None:
        names = database.endpoint_names()
        default = names[0] if len(names) == 1 else None
        for descriptor in _asked_for(database, orcid, known_ids):
            assert (descriptor.endpoint or default) in names

    def test_unknown_ids_are_refused_and_all_of_them_listed_in_order(
        self, database: Database, orcid: str, known_ids: Sequence[str], unknown_ids: Sequence[str]
    ) -> None:
        with pytest.raises(ResourcesNotFoundError) as caught:
            database.descriptors(orcid, [unknown_ids[0], known_ids[0], *unknown_ids[1:], *known_ids[1:]])
        assert tuple(unknown_ids) == caught.value.resource_ids

    def test_its_endpoints_have_names_each_once_and_always_the_same(self, database: Database) -> None:
        names = list(database.endpoint_names())
        assert [name for name in dict.fromkeys(names) if name] == names != []
        assert names == list(database.endpoint_names())

    # Staging

    def test_a_request_that_was_never_made_is_unknown(self, database: Database) -> None:
        ids = [uuid4(), uuid4()]
        assert dict.fromkeys(ids, StagingStatus.UNKNOWN) == dict(database.staging_status(ids))
        assert dict(database.staging_status([])) == {}

    def test_staged_files_are_found_as_staged(self, database: Database, orcid: str, known_ids: Sequence[str]) -> None:
        request_id = database.stage_files(orcid, known_ids, request_id=uuid4())
        assert self._end_of(database, request_id) is StagingStatus.SUCCEEDED
        staged = self._found(database, orcid, status=SearchFileStatus.STAGED)
        assert set(known_ids) <= set(staged)

    def test_a_request_that_is_made_twice_has_one_id_and_one_end(
        self, database: Database, orcid: str, known_ids: Sequence[str]
    ) -> None:
        request_id = uuid4()
        first = database.stage_files(orcid, known_ids, request_id=request_id)
        assert first == database.stage_files(orcid, known_ids, request_id=request_id)
        assert self._end_of(database, first) is StagingStatus.SUCCEEDED
        assert first == database.stage_files(orcid, known_ids, request_id=request_id)
        assert self._end_of(database, first) is StagingStatus.SUCCEEDED

    def test_files_that_are_staged_can_be_asked_for_again(
        self, database: Database, orcid: str, known_ids: Sequence[str]
    ) -> None:
        for _ in range(2):
            request_id = database.stage_files(orcid, known_ids, request_id=uuid4())
            assert self._end_of(database, request_id) is StagingStatus.SUCCEEDED

    # Users, and the end of a transfer

    def test_a_local_user_is_the_name_of_one_folder_and_always_the_same(self, database: Database, orcid: str) -> None:
        user = database.local_user(orcid)
        assert path_fault(user) is None
        assert "/" not in user
        assert user == database.local_user(orcid)

    def test_a_stranger_has_no_local_user(self, database: Database, strangers: Sequence[str]) -> None:
        for stranger in strangers:
            with pytest.raises(InvalidOrcidError) as caught:
                database.local_user(stranger)
            assert stranger == caught.value.orcid

    def test_to_finalize_is_harmless_also_twice_and_for_transfers_it_does_not_know(
        self, database: Database, orcid: str, known_ids: Sequence[str]
    ) -> None:
        before = _asked_for(database, orcid, known_ids)
        transfer_id = uuid4()
        for _ in range(2):
            database.finalize(orcid, transfer_id)
        assert before == _asked_for(database, orcid, known_ids)

    def test_threads_that_ask_at_once_get_the_same_answers(
        self, database: Database, orcid: str, known_ids: Sequence[str]
    ) -> None:
        together = threading.Barrier(4, timeout=self.staging_timeout_s)

        def ask() -> tuple[list[str], list[Descriptor], str]:
            together.wait()
            return self._found(database, orcid), _asked_for(database, orcid, known_ids), database.local_user(orcid)

        with ThreadPoolExecutor(4) as pool:
            answers = [future.result() for future in [pool.submit(ask) for _ in range(4)]]
        assert [answers[0]] * 4 == answers


def _asked_for(database: Database, orcid: str, ids: Sequence[str]) -> list[Descriptor]:
    """The descriptors of these ids in this order, without the inline data that goes with them."""
    by_id = {descriptor.id: descriptor for descriptor in database.descriptors(orcid, ids)}
    return [by_id[file_id] for file_id in ids]
