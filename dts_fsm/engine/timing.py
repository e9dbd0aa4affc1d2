"""When things are looked at again: polls, back-off and deadlines. Pure, but for the jitter."""

from __future__ import annotations

import random

from dts_fsm.config import ServiceConfig
from dts_fsm.store.rows import OperationRow, TransferRow

_FIRST_POLL_S = 0.01
_POLL_FRACTION = 0.1
"""A running operation is asked for news after this fraction of the time that it has been running: what ends soon is
found soon, and what runs for days is asked no oftener than each ``poll_interval``."""


class Timing:
    """The times that follow from the settings.

    Args:
        settings: the section ``service`` of the configuration.
        seed: for the jitter of the back-off; None for one that nobody can foresee.
    """

    def __init__(self, settings: ServiceConfig, seed: int | None = None) -> None:
        self.settings = settings
        self._random = random.Random(seed)  # noqa: S311 - jitter is no secret

    def next_poll_at(self, operation: OperationRow, now: float) -> float:
        """When a running operation is asked for news again."""
        delay_s = max(_FIRST_POLL_S, _POLL_FRACTION * (now - operation.changed_at))
        return now + min(delay_s, self.settings.poll_interval_s)

    def retry_at(self, failures: int, now: float) -> float:
        """When something that has failed so many times (1 or more) is tried again: exponential, with full jitter.

        The pause lies between a half and the whole of the exponential, so that it is never next to nothing.
        """
        limit_s = min(self.settings.retry_delay_s * 2.0 ** min(failures - 1, 60), self.settings.max_retry_delay_s)
        return now + limit_s * self._random.uniform(0.5, 1.0)

    def deadline_at(self, setting: str | None, since: float) -> float | None:
        """When a state that was entered or last made progress at ``since`` has lasted too long; None for never."""
        limit_s = self.settings.deadline_s(setting)
        return None if limit_s is None else since + limit_s

    def extended(self, row: TransferRow, setting: str | None) -> float | None:
        """The transfer's deadline, moved on by the progress of its operations; None where there is none."""
        progressed_at = max((op.progressed_at for op in row.operations), default=0.0)
        moved = self.deadline_at(setting, progressed_at)
        if moved is None or row.deadline_at is None:
            return row.deadline_at
        return max(row.deadline_at, moved)
