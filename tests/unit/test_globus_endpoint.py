"""The Globus endpoint, when Globus, the network, or this process does not do what was hoped for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest

from dts_fsm.config import EndpointConfig
from dts_fsm.endpoints.globus.client import Account
from dts_fsm.endpoints.globus.endpoint import GlobusEndpoint
from dts_fsm.endpoints.globus.journal import Journal
from dts_fsm.endpoints.globus.pace import Slots
from dts_fsm.endpoints.globus.settings import GlobusSettings
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.errors import (
    IncompatibleDestinationError,
    InvalidEndpointConfigError,
    PermanentError,
    TransientError,
    UnauthorizedError,
)
from dts_fsm.records import (
    Checksum,
    Descriptor,
    FileOutcome,
    FileState,
    FileTransfer,
    OperationCode,
    OperationStatus,
    Overwrite,
)
from dts_fsm.testing.endpoint_pair import checksum, file_of, wait_for_end
from dts_fsm.testing.globus import GlobusService
from dts_fsm.testing.json_service import Reply, Request
from tests.servers.globus import HERE, THERE, Globus

CHECKOUT = Path(__file__).parents[2]


@attrs.frozen
class World:
    """A source with the files a, b and c, and somewhere to move them."""

    globus: Globus
    source: GlobusEndpoint
    destination: GlobusEndpoint

    @property
    def service(self) -> GlobusService:
        return self.globus.service

    def put(self, path: str, content: bytes) -> FileTransfer:
        file = self.globus.root(HERE) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file_of(path, content)

    def there(self) -> dict[str, bytes]:
        root = self.globus.root(THERE) / "delivered"
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def begin(self, files: Sequence[FileTransfer], operation: UUID | None = None) -> UUID:
        return self.source.transfer(self.destination, files, operation_id=operation or uuid4())

    def status(self, handle: UUID) -> OperationStatus:
        return self.source.statuses([handle])[handle]

    def move(self, files: Sequence[FileTransfer]) -> OperationStatus:
        return wait_for_end(self.source, self.begin(files))

    def when(self, handle: UUID, is_so: Callable[[OperationStatus], bool]) -> OperationStatus:
        for _ in range(1000):
            status = self.status(handle)
            if is_so(status):
                return status
            threading.Event().wait(0.005)
        raise TimeoutError(str(status))


@pytest.fixture
def world(globus: Globus) -> World:
    return World(globus, globus.endpoint(HERE), globus.endpoint(THERE, name="there"))


def files_of(world: World) -> list[FileTransfer]:
    return [world.put(name, f"content of {name}".encode()) for name in "abc"]


def outcomes(status: OperationStatus) -> dict[str, tuple[FileState, str | None]]:
    return {outcome.id.removeprefix("id of "): (outcome.state, outcome.reason) for outcome in status.files}


ARRIVED = (FileState.TRANSFERRED, None)


class TestSubmission:
    def test_the_journal_has_the_document_before_globus_has_it(self, world: World, globus: Globus) -> None:
        found: list[Any] = []

        def look(request: Request, reply: Reply) -> Reply:
            if request.path.endswith("/transfer"):
                journaled = list((globus.folder / "state" / "globus").glob("*/0.0.json"))
                found.append([json.loads(each.read_text())["document"] for each in journaled] == [request.json()])
            return reply

        world.service.alter = look
        assert world.move(files_of(world)).code is OperationCode.SUCCEEDED
        assert found == [True]

    @pytest.mark.parametrize("restart", [True, False])
    def test_a_lost_answer_makes_no_second_task(self, world: World, globus: Globus, restart: bool) -> None:
        files, operation = files_of(world), uuid4()
        world.service.lose_answers(2)  # the SDK asks twice
        with pytest.raises(TransientError):
            world.begin(files, operation)
        if restart:
            world = attrs.evolve(world, source=globus.endpoint(HERE))
        world.begin(files, operation)
        status = wait_for_end(world.source, operation)
        assert (status.code, len(world.service.tasks)) == (OperationCode.SUCCEEDED, 1)
        assert {each["submission_id"] for each in world.service.submissions} == {
            world.service.submissions[0]["submission_id"]
        }

    def test_a_lost_answer_is_asked_for_again_by_whoever_asks_how_it_stands(self, world: World) -> None:
        files, operation = files_of(world), uuid4()
        world.service.lose_answers(2)
        with pytest.raises(TransientError):
            world.begin(files, operation)
        assert wait_for_end(world.source, operation).code is OperationCode.SUCCEEDED
        assert len(world.service.tasks) == 1

    def test_a_process_that_is_killed_while_it_submits_is_followed_by_one_that_finds_the_task(
        self, world: World, globus: Globus
    ) -> None:
        files, operation = files_of(world), uuid4()
        script = f"""
import sys
sys.path.insert(0, {str(CHECKOUT)!r})
from pathlib import Path
from uuid import UUID
from dts_fsm.config import Credential, EndpointConfig, Secret
from dts_fsm.endpoints.globus.endpoint import GlobusEndpoint
from dts_fsm.testing.endpoint_pair import file_of

def endpoint(id, name):
    options = {globus.options()!r}
    tokens = Credential(name="app", id={world.service.tokens.client_id!r}, secret=Secret(sys.argv[1]))
    state = Path({str(globus.folder)!r}) / "state" / name
    return GlobusEndpoint.from_config(EndpointConfig(
        key=name, id=id, provider="globus", credential=tokens, state_dir=state, options=options))

files = [file_of(name, f"content of {{name}}".encode()) for name in "abc"]
endpoint({str(HERE)!r}, "globus").transfer(
    endpoint({str(THERE)!r}, "there"), files, operation_id=UUID({str(operation)!r}))
"""
        process = subprocess.Popen([sys.executable, "-c", script, world.service.tokens.client_secret])

        def kill(request: Request, reply: Reply) -> Reply:
            if request.path.endswith("/transfer"):
                os.kill(process.pid, signal.SIGKILL)
            return reply

        world.service.alter = kill
        assert process.wait(60) == -signal.SIGKILL
        world.service.alter = None
        assert [UUID(str(operation))] == list(globus.endpoint(HERE).transfers())
        world.begin(files, operation)
        status = wait_for_end(world.source, operation)
        assert (status.code, status.num_files_transferred) == (OperationCode.SUCCEEDED, 3)
        assert (len(world.service.tasks), set(world.there())) == (1, set("abc"))

    def test_settings_and_checksums_are_in_the_document(self, world: World, globus: Globus) -> None:
        options = {"sync_level": "size", "verify_checksum": False, "encrypt_data": False, "label": "ours"}
        source = globus.endpoint(HERE, name="other", deadline=3600.0, **options)
        files = [
            world.put("a", b"first"),
            attrs.evolve(world.put("b", b"second"), hash=checksum(b"second", "md5")),
            attrs.evolve(world.put("c", b"third"), hash=None),
        ]
        operation = uuid4()
        source.transfer(world.destination, files, operation_id=operation)
        document = world.service.submissions[0]
        assert {name: document[name] for name in ("sync_level", "verify_checksum", "encrypt_data")} == {
            "sync_level": 1,
            "verify_checksum": False,
            "encrypt_data": False,
        }
        assert document["label"] == f"ours {operation}"
        task = next(iter(world.service.tasks.values()))
        assert 3500 < (task.ends_at - task.requested_at).total_seconds() <= 3600
        assert [("SHA256", files[0].hash.digest), ("MD5", files[1].hash.digest), (None, None)] == [  # type: ignore[union-attr]
            (item.get("checksum_algorithm"), item.get("external_checksum")) for item in document["DATA"]
        ]
        assert [(item["source_path"], item["destination_path"]) for item in document["DATA"][:1]] == [
            ("/a", "/delivered/a")
        ]
        assert wait_for_end(source, operation).code is OperationCode.SUCCEEDED

    @pytest.mark.parametrize(
        ("policy", "level"), [(Overwrite.NEVER, 0), (Overwrite.IF_DIFFERENT, 3), (Overwrite.ALWAYS, None)]
    )
    def test_what_may_be_replaced_decides_the_level(self, world: World, policy: Overwrite, level: int | None) -> None:
        world.move([attrs.evolve(world.put("a", b"first"), overwrite=policy)])
        assert world.service.submissions[0].get("sync_level") == level

    def test_a_checksum_that_globus_cannot_compare_is_refused_unless_that_is_accepted(
        self, world: World, globus: Globus
    ) -> None:
        file = attrs.evolve(world.put("a", b"first"), hash=Checksum("blake3", "0" * 64))
        status = world.move([file])
        assert (status.code, status.reason, world.service.submissions) == (OperationCode.FAILED, "unknown checksum", [])
        assert "accept_other_hashes" in str(status.files[0].error)
        source = globus.endpoint(HERE, name="easy", accept_other_hashes=True)
        operation = uuid4()
        source.transfer(world.destination, [file], operation_id=operation)
        assert wait_for_end(source, operation).code is OperationCode.SUCCEEDED

    def test_a_path_that_globus_takes_for_a_home_folder_is_refused(self, world: World, globus: Globus) -> None:
        file = world.put("~/a", b"first")
        status = world.move([file, world.put("b", b"second")])
        assert outcomes(status) == {"~/a": (FileState.FAILED, "unsafe path"), "b": ARRIVED}
        assert world.source.files_staged([Descriptor(id="1", path="~/a", bytes=5)]) == {"1": False}
        home = globus.endpoint(HERE, name="home", root="/~")  # whoever configures it means it
        assert home.files_staged([Descriptor(id="1", path="a", bytes=5)]) == {"1": True}

    def test_a_large_move_is_made_in_parts(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dts_fsm.endpoints.globus.submission.MAX_ITEMS", 4)
        files = [world.put(f"{i}", b"x" * i) for i in range(10)]
        status = world.move(files)
        assert (status.code, status.num_files_transferred, len(world.service.tasks)) == (OperationCode.SUCCEEDED, 10, 3)

    def test_more_tasks_than_globus_takes_wait_here(self, world: World, globus: Globus) -> None:
        settings = GlobusSettings.from_config(globus.config(HERE, name="slow"))
        source = GlobusEndpoint(settings, account=Account(settings.identity, slots=Slots(1)))
        world.service.workshop.hold()
        files = files_of(world)
        handles = [source.transfer(world.destination, [file], operation_id=uuid4()) for file in files]
        status = source.statuses(handles)[handles[2]]
        assert (len(world.service.tasks), status.code) == (1, OperationCode.RUNNING)
        assert status.message == "waits, as Globus takes 1 tasks of a user at once"
        world.service.workshop.release()
        assert [wait_for_end(source, handle).code for handle in handles] == [OperationCode.SUCCEEDED] * 3

    def test_another_kind_of_endpoint_is_no_destination(self, world: World, tmp_path: Path) -> None:
        with pytest.raises(IncompatibleDestinationError):
            world.source.transfer(LocalEndpoint(root=tmp_path), files_of(world), operation_id=uuid4())

    def test_a_service_that_refuses_for_good_is_quoted(self, world: World) -> None:
        world.service.fail_next(1, 400, "ClientError.BadRequest", path="transfer")
        status = world.move(files_of(world))
        assert (status.code, status.reason, status.transient) == (OperationCode.FAILED, "refused", False)
        assert "ClientError.BadRequest: not now" in status.message

    def test_a_deadline_counts_from_the_submission_however_long_that_has_waited(
        self, world: World, globus: Globus
    ) -> None:
        source, operation = globus.endpoint(HERE, deadline=2.0), uuid4()
        world.service.lose_answers(2)
        world.service.workshop.hold()
        with pytest.raises(TransientError):
            source.transfer(world.destination, files_of(world), operation_id=operation)
        task = next(iter(world.service.tasks.values()))
        assert (task.ends_at - task.requested_at).total_seconds() <= 2
        world.service.tasks.clear()
        for id_ in world.service._submission_ids:
            world.service._submission_ids[id_] = None  # as if it had never come there
        threading.Event().wait(2.1)
        world.service.workshop.release()
        assert wait_for_end(source, operation).code is OperationCode.SUCCEEDED


class TestWaiting:
    def test_a_paused_collection_suspends_its_moves_and_says_why(self, world: World) -> None:
        world.service.workshop.pause(THERE, "the disks are exchanged")
        handle = world.begin(files_of(world))
        status = world.when(handle, lambda status: status.code is OperationCode.SUSPENDED)
        assert status.message == "an administrator has paused the collection: the disks are exchanged"
        world.service.workshop.resume(THERE)
        assert wait_for_end(world.source, handle).code is OperationCode.SUCCEEDED

    def test_expired_credentials_at_a_collection_suspend_its_moves(self, world: World) -> None:
        world.service.workshop.inactivate("log in to the collection again")
        handle = world.begin(files_of(world))
        status = world.when(handle, lambda status: status.code is OperationCode.SUSPENDED)
        assert status.message == "Globus: AUTH: log in to the collection again"
        world.service.workshop.activate()
        assert wait_for_end(world.source, handle).code is OperationCode.SUCCEEDED

    def test_a_fault_is_a_message_and_no_failure(self, world: World) -> None:
        world.service.workshop.hold()
        handle = world.begin(files_of(world))
        world.service.workshop.fault("CONNECTION_RESET", "the server has hung up")
        status = world.when(handle, lambda status: bool(status.message))
        assert (status.code, status.message) == (
            OperationCode.RUNNING,
            "Globus: CONNECTION_RESET: the server has hung up",
        )
        world.service.workshop.release()
        ended = wait_for_end(world.source, handle)
        assert (ended.code, ended.message) == (OperationCode.SUCCEEDED, "")

    def test_a_queued_task_is_no_news(self, world: World) -> None:
        world.service.workshop.hold()
        files = [*files_of(world), world.put("d", b"d")]
        handles = [world.begin([file]) for file in files]
        assert {(OperationCode.RUNNING, "")} == {
            (status.code, status.message) for status in world.source.statuses(handles).values()
        }
        world.service.workshop.release()
        for handle in handles:
            wait_for_end(world.source, handle)

    def test_all_moves_are_asked_about_in_one_request(self, world: World) -> None:
        handles = [world.begin([world.put(f"{i}", b"x")]) for i in range(7)]
        before = len(world.service.requests)
        world.service.workshop.hold()
        world.source.statuses(handles)
        listed = [each.path for each in world.service.requests[before:] if "task_list" in each.path]
        assert len(listed) == 1
        world.service.workshop.release()
        for handle in handles:
            wait_for_end(world.source, handle)

    def test_damage_on_the_way_is_carried_again(self, world: World) -> None:
        world.service.collections[THERE].damages = {"/delivered/a": 2}
        status = world.move(files_of(world))
        assert (status.code, world.there()["a"]) == (OperationCode.SUCCEEDED, b"content of a")

    def test_no_answer_to_a_question_is_asked_for_again(self, world: World) -> None:
        handle = world.begin(files_of(world))
        world.service.lose_answers(2, "task_list")
        with pytest.raises(TransientError):
            world.status(handle)
        assert wait_for_end(world.source, handle).code is OperationCode.SUCCEEDED

    @pytest.mark.parametrize(("status", "said"), [(429, "too often"), (503, "could not answer")])
    def test_a_service_that_is_overloaded_is_left_alone_for_as_long_as_it_says(
        self, world: World, monkeypatch: pytest.MonkeyPatch, status: int, said: str
    ) -> None:
        held: list[float] = []
        monkeypatch.setattr(world.source._account.pace, "hold", held.append)
        files, before = files_of(world), len(world.service.requests)
        world.service.fail_next(2, status, "NotNow", retry_after_s=30)
        with pytest.raises(TransientError, match=said):
            world.begin(files)
        refused = [each for each in world.service.requests[before:] if "submission_id" in each.path]
        assert (held, len(refused)) == ([30.0], 1)

    def test_tokens_are_renewed(self, world: World) -> None:
        handle = world.begin(files_of(world))
        world.service.tokens.expire()
        assert wait_for_end(world.source, handle).code is OperationCode.SUCCEEDED
        assert world.service.tokens.num_issued == 2


class TestReport:
    def test_missing_and_denied_files_are_told_with_their_paths_and_the_others_arrive(self, world: World) -> None:
        world.service.page_size = 2
        world.service.collections[HERE].denied = {"/deep/b"}
        gone = [file_of(f"gone/{i}", b"x") for i in range(5)]
        status = world.move([*gone, world.put("a", b"first"), world.put("deep/b", b"second")])
        assert (status.code, status.reason, status.transient) == (OperationCode.FAILED, "not found", False)
        expected = {f"gone/{i}": (FileState.FAILED, "not found") for i in range(5)}
        assert outcomes(status) == expected | {"a": ARRIVED, "deep/b": (FileState.FAILED, "denied")}
        errors = {outcome.id: str(outcome.error) for outcome in status.files if outcome.error}
        assert errors["id of gone/3"].startswith("gone/3 is not at the source: ")
        assert errors["id of deep/b"].startswith("deep/b may not be read or written: ")
        assert world.there() == {"a": b"first"}

    def test_a_file_of_another_content_ends_the_task_and_the_others_arrive_by_the_next(self, world: World) -> None:
        files = files_of(world)
        files[1] = attrs.evolve(files[1], hash=checksum(b"something else"))
        status = world.move(files)
        assert outcomes(status) == {"a": ARRIVED, "b": (FileState.FAILED, "checksum mismatch"), "c": ARRIVED}
        assert (status.reason, set(world.there()), len(world.service.tasks)) == ("checksum mismatch", {"a", "c"}, 2)

    def test_what_was_there_with_another_size_has_not_arrived(self, world: World, globus: Globus) -> None:
        world = attrs.evolve(world, source=globus.endpoint(HERE, sync_level="exists"))
        file = world.put("a", b"the right content")
        (globus.root(THERE) / "delivered").mkdir()
        (globus.root(THERE) / "delivered" / "a").write_bytes(b"bad")
        status = world.move([file])
        assert (status.code, outcomes(status)) == (OperationCode.FAILED, {"a": (FileState.FAILED, "size mismatch")})

    def test_what_was_there_is_carried_again_where_there_is_a_checksum_to_compare_it_with(
        self, world: World, globus: Globus
    ) -> None:
        files = files_of(world)
        (globus.root(THERE) / "delivered").mkdir()
        for name in "abc":
            (globus.root(THERE) / "delivered" / name).write_bytes(f"content of {name}".encode())
        files[1] = attrs.evolve(files[1], hash=checksum(b"what both ends do not have"))
        files[2] = attrs.evolve(files[2], hash=None)
        status = world.move(files)
        expected = {"b": (FileState.FAILED, "checksum mismatch"), "c": (FileState.SKIPPED, None)}
        assert outcomes(status) == {"a": ARRIVED, **expected}
        assert [each.get("sync_level") for each in world.service.submissions] == [3, None]

    def test_a_folder_is_no_file(self, world: World) -> None:
        world.put("folder/x", b"x")
        status = world.move([file_of("folder", b"12"), *files_of(world)])
        assert outcomes(status) == {
            "folder": (FileState.FAILED, "not a file"),
            **dict.fromkeys("abc", ARRIVED),
        }

    def test_a_full_destination_is_told(self, world: World) -> None:
        world.service.collections[THERE].full = True
        status = world.move(files_of(world))
        assert (status.code, status.reason, status.transient) == (OperationCode.FAILED, "quota", False)
        assert outcomes(status) == dict.fromkeys("abc", (FileState.FAILED, "quota"))

    def test_a_task_that_its_deadline_ended_is_told(self, world: World) -> None:
        world.service.workshop.hold()
        handle = world.begin(files_of(world))
        task = next(iter(world.service.tasks.values()))
        task.ends_at = task.requested_at
        world.service.workshop.release()
        status = wait_for_end(world.source, handle)
        assert (status.code, status.reason) == (OperationCode.FAILED, "deadline")

    def test_a_task_that_globus_has_forgotten_failed_and_may_be_tried_again(self, world: World) -> None:
        world.service.workshop.hold()
        handle = world.begin(files_of(world))
        world.service.tasks.clear()
        status = wait_for_end(world.source, handle)
        assert (status.code, status.transient) == (OperationCode.FAILED, True)
        assert "does not know the task" in status.message

    def test_what_is_said_of_paths_that_were_not_submitted_is_not_listened_to(self, world: World) -> None:
        invented = {"source_path": "/x", "destination_path": "/delivered/x", "size": 1}

        def invent(request: Request, reply: Reply) -> Reply:
            if request.path.endswith("/successful_transfers"):
                reply[1]["DATA"] = [*reply[1]["DATA"][:1], invented]
            return reply

        world.service.alter = invent
        status = world.move(files_of(world))
        assert outcomes(status)["a"] == ARRIVED
        assert (status.code, status.transient) == (OperationCode.FAILED, True)
        assert {outcome.id for outcome in status.files} == {f"id of {name}" for name in "abc"}

    @pytest.mark.parametrize(
        "answer",
        [{"DATA": "none"}, {"DATA": [3]}, {"DATA": [{}] * 1004}, {"DATA": [{}], "next_marker": 0}, [], {}],
        ids=["text", "numbers", "too many", "endless", "a list", "nothing"],
    )
    def test_a_list_that_is_none_is_asked_for_again(self, world: World, answer: Any) -> None:
        handle = world.begin(files_of(world))
        broken = threading.Event()

        def spoil(request: Request, reply: Reply) -> Reply:
            return (200, answer) if request.path.endswith("/successful_transfers") and not broken.is_set() else reply

        world.service.alter = spoil
        status = world.when(handle, lambda status: bool(status.message))
        assert (status.code, "Globus" in status.message) == (OperationCode.RUNNING, True)
        broken.set()
        assert wait_for_end(world.source, handle).code is OperationCode.SUCCEEDED

    @pytest.mark.parametrize(
        "said",
        [
            {"files_transferred": 10**400},
            {"files_transferred": "many"},
            {"bytes_transferred": -5},
            {"status": None},
            {"status": "ENDED"},
            {"nice_status": {"a": [1]}},
            {"nice_status": ["x"], "nice_status_details": "\udcff\n\x1b[31m"},
        ],
        ids=", ".join,
    )
    def test_a_task_that_is_told_strangely_goes_on(self, world: World, said: dict[str, Any]) -> None:
        world.service.workshop.hold()
        handle = world.begin(files_of(world))

        def spoil(request: Request, reply: Reply) -> Reply:
            if request.path.endswith("task_list"):
                for task in reply[1]["DATA"]:
                    task.update(said)
            return reply

        world.service.alter = spoil
        assert world.status(handle).code is OperationCode.RUNNING
        world.service.alter = None
        world.service.workshop.release()
        assert wait_for_end(world.source, handle).code is OperationCode.SUCCEEDED

    def test_the_answer_is_the_same_for_the_next_process(self, world: World, globus: Globus) -> None:
        handle = world.begin([*files_of(world), file_of("gone", b"x")])
        ended = wait_for_end(world.source, handle)
        before = len(world.service.requests)
        assert globus.endpoint(HERE).statuses([handle])[handle] == ended
        assert len(world.service.requests) == before

    def test_sizes_that_globus_does_not_tell_are_looked_at(self, world: World) -> None:
        def forget(request: Request, reply: Reply) -> Reply:
            if request.path.endswith("/successful_transfers"):
                for entry in reply[1]["DATA"]:
                    del entry["size"], entry["checksum"]
            return reply

        world.service.alter = forget
        status = world.move([attrs.evolve(world.put("a", b"first"), bytes=None, hash=None)])
        assert status.files == (FileOutcome(id="id of a", state=FileState.TRANSFERRED, observed_bytes=5),)

    def test_a_process_that_dies_between_a_task_and_the_next_leaves_nothing_undone(
        self, world: World, globus: Globus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = files_of(world)
        files[1] = attrs.evolve(files[1], hash=checksum(b"something else"))
        handle = world.begin(files)

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Journal, "add_ending", die)
            with pytest.raises(KeyboardInterrupt):
                wait_for_end(world.source, handle)
        status = wait_for_end(globus.endpoint(HERE), handle)
        assert outcomes(status) == {"a": ARRIVED, "b": (FileState.FAILED, "checksum mismatch"), "c": ARRIVED}
        assert len(world.service.tasks) == 2

    def test_a_damaged_journal_is_told_and_keeps_no_other_move_from_being_known(self, world: World) -> None:
        world.service.workshop.hold()
        handles = [world.begin([file]) for file in files_of(world)]
        (world.globus.folder / "state" / "globus" / str(handles[1]) / "move.json").write_text("{")
        world.service.workshop.release()
        for handle in (handles[0], handles[2]):
            assert wait_for_end(world.source, handle).code is OperationCode.SUCCEEDED
        status = world.status(handles[1])
        assert (status.code, "is damaged" in status.message) == (OperationCode.RUNNING, True)


class TestCanceling:
    def test_a_task_is_canceled_and_what_had_arrived_stays(self, world: World) -> None:
        world.service.workshop.hold()
        handle = world.begin(files_of(world))
        world.source.cancel(handle)
        status = wait_for_end(world.source, handle)
        assert (status.code, status.files, world.there()) == (OperationCode.CANCELED, (), {})
        assert next(iter(world.service.tasks.values())).fatal == ("CANCELED", "The task was canceled by its owner")

    def test_a_task_whose_answer_was_lost_is_found_and_canceled(self, world: World) -> None:
        world.service.workshop.hold()
        operation = uuid4()
        world.service.lose_answers(2)
        with pytest.raises(TransientError):
            world.begin(files_of(world), operation)
        world.source.cancel(operation)
        assert wait_for_end(world.source, operation).code is OperationCode.CANCELED
        assert [task.status for task in world.service.tasks.values()] == ["FAILED"]

    def test_somebody_else_may_cancel_it_at_globus(self, world: World) -> None:
        world.service.workshop.hold()
        handle = world.begin(files_of(world))
        world.service.workshop.canceled(next(iter(world.service.tasks.values())), within_s=10)
        assert wait_for_end(world.source, handle).code is OperationCode.CANCELED

    def test_it_is_asked_for_again_by_the_next_process(self, world: World, globus: Globus) -> None:
        world.service.workshop.hold()
        handle = world.begin(files_of(world))
        world.service.lose_answers(2, f"task/{next(iter(world.service.tasks))}/cancel")
        world.service.fail_next(2, 503, "ServiceUnavailable", path="task/")
        with pytest.raises(TransientError):
            world.source.cancel(handle)
        assert wait_for_end(globus.endpoint(HERE), handle).code is OperationCode.CANCELED


class TestCredentials:
    def test_who_is_not_let_in_is_told_so_without_the_secret(self, world: World, globus: Globus) -> None:
        config = globus.config(HERE)
        assert config.credential is not None
        world.service.tokens.client_secret = "changed since"
        source = GlobusEndpoint.from_config(config)
        for ask in (
            lambda: source.transfer(world.destination, files_of(world), operation_id=uuid4()),
            lambda: source.files_staged([Descriptor(id="a", path="a", bytes=3)]),
        ):
            with pytest.raises(PermanentError) as raised:
                ask()
            assert isinstance(raised.value, UnauthorizedError)
            assert config.credential.secret is not None
            assert config.credential.secret.reveal() not in str(raised.value)

    def test_a_credential_that_is_revoked_meanwhile_suspends_what_goes_on_at_globus(self, world: World) -> None:
        handle = world.begin(files_of(world))
        secret, world.service.tokens.client_secret = world.service.tokens.client_secret, "changed since"
        world.service.tokens.expire()
        status = world.status(handle)
        assert (status.code, "does not accept the credential" in status.message) == (OperationCode.SUSPENDED, True)
        world.service.tokens.client_secret = secret
        assert wait_for_end(world.source, handle).code is OperationCode.SUCCEEDED

    def test_a_consent_that_is_missing_is_named(self, world: World) -> None:
        world.service.mapped = {THERE}
        with pytest.raises(PermanentError, match="log in again with the scopes urn:globus:auth:scope"):
            world.begin(files_of(world))

    def test_a_credential_that_is_revoked_after_a_lost_answer_makes_no_second_task(self, world: World) -> None:
        files, operation = files_of(world), uuid4()
        world.service.lose_answers(2)
        with pytest.raises(TransientError):
            world.begin(files, operation)
        secret, world.service.tokens.client_secret = world.service.tokens.client_secret, "changed since"
        world.service.tokens.expire()
        with pytest.raises(TransientError, match="does not accept the credential"):
            world.begin(files, operation)
        assert world.status(operation).code is OperationCode.SUSPENDED
        world.service.tokens.client_secret = secret
        assert wait_for_end(world.source, operation).code is OperationCode.SUCCEEDED
        assert len(world.service.tasks) == 1

    def test_an_app_consents_where_the_configuration_says_so(self, world: World, globus: Globus) -> None:
        world.service.mapped = {HERE, THERE}
        with pytest.raises(PermanentError):
            world.begin(files_of(world))
        source, destination = globus.endpoint(HERE, data_access=True), globus.endpoint(THERE, data_access=True)
        operation = uuid4()
        source.transfer(destination, files_of(world), operation_id=operation)
        assert wait_for_end(source, operation).code is OperationCode.SUCCEEDED

    def test_somebody_who_has_logged_in_is_known_by_a_refresh_token(self, world: World, globus: Globus) -> None:
        tokens = world.service.tokens
        config = globus.config(HERE, name="native", refresh_token=tokens.refresh_token)
        assert config.credential is not None
        config = attrs.evolve(config, credential=attrs.evolve(config.credential, id=tokens.native_id, secret=None))
        source = GlobusEndpoint.from_config(config)
        operation = uuid4()
        source.transfer(world.destination, files_of(world), operation_id=operation)
        assert wait_for_end(source, operation).code is OperationCode.SUCCEEDED


class TestFolders:
    def test_one_request_looks_at_all_files_of_a_folder(self, world: World) -> None:
        files = [world.put(f"folder/{i}", b"x" * i) for i in range(30)]
        descriptors = [Descriptor(id=file.id, path=file.source_path, bytes=file.bytes) for file in files]
        assert set(world.source.files_staged(descriptors).values()) == {True}
        assert len(world.service.asked_for("v0.10/operation")) == 1

    def test_a_collection_that_may_not_be_read_is_an_error(self, world: World) -> None:
        world.service.collections[HERE].denied = {"/folder"}
        with pytest.raises(PermanentError, match="does not permit"):
            world.source.files_staged([Descriptor(id=f"{i}", path=f"folder/{i}", bytes=1) for i in range(2)])

    def test_the_root_is_that_of_the_machine_where_it_is_told(self, globus: Globus) -> None:
        source = globus.endpoint(HERE, root="/dts/payload", base_path="/srv/globus")
        assert (source.root, source.place.folder) == ("/srv/globus/dts/payload", "/dts/payload")


class TestConfiguration:
    @pytest.mark.parametrize(
        ("key", "value", "said"),
        [
            ("sync_level", "sometimes", "must be one of exists, size, mtime, checksum"),
            ("requests_per_s", 21.0, "can be 20 at most"),
            ("label", " x", "must be one line"),
            ("label", "x" * 92, "must be one line"),
            ("transfer_url", "http://example.org", "must begin with https"),
            ("auth_url", "ftp://example.org", "must be a URL"),
            ("base_path", "srv", "must be the path of a folder"),
            ("data_path", "../x", "must be a folder of the collection"),
            ("deadline", 1e12, "can be"),
            ("unknown", 1, "unknown"),
        ],
    )
    def test_a_wrong_option_is_named(self, globus: Globus, key: str, value: Any, said: str) -> None:
        with pytest.raises(InvalidEndpointConfigError, match=said) as raised:
            globus.endpoint(HERE, **{key: value})
        assert raised.value.key == f"endpoints.globus.{key}"

    @pytest.mark.parametrize("changes", [{"credential": None}, {"state_dir": None}])
    def test_what_is_missing_is_named(self, globus: Globus, changes: dict[str, Any]) -> None:
        config: EndpointConfig = attrs.evolve(globus.config(HERE), **changes)
        with pytest.raises(InvalidEndpointConfigError, match="is missing"):
            GlobusEndpoint.from_config(config)
