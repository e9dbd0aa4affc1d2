"""The plug-in for pytest: its fixtures, its table, its thresholds; and that it costs nothing to who does not ask."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dts_fsm.testing import ManualClock, Rig

CHECKOUT = Path(__file__).parents[2]

TESTS = """
import pytest

@pytest.mark.parametrize("files", [("a",), ("tape",)])
def test_it_arrives(dts_rig, dts_clock, files):
    dts_rig.source.add("a", b"content of a")
    dts_rig.source.add("tape", b"from tape", staged=False)
    began_at = dts_clock.time()
    assert dts_rig.run(dts_rig.create(*files)).code == "succeeded"
    assert dts_clock.time() >= began_at
"""


def run(folder: Path, *options: str, tests: str = TESTS) -> subprocess.CompletedProcess[str]:
    (folder / "test_site.py").write_text(tests, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "pytest_dts_fsm", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_table_names_what_was_never_walked(tmp_path: Path) -> None:
    done = run(tmp_path, "--dts-fsm-coverage=18", "--dts-fsm-pairs=0")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    (title,) = [line for line in lines if line.startswith("chart transfer")]
    assert title.endswith("states 5/7 (71 %), transitions 5/21 (24 %), pairs 4/43 (9 %)")
    assert "  never seen: inactive" in lines
    assert "  never seen: active -cancel-> failed" in lines
    assert "  never seen: inactive -resume-> active, then -finalize-> finalizing" in lines


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_a_run_in_which_too_little_was_walked_fails_and_workers_count_together(
    tmp_path: Path, workers: list[str]
) -> None:
    done = run(tmp_path, "--dts-fsm-coverage=23", "--dts-fsm-pairs=9", *workers)
    assert done.returncode == 1, done.stdout
    short = [line for line in done.stdout.splitlines() if line.startswith("FAILED chart")]
    # a worker alone would have walked too little of the transfer chart as well
    assert [line.partition("): ")[2] for line in short] == [
        "18.2 % of its transitions were seen, and 23 % are asked for",
        "6.2 % of its pairs were seen, and 9 % are asked for",
    ]
    assert "2 passed" in done.stdout


def test_the_configuration_file_asks_too_and_the_command_line_decides(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\ndts_fsm_coverage = 99.5\n", encoding="utf-8")
    done = run(tmp_path)
    assert done.returncode == 1, done.stdout
    assert "71.4 % of its states were seen, and 99.5 % are asked for" in done.stdout
    assert run(tmp_path, "--dts-fsm-coverage=0").returncode == 0
    (tmp_path / "pytest.ini").write_text("[pytest]\ndts_fsm_pairs = many\n", encoding="utf-8")
    assert "dts_fsm_pairs is to be a number of percent, and is 'many'" in run(tmp_path).stderr


def test_a_threshold_without_anything_walked_fails(tmp_path: Path) -> None:
    done = run(tmp_path, "--dts-fsm-coverage=50", tests="def test_nothing():\n    pass\n")
    assert done.returncode == 1, done.stdout
    assert "FAILED nothing was walked of any chart" in done.stdout


def test_nothing_is_shown_and_nothing_imported_unless_asked_for(tmp_path: Path) -> None:
    tests = "import sys\n\ndef test_nothing():\n    assert [n for n in sys.modules if n.startswith('dts_fsm')] == []\n"
    done = run(tmp_path, tests=tests)
    assert done.returncode == 0, done.stdout
    assert "statecharts" not in done.stdout


def test_the_rig_of_the_fixtures_has_the_clock_of_the_fixtures(tmp_path: Path) -> None:
    clock = ManualClock()
    rig = Rig(tmp_path, clock=clock)
    rig.close()
    assert clock is rig.clock
