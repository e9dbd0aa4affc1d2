"""Processes that are killed at one point after the other; see ``tests.crash.enumeration``.

Every n-th point is taken, n from the environment variable DTS_CRASH_STRIDE; 1 takes them all. Where one scenario begins
to count, the next begins one further.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.crash.site import SCENARIOS

STRIDE = int(os.environ.get("DTS_CRASH_STRIDE", "5"))
LONGEST_S = 1200

KINDS = {
    "BEGIN IMMEDIATE",
    "COMMIT",
    "SqliteStore.create",
    "SqliteStore.commit",
    "SqliteStore.request",
    "CatalogDatabase.descriptors",
    "CatalogDatabase.stage_files",
    "CatalogDatabase.staging_status",
    "CatalogDatabase.finalize",
    "LocalEndpoint.files_staged",
    "LocalEndpoint.transfer",
    "LocalEndpoint.statuses",
    "LocalEndpoint.cancel",
    "LocalEndpoint.clear",
    "open a part",
    "write",
    "fsync",
    "syncfs",
    "rename a part a.txt",
    "replace a part a.txt",
    "unlink a part",
    "writing the manifest",
    "rename a part manifest.json",
}


def enumerated(*arguments: object) -> dict[str, Any]:
    """Give what the command prints: "passed", "taken", "killed", "killed_again", "findings" and "left"."""
    # a process that is killed tells nothing of what it covered, and one that is traced takes twice as long
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.crash.enumeration", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        env=environment,
    )
    assert done.returncode in (0, 1), done.stderr
    return dict(json.loads(done.stdout))


@functools.cache
def report(scenario: str, *options: str) -> dict[str, Any]:
    """Give what came of the scenario; it is carried out once."""
    offset = list(SCENARIOS).index(scenario) % STRIDE
    return enumerated(scenario, "--stride", STRIDE, "--offset", offset, *options)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_promise_is_kept_wherever_the_process_is_killed(scenario: str) -> None:
    found = report(scenario)
    assert found["findings"] == {}
    # how often a provider is asked for news differs from run to run, and so not every point can be reached again
    assert len(found["killed"]) >= 0.9 * len(found["taken"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_promise_is_kept_when_the_next_process_is_killed_too(scenario: str) -> None:
    found = report(scenario, "--twice")
    assert found["findings"] == {}
    # most often the next process has less left to do than the first, and ends before the point that is drawn for it
    assert found["killed_again"] > 0


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_unfinished_file_stays_wherever_the_process_is_killed(scenario: str) -> None:
    assert report(scenario)["left"] | report(scenario, "--twice")["left"] == {}


def test_there_are_points_at_every_commit_call_and_step_on_disk() -> None:
    passed = {point for scenario in SCENARIOS for point in report(scenario)["passed"]}
    kinds = {re.fullmatch(r"(before|after) (.*), \d+", point).group(2) for point in passed}  # type: ignore[union-attr]
    assert KINDS - kinds == set()


@pytest.mark.parametrize(
    ("defect", "scenario", "points", "finding"),
    [
        ("call before commit", "plain", "before (write|utime)", "was submitted and is not on record"),
        ("publish before verification", "plain", "before (write|utime)", "is not whole"),
        ("split commit", "plain", "before BEGIN IMMEDIATE", "is succeeded, and the journal says"),
        ("forgotten key", "plain", "SqliteStore.(create|commit), 1$", "1 transfers were asked for, and there are 2"),
        ("forgotten request", "canceled", "before (BEGIN IMMEDIATE|COMMIT)", "is succeeded, None, and not"),
    ],
)
def test_a_defect_of_the_product_is_found(defect: str, scenario: str, points: str, finding: str) -> None:
    told: list[str] = []
    for _ in range(5):  # how many commits there are, and so which one a point is, depends on the machine's load
        found = enumerated(scenario, "--matching", points, "--defect", defect)
        told += [sentence for sentences in found["findings"].values() for sentence in sentences if finding in sentence]
        if told:
            break
    assert told != []
