"""What every storage must do that files are moved to, and no move would show for certain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dts_fsm.config import Secret
from dts_fsm.endpoints.fsspec import FsspecEndpoint
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.endpoints.streaming import Storage
from dts_fsm.testing.memory import MemoryStorage
from tests.servers.ftp import PASSWORD, ftp_server  # noqa: F401 - a fixture

OPERATION, VERSION = "5" * 32, "1"


@pytest.fixture(params=["local", "memory", "s3", "sftp", "fsspec"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    def of(name: str) -> Any:
        return request.getfixturevalue(name)

    kinds: dict[str, Callable[[], Any]] = {
        "local": lambda: LocalEndpoint(root=tmp_path),
        "s3": lambda: of("s3_server").endpoint(),
        "sftp": lambda: of("sftp_server").endpoint(of("sftp_server").folder()),
        "fsspec": lambda: FsspecEndpoint(
            protocol="ftp", storage_options={**of("ftp_server").options, "password": Secret(PASSWORD)}, name="ftp"
        ),
    }
    if request.param == "memory":
        yield MemoryStorage()
        return
    endpoint = kinds[request.param]()
    yield endpoint.storage(arriving=True)
    endpoint.close()


def test_a_file_that_is_cleared_away_takes_no_other_of_its_move_with_it(storage: Storage) -> None:
    sizes: dict[str, int] = {}
    writings = {}
    for path in ("folder/a", "folder/b", "c"):
        probe = storage.write(path, num_bytes=100 << 20, operation=OPERATION, version=VERSION)
        sizes[path] = probe.part_bytes + 5
        probe.discard()
        writings[path] = storage.write(path, num_bytes=sizes[path], operation=OPERATION, version=VERSION)
        writings[path].put(0, b"x" * writings[path].part_bytes)
    storage.clear(["folder/a", "c"], OPERATION)
    writing = writings["folder/b"]
    writing.put(1, b"y" * 5)
    assert writing.complete(None, exclusive=False).bytes == sizes["folder/b"]
    found = storage.look("folder/b")
    assert found is not None
    assert storage.read("folder/b", found, found.bytes - 6, found.bytes) == b"xyyyyy"
    for path in ("folder/a", "c"):
        writings[path].discard()
        assert storage.look(path) is None
