"""What may happen to the transfers of a rig, by name: what users ask, providers do, and crashes interrupt.

Nothing here knows Hypothesis: a tour and a walk are both made of these actions.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal
from uuid import UUID

from dts_fsm.errors import PermanentError, StoreError, TransientError
from dts_fsm.handlers.places import Places
from dts_fsm.interfaces import Handler
from dts_fsm.records import HistoryRecord, StagingStatus, TransferStatus
from dts_fsm.statechart import Chart
from dts_fsm.store import SqliteStore, Store
from dts_fsm.testing.coverage import RUN
from dts_fsm.testing.promises import Promises
from dts_fsm.testing.rig import Rig
from dts_fsm.testing.tour import Way

WORK_S = 1000.0
"""How long a move and a staging request take on a tour."""

_NEVER_S = 1e12
_MOST_WAITS = 500

WAYS: Mapping[str, Sequence[Way]] = MappingProxyType(
    {
        "stage": ((),),
        "move": (("work_ends",), ()),
        "finalize": (("work_ends",),),
        "submit": ((),),
        "start": ((),),
        "suspend": (("user_suspends",), ("provider_suspends",), ("provider_suspends_what_it_accepts",)),
        "resume": (("user_resumes",), ("provider_resumes",)),
        "succeed": (("work_ends",), ("provider_resumes", "work_ends"), ("work_ends", "user_cancels")),
        "retry": (("call_fails",), ("provider_forgets",)),
        "fail": (
            ("call_is_refused",),
            ("file_vanishes", "work_ends"),
            ("file_vanishes", "work_ends", "user_cancels"),
            ("deadline_passes",),
            ("calls_keep_failing",),
        ),
        "cancel": (("user_cancels",),),
        "acknowledge": (("user_cancels",),),
        "abandon": (("cancellation_is_refused", "user_cancels"),),
    }
)
"""What may make each event of the package's charts happen: names of actions of ``TransferActions``."""


class TransferActions:
    """A rig, everything that may happen to it, and what must hold all the same.

    Attributes:
        transfer_chart, operation_chart: instead of the package's own.
        service: settings of the section ``service`` for every rig.
        ways: event -> what may make it happen; a chart with events of its own adds to ``WAYS``. Where an event has no
            ways, every action is tried.
        rig: the rig; ``promises`` look at it.
    """

    transfer_chart: ClassVar[Chart | None] = None
    operation_chart: ClassVar[Chart | None] = None
    service: ClassVar[Mapping[str, Any]] = MappingProxyType({"max_attempts": 3})
    ways: ClassVar[Mapping[str, Sequence[Way]]] = WAYS

    rig: Rig
    promises: Promises

    # What a host may say

    def make_handlers(self, places: Places) -> Mapping[str, Handler]:  # noqa: ARG002 - for overriding
        """Give the handlers that stand for the package's own; called again after each crash, as in a new process."""
        return {}

    def make_rig(self, folder: Path, **service: Any) -> Rig:
        """Give a rig with its store in the folder and these settings."""
        return Rig(
            folder,
            handlers=self.make_handlers,
            transfer_chart=self.transfer_chart,
            operation_chart=self.operation_chart,
            **service,
        )

    def fill(self, rig: Rig) -> Mapping[str, bytes]:
        """Put the files that transfers are created of into the rig's source; give the content of each, by id."""
        contents = {name: f"content of {name}".encode() for name in ("a", "b", "tape")}
        for name, content in contents.items():
            rig.source.add(name, content, staged=name != "tape")
        rig.source.add_inline("meta", {"depth": 1})
        return contents

    def check(self) -> None:
        """Everything that is promised holds; a host adds what its own handlers promise."""
        self.promises.check()

    def check_success(self, transfer_id: UUID) -> None:
        """The transfer, with which nothing went wrong but for crashes, has succeeded, and its source knows."""
        status = self.store.status(transfer_id)
        assert (status.code, status.reason) == ("succeeded", None)
        assert transfer_id in self.rig.source.finalized

    # Coming and going

    def begin(self, **service: Any) -> None:
        """A fresh rig is there, with these settings besides its own."""
        self._folder = tempfile.TemporaryDirectory()
        try:
            self.rig = self.make_rig(Path(self._folder.name), **{**self.service, **service})
        except BaseException:
            self._folder.cleanup()
            raise
        self.promises = Promises(self.rig, self.fill(self.rig))
        self.hangs = False

    @property
    def store(self) -> Store:
        """The rig's store."""
        return self.rig.store

    def end(self) -> None:
        """The providers work again, or hang for good; every transfer has ended, as is promised."""
        rig = self.rig
        for faults in (rig.calls.faults, rig.source.faults, rig.source_endpoint.faults):
            faults.clear()
        rig.calls.suspend_submissions = False
        rig.source.staging_result = StagingStatus.SUCCEEDED
        rig.source_endpoint.duration_s = rig.source.staging_duration_s = _NEVER_S if self.hangs else 0.0
        for move in rig.source_endpoint.transfers():
            rig.source_endpoint.pause(move, self.hangs)
        for transfer_id in self.promises.ids:
            if not self.hangs:
                self.user_resumes(transfer_id)
        # deadlines are months at most, what works has ended long before
        self._every_transfer_ends(step_s=100_000.0 if self.hangs else 1000.0)
        self.check()
        self.promises.check_end()

    def _every_transfer_ends(self, step_s: float) -> None:
        for transfer_id in self.promises.ids:
            self.rig.run(transfer_id, step_s=step_s, limit=300)

    def leave(self) -> None:
        """What the transfers walked has been counted, and the rig is closed."""
        if not hasattr(self, "rig"):
            return
        with self._folder:
            try:
                with contextlib.suppress(StoreError):  # it could not be opened again: what that raised matters more
                    for transfer_id in self.promises.ids:
                        RUN.record(self.store.history(transfer_id), self.rig.transfer_chart, self.rig.operation_chart)
            finally:
                self.rig.close()
        del self.rig

    def wait(self) -> None:
        """One tick has happened, and where it did nothing, a second has passed."""
        if self.rig.tick() == 0:
            self.rig.clock.advance(1.0)

    def crash(self, *, before_calls: bool = False) -> None:
        """The process was killed, and another goes on; what was told before is still so, to everybody.

        Args:
            before_calls: it was killed between a commit and the calls that the commit asks for.
        """
        if before_calls:
            self.rig.calls.dead = True
            self.rig.tick()
            self.rig.calls.dead = False
        before = self._told(self.store)
        stranger = SqliteStore(self.rig.store.path)
        try:
            assert before == self._told(stranger)
        finally:
            stranger.close()
        self.rig.reopen()
        assert before == self._told(self.store)

    def _told(self, store: Store) -> list[tuple[TransferStatus, list[HistoryRecord]]]:
        return [(store.status(transfer_id), store.history(transfer_id)) for transfer_id in self.promises.ids]

    def left_alone(self, files: tuple[str, ...], kills: Sequence[int] = (), *, before_calls: bool = False) -> None:
        """A transfer was left alone, but for crashes after the waits of these numbers, and has succeeded."""
        transfer_id = self.create(files)
        for number in range(_MOST_WAITS):
            if self.store.status(transfer_id).final:
                break
            self.wait()
            self.check()
            if number in kills:
                self.crash(before_calls=before_calls)
        self.check_success(transfer_id)

    def left_in_trouble(self, files: tuple[str, ...], trouble: Way) -> None:
        """A transfer has ended although nobody did anything about its trouble, and all the while all promises held."""
        transfer_id = self.create(files)
        for action in trouble:
            getattr(self, action)(transfer_id)
        for _ in range(_MOST_WAITS):
            if self.store.status(transfer_id).final:
                break
            self.wait()
            self.check()
        self.promises.check_end()

    # Actions

    def create(self, files: tuple[str, ...]) -> UUID:
        """A transfer of these files exists."""
        transfer_id = self.rig.create(*files)
        self.promises.ids.append(transfer_id)
        return transfer_id

    def _ask(self, transfer_id: UUID, kind: Literal["cancel", "suspend", "resume"]) -> None:
        if self.store.request(transfer_id, kind, self.rig.clock.time()):
            self.promises.asked(transfer_id, kind)

    def user_cancels(self, transfer_id: UUID) -> None:
        """The user wants the transfer canceled."""
        self._ask(transfer_id, "cancel")

    def user_suspends(self, transfer_id: UUID) -> None:
        """The user wants the transfer to rest."""
        self._ask(transfer_id, "suspend")

    def user_resumes(self, transfer_id: UUID) -> None:
        """The user wants the transfer to go on."""
        self._ask(transfer_id, "resume")

    def work_ends(self, transfer_id: UUID) -> None:  # noqa: ARG002 - time passes for all
        """So much time has passed that every provider has done its work."""
        self.rig.clock.advance(WORK_S)

    def deadline_passes(self, transfer_id: UUID) -> None:
        """The time of the transfer's state is over."""
        rowid = self.store.rowid(transfer_id)
        due_at = self.store.load([rowid])[rowid].due_at
        if due_at is not None:
            self.rig.clock.advance(max(due_at - self.rig.clock.time(), 0.0) + 1.0)

    def provider_suspends(self, transfer_id: UUID) -> None:  # noqa: ARG002 - and below: it happens to all
        """The provider has suspended every move."""
        for move in self.rig.source_endpoint.transfers():
            self.rig.source_endpoint.pause(move)

    def provider_suspends_what_it_accepts(self, transfer_id: UUID) -> None:  # noqa: ARG002
        """What is submitted from now on is accepted, and suspended at first."""
        self.rig.calls.suspend_submissions = True

    def provider_resumes(self, transfer_id: UUID) -> None:  # noqa: ARG002
        """The provider goes on with every move."""
        self.rig.calls.suspend_submissions = False
        for move in self.rig.source_endpoint.transfers():
            self.rig.source_endpoint.pause(move, False)

    def provider_forgets(self, transfer_id: UUID) -> None:  # noqa: ARG002
        """The provider knows of no move any more."""
        self.rig.source_endpoint.forget()

    def file_vanishes(self, transfer_id: UUID) -> None:  # noqa: ARG002
        """The source's first file is gone."""
        self.rig.source_endpoint.files.pop("a", None)

    def call_fails(self, transfer_id: UUID) -> None:  # noqa: ARG002
        """The next call of each kind fails, and may go better."""
        for verb in ("submit", "poll"):
            self.rig.calls.faults.add(verb, TransientError("not now"))

    def calls_keep_failing(self, transfer_id: UUID) -> None:  # noqa: ARG002
        """Whatever is to be handed over cannot be, and may be later."""
        self.rig.calls.faults.add("submit", TransientError("not now"), times=_MOST_WAITS)

    def call_is_refused(self, transfer_id: UUID) -> None:  # noqa: ARG002
        """The next call of each kind is refused for good."""
        for verb in ("submit", "poll"):
            self.rig.calls.faults.add(verb, PermanentError("never"))

    def cancellation_is_refused(self, transfer_id: UUID) -> None:  # noqa: ARG002
        """The next cancellation is refused for good."""
        self.rig.calls.faults.add("cancel", PermanentError("never"))
