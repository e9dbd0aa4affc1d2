"""The fakes of the test kit, as providers that fail, hang, lie, forget and finish when they like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import UUID

import attrs

from dts_fsm.interfaces import Endpoint
from dts_fsm.records import (
    Descriptor,
    FileOutcome,
    FileState,
    FileTransfer,
    OperationCode,
    OperationStatus,
    StagingStatus,
)
from dts_fsm.testing.fakes import FakeDatabase, FakeEndpoint, FakeFile, _Move
from dts_fsm.testing.simulation.fate import Fate
from dts_fsm.testing.simulation.lies import DENIALS, LIES, Lie, success_too_early

DURATIONS_S = (0.0, 0.0, 1.0, 10.0, 60.0, 300.0)
"""How long a move or a staging request may take."""

_LIVE = (OperationCode.RUNNING, OperationCode.SUSPENDED)


class Witness(Protocol):
    """Who is told of everything that takes effect at a provider."""

    def accepted(self, place: str, submission: UUID, paths: Sequence[str], *, again: bool) -> None:
        """A task was made for a submission, of files to these paths; ``again`` after the provider had forgotten it."""
        ...

    def written(self, place: str, path: str, before: FakeFile | None, after: FakeFile) -> None:
        """A file is at a destination."""
        ...

    def told(self, place: str, transfer_id: UUID) -> None:
        """A source database was told of a delivery."""
        ...


class Files(dict[str, FakeFile]):
    """The files of an endpoint, whose witness is told of each that is written."""

    def __init__(self, name: str, witness: Witness) -> None:
        super().__init__()
        self._name, self._witness = name, witness

    def __setitem__(self, path: str, file: FakeFile) -> None:
        before = self.get(path)
        super().__setitem__(path, file)
        self._witness.written(self._name, path, before, file)


class SimulatedEndpoint(FakeEndpoint):
    """An endpoint whose calls meet their fate.

    Args:
        sees: see ``FakeEndpoint``. An endpoint that delivers manifests, and so has it, denies no work that is done,
            also not of what arrived before a failure; and it does not say too early of one that comes alone that it is
            there. No orchestrator could see through that.
    """

    provider = "simulated"

    def __init__(self, name: str, fate: Fate, witness: Witness, *, sees: Path | None = None) -> None:
        super().__init__(name, clock=fate.clock.passed, sees=sees)
        self._fate, self._witness = fate, witness
        self.files = Files(name, witness)
        self._lies = LIES if sees else (*LIES, *DENIALS)
        self._forgotten: set[UUID] = set()
        self._told: dict[UUID, list[OperationStatus]] = {}

    def files_staged(self, descriptors: Sequence[Descriptor]) -> Mapping[str, bool]:
        """See ``Endpoint``."""
        ask = super().files_staged
        return self._fate.call(self.name, "files_staged", lambda: ask(descriptors))

    def transfer(self, destination: Endpoint, files: Sequence[FileTransfer], *, operation_id: UUID) -> UUID:
        """See ``Endpoint``."""

        def accept() -> UUID:
            return self._accept(destination, files, operation_id)

        return self._fate.call(self.name, f"transfer {self._fate.trace.name(operation_id)}", accept, again=accept)

    def _accept(self, destination: Endpoint, files: Sequence[FileTransfer], submission: UUID) -> UUID:
        if submission not in self._moves:
            again = submission in self._forgotten
            self._witness.accepted(self.name, submission, [file.destination_path for file in files], again=again)
            self.duration_s = self._fate.dice.choice(DURATIONS_S)
            self._fate.later(self.duration_s, lambda: self._settle(submission))
        return super().transfer(destination, files, operation_id=submission)

    def _settle(self, submission: UUID) -> None:
        """The move ends by itself, whether or not anybody asks."""
        self._status(self._moves.get(submission))

    def statuses(self, ids: Sequence[UUID]) -> Mapping[UUID, OperationStatus]:
        """See ``Endpoint``: with lies, stale answers and gaps."""
        ask = super().statuses
        return self._fate.call(self.name, "statuses", lambda: self._told_of(ask(ids)))

    def _told_of(self, true: Mapping[UUID, OperationStatus]) -> dict[UUID, OperationStatus]:
        fate, told = self._fate, {}
        for id_, status in true.items():
            known = self._told.setdefault(id_, [])
            if fate.happens("silent"):
                fate.trace.note(f"{self.name} says nothing of {fate.trace.name(id_)}")
                continue
            if known and fate.happens("stale"):
                told[id_] = fate.dice.choice(known)
                fate.trace.note(f"{self.name} says something old of {fate.trace.name(id_)}: {told[id_].code.value}")
            elif fate.happens("lie"):
                lie = fate.dice.choice(self._lies)
                told[id_] = status if self._cannot(lie, id_, status) else lie(status, fate.dice)
                fate.trace.note(f"{self.name} lies of {fate.trace.name(id_)}, {lie.__name__.replace('_', ' ')}")
            else:
                told[id_] = status
                if not known or known[-1] != status:
                    known.append(status)
        return told

    def _cannot(self, lie: Lie, id_: UUID, status: OperationStatus) -> bool:
        """True for what an endpoint that delivers manifests does not say, see the class."""
        move = self._moves.get(id_)
        if not self._sees or move is None:
            return False
        if lie is not success_too_early:
            return status.code in (OperationCode.FAILED, OperationCode.CANCELED)
        folder = move.files[0].destination_path.rpartition("/")[0]
        return not any(path.startswith(f"{folder}/") for path in move.destination.files)

    def cancel(self, id: UUID) -> None:  # noqa: A002 - the contract's word
        """See ``Endpoint``."""
        self._fate.call(
            self.name, f"cancel {self._fate.trace.name(id)}", lambda: self._stop(id), again=lambda: self._stop(id)
        )

    def _stop(self, id_: UUID) -> None:
        move = self._moves.get(id_)
        if move is not None and self._status(move).code in _LIVE and self._fate.happens("stopped_halfway"):
            arrived = [file for file in move.files if self._fate.dice.random() < 0.5]
            outcomes = tuple(self._copy(file, move.destination) for file in arrived)
            self._fate.trace.note(f"{self.name} stops {self._fate.trace.name(id_)} after {len(arrived)} files")
            move.result = OperationStatus(code=OperationCode.CANCELED, files=outcomes)
        super().cancel(id_)

    def _carry_out(self, move: _Move) -> OperationStatus:
        if not self._fate.happens("move_fails"):
            return super()._carry_out(move)
        busy = FileOutcome(id="", state=FileState.FAILED, reason="busy", error="the disk is busy", transient=True)
        outcomes = tuple(
            self._copy(file, move.destination) if self._fate.dice.random() < 0.5 else attrs.evolve(busy, id=file.id)
            for file in move.files
        )
        self._fate.trace.note(f"{self.name} moves some files of a move, and others not")
        return OperationStatus(code=OperationCode.FAILED, message="not all files", transient=True, files=outcomes)

    # What happens at a provider without being asked for

    def running(self) -> list[UUID]:
        """The moves that have not ended."""
        return [id_ for id_, move in self._moves.items() if move.result is None and not move.canceled]

    def forget(self) -> None:
        """See ``FakeEndpoint``."""
        for move in list(self._moves):
            self.forget_one(move)

    def forget_one(self, move: UUID) -> None:
        """What the endpoint knew of one move is gone; what it has written stays."""
        if self._moves.pop(move, None) is not None:
            self._forgotten.add(move)

    def lift(self, move: UUID) -> None:
        """A move that was suspended goes on, if it is still known."""
        found = self._moves.get(move)
        if found is not None and found.paused:
            found.paused = False
            self._fate.trace.note(f"{self.name} resumes {self._fate.trace.name(move)}")
            self._settle(move)


class TellingEndpoint(SimulatedEndpoint):
    """One that tells of the ends of its moves."""

    def watch(self, ended: Callable[[UUID], None]) -> Callable[[], None]:
        """See ``Endpoint``."""
        self._watchers.append(ended)
        return partial(self._watchers.remove, ended)


class SimulatedDatabase(FakeDatabase):
    """A database whose calls meet their fate; its files may be at several endpoints.

    Args:
        endpoints: by the names that the configuration would have, the one where it receives first.
    """

    def __init__(self, name: str, endpoints: Mapping[str, SimulatedEndpoint], fate: Fate, witness: Witness) -> None:
        first = next(iter(endpoints))
        super().__init__(name, endpoint=endpoints[first], endpoint_name=first, clock=fate.clock.passed)
        self._fate, self._witness, self._endpoints = fate, witness, dict(endpoints)
        self._forgotten: set[UUID] = set()

    def add_file(self, file_id: str, content: bytes, *, endpoint: str, staged: bool = True) -> Descriptor:
        """A file is in the database: at one of its endpoints, or on tape."""
        if not staged and endpoint != self._endpoint_name:
            raise ValueError("files are staged to the first endpoint")
        descriptor = attrs.evolve(self.add(file_id, content, staged=staged), endpoint=endpoint)
        self.descriptors_by_id[file_id] = descriptor
        if staged:
            path = descriptor.path or ""
            self._endpoints[endpoint].files[path] = self._endpoint.files.pop(path)
        return descriptor

    def endpoint_names(self) -> Sequence[str]:
        """See ``Database``."""
        return tuple(self._endpoints)

    def descriptors(self, orcid: str, file_ids: Sequence[str]) -> Sequence[Descriptor]:
        """See ``Database``."""
        ask = super().descriptors
        return self._fate.call(self.name, "descriptors", lambda: ask(orcid, file_ids))

    def stage_files(self, orcid: str, file_ids: Sequence[str], *, request_id: UUID) -> UUID:
        """See ``Database``."""

        def accept() -> UUID:
            return self._accept(orcid, file_ids, request_id)

        return self._fate.call(self.name, f"stage_files {self._fate.trace.name(request_id)}", accept, again=accept)

    def _accept(self, orcid: str, file_ids: Sequence[str], request_id: UUID) -> UUID:
        if request_id not in self._requests:
            self._witness.accepted(self.name, request_id, (), again=request_id in self._forgotten)
            self.staging_duration_s = self._fate.dice.choice(DURATIONS_S)
            self._fate.later(self.staging_duration_s, lambda: self._settle(request_id))
        return super().stage_files(orcid, file_ids, request_id=request_id)

    def _settle(self, request_id: UUID) -> None:
        self._staging(self._requests.get(request_id))

    def staging_status(self, ids: Sequence[UUID]) -> Mapping[UUID, StagingStatus]:
        """See ``Database``: with lies and gaps."""
        ask = super().staging_status
        return self._fate.call(self.name, "staging_status", lambda: self._told_of(ask(ids)))

    def _told_of(self, true: Mapping[UUID, StagingStatus]) -> dict[UUID, StagingStatus]:
        fate, told = self._fate, dict(true)
        for id_, status in true.items():
            if status is StagingStatus.SUCCEEDED and fate.happens("staging_fails"):
                told[id_] = StagingStatus.FAILED
            elif fate.happens("lie"):
                told[id_] = fate.dice.choice(list(StagingStatus))
            elif fate.happens("silent"):
                del told[id_]
            if told.get(id_) is not status:
                said = told[id_].value if id_ in told else "nothing"
                fate.trace.note(f"{self.name} lies of {fate.trace.name(id_)}: {said}, and it is {status.value}")
        return told

    def forget(self) -> None:
        """What the database knew of staging requests is gone."""
        self._forgotten.update(self._requests)
        self._requests.clear()

    def finalize(self, orcid: str, id: UUID) -> None:  # noqa: A002 - the contract's signature
        """See ``Database``."""
        note: Callable[[], None] = lambda: self._note(orcid, id)  # noqa: E731 - it is passed twice
        self._fate.call(self.name, f"finalize {self._fate.trace.name(id)}", note, again=note)

    def _note(self, orcid: str, id_: UUID) -> None:
        self._witness.told(self.name, id_)
        super().finalize(orcid, id_)

    def local_user(self, orcid: str) -> str:
        """See ``Database``."""
        ask = super().local_user
        return self._fate.call(self.name, "local_user", lambda: ask(orcid))
