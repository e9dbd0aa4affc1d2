"""Globus on this machine, and endpoints that ask it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import attrs
import pytest

from dts_fsm.config import Credential, EndpointConfig, Secret
from dts_fsm.endpoints.globus.endpoint import GlobusEndpoint
from dts_fsm.testing.globus import GlobusService, globus_service

HERE, THERE, SERVICE = uuid4(), uuid4(), uuid4()
"""Collections: of a source, of a destination, and of the machine that orchestrates."""


@attrs.frozen
class Globus:
    """Three collections, and what a configuration says of them.

    Attributes:
        service: that has them.
        folder: below which they are.
        endpoints: that were given.
    """

    service: GlobusService
    folder: Path
    endpoints: list[GlobusEndpoint] = attrs.field(factory=list)

    def root(self, collection: UUID) -> Path:
        """Give the folder of a collection."""
        return self.service.collections[collection].root

    def options(self, **options: Any) -> dict[str, Any]:
        """Give the options of an endpoint; requests are as fast as they come."""
        urls = {"transfer_url": self.service.url, "auth_url": self.service.url}
        return {**urls, "requests_per_s": 20.0, **options}

    def config(
        self, collection: UUID = HERE, *, name: str = "globus", root: str = "", **options: Any
    ) -> EndpointConfig:
        """Give a section of a configuration."""
        tokens = self.service.tokens
        return EndpointConfig(
            key=name,
            id=str(collection),
            provider="globus",
            root=root,
            credential=Credential(name="app", id=tokens.client_id, secret=Secret(tokens.client_secret)),
            state_dir=self.folder / "state" / name,
            options=self.options(**options),
        )

    def endpoint(self, collection: UUID = HERE, **options: Any) -> GlobusEndpoint:
        """Give an endpoint of a collection; it is closed with the service."""
        endpoint = GlobusEndpoint.from_config(self.config(collection, **options))
        self.endpoints.append(endpoint)
        return endpoint


@pytest.fixture
def globus(tmp_path: Path) -> Iterator[Globus]:
    """Globus with three empty collections."""
    folders = {HERE: tmp_path / "here", THERE: tmp_path / "there", SERVICE: tmp_path / "service"}
    for folder in folders.values():
        folder.mkdir()
    with globus_service(folders) as service:
        found = Globus(service, tmp_path)
        yield found
        for endpoint in found.endpoints:
            endpoint.close()
