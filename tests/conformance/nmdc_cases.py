"""What an NMDC database must do, wherever its service is: subclasses give the fixture ``site``, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest

from dts_fsm.databases.nmdc import NmdcDatabase
from dts_fsm.errors import InvalidSearchParameterError, ResourcesNotFoundError
from dts_fsm.records import SearchFileStatus, SearchParameters
from dts_fsm.testing.database_suite import DatabaseSuite


@attrs.frozen(kw_only=True)
class NmdcSite:
    """A database, and what it is known to have.

    Attributes:
        known_ids: of files that can be moved; at least two.
        study_id: of a study that all of them belong to, and that has not much more.
        biosample_id: of a biosample that the first of them comes from.
        word: occurs in the name or description of the first of them.
        orcid: of a user.
    """

    database: NmdcDatabase
    known_ids: Sequence[str]
    study_id: str
    biosample_id: str
    word: str
    orcid: str


class NmdcCases:
    """Questions that are not too large for the real service."""

    @pytest.fixture
    def site(self) -> NmdcSite:
        raise NotImplementedError("override the fixture 'site'")

    def _found(self, site: NmdcSite, **parameters: object) -> list[str]:
        results = site.database.search(site.orcid, SearchParameters(**parameters))
        return [descriptor.id for descriptor in results.descriptors]

    def test_files_are_described_in_the_order_in_which_they_were_asked_for(self, site: NmdcSite) -> None:
        for ids in (list(site.known_ids), list(site.known_ids)[::-1]):
            described = site.database.descriptors(site.orcid, ids)
            assert ids == [descriptor.id for descriptor in described if not descriptor.inline]

    def test_a_file_has_size_checksum_endpoint_and_a_path_below_its_root(self, site: NmdcSite) -> None:
        for descriptor in site.database.descriptors(site.orcid, site.known_ids):
            if not descriptor.inline:
                assert descriptor.bytes is not None
                assert descriptor.hash is not None
                assert descriptor.hash.algorithm == "md5"
                assert descriptor.endpoint in site.database.endpoint_names()

    def test_ids_that_nmdc_does_not_have_are_all_listed_in_order(self, site: NmdcSite) -> None:
        unknown = ["nmdc:dobj-00-zzzzzzzz", "nmdc:dobj-00-aaaaaaaa", 'a "quoted" one, {and} $more']
        with pytest.raises(ResourcesNotFoundError) as caught:
            site.database.descriptors(site.orcid, [unknown[0], site.known_ids[0], *unknown[1:], *site.known_ids[1:]])
        assert tuple(unknown) == caught.value.resource_ids

    def test_biosamples_go_with_the_files_as_inline_data(self, site: NmdcSite) -> None:
        described = site.database.descriptors(site.orcid, site.known_ids[:1])
        inline = {descriptor.id: descriptor for descriptor in described if descriptor.inline}
        assert site.biosample_id in described[0].properties["biosample_ids"]
        assert site.biosample_id == inline[site.biosample_id].properties["data"]["id"]

    def test_a_file_says_its_study_and_whom_it_is_owed_to(self, site: NmdcSite) -> None:
        file = site.database.descriptors(site.orcid, site.known_ids[:1])[0]
        assert site.study_id in file.properties["study_ids"]
        credit = file.properties["credit"]
        assert (file.id, "dataset") == (credit["identifier"], credit["resource_type"])
        assert credit["titles"]

    def test_a_study_is_searched_for_all_of_its_files(self, site: NmdcSite) -> None:
        found = self._found(site, specific={"study_id": site.study_id})
        assert set(site.known_ids) <= set(found)
        assert sorted(set(found)) == found

    def test_the_pages_of_a_study_are_together_the_whole(self, site: NmdcSite) -> None:
        whole = self._found(site, specific={"study_id": site.study_id})
        half = len(whole) // 2 + 1
        pages = [
            self._found(site, specific={"study_id": site.study_id}, offset=offset, limit=half)
            for offset in (0, half, 2 * half)
        ]
        assert [whole[:half], whole[half:], []] == pages

    def test_a_biosample_is_searched_for_its_files(self, site: NmdcSite) -> None:
        assert site.known_ids[0] in self._found(site, specific={"sample_id": site.biosample_id})

    def test_words_narrow_a_search(self, site: NmdcSite) -> None:
        found = self._found(site, query=site.word.upper(), specific={"study_id": site.study_id})
        assert site.known_ids[0] in found
        assert self._found(site, query=f"{site.word} 9a3ff0d2e4", specific={"study_id": site.study_id}) == []

    def test_a_file_is_found_by_its_id_through_each_language_of_filters(self, site: NmdcSite) -> None:
        file_id = site.known_ids[0]
        for specific in (
            {"data_object_id": file_id},
            {"filter": f"id:{file_id}"},
            {"filter": f'{{"id": "{file_id}"}}'},
            {"filter": {"id": file_id}, "study_id": site.study_id},
        ):
            assert [file_id] == self._found(site, specific=specific)

    def test_what_was_found_is_described_as_when_it_is_asked_for(self, site: NmdcSite) -> None:
        file_id = site.known_ids[0]
        found = site.database.search(site.orcid, SearchParameters(specific={"data_object_id": file_id}))
        assert found.descriptors[:1] == tuple(site.database.descriptors(site.orcid, [file_id]))[:1]

    def test_a_study_that_does_not_exist_is_said_not_to(self, site: NmdcSite) -> None:
        for name in ("study_id", "sample_id"):
            with pytest.raises(InvalidSearchParameterError, match="NMDC has no"):
                self._found(site, specific={name: "nmdc:sty-00-zzzzzzzz"})

    def test_every_file_is_staged(self, site: NmdcSite) -> None:
        specific = {"data_object_id": site.known_ids[0]}
        assert list(site.known_ids[:1]) == self._found(site, specific=specific, status=SearchFileStatus.STAGED)
        assert self._found(site, specific=specific, status=SearchFileStatus.UNSTAGED) == []


class WholeNmdcCases(DatabaseSuite):
    """The contract of databases, which looks through everything: for a service with a few hundred files at most."""

    @pytest.fixture
    def site(self) -> NmdcSite:
        raise NotImplementedError("override the fixture 'site'")

    @pytest.fixture
    def database(self, site: NmdcSite) -> NmdcDatabase:
        return site.database

    @pytest.fixture
    def known_ids(self, site: NmdcSite) -> Sequence[str]:
        return site.known_ids

    @pytest.fixture
    def orcid(self, site: NmdcSite) -> str:
        return site.orcid
