"""The HTTP client, against a server that does whatever servers do when they are bad, and says what it was asked."""

from __future__ import annotations

import base64
import email.utils
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


def dripping(beginning: bytes) -> Respond:
    def drip(handler: Handler, _: Request) -> None:
        handler.wfile.write(beginning)
        while True:
            handler.wfile.write(b"0")
            time.sleep(0.02)

    return drip


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

    @pytest.mark.parametrize(
        ("header", "told"),
        [
            ("Bearer s3cr3t", "no token s3cr3t"),
            (f"Basic {base64.b64encode(b'ada:pa55word').decode()}", "no user ada:pa55word"),
            (f"Basic {base64.b64encode(b'ada:pa55word').decode()}", "wrong password pa55word"),
        ],
    )
    @pytest.mark.parametrize("kind", [str, Secret])
    def test_no_part_of_a_credential_is_in_an_error(
        self, server: WebServer, header: str, told: str, kind: type[str] | type[Secret]
    ) -> None:
        server.says("/x", 401, told.encode())
        client = client_of(server, headers=lambda: {"Authorization": kind(header)})
        with pytest.raises(UnauthorizedError, match=r"genomes answered 401 Unauthorized at [^ ]*/x: [a-z ]+ \*\*\*$"):
            client.request("GET", "x")

    def test_secrets_are_sent_in_queries_forms_and_json_and_not_shown(
        self, server: WebServer, client: HttpClient
    ) -> None:
        secret = Secret("key 9876")
        server.answers["/x"] = lambda handler, request: handler.answer(400, request.path.encode() + request.body)
        for method, given in (
            ("GET", {"params": {"key": secret, "keys": [secret]}}),
            ("POST", {"form": {"key": secret}}),
            ("POST", {"json_body": {"a": [{"key": secret}]}}),
        ):
            with pytest.raises(PermanentError) as caught:
                client.request(method, "x", **given)  # type: ignore[arg-type]
            assert ("9876" in str(caught.value), "***" in str(caught.value)) == (False, True)
        assert [request.path + request.body.decode() for request in server.requests] == [
            "/x?key=key+9876&keys=key+9876",
            "/xkey=key+9876",
            '/x{"a": [{"key": "key 9876"}]}',
        ]

    @pytest.mark.parametrize("padding", [*range(280, 300), *range(8160, 8192, 3)])
    def test_no_secret_is_cut_in_two(self, server: WebServer, client: HttpClient, padding: int) -> None:
        filler = "x" * padding if padding < 1000 else " " * padding
        server.says("/x", 400, f"{filler}{TOKEN.reveal()}{'y' * 9000}".encode())
        with pytest.raises(PermanentError) as caught:
            client.request("GET", "x")
        assert "s3c" not in str(caught.value)

    def test_what_would_move_a_terminals_cursor_is_not_shown(self, server: WebServer, client: HttpClient) -> None:
        server.says("/x", 400, b"\x1b[2J\x07wrong\x00 id")
        with pytest.raises(PermanentError, match=r"/x: \[2J wrong id$"):
            client.request("GET", "x")

    def test_a_secret_that_no_header_can_have_is_not_shown(self, server: WebServer) -> None:
        client = client_of(server, headers=lambda: {"Authorization": Secret("line\nbreak")})
        with pytest.raises(PermanentError, match="genomes cannot be asked: its URL or a header is not valid"):
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

    @pytest.mark.parametrize(
        "url",
        [
            "https://ada:pa55@e.org",
            "https://ada:pa55@e.org:port",
            "https://e.org/?token=pa55",
            "e.org?token=pa55",
            "https://e.org/#pa55",
        ],
    )
    def test_a_password_in_the_url_is_refused_and_not_shown(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            HttpClient(url)
        assert "pa55" not in str(caught.value)

    @pytest.mark.parametrize("path", ["../x", "a/../../x", "a/..", "%2e%2E/x", "..\\x", "a/./x", ".."])
    def test_no_path_leads_out_of_the_base(self, path: str) -> None:
        with pytest.raises(PermanentError, match="leads out of https://e.org/api/"):
            HttpClient("https://e.org/api").request("GET", path)

    @pytest.mark.parametrize("url", ["http://e.org/api/x?token=1", "http://127.0.0.1/x"])
    def test_a_service_is_not_asked_in_clear_where_its_url_is_encrypted(self, url: str) -> None:
        with pytest.raises(DowngradedRedirectError, match="is not encrypted, unlike https://e.org/api/"):
            HttpClient("https://e.org/api").request("GET", url)

    @pytest.mark.parametrize("url", ["http://[e.org/x", "http://e.org:port/x"])
    def test_a_url_that_is_none_is_refused(self, url: str) -> None:
        with pytest.raises(PermanentError, match="what should be a URL is none"):
            HttpClient("http://e.org/api").request("GET", url)


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
        with pytest.raises(UnavailableError, match=f"the answer of {server.url}/x broke off: it is too slow: "):
            client_of(server, read_timeout_s=0.2, retries=0).request("GET", "x")

    @pytest.mark.parametrize(
        "beginning",
        [
            b"HTTP/1.1 200 OK\r\nX-Slow: ",
            b"HTTP/1.1 ",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\n",
        ],
        ids=["header", "status", "body", "chunk", "refusal"],
    )
    @pytest.mark.parametrize("secure", [False, True])
    def test_nothing_that_drips_holds_a_request_for_longer_than_it_may_take(
        self, trusted: Authority, beginning: bytes, secure: bool
    ) -> None:
        with serving(trusted.context if secure else None) as server:
            server.answers["/x"] = dripping(beginning)
            client = client_of(server, ca_file=trusted.ca_file, read_timeout_s=5.0, total_timeout_s=0.4)
            began_s = time.monotonic()
            with pytest.raises(TransientError):
                client.request("GET", "x")
            assert time.monotonic() - began_s < 3.0
            assert len(server.requests) <= 3

    def test_a_stream_takes_as_long_as_it_takes_while_it_brings_something(self, server: WebServer) -> None:
        def slowly(handler: Handler, _: Request) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 80000\r\n\r\n")
            for _ in range(8):
                handler.wfile.write(b"x" * 10_000)
                time.sleep(0.05)

        server.answers["/x"] = slowly
        with client_of(server, total_timeout_s=0.2).stream("x") as stream:
            assert sum(map(len, stream.pieces)) == 80_000

    def test_a_stream_whose_chunk_never_begins_is_given_up(self, server: WebServer) -> None:
        server.answers["/x"] = dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        began_s = time.monotonic()
        with (
            pytest.raises(UnavailableError, match="broke off: it is too slow"),
            client_of(server, read_timeout_s=0.4).stream("x") as stream,
        ):
            list(stream.pieces)
        assert time.monotonic() - began_s < 3.0

    def test_no_pause_goes_beyond_what_a_request_may_take(self, server: WebServer) -> None:
        server.says("/x", 503, headers={"Retry-After": "5"})
        with pytest.raises(TransientError):
            client_of(server, total_timeout_s=2.0).request("GET", "x")
        assert len(server.requests) == 1


class TestRetries:
    @pytest.mark.parametrize("fault", [answers(503), answers(429), hangs_up, breaks_off])
    def test_what_only_reads_is_asked_again(self, server: WebServer, client: HttpClient, fault: Respond) -> None:
        server.in_turn("/x", fault, answers(200, b"here"))
        assert client.request("GET", "x").body == b"here"
        assert len(server.requests) == 2

    def test_a_body_that_always_breaks_off_is_given_up(self, server: WebServer) -> None:
        server.answers["/x"] = breaks_off
        with pytest.raises(UnavailableError, match=f"the answer of {server.url}/x broke off"):
            client_of(server, retries=1).request("GET", "x")
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
        with pytest.raises(TransientError, match="genomes answered 503 .* for 3600 seconds"):
            client.request("GET", "x")
        assert (len(server.requests), time.monotonic() - began_s < 5.0) == (1, True)

    def test_a_pause_until_a_date_is_made(self, server: WebServer, client: HttpClient) -> None:
        until_s = int(time.time()) + 2
        server.in_turn("/x", answers(429, Retry_After=email.utils.formatdate(until_s, usegmt=True)), answers(200))
        client.request("GET", "x")
        assert time.time() >= until_s

    @pytest.mark.parametrize("pause", ["soon", "-1", "Mon, 23 Nov 99999999 11:00:00 GMT"])
    def test_a_pause_that_is_none_is_not_made(self, server: WebServer, client: HttpClient, pause: str) -> None:
        server.in_turn("/x", answers(503, Retry_After=pause), answers(200, b"here"))
        assert client.request("GET", "x").body == b"here"

    def test_who_cannot_have_got_a_post_is_asked_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float] = []
        monkeypatch.setattr("dts_fsm.web.retrying.time.sleep", pauses.append)
        client = HttpClient(f"http://127.0.0.1:{free_port()}", name="genomes", retries=3)
        with pytest.raises(UnavailableError, match="cannot be reached"):
            client.request("POST", "x", json_body={})
        assert [low <= pause <= 2 * low for low, pause in zip((0.1, 0.2, 0.4), pauses, strict=True)] == [True] * 3

    @pytest.mark.parametrize(
        "content",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 10, 20\r\n\r\n0123456789",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\nless",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nless\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 200 + b"\r\n",
            b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
            b"\x00\xff" * 1000,
        ],
    )
    def test_what_is_no_answer_is_asked_for_again(self, server: WebServer, client: HttpClient, content: bytes) -> None:
        server.in_turn("/x", lambda handler, _: handler.raw(content), answers(200, b"here"))
        assert client.request("GET", "x").body == b"here"

    def test_what_follows_an_answer_is_not_taken_for_the_next(self, server: WebServer, client: HttpClient) -> None:
        smuggled = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"
        right = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright"
        server.answers["/x"] = lambda handler, _: handler.wfile.write(right + smuggled)
        assert [client.request("GET", "x").body for _ in range(3)] == [b"right"] * 3

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
        more = {"Cookie": "plain", "X-Key": Secret("key"), "Private-Token": "plain", "Range": "bytes=0-1"}
        assert client.request("GET", "x", headers=more).body == b"here"
        asked = [{name.lower(): request.headers.get(name.lower()) for name in more} for request in server.requests]
        assert asked == [{"cookie": "plain", "x-key": "key", "private-token": "plain", "range": "bytes=0-1"}]
        (redirected,) = other.requests
        told = {name: redirected.headers[name] for name in redirected.headers if name not in ("host", "user-agent")}
        assert told == {"accept-encoding": "identity", "range": "bytes=0-1"}

    def test_a_user_in_a_redirect_is_not_taken(self, server: WebServer, other: WebServer, client: HttpClient) -> None:
        server.says("/x", 302, headers={"Location": other.url.replace("//", "//ada:pa55@") + "/y#part"})
        other.says("/y", 200, b"here")
        assert client.request("GET", "x").url == f"{other.url}/y"
        assert "authorization" not in other.requests[0].headers

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

    def test_a_server_that_speaks_no_tls_may_speak_it_later(self, server: WebServer) -> None:
        with pytest.raises(UnavailableError, match="genomes at 127.0.0.1 cannot be reached: .*SSL"):
            HttpClient(server.url.replace("http:", "https:"), name="genomes", retries=0).request("GET", "x")

    def test_a_host_may_be_an_address_of_ip_version_6(self) -> None:
        with serving(host="::1") as server:
            server.says("/x", 200, b"here")
            assert server.url.startswith("http://[::1]:")
            assert client_of(server).request("GET", "x").body == b"here"

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

    def test_this_machine_needs_none(
        self, server: WebServer, other: WebServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.says("/x", 200, b"direct")
        monkeypatch.setenv("http_proxy", other.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert client_of(server).request("GET", "x").body == b"direct"

    def test_each_host_of_a_redirect_has_its_own_way(
        self, server: WebServer, other: WebServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.says("/x", 302, headers={"Location": "http://genomes.example/y"})
        other.says("http://genomes.example/y", 200, b"through the proxy")
        monkeypatch.setenv("http_proxy", other.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert client_of(server).request("GET", "x").body == b"through the proxy"

    def test_a_server_with_tls_is_asked_through_a_tunnel(
        self, trusted: Authority, other: WebServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other.says("genomes.example:443", 502)
        monkeypatch.setenv("https_proxy", other.url)
        monkeypatch.delenv("no_proxy", raising=False)
        client = HttpClient("https://genomes.example", headers=lambda: {"Authorization": TOKEN}, retries=0)
        with pytest.raises(UnavailableError, match="Tunnel connection failed: 502"):
            client.request("GET", "x")
        (asked,) = other.requests
        assert (asked.method, asked.path, "authorization" in asked.headers) == ("CONNECT", "genomes.example:443", False)

    def test_a_password_of_the_proxy_is_not_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", f"http://ada:pa55@127.0.0.1:{free_port()}")
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(UnavailableError) as caught:
            HttpClient("http://genomes.example", retries=0).request("GET", "x")
        assert "pa55" not in str(caught.value)
