"""What is said of a file that could not be moved, by the kind of the error."""

from __future__ import annotations

import pytest

from dts_fsm.endpoints.outcomes import failure
from dts_fsm.errors import PermanentError, SourceChangedError, TransientError, UnauthorizedError
from dts_fsm.records import FileTransfer


@pytest.mark.parametrize(
    ("error", "reason", "transient"),
    [
        (TransientError("later"), "error", True),
        (PermanentError("never"), "error", False),
        (SourceChangedError("another"), "source changed", True),
        (UnauthorizedError("not you"), "denied", False),
        (OSError(5, "disk"), "i/o error", True),
        (RuntimeError("what"), "error", True),
    ],
)
def test_an_error_that_cannot_pass_is_permanent(error: Exception, reason: str, transient: bool) -> None:
    outcome = failure(FileTransfer(id="a", source_path="a", destination_path="b"), error)
    assert (reason, transient) == (outcome.reason, outcome.transient)


def test_a_refusal_is_told_in_its_own_words() -> None:
    outcome = failure(FileTransfer(id="a", source_path="a", destination_path="b"), UnauthorizedError("not you"))
    assert outcome.error == "not you"
