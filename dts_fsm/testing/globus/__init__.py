"""Globus Transfer and Globus Auth on this machine, as far as files are transferred between collections."""

from dts_fsm.testing.globus.service import GlobusService, globus_service
from dts_fsm.testing.globus.tasks import Task

__all__ = ["GlobusService", "Task", "globus_service"]
