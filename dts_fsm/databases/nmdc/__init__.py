"""The National Microbiome Data Collaborative as a source of files."""

from dts_fsm.databases.nmdc.database import NmdcDatabase

__all__ = ["NmdcDatabase"]
