"""File transfers between organizations' databases, each an explicit state machine, persisted in SQLite.

    from dts_fsm import Config, Orchestrator, Specification, User

Everything public is in ``__all__``; errors are in ``dts_fsm.errors`` too, contracts in ``dts_fsm.interfaces``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from dts_fsm import errors, records
from dts_fsm.errors import *
from dts_fsm.records import *

if TYPE_CHECKING:
    from dts_fsm.clock import SystemClock
    from dts_fsm.config import Config, Credential, DatabaseConfig, EndpointConfig, Secret, ServiceConfig
    from dts_fsm.interfaces import Clock, Database, Endpoint, Handler
    from dts_fsm.messages import Subscription
    from dts_fsm.orchestrator import Orchestrator
    from dts_fsm.store import SqliteStore, Store

__version__ = "0.1.0"

__all__ = [
    "Clock",
    "Config",
    "Credential",
    "Database",
    "DatabaseConfig",
    "Endpoint",
    "EndpointConfig",
    "Handler",
    "Orchestrator",
    "Secret",
    "ServiceConfig",
    "SqliteStore",
    "Store",
    "Subscription",
    "SystemClock",
    "__version__",
]
__all__ += errors.__all__
__all__ += records.__all__

_HOMES = {
    "clock": ("SystemClock",),
    "config": ("Config", "Credential", "DatabaseConfig", "EndpointConfig", "Secret", "ServiceConfig"),
    "interfaces": ("Clock", "Database", "Endpoint", "Handler"),
    "messages": ("Subscription",),
    "orchestrator": ("Orchestrator",),
    "store": ("SqliteStore", "Store"),
}


def __getattr__(name: str) -> object:
    """Import what is asked for when it is first asked for: who draws charts needs neither SQLite nor YAML."""
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
