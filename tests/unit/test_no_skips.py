"""Where nothing may be missing, a test that is skipped fails, whoever skips it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
TESTS = """
import pytest

@pytest.fixture
def server():
    pytest.skip("no server")

def test_with_a_server(server): pass

def test_of_something_else(): pytest.skip("no disk")

@pytest.mark.xfail(reason="a known fault")
def test_of_a_fault(): assert 0
"""


def outcome(folder: Path, **environment: str) -> str:
    (folder / "conftest.py").write_text("from tests.conftest import pytest_runtest_makereport\n")
    (folder / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, folder]
    own = {name: value for name, value in os.environ.items() if name not in ("DTS_NO_SKIPS", "PYTEST_ADDOPTS")}
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**own, "PYTHONPATH": str(CHECKOUT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.stdout.splitlines()[-1].partition(" in ")[0]


def test_what_is_missing_is_put_up_with_only_where_it_may_be(tmp_path: Path) -> None:
    assert outcome(tmp_path) == "2 skipped, 1 xfailed"
    assert outcome(tmp_path, DTS_NO_SKIPS="1") == "1 failed, 1 xfailed, 1 error"
