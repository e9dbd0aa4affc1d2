"""The real JGI Data Portal: ``make live``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dts_fsm.config import DatabaseConfig, Secret
from dts_fsm.databases.jdp.database import JdpDatabase
from dts_fsm.testing import FakeEndpoint
from tests.conformance.jdp_cases import JdpCases, JdpSite
from tests.live.environment import told, told_list

pytestmark = pytest.mark.live


class TestLiveJdp(JdpCases):
    @pytest.fixture
    def site(self) -> Iterator[JdpSite]:
        config = DatabaseConfig(key="jdp", endpoints={"": "dtn"}, secret=Secret(told("JDP_SECRET")))
        database = JdpDatabase.from_config(config, endpoints={"dtn": FakeEndpoint("dtn")})
        yield JdpSite(database=database, orcid=told("JDP_ORCID"), known_ids=told_list("JDP_IDS"), word=told("JDP_WORD"))
        database.close()
