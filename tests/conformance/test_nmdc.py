"""The contract of databases, and NMDC's own cases, over a database of an NMDC on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dts_fsm.testing.json_service import served
from dts_fsm.testing.nmdc import NmdcService
from tests.conformance.nmdc_cases import NmdcCases, NmdcSite, WholeNmdcCases
from tests.servers.nmdc import CONTIGS, PASSWORD, PROTEINS, READS, SOIL, SPECTRUM, STUDY, USER, database, furnished


@pytest.fixture(params=["one page", "pages of one", "repeated rows"])
def site(request: pytest.FixtureRequest) -> Iterator[NmdcSite]:
    with served(furnished(NmdcService({USER: PASSWORD}))) as server:
        server.largest_page = None if request.param == "one page" else 1
        server.repeats = request.param == "repeated rows"
        nmdc = database(server)
        yield NmdcSite(
            database=nmdc,
            known_ids=[READS, CONTIGS, PROTEINS, SPECTRUM],
            study_id=STUDY,
            biosample_id=SOIL,
            word="reads",
            orcid="0000-0002-1825-0097",
        )
        nmdc.close()


class TestNmdc(NmdcCases):
    @pytest.fixture
    def site(self, site: NmdcSite) -> NmdcSite:
        return site


class TestNmdcAsADatabase(WholeNmdcCases):
    @pytest.fixture
    def site(self, site: NmdcSite) -> NmdcSite:
        return site
