"""Carries one transfer out, or dies in the middle of it; its arguments: a configuration, file ids as JSON, [kill]."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from dts_fsm import Config, Orchestrator, Specification, User
from dts_fsm.endpoints.batches import Meter
from dts_fsm.testing import ORCID

_MIDDLE_BYTES = 100 << 20
_MIDDLE_PORTIONS = 12
"""Of what a service copies by itself, this process hashes the file before: twelve portions of 8 MiB are the half."""


def die_in_the_middle() -> None:
    """This process kills itself once half of the large file has been moved, or hashed."""
    advance, portions = Meter.advance, 0

    def counted(self: Meter, num_bytes: int) -> None:
        nonlocal portions
        advance(self, num_bytes)
        portions += num_bytes == 0
        if self.num_bytes >= _MIDDLE_BYTES or portions >= _MIDDLE_PORTIONS:
            os.kill(os.getpid(), signal.SIGKILL)

    Meter.advance = counted  # type: ignore[method-assign]


def main() -> None:
    """Do it, and write how the transfer ended."""
    config, file_ids = Config.load(Path(sys.argv[1])), json.loads(sys.argv[2])
    if "kill" in sys.argv[3:]:
        die_in_the_middle()
    specification = Specification(
        source="genomes", destination="archive", file_ids=file_ids, user=User(name="Ada", orcid=ORCID)
    )
    with Orchestrator(config) as dts:
        transfer_id = dts.create(specification, idempotency_key="the one")
        status = dts.wait(transfer_id, timeout_s=120)
        json.dump({"id": str(transfer_id), "code": status.code, "message": status.message}, sys.stdout)


if __name__ == "__main__":
    main()
