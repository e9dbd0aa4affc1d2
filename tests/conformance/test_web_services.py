"""The contract of databases, over the service that the integration guide describes, by real sockets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from dts_fsm.config import DatabaseConfig
from dts_fsm.databases.http.database import HttpDatabase
from dts_fsm.testing import ORCID, FakeDatabase, FakeEndpoint
from dts_fsm.testing.database_suite import DatabaseSuite
from dts_fsm.testing.http_database import ReferenceService, reference_service

IDS = [f"genome {number}/ä?&=#+%" for number in range(7)]


@pytest.fixture
def offered() -> FakeDatabase:
    """What the organization has: three of its files are on tape."""
    database = FakeDatabase("genomes", endpoint=FakeEndpoint("disk"), endpoint_name="disk", users={ORCID: "ada"})
    for number, file_id in enumerate(IDS):
        database.add(file_id, f"content {number}".encode(), path=f"run/{number}.fasta", staged=number > 2)
    database.add_inline("metadata", {"about": "all"})
    return database


@pytest.fixture
def service(offered: FakeDatabase) -> Iterator[ReferenceService]:
    with reference_service(offered) as service:
        yield service


class TestOverHttp(DatabaseSuite):
    @pytest.fixture(params=[{}, {"page_size": 2}])
    def database(self, service: ReferenceService, request: pytest.FixtureRequest) -> Iterator[HttpDatabase]:
        config = DatabaseConfig(key="genomes", endpoints={"": "disk"}, options={"url": service.url, **request.param})
        database = HttpDatabase.from_config(config, endpoints={"disk": FakeEndpoint("disk")})
        yield database
        database.close()

    @pytest.fixture
    def known_ids(self) -> Sequence[str]:
        return IDS

    @pytest.fixture
    def unstaged_ids(self) -> Sequence[str]:
        return IDS[:3]

    @pytest.fixture
    def orcid(self) -> str:
        return ORCID
