"""Stores that are damaged, not ours, not writable or locked: clear errors, and nothing made worse."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from uuid import UUID

import attrs
import pytest

from dts_fsm.errors import StoreDamagedError, StoreError, StoreForeignError
from dts_fsm.store import SqliteStore
from dts_fsm.store.maintenance import check
from dts_fsm.testing import Rig
from dts_fsm.testing.store_suite import NOW, admission
from tests.faults.disks import read_only
from tests.faults.judge import contradicting

_PAGE_BYTES = 4096
_WAL_HEADER_BYTES = 32
_WAL_FRAME_BYTES = 24 + _PAGE_BYTES
"""Source: SQLite, "Database File Format", 4.1."""

_NOBODY = 65534


@attrs.frozen
class Image:
    """What a killed process has left: the file, the log beside it, and the transfers, in order of their creation."""

    file: bytes
    log: bytes
    transfers: tuple[UUID, ...]
    num_in_file: int

    def write(self, folder: Path, *, file: bytes | None = None, log: bytes | None = None) -> Path:
        """Lay it out in a new folder, with other contents where they are given; gives the path of the store."""
        folder.mkdir()
        path = folder / "dts.db"
        path.write_bytes(self.file if file is None else file)
        if log != b"":
            (folder / "dts.db-wal").write_bytes(self.log if log is None else log)
        return path


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("image")
    rig = Rig(folder)
    rig.source.add("a", b"content of a")
    rig.source.add("long", b"", path="long/" + "x" * 200)
    with closing(rig):
        transfers = [rig.create("a", description="d" * 9000) for _ in range(4)]
        rig.run(transfers[0])
        rig.reopen()
        in_file = len(transfers)
        for _ in range(3):
            transfers.append(rig.create("a", "long"))
            rig.tick()
        path = rig.store.path
        return Image(path.read_bytes(), Path(f"{path}-wal").read_bytes(), tuple(transfers), in_file)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dts_fsm.store.connections._BUSY_TIMEOUT_S", 0.1)
    monkeypatch.setattr("dts_fsm.store.maintenance._BUSY_TIMEOUT_S", 0.1)


def _contents(folder: Path) -> dict[str, bytes]:
    """What is in a folder, but for empty logs and for indices of logs, which hold nothing."""
    contents = {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}
    return {name: content for name, content in contents.items() if content}


def _read_all(store: SqliteStore) -> list[UUID]:
    """Ask for everything there is; gives the transfers in order of creation."""
    records = store.transfers(limit=1000)
    for record in records:
        rowid = store.rowid(record.id)
        store.load([rowid])
        store.files(rowid)
        store.stored(rowid)
        store.operations(rowid)
        store.status(record.id)
    store.messages(0)
    store.journal()
    return [record.id for record in reversed(records)]


def _opened(path: Path) -> SqliteStore | StoreError:
    try:
        return SqliteStore(path)
    except StoreError as error:
        return error


def _examined(path: Path) -> list[UUID] | StoreError:
    """What a store has, or the error of ours with which it was refused; one refused at once is left as it was."""
    before = _contents(path.parent)
    store = _opened(path)
    if isinstance(store, StoreError):
        assert _contents(path.parent) == before
        return store
    with closing(store):
        try:
            found = _read_all(store)
            store.create([admission()])
        except StoreError as error:
            return error
    return found


def _sound(path: Path) -> bool:
    with closing(SqliteStore(path)) as store:
        return [*contradicting(store), *check(path)] == []


# Torn and damaged files


def test_an_image_of_a_killed_process_has_everything(image: Image, quick_folder: Path) -> None:
    assert _examined(image.write(quick_folder / "s")) == list(image.transfers)


def _log_cuts(image: Image) -> Iterator[int]:
    frames = (len(image.log) - _WAL_HEADER_BYTES) // _WAL_FRAME_BYTES
    for number in range(frames + 1):
        boundary = _WAL_HEADER_BYTES + number * _WAL_FRAME_BYTES
        yield from (boundary, boundary + 2000)


def test_a_log_that_was_cut_anywhere_gives_what_was_committed_before_the_cut(image: Image, quick_folder: Path) -> None:
    counts = []
    for cut in (0, 16, *_log_cuts(image)):
        path = image.write(quick_folder / str(cut), log=image.log[:cut])
        found = _examined(path)
        assert found == list(image.transfers[: len(found)])  # type: ignore[arg-type]
        assert _sound(path)
        counts.append(len(found))  # type: ignore[arg-type]
    assert (counts[0], counts[-1], counts) == (image.num_in_file, len(image.transfers), sorted(counts))


def test_a_log_with_a_wrong_byte_gives_what_was_committed_before_it(image: Image, quick_folder: Path) -> None:
    for position in range(0, len(image.log), 3001):
        log = bytearray(image.log)
        log[position] ^= 0xFF
        path = image.write(quick_folder / str(position), log=bytes(log))
        found = _examined(path)
        assert found == list(image.transfers[: len(found)])  # type: ignore[arg-type]
        assert _sound(path)


def test_garbage_in_the_index_of_the_log_loses_nothing(image: Image, quick_folder: Path) -> None:
    path = image.write(quick_folder / "s")
    (quick_folder / "s" / "dts.db-shm").write_bytes(random.Random(0).randbytes(32768))
    assert _examined(path) == list(image.transfers)


@pytest.mark.parametrize("with_log", [True, False])
def test_a_file_that_was_cut_anywhere_is_refused_as_damaged_or_has_all(
    image: Image, quick_folder: Path, with_log: bool
) -> None:
    log = None if with_log else b""
    expected = list(image.transfers if with_log else image.transfers[: image.num_in_file])
    for cut in range(100, len(image.file), _PAGE_BYTES // 2):
        path = image.write(quick_folder / str(cut), file=image.file[:cut], log=log)
        found = _examined(path)
        assert isinstance(found, StoreDamagedError) or (cut, found) == (cut, expected)


@pytest.mark.parametrize("with_log", [True, False])
def test_a_file_with_a_page_of_garbage_gives_errors_of_ours_alone(
    image: Image, quick_folder: Path, with_log: bool
) -> None:
    log = None if with_log else b""
    for number in range(len(image.file) // _PAGE_BYTES):
        garbage = random.Random(number)
        for kind, page in (("random", garbage.randbytes(_PAGE_BYTES)), ("zero", bytes(_PAGE_BYTES))):
            start = number * _PAGE_BYTES
            file = image.file[:start] + page + image.file[start + _PAGE_BYTES :]
            path = image.write(quick_folder / f"{number} {kind}", file=file, log=log)
            found = _examined(path)
            assert isinstance(found, (list, StoreDamagedError, StoreForeignError)), (number, kind)


def test_a_file_with_wrong_bytes_gives_errors_of_ours_alone(image: Image, quick_folder: Path) -> None:
    for seed in range(150):
        wrong = random.Random(seed)
        file = bytearray(image.file)
        for _ in range(wrong.choice((1, 20, 400))):
            file[wrong.randrange(100, len(file))] = wrong.randrange(256)
        path = image.write(quick_folder / str(seed), file=bytes(file), log=b"")
        before = _contents(path.parent)
        with suppress(StoreError):
            check(path)
        assert _contents(path.parent) == before
        _examined(path)
        shutil.rmtree(path.parent)


def test_a_store_that_was_never_finished_is_found_empty_and_is_finished_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "dts.db"
    with closing(sqlite3.connect(path)) as killed:
        killed.execute("PRAGMA journal_mode=WAL").fetchall()
    assert check(path) == ["the file is empty: no transfer was ever stored in it"]
    with closing(SqliteStore(path)) as store:
        assert len(store.create([admission()])) == 1


# What is not ours


def _thesis(folder: Path) -> sqlite3.Connection:
    """Another program's database, whose last changes are in its log; open, as the program has it."""
    other = sqlite3.connect(folder / "dts.db", isolation_level=None)
    other.execute("PRAGMA journal_mode=WAL").fetchall()
    other.execute("CREATE TABLE thesis (chapter)")
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    other.execute("INSERT INTO thesis VALUES ('the last one')")
    return other


def test_another_program_s_database_is_refused_and_keeps_its_file_and_its_log(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    (tmp_path / "left").mkdir()
    with closing(_thesis(tmp_path / "live")):
        for name in ("dts.db", "dts.db-wal"):
            shutil.copy(tmp_path / "live" / name, tmp_path / "left" / name)
    before = _contents(tmp_path / "left")
    found = _examined(tmp_path / "left" / "dts.db")
    assert (type(found), _contents(tmp_path / "left")) == (StoreForeignError, before)
    with closing(sqlite3.connect(tmp_path / "left" / "dts.db")) as other:
        assert other.execute("SELECT * FROM thesis").fetchall() == [("the last one",)]


def _socket(path: Path) -> None:
    # the path of a socket is short
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with closing(socket.socket(socket.AF_UNIX)) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


def _link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


@pytest.mark.parametrize(
    "make",
    [Path.mkdir, os.mkfifo, _socket, _link_to("/dev/null"), _link_to("dts.db"), _link_to("nowhere.db")],
    ids=["folder", "pipe", "socket", "device", "link to itself", "link that leads nowhere"],
)
def test_what_is_no_regular_file_is_refused_and_nothing_is_made(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "dts.db"
    make(path)
    before = stat.S_IFMT(path.lstat().st_mode)
    with pytest.raises(StoreError, match=r"dts\.db"):
        SqliteStore(path)
    assert ([file.name for file in tmp_path.iterdir()], stat.S_IFMT(path.lstat().st_mode)) == (["dts.db"], before)


# What may not be written


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Without the rights of root, where they were there."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("with_log", [True, False], ids=["with a log", "without a log"])
@pytest.mark.parametrize(
    ("of_file", "of_folder"), [(0o444, 0o777), (0o444, 0o555), (0o666, 0o555), (0o000, 0o777), (0o666, 0o000)]
)
def test_a_store_that_may_not_be_written_is_read_or_refused_and_left_as_it_is(
    image: Image, quick_folder: Path, of_file: int, of_folder: int, with_log: bool
) -> None:
    quick_folder.chmod(0o755)
    path = image.write(quick_folder / "s", log=None if with_log else b"")
    before = _contents(path.parent)
    for file in path.parent.iterdir():
        file.chmod(of_file)
    path.parent.chmod(of_folder)
    try:
        with _as_nobody():
            store = _opened(path)
            if isinstance(store, StoreError):
                assert re.search("check the permissions|Permission denied", str(store)) is not None
            else:
                with closing(store):
                    assert len(_read_all(store)) == len(image.transfers if with_log else range(image.num_in_file))
                    with pytest.raises(StoreError, match="cannot be written"):
                        store.create([admission()])
                    with pytest.raises(StoreError, match="cannot be"):
                        store.acquire_lease(NOW, 10)
    finally:
        path.parent.chmod(0o755)
    assert _contents(path.parent) == before


def test_a_store_on_a_file_system_that_becomes_read_only_says_so_and_goes_on_when_it_may_be_written(
    image: Image, mounted: Callable[[str, str], Path]
) -> None:
    disk = mounted("disk", "8m")
    path = image.write(disk / "s")
    with read_only(disk), pytest.raises(StoreError, match="cannot be"):
        SqliteStore(path)
    assert _examined(path) == list(image.transfers)


# Locks


def test_a_commit_waits_for_a_stranger_s_lock_and_succeeds_when_it_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dts_fsm.store.connections._BUSY_TIMEOUT_S", 30.0)
    path = tmp_path / "dts.db"
    with closing(SqliteStore(path)) as store:
        stranger = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        stranger.execute("BEGIN EXCLUSIVE")
        timer = threading.Timer(0.3, stranger.execute, ["ROLLBACK"])
        timer.start()
        assert len(store.create([admission()])) == 1
        timer.join()
        stranger.close()


def test_a_stranger_who_keeps_the_file_to_itself_is_an_error_within_the_time_out(tmp_path: Path) -> None:
    path = tmp_path / "dts.db"
    SqliteStore(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("PRAGMA locking_mode=EXCLUSIVE").fetchall()
        stranger.execute("BEGIN EXCLUSIVE")
        stranger.execute("UPDATE lease SET epoch = epoch")
        stranger.execute("COMMIT")
        with pytest.raises(StoreError, match="locked by another program for more than 0.1 s"):
            SqliteStore(path)
    with closing(SqliteStore(path)) as store:
        assert len(store.create([admission()])) == 1
