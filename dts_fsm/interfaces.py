"""Every contract that others implement: databases, endpoints, handlers, and the clock.

Rules for all of them. Methods may block (they are called on worker threads, with a time-out), except where "pure" is
said. They may be called from several threads at once. They raise ``TransientError`` for what may go better later and
``PermanentError`` for what will not; anything else that they raise is taken for a transient error and logged with its
traceback. The conformance suites in ``dts_fsm.testing`` check what is promised here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from dts_fsm.records import (
    Descriptor,
    FileTransfer,
    Operation,
    OperationRequest,
    OperationStatus,
    SearchParameters,
    SearchResults,
    StagingStatus,
    Transfer,
)


@runtime_checkable
class Endpoint(Protocol):
    """Where bytes live, and what moves them away from there.

    All paths are relative to ``root`` and never lead outside it, symbolic links included.

    It may have methods more. ``close()`` is called when the orchestrator stops.

    ``clear(destination, files, *, operation_id)`` removes what an unfinished move of this id has left at the
    destination of these files; what has arrived stays. It is called once a move that was to be canceled has stopped,
    after a crash too, when nobody knows of it any more. Idempotent; it does nothing while the move is running. An
    endpoint whose moves can leave something that only the same submission would remove should have it.

    ``fence(valid)`` is called when this process is about to become the scheduler of its store, and when another has
    become it. Moves that have not ended are stopped, and LOST. Those begun from then on write only while ``valid()``
    is True and wait while it is False: it becomes False, without a call, as soon as another process may have taken
    over. It is quick, safe from any thread, and to be asked directly before each write that must not come late. The
    endpoint remains usable. One whose bytes are moved by a service, which goes on when this process stands still,
    does not need it: the service knows the submission again.

    ``watch(ended)`` lets ``ended`` be called with the id of each move that ends from then on, from any thread, as soon
    as ``statuses`` says so; what it gives is called to have no more of it. An endpoint whose moves this process makes
    should have it: what ends at once is acted on at once, without a poll. ``statuses`` must then cost next to nothing,
    for it is asked directly after ``transfer``, too.
    """

    @property
    def provider(self) -> str:
        """The name of the service that moves the bytes: "local", "s3", "globus", ..."""
        ...

    @property
    def root(self) -> str:
        """The folder, in the provider's own terms, below which everything lies."""
        ...

    def files_staged(self, descriptors: Sequence[Descriptor]) -> Mapping[str, bool]:
        """Give for each descriptor's id whether its file is here with the size it says. Idempotent.

        Inline descriptors are never passed. Checksums are not verified here: that happens when the file is moved.

        Raises:
            TransientError: the endpoint cannot be asked now.
            PermanentError: it will never answer (no permission, a root that does not exist).
        """
        ...

    def transfers(self) -> Sequence[UUID]:
        """Give the ids of the moves that this endpoint knows of, ended ones included while it remembers them."""
        ...

    def transfer(self, destination: Endpoint, files: Sequence[FileTransfer], *, operation_id: UUID) -> UUID:
        """Begin to move the files, and give the id by which ``statuses`` and ``cancel`` know the move.

        Does not wait for the move. Idempotent: a second call with the same ``operation_id`` moves nothing twice,
        whether the first is still running, has ended, or was lost in a crash; a file that is at its destination
        already, complete and right, is reported as skipped. Each file appears at its destination whole and verified,
        or not at all.

        What is in a file's place is there whole, old or new, at every instant. ``FileTransfer.overwrite`` says what
        becomes of it: NEVER: other content, and what cannot be compared, is left as it is, and the file fails,
        permanently, with the reason "exists". IF_DIFFERENT: other content is replaced. ALWAYS: the file is moved even
        where the right content is there, and reported as transferred.

        Raises:
            IncompatibleDestinationError: there is no way from here to that endpoint.
            TransientError: nobody knows whether the move began; the same call is made again.
        """
        ...

    def statuses(self, ids: Sequence[UUID]) -> Mapping[UUID, OperationStatus]:
        """Give the status of each move; LOST for ids that this endpoint does not know. Idempotent, one call for many.

        An answer that ends a move carries the outcome of every file; only a success in which every file arrived may
        leave them out. It is given as often as it is asked for, until the endpoint forgets the move.
        """
        ...

    def cancel(self, id: UUID) -> None:  # noqa: A002 - the word of the other methods
        """Ask for the move to be stopped. Does not wait; ``statuses`` says when it has happened. Idempotent.

        A move that has ended, or that is not known, is left alone. What has arrived stays.
        """
        ...


@runtime_checkable
class Database(Protocol):
    """Where a user finds files and asks for them to be staged.

    It may have ``close()`` and ``fence(valid)``, as ``Endpoint`` says, for staging that this process does itself;
    requests that had not ended are then UNKNOWN.
    """

    def search(self, orcid: str, parameters: SearchParameters) -> SearchResults:
        """Give the files that this user may see and that match, in a stable order. Idempotent.

        Raises:
            InvalidSearchParameterError: a parameter is not among ``specific_search_parameters`` or has a wrong value.
            UnauthorizedError: the database does not accept the user.
        """
        ...

    def specific_search_parameters(self) -> Mapping[str, Any]:
        """Give the names of the database's own search parameters, each with its default or the list of its values."""
        ...

    def descriptors(self, orcid: str, file_ids: Sequence[str]) -> Sequence[Descriptor]:
        """Give one descriptor for each id, and inline descriptors that go with them. Idempotent.

        Raises:
            ResourcesNotFoundError: ids are unknown or invisible to this user: all of them are listed.
            InvalidDescriptorError: the database's own description of a file cannot be used.
            UnauthorizedError: the database does not accept the user.
        """
        ...

    def endpoint_names(self) -> Sequence[str]:
        """Give the names of the configured endpoints at which its files are; the first is where it receives."""
        ...

    def stage_files(self, orcid: str, file_ids: Sequence[str], *, request_id: UUID) -> UUID:
        """Ask for files to be brought to their endpoint; give the id for ``staging_status``.

        Does not wait. Idempotent where the service allows it: a second call with the same ``request_id`` asks for
        nothing twice.
        """
        ...

    def staging_status(self, ids: Sequence[UUID]) -> Mapping[UUID, StagingStatus]:
        """Give the status of each staging request; UNKNOWN for ids that the database does not know. Idempotent."""
        ...

    def finalize(self, orcid: str, id: UUID) -> None:  # noqa: A002 - DTS's signature
        """Do what the database does after a transfer from it has been delivered, manifest included.

        Called once for each transfer in the ordinary course, again after a crash at that moment: make it idempotent.
        """
        ...

    def local_user(self, orcid: str) -> str:
        """Give the database's own name of the user: the first component of the path of what is delivered to them.

        Raises:
            InvalidOrcidError: the database knows no user with this ORCID.
        """
        ...


@runtime_checkable
class Handler(Protocol):
    """Does the work of one state of a transfer: stager (staging), mover (active), manifestor (finalizing).

    It may have three things more. ``follow(transfer, request)`` gives the operations that are to be begun after one of
    its operations has succeeded, pure as ``begin`` is. ``guards`` maps names that a chart uses to predicates on a
    transfer's row, and ``reasons`` the same names to functions of the row that say in a sentence why not.
    """

    def begin(self, transfer: Transfer) -> Sequence[OperationRequest]:
        """Say which operations the transfer needs in the state that it has just entered.

        Pure: no effects, the same answer to the same question. Fired by the statechart's ``enter`` callbacks, again
        when a suspended transfer resumes: work that is running or has succeeded is not begun twice.
        """
        ...

    def submit(self, operation: Operation) -> OperationStatus:
        """Hand the operation over to its provider, and say how it stands.

        Called at least once for each operation, and again with the same ``submission_id`` when the answer was lost.
        """
        ...

    def poll(self, operations: Sequence[Operation]) -> Mapping[UUID, OperationStatus]:
        """Say how these operations stand, all of one endpoint, by operation id. Idempotent.

        An operation that is left out of the answer has no news.
        """
        ...

    def cancel(self, operation: Operation) -> OperationStatus:
        """Ask the provider to stop the operation, and say how it stands. Idempotent.

        Called again until the answer is final. Work that had ended first is reported as it ended.
        """
        ...


@runtime_checkable
class Clock(Protocol):
    """The time, as everything that decides reads it."""

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        ...
