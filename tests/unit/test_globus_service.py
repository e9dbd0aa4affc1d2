"""The loopback Globus keeps Globus' rules, as its SDK sees them; and stays whole whatever it is sent."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import attrs
import globus_sdk
import pytest
import urllib3
from globus_sdk import GlobusAPIError, NetworkError, TransferAPIError, TransferClient
from globus_sdk.scopes import TransferScopes
from globus_sdk.transport import RetryConfig

from dts_fsm.testing.globus import GlobusService, globus_service

SOURCE, DESTINATION = uuid4(), uuid4()


@attrs.frozen
class World:
    service: GlobusService
    client: TransferClient
    source: Path
    destination: Path

    def document(self, *paths: str, **changes: Any) -> dict[str, Any]:
        items = [
            {"DATA_TYPE": "transfer_item", "source_path": f"/{path}", "destination_path": f"/in/{path}"}
            for path in paths
        ]
        made = globus_sdk.TransferData(SOURCE, DESTINATION, submission_id=self.client.get_submission_id()["value"])
        return {
            **made,
            "source_endpoint": str(SOURCE),
            "destination_endpoint": str(DESTINATION),
            "DATA": items,
            **changes,
        }

    def submit(self, document: dict[str, Any]) -> str:
        return str(self.client.submit_transfer(document)["task_id"])

    def ended(self, task_id: str) -> dict[str, Any]:
        return self.when(task_id, lambda task: task["status"] in ("SUCCEEDED", "FAILED"))

    def when(self, task_id: str, is_so: Callable[[Any], bool]) -> dict[str, Any]:
        for _ in range(2000):
            task = dict(self.client.get_task(task_id).data)
            if is_so(task):
                return task
            threading.Event().wait(0.005)
        raise TimeoutError(str(task))

    def codes(self, task_id: str) -> list[str]:
        return [event["code"] for event in self.client.task_event_list(task_id)]


def client_of(
    service: GlobusService, *, native: bool = False, secret: str | None = None, retries: int = 0
) -> TransferClient:
    tokens = service.tokens
    options: Any = {"base_url": service.url, "retry_config": RetryConfig(max_retries=retries, max_sleep=0.01)}
    authorizer: Any
    if native:
        app: Any = globus_sdk.NativeAppAuthClient(tokens.native_id, **options)
        authorizer = globus_sdk.RefreshTokenAuthorizer(tokens.refresh_token, app)
    else:
        app = globus_sdk.ConfidentialAppAuthClient(tokens.client_id, secret or tokens.client_secret, **options)
        authorizer = globus_sdk.ClientCredentialsAuthorizer(app, TransferScopes.all)
    return TransferClient(authorizer=authorizer, **options)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    source, destination = tmp_path / "source", tmp_path / "destination"
    source.mkdir()
    destination.mkdir()
    with globus_service({SOURCE: source, DESTINATION: destination}) as service:
        (source / "a").write_bytes(b"first")
        (source / "b").write_bytes(b"second!")
        client = client_of(service)
        yield World(service, client, source, destination)
        client.transport.close()


class TestTasks:
    def test_files_arrive_and_are_listed(self, world: World) -> None:
        task_id = world.submit(world.document("a", "b"))
        task = world.ended(task_id)
        assert (task["status"], task["fatal_error"], task["files_transferred"]) == ("SUCCEEDED", None, 2)
        assert [(world.destination / "in" / name).read_bytes() for name in "ab"] == [b"first", b"second!"]
        assert {
            entry["source_path"]: entry["destination_path"]
            for entry in world.client.paginated.task_successful_transfers(task_id).items()
        } == {"/a": "/in/a", "/b": "/in/b"}
        assert world.codes(task_id) == ["SUCCEEDED", "STARTED"]

    def test_the_same_submission_is_the_same_task(self, world: World) -> None:
        document = world.document("a")
        first = world.client.submit_transfer(document)
        again = world.client.submit_transfer(document)
        assert (first["code"], again["code"]) == ("Accepted", "Duplicate")
        assert first["task_id"] == again["task_id"] != document["submission_id"]
        assert len(world.service.tasks) == 1

    def test_a_lost_answer_is_that_of_a_task_that_goes_on(self, world: World) -> None:
        document = world.document("a")
        world.service.lose_answers(1)
        with pytest.raises(NetworkError):
            world.client.submit_transfer(document)
        again = world.client.submit_transfer(document)
        assert (again["code"], len(world.service.tasks)) == ("Duplicate", 1)

    def test_pages_are_followed_by_their_marker(self, world: World) -> None:
        for i in range(7):
            (world.source / f"{i}").write_bytes(b"x")
        world.service.page_size = 3
        task_id = world.submit(world.document(*map(str, range(7))))
        world.ended(task_id)
        pages = list(world.client.paginated.task_successful_transfers(task_id))
        assert [len(page["DATA"]) for page in pages] == [3, 3, 1]
        assert [page["marker"] for page in pages] == [0, 3, 6]

    @pytest.mark.parametrize(
        ("level", "carried"), [(None, True), (0, False), (1, False), (2, False), (3, True)], ids=str
    )
    def test_what_is_there_is_carried_again_as_the_level_says(
        self, world: World, level: int | None, carried: bool
    ) -> None:
        (world.destination / "in").mkdir()
        (world.destination / "in" / "a").write_bytes(b"other")
        task = world.ended(world.submit(world.document("a", sync_level=level)))
        assert (task["files_skipped"], task["files_transferred"]) == ((0, 1) if carried else (1, 0))
        assert (world.destination / "in" / "a").read_bytes() == (b"first" if carried else b"other")

    def test_three_are_worked_on_and_the_others_queue(self, world: World) -> None:
        world.service.workshop.hold()
        ids = [world.submit(world.document("a", DATA=[_item("a", f"in/{i}")])) for i in range(5)]
        for _ in range(1000):
            nice = [world.client.get_task(id_)["nice_status"] for id_ in ids]
            if nice.count(None) == 3:
                break
        assert nice.count("Queued") == 2
        world.service.workshop.release()
        assert [world.ended(id_)["status"] for id_ in ids] == ["SUCCEEDED"] * 5

    def test_canceling_ends_a_task_and_an_ended_one_is_complete(self, world: World) -> None:
        world.service.workshop.hold()
        task_id = world.submit(world.document("a"))
        assert world.client.cancel_task(task_id)["code"] == "Canceled"
        assert world.client.cancel_task(task_id)["code"] == "TaskComplete"
        assert world.ended(task_id)["fatal_error"]["code"] == "CANCELED"

    def test_a_task_ends_at_its_deadline(self, world: World) -> None:
        world.service.workshop.hold()
        document = world.document("a", deadline="2999-01-01 00:00:00")
        task_id = world.submit(document)
        task = world.service.tasks[UUID(task_id)]
        assert task.ends_at.year == 2999
        task.ends_at = task.requested_at
        world.service.workshop.release()
        assert world.ended(task_id)["fatal_error"]["code"] == "EXPIRED"

    def test_tasks_are_found_by_their_ids(self, world: World) -> None:
        ids = [world.submit(world.document("a")) for _ in range(3)]
        found = world.client.task_list(filter={"task_id": ids[1:]}, limit=10)
        assert set(ids[1:]) == {task["task_id"] for task in found}


def _item(source: str, destination: str, **more: Any) -> dict[str, Any]:
    return {
        "DATA_TYPE": "transfer_item",
        "source_path": f"/{source}",
        "destination_path": f"/{destination}",
        **more,
    }


class TestTrouble:
    def test_missing_and_denied_files_are_skipped_where_they_may_be(self, world: World) -> None:
        world.service.collections[SOURCE].denied.add("/b")
        task_id = world.submit(world.document("nowhere", "b", "a", skip_source_errors=True))
        assert world.ended(task_id)["status"] == "SUCCEEDED"
        skipped = list(world.client.paginated.task_skipped_errors(task_id).items())
        assert [(entry["source_path"], entry["error_code"]) for entry in skipped] == [
            ("/nowhere", "FILE_NOT_FOUND"),
            ("/b", "PERMISSION_DENIED"),
        ]
        assert world.codes(task_id)[:2] == ["SUCCEEDED", "SKIPPED_ERRORS"]

    def test_they_end_the_task_where_they_may_not(self, world: World) -> None:
        task = world.ended(world.submit(world.document("nowhere", "a")))
        assert (task["status"], task["fatal_error"]["code"]) == ("FAILED", "FILE_NOT_FOUND")
        assert not (world.destination / "in" / "a").exists()

    @pytest.mark.parametrize("algorithm", [None, "SHA256"])
    def test_an_external_checksum_is_compared(self, world: World, algorithm: str | None) -> None:
        right = hashlib.new(algorithm or "md5", b"first").hexdigest()
        more = {"checksum_algorithm": algorithm} if algorithm else {}
        task_id = world.submit(world.document(DATA=[_item("a", "in/a", external_checksum=right.upper(), **more)]))
        assert world.ended(task_id)["status"] == "SUCCEEDED"
        success = world.client.task_successful_transfers(task_id)["DATA"][0]
        assert (success["checksum"], success["checksum_algorithm"]) == (right, algorithm or "MD5")
        wrong = world.ended(world.submit(world.document(DATA=[_item("b", "in/b", external_checksum=right, **more)])))
        assert wrong["fatal_error"]["code"] == "EXTERNAL_CHECKSUM_MISMATCH"
        assert not (world.destination / "in" / "b").exists()

    def test_damage_is_found_where_it_is_looked_for_and_carried_again(self, world: World) -> None:
        world.service.collections[DESTINATION].damages = {"/in/a": 1, "/in/b": 1}
        task_id = world.submit(world.document("a", verify_checksum=True))
        task = world.ended(task_id)
        assert (task["status"], task["faults"]) == ("SUCCEEDED", 1)
        assert "VERIFY_CHECKSUM" in world.codes(task_id)
        assert (world.destination / "in" / "a").read_bytes() == b"first"
        assert world.ended(world.submit(world.document("b", verify_checksum=False)))["faults"] == 0
        assert (world.destination / "in" / "b").read_bytes() == b"\xffecond!"

    @pytest.mark.parametrize("fails", [True, False])
    def test_a_full_quota_ends_a_task_that_wants_that(self, world: World, fails: bool) -> None:
        world.service.collections[DESTINATION].full = True
        task_id = world.submit(world.document("a", fail_on_quota_errors=fails))
        if fails:
            assert world.ended(task_id)["fatal_error"]["code"] == "QUOTA_EXCEEDED"
            return
        task = world.when(task_id, lambda task: task["faults"] > 0)
        assert (task["status"], task["nice_status"], task["is_ok"]) == ("ACTIVE", "QUOTA_EXCEEDED", False)
        world.service.collections[DESTINATION].full = False
        assert world.ended(task_id)["status"] == "SUCCEEDED"

    def test_a_paused_collection_holds_its_tasks(self, world: World) -> None:
        world.service.workshop.pause(DESTINATION, "the disks are exchanged")
        task_id = world.submit(world.document("a"))
        assert world.when(task_id, lambda task: task["is_paused"])["status"] == "ACTIVE"
        assert world.client.task_pause_info(task_id)["pause_rules"][0]["message"] == "the disks are exchanged"
        world.service.workshop.resume(DESTINATION)
        assert world.ended(task_id)["is_paused"] is False

    def test_a_task_whose_credentials_have_expired_waits(self, world: World) -> None:
        world.service.workshop.inactivate("log in again")
        task_id = world.submit(world.document("a"))
        task = world.when(task_id, lambda task: task["status"] == "INACTIVE")
        assert task["nice_status_details"] == "log in again"
        world.service.workshop.activate()
        assert world.ended(task_id)["status"] == "SUCCEEDED"

    def test_a_fault_is_told_and_passes(self, world: World) -> None:
        world.service.workshop.hold()
        task_id = world.submit(world.document("a"))
        world.service.workshop.fault("CONNECTION_RESET", "the server has hung up")
        task = world.when(task_id, lambda task: task["nice_status"] == "CONNECTION_RESET")
        assert (task["status"], task["faults"]) == ("ACTIVE", 1)
        world.service.workshop.release()
        assert world.ended(task_id)["nice_status"] is None


class TestFolders:
    def test_a_folder_is_listed_and_a_file_looked_at(self, world: World) -> None:
        (world.source / "folder").mkdir()
        listed = {entry["name"]: (entry["type"], entry["size"]) for entry in world.client.operation_ls(SOURCE, "/")}
        assert listed["a"] == ("file", 5)
        assert listed["folder"][0] == "dir"
        assert world.client.operation_stat(SOURCE, "/b")["size"] == 7

    @pytest.mark.parametrize(
        ("path", "status"),
        [("/nowhere", 404), ("/a/below", 404), ("/../destination", 403), ("/out", 403), ("relative", 403)],
    )
    def test_what_is_not_there_or_outside_is_refused(self, world: World, path: str, status: int) -> None:
        (world.source / "out").symlink_to(world.destination)
        for ask in (world.client.operation_ls, world.client.operation_stat):
            with pytest.raises(TransferAPIError) as raised:
                ask(SOURCE, path)
            assert raised.value.http_status == status

    @pytest.mark.parametrize("path", ["/../source/a", "/out/a", "/a\0b", "relative"])
    def test_nothing_is_carried_from_or_to_outside(self, world: World, path: str) -> None:
        (world.source / "out").symlink_to(world.destination)
        (world.destination / "out").symlink_to(world.source)
        for item in (_item("a", "in/a") | {"source_path": path}, _item("a", "") | {"destination_path": path}):
            task = world.ended(world.submit(world.document(DATA=[item])))
            assert (task["status"], task["files_transferred"]) == ("FAILED", 0)
        assert {"a", "b", "out"} == {path.name for path in world.source.iterdir()}


class TestAsking:
    @pytest.mark.parametrize("native", [True, False])
    def test_tokens_are_renewed(self, world: World, native: bool) -> None:
        client = client_of(world.service, native=native, retries=1)
        issued = world.service.tokens.num_issued
        client.get_submission_id()
        world.service.tokens.expire()
        client.get_submission_id()
        assert world.service.tokens.num_issued == issued + 1

    def test_a_wrong_secret_gets_no_token(self, world: World) -> None:
        with pytest.raises(GlobusAPIError) as raised:
            client_of(world.service, secret="another")
        assert raised.value.http_status == 401

    def test_more_requests_than_are_granted_are_refused(self, world: World) -> None:
        world.service.max_requests_per_s = 5
        with pytest.raises(TransferAPIError) as raised:
            for _ in range(6):
                world.client.get_submission_id()
        assert (raised.value.http_status, raised.value.headers["Retry-After"]) == (429, "1")

    def test_more_tasks_than_may_be_pending_are_refused(self, world: World) -> None:
        world.service.max_pending = 1
        world.service.workshop.hold()
        world.submit(world.document("a"))
        document = world.document("b")
        with pytest.raises(TransferAPIError) as raised:
            world.submit(document)
        assert raised.value.code == "LimitExceeded"
        world.service.workshop.release()
        world.ended(str(next(iter(world.service.tasks))))
        assert world.ended(world.submit(document))["status"] == "SUCCEEDED"

    def test_a_consent_that_is_missing_is_told(self, world: World) -> None:
        world.service.mapped = {DESTINATION}
        with pytest.raises(TransferAPIError) as raised:
            world.submit(world.document("a"))
        assert raised.value.info.consent_required is not None
        assert raised.value.info.consent_required.required_scopes == [
            f"{TransferScopes.all}[*https://auth.globus.org/scopes/{DESTINATION}/data_access]"
        ]

    def test_what_a_test_wants_refused_is_refused_and_nothing_done(self, world: World) -> None:
        document = world.document("a")
        world.service.fail_next(1, 503, "ServiceUnavailable", path="transfer", retry_after_s=7)
        with pytest.raises(TransferAPIError) as raised:
            world.submit(document)
        assert (raised.value.code, raised.value.headers["Retry-After"]) == ("ServiceUnavailable", "7")
        assert world.service.tasks == {}
        assert world.client.submit_transfer(document)["code"] == "Accepted"

    @pytest.mark.parametrize(
        "changes",
        [
            {"DATA": []},
            {"DATA": ["a"]},
            {"DATA": None},
            {"DATA": [_item("a", "b", checksum_algorithm="CRC0")]},
            {"DATA": [_item("a", "b", recursive=True)]},
            {"DATA": [_item("a", "b", size=3)]},
            {"sync_level": 4},
            {"sync_level": True},
            {"deadline": "yesterday"},
            {"deadline": "2001-01-01"},
            {"label": " blank"},
            {"verify_checksum": "yes"},
            {"submission_id": "00000000-0000-4000-8000-000000000000"},
            {"source_endpoint": "no id"},
            {"unknown": 1},
        ],
        ids=str,
    )
    def test_a_document_that_is_not_right_is_refused(self, world: World, changes: dict[str, Any]) -> None:
        with pytest.raises(TransferAPIError) as raised:
            world.client.submit_transfer(world.document("a") | changes)
        assert (raised.value.http_status, raised.value.code) == (400, "ClientError.BadRequest")

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"], ids=repr)
    def test_a_body_that_is_none_is_refused(self, world: World, body: bytes) -> None:
        world.client.get_submission_id()
        token = world.client.authorizer.get_authorization_header()
        assert isinstance(token, str)
        url = f"{world.service.url}/v0.10/transfer"
        answer = urllib3.request("POST", url, body=body, headers={"Authorization": token}, retries=False)
        assert answer.status == 400

    @pytest.mark.parametrize("length", ["-1", "many", "1" * 30])
    def test_a_length_that_is_none_is_refused(self, world: World, length: str) -> None:
        url = f"{world.service.url}/v0.10/transfer"
        answer = urllib3.request("POST", url, body=b"", headers={"Content-Length": length}, retries=False)
        assert answer.status in (400, 413)

    def test_who_has_no_token_is_told_nothing(self, world: World) -> None:
        answer = urllib3.request("GET", f"{world.service.url}/v0.10/task_list", retries=False)
        assert (answer.status, answer.json()["code"]) == (401, "AuthenticationFailed")

    def test_an_unknown_task_or_collection_is_not_found(self, world: World) -> None:
        for ask in (
            lambda: world.client.get_task(uuid4()),
            lambda: world.client.operation_ls(uuid4(), "/"),
            lambda: world.submit(world.document("a", source_endpoint=str(uuid4()))),
        ):
            with pytest.raises(TransferAPIError) as raised:
                ask()
            assert raised.value.http_status == 404
