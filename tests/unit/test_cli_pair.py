"""The pair of folders of ``dts-fsm transfer``: where its state is, and which files it finds."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from dts_fsm.cli.pair import Pair
from dts_fsm.databases.scan import update_catalog


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_text(name)
    return folder


def pair(source: Path, tmp_path: Path, destination: str = "destination") -> Pair:
    found = Pair.of(source, tmp_path / destination, tmp_path / "states")
    found.prepare()
    return found


def test_every_pair_has_a_state_of_its_own_whatever_way_it_is_named(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    states = [pair(path, tmp_path).state for path in (source, tmp_path / "link", source / "a", source / "b")]
    assert states[0] == states[1]
    assert len({*states, pair(source, tmp_path, "elsewhere").state}) == 4


@pytest.mark.parametrize("home", ["", "relative"])
def test_a_state_home_that_is_not_absolute_is_ignored(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", home)
    found = Pair.of(source, tmp_path / "destination", None)
    assert found.states == tmp_path / ".local" / "state" / "dts-fsm" / "transfers"


def test_a_source_without_a_catalog_is_not_written_to(source: Path, tmp_path: Path) -> None:
    found = pair(source, tmp_path)
    assert found.files(None).ids == ("a", "b")
    assert (sorted(file.name for file in source.iterdir()), (found.state / "datapackage.json").exists()) == (
        ["a", "b"],
        True,
    )


def test_one_file_is_taken_from_the_catalog_of_its_folder(source: Path, tmp_path: Path) -> None:
    update_catalog(source, exclude=["b"])
    listed, unlisted = pair(source / "a", tmp_path), pair(source / "b", tmp_path)
    assert (listed.files(None).ids, unlisted.files(None).ids) == (("a",), ("b",))
    assert [(found.state / "datapackage.json").exists() for found in (listed, unlisted)] == [False, True]


def test_what_was_known_of_a_file_that_is_skipped_now_is_left_out(source: Path, tmp_path: Path) -> None:
    found = pair(source, tmp_path)
    found.files(None)
    (source / "a").unlink()
    (source / "a").symlink_to("b")
    files = found.files(None)
    assert (files.ids, [file.path for file in files.skipped]) == (("b",), ["a"])


def test_a_destination_beside_a_single_file_is_allowed(source: Path, tmp_path: Path) -> None:
    assert Pair.of(source / "a", source, tmp_path / "states").file == "a"
    with pytest.raises(click.ClickException, match="is inside of the source"):
        Pair.of(source, source / "a" / "b", tmp_path / "states")
