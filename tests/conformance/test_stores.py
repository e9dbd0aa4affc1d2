"""The SQLite store keeps the contract of stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dts_fsm.store import SqliteStore, Store
from dts_fsm.testing.store_suite import StoreSuite


class TestSqliteStore(StoreSuite):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Iterator[Callable[[], Store]]:
        opened: list[SqliteStore] = []

        def open_store() -> Store:
            opened.append(SqliteStore(tmp_path / "dts.db"))
            return opened[-1]

        yield open_store
        for store in opened:
            store.close()
