"""The endpoint of a Globus collection."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Self
from uuid import UUID

from dts_fsm.endpoints.globus.client import Account, shared_account
from dts_fsm.endpoints.globus.journal import Journal
from dts_fsm.endpoints.globus.looks import sizes
from dts_fsm.endpoints.globus.moves import Moves
from dts_fsm.endpoints.globus.place import Place
from dts_fsm.endpoints.globus.settings import GlobusSettings
from dts_fsm.errors import IncompatibleDestinationError, TransientError
from dts_fsm.interfaces import Endpoint
from dts_fsm.records import Descriptor, FileTransfer, OperationStatus

if TYPE_CHECKING:
    from dts_fsm.config import EndpointConfig


class GlobusEndpoint:
    """The files of a collection; Globus moves them to other collections, whether this process lives or not.

    What is submitted is in a journal on this machine before Globus hears of it, so that nothing is submitted twice: see
    ``Journal``. Globus writes files in their places. What has appeared there is whole only when Globus says so; who
    consumes a payload waits for its manifest.

    Args:
        settings: which collection, as whom, and how.
        name: the endpoint's name in the configuration; for messages.
        account: asks Globus; by default the one that all endpoints of this identity share.
    """

    provider = "globus"

    def __init__(self, settings: GlobusSettings, *, name: str = "globus", account: Account | None = None) -> None:
        self.name = name
        self._settings = settings
        self._account = account or shared_account(settings.identity)
        self._account.pace.limit(settings.requests_per_s)
        if settings.data_access:
            self._account.need_data_access(settings.place.collection)
        journal = Journal(settings.journal)
        with contextlib.suppress(TransientError):  # whoever writes there is told
            journal.prune()
        self._moves = Moves(self._account, journal, settings)

    @classmethod
    def from_config(cls, config: EndpointConfig, *, executor: Executor | None = None) -> Self:  # noqa: ARG003
        """Make the endpoint that a section of the configuration describes; nothing is asked of Globus yet.

        Raises:
            InvalidEndpointConfigError: an option is unknown or wrong.
        """
        return cls(GlobusSettings.from_config(config), name=config.key)

    @property
    def root(self) -> str:
        """The folder of the collection below which everything lies, as the collection's machine sees it."""
        return f"{self._settings.base_path}{self._settings.place.folder}" or "/"

    @property
    def place(self) -> Place:
        """The collection, and the folder."""
        return self._settings.place

    def close(self) -> None:
        """Close the connections. What Globus has goes on; the endpoint remains usable."""
        self._account.close()

    def files_staged(self, descriptors: Sequence[Descriptor]) -> Mapping[str, bool]:
        """Give for each descriptor's id whether its file is here with the size it says; see ``Endpoint``.

        One request asks for all files of a folder.
        """
        wanted = {
            each.id: each.path for each in descriptors if each.path is not None and not self.place.fault(each.path)
        }
        found = sizes(self._account, self.place, wanted.values())
        return {
            each.id: (path := wanted.get(each.id)) is not None and path in found and each.bytes in (None, found[path])
            for each in descriptors
        }

    def transfers(self) -> Sequence[UUID]:
        """Give the ids of the moves in the journal, those of earlier processes included."""
        return self._moves.known()

    def transfer(self, destination: Endpoint, files: Sequence[FileTransfer], *, operation_id: UUID) -> UUID:
        """Have Globus move the files, and give ``operation_id``.

        Where Globus has as many tasks of this user as it takes, the move begins when others have ended.

        Raises:
            IncompatibleDestinationError: the destination is no collection of the same Globus.
            TransientError: nobody knows whether the move began; the same call finds out.
            PermanentError: Globus does not let this identity in.
        """
        if (
            not isinstance(destination, GlobusEndpoint)
            or destination._settings.identity.transfer_url != self._settings.identity.transfer_url
        ):
            raise IncompatibleDestinationError(self.provider, destination.provider)
        self._moves.begin(destination.place, files, operation_id)
        return operation_id

    def statuses(self, ids: Sequence[UUID]) -> Mapping[UUID, OperationStatus]:
        """Give the status of each move; one request for up to 50 tasks. See ``Endpoint``."""
        return self._moves.statuses(ids)

    def cancel(self, id: UUID) -> None:  # noqa: A002 - the word of the protocol
        """Ask Globus to stop the move's tasks. Idempotent."""
        self._moves.cancel(id)
