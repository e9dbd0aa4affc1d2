"""The portions in which a move between two storages is handed to workers."""

from __future__ import annotations

import attrs

from dts_fsm.endpoints.batches import CanceledError, Meter
from dts_fsm.endpoints.outcomes import failure
from dts_fsm.endpoints.streaming.relay import Relay
from dts_fsm.errors import ProviderError
from dts_fsm.records import FileOutcome, FileState, FileTransfer


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
                meter.advance(0)
                outcome = self.relay.move(file, meter)
            except CanceledError:
                meter.num_bytes = before
                break
            except (OSError, ProviderError) as error:
                meter.num_bytes = before
                outcomes.append(failure(file, error))
            else:
                meter.num_bytes = before + (outcome.observed_bytes or 0)
                meter.num_files += 1
                meter.num_skipped += outcome.state is FileState.SKIPPED
                outcomes.append(outcome)
        return outcomes
