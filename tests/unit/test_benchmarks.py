"""The benchmarks run; how fast they are is no test's affair."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SUITES = {
    "copies": ["copying 4 files of 1 MiB", "copying 3 files of 4 KiB", "copying 200 files of 0.0156 MiB at once"],
    "s3": ["one file of 1 MiB and a bucket", "3 files of 4 KiB and a bucket"],
    "http": ["one file of 1 MiB from a web server"],
    "sftp": ["one file of 1 MiB and an SFTP server", "3 files of 4 KiB and an SFTP server"],
    "starts": ["starting"],
    "live": ["100 and 1,000 live transfers, of which 5 are due"],
    "transfers": ["1 and 2 transfers of 3 files through fakes that end at once, durable"],
    "creation": ["1 transfers of 3 files, created one by one, durable"],
    "status": ["status() while 2 transfers run"],
    "subscribers": ["1 transfers while 100 hear of everything"],
    "log": ["the write-ahead log of 1 transfers"],
    "large": ["one transfer of 1, 10, 100 files through fakes, durable"],
    "history": ["calls in stores with 100, 100, 200 rows of history and journal"],
    "complexity": ["calls in stores with 10, 100, 1,000 live transfers"],
}
SMALL = ["--transfers=2", "--files=100", "--large-mib=1", "--small-files=3", "--running=2", "--live=1000", "--due=5"]
SMALL += ["--history=200", "--repeat=1"]


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    return folder


class TestBenchmarks:
    def test_all_of_them_print_ratios_write_figures_and_leave_nothing_behind(self, disk: Path, tmp_path: Path) -> None:
        figures = tmp_path / "figures.json"
        ended = benchmarks(*SMALL, f"--folder={disk}", f"--json={figures}")
        assert (ended.returncode, list(disk.iterdir())) == (0, []), ended.stderr
        found = json.loads(figures.read_text())
        assert [heading for headings in SUITES.values() for heading in headings] == list(
            dict.fromkeys(line["suite"] for line in found["lines"])
        )
        for line in found["lines"]:
            if line["ratio"] is None:
                assert f"{line['name']}: " in ended.stdout
                assert line["reference"].startswith("not measured: no r")
                continue
            assert math.isfinite(line["ratio"])
            assert line["value"] == pytest.approx(line["ratio"] * line["reference_value"])
            assert f"{line['ratio']:.2f} x  {line['name']}: " in ended.stdout
        # at sizes as small as these, two of three may be the same
        assert {len(runs) for runs in found["runs"].values()} <= {1, 2, 3}

    def test_those_that_are_named_run_alone(self, disk: Path) -> None:
        ended = benchmarks("status", *SMALL, f"--folder={disk}")
        headings = [line for line in ended.stdout.splitlines() if line and not line.startswith(" ")]
        assert SUITES["status"] == headings

    def test_copies_for_which_the_disk_has_no_room_are_refused(self, disk: Path) -> None:
        ended = benchmarks("copies", "--large-mib=100000000", f"--folder={disk}")
        assert (ended.returncode, list(disk.iterdir())) == (1, [])
        assert "choose another --folder, or less --large-mib or --repeat" in ended.stderr

    def test_a_workload_that_fails_says_why(self, disk: Path) -> None:
        command = [sys.executable, "-c", "from benchmarks import child; from pathlib import Path; import sys\n"]
        command[-1] += "child.run('floors.copies', Path(sys.argv[1]) / 'run', source='nowhere', sync=False)"
        ended = subprocess.run([*command, disk], cwd=CHECKOUT, capture_output=True, text=True, check=False)
        assert "the workload floors.copies failed:" in ended.stderr
        assert "nowhere" in ended.stderr
