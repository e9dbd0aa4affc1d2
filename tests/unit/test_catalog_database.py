"""The catalog database: configuration, descriptors, reloading, staging from its archive, and size."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from dts_fsm.config import DatabaseConfig
from dts_fsm.databases import catalog as catalog_module
from dts_fsm.databases.catalog import CatalogDatabase
from dts_fsm.databases.catalog_file import parse_catalog
from dts_fsm.databases.files import TEMPORARY_PREFIX
from dts_fsm.databases.scan import update_catalog
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.errors import (
    InvalidDatabaseConfigError,
    InvalidDescriptorError,
    InvalidOrcidError,
    PermanentError,
    ResourcesNotFoundError,
)
from dts_fsm.interfaces import Database, Endpoint
from dts_fsm.records import SearchParameters, StagingStatus

ADA = "0000-0002-1825-0097"
DEADLINE_S = 20.0


class Elsewhere(LocalEndpoint):
    """An endpoint that is no folder of this machine."""

    provider = "elsewhere"


Make = Callable[..., CatalogDatabase]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def make(root: Path) -> Iterator[Make]:
    made: list[CatalogDatabase] = []

    def make(*, endpoint: Endpoint | None = None, **arguments: Any) -> CatalogDatabase:
        endpoint = endpoint or LocalEndpoint(root=root)
        made.append(CatalogDatabase(name="genomes", endpoint=endpoint, endpoint_name="disk", **arguments))
        return made[-1]

    yield make
    for database in made:
        database.close()


def _write(file: Path, *resources: Mapping[str, Any]) -> None:
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps({"resources": resources}), encoding="utf-8")
    os.replace(temporary, file)


def _resource(file_id: str, **properties: Any) -> dict[str, Any]:
    return {"id": file_id, "path": f"{file_id}.fa", "bytes": 1} | properties


def _ids(database: Database) -> list[str]:
    return [descriptor.id for descriptor in database.search(ADA, SearchParameters()).descriptors]


def _ended(database: Database, request_id: UUID) -> StagingStatus:
    deadline_s = time.monotonic() + DEADLINE_S
    while (status := database.staging_status([request_id])[request_id]) is StagingStatus.ACTIVE:
        assert time.monotonic() < deadline_s, "staging has not ended in time"
        threading.Event().wait(0.002)
    return status


# Descriptors


def test_descriptors_come_in_the_order_asked_for_and_a_repeated_id_counts_once(root: Path, make: Make) -> None:
    _write(root / "datapackage.json", *map(_resource, "abc"))
    assert [descriptor.id for descriptor in make().descriptors(ADA, ["c", "a", "c"])] == ["c", "a"]


def test_a_broken_resource_fails_only_the_requests_for_it(
    root: Path, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    _write(root / "datapackage.json", _resource("good"), _resource("bad", path="../x"), _resource("worse", hash="x:1"))
    database = make()
    assert [descriptor.id for descriptor in database.descriptors(ADA, ["good"])] == ["good"]
    assert _ids(database) == ["good"]
    with pytest.raises(InvalidDescriptorError, match=r"'bad' cannot be used: .*leads upwards"):
        database.descriptors(ADA, ["good", "bad"])
    with pytest.raises(InvalidDescriptorError, match="algorithm 'x' is unknown"):
        database.stage_files(ADA, ["worse"], request_id=uuid4())
    with pytest.raises(ResourcesNotFoundError) as caught:
        database.descriptors(ADA, ["no", "bad", "good", "nor"])
    assert caught.value.resource_ids == ("no", "nor")
    assert [record.resource_id for record in caplog.records] == ["bad", "worse"]  # type: ignore[attr-defined]


def test_a_catalog_full_of_faults_does_not_flood_the_log(
    root: Path, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    _write(root / "datapackage.json", *[_resource(str(number), path="..") for number in range(50)])
    assert _ids(make()) == []
    assert len(caplog.records) == 11
    assert caplog.records[-1].num_faults == 50  # type: ignore[attr-defined]


def test_a_size_that_the_catalog_does_not_say_is_that_of_the_file(
    root: Path, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    _write(root / "datapackage.json", *[_resource(name, bytes=None) for name in "abc"])
    (root / "a.fa").write_text("1", encoding="utf-8")
    (archive / "a.fa").write_text("333", encoding="utf-8")
    (archive / "b.fa").write_text("22", encoding="utf-8")
    database = make(archive=archive)
    assert [descriptor.bytes for descriptor in database.descriptors(ADA, ["a", "b"])] == [1, 2]
    with pytest.raises(InvalidDescriptorError, match="'c' cannot be used: its size"):
        database.descriptors(ADA, ["c"])
    assert _ids(database) == ["a", "b"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    (root / "c.fa").touch()
    assert _ids(database) == ["a", "b", "c"]
    assert _ended(database, database.stage_files(ADA, ["b"], request_id=uuid4())) is StagingStatus.SUCCEEDED


def test_inline_data_is_described_and_never_staged(root: Path, make: Make) -> None:
    _write(root / "datapackage.json", {"id": "meta", "data": {"x": 1}})
    database = make()
    assert [descriptor.inline for descriptor in database.descriptors(ADA, ["meta"])] == [True]
    assert _ended(database, database.stage_files(ADA, ["meta"], request_id=uuid4())) is StagingStatus.SUCCEEDED


def test_a_catalog_that_changed_is_read_again_and_one_that_did_not_is_not(
    root: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[Path] = []

    def counted(path: Path, content: bytes) -> Any:
        parsed.append(path)
        return parse_catalog(path, content)

    monkeypatch.setattr(catalog_module, "parse_catalog", counted)
    database = make()
    _write(root / "datapackage.json", _resource("a"))
    assert [_ids(database), _ids(database)] == [["a"], ["a"]]
    _write(root / "datapackage.json", _resource("b"))
    assert [_ids(database), _ids(database)] == [["b"], ["b"]]
    assert len(parsed) == 2
    (root / "datapackage.json").write_text("{", encoding="utf-8")
    with pytest.raises(InvalidDatabaseConfigError, match="cannot be used as a catalog"):
        database.descriptors(ADA, ["b"])
    _write(root / "datapackage.json", _resource("c"))
    assert _ids(database) == ["c"]


def test_without_a_catalog_it_can_receive_and_says_what_to_do_about_the_rest(make: Make) -> None:
    database = make()
    assert (database.local_user(ADA), list(database.endpoint_names())) == (ADA, ["disk"])
    for question in (
        lambda: database.search(ADA, SearchParameters()),
        lambda: database.descriptors(ADA, ["a"]),
        database.specific_search_parameters,
    ):
        with pytest.raises(InvalidDatabaseConfigError, match="dts-fsm catalog"):
            question()


def test_a_catalog_of_a_hundred_thousand_files_answers_without_reading_all_of_it_again(root: Path, make: Make) -> None:
    _write(root / "datapackage.json", *[_resource(f"f{number:06}") for number in range(100_000)])
    database = make()
    began_s = time.monotonic()
    database.descriptors(ADA, ["f000000"])
    loaded_s = time.monotonic()
    ids = [f"f{number:06}" for number in range(0, 100_000, 1000)]
    for _ in range(100):
        assert len(database.descriptors(ADA, ids)) == 100
    answered_s = time.monotonic()
    # measured: 1 s and 0.01 s; what is kept out is a load, or a walk through the catalog, for each request
    assert (loaded_s - began_s < 15, answered_s - loaded_s < 2) == (True, True)


# Staging


@pytest.fixture
def archive(tmp_path: Path, root: Path) -> Path:
    folder = tmp_path / "archive"
    for name in ("a", "sub/b", "c"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}", encoding="utf-8")
    update_catalog(folder, catalog_file=root / "datapackage.json")
    return folder


def test_missing_files_are_copied_from_the_archive_and_others_left_alone(root: Path, archive: Path, make: Make) -> None:
    (root / "a").write_text("content of X", encoding="utf-8")
    database = make(archive=archive)
    request_id = uuid4()
    assert database.stage_files(ADA, ["a", "sub/b"], request_id=request_id) == request_id
    assert _ended(database, request_id) is StagingStatus.SUCCEEDED
    assert (root / "sub" / "b").read_text(encoding="utf-8") == "content of sub/b"
    assert (root / "a").read_text(encoding="utf-8") == "content of X"
    assert not (root / "c").exists()


def test_a_request_is_active_while_the_tape_is_fetched_and_unknown_after_a_restart(
    root: Path, archive: Path, make: Make
) -> None:
    before = make(archive=archive, staging_delay_s=3600)
    request_id = before.stage_files(ADA, ["c"], request_id=uuid4())
    assert before.staging_status([request_id]) == {request_id: StagingStatus.ACTIVE}
    before.close()
    after = make(archive=archive)
    assert after.staging_status([request_id]) == {request_id: StagingStatus.UNKNOWN}
    after.stage_files(ADA, ["c"], request_id=request_id)
    assert _ended(after, request_id) is StagingStatus.SUCCEEDED
    assert (root / "c").exists()


def _littered(root: Path, *request_ids: UUID) -> list[Path]:
    """Leave what requests with these ids leave that are killed in mid-copy; give its paths."""
    (root / "sub").mkdir(exist_ok=True)
    litter = [
        root / folder / f"{TEMPORARY_PREFIX}{request_id.hex}-0123.part"
        for request_id in request_ids
        for folder in ("", "sub")
    ]
    for path in litter:
        path.write_text("half", encoding="utf-8")
    return litter


def test_a_request_that_is_made_again_clears_away_what_its_killed_attempt_left(
    root: Path, archive: Path, make: Make
) -> None:
    # The names were random: a kill while a file was staged left the half of it in the source's folder for ever.
    database = make(archive=archive)
    request_id, other_id = uuid4(), uuid4()
    own, others = _littered(root, request_id), _littered(root, other_id)
    (root / "sub" / "b").write_text("content of sub/b", encoding="utf-8")  # another request has brought it
    database.stage_files(ADA, ["c", "sub/b"], request_id=request_id)
    assert _ended(database, request_id) is StagingStatus.SUCCEEDED
    assert [path.exists() for path in (*own, *others)] == [False, False, True, True]
    database.stage_files(ADA, ["c", "sub/b"], request_id=other_id)  # nothing is missing any more
    assert [path.exists() for path in others] == [False, False]


def test_one_listing_of_a_folder_is_enough_for_all_files_that_are_staged_there(
    root: Path, archive: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, listdir = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or listdir(folder))
    database = make(archive=archive)
    database.fence(lambda: True)
    assert _ended(database, database.stage_files(ADA, ["a", "c"], request_id=uuid4())) is StagingStatus.SUCCEEDED
    assert ((root / "a").exists(), (root / "c").exists(), len(listed)) == (True, True, 1)


def test_a_file_that_another_request_has_brought_is_not_copied_again(
    archive: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    gate = threading.Event()
    original = catalog_module.copy_beneath

    def counted(source: Path, destination: Path, path: str, **arguments: Any) -> None:
        assert gate.wait(DEADLINE_S)
        copied.append(path)
        original(source, destination, path, **arguments)

    monkeypatch.setattr(catalog_module, "copy_beneath", counted)
    database = make(archive=archive)
    ids = [database.stage_files(ADA, ["a", "c"], request_id=uuid4()) for _ in range(3)]
    gate.set()
    assert [_ended(database, request_id) for request_id in ids] == [StagingStatus.SUCCEEDED] * 3
    assert copied == ["a", "c"]


def test_a_link_in_the_way_fails_the_request_and_nothing_is_written_through_it(
    root: Path, archive: Path, make: Make, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "sub").symlink_to(outside)
    database = make(archive=archive)
    assert _ended(database, database.stage_files(ADA, ["sub/b"], request_id=uuid4())) is StagingStatus.FAILED
    assert list(outside.iterdir()) == []


def test_what_cannot_be_staged_is_said_at_once(root: Path, archive: Path, make: Make) -> None:
    with pytest.raises(PermanentError, match=r"no archive to stage from, and 2 files .*: 'a', 'c'$"):
        make().stage_files(ADA, ["a", "c"], request_id=uuid4())
    (archive / "a").unlink()
    with pytest.raises(PermanentError, match=r"1 files .* neither at its endpoint nor in its archive: 'a'$"):
        make(archive=archive).stage_files(ADA, ["a", "c"], request_id=uuid4())
    with pytest.raises(ResourcesNotFoundError):
        make(archive=archive).stage_files(ADA, ["a", "x"], request_id=uuid4())
    _write(root / "datapackage.json", *[_resource(str(number)) for number in range(30)])
    with pytest.raises(PermanentError, match=r"'8', '9', and 20 more$"):
        make().stage_files(ADA, [str(number) for number in range(30)], request_id=uuid4())
    assert sorted(path.name for path in root.iterdir()) == ["datapackage.json"]


# Configuration


def _config(endpoints: Mapping[str, str] | None = None, **options: Any) -> DatabaseConfig:
    return DatabaseConfig(key="genomes", endpoints=endpoints or {"": "disk"}, options=options)


def test_a_configuration_without_options_finds_its_files_in_the_endpoints_root(root: Path) -> None:
    _write(root / "datapackage.json", _resource("a"))
    (root / "users.csv").write_text(f"{ADA},ada", encoding="utf-8")
    database = CatalogDatabase.from_config(_config(), endpoints={"disk": LocalEndpoint(root=root)})
    assert (_ids(database), database.local_user(ADA), list(database.endpoint_names())) == (["a"], "ada", ["disk"])


def test_relative_paths_start_at_the_endpoints_root_and_absolute_ones_stay(root: Path, tmp_path: Path) -> None:
    (root / "etc").mkdir()
    (tmp_path / "tape").mkdir()
    (tmp_path / "tape" / "a.fa").write_text("x", encoding="utf-8")
    _write(root / "etc" / "files.json", _resource("a"))
    (tmp_path / "people.csv").write_text(f"{ADA},ada", encoding="utf-8")
    config = _config(
        {"data": "disk", "more": "disk"},
        catalog="etc/files.json",
        users=str(tmp_path / "people.csv"),
        archive="../tape",
        staging_delay=0.001,
    )
    database = CatalogDatabase.from_config(config, endpoints={"disk": LocalEndpoint(root=root)})
    assert (_ids(database), database.local_user(ADA)) == (["a"], "ada")
    with pytest.raises(InvalidOrcidError, match=r"people\.csv"):
        database.local_user("0000-0002-1694-233X")
    assert _ended(database, database.stage_files(ADA, ["a"], request_id=uuid4())) is StagingStatus.SUCCEEDED
    database.close()


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        ({"catalogue": "x"}, "catalogue", "no such option: it has catalog, users, archive, staging_delay"),
        ({"catalog": 7}, "catalog", "must be a path, not 7"),
        ({"catalog": "a\x00b"}, "catalog", "must be a path"),
        ({"users": ["a"]}, "users", "must be a path"),
        ({"users": "~no-such-user-here/x"}, "users", "home is unknown"),
        ({"archive": "missing"}, "archive", "is not an existing folder"),
        ({"archive": "datapackage.json"}, "archive", "is not an existing folder"),
        ({"staging_delay": -1}, "staging_delay", "zero or more, not -1"),
        ({"staging_delay": float("nan")}, "staging_delay", "zero or more, not nan"),
        ({"staging_delay": 1e300}, "staging_delay", "zero or more"),
        ({"staging_delay": "1"}, "staging_delay", "zero or more, not '1'"),
        ({"staging_delay": True}, "staging_delay", "zero or more, not True"),
    ],
)
def test_a_wrong_option_is_named_with_its_key(root: Path, options: dict[str, Any], key: str, message: str) -> None:
    _write(root / "datapackage.json")
    with pytest.raises(InvalidDatabaseConfigError) as caught:
        CatalogDatabase.from_config(_config(**options), endpoints={"disk": LocalEndpoint(root=root)})
    assert caught.value.key == f"databases.genomes.{key}"
    assert message in str(caught.value)


@pytest.mark.parametrize("endpoints", [{"a": "disk", "b": "tape"}, {"": "unknown"}])
def test_it_has_exactly_one_configured_endpoint(root: Path, endpoints: dict[str, str]) -> None:
    with pytest.raises(InvalidDatabaseConfigError, match="has one endpoint") as caught:
        CatalogDatabase.from_config(_config(endpoints), endpoints={"disk": LocalEndpoint(root=root)})
    assert caught.value.key == "databases.genomes.endpoint"


def test_an_option_without_a_value_has_its_default(root: Path) -> None:
    config = _config(catalog=None, users=None, archive=None, staging_delay=None)
    database = CatalogDatabase.from_config(config, endpoints={"disk": LocalEndpoint(root=root)})
    assert database.local_user(ADA) == ADA


def test_at_an_endpoint_elsewhere_the_catalog_needs_an_absolute_path_and_there_is_no_archive(
    root: Path, tmp_path: Path, make: Make
) -> None:
    elsewhere = Elsewhere(root=root)
    with pytest.raises(InvalidDatabaseConfigError, match="absolute path, since the endpoint 'disk' is no local folder"):
        make(endpoint=elsewhere)
    with pytest.raises(InvalidDatabaseConfigError, match="at a local endpoint only, and 'disk' is none"):
        make(endpoint=elsewhere, catalog=tmp_path / "files.json", archive=tmp_path)
    _write(tmp_path / "files.json", _resource("a"), _resource("b", bytes=None))
    (root / "users.json").write_text("not for this database", encoding="utf-8")
    (root / "b.fa").touch()
    database = make(endpoint=elsewhere, catalog=tmp_path / "files.json")
    assert (_ids(database), database.local_user(ADA)) == (["a"], ADA)


def test_files_that_vanish_from_the_archive_fail_the_request(
    archive: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_module, "size_beneath", lambda *_: 1)
    (archive / "a").unlink()
    database = make(archive=archive)
    assert _ended(database, database.stage_files(ADA, ["a"], request_id=uuid4())) is StagingStatus.FAILED


def test_an_endpoint_that_says_nothing_of_a_file_does_not_have_it(
    root: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalEndpoint, "files_staged", lambda *_: {})
    _write(root / "datapackage.json", _resource("a"))
    with pytest.raises(PermanentError, match="no archive"):
        make().stage_files(ADA, ["a"], request_id=uuid4())


def test_a_file_of_another_size_is_told_with_both_sizes(root: Path, make: Make) -> None:
    _write(root / "datapackage.json", _resource("a", bytes=6), _resource("b"))
    (root / "a.fa").write_bytes(b"1234")
    with pytest.raises(PermanentError, match=r"'a' \(it has 4 bytes, not 6\), 'b'$"):
        make().stage_files(ADA, ["a", "b"], request_id=uuid4())


def test_resources_with_one_path_are_logged_with_their_ids(
    root: Path, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    _write(root / "datapackage.json", _resource("a"), _resource("b", path="a.fa"))
    assert _ids(make()) == ["a", "b"]
    assert [record.resource_ids for record in caplog.records] == [("a", "b")]  # type: ignore[attr-defined]


def test_a_catalog_or_users_file_that_is_a_link_out_of_the_root_is_refused(root: Path, make: Make) -> None:
    outside = root.parent / "outside.json"
    _write(outside, _resource("a"))
    (root / "datapackage.json").symlink_to(outside)
    (root / "users.json").symlink_to(outside)
    database = make()
    with pytest.raises(InvalidDatabaseConfigError, match=r"datapackage\.json.*symbolic link that leads outside"):
        database.descriptors(ADA, ["a"])
    with pytest.raises(InvalidDatabaseConfigError, match=r"users\.json.*symbolic link that leads outside"):
        database.local_user(ADA)
    assert _ids(make(catalog=outside)) == ["a"]


def test_a_copy_that_hangs_does_not_hold_who_closes(
    root: Path, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, opened = threading.Event(), threading.Event()

    def hang(*_: Any, **__: Any) -> None:
        reached.set()
        opened.wait(DEADLINE_S)

    monkeypatch.setattr(catalog_module, "copy_beneath", hang)
    monkeypatch.setattr("dts_fsm.databases.staging.CLOSE_TIMEOUT_S", 0.01)
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "a.fa").write_bytes(b"x")
    _write(root / "datapackage.json", _resource("a"))
    database = make(archive=archive)
    request_id = database.stage_files(ADA, ["a"], request_id=uuid4())
    assert reached.wait(DEADLINE_S)
    database.close()
    assert database.staging_status([request_id]) == {request_id: StagingStatus.UNKNOWN}
    opened.set()
