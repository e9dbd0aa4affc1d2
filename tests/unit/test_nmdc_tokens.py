"""Tokens of NMDC: asked for by a password, replaced before they expire and after a refusal, by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dts_fsm.config import Secret
from dts_fsm.databases.nmdc import NmdcDatabase
from dts_fsm.databases.nmdc.tokens import Tokens
from dts_fsm.errors import PermanentError, TransientError, UnauthorizedError
from dts_fsm.testing import ORCID
from dts_fsm.testing.json_service import served
from dts_fsm.testing.nmdc import NmdcService
from dts_fsm.testing.scripted_service import form
from dts_fsm.web import HttpClient
from tests.servers.nmdc import PASSWORD, READS, USER, database, furnished

HOUR_S, DAY_S = 3600.0, 86400.0


@pytest.fixture
def server() -> Iterator[NmdcService]:
    with served(furnished(NmdcService({USER: PASSWORD}))) as server:
        yield server


@pytest.fixture
def client(server: NmdcService) -> Iterator[HttpClient]:
    client = HttpClient(server.url, name="NMDC", retries=0)
    yield client
    client.close()


@pytest.fixture
def nmdc(server: NmdcService) -> Iterator[NmdcDatabase]:
    nmdc = database(server)
    yield nmdc
    nmdc.close()


class Time:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def tokens(client: HttpClient, time: Time) -> Tokens:
    return Tokens(client, user=USER, password=Secret(PASSWORD), now=time)


class TestAsking:
    def test_nothing_is_asked_before_a_token_is_needed(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        nmdc.local_user(ORCID)
        assert server.requests == []

    def test_user_and_password_are_sent_as_a_form_without_a_slash_at_the_end(
        self, server: NmdcService, tokens: Tokens
    ) -> None:
        tokens.token()
        asked = server.requests[0]
        assert (
            asked.method,
            asked.path,
            asked.headers["content-type"],
        ) == ("POST", "token", "application/x-www-form-urlencoded")
        assert form(asked) == {"grant_type": "password", "username": USER, "password": PASSWORD}

    def test_one_token_does_for_many_requests(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        for _ in range(3):
            nmdc.descriptors(ORCID, [READS])
        assert server.num_tokens == 1

    def test_a_wrong_password_is_refused_with_what_nmdc_says_and_not_shown(self, server: NmdcService) -> None:
        nmdc = database(server, password=Secret("swordfish"))
        with pytest.raises(UnauthorizedError, match="NMDC answered 401 .*Incorrect username or password") as caught:
            nmdc.descriptors(ORCID, [READS])
        assert "swordfish" not in str(caught.value)
        nmdc.close()

    def test_a_password_that_nmdc_quotes_is_masked(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        server.instead("token", status=422, value={"detail": [{"input": {"password": PASSWORD}}]})
        with pytest.raises(PermanentError, match="422") as caught:
            nmdc.descriptors(ORCID, [READS])
        assert PASSWORD not in str(caught.value)

    @pytest.mark.parametrize(
        "value",
        [
            None,
            [],
            "token",
            {},
            {"access_token": None},
            {"access_token": ""},
            {"access_token": 7},
            {"access_token": "two words"},
            {"access_token": "line\r\nX-Other: 1"},
            {"access_token": "t" * 9000},
            b"<html>",
        ],
    )
    def test_an_answer_without_a_token_that_could_stand_in_a_header_is_refused(
        self, server: NmdcService, tokens: Tokens, value: Any
    ) -> None:
        server.instead("token", value=value)
        with pytest.raises(PermanentError, match="NMDC answered .* without a token|something else than JSON"):
            tokens.token()

    def test_a_service_that_is_down_may_be_up_later(self, server: NmdcService, tokens: Tokens) -> None:
        server.instead("token", status=503)
        with pytest.raises(TransientError):
            tokens.token()
        assert tokens.token().reveal().startswith("token.")


class TestExpiry:
    def test_a_token_is_replaced_before_it_expires(self, server: NmdcService, tokens: Tokens, time: Time) -> None:
        first = tokens.token()
        time.now_s += DAY_S - 121
        assert first is tokens.token()
        time.now_s += 2
        assert first != tokens.token()
        assert server.num_tokens == 2

    def test_a_short_life_is_used_by_half(self, server: NmdcService, tokens: Tokens, time: Time) -> None:
        server.expires = {"days": 0, "hours": 0, "minutes": 1}
        first = tokens.token()
        time.now_s += 29
        assert first is tokens.token()
        time.now_s += 2
        assert first != tokens.token()

    @pytest.mark.parametrize(
        "expires",
        [None, {}, [], 7, {"days": -1}, {"hours": 0}, {"days": "1"}, {"days": True}, {"minutes": 10**400}],
    )
    def test_a_life_that_is_not_said_or_not_to_be_believed_lasts_until_a_refusal(
        self, server: NmdcService, tokens: Tokens, time: Time, expires: Any
    ) -> None:
        server.expires = expires
        first = tokens.token()
        time.now_s += 1000 * DAY_S
        assert first is tokens.token()

    def test_when_there_is_no_new_token_the_old_one_is_used_until_its_end(
        self, server: NmdcService, tokens: Tokens, time: Time
    ) -> None:
        server.expires = {"hours": 1}
        first = tokens.token()
        server.instead("token", status=503, times=2)
        time.now_s += HOUR_S - 60
        assert first is tokens.token()
        assert first is tokens.token()
        assert len(server.requests) == 2  # it is not asked at each request
        time.now_s += 61
        with pytest.raises(TransientError):
            tokens.token()
        assert first != tokens.token()


class TestRefusals:
    def test_a_refused_token_is_replaced_once_and_the_request_made_again(
        self, server: NmdcService, nmdc: NmdcDatabase
    ) -> None:
        nmdc.descriptors(ORCID, [READS])
        server.expire_tokens()
        assert nmdc.descriptors(ORCID, [READS])[0].id == READS
        assert server.num_tokens == 2

    def test_a_service_that_refuses_what_it_has_just_given_is_not_asked_for_ever(
        self, server: NmdcService, nmdc: NmdcDatabase
    ) -> None:
        server.instead("nmdcschema", status=401, value={"detail": "no"}, times=9)
        with pytest.raises(UnauthorizedError, match="NMDC answered 401"):
            nmdc.descriptors(ORCID, [READS])
        assert (server.num_tokens, len(server.asked_for("nmdcschema"))) == (2, 2)

    def test_what_is_forbidden_is_not_asked_for_again(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        server.instead("nmdcschema", status=403, value={"detail": "not for you"}, times=9)
        with pytest.raises(UnauthorizedError, match="not for you"):
            nmdc.descriptors(ORCID, [READS])
        assert (server.num_tokens, len(server.asked_for("nmdcschema"))) == (1, 1)

    def test_a_token_that_a_service_quotes_is_masked(self, server: NmdcService, nmdc: NmdcDatabase) -> None:
        said = f"what is token.1.of-{USER} doing here"
        server.instead("nmdcschema", status=400, value={"detail": said})
        with pytest.raises(PermanentError, match="what is .* doing here") as caught:
            nmdc.descriptors(ORCID, [READS])
        assert f"token.1.of-{USER}" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


class TestThreads:
    def test_many_threads_ask_for_one_token(self, server: NmdcService, tokens: Tokens) -> None:
        together = threading.Barrier(8, timeout=20)

        def ask() -> Secret:
            together.wait()
            return tokens.token()

        with ThreadPoolExecutor(8) as pool:
            found = {future.result() for future in [pool.submit(ask) for _ in range(8)]}
        assert (len(found), server.num_tokens) == (1, 1)

    def test_many_threads_whose_token_is_refused_get_one_new_one(self, server: NmdcService, tokens: Tokens) -> None:
        old = tokens.token()
        together = threading.Barrier(8, timeout=20)

        def renew() -> Secret:
            together.wait()
            return tokens.renewed(old)

        with ThreadPoolExecutor(8) as pool:
            found = {future.result() for future in [pool.submit(renew) for _ in range(8)]}
        assert (len(found), server.num_tokens) == (1, 2)
        assert old not in found

    def test_a_thread_that_comes_late_with_a_refused_token_gets_the_new_one(
        self, server: NmdcService, tokens: Tokens
    ) -> None:
        old = tokens.token()
        new = tokens.renewed(old)
        assert tokens.renewed(old) is new
        assert server.num_tokens == 2

    def test_a_refused_token_that_another_thread_could_not_replace_is_not_given_again(
        self, server: NmdcService, tokens: Tokens, time: Time
    ) -> None:
        old = tokens.token()
        time.now_s += DAY_S - 60
        server.instead("token", status=503, delay_s=0.5)
        with ThreadPoolExecutor(2) as pool:
            early = pool.submit(tokens.token)
            while len(server.requests) < 2:
                threading.Event().wait(0.001)
            late = pool.submit(tokens.renewed, old)
            assert early.result() is old
            with pytest.raises(TransientError, match="refuses its own token, and gives no new one now"):
                late.result()

    def test_threads_that_have_waited_for_a_refusal_do_not_ask_again(self, server: NmdcService, tokens: Tokens) -> None:
        asking = threading.Event()
        server.instead("token", status=401, value={"detail": "no"}, delay_s=0.5, times=9)

        def ask(first: bool) -> str:
            if first:
                asking.set()
            else:
                asking.wait(20)
            with pytest.raises(UnauthorizedError) as caught:
                tokens.token()
            return str(caught.value)

        with ThreadPoolExecutor(6) as pool:
            said = {future.result() for future in [pool.submit(ask, index == 0) for index in range(6)]}
        assert (len(said), len(server.requests)) == (1, 1)
