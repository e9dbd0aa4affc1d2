"""The orchestrator as hosts use it: with its threads, over fakes and over real folders."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from dts_fsm import (
    AlreadyRunningError,
    Config,
    ConfigurationError,
    DuplicateFilesError,
    IdempotencyConflictError,
    InvalidServiceConfigError,
    NoDatabasesAvailableError,
    NothingToRetryError,
    NotRunningError,
    Orchestrator,
    PermissionDeniedError,
    ServiceConfig,
    Specification,
    SpecificationError,
    SqliteStore,
    StoreDamagedError,
    StoreError,
    TransferNotFoundError,
    UnavailableError,
    User,
    WaitTimeoutError,
)
from dts_fsm.records import Operation, OperationCode, OperationRequest, OperationStatus, Transfer
from dts_fsm.testing import ORCID, FakeDatabase, FakeEndpoint, ManualClock

STRANGER = "0000-0001-5109-3700"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


class World:
    """Two fake databases, and orchestrators over them that share a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source_endpoint = FakeEndpoint("source", sees=folder)
        self.destination_endpoint = FakeEndpoint("destination")
        self.source = FakeDatabase("genomes", endpoint=self.source_endpoint, endpoint_name="source")
        self.destination = FakeDatabase("archive", endpoint=self.destination_endpoint, endpoint_name="destination")
        for name in ("a", "b", "c"):
            self.source.add(name, f"content of {name}".encode())

    def orchestrator(self, settings: dict[str, Any] | None = None, **changes: Any) -> Orchestrator:
        service = {"data_dir": self.folder, "endpoint": "source", "retry_delay_s": 0.01} | (settings or {})
        return Orchestrator(
            Config(service=ServiceConfig(**service)),
            **(
                {
                    "databases": {"genomes": self.source, "archive": self.destination},
                    "endpoints": {"source": self.source_endpoint, "destination": self.destination_endpoint},
                }
                | changes
            ),
        )


def specification(*file_ids: str, **changes: Any) -> Specification:
    fields: dict[str, Any] = {
        "source": "genomes",
        "destination": "archive",
        "file_ids": file_ids or ("a",),
        "user": User(name="Ada", orcid=ORCID),
    }
    return Specification(**(fields | changes))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def dts(world: World) -> Iterator[Orchestrator]:
    with world.orchestrator() as dts:
        yield dts


class TestLife:
    def test_it_runs_between_start_and_stop(self, world: World) -> None:
        dts = world.orchestrator()
        assert not dts.running
        dts.start()
        assert dts.running
        with pytest.raises(AlreadyRunningError):
            dts.start()
        dts.stop()
        assert not dts.running
        with pytest.raises(NotRunningError):
            dts.stop()

    @pytest.mark.parametrize(
        "ask",
        [
            lambda dts: dts.create(specification()),
            lambda dts: dts.create_many([]),
            lambda dts: dts.plan(specification()),
            lambda dts: dts.status(uuid4()),
            lambda dts: dts.wait(uuid4()),
            lambda dts: dts.cancel(uuid4(), ORCID),
            lambda dts: dts.suspend(uuid4(), ORCID),
            lambda dts: dts.resume(uuid4(), ORCID),
            lambda dts: dts.retry(uuid4(), ORCID),
            lambda dts: dts.files(uuid4()),
            lambda dts: dts.history(uuid4()),
            lambda dts: dts.explain(uuid4()),
            lambda dts: dts.transfers(),
            lambda dts: dts.journal(),
            lambda dts: dts.subscribe(),
        ],
    )
    def test_everything_is_refused_while_it_is_stopped(
        self, world: World, ask: Callable[[Orchestrator], object]
    ) -> None:
        dts = world.orchestrator()
        with pytest.raises(NotRunningError, match="call start"):
            ask(dts)

    def test_unfinished_transfers_go_on_at_the_next_start(self, world: World) -> None:
        world.source_endpoint.duration_s = 0.2
        dts = world.orchestrator()
        with dts:
            ids = dts.create_many([specification("a"), specification("b")])
        with dts:
            assert [dts.wait(transfer_id, 20).code for transfer_id in ids] == ["succeeded"] * 2

    def test_two_orchestrators_live_in_one_process(self, tmp_path: Path) -> None:
        worlds = [World(tmp_path / name) for name in ("one", "two")]
        with worlds[0].orchestrator() as one, worlds[1].orchestrator() as two:
            ids = [one.create(specification()), two.create(specification())]
            assert [one.wait(ids[0], 20).code, two.wait(ids[1], 20).code] == ["succeeded"] * 2
            with pytest.raises(TransferNotFoundError):
                one.status(ids[1])

    def test_one_of_two_on_the_same_store_schedules_and_both_create(self, world: World) -> None:
        with world.orchestrator() as first, world.orchestrator() as second:
            assert (first.leading, second.leading) == (True, False)
            ids = [first.create(specification("a")), second.create(specification("b"))]
            for transfer_id in ids:
                assert second.wait(transfer_id, 20).code == "succeeded"
            first.stop()
            third = second.create(specification("c"))
            assert second.wait(third, 20).code == "succeeded"

    def test_without_scheduling_it_creates_and_asks_only(self, world: World) -> None:
        asking = world.orchestrator()
        asking.start(schedule=False)
        transfer_id = asking.create(specification())
        assert not asking.leading
        assert asking.status(transfer_id).code == "unknown"
        with world.orchestrator():
            assert asking.wait(transfer_id, 20).code == "succeeded"
        asking.stop()

    def test_a_configuration_without_databases_is_refused(self, tmp_path: Path) -> None:
        dts = Orchestrator(Config(service=ServiceConfig(data_dir=tmp_path / "data")))
        with pytest.raises(NoDatabasesAvailableError):
            dts.start()
        assert not (tmp_path / "data").exists()

    def test_a_start_that_fails_leaves_nothing_open_and_can_be_repeated(self, world: World) -> None:
        (world.folder / "dts.db").write_text("not a store")
        dts = world.orchestrator()
        with pytest.raises(StoreDamagedError):
            dts.start()
        assert not dts.running
        (world.folder / "dts.db").unlink()
        with dts:
            assert dts.wait(dts.create(specification()), 20).code == "succeeded"

    def test_a_data_dir_that_cannot_be_made_is_named(self, world: World) -> None:
        (world.folder / "file").write_text("")
        with pytest.raises(InvalidServiceConfigError, match=r"service\.data_dir.*cannot be made"):
            world.orchestrator({"data_dir": world.folder / "file" / "x"}).start()

    def test_a_store_that_was_handed_over_remains_the_caller_s(self, world: World) -> None:
        store = SqliteStore(world.folder / "mine.db")
        with world.orchestrator(store=store) as dts:
            transfer_id = dts.create(specification())
            dts.wait(transfer_id, 20)
        assert store.status(transfer_id).code == "succeeded"
        store.close()

    def test_no_thread_of_ours_is_left_after_stopping(self, world: World) -> None:
        others = set(threading.enumerate())
        dts = world.orchestrator()
        for _ in range(5):
            with dts:
                subscriptions = [dts.subscribe(), dts.subscribe(after=0)]
                dts.wait(dts.create(specification()), 20)
            assert list(subscriptions[0]) != []
        deadline = time.monotonic() + 10
        while left := [thread.name for thread in set(threading.enumerate()) - others if thread.name.startswith("dts-")]:
            assert time.monotonic() < deadline, left
            threading.Event().wait(0.01)

    def test_stop_gives_up_waiting_for_a_tick_after_its_time(self, world: World) -> None:
        release, stuck = threading.Event(), threading.Event()

        class Stuck:
            def time(self) -> float:
                if threading.current_thread().name == "dts-scheduler":
                    stuck.set()
                    release.wait(20)
                return datetime.now(UTC).timestamp()

        dts = world.orchestrator(clock=Stuck())
        dts.start()
        assert stuck.wait(10)
        dts.stop(timeout_s=0.05)
        assert not dts.running
        release.set()


class TestCreate:
    def test_an_id_is_given_only_when_the_transfer_is_durable(self, world: World, dts: Orchestrator) -> None:
        transfer_id = dts.create(specification())
        other = SqliteStore(world.folder / "dts.db")
        assert other.transfer(transfer_id).id == transfer_id
        other.close()

    def test_many_threads_get_each_their_own_id(self, dts: Orchestrator) -> None:
        def create(number: int) -> tuple[int, Any]:
            return number, dts.create(specification("abc"[number % 3], description=f"# {number}"))

        with ThreadPoolExecutor(16) as pool:
            created = dict(pool.map(create, range(200)))
        assert len(set(created.values())) == 200
        for number, transfer_id in created.items():
            assert dts.transfer(transfer_id).specification.description == f"# {number}"

    def test_many_are_created_in_one_commit_or_not_at_all(self, dts: Orchestrator) -> None:
        with pytest.raises(DuplicateFilesError):
            dts.create_many([specification("a"), specification("b", "b")])
        assert dts.transfers() == []
        ids = dts.create_many(specification(name) for name in "abc")
        assert [dts.transfer(i).specification.file_ids for i in ids] == [("a",), ("b",), ("c",)]

    def test_the_same_key_gives_the_same_transfer_even_when_the_source_is_gone(
        self, world: World, dts: Orchestrator
    ) -> None:
        first = dts.create(specification(), idempotency_key="k")
        world.source.faults.add("descriptors", UnavailableError("gone"), times=100)
        assert dts.create(specification(), idempotency_key="k") == first
        with pytest.raises(IdempotencyConflictError):
            dts.create(specification("b"), idempotency_key="k")

    def test_one_key_twice_in_one_call_is_one_transfer(self, dts: Orchestrator) -> None:
        first, second = dts.create_many([specification(), specification()], idempotency_keys=["k", "k"])
        assert first == second

    def test_keys_and_specifications_must_be_equally_many(self, dts: Orchestrator) -> None:
        with pytest.raises(SpecificationError, match="1 specifications cannot have 2"):
            dts.create_many([specification()], idempotency_keys=["k", "l"])

    @pytest.mark.parametrize("key", ["", 5, "\ud800", "k" * 1001, b"k"])
    def test_a_key_is_a_short_text(self, dts: Orchestrator, key: Any) -> None:
        with pytest.raises(SpecificationError, match="idempotency key must be text"):
            dts.create(specification(), idempotency_key=key)

    def test_a_plan_stores_nothing(self, dts: Orchestrator) -> None:
        plan = dts.plan(specification("a", "b"))
        assert (plan.num_files, plan.destination.path) == (2, ORCID)
        assert dts.transfers() == []


class TestActs:
    @pytest.mark.parametrize("act", ["cancel", "suspend", "resume", "retry"])
    def test_only_the_user_who_asked_may_act(self, dts: Orchestrator, act: str) -> None:
        transfer_id = dts.create(specification())
        with pytest.raises(PermissionDeniedError):
            getattr(dts, act)(transfer_id, STRANGER)

    @pytest.mark.parametrize("act", ["cancel", "suspend", "resume", "retry"])
    def test_acting_on_what_does_not_exist_is_an_error(self, dts: Orchestrator, act: str) -> None:
        with pytest.raises(TransferNotFoundError):
            getattr(dts, act)(uuid4(), ORCID)

    def test_cancel_ends_a_transfer_as_canceled(self, world: World, dts: Orchestrator) -> None:
        world.source_endpoint.duration_s = 1000.0
        transfer_id = dts.create(specification())
        dts.cancel(transfer_id, ORCID)
        status = dts.wait(transfer_id, 20)
        assert (status.code, status.reason) == ("failed", "canceled")
        assert [record.status for record in dts.journal()] == ["canceled"]

    def test_cancel_of_an_ended_transfer_changes_nothing(self, dts: Orchestrator) -> None:
        transfer_id = dts.create(specification())
        before = dts.wait(transfer_id, 20)
        dts.cancel(transfer_id, ORCID)
        assert dts.status(transfer_id) == before

    def test_suspend_and_resume(self, world: World, dts: Orchestrator) -> None:
        world.source_endpoint.duration_s = 0.3
        transfer_id = dts.create(specification())
        with dts.subscribe(after=0, transfer_id=transfer_id) as messages:
            dts.suspend(transfer_id, ORCID)
            for message in messages:
                if message.status.code == "inactive":
                    break
            dts.resume(str(transfer_id), ORCID)
        assert dts.wait(transfer_id, 20).code == "succeeded"

    def test_retry_moves_what_failed_and_links_the_two(self, world: World, dts: Orchestrator) -> None:
        kept = world.source_endpoint.files.pop("b")
        world.source_endpoint.files["b"] = world.source_endpoint.files["a"]
        failed = dts.create(specification("a", "b"))
        assert dts.wait(failed, 20).code == "failed"
        world.source_endpoint.files["b"] = kept
        again = dts.retry(failed, ORCID)
        assert dts.wait(again, 20).code == "succeeded"
        assert dts.transfer(again).specification.file_ids == ("b",)
        assert (dts.transfer(failed).retried_by, dts.transfer(again).retry_of) == (again, failed)
        with pytest.raises(NothingToRetryError, match=f"already, as {again}"):
            dts.retry(failed, ORCID)

    def test_what_a_partial_success_left_out_is_moved_by_retry(self, world: World) -> None:
        whole = world.source_endpoint.files.pop("b")
        world.source_endpoint.files["b"] = world.source_endpoint.files["a"]
        with world.orchestrator({"partial": "keep"}) as dts:
            partly = dts.create(specification("a", "b"))
            assert dts.wait(partly, 20).reason == "partial"
            world.source_endpoint.files["b"] = whole
            again = dts.retry(partly, ORCID)
            assert dts.wait(again, 20).reason is None
            assert dts.transfer(again).specification.file_ids == ("b",)

    def test_retry_of_a_transfer_whose_manifest_failed_moves_every_file(
        self, world: World, dts: Orchestrator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.source.add_inline("meta", {"depth": 1})
        monkeypatch.setattr(world.source_endpoint, "_sees", None)  # it cannot read the manifest any more
        failed = dts.create(specification("a", "meta"))
        assert dts.wait(failed, 20).reason == "not found"
        assert dts.status(failed).num_files_transferred == 1
        monkeypatch.undo()
        again = dts.retry(failed, ORCID)
        assert dts.wait(again, 20).num_files_transferred == 1
        assert dts.transfer(again).specification.file_ids == ("a", "meta")

    def test_only_failed_transfers_are_retried(self, dts: Orchestrator) -> None:
        transfer_id = dts.create(specification())
        dts.wait(transfer_id, 20)
        with pytest.raises(NothingToRetryError, match="succeeded"):
            dts.retry(transfer_id, ORCID)


class TestAnswers:
    @pytest.mark.parametrize("ask", ["status", "files", "history", "explain", "transfer", "wait"])
    @pytest.mark.parametrize("transfer_id", [UUID(int=7), "nonsense", "7"])
    def test_unknown_ids_are_an_error_with_the_id(self, dts: Orchestrator, ask: str, transfer_id: Any) -> None:
        with pytest.raises(TransferNotFoundError, match=str(transfer_id)):
            getattr(dts, ask)(transfer_id)

    def test_wait_says_where_the_transfer_is_when_time_is_over(self, world: World, dts: Orchestrator) -> None:
        world.source_endpoint.duration_s = 1000.0
        transfer_id = dts.create(specification())
        with pytest.raises(WaitTimeoutError, match="still '(unknown|active)' after 0.1 s; it goes on"):
            dts.wait(transfer_id, timeout_s=0.1)

    def test_wait_ends_when_the_orchestrator_stops(self, world: World) -> None:
        world.source_endpoint.duration_s = 1000.0
        dts = world.orchestrator()
        dts.start()
        transfer_id = dts.create(specification())
        raised: list[BaseException] = []

        def wait() -> None:
            try:
                dts.wait(transfer_id)
            except (NotRunningError, StoreError) as error:
                raised.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        dts.stop()
        thread.join(20)
        assert [type(error) for error in raised] == [NotRunningError]

    def test_explain_says_what_a_transfer_waits_for(self, world: World, dts: Orchestrator) -> None:
        world.source_endpoint.duration_s = 1000.0
        transfer_id = dts.create(specification())
        with dts.subscribe(after=0, transfer_id=transfer_id) as messages:
            for message in messages:
                if message.status.code == "active":
                    break
        explanation = dts.explain(transfer_id)
        assert explanation.state == "active"
        verdicts = {verdict.event: verdict.possible for verdict in explanation.events}
        assert verdicts == {"cancel": False, "fail": False, "suspend": False, "finalize": False}
        assert [operation.kind for operation in explanation.operations] == ["survey", "move"]
        assert explanation.next_poll_at is not None
        assert explanation.deadline_at is not None
        assert explanation.deadline_at - message.time == timedelta(hours=72)
        assert (explanation.requested, explanation.last_error) == (None, None)

    @pytest.mark.parametrize(
        "call",
        [
            lambda dts: dts.create_many(5),
            lambda dts: dts.unsubscribe(5),
            lambda dts: dts.subscribe().get(10**400),
            lambda dts: dts.wait(uuid4(), "soon"),
        ],
    )
    def test_an_argument_of_the_wrong_kind_is_named(self, dts: Orchestrator, call: Callable[[Any], None]) -> None:
        with pytest.raises(SpecificationError, match="must be|is needed"):
            call(dts)

    def test_after_a_leap_of_the_clock_providers_are_heard_before_a_deadline_counts(self, world: World) -> None:
        clock = ManualClock()
        endpoint = world.source_endpoint = FakeEndpoint("source", sees=world.folder, clock=clock, duration_s=9000.0)
        world.source = FakeDatabase("genomes", endpoint=endpoint, endpoint_name="source", clock=clock)
        world.source.add("a", b"content of a")
        with world.orchestrator({"active_deadline_s": 3600.0}, clock=clock) as dts:
            transfer_id = dts.create(specification())
            until(lambda: dts.history(transfer_id)[-1].target == "running")
            endpoint.progress(endpoint.transfers()[0], 5)  # made while this process was frozen
            clock.advance(5000.0)
            until(lambda: dts.status(transfer_id).num_bytes_transferred == 5)
            clock.advance(170.0)
            endpoint.duration_s = 0.0
            clock.advance(5000.0)
            until(lambda: dts.status(transfer_id).num_files_transferred == 1)

    def test_explain_gives_the_last_error(self, world: World) -> None:
        world.source_endpoint.faults.add("transfer", UnavailableError("switched off"), times=100)
        with world.orchestrator({"retry_delay_s": 100.0}) as dts:
            transfer_id = dts.create(specification())
            while (explanation := dts.explain(transfer_id)).last_error is None:
                threading.Event().wait(0.01)
        assert explanation.last_error == "move at source: switched off"
        assert explanation.operations[-1].attempts == 1

    def test_an_ended_transfer_waits_for_nothing(self, dts: Orchestrator) -> None:
        transfer_id = dts.create(specification())
        dts.wait(transfer_id, 20)
        explanation = dts.explain(transfer_id)
        assert (explanation.events, explanation.next_poll_at, explanation.deadline_at) == ((), None, None)

    def test_pages_and_selections_of_transfers(self, dts: Orchestrator) -> None:
        ids = dts.create_many([specification("a"), specification("b"), specification("c")])
        for transfer_id in ids:
            dts.wait(transfer_id, 20)
        first = dts.transfers(limit=2)
        assert [record.id for record in (*first, *dts.transfers(after=first[-1].id))] == ids[::-1]
        assert len(dts.transfers(state="succeeded", user=ORCID, source="genomes")) == 3
        assert dts.transfers(state="failed") == []

    def test_the_journal_is_asked_with_aware_times(self, dts: Orchestrator) -> None:
        transfer_id = dts.create(specification())
        dts.wait(transfer_id, 20)
        now = datetime.now(UTC)
        assert [record.id for record in dts.journal(now - timedelta(minutes=5), now + timedelta(minutes=5))] == [
            transfer_id
        ]
        assert dts.journal(stop=now - timedelta(minutes=5)) == []
        with pytest.raises(SpecificationError, match="time zone"):
            dts.journal(datetime.now())

    @pytest.mark.parametrize(
        "ask",
        [
            lambda dts: dts.transfers(limit=0),
            lambda dts: dts.transfers(limit=2**70),
            lambda dts: dts.transfers(limit="x"),
            lambda dts: dts.transfers(state="asleep"),
            lambda dts: dts.transfers(user="\ud800"),
            lambda dts: dts.transfers(source=7),
            lambda dts: dts.journal(limit=-1),
            lambda dts: dts.journal(status="asleep"),
            lambda dts: dts.journal("yesterday"),
            lambda dts: dts.wait(uuid4(), timeout_s="soon"),
            lambda dts: dts.stop("soon"),
            lambda dts: dts.subscribe("many"),
            lambda dts: dts.subscribe(True),
            lambda dts: dts.subscribe(after=-1),
            lambda dts: dts.subscribe(after=2**70),
        ],
    )
    def test_questions_that_make_no_sense_are_refused(
        self, dts: Orchestrator, ask: Callable[[Orchestrator], object]
    ) -> None:
        with pytest.raises(SpecificationError):
            ask(dts)

    def test_a_subscriber_hears_every_transition_and_may_leave_twice(self, dts: Orchestrator) -> None:
        subscription = dts.subscribe()
        transfer_id = dts.create(specification())
        dts.wait(transfer_id, 20)
        heard = [subscription.get(10) for _ in range(4)]
        assert [message.status.code for message in heard if message] == ["unknown", "active", "finalizing", "succeeded"]
        dts.unsubscribe(subscription)
        dts.unsubscribe(subscription)

    def test_a_subscription_to_a_transfer_that_has_ended_gives_what_there_was_and_ends(self, dts: Orchestrator) -> None:
        transfer_id = dts.create(specification())
        dts.wait(transfer_id, 20)
        assert list(dts.subscribe(transfer_id=transfer_id)) == []
        messages = list(dts.subscribe(after=0, transfer_id=transfer_id))
        assert len(messages) == 4
        assert list(dts.subscribe(after=messages[-1].seq, transfer_id=transfer_id)) == []
        with pytest.raises(TransferNotFoundError):
            dts.subscribe(transfer_id=uuid4())

    def test_a_buffer_needs_room(self, dts: Orchestrator) -> None:
        with pytest.raises(SpecificationError, match="buffer_size"):
            dts.subscribe(0)


class TestHosts:
    def test_a_host_replaces_a_handler_by_its_name(self, world: World) -> None:
        moved: list[str] = []

        class Porter:
            def begin(self, transfer: Transfer) -> Sequence[OperationRequest]:
                return [OperationRequest(handler="mover", kind="carry", endpoint="by foot")]

            def submit(self, operation: Operation) -> OperationStatus:
                moved.extend(file.id for file in operation.files)
                return OperationStatus(code=OperationCode.SUCCEEDED)

        with world.orchestrator(handlers={"mover": Porter()}) as dts:
            transfer_id = dts.create(specification("a", "b"))
            assert dts.wait(transfer_id, 20).code == "succeeded"
        assert moved == ["a", "b"]

    def test_a_handler_s_own_guards_are_offered_to_the_charts(self, world: World) -> None:
        class Guarded:
            guards = {"full_moon": lambda row: False}

            def begin(self, transfer: Transfer) -> Sequence[OperationRequest]:
                return []

        with world.orchestrator(handlers={"astronomer": Guarded()}) as dts:  # type: ignore[dict-item]
            assert dts.wait(dts.create(specification()), 20).code == "succeeded"

    @pytest.mark.parametrize("endpoint", ["manifests", "disk"])
    def test_manifests_are_delivered_whether_or_not_the_service_s_endpoint_sees_their_folder(
        self, tmp_path: Path, genomes: Path, endpoint: str
    ) -> None:
        (tmp_path / "archive").mkdir()
        config = Config.parse(
            f"""
service: {{data_dir: {tmp_path}/data, manifest_dir: {tmp_path}/data/manifests, endpoint: {endpoint}}}
endpoints:
  disk: {{provider: local, root: {genomes}}}
  archive: {{provider: local, root: {tmp_path}/archive}}
  manifests: {{provider: local, root: {tmp_path}/data}}
databases:
  genomes: {{endpoint: disk, catalog: {tmp_path}/datapackage.json}}
  archive: {{endpoint: archive}}
"""
        )
        (tmp_path / "datapackage.json").write_text(
            '{"resources": [{"id": "plasmid", "name": "plasmid", "path": "plasmid/NC_005816.gb", "bytes": '
            + str((genomes / "plasmid/NC_005816.gb").stat().st_size)
            + "}]}"
        )
        (tmp_path / "data").mkdir()
        with Orchestrator(config) as dts:
            transfer_id = dts.create(specification("plasmid"))
            status = dts.wait(transfer_id, 20)
            assert (status.code, status.message) == ("succeeded", "The manifest was delivered.")
        folder = tmp_path / "archive" / ORCID / f"dts-{transfer_id}"
        assert (folder / "plasmid/NC_005816.gb").read_bytes() == (genomes / "plasmid/NC_005816.gb").read_bytes()
        assert (folder / "manifest.json").is_file()

    def test_a_wrong_root_is_found_at_the_start_by_who_schedules(self, tmp_path: Path) -> None:
        (tmp_path / "disk").mkdir()
        text = f"""
service: {{data_dir: {tmp_path}/data, manifest_dir: {tmp_path}/data/manifests, endpoint: disk}}
endpoints:
  disk: {{provider: local, root: {tmp_path}}}
  gone: {{provider: local, root: {tmp_path}/nowhere}}
databases: {{genomes: {{endpoint: disk}}, archive: {{endpoint: gone}}}}
"""
        dts = Orchestrator(Config.parse(text))
        with pytest.raises(ConfigurationError, match=r"endpoints\.gone\.root.*nowhere"):
            dts.start()
        # who only asks and cancels needs no endpoint
        dts.start(schedule=False)
        assert dts.transfers() == []
        dts.stop()
