"""What happened in a simulation, line by line, in names that are the same each time."""

from __future__ import annotations

import hashlib
import re
from uuid import UUID

from dts_fsm.records import Operation
from dts_fsm.testing.simulation.clock import SimulatedClock

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_UNKNOWN = "unknown id "


class Trace:
    """The lines, each with its number and the time that has passed.

    Attributes:
        lines: all of them, oldest first.
    """

    def __init__(self, clock: SimulatedClock) -> None:
        self._passed = clock.passed
        self.lines: list[str] = []
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def note(self, line: str) -> None:
        """Something has happened."""
        self.lines.append(f"{len(self.lines) + 1:5d} {self._passed.seconds:12.3f} s  {line}")

    def digest(self) -> str:
        """A checksum of the whole: two runs that did the same have the same."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()

    def knows(self, id_: UUID) -> bool:
        """True for an id of the orchestrator's own, False for one that came from elsewhere."""
        return not self.name(id_).startswith(_UNKNOWN)

    def name(self, id_: UUID | str) -> str:
        """The name of a transfer, an operation or a submission: T1, T1/move@disk1, T1/move@disk1.2."""
        key = str(id_)
        found = self._names.get(key)
        return found if found is not None else self._numbered(key, _UNKNOWN)

    def transfer(self, id_: UUID | str) -> str:
        """The name of a transfer, given when it is first asked for."""
        return self._names.get(str(id_)) or self._numbered(str(id_), "T")

    def operation(self, transfer_id: UUID | str, id_: UUID | str, kind: str, endpoint: str) -> str:
        """The name of an operation, given when it is first asked for: T1/move@disk1, and for the next one #2."""
        key = str(id_)
        found = self._names.get(key)
        if found is None:
            base = f"{self.transfer(transfer_id)}/{kind}@{endpoint}"
            count = self._counts[base] = self._counts.get(base, 0) + 1
            found = self._names[key] = base if count == 1 else f"{base}#{count}"
        return found

    def submission(self, operation: Operation) -> str:
        """The name of the present submission of an operation: that of the operation, from the second on with .2."""
        name = self.operation(operation.transfer.id, operation.id, operation.kind, operation.endpoint)
        key = str(operation.submission_id)
        found = self._names.get(key)
        if found is None:
            count = self._counts[name] = self._counts.get(name, 1) + 1
            found = self._names[key] = f"{name}.{count}"
        return found

    def plain(self, text: str) -> str:
        """The text with names in place of ids."""
        return _UUID.sub(lambda found: self.name(found[0]), text)

    def _numbered(self, key: str, base: str) -> str:
        count = self._counts[base] = self._counts.get(base, 0) + 1
        name = self._names[key] = f"{base}{count}"
        return name
