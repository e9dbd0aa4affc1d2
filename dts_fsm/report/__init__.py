"""The report on an installation: one page of HTML that needs nothing else."""

from dts_fsm.report.page import Report, page

__all__ = ["Report", "page"]
