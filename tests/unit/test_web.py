"""The HTTP client, against a server that does whatever servers do when they are bad, and says what it was asked."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dts_fsm.config import Secret
from dts_fsm.errors import (
    ConfigurationError,
    DowngradedRedirectError,
    PermanentError,
    TransientError,
    UnauthorizedError,
    UnavailableError,
)
from dts_fsm.web import Answer, HttpClient
from tests.servers.web import Authority, Handler, Request, WebServer, authority, free_port, serving

TOKEN = Secret("s3cr3t-t0ken")

Respond = Callable[[Handler, Request], None]


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving() as server:
        yield server


@pytest.fixture
def other() -> Iterator[WebServer]:
    with serving() as server:
        yield server


@pytest.fixture
def client(server: WebServer) -> Iterator[HttpClient]:
    client = client_of(server)
    yield client
    client.close()


def client_of(server: WebServer, **options: object) -> HttpClient:
    given = {"name": "genomes", "headers": lambda: {"Authorization": TOKEN}, "read_timeout_s": 0.5, **options}
    return HttpClient(server.url, **given)  # type: ignore[arg-type]


def answers(status: int, body: bytes = b"", **headers: str) -> Respond:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: handler.answer(status, body, named)


def breaks_off(handler: Handler, _: Request) -> None:
    handler.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly so much")


def hangs_up(handler: Handler, _: Request) -> None:
    handler.raw(b"")


class TestAnswers:
    def test_an_answer_has_status_headers_and_body(self, server: WebServer, client: HttpClient) -> None:
        server.says("/files", 200, b'{"a": 1}', {"X-Page": "2"})
        answer = client.request("GET", "files", params={"q": "ä b", "id": ["1", "2"], "none": None})
        assert (answer.status, answer.json(), answer.headers["x-page"]) == (200, {"a": 1}, "2")
        assert answer.url == f"{server.url}/files"
        assert server.requests[0].path == "/files?q=%C3%A4+b&id=1&id=2"
        assert server.requests[0].headers["authorization"] == TOKEN.reveal()

    def test_json_and_forms_are_sent_as_what_they_are(self, server: WebServer, client: HttpClient) -> None:
        server.says("/login", 201)
        client.request("POST", "/login", json_body={"ids": ["ä"]})
        client.request("POST", "/login", form={"user": "ada", "password": Secret("a&b")})
        sent = [(request.headers["content-type"], request.body) for request in server.requests]
        assert sent == [
            ("application/json", b'{"ids": ["\\u00e4"]}'),
            ("application/x-www-form-urlencoded", b"user=ada&password=a%26b"),
        ]

    def test_a_path_with_a_colon_is_a_path(self, server: WebServer, client: HttpClient) -> None:
        server.says("/JDP:1", 200, b"found")
        assert client.request("GET", "JDP:1").body == b"found"

    def test_a_status_that_is_expected_is_an_answer(self, server: WebServer, client: HttpClient) -> None:
        server.says("/x", 404, b"null")
        assert client.request("GET", "x", accept=(404,)).status == 404

    def test_what_is_no_json_is_refused(self) -> None:
        with pytest.raises(PermanentError, match="https://e.org/x answered with something else than JSON"):
            Answer(status=200, headers={}, body=b"<html>", url="https://e.org/x").json()
        with pytest.raises(PermanentError, match="something else than JSON"):
            Answer(status=200, headers={}, body=b"[" * 100_000, url="https://e.org/x").json()

    def test_a_stream_comes_in_bounded_pieces(self, server: WebServer, client: HttpClient) -> None:
        content = bytes(range(256)) * 4000
        server.says("/big", 200, content)
        with client.stream("big", piece_bytes=10_000) as stream:
            pieces = list(stream.pieces)
        assert b"".join(pieces) == content
        assert max(map(len, pieces)) <= 10_000

    def test_a_stream_that_is_left_early_spoils_nothing(self, server: WebServer, client: HttpClient) -> None:
        server.says("/big", 200, b"x" * 5_000_000)
        server.says("/small", 200, b"small")
        with client.stream("big") as stream:
            assert next(iter(stream.pieces))[:1] == b"x"
        assert client.request("GET", "small").body == b"small"


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, PermanentError),
            (401, UnauthorizedError),
            (403, UnauthorizedError),
            (404, PermanentError),
            (429, TransientError),
            (500, TransientError),
            (503, TransientError),
            (599, PermanentError),
        ],
    )
    def test_each_status_is_the_error_that_it_means(
        self, server: WebServer, status: int, error: type[Exception]
    ) -> None:
        server.says("/x", status, b"the  reason\n is this")
        with pytest.raises(error, match=f"genomes answered {status} .* at {server.url}/x: the reason is this"):
            client_of(server, retries=0).request("GET", "x", params={"key": "not shown"})

    def test_no_secret_is_in_an_error_even_if_the_server_tells_it(self, server: WebServer) -> None:
        server.answers["/x"] = lambda handler, request: handler.answer(
            400, f"{request.headers} {request.path}".encode()
        )
        client = client_of(server, secrets=[Secret("key-9876")])
        with pytest.raises(PermanentError) as caught:
            client.request("GET", "x", params={"key": "key-9876"}, headers={"X-Other": Secret("an0ther")})
        text = str(caught.value)
        assert [secret in text for secret in (TOKEN.reveal(), "key-9876", "an0ther")] == [False, False, False]
        assert "***" in text

    def test_a_secret_that_no_header_can_have_is_not_shown(self, server: WebServer) -> None:
        client = client_of(server, headers=lambda: {"Authorization": Secret("line\nbreak")})
        with pytest.raises(PermanentError, match="genomes cannot be asked: ValueError"):
            client.request("GET", "x")

    def test_nobody_there_is_unavailable(self) -> None:
        client = HttpClient(f"http://127.0.0.1:{free_port()}", name="genomes", retries=0)
        with pytest.raises(UnavailableError, match=r"genomes at 127\.0\.0\.1 cannot be reached"):
            client.request("GET", "x")

    def test_an_answer_that_is_no_http_is_unavailable(self, server: WebServer) -> None:
        server.answers["/x"] = lambda handler, _: handler.raw(b"SSH-2.0-OpenSSH_9.2\r\n")
        with pytest.raises(UnavailableError, match="cannot be reached"):
            client_of(server, retries=0).request("GET", "x")

    def test_a_body_that_is_too_long_is_refused(self, server: WebServer) -> None:
        server.says("/x", 200, b"x" * 2000)
        with pytest.raises(PermanentError, match="answered with more than 1000 bytes"):
            client_of(server, max_body_bytes=1000).request("GET", "x")

    def test_a_body_that_nobody_asked_to_be_compressed_is_refused(self, server: WebServer, client: HttpClient) -> None:
        server.says("/x", 200, gzip.compress(b"0" * 10_000_000), {"Content-Encoding": "gzip"})
        with pytest.raises(PermanentError, match="in the encoding 'gzip', which nobody asked for"):
            client.request("GET", "x")
        assert server.requests[0].headers["accept-encoding"] == "identity"

    @pytest.mark.parametrize(
        "url", ["ftp://e.org", "e.org", "https://", "https://e.org:port", "https://[e.org", "", "https://e.org:0"]
    )
    def test_what_is_no_url_is_a_fault_of_the_configuration(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="must be a URL such as"):
            HttpClient(url)

    @pytest.mark.parametrize("url", ["https://ada:pa55@e.org", "https://ada:pa55@e.org:port"])
    def test_a_password_in_the_url_is_refused_and_not_shown(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            HttpClient(url)
        assert "pa55" not in str(caught.value)


class TestTime:
    def test_a_silent_server_is_unavailable(self, server: WebServer) -> None:
        server.answers["/x"] = lambda *_: time.sleep(1.0)
        began_s = time.monotonic()
        with pytest.raises(UnavailableError, match="cannot be reached: .*timed out"):
            client_of(server, read_timeout_s=0.1, retries=0).request("GET", "x")
        assert time.monotonic() - began_s < 0.9

    def test_a_body_of_single_bytes_is_silence(self, server: WebServer) -> None:
        def drip(handler: Handler, _: Request) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            for _ in range(1000):
                handler.wfile.write(b"x")
                time.sleep(0.02)

        server.answers["/x"] = drip
        with pytest.raises(UnavailableError, match=f"the answer of {server.url}/x is too slow"):
            client_of(server, read_timeout_s=0.2, retries=0).request("GET", "x")


class TestRetries:
    @pytest.mark.parametrize("fault", [answers(503), answers(429), hangs_up, breaks_off])
    def test_what_only_reads_is_asked_again(self, server: WebServer, client: HttpClient, fault: Respond) -> None:
        server.in_turn("/x", fault, answers(200, b"here"))
        assert client.request("GET", "x").body == b"here"
        assert len(server.requests) == 2

    def test_a_body_that_always_breaks_off_is_given_up(self, server: WebServer, client: HttpClient) -> None:
        server.answers["/x"] = breaks_off
        with pytest.raises(UnavailableError, match=f"the answer of {server.url}/x broke off"):
            client.request("GET", "x")
        assert len(server.requests) == 2

    def test_a_stream_that_breaks_off_says_so_and_is_not_repeated(self, server: WebServer, client: HttpClient) -> None:
        server.answers["/x"] = breaks_off
        with pytest.raises(UnavailableError, match="broke off"), client.stream("x") as stream:
            list(stream.pieces)
        assert len(server.requests) == 1

    @pytest.mark.parametrize("fault", [answers(503), hangs_up, breaks_off])
    def test_a_post_may_have_been_done_and_is_not_repeated(
        self, server: WebServer, client: HttpClient, fault: Respond
    ) -> None:
        server.in_turn("/x", fault, answers(201))
        with pytest.raises(TransientError):
            client.request("POST", "x", json_body={})
        assert len(server.requests) == 1

    def test_a_post_that_carries_an_id_is_repeated(self, server: WebServer, client: HttpClient) -> None:
        server.in_turn("/x", hangs_up, answers(502), answers(201))
        assert client.request("POST", "x", json_body={"id": 1}, safe=True).status == 201
        assert [request.body for request in server.requests] == [b'{"id": 1}'] * 3

    def test_retries_have_an_end(self, server: WebServer) -> None:
        server.says("/x", 503)
        with pytest.raises(TransientError, match="genomes answered 503"):
            client_of(server, retries=2).request("GET", "x")
        assert len(server.requests) == 3

    def test_a_pause_that_the_server_asks_for_is_made(self, server: WebServer, client: HttpClient) -> None:
        server.in_turn("/x", answers(503, Retry_After="1"), answers(200))
        began_s = time.monotonic()
        client.request("GET", "x")
        assert time.monotonic() - began_s >= 1.0

    def test_who_asks_for_a_long_pause_is_left_alone(self, server: WebServer, client: HttpClient) -> None:
        server.says("/x", 503, headers={"Retry-After": "3600"})
        began_s = time.monotonic()
        with pytest.raises(TransientError, match="genomes answered 503"):
            client.request("GET", "x")
        assert (len(server.requests), time.monotonic() - began_s < 5.0) == (1, True)

    def test_a_pause_that_is_no_number_is_none(self, server: WebServer, client: HttpClient) -> None:
        server.in_turn("/x", answers(503, Retry_After="soon"), answers(200, b"here"))
        assert client.request("GET", "x").body == b"here"

    def test_a_refusal_without_end_is_not_read(self, server: WebServer, client: HttpClient) -> None:
        def endless(handler: Handler, _: Request) -> None:
            handler.wfile.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 1000000000000\r\n\r\n")
            while True:
                handler.wfile.write(b"busy " * 1000)

        server.in_turn("/x", endless, answers(200, b"here"))
        assert client.request("GET", "x").body == b"here"
        server.answers["/x"] = endless
        with pytest.raises(TransientError, match="genomes answered 503 .*: busy busy"):
            client.request("GET", "x")


class TestRedirects:
    def test_a_redirect_is_followed(self, server: WebServer, client: HttpClient) -> None:
        server.says("/x", 302, headers={"Location": "y?page=2"})
        server.says("/y", 200, b"here")
        answer = client.request("GET", "x")
        assert (answer.body, answer.url) == (b"here", f"{server.url}/y")
        assert [request.headers.get("authorization") for request in server.requests] == [TOKEN.reveal()] * 2

    def test_nobody_else_gets_credentials(self, server: WebServer, other: WebServer, client: HttpClient) -> None:
        server.says("/x", 307, headers={"Location": f"{other.url}/y"})
        other.says("/y", 200, b"here")
        more = {"Cookie": "plain", "X-Key": Secret("key"), "X-Harmless": "yes"}
        assert client.request("GET", "x", headers=more).body == b"here"
        (asked,) = other.requests
        assert {name: asked.headers.get(name) for name in ("authorization", "cookie", "x-key", "x-harmless")} == {
            "authorization": None,
            "cookie": None,
            "x-key": None,
            "x-harmless": "yes",
        }

    def test_an_absolute_url_elsewhere_gets_none_of_the_clients_headers(
        self, server: WebServer, other: WebServer, client: HttpClient
    ) -> None:
        other.says("/y", 200)
        client.request("GET", f"{other.url}/y")
        assert "authorization" not in other.requests[0].headers

    def test_a_circle_has_an_end(self, server: WebServer, client: HttpClient) -> None:
        server.says("/x", 302, headers={"Location": "/x"})
        with pytest.raises(PermanentError, match="genomes redirects more than 5 times"):
            client.request("GET", "x")

    def test_what_changes_something_is_not_redirected(self, server: WebServer, client: HttpClient) -> None:
        server.says("/x", 307, headers={"Location": "/y"})
        with pytest.raises(PermanentError, match="genomes redirects a POST request: correct its URL"):
            client.request("POST", "x", json_body={})

    @pytest.mark.parametrize("target", ["ftp://e.org/x", "file:///etc/passwd", "http://[e.org/x", "gopher:x"])
    def test_a_redirect_leads_to_the_web_alone(self, server: WebServer, client: HttpClient, target: str) -> None:
        server.says("/x", 302, headers={"Location": target})
        with pytest.raises(PermanentError):
            client.request("GET", "x")


class TestTls:
    def test_a_server_that_proves_who_it_is_is_asked(self, trusted: Authority) -> None:
        with serving(trusted.context) as server:
            server.says("/x", 200, b"here")
            assert client_of(server, ca_file=trusted.ca_file).request("GET", "x").body == b"here"

    def test_a_server_that_does_not_is_not(self, trusted: Authority) -> None:
        with serving(trusted.context) as server:
            with pytest.raises(PermanentError, match=r"genomes at 127\.0\.0\.1 does not prove who it is"):
                client_of(server).request("GET", "x")
            assert server.requests == []

    def test_a_redirect_to_plain_http_is_refused(self, trusted: Authority, other: WebServer) -> None:
        with serving(trusted.context) as server:
            server.says("/x", 302, headers={"Location": f"{other.url}/y?token=1"})
            with pytest.raises(DowngradedRedirectError, match=f"{other.url}/y"):
                client_of(server, ca_file=trusted.ca_file).request("GET", "x")
        assert other.requests == []

    def test_certificates_that_are_not_there_are_a_fault_of_the_configuration(self, tmp_path: Path) -> None:
        (tmp_path / "no.pem").write_text("nothing")
        for file in ("no.pem", "none.pem"):
            with pytest.raises(ConfigurationError, match="cannot be read"):
                HttpClient("https://e.org", ca_file=str(tmp_path / file))

    @pytest.mark.parametrize("headers", [{"Authorization": "plain"}, {"X-Key": Secret("key")}])
    def test_no_secret_goes_over_a_network_unencrypted(self, headers: dict[str, str | Secret]) -> None:
        client = HttpClient("http://genomes.example", name="genomes")
        with pytest.raises(PermanentError, match="where others can read secrets: give an https URL"):
            client.request("GET", "x", headers=headers)
        with pytest.raises(PermanentError, match="where others can read secrets: give an https URL"):
            client.request("POST", "login", form={"password": Secret("pa55")})


class TestProxies:
    def test_the_proxy_of_the_environment_is_used(self, other: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        other.says("http://genomes.example/x", 200, b"through the proxy")
        monkeypatch.setenv("http_proxy", other.url.replace("http://", "http://ada:pa55@"))
        monkeypatch.delenv("no_proxy", raising=False)
        client = HttpClient("http://genomes.example")
        assert client.request("GET", "x").body == b"through the proxy"
        assert other.requests[0].headers["proxy-authorization"] == "Basic YWRhOnBhNTU="

    def test_a_host_that_needs_none_is_asked_directly(
        self, server: WebServer, other: WebServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.says("/x", 200, b"direct")
        monkeypatch.setenv("http_proxy", other.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert client_of(server).request("GET", "x").body == b"direct"

    def test_a_password_of_the_proxy_is_not_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", f"http://ada:pa55@127.0.0.1:{free_port()}")
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(UnavailableError) as caught:
            HttpClient("http://genomes.example", retries=0).request("GET", "x")
        assert "pa55" not in str(caught.value)
