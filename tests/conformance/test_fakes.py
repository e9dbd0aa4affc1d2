"""The fakes keep the same contracts as what they stand for, so that a test that passes with them means something."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dts_fsm.testing import ORCID, FakeDatabase, FakeEndpoint
from dts_fsm.testing.database_suite import DatabaseSuite
from dts_fsm.testing.endpoint_pair import EndpointPair
from dts_fsm.testing.endpoint_suite import EndpointSuite


class TestFakeEndpoint(EndpointSuite):
    @pytest.fixture
    def pair(self) -> EndpointPair:
        source, destination = FakeEndpoint("source"), FakeEndpoint("destination")

        def read(path: str) -> bytes | None:
            file = destination.files.get(path)
            return None if file is None else file.content

        def restart() -> FakeEndpoint:
            source.forget()
            return source

        return EndpointPair(source=source, destination=destination, put=source.put, read=read, restart=restart)


class TestFakeDatabase(DatabaseSuite):
    @pytest.fixture
    def database(self) -> FakeDatabase:
        database = FakeDatabase(
            "genomes", endpoint=FakeEndpoint(), endpoint_name="disk", users={ORCID: "ada"}, staging_duration_s=0.01
        )
        for name in ("plasmid", "chloroplast", "reads"):
            database.add(name, f"content of {name}".encode(), path=f"{name}/{name}.fa")
        database.add("tape", b"from tape", staged=False)
        database.add_inline("meta", {"depth": 3})
        return database

    @pytest.fixture
    def known_ids(self) -> Sequence[str]:
        return ["plasmid", "chloroplast", "tape"]

    @pytest.fixture
    def unstaged_ids(self) -> Sequence[str]:
        return ["tape"]

    @pytest.fixture
    def orcid(self) -> str:
        return ORCID
