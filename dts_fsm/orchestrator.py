"""The orchestrator: the library's front. It checks, asks, records and answers; the scheduler does the work."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from datetime import datetime
from types import TracebackType
from typing import Literal, Self
from uuid import UUID

import attrs

from dts_fsm.clock import SystemClock
from dts_fsm.config import Config
from dts_fsm.engine.operations import trouble
from dts_fsm.errors import (
    AlreadyRunningError,
    IdempotencyConflictError,
    NothingToRetryError,
    NotRunningError,
    PermissionDeniedError,
    SpecificationError,
    StoreError,
    TransferNotFoundError,
    WaitTimeoutError,
)
from dts_fsm.interfaces import Clock, Database, Endpoint, Handler
from dts_fsm.messages import Subscription
from dts_fsm.records import (
    EventVerdict,
    Explanation,
    FileRecord,
    FileState,
    HistoryRecord,
    JournalRecord,
    Plan,
    Specification,
    TransferRecord,
    TransferStatus,
)
from dts_fsm.running import Parts, Running, assemble
from dts_fsm.store import Admission, Store, time_of

_log = logging.getLogger(__name__)


class Orchestrator:
    """Orchestrates transfers; a context manager that starts on entry and stops on exit.

    All methods are safe to call from any thread. Times are aware UTC datetimes, sizes are bytes. Two orchestrators may
    live in one process; those of one ``data_dir``, in any process, share one store, and one of them at a time is its
    scheduler.

    Args:
        config: see ``Config``.
        databases, endpoints: by name, instead of those that the configuration describes.
        handlers: by name ("stager", "mover", "manifestor"): each replaces the package's own.
        store: instead of an SQLite file in ``data_dir``; it remains the caller's to close.
        executor: moves the bytes of local endpoints instead of their own threads; it remains the caller's.
        clock: what everything that decides reads the time from.
    """

    def __init__(
        self,
        config: Config,
        *,
        databases: Mapping[str, Database] | None = None,
        endpoints: Mapping[str, Endpoint] | None = None,
        handlers: Mapping[str, Handler] | None = None,
        store: Store | None = None,
        executor: Executor | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.config = config
        self._clock = clock or SystemClock()
        self._parts = Parts(
            databases=databases,
            endpoints=endpoints,
            handlers=handlers or {},
            store=store,
            executor=executor,
            clock=self._clock,
        )
        self._lock = threading.Lock()
        self._running: Running | None = None

    # Life

    @property
    def running(self) -> bool:
        """True between ``start`` and ``stop``."""
        return self._running is not None

    @property
    def leading(self) -> bool:
        """True while this orchestrator is the scheduler of its store."""
        running = self._running
        return running is not None and running.scheduler is not None and running.scheduler.leading

    def start(self, *, schedule: bool = True) -> None:
        """Requests are taken, and transfers in the store go on.

        Args:
            schedule: False leaves the transfers to another process that runs on the same store: this one only creates,
                asks and cancels.

        Raises:
            AlreadyRunningError: it runs.
            ConfigurationError: databases, endpoints, handlers or charts cannot be used as configured.
            StoreError: the store cannot be opened, or has transfers in states that the charts do not have.
        """
        with self._lock:
            if self._running is not None:
                raise AlreadyRunningError
            running = assemble(self.config, self._parts, schedule=schedule)
            with ExitStack() as on_fault:
                on_fault.callback(running.resources.close)
                running.hub.start()
                if running.scheduler is not None:
                    running.scheduler.lead()
                    running.scheduler.start()
                on_fault.pop_all()
            self._running = running

    def stop(self, timeout_s: float | None = None) -> None:
        """Requests are refused; the tick in progress has finished, and unfinished transfers wait in the store.

        Args:
            timeout_s: how long to wait for the tick; None waits as long as it takes.

        Raises:
            NotRunningError: it does not run.
        """
        with self._lock:
            running, self._running = self._require(), None
            if running.scheduler is not None and not running.scheduler.stop(timeout_s):
                _log.warning("the tick did not end in time", extra={"action": "stop", "timeout_s": timeout_s})
            running.resources.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.running:
            self.stop()

    def _require(self) -> Running:
        if self._running is None:
            raise NotRunningError
        return self._running

    # Requests

    def create(self, specification: Specification, *, idempotency_key: str | None = None) -> UUID:
        """The transfer is stored durably, and will be carried out; gives its id.

        Args:
            idempotency_key: the same key with the same specification gives the same id, without a second transfer.

        Raises:
            IdempotencyConflictError: the key belongs to another specification.
            DtsError: what ``plan`` raises; nothing was stored.
        """
        return self.create_many([specification], idempotency_keys=[idempotency_key])[0]

    def create_many(
        self, specifications: Iterable[Specification], *, idempotency_keys: Sequence[str | None] | None = None
    ) -> list[UUID]:
        """All the transfers are stored in one commit; gives their ids in the same order.

        Args:
            idempotency_keys: one for each specification, or None.

        Raises:
            DtsError: as ``create``, for the first specification that cannot be carried out; nothing was stored.
        """
        running = self._require()
        listed = list(specifications)
        keys = [None] * len(listed) if idempotency_keys is None else list(idempotency_keys)
        if len(keys) != len(listed):
            raise SpecificationError(f"{len(listed)} specifications cannot have {len(keys)} idempotency keys")
        known: dict[int, UUID] = {}
        admissions = []
        now = self._clock.time()
        for index, (specification, key) in enumerate(zip(listed, keys, strict=True)):
            if key is not None and (found := running.store.keyed(key)) is not None:
                if found[1] != specification:
                    raise IdempotencyConflictError(key, found[0])
                known[index] = found[0]
                continue
            plan = running.planner.plan(specification)
            admissions.append(Admission(change=running.engine.admit(plan, now), plan=plan, key=key))
        created = iter(running.store.create(admissions) if admissions else [])
        self._created(running)
        return [known[index] if index in known else next(created) for index in range(len(listed))]

    def plan(self, specification: Specification) -> Plan:
        """Give what ``create`` would do, after all of its checks; nothing is stored or begun.

        Raises:
            NoFilesRequestedError, DuplicateFilesError, InvalidOrcidError, InvalidInstructionsError,
            InvalidCustomSpecError, InvalidDescriptorError, InvalidResourceEndpointError,
            ResourceEndpointNotFoundError, DestinationConflictError, PayloadTooLargeError,
            DatabaseNotFoundError, EndpointNotFoundError, ResourcesNotFoundError, UnauthorizedError, ProviderError,
            NotRunningError: see ``errors``.
        """
        return self._require().planner.plan(specification)

    def cancel(self, transfer_id: UUID | str, orcid: str) -> None:
        """The transfer will end as failed, with the reason "canceled"; one that has ended is left alone.

        Does not wait: work that a provider had finished first is not undone, and the status says so.

        Raises:
            TransferNotFoundError: there is no such transfer.
            PermissionDeniedError: another user asked for it.
        """
        self._request(transfer_id, orcid, "cancel")

    def suspend(self, transfer_id: UUID | str, orcid: str) -> None:
        """The transfer's work will stop, and it becomes inactive until ``resume``; raises as ``cancel`` does.

        A transfer whose files are still being looked for becomes inactive after that.
        """
        self._request(transfer_id, orcid, "suspend")

    def resume(self, transfer_id: UUID | str, orcid: str) -> None:
        """A transfer that its user suspended will go on with what is left to do; raises as ``cancel`` does."""
        self._request(transfer_id, orcid, "resume")

    def _request(self, transfer_id: UUID | str, orcid: str, kind: Literal["cancel", "suspend", "resume"]) -> None:
        running = self._require()
        record = self._owned(running, transfer_id, orcid)
        running.store.request(record.id, kind, self._clock.time())
        self._created(running)

    def retry(self, transfer_id: UUID | str, orcid: str) -> UUID:
        """A new transfer of the files that did not arrive is stored, and linked with the failed one; gives its id.

        Where every file had arrived (the manifest failed, for instance) all files are moved again.

        Raises:
            NothingToRetryError: the transfer has not ended, has succeeded, or has been retried already.
            PermissionDeniedError: another user asked for it.
            DtsError: what ``create`` raises.
        """
        running = self._require()
        record = self._owned(running, transfer_id, orcid)
        if record.status.code != "failed":
            raise NothingToRetryError(
                f"the transfer {record.id} is {record.status.code.value}: only failed ones are retried"
            )
        if record.retried_by is not None:
            raise NothingToRetryError(f"the transfer {record.id} has been retried already, as {record.retried_by}")
        arrived = {
            file.id
            for file in running.store.files(running.store.rowid(record.id))
            if file.state in (FileState.TRANSFERRED, FileState.SKIPPED)
        }
        specification = record.specification
        left = tuple(file_id for file_id in specification.file_ids if file_id not in arrived)
        plan = running.planner.plan(attrs.evolve(specification, file_ids=left or specification.file_ids))
        change = running.engine.admit(plan, self._clock.time())
        created = running.store.create([Admission(change=change, plan=plan, retry_of=record.id)])
        self._created(running)
        return created[0]

    def _created(self, running: Running) -> None:
        if running.scheduler is not None:
            running.scheduler.wake()
        running.hub.notify()

    def _owned(self, running: Running, transfer_id: UUID | str, orcid: str) -> TransferRecord:
        record = running.store.transfer(_uuid(transfer_id))
        if record.specification.user.orcid != orcid:
            raise PermissionDeniedError(f"only the user who asked for the transfer {record.id} may act on it")
        return record

    # Answers

    def status(self, transfer_id: UUID | str) -> TransferStatus:
        """Give how the transfer stands; TransferNotFoundError where there is none."""
        return self._require().store.status(_uuid(transfer_id))

    def wait(self, transfer_id: UUID | str, timeout_s: float | None = None) -> TransferStatus:
        """Give the status of the transfer once it has ended.

        Raises:
            TransferNotFoundError: there is no such transfer.
            WaitTimeoutError: it has not ended in time; it goes on.
            NotRunningError: the orchestrator was stopped meanwhile.
        """
        uuid = _uuid(transfer_id)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            running = self._require()
            seen = running.hub.changes
            try:
                status = running.store.status(uuid)
            except StoreError:
                if self.running:
                    raise
                raise NotRunningError from None
            if status.final:
                return status
            left_s = 0.25 if deadline is None else min(0.25, deadline - time.monotonic())
            if left_s <= 0:
                raise WaitTimeoutError(uuid, timeout_s or 0.0, status.code.value)
            running.hub.wait(seen, left_s)

    def transfer(self, transfer_id: UUID | str) -> TransferRecord:
        """Give the transfer's record: status, specification, folder and links; TransferNotFoundError for none."""
        return self._require().store.transfer(_uuid(transfer_id))

    def transfers(
        self,
        *,
        state: str | None = None,
        user: str | None = None,
        source: str | None = None,
        limit: int = 100,
        after: UUID | str | None = None,
    ) -> list[TransferRecord]:
        """Give a page of transfers, newest first.

        Args:
            state, user, source: only those in this state, asked for by this ORCID, from this database.
            limit: how many at most.
            after: the last transfer of the page before.

        Raises:
            TransferNotFoundError: there is no transfer ``after``.
        """
        page = None if after is None else _uuid(after)
        return self._require().store.transfers(state=state, user=user, source=source, limit=limit, after=page)

    def files(self, transfer_id: UUID | str) -> list[FileRecord]:
        """Give how each file stands, in order of id, inline data included; TransferNotFoundError for no transfer."""
        store = self._require().store
        return store.files(store.rowid(_uuid(transfer_id)))

    def history(self, transfer_id: UUID | str) -> list[HistoryRecord]:
        """Give every transition of the transfer and its operations, oldest first; TransferNotFoundError for none."""
        return self._require().store.history(_uuid(transfer_id))

    def explain(self, transfer_id: UUID | str) -> Explanation:
        """Give why the transfer waits now; TransferNotFoundError where there is none."""
        running = self._require()
        uuid = _uuid(transfer_id)
        rowid = running.store.rowid(uuid)
        row = running.store.load([rowid]).get(rowid)
        if row is None:
            raise TransferNotFoundError(uuid)
        times = [time for time in (row.due_at, *(op.due_at for op in row.operations)) if time is not None]
        troubled = row.state == "failed" or any(row.message.startswith(trouble(op)) for op in row.operations)
        return Explanation(
            transfer_id=uuid,
            state=row.state,
            description=running.engine.machine.chart.state(row.state).description,
            requested=running.store.requested(rowid) or row.wanted or None,
            next_poll_at=time_of(min(times)) if times else None,
            deadline_at=None if row.deadline_at is None else time_of(row.deadline_at),
            last_error=row.message if troubled else None,
            events=tuple(
                EventVerdict(
                    event=transition.event,
                    target=transition.target,
                    guard=transition.guard or "",
                    possible=possible,
                    description=transition.description,
                )
                for transition, possible in running.engine.machine.verdicts(row)
            ),
            operations=tuple(running.store.operations(rowid)),
        )

    def journal(
        self,
        start: datetime | None = None,
        stop: datetime | None = None,
        *,
        status: str | None = None,
        limit: int | None = None,
    ) -> list[JournalRecord]:
        """Give the records of transfers that ended from ``start`` up to but without ``stop``, in order of their end.

        Args:
            start, stop: aware times; None for no bound.
            status: only "succeeded", "failed" or "canceled" ones.
            limit: how many at most; None for all.
        """
        for bound in (start, stop):
            if bound is not None and bound.tzinfo is None:
                raise SpecificationError("start and stop must be aware times: give them a time zone")
        return self._require().store.journal(start, stop, status=status, limit=limit)

    def subscribe(
        self, buffer_size: int = 32, *, after: int | None = None, transfer_id: UUID | str | None = None
    ) -> Subscription:
        """Give a subscription to each transition of transfers, from now on.

        A subscriber that is slower than the messages delays nobody: its oldest messages are dropped and counted.

        Args:
            buffer_size: how many messages wait for the subscriber at most.
            after: begin with what happened after this message's ``seq`` (0: with the oldest in the history); such a
                subscription reads from the history at its own pace, and loses nothing.
            transfer_id: only this transfer's; iteration ends when it has ended.

        Raises:
            TransferNotFoundError: there is no such transfer.
        """
        if buffer_size < 1:
            raise SpecificationError(f"buffer_size must be 1 or more, not {buffer_size}")
        running = self._require()
        uuid = None if transfer_id is None else _uuid(transfer_id)
        subscription = running.hub.subscribe(buffer_size, after, uuid)
        if uuid is not None and running.store.status(uuid).final:
            # its last message may have come before: there is none to wait for
            subscription.finish()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """The subscription receives nothing more. Idempotent."""
        subscription.close()


def _uuid(transfer_id: UUID | str) -> UUID:
    if isinstance(transfer_id, UUID):
        return transfer_id
    try:
        return UUID(transfer_id)
    except (ValueError, AttributeError, TypeError):
        raise TransferNotFoundError(transfer_id) from None
