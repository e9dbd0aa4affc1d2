"""What tests of real services need to be told: variables of the environment, whose names begin with DTS_LIVE_."""

from __future__ import annotations

import os

import pytest


def told(name: str) -> str:
    """Give the variable ``DTS_LIVE_<name>``; a test that needs one that is not set fails, and says so."""
    value = os.environ.get(f"DTS_LIVE_{name}", "")
    if not value:
        pytest.fail(f"set DTS_LIVE_{name}: see tests/live/README.md")
    return value


def told_list(name: str) -> list[str]:
    """Give the items of a variable, which are separated by commas."""
    return [item.strip() for item in told(name).split(",") if item.strip()]
