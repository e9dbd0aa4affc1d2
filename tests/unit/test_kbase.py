"""KBase as a destination: its users, and that it is nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dts_fsm.config import DatabaseConfig, Secret
from dts_fsm.databases.kbase import KBaseDatabase
from dts_fsm.errors import (
    InvalidDatabaseConfigError,
    InvalidOrcidError,
    InvalidSearchParameterError,
    PermanentError,
    ResourcesNotFoundError,
    TransientError,
    UnauthorizedError,
)
from dts_fsm.interfaces import Database
from dts_fsm.records import SearchParameters, StagingStatus, User
from dts_fsm.testing import ORCID, FakeEndpoint, Rig
from tests.servers.web import Handler, Request, WebServer, serving

OTHER = "0000-0001-5109-3700"
ME = {
    "user": "ada",
    "display": "Ada Lovelace",
    "email": "ada@example.org",
    "idents": [
        {"provider": "Google", "provusername": "ada@example.org", "id": "1"},
        {"provider": "OrcID", "provusername": ORCID, "id": "2"},
    ],
    "roles": [],
}


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving() as server:

        def answer(handler: Handler, request: Request) -> None:
            if request.headers.get("authorization") != "t0ken":
                handler.answer(401, b'{"error": {"message": "10020 Invalid token"}}')
            else:
                handler.answer(200, json.dumps(ME).encode())

        server.answers["/api/V2/me"] = answer
        yield server


@pytest.fixture
def users(tmp_path: Path) -> Path:
    file = tmp_path / "users.csv"
    file.write_text(f"orcid,user\n{ORCID},ada\n", encoding="utf-8")
    return file


@pytest.fixture
def kbase(server: WebServer, users: Path) -> Iterator[KBaseDatabase]:
    config = DatabaseConfig(
        key="kbase", endpoints={"": "there"}, options={"url": f"{server.url}/api/V2/", "users": str(users)}
    )
    database = KBaseDatabase.from_config(config, endpoints={"there": FakeEndpoint("there")})
    yield database
    database.close()


class TestTokens:
    def test_a_token_belongs_to_a_user_with_an_orcid(self, kbase: KBaseDatabase) -> None:
        found = kbase.user(Secret("t0ken"))
        assert (found.username, found.user) == (
            "ada",
            User(name="Ada Lovelace", orcid=ORCID, email="ada@example.org"),
        )

    def test_a_token_of_nobody_is_refused_and_not_shown(self, kbase: KBaseDatabase) -> None:
        with pytest.raises(UnauthorizedError, match="Invalid token") as caught:
            kbase.user(Secret("st0len"))
        assert "st0len" not in str(caught.value)

    @pytest.mark.parametrize(
        "identities",
        [None, [], {}, ["OrcID"], [{"provider": "Google"}], [{"provider": "OrcID", "provusername": "0000"}]],
    )
    def test_a_user_without_an_orcid_is_asked_to_link_one(
        self, kbase: KBaseDatabase, server: WebServer, identities: Any
    ) -> None:
        server.says("/api/V2/me", 200, json.dumps({**ME, "idents": identities}).encode())
        with pytest.raises(UnauthorizedError, match="the user ada of KBase has no ORCID: link one"):
            kbase.user(Secret("t0ken"))

    @pytest.mark.parametrize("value", [[], None, {}, {**ME, "user": "../ada"}, {**ME, "user": 7}])
    def test_an_answer_that_names_nobody_is_refused(self, kbase: KBaseDatabase, server: WebServer, value: Any) -> None:
        server.says("/api/V2/me", 200, json.dumps(value).encode())
        with pytest.raises(PermanentError, match="KBase answers with"):
            kbase.user(Secret("t0ken"))

    def test_a_service_that_is_down_may_be_up_later(self, kbase: KBaseDatabase, server: WebServer) -> None:
        server.says("/api/V2/me", 503)
        with pytest.raises(TransientError):
            kbase.user(Secret("t0ken"))


class TestUsers:
    def test_the_file_is_read_again_when_it_changes(self, kbase: KBaseDatabase, users: Path) -> None:
        assert kbase.local_user(ORCID) == "ada"
        with pytest.raises(InvalidOrcidError, match="add it to users.csv"):
            kbase.local_user(OTHER)
        later = users.with_name("later")
        later.write_text(f"{ORCID},augusta\n{OTHER},charles\n", encoding="utf-8")
        os.replace(later, users)
        assert [kbase.local_user(ORCID), kbase.local_user(OTHER)] == ["augusta", "charles"]

    def test_a_file_that_is_wrong_says_where(self, kbase: KBaseDatabase, users: Path) -> None:
        users.write_text(f"{ORCID},../ada\n", encoding="utf-8")
        with pytest.raises(InvalidDatabaseConfigError, match="cannot be the name of a folder"):
            kbase.local_user(ORCID)

    @pytest.mark.parametrize("orcid", ["", "0000", "0000-0002-1825-009x"])
    def test_what_is_no_orcid_is_nobody(self, kbase: KBaseDatabase, orcid: str) -> None:
        with pytest.raises(InvalidOrcidError):
            kbase.local_user(orcid)


class TestBeingNoSource:
    def test_it_has_every_method_of_a_database(self, kbase: KBaseDatabase) -> None:
        assert isinstance(kbase, Database)
        assert kbase.endpoint_names() == ["there"]
        assert kbase.specific_search_parameters() == {}

    def test_it_says_so(self, kbase: KBaseDatabase) -> None:
        with pytest.raises(InvalidSearchParameterError, match="it only receives"):
            kbase.search(ORCID, SearchParameters())
        with pytest.raises(ResourcesNotFoundError) as caught:
            kbase.descriptors(ORCID, ["a", "b"])
        assert caught.value.resource_ids == ("a", "b")
        with pytest.raises(PermanentError, match="only receives"):
            kbase.stage_files(ORCID, ["a"], request_id=uuid4())
        request = uuid4()
        assert kbase.staging_status([request]) == {request: StagingStatus.UNKNOWN}
        kbase.finalize(ORCID, request)


class TestConfiguration:
    @pytest.mark.parametrize(
        ("options", "endpoints", "key"),
        [
            ({}, {"": "there"}, "users"),
            ({"users": "u", "url": "kbase"}, {"": "there"}, "url"),
            ({"users": "u", "what": 1}, {"": "there"}, "what"),
            ({"users": "u"}, {"a": "there", "b": "here"}, "endpoint"),
            ({"users": "u"}, {"": "nowhere"}, "endpoint"),
        ],
    )
    def test_what_is_wrong_is_named(self, options: dict[str, Any], endpoints: dict[str, str], key: str) -> None:
        config = DatabaseConfig(key="kbase", endpoints=endpoints, options=options)
        known = {"there": FakeEndpoint("there"), "here": FakeEndpoint("here")}
        with pytest.raises(InvalidDatabaseConfigError) as caught:
            KBaseDatabase.from_config(config, endpoints=known)
        assert caught.value.key == f"databases.kbase.{key}"

    def test_it_needs_no_url(self, users: Path) -> None:
        config = DatabaseConfig(key="kbase", endpoints={"": "there"}, options={"users": str(users)})
        database = KBaseDatabase.from_config(config, endpoints={"there": FakeEndpoint("there")})
        assert database.local_user(ORCID) == "ada"
        database.close()


def test_a_transfer_is_delivered_to_its_user(rig: Rig, kbase: KBaseDatabase) -> None:
    kbase._endpoint_name = "destination"
    rig.databases["destination"] = kbase
    transfer = rig.create("a")
    assert rig.run(transfer).code == "succeeded"
    assert any(path.startswith("ada/dts-") for path in rig.destination_endpoint.files)
