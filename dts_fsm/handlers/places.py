"""The databases and endpoints that handlers find by name."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from dts_fsm.errors import UnavailableError
from dts_fsm.interfaces import Database, Endpoint


@attrs.frozen
class Places:
    """What is configured, by name; a name that was removed while a transfer used it may come back with a restart."""

    databases: Mapping[str, Database]
    endpoints: Mapping[str, Endpoint]

    def database(self, name: str) -> Database:
        """Give the database; UnavailableError where it is not configured any more."""
        try:
            return self.databases[name]
        except KeyError:
            raise _gone("database", name) from None

    def endpoint(self, name: str) -> Endpoint:
        """Give the endpoint; UnavailableError where it is not configured any more."""
        try:
            return self.endpoints[name]
        except KeyError:
            raise _gone("endpoint", name) from None


def _gone(kind: str, name: str) -> UnavailableError:
    return UnavailableError(f"the {kind} {name!r} is not configured any more: put it back, and restart")
