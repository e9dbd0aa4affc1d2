"""What takes effect at providers, as the oracle sees it: tasks, files and manifests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from uuid import UUID

from dts_fsm.config import ServiceConfig
from dts_fsm.store import SqliteStore
from dts_fsm.testing.fakes import FakeFile
from dts_fsm.testing.simulation import invariants as must
from dts_fsm.testing.simulation.fate import Fate
from dts_fsm.testing.simulation.seen import SeenOperation, SeenTransfer, Violation
from dts_fsm.testing.simulation.world import World


class Effects:
    """The part of the oracle that providers tell of what they do.

    Attributes:
        world: the providers, where the oracle looks whether files are right.
        delivered: is called when a manifest has appeared, with endpoint and folder.
        violation: the first invariant that did not hold, or None.
        transfers: what was stored, by id.
    """

    world: World
    delivered: Callable[[str, str], None]

    def __init__(self, store: SqliteStore, settings: ServiceConfig, fate: Fate) -> None:
        self._store, self._settings, self._fate, self._trace = store, settings, fate, fate.trace
        self.violation: Violation | None = None
        self.transfers: dict[UUID, SeenTransfer] = {}
        self._leader: str | None = None
        self._submissions: dict[UUID, SeenOperation] = {}
        self._tasks: Counter[tuple[str, UUID]] = Counter()
        self._paths: dict[tuple[str, str], tuple[SeenTransfer, bytes | None]] = {}

    def hold(self, invariant: Callable[..., str | None], *facts: object) -> None:
        """Ask an invariant about facts; the first complaint is kept."""
        complaint = invariant(*facts)
        if complaint is not None and self.violation is None:
            self.violation = Violation(invariant, complaint)

    def accepted(self, place: str, submission: UUID, paths: Sequence[str], *, again: bool) -> None:
        """A provider has made a task of a submission."""
        offered = self._trace.knows(submission)
        name = self._trace.name(submission)
        self._trace.note(f"{place} begins {name}")
        known = self._submissions.get(submission)
        self.hold(must.a_submission_keeps_its_id, name, offered)
        self._tasks[place, submission] += 1
        self.hold(must.a_submission_makes_one_task, name, self._tasks[place, submission], again)
        submits = 0 if known is None else known.machine.events["submit"]
        self.hold(must.the_intention_is_durable_before_the_call, name, submits)
        if known is not None:
            known.owner.unknowable = self._unknowable(known.owner, submission, again)
            self.hold(must.a_move_writes_into_its_own_payload, name, known.owner.folder, paths)

    def _unknowable(self, seen: SeenTransfer, submission: UUID, again: bool) -> bool:
        """See ``SeenTransfer.unknowable``."""
        under_way = self._fate.under_way
        late = under_way is None or under_way.process != self._leader
        forgotten = again and (late or submission in self._fate.unheard)
        abandoned = any(operation.machine.events["abandon"] for operation in seen.operations.values())
        return forgotten or abandoned or not seen.contents

    def written(self, place: str, path: str, before: FakeFile | None, after: FakeFile) -> None:
        """A file is at an endpoint."""
        if (place, path) not in self._paths:
            return  # of a source
        seen, right = self._paths[place, path]
        if right is not None:
            self.hold(must.an_arrived_file_keeps_its_content, path, right, before, after)
            return
        self._trace.note(f"{place}: the manifest of {seen.name} is written")
        there = before is not None or seen.unknowable
        self.hold(must.a_manifest_appears_once, seen.name, seen.manifest, there, after.content)
        if seen.manifest is None:
            self.hold(must.a_manifest_appears_last, seen.name, self._wrong(seen))
            seen.manifest = after.content or b""
            self.delivered(place, seen.folder)

    def _wrong(self, seen: SeenTransfer) -> list[str]:
        """The files of a payload that are not at the destination as they should be."""
        files = self.world.endpoints[seen.endpoint].files
        wrong = {
            path.removeprefix(f"{seen.folder}/")
            for path, content in seen.contents.items()
            if path not in files or files[path].content != content
        }
        if wrong and self._settings.partial == "keep":
            wrong -= {file.path for file in self._store.files(seen.rowid) if file.state == "failed" and file.path}
        return sorted(wrong)

    def told(self, place: str, transfer_id: UUID) -> None:
        """A source database was told of a delivery."""
        seen = self.transfers.get(transfer_id)
        name = self._trace.transfer(transfer_id)
        self._trace.note(f"{place} is told of {name}")
        self.hold(must.the_source_is_told_after_the_delivery, name, seen is not None and seen.manifest is not None)
