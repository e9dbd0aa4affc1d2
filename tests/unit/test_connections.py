"""Connections to one file from several places of one process, and from other processes meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from dts_fsm.errors import StoreError
from dts_fsm.store import SqliteStore
from dts_fsm.store.maintenance import check
from dts_fsm.testing.store_suite import admission

_ASK = (
    "import sys; from dts_fsm.store import SqliteStore as S; s = S(sys.argv[1]); print(len(s.transfers())); s.close()"
)


def _seen_by_another_process(path: Path) -> int:
    done = subprocess.run([sys.executable, "-c", _ASK, path], check=True, capture_output=True, text=True)
    return int(done.stdout)


def test_a_file_that_is_opened_twice_in_one_process_keeps_its_log_when_another_process_leaves(tmp_path: Path) -> None:
    path = tmp_path / "dts.db"
    with closing(SqliteStore(path)) as store:
        store.create([admission()])
        SqliteStore(path).close()
        check(path)
        seen = [_seen_by_another_process(path)]
        store.create([admission()])
        seen.append(_seen_by_another_process(path))
        assert (seen, os.path.exists(f"{path}-wal"), len(store.transfers())) == ([1, 2], True, 2)
    with closing(SqliteStore(path)) as store:
        assert len(store.transfers()) == 2


def test_a_connection_that_cannot_be_used_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "dts.db"
    SqliteStore(path).close()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match="damaged") as refused:
        SqliteStore(path)
    open_files = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    assert (str(path) in open_files, refused.type.__name__) == (False, "StoreDamagedError")
