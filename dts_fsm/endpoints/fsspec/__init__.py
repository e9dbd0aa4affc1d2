"""Files of any service that has a driver for fsspec: a last resort, slower and with fewer promises than the others."""

from dts_fsm.endpoints.fsspec.endpoint import FsspecEndpoint

__all__ = ["FsspecEndpoint"]
