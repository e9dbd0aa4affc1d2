"""File transfers between organizations' databases, each an explicit state machine, persisted in SQLite.

    from dts_fsm import Config, Orchestrator, Specification, User

Everything public is in ``__all__``; errors are in ``dts_fsm.errors`` too, contracts in ``dts_fsm.interfaces``.
"""

from dts_fsm import errors, records
from dts_fsm.clock import SystemClock
from dts_fsm.config import Config, Credential, DatabaseConfig, EndpointConfig, Secret, ServiceConfig
from dts_fsm.errors import *
from dts_fsm.interfaces import Clock, Database, Endpoint, Handler
from dts_fsm.messages import Subscription
from dts_fsm.orchestrator import Orchestrator
from dts_fsm.records import *
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
