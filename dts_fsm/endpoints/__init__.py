"""The endpoints that come with dts_fsm; others are found through the entry points ``dts_fsm.endpoints``."""

from dts_fsm.endpoints.local import LocalEndpoint

__all__ = ["LocalEndpoint"]
