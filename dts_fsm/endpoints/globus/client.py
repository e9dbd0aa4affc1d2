"""Globus Transfer as one identity asks it: by its SDK, with our errors, and answers of the right shape alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import attrs
from globus_sdk import (
    ClientCredentialsAuthorizer,
    ConfidentialAppAuthClient,
    GlobusError,
    GlobusHTTPResponse,
    NativeAppAuthClient,
    RefreshTokenAuthorizer,
    TransferClient,
)
from globus_sdk.scopes import GCSCollectionScopes, TransferScopes
from globus_sdk.transport import RequestsTransport

from dts_fsm.config import Secret
from dts_fsm.endpoints.globus.faults import LaterError, converted, shown
from dts_fsm.endpoints.globus.pace import Pace, Slots
from dts_fsm.endpoints.globus.transport import retries, transport
from dts_fsm.errors import TransientError

TRANSFER_URL = "https://transfer.api.globus.org"
AUTH_URL = "https://auth.globus.org"

MAX_EVENTS = 1000
"""How many events of a task Globus gives. Source: https://docs.globus.org/api/transfer/task/#get_event_list."""

_IDS_AT_ONCE = 50
"""How many tasks one request asks for: their ids are in its URL."""

_REPEATED = 1000
"""How many entries more than there are files a list may have, before it is taken for one without an end."""

_ENDED = ("Canceled", "CancelAccepted", "TaskComplete")
_ACCEPTED = ("Accepted", "Duplicate")


@attrs.frozen(kw_only=True)
class Identity:
    """Who asks Globus, and where it is.

    Attributes:
        client_id: of a confidential app, or of a native one.
        secret: of a confidential app; None for a native one.
        refresh_token: what somebody who has logged in was given; None for an app that acts for itself.
        transfer_url, auth_url: the services, without a slash at the end.
    """

    client_id: str
    secret: Secret | None = None
    refresh_token: Secret | None = None
    transfer_url: str = TRANSFER_URL
    auth_url: str = AUTH_URL


class Account:
    """All that one identity asks of Globus goes through here; safe from any thread.

    Nothing is asked when it is made. Tokens are fetched and renewed as they are needed. Every method raises
    ``TransientError`` for what may go better later, ``PermanentError`` for what will not, among them ``MissingError``,
    ``DeniedError`` and ``RefusedCredentialError``.
    """

    def __init__(self, identity: Identity, *, pace: Pace | None = None, slots: Slots | None = None) -> None:
        self.pace, self.slots = pace or Pace(), slots or Slots()
        self._identity = identity
        self._lock = threading.Lock()
        self._mapped: set[str] = set()
        self._auth_transport = transport()
        self._authorizer = _authorizer(identity, (), self._auth_transport)
        self._sdk = TransferClient(
            authorizer=self._authorizer,
            base_url=identity.transfer_url,
            transport=transport(),
            retry_config=retries(),
        )

    def need_data_access(self, collection: str) -> None:
        """Tokens from now on say that this app consents to data being transferred from and to a mapped collection.

        What somebody who has logged in consents to was decided then.
        Source: https://docs.globus.org/api/flows/working-with-consents/, data_access.
        """
        with self._lock:
            if collection not in self._mapped:
                self._mapped.add(collection)
                self._authorizer = _authorizer(self._identity, self._mapped, self._auth_transport)
                self._sdk.authorizer = self._authorizer

    def close(self) -> None:
        """Close the connections; the account remains usable."""
        self._sdk.transport.close()
        self._auth_transport.close()

    # Tasks

    def submission_id(self) -> str:
        """Give a new id for one submission."""
        answer = self._ask("a submission id", self._sdk.get_submission_id)
        return str(_uuid(answer.get("value"), "submission id"))

    def submit(self, document: Mapping[str, Any]) -> UUID:
        """Give the id of the task that carries this document out; the same for the same submission id."""
        answer = self._ask("the transfer", lambda: self._sdk.submit_transfer(dict(document)))
        if answer.get("code") not in _ACCEPTED:
            raise TransientError(f"Globus answered to a submission with {shown(answer.get('code'), 100)}")
        return _uuid(answer.get("task_id"), "task id")

    def tasks(self, ids: Sequence[UUID]) -> dict[UUID, Mapping[str, Any]]:
        """Give the documents of these tasks, by id; those that this identity does not have are left out."""
        found: dict[UUID, Mapping[str, Any]] = {}
        for start in range(0, len(ids), _IDS_AT_ONCE):
            wanted = {str(id_).lower(): id_ for id_ in ids[start : start + _IDS_AT_ONCE]}
            answer = self._ask(
                "the tasks",
                lambda wanted=wanted: self._sdk.task_list(limit=len(wanted), filter={"task_id": list(wanted)}),  # type: ignore[misc]
            )
            for task in _items(answer):
                id_ = wanted.get(str(task.get("task_id")).lower())
                if id_ is not None:
                    found[id_] = task
        return found

    def task(self, id_: UUID) -> Mapping[str, Any]:
        """Give the document of one task."""
        return self._ask(f"the task {id_}", lambda: self._sdk.get_task(id_))

    def cancel(self, id_: UUID) -> None:
        """The task is being canceled, or has ended."""
        answer = self._ask(f"the cancellation of the task {id_}", lambda: self._sdk.cancel_task(id_))
        if answer.get("code") not in _ENDED:
            raise TransientError(f"Globus answered to a cancellation with {shown(answer.get('code'), 100)}")

    def pause_message(self, id_: UUID) -> str:
        """Give what administrators say of why the task is paused; "" where they say nothing."""
        answer = self._ask(f"the pause of the task {id_}", lambda: self._sdk.task_pause_info(id_))
        rules = answer.get("pause_rules")
        said = [rule.get("message") for rule in rules if isinstance(rule, Mapping)] if isinstance(rules, list) else []
        said += [value for key, value in answer.items() if key.endswith(("_pause_message", "_pause_message_share"))]
        return "; ".join(dict.fromkeys(shown(text) for text in said if isinstance(text, str) and text))

    def successes(self, id_: UUID, most: int) -> Iterator[Mapping[str, Any]]:
        """Give what the task has transferred, ``most`` entries at most."""
        return self._pages(f"what the task {id_} has transferred", self._sdk.task_successful_transfers, id_, most)

    def skipped(self, id_: UUID, most: int) -> Iterator[Mapping[str, Any]]:
        """Give what the task has left out for an error, ``most`` entries at most."""
        return self._pages(f"what the task {id_} has left out", self._sdk.task_skipped_errors, id_, most)

    def events(self, id_: UUID) -> list[Mapping[str, Any]]:
        """Give the task's errors, the newest first, ``MAX_EVENTS`` at most."""
        answer = self._ask(
            f"the events of the task {id_}",
            lambda: self._sdk.task_event_list(id_, limit=MAX_EVENTS, query_params={"filter": "is_error:1"}),
        )
        return [event for event in _items(answer)[:MAX_EVENTS] if event.get("is_error")]

    # Files

    def listing(self, collection: str, folder: str) -> dict[str, int]:
        """Give the names and sizes of the files in a folder."""
        answer = self._ask(f"the folder {shown(folder)!r}", lambda: self._sdk.operation_ls(collection, folder))
        return {
            name: size
            for item in _items(answer)
            if item.get("type") == "file"
            and isinstance(name := item.get("name"), str)
            and type(size := item.get("size")) is int
        }

    def size(self, collection: str, path: str) -> int | None:
        """Give the size of a file; None for what is none, such as a folder."""
        answer = self._ask(f"the file {shown(path)!r}", lambda: self._sdk.operation_stat(collection, path))
        size = answer.get("size")
        return size if answer.get("type") == "file" and type(size) is int else None

    # Asking

    def _pages(self, what: str, call: Callable[..., Any], id_: UUID, most: int) -> Iterator[Mapping[str, Any]]:
        given, marker = 0, None
        seen: set[object] = {None}
        while True:
            options: dict[str, Any] = {} if marker is None else {"marker": marker}
            answer = self._ask(what, lambda options=options: call(id_, **options))  # type: ignore[misc]
            items = _items(answer)
            given += len(items)
            if given > most + _REPEATED:
                raise TransientError(f"Globus tells more of {what} than there can be: {given} entries")
            yield from items
            marker = answer.get("next_marker")
            if marker is None:
                return
            if not isinstance(marker, int | str) or marker in seen or not items:
                raise TransientError(f"Globus comes to no end with {what}")
            seen.add(marker)

    def _ask(self, what: str, call: Callable[[], GlobusHTTPResponse]) -> Mapping[str, Any]:
        self.pace.wait()
        try:
            data: object = call().data
        except GlobusError as error:
            fault = converted(error, what, self._hide)
        except ValueError as error:  # an answer of Globus Auth that its SDK cannot use
            fault = TransientError(f"Globus could not be asked for {what}: {self._hide(shown(error))}")
        else:
            if isinstance(data, Mapping):
                return data
            fault = TransientError(f"Globus answered for {what} with something else than an object")
        if isinstance(fault, LaterError):
            self.pace.hold(fault.after_s)
        raise fault  # outside the except clauses: what the SDK keeps of a request has tokens in it

    def _hide(self, text: str) -> str:
        identity = self._identity
        secrets = [secret.reveal() for secret in (identity.secret, identity.refresh_token) if secret is not None]
        for secret in (*secrets, self._authorizer.access_token or ""):
            text = text.replace(secret, "***") if secret else text
        return text


_accounts: WeakValueDictionary[Identity, Account] = WeakValueDictionary()
_accounts_lock = threading.Lock()


def shared_account(identity: Identity) -> Account:
    """Give the account of this identity: one for all endpoints of this process, for Globus' limits are the user's."""
    with _accounts_lock:
        account = _accounts.get(identity)
        if account is None:
            account = _accounts[identity] = Account(identity)
        return account


def _authorizer(
    identity: Identity, mapped: Iterable[str], sent_by: RequestsTransport
) -> ClientCredentialsAuthorizer | RefreshTokenAuthorizer:
    # a token that has expired already: the SDK fetches one when it is first needed, and not now
    unused: Any = {"access_token": "", "expires_at": 0}
    options: Any = {"base_url": identity.auth_url, "transport": sent_by, "retry_config": retries()}
    if identity.secret is None:
        native = NativeAppAuthClient(identity.client_id, **options)
        token = identity.refresh_token.reveal() if identity.refresh_token else ""
        return RefreshTokenAuthorizer(token, native, **unused)
    app = ConfidentialAppAuthClient(identity.client_id, identity.secret.reveal(), **options)
    if identity.refresh_token is not None:
        return RefreshTokenAuthorizer(identity.refresh_token.reveal(), app, **unused)
    access = [GCSCollectionScopes(collection).data_access.with_optional(True) for collection in sorted(mapped)]
    return ClientCredentialsAuthorizer(app, TransferScopes.all.with_dependencies(access), **unused)


def _items(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    data = answer.get("DATA")
    if not isinstance(data, list) or not all(isinstance(item, Mapping) for item in data):
        raise TransientError("Globus answered with a list that is none")
    return data


def _uuid(value: object, what: str) -> UUID:
    try:
        return UUID(value if isinstance(value, str) else "")
    except ValueError:
        raise TransientError(f"Globus answered with {shown(value, 100)!r} for a {what}") from None
