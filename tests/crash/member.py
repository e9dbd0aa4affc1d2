"""One of several processes on one store; it does what it is told to, a line at a time, and answers each with a line.

python -m tests.crash.member <configuration> [client]
"""

from __future__ import annotations

import json
import os
import signal
import sys
from uuid import UUID

from dts_fsm import Config, Orchestrator, Specification, User
from tests.crash.site import ORCID


def answer(dts: Orchestrator, word: str, *values: str) -> object:
    """Do what the word says, and give the answer as a JSON value."""
    match word:
        case "leading":
            return dts.leading
        case "create":
            key, *file_ids = values
            specification = Specification(
                source="genomes",
                destination="lab",
                file_ids=tuple(file_ids),
                user=User(name="Ada", orcid=ORCID),
                description=key,
                instructions={"key": key},
            )
            return str(dts.create(specification, idempotency_key=key))
        case "cancel":
            dts.cancel(UUID(values[0]), ORCID)
            return None
        case "cancel and die":
            dts.cancel(UUID(values[0]), ORCID)
            os.kill(os.getpid(), signal.SIGKILL)
        case "status":
            status = dts.status(UUID(values[0]))
            return [status.code.value, status.reason, status.num_files_transferred]
    raise ValueError(word)


def main() -> None:
    """Answer until there is nothing more to read."""
    config, *role = sys.argv[1:]
    dts = Orchestrator(Config.load(config))
    dts.start(schedule=role != ["client"])
    try:
        for line in sys.stdin:
            sys.stdout.write(json.dumps(answer(dts, *json.loads(line))) + "\n")
            sys.stdout.flush()
    finally:
        dts.stop()


if __name__ == "__main__":
    main()
