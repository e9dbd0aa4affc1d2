"""The endpoint of a web server, against one that changes files, breaks connections and knows only half of HTTP."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dts_fsm.config import Credential, EndpointConfig, Secret
from dts_fsm.endpoints.http.endpoint import HttpEndpoint
from dts_fsm.endpoints.http.headers import content_range, digests, length, version_of
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.errors import IncompatibleDestinationError, InvalidEndpointConfigError, PermanentError
from dts_fsm.records import Descriptor, FileOutcome, FileState, FileTransfer, OperationCode
from dts_fsm.testing.endpoint_pair import checksum, file_of, wait_for_end
from dts_fsm.testing.memory import MemoryEndpoint
from tests.servers.nginx import Nginx
from tests.servers.web import Handler, Request, WebServer, serving

PART = 8 << 20
LARGE = hashlib.shake_256(b"a genome").digest(PART + 100_000) + bytes(2 * PART)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving() as server:
        yield server


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[LocalEndpoint]:
    endpoint = LocalEndpoint(root=tmp_path, durable="none")
    yield endpoint
    endpoint.close()


def endpoint_of(url: str, *, root: str = "/", credential: Credential | None = None, **options: Any) -> HttpEndpoint:
    config = EndpointConfig(
        key="web", provider="http", root=root, credential=credential, options={"url": url, **options}
    )
    return HttpEndpoint.from_config(config)


class Site:
    """A file as a good server has it; what it does otherwise is set."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.etag: str | None = '"1"'
        self.modified: str | None = None
        self.ranges = self.conditions = True
        self.more: dict[str, str] = {}
        self.before: Callable[[Handler, Request], bool] = lambda handler, request: False

    def __call__(self, handler: Handler, request: Request) -> None:
        if self.before(handler, request):
            return
        headers = dict(self.more)
        if self.etag:
            headers["ETag"] = self.etag
        if self.modified:
            headers["Last-Modified"] = self.modified
        asked = (request.headers.get("if-match", self.etag), request.headers.get("if-unmodified-since", self.modified))
        if self.conditions and asked != (self.etag, self.modified):
            handler.answer(412)
        elif self.ranges and (match := re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))):
            first, last = int(match[1]), min(int(match[2]), len(self.content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(self.content)}"
            handler.answer(206, self.content[first : last + 1], headers)
        else:
            handler.answer(200, self.content, headers)


def move(source: HttpEndpoint, archive: LocalEndpoint, file: FileTransfer) -> FileOutcome:
    handle = source.transfer(archive, [file], operation_id=uuid4())
    (outcome,) = wait_for_end(source, handle).files
    source.close()
    return outcome


def arrived(archive: LocalEndpoint, path: str = "delivered/a") -> bytes | None:
    file = Path(archive.root) / path
    return file.read_bytes() if file.is_file() else None


def ranges(server: WebServer) -> list[tuple[int, int]]:
    """The bytes that were asked for, in their order."""
    asked = (re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", "")) for request in server.requests)
    return sorted((int(match[1]), int(match[2]) + 1) for match in asked if match)


class TestLargeFiles:
    def test_they_come_by_ranges_of_one_version(self, server: WebServer, archive: LocalEndpoint) -> None:
        server.answers["/a"] = Site(LARGE)
        assert move(endpoint_of(server.url), archive, file_of("a", LARGE)).state is FileState.TRANSFERRED
        assert arrived(archive) == LARGE
        assert ranges(server) == [(0, PART), (PART, 2 * PART), (2 * PART, 3 * PART), (3 * PART, len(LARGE))]
        assert {request.headers["if-match"] for request in server.requests if "range" in request.headers} == {'"1"'}

    def test_a_connection_that_breaks_is_gone_on_with_where_it_broke(
        self, server: WebServer, archive: LocalEndpoint
    ) -> None:
        site = server.answers["/a"] = Site(LARGE)
        broken = []

        def break_off(handler: Handler, request: Request) -> bool:
            if broken or request.headers.get("range") != f"bytes={PART}-{2 * PART - 1}":
                return False
            broken.append(request)
            head = f'HTTP/1.1 206 Partial\r\nETag: "1"\r\nContent-Length: {PART}\r\n'
            told = f"Content-Range: bytes {PART}-{2 * PART - 1}/{len(LARGE)}\r\n\r\n"
            handler.raw((head + told).encode() + LARGE[PART : PART + 50_000])
            return True

        site.before = break_off
        assert move(endpoint_of(server.url), archive, file_of("a", LARGE)).state is FileState.TRANSFERRED
        assert arrived(archive) == LARGE
        assert (PART + 50_000, 2 * PART) in ranges(server)

    def test_a_connection_that_breaks_often_is_gone_on_with_while_it_brings_something(
        self, server: WebServer, archive: LocalEndpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dts_fsm.endpoints.http.site._PAUSE_S", 0.0)
        content = LARGE + bytes(300_000)
        site = server.answers["/a"] = Site(content)

        def break_off(handler: Handler, request: Request) -> bool:
            match = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
            if match is None or int(match[1]) < 3 * PART:
                return False
            first, last = int(match[1]), int(match[2])
            head = f'HTTP/1.1 206 Partial\r\nETag: "1"\r\nContent-Length: {last + 1 - first}\r\n'
            told = f"Content-Range: bytes {first}-{last}/*\r\n\r\n"
            handler.raw((head + told).encode() + content[first : min(first + 70_000, last + 1)])
            return True

        site.before = break_off
        assert move(endpoint_of(server.url), archive, file_of("a", content)).state is FileState.TRANSFERRED
        assert arrived(archive) == content
        begun = [start for start, _ in ranges(server) if start >= 3 * PART]
        assert begun == list(range(3 * PART, len(content), 70_000))

    def test_a_server_that_lies_about_a_size_fills_no_memory(self, server: WebServer, archive: LocalEndpoint) -> None:
        def lie(handler: Handler, request: Request) -> None:
            if request.method == "HEAD":
                handler.answer(200, headers={"Content-Length": f"{10**18}", "ETag": '"1"'})
            else:
                handler.answer(416, headers={"Content-Range": "bytes */10"})

        server.answers["/a"] = lie
        outcome = move(endpoint_of(server.url), archive, file_of("a", b"", bytes=None, hash=None))
        assert (outcome.state, outcome.reason) == (FileState.FAILED, "source changed")

    def test_a_move_that_was_interrupted_goes_on_after_its_last_whole_part(
        self, server: WebServer, archive: LocalEndpoint
    ) -> None:
        site = server.answers["/a"] = Site(LARGE)
        source, operation, reached, gone = endpoint_of(server.url), uuid4(), threading.Event(), threading.Event()

        def wait(_: Handler, request: Request) -> bool:
            if request.headers.get("range") == f"bytes={3 * PART}-{len(LARGE) - 1}":
                while not any(part.stat().st_size >= 2 * PART for part in Path(archive.root).rglob("*.part")):
                    time.sleep(0.01)
                reached.set()
                gone.wait(30)
            return False

        site.before = wait
        source.transfer(archive, [file_of("a", LARGE)], operation_id=operation)
        assert reached.wait(30)
        closing = threading.Thread(target=source.close)
        closing.start()
        while source.statuses([operation])[operation].code is not OperationCode.LOST:
            time.sleep(0.01)
        gone.set()
        closing.join()
        server.requests.clear()
        source.transfer(archive, [file_of("a", LARGE)], operation_id=operation)
        (outcome,) = wait_for_end(source, operation).files
        source.close()
        assert (outcome.state, arrived(archive)) == (FileState.TRANSFERRED, LARGE)
        assert sum(stop - start for start, stop in ranges(server)) < len(LARGE) - PART

    @pytest.mark.parametrize("conditions", [True, False])
    def test_a_file_that_changes_meanwhile_is_not_mixed_of_two_versions(
        self, server: WebServer, archive: LocalEndpoint, conditions: bool
    ) -> None:
        site = server.answers["/a"] = Site(LARGE)
        site.conditions = conditions

        def change(_: Handler, request: Request) -> bool:
            if request.headers.get("range", "").startswith(f"bytes={PART}-"):
                site.etag, site.content = '"2"', bytes(len(LARGE))
            return False

        site.before = change
        outcome = move(endpoint_of(server.url), archive, file_of("a", LARGE, hash=None))
        assert (outcome.reason, outcome.state, arrived(archive)) == ("source changed", FileState.FAILED, None)

    def test_without_a_strong_tag_the_time_of_modification_is_the_version(
        self, server: WebServer, archive: LocalEndpoint
    ) -> None:
        site = server.answers["/a"] = Site(LARGE)
        site.etag, site.modified = 'W/"1"', "Mon, 23 Nov 2026 11:00:00 GMT"
        assert move(endpoint_of(server.url), archive, file_of("a", LARGE)).state is FileState.TRANSFERRED
        asked = {
            request.headers.get("if-unmodified-since") for request in server.requests if "range" in request.headers
        }
        assert asked == {site.modified}

    @pytest.mark.parametrize("cut", [False, True])
    def test_a_server_without_ranges_is_read_from_its_beginning(
        self, server: WebServer, archive: LocalEndpoint, cut: bool
    ) -> None:
        site = server.answers["/a"] = Site(LARGE)
        site.ranges = False
        bodies = []

        def break_off(handler: Handler, request: Request) -> bool:
            if request.method == "HEAD" or "range" in request.headers:
                return False
            bodies.append(request)
            if cut and len(bodies) == 1:
                head = f'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: {len(LARGE)}\r\n\r\n'
                handler.raw(head.encode() + LARGE[: PART + 1000])
            return cut and len(bodies) == 1

        site.before = break_off
        assert move(endpoint_of(server.url), archive, file_of("a", LARGE)).state is FileState.TRANSFERRED
        assert arrived(archive) == LARGE
        assert len(bodies) <= 5

    def test_other_bytes_than_were_asked_for_are_refused(self, server: WebServer, archive: LocalEndpoint) -> None:
        site = server.answers["/a"] = Site(LARGE)

        def lie(handler: Handler, request: Request) -> bool:
            if "range" in request.headers:
                headers = {"Content-Range": f"bytes 0-9/{len(LARGE)}", "ETag": '"1"'}
                handler.answer(206, LARGE[:10], headers)
            return "range" in request.headers

        site.before = lie
        outcome = move(endpoint_of(server.url), archive, file_of("a", LARGE))
        assert outcome.error == f"a: the server was asked for bytes 0 to {PART - 1}, and sent others"

    @pytest.mark.parametrize("status", [203, 206])
    @pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
    def test_what_is_not_the_file_that_was_asked_for_is_refused(
        self, server: WebServer, archive: LocalEndpoint, status: int, content: bytes
    ) -> None:
        site = server.answers["/a"] = Site(content)
        site.ranges = False

        def other(handler: Handler, request: Request) -> bool:
            if request.method == "GET":
                handler.answer(status, content, {"ETag": '"1"'})
            return request.method == "GET"

        site.before = other
        outcome = move(endpoint_of(server.url), archive, file_of("a", content, hash=None))
        assert (outcome.state, outcome.transient, arrived(archive)) == (FileState.FAILED, False, None)


@pytest.mark.usefixtures("no_pauses")
class TestDigests:
    @pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
    @pytest.mark.parametrize("field", ["Repr-Digest", "Digest", "Content-Digest"])
    def test_what_the_server_knows_is_compared_where_nobody_else_says(
        self, server: WebServer, archive: LocalEndpoint, content: bytes, field: str
    ) -> None:
        site = server.answers["/a"] = Site(content)
        colon = "" if field == "Digest" else ":"
        for algorithm, digest, state in (
            ("sha-256", hashlib.sha256(content), FileState.TRANSFERRED),
            ("sha-512", hashlib.sha512(content), FileState.TRANSFERRED),
            ("md5", hashlib.md5(b"other", usedforsecurity=False), FileState.FAILED),
        ):
            site.more = {field: f"{algorithm}={colon}{base64.b64encode(digest.digest()).decode()}{colon}"}
            file = file_of("a", content, hash=None, destination_path=algorithm)
            assert move(endpoint_of(server.url), archive, file).state is state
            assert (arrived(archive, algorithm) is not None) is (state is FileState.TRANSFERRED)

    @pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
    def test_digests_are_asked_for(self, server: WebServer, archive: LocalEndpoint, content: bytes) -> None:
        server.answers["/a"] = Site(content)
        move(endpoint_of(server.url), archive, file_of("a", content))
        first = server.requests[0].headers
        assert [first["want-digest"], first["want-repr-digest"]] == [
            "sha-256;q=1, sha-512;q=0.6, md5;q=0.3",
            "sha-256=3, sha-512=2, md5=1",
        ]

    def test_a_descriptors_checksum_goes_before(self, server: WebServer, archive: LocalEndpoint) -> None:
        site = server.answers["/a"] = Site(b"content")
        site.more = {"Digest": "md5=AAAAAAAAAAAAAAAAAAAAAA=="}
        assert move(endpoint_of(server.url), archive, file_of("a", b"content")).state is FileState.TRANSFERRED

    @pytest.mark.parametrize(
        ("headers", "found"),
        [
            ({"Digest": "SHA-256=!!!"}, {}),
            ({"Digest": "md5=AAAA"}, {}),
            ({"Digest": "crc32=AAAAAA=="}, {}),
            ({"Content-Digest": "md5=:AAAAAAAAAAAAAAAAAAAAAA==:", "Content-Range": "bytes 0-1/2"}, {}),
            ({"Digest": "MD5=AAAAAAAAAAAAAAAAAAAAAA==, unknown"}, {"md5": "00" * 16}),
        ],
    )
    def test_digests_are_read_with_care(self, headers: dict[str, str], found: dict[str, str]) -> None:
        assert digests(headers) == found


class TestSmallFiles:
    def test_they_come_by_one_request(self, server: WebServer, archive: LocalEndpoint) -> None:
        server.answers["/a"] = Site(b"content")
        assert move(endpoint_of(server.url), archive, file_of("a", b"content")).state is FileState.TRANSFERRED
        assert [request.method for request in server.requests] == ["GET"]

    @pytest.mark.parametrize("told", [6, None])
    def test_one_of_another_size_is_refused(self, server: WebServer, archive: LocalEndpoint, told: int | None) -> None:
        def answer(handler: Handler, _: Request) -> None:
            size = f"Content-Length: {told}\r\n" if told else "Connection: close\r\n"
            handler.raw(f"HTTP/1.1 200 OK\r\n{size}\r\n".encode() + b"larger")

        server.answers["/a"] = answer
        outcome = move(endpoint_of(server.url), archive, file_of("a", b"small"))
        assert (outcome.state, outcome.reason) == (FileState.FAILED, "size mismatch")

    def test_a_body_that_never_ends_is_read_no_further_than_its_file(
        self, server: WebServer, archive: LocalEndpoint
    ) -> None:
        def answer(handler: Handler, _: Request) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            while True:
                handler.wfile.write(b"x" * 100_000)

        server.answers["/a"] = answer
        assert move(endpoint_of(server.url), archive, file_of("a", b"small")).reason == "size mismatch"

    def test_a_file_that_is_stored_compressed_arrives_compressed(
        self, server: WebServer, archive: LocalEndpoint
    ) -> None:
        site = server.answers["/a"] = Site(b"\x1f\x8b not really")
        site.more = {"Content-Encoding": "gzip"}
        assert move(endpoint_of(server.url), archive, file_of("a", site.content)).state is FileState.TRANSFERRED
        assert arrived(archive) == site.content

    def test_names_are_quoted(self, server: WebServer, archive: LocalEndpoint) -> None:
        server.answers["/genomes/%C3%A4%20b%3F%23%25.gz"] = Site(b"content")
        source = endpoint_of(f"{server.url}/", root="/genomes")
        assert move(source, archive, file_of("ä b?#%.gz", b"content")).state is FileState.TRANSFERRED


class TestWhatIsThere:
    @pytest.mark.parametrize("refusal", [403, 405, 501, None])
    def test_a_server_that_knows_no_head_is_asked_for_a_byte(self, server: WebServer, refusal: int | None) -> None:
        site = server.answers["/a"] = Site(b"content")

        def refuse(handler: Handler, request: Request) -> bool:
            if request.method == "HEAD":
                handler.raw(f"HTTP/1.1 {refusal or 200} Unknown\r\n\r\n".encode())
            return request.method == "HEAD"

        site.before = refuse
        found = endpoint_of(server.url).files_staged([Descriptor(id="1", path="a", bytes=7)])
        assert found == {"1": True}
        assert ranges(server) == [(0, 1)]

    def test_a_file_that_nobody_may_read_holds_up_no_other(self, nginx: Nginx, archive: LocalEndpoint) -> None:
        (nginx.folder / "readable").write_bytes(b"content")
        source = endpoint_of(nginx.url)
        descriptors = [
            Descriptor(id="1", path="denied/readable", bytes=7),
            Descriptor(id="2", path="readable", bytes=7),
            Descriptor(id="3", path="closed/readable", bytes=7),
        ]
        assert source.files_staged(descriptors) == {"1": True, "2": True, "3": True}
        outcome = move(source, archive, file_of("denied/readable", b"content"))
        assert (outcome.reason, outcome.error) == (
            "denied",
            "denied/readable: the endpoint 'web' may not read it: see its credential",
        )

    def test_a_user_with_a_password_may(self, nginx: Nginx, archive: LocalEndpoint) -> None:
        (nginx.folder / "a").write_bytes(b"content")
        source = endpoint_of(nginx.url, credential=Credential(name="c", id="ada", secret=Secret("pa55")), root="closed")
        assert move(source, archive, file_of("a", b"content")).state is FileState.TRANSFERRED

    def test_a_redirect_to_plain_http_is_refused(self, nginx: Nginx, archive: LocalEndpoint) -> None:
        source = endpoint_of(nginx.secure_url, ca_file=nginx.ca_file)
        outcome = move(source, archive, file_of("down/a", b"content"))
        assert (outcome.state, "http" in (outcome.error or "")) == (FileState.FAILED, True)

    def test_a_folder_is_no_file(self, nginx: Nginx, archive: LocalEndpoint) -> None:
        (nginx.folder / "folder").mkdir()
        outcome = move(endpoint_of(nginx.url), archive, file_of("folder", b"", bytes=None, hash=None))
        assert (outcome.reason, outcome.error) == ("unsafe path", "folder is a folder")

    @pytest.mark.parametrize("headers", [{"Content-Length": "-1"}, {"Content-Length": "1" * 30}])
    def test_a_size_that_is_none_is_refused(self, headers: dict[str, str]) -> None:
        with pytest.raises(PermanentError, match="Content-Length"):
            length(headers)

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("bytes 0-9/10", (0, 10, 10)),
            ("bytes 5-9/*", (5, 10, None)),
            ("bytes */7", (0, 0, 7)),
            ("bytes 0-9", None),
            ("lines 0-9/10", None),
            ("bytes 0-" + "9" * 30 + "/10", None),
        ],
    )
    def test_ranges_are_read_with_care(self, text: str, found: object) -> None:
        assert content_range({"Content-Range": text}) == found

    def test_equal_weak_tags_say_nothing_of_bytes(self) -> None:
        assert [version_of({"ETag": tag}) for tag in ('"a"', 'W/"a"', "a", '""')] == ['"a"', "", "", ""]


class TestConfiguration:
    def test_nothing_can_be_moved_there(self, server: WebServer) -> None:
        source = MemoryEndpoint()
        with pytest.raises(IncompatibleDestinationError, match="the memory endpoint cannot move files to the http"):
            source.transfer(endpoint_of(server.url), [file_of("a", b"")], operation_id=uuid4())

    @pytest.mark.parametrize(
        ("options", "key"),
        [
            ({"url": "ftp://e.org"}, "url"),
            ({"url": "https://e.org?q=1"}, "url"),
            ({"url": "https://e.org", "workers": 0}, "workers"),
            ({"url": "https://e.org", "read_timeout_s": "soon"}, "read_timeout_s"),
            ({"url": "https://e.org", "headers": {"X": 1}}, "headers"),
            ({"url": "https://e.org", "headers": {"Authorization": "x"}, "token": Secret("y")}, "headers"),
            ({"url": "https://e.org", "ca_file": "/none"}, "ca_file"),
            ({"url": "https://e.org", "durable": "file"}, "durable"),
            ({"url": None}, "url"),
        ],
    )
    def test_what_is_wrong_is_named(self, options: dict[str, Any], key: str) -> None:
        with pytest.raises(InvalidEndpointConfigError) as caught:
            HttpEndpoint.from_config(EndpointConfig(key="web", provider="http", options=options))
        assert caught.value.key == f"endpoints.web.{key}"

    @pytest.mark.parametrize(
        ("given", "sent"),
        [
            ({"token": Secret("t0ken")}, "Bearer t0ken"),
            ({"credential": Credential(name="c", secret=Secret("t0ken"))}, "Bearer t0ken"),
            ({"credential": Credential(name="c", id="ada", secret=Secret("pa55"))}, "Basic YWRhOnBhNTU="),
            ({"headers": {"Authorization": "Token x"}}, "Token x"),
        ],
    )
    def test_who_asks_is_said_as_it_is_configured(self, server: WebServer, given: dict[str, Any], sent: str) -> None:
        server.says("/a", 200, b"content")
        endpoint_of(server.url, **given).files_staged([Descriptor(id="1", path="a", bytes=7)])
        assert server.requests[0].headers["authorization"] == sent


def test_files_of_unknown_size_and_checksum_are_observed(server: WebServer, archive: LocalEndpoint) -> None:
    server.answers["/a"] = Site(b"")
    outcome = move(endpoint_of(server.url), archive, file_of("a", b"", bytes=None, hash=None))
    assert (outcome.state, outcome.observed_bytes, outcome.observed_hash) == (
        FileState.TRANSFERRED,
        0,
        str(checksum(b"")),
    )
