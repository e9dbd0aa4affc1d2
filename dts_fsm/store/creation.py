"""New transfers into the store, those of several threads in one commit.

A commit waits for the disk, whatever is in it. So a thread that has its turn to write stores what others have brought
meanwhile, too: each caller's transfers are stored whole or not at all, by themselves.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import attrgetter
from uuid import UUID

import attrs

from dts_fsm.errors import IdempotencyConflictError, NothingToRetryError, StoreError
from dts_fsm.records import FileState, Plan
from dts_fsm.serialization import descriptor_to_resource, dump_json, to_json
from dts_fsm.store.connections import FAULTS, Connections
from dts_fsm.store.contract import Admission
from dts_fsm.store.queries import check_destination, keyed
from dts_fsm.store.rows import TRANSFER_COLUMNS, Stored
from dts_fsm.store.writing import insert, plain, write

_TRANSFER_VALUES = attrgetter("rowid", *TRANSFER_COLUMNS[1:])
_TRANSFER = plain((*TRANSFER_COLUMNS, "source", "destination", "orcid", "idempotency_key", "retry_of"))
_FILE = plain(("transfer", "file_id", "endpoint", "state", "descriptor"))
_SPECIFICATION = plain(("transfer", "record"))


@attrs.define(eq=False)
class _Brought:
    """What one caller wants stored, with each transfer's specification as JSON text, and what came of it."""

    admissions: Sequence[Admission]
    records: Sequence[str]
    ids: list[UUID] | None = None
    error: BaseException | None = None


class Creation:
    """Stores new transfers; any number of threads may call it at once."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._turn = threading.Lock()
        self._brought: deque[_Brought] = deque()

    def create(self, admissions: Sequence[Admission]) -> list[UUID]:
        """Store the transfers, all or none, and give their ids; see ``Store.create``."""
        own = _Brought(admissions, [_record(admission.plan) for admission in admissions])
        self._brought.append(own)
        with self._turn:
            if own.ids is None and own.error is None:
                self._store_all(own)
        if own.error is not None:
            raise own.error
        return own.ids or []

    def _store_all(self, own: _Brought) -> None:
        """Everything that has been brought by now is stored, or has its error."""
        together: list[_Brought] = []
        try:
            with self._connections.transaction() as db:
                while self._brought:
                    together.append(self._brought.popleft())
                for brought in together:
                    _store(db, brought, alone=len(together) == 1)
        except BaseException as error:
            # whether the transaction took effect is unknown, for each of them
            own.error = error
            for brought in together:
                if brought is not own and brought.error is None:
                    brought.error = StoreError(f"whether the transfers are stored is unknown: {error!r}")
            if own not in together:
                self._brought.remove(own)


def _store(db: sqlite3.Connection, brought: _Brought, *, alone: bool) -> None:
    """The caller's transfers are in the transaction, or none of them is, and the error is noted."""
    if not alone:
        db.execute("SAVEPOINT brought")
    try:
        brought.ids = _stored(db, brought)
    except FAULTS:
        raise  # SQLite may have ended the transaction
    except Exception as error:
        if alone:
            raise
        brought.ids, brought.error = None, error
        db.execute("ROLLBACK TO brought")
    if not alone:
        db.execute("RELEASE brought")


def _stored(db: sqlite3.Connection, brought: _Brought) -> list[UUID]:
    """Give the transfers' ids: of those that were stored, and of those that are known by their keys."""
    ids, fresh, keys = [], [], dict[str, Admission]()
    for admission, record in zip(brought.admissions, brought.records, strict=True):
        known = _known(db, admission, keys)
        ids.append(known or admission.change.transfer.id)
        if known is None:
            fresh.append((admission, record))
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'transfers'").fetchone()
    for rowid, (admission, _) in enumerate(fresh, last + 1):
        admission.change.transfer.rowid = rowid
    insert(db, "transfers", _TRANSFER, (_transfer(admission) for admission, _ in fresh))
    records = ((admission.change.transfer.rowid, record) for admission, record in fresh)
    insert(db, "specifications", _SPECIFICATION, records)
    insert(db, "files", _FILE, chain.from_iterable(_files(admission) for admission, _ in fresh))
    write(db, [admission.change for admission, _ in fresh])
    return ids


def _known(db: sqlite3.Connection, admission: Admission, keys: dict[str, Admission]) -> UUID | None:
    """Give the transfer that the admission's key belongs to, or None where it may be stored.

    Args:
        keys: those of the admissions that were looked at before, in the same call; this one's is added.
    """
    plan, key = admission.plan, admission.key
    if key is not None:
        known = keyed(db, key)
        if known is None and (earlier := keys.setdefault(key, admission)) is not admission:
            known = earlier.change.transfer.id, earlier.plan.specification
        if known is not None:
            if known[1] != plan.specification:
                raise IdempotencyConflictError(key, known[0])
            return known[0]
    check_destination(db, plan.destination)
    if admission.retry_of is not None:
        linked = db.execute(
            "UPDATE transfers SET retried_by = ? WHERE uuid = ? AND retried_by IS NULL",
            (admission.change.transfer.uuid, str(admission.retry_of)),
        )
        if linked.rowcount != 1:
            raise NothingToRetryError(f"the transfer {admission.retry_of} has been retried already")
    return None


def _record(plan: Plan) -> str:
    return to_json(Stored(specification=plan.specification, destination=plan.destination, sources=plan.sources))


def _transfer(admission: Admission) -> tuple[object, ...]:
    specification = admission.plan.specification
    owner = (specification.source, specification.destination, specification.user.orcid)
    retry_of = str(admission.retry_of) if admission.retry_of else None
    return (*_TRANSFER_VALUES(admission.change.transfer), *owner, admission.key, retry_of)


def _files(admission: Admission) -> Iterator[tuple[object, ...]]:
    rowid, plan = admission.change.transfer.rowid, admission.plan
    for descriptor, endpoint in zip(plan.descriptors, plan.endpoints, strict=True):
        state = FileState.INLINE if descriptor.inline else FileState.PENDING
        yield rowid, descriptor.id, endpoint, state.value, dump_json(descriptor_to_resource(descriptor))
