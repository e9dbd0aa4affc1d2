"""Every error that dts_fsm raises, in one tree.

    DtsError
    +-- ConfigurationError (ValueError)         a configuration file or a setting of it is wrong
    |   +-- InvalidServiceConfigError, InvalidCredentialConfigError,
    |   +-- InvalidEndpointConfigError, InvalidDatabaseConfigError
    |   +-- InvalidProviderError                no installed package offers the provider
    |   +-- NoDatabasesAvailableError
    |   +-- AlreadyRegisteredError              two packages offer a provider under one name
    +-- StatechartError (ValueError)            a chart file cannot be read, or lint refuses it
    |   +-- IllegalTransitionError              the state has no such event
    +-- LifecycleError (RuntimeError)
    |   +-- AlreadyRunningError, NotRunningError
    +-- NotFoundError (LookupError)
    |   +-- TransferNotFoundError, DatabaseNotFoundError, EndpointNotFoundError
    |   +-- ResourcesNotFoundError              file ids that the source does not know: all are listed
    +-- SpecificationError (ValueError)         a request that cannot be carried out; nothing was stored
    |   +-- NoFilesRequestedError, DuplicateFilesError, InvalidOrcidError, MissingOrcidError,
    |   +-- PayloadTooLargeError, InvalidCustomSpecError, InvalidInstructionsError,
    |   +-- InvalidDescriptorError, DestinationConflictError, InvalidResourceEndpointError,
    |   +-- ResourceEndpointNotFoundError, InvalidSearchParameterError, IdempotencyConflictError,
    |   +-- NothingToRetryError
    +-- PermissionDeniedError (PermissionError) only the user who asked for a transfer acts on it
    +-- UnauthorizedError (PermissionError)     a database refuses the user
    +-- SerializationError (ValueError)         JSON does not describe the record that was asked for
    +-- StoreError
    |   +-- StoreDamagedError, StoreForeignError, StoreLeaseLostError, StoreChartError
    +-- WaitTimeoutError (TimeoutError)
    +-- ProviderError                           what endpoints and databases raise
        +-- TransientError                      tried again with back-off
        |   +-- UnavailableError
        +-- PermanentError                      never tried again
            +-- ChecksumMismatchError, SizeMismatchError, SourceChangedError, UnsafePathError
            +-- IncompatibleDestinationError, DowngradedRedirectError

The names follow the errors of KBase's Data Transfer Service where it has one for the case; its bare
``NotFoundError`` of the packages ``databases`` and ``endpoints`` are ``DatabaseNotFoundError`` and
``EndpointNotFoundError`` here, because Python has one namespace for them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

__all__ = [
    "AlreadyRegisteredError",
    "AlreadyRunningError",
    "ChecksumMismatchError",
    "ConfigurationError",
    "DatabaseNotFoundError",
    "DestinationConflictError",
    "DowngradedRedirectError",
    "DtsError",
    "DuplicateFilesError",
    "EndpointNotFoundError",
    "IdempotencyConflictError",
    "IllegalTransitionError",
    "IncompatibleDestinationError",
    "InvalidCredentialConfigError",
    "InvalidCustomSpecError",
    "InvalidDatabaseConfigError",
    "InvalidDescriptorError",
    "InvalidEndpointConfigError",
    "InvalidInstructionsError",
    "InvalidOrcidError",
    "InvalidProviderError",
    "InvalidResourceEndpointError",
    "InvalidSearchParameterError",
    "InvalidServiceConfigError",
    "LifecycleError",
    "MissingOrcidError",
    "NoDatabasesAvailableError",
    "NoFilesRequestedError",
    "NotFoundError",
    "NotRunningError",
    "NothingToRetryError",
    "PayloadTooLargeError",
    "PermanentError",
    "PermissionDeniedError",
    "ProviderError",
    "ResourceEndpointNotFoundError",
    "ResourcesNotFoundError",
    "SerializationError",
    "SizeMismatchError",
    "SourceChangedError",
    "SpecificationError",
    "StatechartError",
    "StoreChartError",
    "StoreDamagedError",
    "StoreError",
    "StoreForeignError",
    "StoreLeaseLostError",
    "TransferNotFoundError",
    "TransientError",
    "UnauthorizedError",
    "UnavailableError",
    "UnsafePathError",
    "WaitTimeoutError",
]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


class DtsError(Exception):
    """The root of every error that dts_fsm raises on purpose."""


# Configuration and charts


class ConfigurationError(DtsError, ValueError):
    """A configuration cannot be used; the message names file, line and key where they are known.

    Attributes:
        file: the file's name, or None for a configuration that was made in memory.
        line: the line, counted from 1, or None.
        key: the dotted key, for example ``service.port``, or None.
    """

    def __init__(
        self, message: str, *, file: str | None = None, line: int | None = None, key: str | None = None
    ) -> None:
        self.message, self.file, self.line, self.key = message, file, line, key
        where = ":".join(str(part) for part in (file, line) if part is not None)
        super().__init__(": ".join(part for part in (where, key, message) if part))


class InvalidServiceConfigError(ConfigurationError):
    """A key of the section ``service`` is wrong."""


class InvalidCredentialConfigError(ConfigurationError):
    """A credential is wrong, or one that is used is not defined."""


class InvalidEndpointConfigError(ConfigurationError):
    """An endpoint is not properly configured."""


class InvalidDatabaseConfigError(ConfigurationError):
    """A database is not properly configured."""


class InvalidProviderError(ConfigurationError):
    """No installed package offers the endpoint or database provider that is asked for."""


class NoDatabasesAvailableError(ConfigurationError):
    """A configuration without any database: nothing could be transferred."""


class AlreadyRegisteredError(ConfigurationError):
    """Two installed packages offer a provider under the same name."""


class StatechartError(DtsError, ValueError):
    """A chart was refused; every finding is listed.

    Attributes:
        findings: one sentence for each thing that is wrong, in the order of the file.
    """

    def __init__(self, message: str, findings: Sequence[str] = ()) -> None:
        self.findings = tuple(findings)
        super().__init__("\n  ".join((message, *self.findings)))


class IllegalTransitionError(StatechartError):
    """The state has no transition for the event, or no guard of one agrees.

    Attributes:
        machine_id: the transfer's or operation's id.
        state: the state it is in, unchanged.
        event: the event that was refused.
    """

    def __init__(self, machine_id: UUID, state: str, event: str) -> None:
        self.machine_id, self.state, self.event = machine_id, state, event
        super().__init__(f"{machine_id} is {state!r}: the event {event!r} is not possible now")


# Lifecycle and look-ups


class LifecycleError(DtsError, RuntimeError):
    """An orchestrator was asked for what its present condition does not allow."""


class AlreadyRunningError(LifecycleError):
    """``start`` was called on an orchestrator that runs."""

    def __init__(self) -> None:
        super().__init__("the orchestrator is already running: stop it before starting it again")


class NotRunningError(LifecycleError):
    """The call needs a running orchestrator."""

    def __init__(self) -> None:
        super().__init__("the orchestrator is not running: call start() first, or use it in a with statement")


class NotFoundError(DtsError, LookupError):
    """Something that was named does not exist."""


class TransferNotFoundError(NotFoundError):
    """No transfer has this id (or it ended longer than ``delete_after`` ago)."""

    def __init__(self, transfer_id: object) -> None:
        self.transfer_id = transfer_id
        super().__init__(
            f"there is no transfer {transfer_id}: check the id; "
            "ended transfers are forgotten after delete_after seconds and remain in the journal"
        )


class DatabaseNotFoundError(NotFoundError):
    """No database of this name is configured."""

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        self.name = name
        super().__init__(f"there is no database {name!r}; configured are: {_listed(sorted(known)) or 'none'}")


class EndpointNotFoundError(NotFoundError):
    """No endpoint of this name is configured."""

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        self.name = name
        super().__init__(f"there is no endpoint {name!r}; configured are: {_listed(sorted(known)) or 'none'}")


class ResourcesNotFoundError(NotFoundError):
    """The source database does not know some of the file ids.

    Attributes:
        database: the database's name.
        resource_ids: every id that is unknown, in the order asked for.
    """

    def __init__(self, database: str, resource_ids: Iterable[str]) -> None:
        self.database, self.resource_ids = database, tuple(resource_ids)
        super().__init__(
            f"the database {database!r} does not know {len(self.resource_ids)} of the file ids: "
            f"{_listed(self.resource_ids)}"
        )


# Requests


class SpecificationError(DtsError, ValueError):
    """A request cannot be carried out as it stands; nothing was stored."""


class NoFilesRequestedError(SpecificationError):
    """A specification without file ids."""

    def __init__(self) -> None:
        super().__init__("the transfer asks for no files: give at least one file id")


class DuplicateFilesError(SpecificationError):
    """A specification, or a database's answer, names a file id twice."""

    def __init__(self, file_ids: Iterable[str]) -> None:
        self.file_ids = tuple(file_ids)
        super().__init__(f"file ids are given more than once: {_listed(self.file_ids)}; name each id once")


class InvalidOrcidError(SpecificationError):
    """An ORCID is malformed, or the destination knows no user of it."""

    def __init__(self, orcid: str, message: str) -> None:
        self.orcid = orcid
        super().__init__(f"the ORCID {orcid!r} {message}")


class MissingOrcidError(SpecificationError):
    """A database needs the user's ORCID and got none."""

    def __init__(self, database: str) -> None:
        super().__init__(f"the database {database!r} needs the user's ORCID: none was given")


class PayloadTooLargeError(SpecificationError):
    """The files together exceed ``max_payload_size``.

    Attributes:
        size_bytes, limit_bytes: the payload's size and the limit.
    """

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes
        super().__init__(
            f"the payload of {size_bytes / 1e9:g} GB is larger than service.max_payload_size "
            f"({limit_bytes / 1e9:g} GB): ask for fewer files, or raise the limit"
        )


class InvalidCustomSpecError(SpecificationError):
    """A custom destination is not of the form ``<provider>:<id>:<path>:<credential>``, or names what is unknown."""

    def __init__(self, specification: str, message: str) -> None:
        self.specification = specification
        super().__init__(
            f"the custom destination {specification!r} is invalid: {message} "
            "(the form is <provider>:<id>:<path>:<credential>)"
        )


class InvalidInstructionsError(SpecificationError):
    """The instructions of a specification cannot be written as JSON."""


class InvalidDescriptorError(SpecificationError):
    """A database described a file in a way that cannot be used.

    Attributes:
        resource_id: the descriptor's id, or a description of the place where it stands.
    """

    def __init__(self, resource_id: str, message: str) -> None:
        self.resource_id = resource_id
        super().__init__(f"the descriptor {resource_id!r} cannot be used: {message}")


class DestinationConflictError(SpecificationError):
    """Two files would be written to one path."""


class InvalidResourceEndpointError(SpecificationError):
    """A descriptor names an endpoint that its database does not have."""

    def __init__(self, database: str, resource_id: str, endpoint: str) -> None:
        super().__init__(
            f"the file {resource_id!r} of the database {database!r} is said to be at the endpoint {endpoint!r}, "
            "which that database does not have: correct the database's endpoints or the descriptor"
        )


class ResourceEndpointNotFoundError(SpecificationError):
    """A database with several endpoints does not say at which of them a file is."""

    def __init__(self, database: str, resource_id: str) -> None:
        super().__init__(
            f"the database {database!r} has several endpoints and does not say at which of them "
            f"the file {resource_id!r} is: its descriptor needs the property 'endpoint'"
        )


class InvalidSearchParameterError(SpecificationError):
    """A search parameter is not one of the database's, or has a wrong value."""

    def __init__(self, database: str, message: str) -> None:
        super().__init__(f"invalid search parameter for the database {database!r}: {message}")


class IdempotencyConflictError(SpecificationError):
    """An idempotency key was used again for another specification."""

    def __init__(self, key: str, transfer_id: UUID) -> None:
        self.key, self.transfer_id = key, transfer_id
        super().__init__(
            f"the idempotency key {key!r} belongs to the transfer {transfer_id}, which has another specification: "
            "use a new key"
        )


class NothingToRetryError(SpecificationError):
    """``retry`` was asked of a transfer that is still running, or that has no failed files."""


# Permission, serialization, store


class PermissionDeniedError(DtsError, PermissionError):
    """Somebody other than the user who asked for a transfer wants to act on it, or a file is not theirs to read."""


class UnauthorizedError(DtsError, PermissionError):
    """A database does not accept the user or the service's credential."""


class SerializationError(DtsError, ValueError):
    """JSON text does not describe the record that was asked for; each fault is named with its path."""


class StoreError(DtsError):
    """The store could not do what was asked; whether a failed commit took effect is unknown until it is read again."""


class StoreDamagedError(StoreError):
    """The store's file is damaged: it is left as it is."""


class StoreForeignError(StoreError):
    """The file is not a dts_fsm store, or one of a newer version: it is left as it is."""


class StoreLeaseLostError(StoreError):
    """Another process has become the scheduler of this store: nothing was written."""


class StoreChartError(StoreError):
    """Transfers in the store are in states from which the present charts know no way to an end."""


class WaitTimeoutError(DtsError, TimeoutError):
    """The transfer had not ended when the time was over; it goes on."""

    def __init__(self, transfer_id: UUID, timeout_s: float, state: str) -> None:
        self.transfer_id = transfer_id
        super().__init__(f"the transfer {transfer_id} is still {state!r} after {timeout_s:g} s; it goes on")


# Providers


class ProviderError(DtsError):
    """Something went wrong at an endpoint or a database."""


class TransientError(ProviderError):
    """It may go better later: the call is tried again with back-off, until attempts or the deadline end."""


class UnavailableError(TransientError):
    """A database or endpoint cannot be reached now."""


class PermanentError(ProviderError):
    """Trying again would not help."""


class ChecksumMismatchError(PermanentError):
    """A file's content is not what its descriptor says."""

    def __init__(self, path: str, expected: str, observed: str) -> None:
        self.path, self.expected, self.observed = path, expected, observed
        super().__init__(f"{path}: checksum mismatch: expected {expected}, found {observed}")


class SizeMismatchError(PermanentError):
    """A file's size is not what its descriptor says."""

    def __init__(self, path: str, expected_bytes: int, observed_bytes: int) -> None:
        self.path, self.expected_bytes, self.observed_bytes = path, expected_bytes, observed_bytes
        super().__init__(f"{path}: size mismatch: expected {expected_bytes} bytes, found {observed_bytes}")


class SourceChangedError(PermanentError):
    """A source file changed while it was being copied; nothing was put in place of the target."""


class UnsafePathError(PermanentError):
    """A path would lead outside its endpoint's root, or is not a regular file."""


class IncompatibleDestinationError(PermanentError):
    """The source endpoint has no way to move files to the destination endpoint."""

    def __init__(self, source: str, destination: str, message: str = "") -> None:
        super().__init__(
            f"the {source} endpoint cannot move files to the {destination} endpoint"
            + (f": {message}" if message else "")
        )


class DowngradedRedirectError(PermanentError):
    """A server redirected an https request to plain http."""
