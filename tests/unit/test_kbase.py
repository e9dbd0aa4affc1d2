"""KBase as a destination: its users, and that it is nothing else."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dts_fsm.config import DatabaseConfig, Secret
from dts_fsm.databases.kbase import KBaseDatabase
from dts_fsm.errors import (
    InvalidDatabaseConfigError,
    InvalidOrcidError,
    PermanentError,
    SpecificationError,
    TransientError,
    UnauthorizedError,
)
from dts_fsm.interfaces import Database
from dts_fsm.records import SearchParameters, StagingStatus, User
from dts_fsm.testing import ORCID, FakeEndpoint, Rig
from dts_fsm.testing.kbase import KBaseService, kbase_service, person

OTHER = "0000-0001-5109-3700"
ME = person("ada", name="Ada Lovelace", orcids=(ORCID,), email="ada@example.org")


@pytest.fixture
def server() -> Iterator[KBaseService]:
    with kbase_service({"t0ken": ME}) as server:
        yield server


@pytest.fixture
def users(tmp_path: Path) -> Path:
    file = tmp_path / "users.csv"
    file.write_text(f"orcid,user\n{ORCID},ada\n", encoding="utf-8")
    return file


def made(options: Mapping[str, Any]) -> KBaseDatabase:
    config = DatabaseConfig(key="kbase", endpoints={"": "there"}, options=options)
    return KBaseDatabase.from_config(config, endpoints={"there": FakeEndpoint("there")})


@pytest.fixture
def kbase(server: KBaseService, users: Path) -> Iterator[KBaseDatabase]:
    database = made({"url": server.api_url, "users": str(users)})
    yield database
    database.close()


class TestTokens:
    def test_a_token_belongs_to_a_user_with_an_orcid(self, kbase: KBaseDatabase, server: KBaseService) -> None:
        found = kbase.user(Secret("t0ken"))
        assert (found.username, found.user) == (
            "ada",
            User(name="Ada Lovelace", orcid=ORCID, email="ada@example.org"),
        )
        assert server.requests[0].headers["authorization"] == "t0ken"

    def test_each_user_is_asked_for_by_their_own_token(self, kbase: KBaseDatabase, server: KBaseService) -> None:
        server.people["0ther"] = person("grace", name="", orcids=(OTHER,))
        found = [kbase.user(Secret(token)) for token in ("t0ken", "0ther", "t0ken")]
        assert [user.username for user in found] == ["ada", "grace", "ada"]
        assert found[1].user == User(name="grace", orcid=OTHER)

    def test_a_token_that_was_revoked_is_nobodys_from_then_on(self, kbase: KBaseDatabase, server: KBaseService) -> None:
        kbase.user(Secret("t0ken"))
        del server.people["t0ken"]
        with pytest.raises(UnauthorizedError, match="10020 Invalid token"):
            kbase.user(Secret("t0ken"))

    def test_the_first_orcid_counts_also_where_it_is_an_address(
        self, kbase: KBaseDatabase, server: KBaseService
    ) -> None:
        orcids = ("0000", f"https://orcid.org/{OTHER}", ORCID)
        server.people["t0ken"] = person("ada", name="Ada", orcids=orcids)
        assert kbase.user(Secret("t0ken")).user.orcid == OTHER

    def test_a_token_of_nobody_is_refused_and_not_shown(self, kbase: KBaseDatabase) -> None:
        with pytest.raises(UnauthorizedError, match="Invalid token") as caught:
            kbase.user(Secret("st0len"))
        assert "st0len" not in str(caught.value)

    def test_a_token_that_the_service_quotes_is_masked(self, kbase: KBaseDatabase, server: KBaseService) -> None:
        server.instead(status=400, value={"error": "what is t0ken"})
        with pytest.raises(PermanentError, match="what is") as caught:
            kbase.user(Secret("t0ken"))
        assert "t0ken" not in f"{caught.value!r} {caught.value.__cause__!r}"

    @pytest.mark.parametrize("token", ["", " ", "two words", "a\r\nX-Other: b", "t0k\u00e9n", "\ud800", "t" * 5000])
    def test_a_token_that_could_not_stand_in_a_header_is_not_sent(
        self, kbase: KBaseDatabase, server: KBaseService, token: str
    ) -> None:
        with pytest.raises(UnauthorizedError, match="cannot be one of KBase's") as caught:
            kbase.user(Secret(token))
        assert (server.requests, token.strip() in str(caught.value)) == ([], not token.strip())

    @pytest.mark.parametrize(
        "identities",
        [None, [], {}, ["OrcID"], [{"provider": "Google"}], [{"provider": "OrcID", "provusername": "0000"}]],
    )
    def test_a_user_without_an_orcid_is_asked_to_link_one(
        self, kbase: KBaseDatabase, server: KBaseService, identities: Any
    ) -> None:
        server.people["t0ken"] = {**ME, "idents": identities}
        with pytest.raises(UnauthorizedError, match="the user ada of KBase has no ORCID: link one"):
            kbase.user(Secret("t0ken"))

    @pytest.mark.parametrize("value", [[], None, {}, {**ME, "user": "../ada"}, {**ME, "user": 7}])
    def test_an_answer_that_names_nobody_is_refused(
        self, kbase: KBaseDatabase, server: KBaseService, value: Any
    ) -> None:
        server.people["t0ken"] = value
        with pytest.raises(PermanentError, match="KBase answers with"):
            kbase.user(Secret("t0ken"))

    def test_an_answer_that_is_no_json_is_refused(self, kbase: KBaseDatabase, server: KBaseService) -> None:
        server.instead(value=b"<html>Just a moment...</html>")
        with pytest.raises(PermanentError, match="something else than JSON"):
            kbase.user(Secret("t0ken"))

    def test_a_service_that_is_down_may_be_up_later(self, kbase: KBaseDatabase, server: KBaseService) -> None:
        server.instead(status=503, times=9)
        with pytest.raises(TransientError):
            kbase.user(Secret("t0ken"))

    def test_a_silent_service_is_not_waited_for_longer_than_was_said(self, server: KBaseService, users: Path) -> None:
        kbase = made({"url": server.api_url, "users": str(users), "read_timeout_s": 0.05})
        server.instead(delay_s=5.0, times=9)
        with pytest.raises(TransientError):
            kbase.user(Secret("t0ken"))
        kbase.close()

    def test_the_address_of_the_whole_request_will_do(self, server: KBaseService, users: Path) -> None:
        kbase = made({"base_url": f"{server.api_url}me", "users": str(users)})
        assert kbase.user(Secret("t0ken")).username == "ada"
        kbase.close()


class TestUsers:
    def test_the_file_is_read_again_when_it_changes(self, kbase: KBaseDatabase, users: Path) -> None:
        assert kbase.local_user(ORCID) == "ada"
        with pytest.raises(InvalidOrcidError, match="add it to users.csv"):
            kbase.local_user(OTHER)
        later = users.with_name("later")
        later.write_text(f"{ORCID},augusta\n{OTHER},charles\n", encoding="utf-8")
        os.replace(later, users)
        assert [kbase.local_user(ORCID), kbase.local_user(OTHER)] == ["augusta", "charles"]

    def test_a_file_that_was_never_right_says_where_it_is_wrong(self, kbase: KBaseDatabase, users: Path) -> None:
        users.write_text(f"{ORCID},../ada\n", encoding="utf-8")
        with pytest.raises(InvalidDatabaseConfigError, match="cannot be the name of a folder"):
            kbase.local_user(ORCID)
        users.unlink()
        with pytest.raises(InvalidDatabaseConfigError, match="the users file does not exist"):
            kbase.local_user(ORCID)

    @pytest.mark.parametrize(
        ("content", "fault"),
        [
            (f"{OTHER},charles\n{ORCID},../ada\n", "users.csv:2: the local user '../ada' cannot be"),
            (f"{OTHER},charles\n{ORCID}\n", "users.csv:2: the line needs an ORCID and a user"),
            ("\ufffe\ud800", "it is not UTF-8"),
            (None, "it is not there"),
        ],
    )
    def test_while_a_new_file_has_a_fault_the_former_one_counts_and_that_is_said_once(
        self, kbase: KBaseDatabase, users: Path, caplog: pytest.LogCaptureFixture, content: str | None, fault: str
    ) -> None:
        assert kbase.local_user(ORCID) == "ada"
        users.unlink()
        if content is not None:
            users.write_bytes(content.encode("utf-8", "surrogatepass"))
        for _ in range(3):
            assert kbase.local_user(ORCID) == "ada"
            with pytest.raises(InvalidOrcidError, match="its former content counts, for it has a fault: see the log$"):
                kbase.local_user(OTHER)
        assert [(record.levelname, fault in record.fault) for record in caplog.records] == [("WARNING", True)]
        users.write_text(f"{OTHER},charles\n", encoding="utf-8")
        assert kbase.local_user(OTHER) == "charles"
        with pytest.raises(InvalidOrcidError, match="add it to users.csv$"):
            kbase.local_user(ORCID)

    def test_threads_see_the_former_or_the_new_file_and_never_a_part(self, kbase: KBaseDatabase, users: Path) -> None:
        orcids = [f"0000-0000-0000-{number:04}" for number in range(200)]

        def write(user: str) -> None:
            later = users.with_name("later")
            later.write_text("".join(f"{orcid},{user}\n" for orcid in orcids), encoding="utf-8")
            os.replace(later, users)

        write("user0")
        ended = threading.Event()

        def read() -> list[str]:
            seen = []
            while not ended.is_set():
                seen += [kbase.local_user(orcids[0]), kbase.local_user(orcids[-1])]
            return seen

        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            for number in range(20):
                write(f"user{number}" if number % 3 else "../broken")
            write("user99")
            ended.set()
            seen = [int(user.removeprefix("user")) for reader in readers for user in reader.result()]
        assert kbase.local_user(orcids[7]) == "user99"
        assert [user for user in seen if user % 3 == 0 and user not in (0, 99)] == []

    def test_the_file_of_dts_is_found_in_its_data_directory(self, tmp_path: Path) -> None:
        # KBase's own has the name first, and a third column
        text = f"username,orcid,globus_id\nada,{ORCID},5b2f36a0-9f44-4b0a-8e6a-1d3f3d1c2b47\n"
        (tmp_path / "kbase_user_orcids.csv").write_text(text, encoding="utf-8")
        kbase = made({"data_directory": str(tmp_path)})
        assert kbase.local_user(ORCID) == "ada"

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("users.csv", f"# without a header\nada,{ORCID}\ngrace,{OTHER}\n"),
            ("users.tsv", f"orcid\tuser\tnote\n{ORCID}\tada\ta, b\n{OTHER}\tgrace\t\n"),
            ("users.json", json.dumps({ORCID: "ada", OTHER: "grace"})),
            ("users.json", json.dumps([{"orcid": ORCID, "username": "ada"}, {"orcid": OTHER, "user": "grace"}])),
        ],
    )
    def test_the_file_may_be_csv_tsv_or_json(self, tmp_path: Path, name: str, text: str) -> None:
        (tmp_path / name).write_text(text, encoding="utf-8")
        kbase = made({"users": str(tmp_path / name)})
        assert [kbase.local_user(ORCID), kbase.local_user(OTHER)] == ["ada", "grace"]

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
        with pytest.raises(SpecificationError, match="'kbase' only receives: it has no files"):
            kbase.search(ORCID, SearchParameters())
        with pytest.raises(SpecificationError, match="cannot be searched or be a source; name it as the destination"):
            kbase.descriptors(ORCID, ["a", "b"])
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
            ({"users": "u", "delete_after": 7}, {"": "there"}, "delete_after"),
            ({"users": "u", "read_timeout_s": -1.0}, {"": "there"}, "read_timeout_s"),
            ({"users": "u", "ca_file": "/nowhere.pem"}, {"": "there"}, "ca_file"),
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
