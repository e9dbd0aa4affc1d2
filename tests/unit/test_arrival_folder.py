"""What a killed run has left in a folder of this machine, and what the next run makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dts_fsm.endpoints import folder
from dts_fsm.endpoints.durability import Durability
from dts_fsm.endpoints.folder import ArrivalFolder
from dts_fsm.endpoints.streaming import Writing

OPERATION = "ab" * 16
PART = folder._PART_BYTES


def begun(root: Path, path: str = "deep/a", *, version: str = "1", num_bytes: int = 2 * PART + 1) -> Writing:
    """A writing of a new run."""
    storage = ArrivalFolder(str(root), "here", durable=Durability.NONE)
    return storage.write(path, num_bytes=num_bytes, operation=OPERATION, version=version)


def killed(root: Path, path: str = "deep/a", *, version: str = "1") -> None:
    """A run has put a part and half of another."""
    writing = begun(root, path, version=version)
    writing.put(0, b"x" * PART)
    writing.put(1, b"y" * (PART // 2))
    writing.leave()


def left(root: Path) -> int:
    return sum(1 for _ in root.rglob("*.part"))


def test_whole_parts_of_a_killed_run_are_gone_on_with(tmp_path: Path) -> None:
    killed(tmp_path)
    writing = begun(tmp_path)
    assert (writing.recall(0), writing.recall(1)) == (b"x" * PART, None)
    writing.put(1, b"z" * PART)
    writing.put(2, b"!")
    assert writing.complete(None, exclusive=True).bytes == 2 * PART + 1
    assert (tmp_path / "deep/a").read_bytes() == b"x" * PART + b"z" * PART + b"!"
    writing.discard()
    assert left(tmp_path) == 0


@pytest.mark.parametrize("changes", [{"version": "2"}, {"num_bytes": 7}])
def test_parts_of_another_content_are_not_gone_on_with_and_do_not_stay(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    killed(tmp_path)
    writing = begun(tmp_path, **changes)  # type: ignore[arg-type]
    assert (writing.recall(0), left(tmp_path)) == (None, 1)
    writing.discard()
    assert left(tmp_path) == 0


def test_parts_from_before_a_power_cut_are_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(tmp_path)
    monkeypatch.setattr(folder, "_BOOT", "another start of the machine")
    writing = begun(tmp_path)
    assert (writing.recall(0), left(tmp_path)) == (None, 1)
    writing.leave()


def test_parts_of_other_files_of_the_move_stay_where_they_are(tmp_path: Path) -> None:
    killed(tmp_path, "deep/a")
    killed(tmp_path, "deep/b")
    storage = ArrivalFolder(str(tmp_path), "here", durable=Durability.NONE)
    first, second = (
        storage.write(path, num_bytes=2 * PART + 1, operation=OPERATION, version="1") for path in ("deep/a", "deep/b")
    )
    assert (first.recall(0), second.recall(0)) == (b"x" * PART, b"x" * PART)
    first.leave()
    second.leave()


def test_a_forgotten_run_that_is_still_at_work_puts_nothing_in_place(tmp_path: Path) -> None:
    forgotten = begun(tmp_path)
    forgotten.put(0, b"x" * PART)
    writing = begun(tmp_path, num_bytes=1)
    with pytest.raises(FileNotFoundError):
        forgotten.complete(None, exclusive=False)
    writing.put(0, b"!")
    writing.complete(None, exclusive=False)
    assert (tmp_path / "deep/a").read_bytes() == b"!"
    forgotten.leave()
    writing.discard()
    assert left(tmp_path) == 0
