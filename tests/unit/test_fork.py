"""A host that forks: in the child, what the parent runs does not run, and the parent's goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, sys
from pathlib import Path
from dts_fsm import Config, NotRunningError, Orchestrator, ServiceConfig
from dts_fsm.testing import FakeDatabase, FakeEndpoint, ORCID
from dts_fsm import Specification, User

folder = Path(sys.argv[1])
ends = {"source": FakeEndpoint("source", sees=folder), "destination": FakeEndpoint("destination")}
databases = {name: FakeDatabase(name, endpoint=end, endpoint_name=name) for name, end in ends.items()}
databases["source"].add("a", 10)
wanted = Specification(source="source", destination="destination", file_ids=["a"], user=User(name="Ada", orcid=ORCID))

config = Config(service=ServiceConfig(data_dir=folder, endpoint="source"))
with Orchestrator(config, databases=databases, endpoints=ends) as dts:
    first = dts.create(wanted)
    child = os.fork()
    if child == 0:
        told = [dts.running, dts.leading]
        for call in (lambda: dts.create(wanted), lambda: dts.status(first), dts.stop):
            try:
                call()
            except NotRunningError:
                told.append("refused")
        print("child", told, flush=True)
        other = Orchestrator(config, databases=databases, endpoints=ends)
        other.start(schedule=False)
        print("child", other.status(first).code in ("unknown", "active", "finalizing", "succeeded"), flush=True)
        other.stop()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print("parent", dts.running, dts.wait(first, 30).code, dts.wait(dts.create(wanted), 30).code, flush=True)
"""


def test_an_orchestrator_does_not_run_in_the_child_of_a_fork(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "child [False, False, 'refused', 'refused', 'refused']",
        "child True",
        "parent True succeeded succeeded",
    ]
