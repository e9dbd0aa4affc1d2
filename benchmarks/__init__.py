"""Measurements of dts_fsm beside what the same machine does without it, in one run. See README.md in this folder."""
