"""NMDC itself: ``make live``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dts_fsm.config import Credential, DatabaseConfig, Secret
from dts_fsm.databases.nmdc import NmdcDatabase
from dts_fsm.testing import ORCID, FakeEndpoint
from tests.conformance.nmdc_cases import NmdcCases, NmdcSite
from tests.live.environment import told, told_list

pytestmark = pytest.mark.live


class TestLiveNmdc(NmdcCases):
    @pytest.fixture
    def site(self) -> Iterator[NmdcSite]:
        config = DatabaseConfig(
            key="nmdc",
            endpoints={"nersc": "nersc", "emsl": "emsl"},
            credential=Credential(name="nmdc", id=told("NMDC_USER"), secret=Secret(told("NMDC_PASSWORD"))),
        )
        endpoints = {name: FakeEndpoint(name) for name in ("nersc", "emsl")}
        database = NmdcDatabase.from_config(config, endpoints=endpoints)
        yield NmdcSite(
            database=database,
            known_ids=told_list("NMDC_IDS"),
            study_id=told("NMDC_STUDY"),
            biosample_id=told("NMDC_BIOSAMPLE"),
            word=told("NMDC_WORD"),
            orcid=ORCID,
        )
        database.close()
