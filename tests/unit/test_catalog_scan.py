"""A catalog made from a folder: what is found, hashed, kept, skipped and dropped."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dts_fsm.databases import finding, hashing
from dts_fsm.databases.catalog_file import Catalog, read_catalog
from dts_fsm.databases.finding import MAX_DEPTH, FoundFile
from dts_fsm.databases.hashing import ScanProgress, hash_files
from dts_fsm.databases.scan import Scan, _time, scan, update_catalog
from dts_fsm.errors import InvalidDatabaseConfigError, InvalidDescriptorError
from dts_fsm.records import Checksum, Descriptor
from dts_fsm.records.checks import path_fault

GENOMES = Path(__file__).parents[1] / "data" / "genomes"


def _write(folder: Path, **files: str) -> None:
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def _skipped(result: Scan) -> dict[str, str]:
    return {file.printable_path: file.reason for file in result.skipped}


def test_the_genomes_are_described_with_size_checksum_and_format(tmp_path: Path) -> None:
    root = Path(shutil.copytree(GENOMES, tmp_path / "genomes"))
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    result = update_catalog(root)
    by_id = read_catalog(root / "datapackage.json").by_id
    assert files == list(by_id)
    content = (root / "chloroplast" / "NC_000932.gb.bgz").read_bytes()
    described = by_id["chloroplast/NC_000932.gb.bgz"]
    assert (described.name, described.path) == ("chloroplast/nc_000932.gb.bgz", "chloroplast/NC_000932.gb.bgz")
    assert (described.bytes, str(described.hash)) == (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")
    properties = {key: value for key, value in described.properties.items() if key != "modified"}
    assert properties == {"format": "gb", "mediatype": "application/gzip", "compression": "gz"}
    assert by_id["plasmid/NC_005816.faa"].properties["encoding"] == "utf-8"
    assert (result.num_hashed, result.skipped, result.gone) == (len(files), (), ())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x.CSV", {"format": "csv", "mediatype": "text/csv", "encoding": "utf-8"}),
        ("x.pdf", {"format": "pdf", "mediatype": "application/pdf"}),
        ("x.tar.gz", {"format": "tar", "mediatype": "application/gzip", "compression": "gz"}),
        ("x.gz", {"format": "gz", "mediatype": "application/gzip", "compression": "gz"}),
        (".fastq.bz2", {"format": "bz2", "mediatype": "application/x-bzip2", "compression": "bz2"}),
        ("x.nobody-knows", {"format": "nobody-knows"}),
        ("csv", {}),
        (".profile", {}),
        ("Dr. Who is it", {}),
    ],
)
def test_a_name_tells_format_media_type_and_compression(tmp_path: Path, name: str, expected: dict[str, str]) -> None:
    (tmp_path / name).touch()
    (described,) = scan(tmp_path).catalog.descriptors
    assert expected == {key: value for key, value in described.properties.items() if key != "modified"}


def test_a_second_run_reads_only_what_is_new_or_changed(tmp_path: Path) -> None:
    _write(tmp_path, a="aa", b="bb", c="cc", d="dd")
    assert update_catalog(tmp_path).num_hashed == 4
    first = (tmp_path / "datapackage.json").read_bytes()
    again = update_catalog(tmp_path)
    assert (again.num_hashed, again.num_bytes_hashed) == (0, 0)
    assert first == (tmp_path / "datapackage.json").read_bytes()

    _write(tmp_path, b="bbb", e="eeee")
    os.utime(tmp_path / "c", ns=(0, 1))
    (tmp_path / "d").unlink()
    third = update_catalog(tmp_path)
    assert (third.num_hashed, third.num_bytes_hashed, third.gone) == (3, 9, ("d",))
    assert [(file.id, file.bytes) for file in read_catalog(tmp_path / "datapackage.json").descriptors] == [
        ("a", 2),
        ("b", 3),
        ("c", 2),
        ("e", 4),
    ]


def test_another_algorithm_reads_every_file_again(tmp_path: Path) -> None:
    _write(tmp_path, a="aa")
    update_catalog(tmp_path)
    result = update_catalog(tmp_path, algorithm="md5")
    assert result.catalog.by_id["a"].hash == Checksum("md5", hashlib.md5(b"aa").hexdigest())
    with pytest.raises(ValueError, match="'crc' is unknown"):
        update_catalog(tmp_path, algorithm="crc")


def test_what_somebody_wrote_by_hand_is_kept(tmp_path: Path) -> None:
    _write(tmp_path, a="aa", b="bb")
    package: dict[str, Any] = {
        "licenses": [{"name": "CC0-1.0"}],
        "resources": [
            {"id": "JGI:1", "name": "one", "path": "./a", "title": "First", "mediatype": "x/y", "endpoint": "tape"},
            {"id": "JGI:2", "path": "a", "bytes": 7, "hash": "0" * 32},
            {"id": "meta", "data": {"x": 1}, "title": "inline"},
        ],
        "name": "mine",
    }
    (tmp_path / "datapackage.json").write_text(json.dumps(package), encoding="utf-8")
    update_catalog(tmp_path)
    written = read_catalog(tmp_path / "datapackage.json")
    assert written.properties == {"name": "mine", "profile": "data-package", "licenses": [{"name": "CC0-1.0"}]}
    assert list(written.by_id) == ["JGI:1", "JGI:2", "b", "meta"]
    one = written.by_id["JGI:1"]
    assert (one.name, one.path, one.bytes, one.endpoint) == ("one", "a", 2, "tape")
    assert (one.properties["title"], one.properties["mediatype"]) == ("First", "x/y")
    assert one.hash == written.by_id["JGI:2"].hash
    assert written.by_id["meta"].properties == {"data": {"x": 1}, "title": "inline"}


def test_a_broken_resource_stops_an_update_and_the_file_stays(tmp_path: Path) -> None:
    text = json.dumps({"resources": [{"id": "x", "path": "../x"}]})
    _write(tmp_path, a="aa")
    (tmp_path / "datapackage.json").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidDescriptorError, match=r"'x' cannot be used: .*leads upwards.*correct it"):
        update_catalog(tmp_path)
    assert text == (tmp_path / "datapackage.json").read_text(encoding="utf-8")


def test_a_new_file_whose_path_is_another_resources_id_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, a="aa")
    with pytest.raises(InvalidDescriptorError, match="'a' cannot be used: two resources"):
        scan(tmp_path, previous=Catalog(descriptors=(Descriptor(id="a", properties={"data": 1}),)))


def test_names_are_made_unique(tmp_path: Path) -> None:
    for name in ("é.fa", "ü.fa", "-.fa", "ß.fa"):
        (tmp_path / name).touch()
    previous = Catalog(descriptors=(Descriptor(id="x", name="-.fa-2", properties={"data": 1}),))
    names = [file.name for file in scan(tmp_path, previous=previous).catalog.descriptors]
    assert names == ["-.fa", "-.fa-3", "-.fa-4", "-.fa-5", "-.fa-2"]


def test_links_fifos_sockets_and_unprintable_names_are_skipped_with_a_reason(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    _write(root, good="x")
    _write(outside, secret="x")
    (root / "link").symlink_to(outside / "secret")
    (root / "folder-link").symlink_to(outside)
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
        (root / "a\nb").touch()
        (root / "\x1b[31m").mkdir()
        (root / "\x1b[31m" / "inside").touch()
        Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe.fa")).touch()
        (root / ".dts-0123.part").touch()
        result = scan(root)
    assert [file.id for file in result.catalog.descriptors] == ["good"]
    assert _skipped(result) == {
        "link": "it is a symbolic link: links are not followed",
        "folder-link": "it is a symbolic link: links are not followed",
        "dangling": "it is a symbolic link: links are not followed",
        "fifo": "it is not a regular file",
        "socket": "it is not a regular file",
        "a\\nb": "the path 'a\\nb' has control characters",
        "\\x1b[31m": "the path '\\x1b[31m' has control characters",
        "\\udcff\\udcfe.fa": "the path '\\udcff\\udcfe.fa' is not valid Unicode",
        ".dts-0123.part": "it is an unfinished file of a transfer",
    }
    assert sorted(file.path for file in result.skipped) == [file.path for file in result.skipped]


def test_folders_nested_beyond_measure_are_skipped(tmp_path: Path) -> None:
    deepest = tmp_path / "/".join(["d"] * (MAX_DEPTH + 2))
    deepest.mkdir(parents=True)
    (deepest / "x").touch()
    (tmp_path / "/".join(["d"] * MAX_DEPTH) / "y").touch()
    result = scan(tmp_path)
    assert [file.path.count("/") for file in result.catalog.descriptors if file.path] == [MAX_DEPTH]
    assert list(_skipped(result).values()) == [f"folders are nested more than {MAX_DEPTH} deep"]


def _refuse(monkeypatch: pytest.MonkeyPatch, module: Any, function: str, when: Callable[[Any], bool]) -> None:
    original = getattr(module, function)

    def refusing(first: Any, *args: Any, **kwargs: Any) -> Any:
        if when(first):
            raise PermissionError(13, "Permission denied")
        return original(first, *args, **kwargs)

    monkeypatch.setattr(module, function, refusing)


def test_what_may_not_be_read_is_skipped_and_its_resources_stay_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, a="aa", b="bb", secret__x__y="xx", secretive="ss")
    update_catalog(tmp_path)
    package = json.loads((tmp_path / "datapackage.json").read_text(encoding="utf-8"))
    for resource in package["resources"]:
        resource["title"] = f"by hand: {resource['id']}"
    del package["resources"][2]["bytes"]
    (tmp_path / "datapackage.json").write_text(json.dumps(package), encoding="utf-8")
    before = read_catalog(tmp_path / "datapackage.json")
    assert {"secret/x/y"} == before.unsized
    _write(tmp_path, b="bbb")
    (tmp_path / "secretive").unlink()

    with monkeypatch.context() as patch:
        _refuse(patch, finding.os, "open", lambda name: name == "secret")
        _refuse(patch, hashing, "open_beneath", lambda folder: folder == tmp_path)
        result = update_catalog(tmp_path)
    assert _skipped(result) == {"b": "Permission denied", "secret": "Permission denied"}
    assert result.gone == ("secretive",)
    after = read_catalog(tmp_path / "datapackage.json")
    kept = ["a", "b", "secret/x/y"]
    assert [before.by_id[file_id] for file_id in kept] == list(after.descriptors)
    assert {"secret/x/y"} == after.unsized


def test_a_file_that_vanishes_while_the_folder_is_looked_at_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, a="a", b="b")
    original = os.stat

    def stat(path: Any, **kwargs: Any) -> os.stat_result:
        if path == "a":
            (tmp_path / "a").unlink(missing_ok=True)
        return original(path, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(finding.os, "stat", stat)
        result = scan(tmp_path)
    assert ([*result.catalog.by_id], _skipped(result)) == (["b"], {"a": "No such file or directory"})


@pytest.mark.parametrize("change", ["grow", "shrink", "touch", "link", "fifo"])
def test_a_file_that_is_another_when_it_is_hashed_is_skipped(tmp_path: Path, change: str) -> None:
    _write(tmp_path, a="content")
    info = (tmp_path / "a").stat()
    file = FoundFile(path="a", bytes=info.st_size, modified_ns=info.st_mtime_ns)
    if change in ("link", "fifo"):
        (tmp_path / "a").unlink()
    {
        "grow": lambda: _write(tmp_path, a="content and more"),
        "shrink": lambda: _write(tmp_path, a="c"),
        "touch": lambda: os.utime(tmp_path / "a", ns=(1, 1)),
        "link": lambda: (tmp_path / "a").symlink_to("/etc/hostname"),
        "fifo": lambda: os.mkfifo(tmp_path / "a"),
    }[change]()
    checksums, skipped = hash_files(tmp_path, [file], algorithm="sha256")
    assert (checksums, [file.path for file in skipped]) == ({}, ["a"])


def test_progress_counts_files_and_bytes_one_call_at_a_time(tmp_path: Path) -> None:
    contents = {f"f{number}": "x" * number for number in range(20)} | {"large": "y" * (3 << 20)}
    _write(tmp_path, **contents)
    seen: list[ScanProgress] = []
    result = scan(tmp_path, progress=seen.append)
    num_bytes = sum(map(len, contents.values()))
    assert {(21, num_bytes)} == {(progress.total_files, progress.total_bytes) for progress in seen}
    assert (21, num_bytes) == (seen[-1].num_files, seen[-1].num_bytes)
    assert set(contents) == {progress.path for progress in seen}
    assert [progress.num_bytes for progress in seen] == sorted(progress.num_bytes for progress in seen)
    assert (result.num_hashed, result.num_bytes_hashed) == (21, num_bytes)
    assert len([progress for progress in seen if progress.path == "large"]) >= 4


def test_an_error_in_the_progress_callback_ends_the_scan_early(tmp_path: Path) -> None:
    _write(tmp_path, **{f"f{number}": "x" for number in range(200)})
    num_calls = 0

    def interrupted(_: ScanProgress) -> None:
        nonlocal num_calls
        num_calls += 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(tmp_path, progress=interrupted)
    assert num_calls <= hashing.MAX_THREADS


def test_a_catalog_can_be_written_elsewhere_and_is_never_a_resource_of_itself(tmp_path: Path) -> None:
    root = tmp_path / "root"
    _write(root, a="a", users__csv="x", sub__users__csv="y")
    (root / "users.json").write_text("{}", encoding="utf-8")
    inside, outside = root / "[a]*.json", tmp_path / "outside.json"
    for catalog_file in (inside, outside, inside):
        result = update_catalog(root, catalog_file=catalog_file)
        ids = ["a", "sub/users/csv", "users/csv"]
        assert (ids if catalog_file == inside else [inside.name, *ids]) == list(read_catalog(catalog_file).by_id)
    assert result.skipped == ()


def test_excluded_patterns_leave_out_files_and_whole_folders(tmp_path: Path) -> None:
    _write(tmp_path, a="a", tmp__b="b", x__c="c", x__d="d")
    assert list(update_catalog(tmp_path, exclude=["tmp", "*/c"]).catalog.by_id) == ["a", "x/d"]


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scan(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        update_catalog(tmp_path / "missing")


def test_an_empty_folder_has_an_empty_catalog(tmp_path: Path) -> None:
    assert (Catalog(), 0) == (scan(tmp_path).catalog, scan(tmp_path).num_hashed)


def test_times_are_told_apart_to_the_nanosecond_and_never_fail() -> None:
    assert _time(10**18 + 1) == "2001-09-09T01:46:40.000000001Z"
    assert _time(-1) == "1969-12-31T23:59:59.999999999Z"
    assert f"{10**24} ns" == _time(10**24)


NAMES = st.text(st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..") and not name.startswith(".dts-") and len(name.encode()) < 200
)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.binary(max_size=20), max_size=8))
def test_a_catalog_of_any_tree_is_read_back_equal_and_nothing_is_hashed_twice(
    tree: dict[tuple[str, ...], bytes],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        root.mkdir()
        for parts, content in tree.items():
            try:
                root.joinpath(*parts[:-1]).mkdir(parents=True, exist_ok=True)
                root.joinpath(*parts).write_bytes(content)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                continue
        files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
        first = update_catalog(root, catalog_file=Path(folder, "catalog.json"))
        written = read_catalog(Path(folder, "catalog.json"))
        again = update_catalog(root, catalog_file=Path(folder, "catalog.json"))

        skipped = {file.path for file in first.skipped}
        usable = {
            path: file.read_bytes()
            for path, file in files.items()
            if path_fault(path) is None and path not in ("datapackage.json", "users.json", "users.csv")
        }
        assert first.catalog.descriptors == written.descriptors
        assert sorted(usable) == [file.id for file in written.descriptors]
        assert [path for path in files if path_fault(path) and not _is_below(path, skipped)] == []
        for file in written.descriptors:
            content = usable[file.id]
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.hash and file.hash.digest)
        assert (0, written) == (again.num_hashed, again.catalog)
        assert len({file.name for file in written.descriptors}) == len(written.descriptors)


def _is_below(path: str, folders: set[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:number]) in folders for number in range(1, len(parts) + 1))


@pytest.mark.parametrize(
    ("package", "key"),
    [
        (b'{"resources": [], "x": {"y": [NaN]}}', "x.y[0]"),
        (b'{"resources": [], "x": 1e999}', "x"),
        (b'{"resources": [], "title": "\\ud800"}', "title"),
    ],
)
def test_a_property_that_cannot_be_written_again_is_named_before_any_file_is_read(
    tmp_path: Path, package: bytes, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("dts_fsm.databases.scan.find_files")
    file = tmp_path / "datapackage.json"
    file.write_bytes(package)
    with pytest.raises(InvalidDatabaseConfigError, match="correct it, or take it out") as caught:
        update_catalog(tmp_path)
    assert (str(file), key) == (caught.value.file, caught.value.key)
    assert package == file.read_bytes()


def test_a_catalog_that_is_a_link_out_of_the_folder_is_not_updated(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    update_catalog(tmp_path)
    link = folder / "datapackage.json"
    link.symlink_to("../datapackage.json")
    with pytest.raises(InvalidDatabaseConfigError, match="symbolic link that leads outside"):
        update_catalog(folder)
    assert link.is_symlink()


def test_an_updated_catalog_tells_which_resources_share_a_path(tmp_path: Path) -> None:
    _write(tmp_path, a="aa")
    package = {"resources": [{"id": "one", "path": "a"}, {"id": "two", "path": "./a"}]}
    (tmp_path / "datapackage.json").write_text(json.dumps(package), encoding="utf-8")
    assert update_catalog(tmp_path).catalog.shared_paths == {"a": ("one", "two")}
