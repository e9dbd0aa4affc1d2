"""What a JDP database must do, wherever its portal is: subclasses give the fixture ``site``, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest

from dts_fsm.databases.jdp.database import JdpDatabase
from dts_fsm.errors import InvalidOrcidError, ResourcesNotFoundError
from dts_fsm.records import SearchFileStatus, SearchParameters
from dts_fsm.records.checks import path_fault


@attrs.frozen(kw_only=True)
class JdpSite:
    """A database, and what its portal is known to have.

    Attributes:
        orcid: of a user of the portal.
        known_ids: of at least two files.
        word: by which a search finds something, and no more than a few hundred files.
    """

    database: JdpDatabase
    orcid: str
    known_ids: Sequence[str]
    word: str


class JdpCases:
    """Questions that are not too large for the real portal; nothing is staged."""

    @pytest.fixture
    def site(self) -> JdpSite:
        raise NotImplementedError("override the fixture 'site'")

    def _found(self, site: JdpSite, **parameters: object) -> list[str]:
        results = site.database.search(site.orcid, SearchParameters(query=site.word, **parameters))
        return [descriptor.id for descriptor in results.descriptors]

    def test_files_are_described_in_the_order_in_which_they_were_asked_for(self, site: JdpSite) -> None:
        for ids in (list(site.known_ids), list(site.known_ids)[::-1]):
            assert [found.id for found in site.database.descriptors(site.orcid, ids)] == ids

    def test_a_file_has_a_size_and_a_path_below_the_archive(self, site: JdpSite) -> None:
        for descriptor in site.database.descriptors(site.orcid, site.known_ids):
            assert descriptor.bytes is not None
            assert path_fault(descriptor.path or "") is None
            assert not (descriptor.path or "").startswith("global/")

    def test_ids_that_the_portal_does_not_have_are_all_listed_in_order(self, site: JdpSite) -> None:
        unknown = ["JDP:000000000000000000000000", "no id of the portal's", "JDP:ffffffffffffffffffffffff"]
        with pytest.raises(ResourcesNotFoundError) as caught:
            site.database.descriptors(site.orcid, [unknown[0], site.known_ids[0], *unknown[1:]])
        assert caught.value.resource_ids == tuple(unknown)

    def test_pages_are_together_the_whole(self, site: JdpSite) -> None:
        whole = self._found(site, limit=20)
        assert whole
        assert self._found(site, limit=10) + self._found(site, offset=10, limit=10) == whole

    def test_staged_files_and_others_are_different_ones(self, site: JdpSite) -> None:
        staged = self._found(site, status=SearchFileStatus.STAGED, limit=20)
        assert not set(staged) & set(self._found(site, status=SearchFileStatus.UNSTAGED, limit=20))

    def test_what_was_found_can_be_asked_for(self, site: JdpSite) -> None:
        found = self._found(site, limit=2)
        assert [descriptor.id for descriptor in site.database.descriptors(site.orcid, found)] == found

    def test_a_search_for_what_nobody_would_write_finds_nothing(self, site: JdpSite) -> None:
        parameters = SearchParameters(query="8c1f6e0b9d1e4f7fa2f1 c7b2")
        assert site.database.search(site.orcid, parameters).descriptors == ()

    def test_a_stranger_is_refused_before_the_portal_is_asked(self, site: JdpSite) -> None:
        with pytest.raises(InvalidOrcidError):
            site.database.search("nobody", SearchParameters())
