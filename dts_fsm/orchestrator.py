"""The orchestrator: the library's front. It checks, asks, records and answers; the scheduler does the work."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from types import TracebackType
from typing import Literal, Self
from uuid import UUID
from weakref import WeakSet

import attrs

from dts_fsm.clock import SystemClock
from dts_fsm.config import Config
from dts_fsm.errors import (
    AlreadyRunningError,
    IdempotencyConflictError,
    NothingToRetryError,
    PermissionDeniedError,
    SpecificationError,
    StoreError,
)
from dts_fsm.inquiries import Inquiries, uuid_of
from dts_fsm.interfaces import Clock, Database, Endpoint, Handler
from dts_fsm.messages import Subscription
from dts_fsm.records import (
    FileState,
    Plan,
    Specification,
    TransferRecord,
)
from dts_fsm.records.checks import check_seconds, is_unicode, shown
from dts_fsm.running import Parts, Running, assemble
from dts_fsm.statechart import Chart
from dts_fsm.store import Admission, Store

_log = logging.getLogger(__name__)


MAX_KEY_LENGTH = 1000
"""Of an idempotency key, in characters: it is a name, not a document."""


_started: WeakSet[Orchestrator] = WeakSet()


def _forget_what_the_parent_runs() -> None:
    """After a fork the child has the objects, but neither the threads nor a right to the files of what the parent runs.

    So there it does not run. What is inherited is kept, for to close it would be heard of in the parent.
    """
    for dts in _started:
        dts._inherited, dts._running, dts._lock = dts._running, None, threading.Lock()


os.register_at_fork(after_in_child=_forget_what_the_parent_runs)


class Orchestrator(Inquiries):
    """Orchestrates transfers; a context manager that starts on entry and stops on exit.

    All methods are safe to call from any thread. Times are aware UTC datetimes, sizes are bytes. Two orchestrators may
    live in one process; those of one ``data_dir``, in any process, share one store, and one of them at a time is its
    scheduler. In the child of a fork an orchestrator that its parent runs does not run.

    Args:
        config: see ``Config``.
        databases, endpoints: by name, instead of those that the configuration describes.
        handlers: by name ("stager", "mover", "manifestor"): each replaces the package's own.
        charts: "transfer" and "operation": each replaces the package's own. The states of a transfer's chart are among
            those of ``TransferStatusCode``; an operation's chart has the states and events of the package's own.
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
        charts: Mapping[str, Chart] | None = None,
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
            charts=charts or {},
            store=store,
            executor=executor,
            clock=self._clock,
        )
        self._lock = threading.Lock()
        self._inherited: Running | None = None
        super().__init__(self._clock)

    # Life

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
            _started.add(self)

    def stop(self, timeout_s: float | None = None) -> None:
        """Requests are refused; the tick in progress has finished, and unfinished transfers wait in the store.

        Args:
            timeout_s: how long to wait for the tick and for copies to stop; None waits as long as it takes.

        Raises:
            NotRunningError: it does not run.
        """
        check_seconds(timeout_s)
        ends_at = None if timeout_s is None else time.monotonic() + timeout_s
        with self._lock:
            running, self._running = self._require(), None
            if running.scheduler is not None and not running.scheduler.stop(timeout_s):
                _log.warning("the tick did not end in time", extra={"action": "stop", "timeout_s": timeout_s})
            # a copy from a file system that hangs may keep its endpoint from closing for ever
            closing = threading.Thread(target=running.resources.close, name="dts-stop", daemon=True)
            closing.start()
            closing.join(None if ends_at is None else max(ends_at - time.monotonic(), 0.1))

    def upgrade(self) -> None:
        """Every live transfer in the store is under the present statecharts; no provider has been called.

        To be called while this orchestrator does not run. ``start`` does the same at first, so there is no need to.

        Raises:
            AlreadyRunningError: it runs.
            StoreChartError: some are in states that the charts do not have; nothing was changed.
            ConfigurationError, StoreError: as ``start``; or another process carries out the store's transfers.
        """
        with self._lock:
            if self._running is not None:
                raise AlreadyRunningError
            running = assemble(self.config, self._parts, schedule=True)
            with running.resources:
                if running.scheduler is not None and not running.scheduler.lead():
                    raise StoreError("another process carries out the store's transfers: stop it first")
                charts = [running.engine.charts[machine].fingerprint for machine in ("transfer", "operation")]
                if running.store.outdated(charts[0], charts[1], after=0, limit=1):
                    raise StoreError("some transfers could not be carried over yet: their messages say why")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.running:
            self.stop()

    # Requests

    def create(self, specification: Specification, *, idempotency_key: str | None = None) -> UUID:
        """The transfer is stored durably, and will be carried out; gives its id.

        Args:
            idempotency_key: the same key with the same specification gives the same id, without a second transfer, as
                long as the first one is remembered: until ``delete_after`` seconds after its end.

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
        if not isinstance(specifications, Iterable):
            raise SpecificationError(f"specifications must be a list, not {shown(specifications)}")
        listed = list(specifications)
        keys = [None] * len(listed) if idempotency_keys is None else list(idempotency_keys)
        if len(keys) != len(listed):
            raise SpecificationError(f"{len(listed)} specifications cannot have {len(keys)} idempotency keys")
        for key in keys:
            _check_key(key)
        known: dict[int, UUID] = {}
        fresh: list[tuple[Specification, str | None]] = []
        now = self._clock.time()
        for index, (specification, key) in enumerate(zip(listed, keys, strict=True)):
            if key is not None and (found := running.store.keyed(key)) is not None:
                if found[1] != specification:
                    raise IdempotencyConflictError(key, found[0])
                known[index] = found[0]
                continue
            fresh.append((specification, key))
        plans = running.planner.plans([specification for specification, _ in fresh])
        admissions = [
            Admission(change=running.engine.admit(plan, now), plan=plan, key=key)
            for plan, (_, key) in zip(plans, fresh, strict=True)
        ]
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
        running = self._require()
        plan = running.planner.plan(specification)
        running.store.check_destination(plan.destination)
        return plan

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
            NothingToRetryError: the transfer has not ended, every file has arrived, or it has been retried already.
            PermissionDeniedError: another user asked for it.
            DtsError: what ``create`` raises.
        """
        running = self._require()
        record = self._owned(running, transfer_id, orcid)
        if record.status.code != "failed" and not (record.status.final and record.status.failed_files):
            raise NothingToRetryError(
                f"the transfer {record.id} is {record.status.code.value}: only what failed is tried again"
            )
        if record.retried_by is not None:
            raise NothingToRetryError(f"the transfer {record.id} has been retried already, as {record.retried_by}")
        states = {file.id: file.state for file in running.store.files(running.store.rowid(record.id))}
        arrived = {id_ for id_, state in states.items() if state.arrived}
        specification = record.specification
        left = tuple(file_id for file_id in specification.file_ids if file_id not in arrived)
        if all(states.get(file_id) is FileState.INLINE for file_id in left):
            left = specification.file_ids
        plan = running.planner.plan(attrs.evolve(specification, file_ids=left))
        change = running.engine.admit(plan, self._clock.time())
        created = running.store.create([Admission(change=change, plan=plan, retry_of=record.id)])
        self._created(running)
        return created[0]

    def _created(self, running: Running) -> None:
        if running.scheduler is not None:
            running.scheduler.wake()
        running.hub.notify()

    def _owned(self, running: Running, transfer_id: UUID | str, orcid: str) -> TransferRecord:
        record = running.store.transfer(uuid_of(transfer_id))
        if record.specification.user.orcid != orcid:
            raise PermissionDeniedError(f"only the user who asked for the transfer {record.id} may act on it")
        return record

    # Messages

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
        if not _is_count(buffer_size) or buffer_size < 1:
            raise SpecificationError(f"buffer_size must be a whole number, 1 or more, not {shown(buffer_size)}")
        if after is not None and not _is_count(after):
            raise SpecificationError(f"after must be a message's seq, 0 or more, not {shown(after)}")
        running = self._require()
        uuid = None if transfer_id is None else uuid_of(transfer_id)
        subscription = running.hub.subscribe(buffer_size, after, uuid)
        if uuid is not None and running.store.status(uuid).final:
            # its last message may have come before: there is none to wait for
            running.hub.flush()
            subscription.finish()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """The subscription receives nothing more. Idempotent."""
        if not isinstance(subscription, Subscription):
            raise SpecificationError(f"a Subscription is needed, not {shown(subscription)}")
        subscription.close()


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _check_key(key: object) -> None:
    """Refuse what cannot be an idempotency key."""
    if key is not None and (not isinstance(key, str) or not is_unicode(key) or not 0 < len(key) <= MAX_KEY_LENGTH):
        raise SpecificationError(f"an idempotency key must be text of 1 to {MAX_KEY_LENGTH} characters")
