from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.hosts.servers import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def ada(site: Site) -> Iterator[httpx2.Client]:
    """A client of the site's web server."""
    with site.client() as client:
        yield client
