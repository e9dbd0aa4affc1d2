"""What providers say that is not so: each lie turns a true status into another, or leaves it as it is."""

from __future__ import annotations

import random
from collections.abc import Callable

import attrs

from dts_fsm.records import FileOutcome, FileState, OperationCode, OperationStatus

Lie = Callable[[OperationStatus, random.Random], OperationStatus]


def wrong_counts(status: OperationStatus, dice: random.Random) -> OperationStatus:
    """The counts are anything."""
    return attrs.evolve(
        status,
        num_files_transferred=dice.randrange(1000),
        num_files_skipped=dice.randrange(1000),
        num_bytes_transferred=dice.randrange(2**40),
    )


def strange_file(status: OperationStatus, dice: random.Random) -> OperationStatus:
    """There is an outcome of a file that nobody asked for, and one of another twice."""
    stranger = FileOutcome(id=f"stranger {dice.randrange(9)}", state=FileState.TRANSFERRED, observed_bytes=1)
    return attrs.evolve(status, files=(*status.files, stranger, *status.files[:1]))


def missing_file(status: OperationStatus, dice: random.Random) -> OperationStatus:
    """Of one file nothing is said."""
    if len(status.files) < 2:
        return status
    left_out = dice.randrange(len(status.files))
    return attrs.evolve(status, files=status.files[:left_out] + status.files[left_out + 1 :])


def no_files(status: OperationStatus, dice: random.Random) -> OperationStatus:  # noqa: ARG001 - one form for all
    """Of no file anything is said."""
    return attrs.evolve(status, files=())


def wrong_size(status: OperationStatus, dice: random.Random) -> OperationStatus:
    """A file has another size than it has."""
    return attrs.evolve(
        status, files=tuple(attrs.evolve(file, observed_bytes=dice.randrange(10**6)) for file in status.files)
    )


def wrong_hash(status: OperationStatus, dice: random.Random) -> OperationStatus:  # noqa: ARG001 - one form for all
    """Files have another checksum than they have."""
    return attrs.evolve(
        status, files=tuple(attrs.evolve(file, observed_hash="sha256:" + "0" * 64) for file in status.files)
    )


def strange_state(status: OperationStatus, dice: random.Random) -> OperationStatus:  # noqa: ARG001 - one form for all
    """Files are in a state that is no move's outcome."""
    return attrs.evolve(status, files=tuple(attrs.evolve(file, state=FileState.STAGED) for file in status.files))


def success_too_early(status: OperationStatus, dice: random.Random) -> OperationStatus:  # noqa: ARG001 - one form
    """The work has succeeded, although nothing has arrived."""
    if status.code in (OperationCode.RUNNING, OperationCode.SUSPENDED):
        return OperationStatus(code=OperationCode.SUCCEEDED)
    return status


def failure(status: OperationStatus, dice: random.Random) -> OperationStatus:  # noqa: ARG001 - one form for all
    """The work has failed, although it goes on or has succeeded."""
    return OperationStatus(code=OperationCode.FAILED, message="no luck", transient=dice.random() < 0.8)


def loss(status: OperationStatus, dice: random.Random) -> OperationStatus:  # noqa: ARG001 - one form for all
    """Nothing is known of the work."""
    return OperationStatus(code=OperationCode.LOST)


def cancellation(status: OperationStatus, dice: random.Random) -> OperationStatus:  # noqa: ARG001 - one form for all
    """The work was canceled, although it goes on or has succeeded."""
    return OperationStatus(code=OperationCode.CANCELED)


LIES: tuple[Lie, ...] = (
    wrong_counts,
    strange_file,
    missing_file,
    no_files,
    wrong_size,
    wrong_hash,
    strange_state,
    success_too_early,
)
"""Lies that an orchestrator must see through, or survive."""

DENIALS: tuple[Lie, ...] = (failure, loss, cancellation)
"""Lies that deny work which is done all the same. Through a provider that tells them no manifest can be delivered
exactly once, and so the endpoint that delivers manifests does not."""
