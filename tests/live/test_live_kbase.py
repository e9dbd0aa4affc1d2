"""KBase itself: ``make live``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dts_fsm.config import DatabaseConfig, Secret
from dts_fsm.databases.kbase import KBaseDatabase
from dts_fsm.testing import FakeEndpoint
from tests.conformance.kbase_cases import KBaseCases, KBaseSite
from tests.live.environment import told

pytestmark = pytest.mark.live


class TestLiveKBase(KBaseCases):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[KBaseSite]:
        users = tmp_path / "users.csv"
        users.write_text(f"{told('KBASE_ORCID')},{told('KBASE_USER')}\n", encoding="utf-8")
        config = DatabaseConfig(key="kbase", endpoints={"": "disk"}, options={"users": str(users)})
        database = KBaseDatabase.from_config(config, endpoints={"disk": FakeEndpoint("disk")})
        yield KBaseSite(database=database, token=Secret(told("KBASE_TOKEN")), username=told("KBASE_USER"))
        database.close()
