"""The portions in which a move between two storages is handed to workers."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

import attrs

from dts_fsm.endpoints.batches import CanceledError, Meter
from dts_fsm.endpoints.outcomes import failure
from dts_fsm.endpoints.streaming.relay import Relay
from dts_fsm.errors import ProviderError, TransientError
from dts_fsm.records import FileOutcome, FileState, FileTransfer

logger = logging.getLogger(__name__)

_PAUSES_S = (0.5, 2.0)
"""How long a fault that may pass is waited for, at the first time and after it."""

_LOOK_S = 0.05


@attrs.frozen(kw_only=True)
class RelayBatch:
    """Files that one worker moves, one after the other."""

    files: tuple[FileTransfer, ...]
    relay: Relay

    def move(self, meter: Meter) -> list[FileOutcome]:
        """Move the files, and give the outcome of each that was not prevented by a cancellation."""
        outcomes = []
        for file in self.files:
            before = meter.num_bytes
            try:
                outcome = self._moved(file, meter)
            except CanceledError:
                meter.num_bytes = before
                break
            meter.num_bytes = before + (outcome.observed_bytes or 0)
            if outcome.state.arrived:
                meter.num_files += 1
                meter.num_skipped += outcome.state is FileState.SKIPPED
            outcomes.append(outcome)
        return outcomes

    def _moved(self, file: FileTransfer, meter: Meter) -> FileOutcome:
        """Give the file's outcome; a fault that may pass is waited for, and the file gone on with where it broke.

        A failure that is told is final for this move: the next one has another id, and would not find what is left.
        """
        before = meter.num_bytes
        for pause_s in (*_PAUSES_S, None):
            meter.num_bytes = before
            try:
                meter.advance(0)
                return self.relay.move(file, meter)
            except CanceledError:
                raise
            except Exception as error:  # noqa: BLE001, RUF100 - drivers raise what they like; the other files go on
                if not isinstance(error, OSError | ProviderError):
                    logger.exception("a file could not be moved", extra={"action": "move", "file_id": file.id})
                outcome = failure(file, error)
                # a source that has changed is for others to decide on, whether or not it can be tried again
                if pause_s is None or not outcome.transient or not isinstance(error, TransientError | OSError):
                    break
            _wait(pause_s, meter)
        with suppress(Exception):  # the failure is what is told
            self.relay.destination.clear([file.destination_path], self.relay.operation)
        return outcome


def _wait(pause_s: float, meter: Meter) -> None:
    until_s = time.monotonic() + pause_s
    while time.monotonic() < until_s:
        meter.advance(0)
        time.sleep(_LOOK_S)
