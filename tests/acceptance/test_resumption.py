"""A move that was killed does not move again what had arrived."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.acceptance.conftest import Command

NUM_FILES, NUM_FOLDERS, SIZE_BYTES = 300, 3, 10_000
NUM_ARRIVED = 270

# Python runs this before the command: at the 270th file that takes its place, the process kills itself.
KILLING = f"""
import itertools, os, signal
real_rename, counted = os.rename, itertools.count(1)

def rename(source, target, **folders):
    real_rename(source, target, **folders)
    if str(source).endswith(".part") and next(counted) >= {NUM_ARRIVED}:
        os.kill(os.getpid(), signal.SIGKILL)

os.rename = rename
"""


def inodes(destination: Path) -> dict[str, int]:
    """The files that have arrived, each with what tells it from one that is written anew."""
    return {path.name: path.stat().st_ino for path in destination.rglob("*.bin")}


@pytest.mark.parametrize("durable", ["file", "batch", "none"])
def test_a_move_that_was_killed_at_90_percent_moves_the_other_10_percent(
    command: Command, tmp_path: Path, durable: str
) -> None:
    source, destination, killing = tmp_path / "source", tmp_path / "archive", tmp_path / "killing"
    for number in range(NUM_FILES):
        path = source / f"{number % NUM_FOLDERS}" / f"{number:03}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{number:03}\n".encode() * (SIZE_BYTES // 4))
    killing.mkdir()
    (killing / "sitecustomize.py").write_text(KILLING)
    environment = command.env | {"PYTHONPATH": f"{killing}:{command.env['PYTHONPATH']}"}
    killed = command.run("transfer", source, destination, "--durable", durable, env=environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = inodes(destination)
    assert len(before) >= NUM_ARRIVED
    command.ok("transfer", source, destination, "--durable", durable)
    after = inodes(destination)
    assert len(after) == NUM_FILES
    moved_again = [name for name in before if after[name] != before[name]]
    num_bytes = SIZE_BYTES * sum(after[name] != before.get(name) for name in after)
    assert moved_again == []
    assert num_bytes <= 0.1 * SIZE_BYTES * NUM_FILES + SIZE_BYTES
    assert [path.name for path in destination.rglob("*.part")] == []
