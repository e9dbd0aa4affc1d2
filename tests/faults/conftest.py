"""What the tests of faults need: the compiled shim, servers that meet faults, and a folder in memory."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.disks import CannotMountError, small_disk

_SHIM = Path(__file__).with_name("shim.c")
_MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shim, compiled."""
    compiled = tmp_path_factory.mktemp("shim") / "shim.so"
    options = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]
    subprocess.run(["cc", *options, "-o", str(compiled), str(_SHIM), "-ldl"], check=True, capture_output=True)
    return compiled


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that syncs at once: what is tested there is which calls are made, not the disk."""
    folder = Path(tempfile.mkdtemp(prefix="dts-faults-", dir=_MEMORY if _MEMORY.is_dir() else tmp_path))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """A function that mounts a disk in memory on a new folder, given its name and the disk's size."""
    with ExitStack() as disks:

        def mount(name: str, size: str) -> Path:
            try:
                return disks.enter_context(small_disk(tmp_path / name, size))
            except CannotMountError as error:
                pytest.skip(f"no disk can be mounted here: {error}")

        yield mount
