"""A service that is killed at random times; see ``tests.crash.storm``. DTS_KILLS says how often."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from typing import Any

KILLS = int(os.environ.get("DTS_KILLS", "20"))
SEED = int(os.environ.get("DTS_KILLS_SEED", "1"))
LONGEST_S = 1200


@functools.cache
def storm() -> dict[str, Any]:
    """Give what came of it: "kills", "findings" and "left" by seed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = ["-m", "tests.crash.storm", "--kills", str(KILLS), "--seed", str(SEED)]
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        check=False,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        env=environment,
    )
    assert done.returncode in (0, 1), done.stderr
    return dict(json.loads(done.stdout))


def test_all_files_arrive_once_and_whole_however_often_the_service_is_killed() -> None:
    assert storm()["findings"] == {}
    assert storm()["kills"] == KILLS


def test_no_unfinished_file_stays_however_often_the_service_is_killed() -> None:
    assert storm()["left"] == {}
