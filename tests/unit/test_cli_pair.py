"""The pair of folders of ``dts-fsm transfer``: where its state is, and which files it finds."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from dts_fsm.cli.pair import Pair
from dts_fsm.databases.scan import update_catalog
from dts_fsm.endpoints.durability import Durability


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_text(name)
    return folder


def pair(source: Path, tmp_path: Path, destination: str = "destination", *, exclude: tuple[str, ...] = ()) -> Pair:
    found = Pair.of(source, tmp_path / destination, tmp_path / "states", exclude=exclude)
    found.prepare()
    return found


def test_every_pair_has_a_state_of_its_own_whatever_way_it_is_named(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    states = [pair(path, tmp_path).state for path in (source, tmp_path / "link", source / "a", source / "b")]
    assert states[0] == states[1]
    assert len({*states, pair(source, tmp_path, "elsewhere").state}) == 4


@pytest.mark.parametrize(
    ("durable", "synchronous"), [(Durability.FILE, "full"), (Durability.BATCH, "full"), (Durability.NONE, "normal")]
)
def test_files_and_state_are_as_durable_as_is_asked_for(
    source: Path, tmp_path: Path, durable: Durability, synchronous: str
) -> None:
    config = Pair.of(source, tmp_path / "destination", tmp_path / "states").config(workers=3, durable=durable)
    assert config.service.synchronous == synchronous
    assert [endpoint.options for endpoint in config.endpoints.values()] == [
        {"workers": 3, "durable": durable.value}
    ] * 3


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
    assert found.files(None) == ("a", "b")
    assert (sorted(file.name for file in source.iterdir()), (found.state / "datapackage.json").exists()) == (
        ["a", "b"],
        True,
    )


def test_one_file_is_taken_from_the_catalog_of_its_folder(source: Path, tmp_path: Path) -> None:
    update_catalog(source, exclude=["b"])
    listed, unlisted = pair(source / "a", tmp_path), pair(source / "b", tmp_path)
    assert (listed.files(None), unlisted.files(None)) == (("a",), ("b",))
    assert [(found.state / "datapackage.json").exists() for found in (listed, unlisted)] == [False, True]


def test_what_was_known_of_a_file_that_is_skipped_now_is_left_out(source: Path, tmp_path: Path) -> None:
    found = pair(source, tmp_path)
    found.files(None)
    (source / "a").unlink()
    (source / "a").symlink_to("b")
    assert (found.files(None), [file.path for file in found.omissions().files]) == (("b",), ["a"])


def test_what_is_missed_comes_first_and_is_known_to_the_next_run(source: Path, tmp_path: Path) -> None:
    (source / "A link").symlink_to("a")
    (source / ".dts-x.part").write_text("unfinished")
    (source / os.fsdecode(b"latin-\xe9")).write_text("")
    found = pair(source, tmp_path)
    found.files(None)
    omissions = pair(source, tmp_path).omissions()
    assert [(file.path, file.missed) for file in omissions.files] == [
        ("latin-\\udce9", True),
        (".dts-x.part", False),
        ("A link", False),
    ]
    assert (omissions.num_missed, omissions.num_empty_folders) == (1, 0)


def test_empty_folders_are_counted(source: Path, tmp_path: Path) -> None:
    for path in ("empty", "deep/empty", "excluded/empty"):
        (source / path).mkdir(parents=True)
    found = pair(source, tmp_path, exclude=("excluded",))
    found.files(None)
    assert found.omissions().num_empty_folders == 2


@pytest.mark.parametrize("catalog", [False, True])
def test_what_is_excluded_is_not_moved_with_a_catalog_or_without(source: Path, tmp_path: Path, catalog: bool) -> None:
    (source / "sub").mkdir()
    (source / "sub" / "c").write_text("c")
    if catalog:
        update_catalog(source)
    assert pair(source, tmp_path, exclude=("su?", "b")).files(None) == ("a",)


def test_a_payload_that_was_received_is_refused_with_advice(source: Path, tmp_path: Path) -> None:
    (source / "manifest.json").write_text("{}")
    with pytest.raises(click.ClickException, match=r"transfer the folder above it; .* --exclude manifest\.json"):
        pair(source, tmp_path).files(None)
    assert pair(source, tmp_path, exclude=("manifest.json",)).files(None) == ("a", "b")


def test_a_folder_of_states_inside_of_the_source_is_refused(source: Path, tmp_path: Path) -> None:
    for states in (source, source / "states"):
        with pytest.raises(click.ClickException, match="folder of the states .* is inside of the source"):
            Pair.of(source, tmp_path / "destination", states)


def test_a_single_file_whose_name_is_not_utf8_is_to_be_renamed(source: Path, tmp_path: Path) -> None:
    file = source / os.fsdecode(b"latin-\xe9")
    file.write_text("")
    with pytest.raises(click.ClickException, match="is not UTF-8, which every name must be: rename the file"):
        Pair.of(file, tmp_path / "destination", None)


def test_a_destination_beside_a_single_file_is_allowed(source: Path, tmp_path: Path) -> None:
    assert Pair.of(source / "a", source, tmp_path / "states").file == "a"
    with pytest.raises(click.ClickException, match="is inside of the source"):
        Pair.of(source, source / "a" / "b", tmp_path / "states")
