"""What unit tests share: a place with a source, a destination and an outside."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.folders import Place

_MEMORY = "/dev/shm"  # thousands of small changes are not to wait for a disk


@pytest.fixture
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as folder:
        yield Place.below(Path(folder))
