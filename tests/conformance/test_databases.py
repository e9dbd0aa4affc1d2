"""The contract of databases, over each of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dts_fsm.databases.catalog import CatalogDatabase
from dts_fsm.databases.scan import update_catalog
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.testing.database_suite import DatabaseSuite

GENOMES = Path(__file__).parents[1] / "data" / "genomes"


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"
    )


class TestCatalogDatabase(DatabaseSuite):
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return Path(shutil.copytree(GENOMES, tmp_path / "genomes"))

    @pytest.fixture
    def database(self, root: Path) -> Iterator[CatalogDatabase]:
        update_catalog(root)
        database = CatalogDatabase(name="genomes", endpoint=LocalEndpoint(root=root), endpoint_name="disk")
        yield database
        database.close()

    @pytest.fixture
    def known_ids(self, root: Path) -> Sequence[str]:
        return _files(root)

    @pytest.fixture
    def orcid(self) -> str:
        return "0000-0002-1825-0097"


class TestCatalogDatabaseWithAnArchiveAndUsers(DatabaseSuite):
    @pytest.fixture
    def archive(self, tmp_path: Path) -> Path:
        return Path(shutil.copytree(GENOMES, tmp_path / "archive"))

    @pytest.fixture
    def database(self, archive: Path, tmp_path: Path, orcid: str) -> Iterator[CatalogDatabase]:
        root = tmp_path / "disk"
        shutil.copytree(archive / "plasmid", root / "plasmid")
        update_catalog(archive, catalog_file=root / "datapackage.json")
        (root / "users.json").write_text(json.dumps({orcid: "ada"}), encoding="utf-8")
        database = CatalogDatabase(
            name="genomes",
            endpoint=LocalEndpoint(root=root),
            endpoint_name="disk",
            archive=archive,
            staging_delay_s=0.01,
        )
        yield database
        database.close()

    @pytest.fixture
    def known_ids(self, archive: Path) -> Sequence[str]:
        return _files(archive)

    @pytest.fixture
    def unstaged_ids(self, known_ids: Sequence[str]) -> Sequence[str]:
        return [file_id for file_id in known_ids if not file_id.startswith("plasmid/")]

    @pytest.fixture
    def orcid(self) -> str:
        return "0000-0002-1825-0097"

    @pytest.fixture
    def strangers(self) -> Sequence[str]:
        return ("not an ORCID", "0000-0002-1694-233X")
