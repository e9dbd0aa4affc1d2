"""The keys that a configuration file knows for a provider are those that the provider takes."""

from __future__ import annotations

import pytest

from dts_fsm.config.keys import DATABASE_OPTIONS, ENDPOINT_OPTIONS, Kind
from dts_fsm.databases.http import database
from dts_fsm.endpoints.http import endpoint
from dts_fsm.endpoints.sftp.endpoint import OPTIONS


@pytest.mark.parametrize(
    ("known", "taken"),
    [
        (ENDPOINT_OPTIONS["http"], endpoint._OPTIONS),
        (ENDPOINT_OPTIONS["sftp"], OPTIONS),
        (DATABASE_OPTIONS["http"], database._OPTIONS),
    ],
    ids=["http endpoint", "sftp endpoint", "http database"],
)
def test_a_file_knows_the_options_of_a_provider(known: dict[str, Kind], taken: dict[str, type]) -> None:
    assert sorted(known) == sorted(taken)
