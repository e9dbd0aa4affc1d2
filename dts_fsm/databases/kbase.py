"""KBase: where payloads are delivered for its users, who are known by their ORCIDs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import attrs

from dts_fsm.config import Secret
from dts_fsm.config.options import checked_options
from dts_fsm.databases.users import UserMap, user_fault
from dts_fsm.errors import (
    ConfigurationError,
    InvalidDatabaseConfigError,
    PermanentError,
    SpecificationError,
    UnauthorizedError,
)
from dts_fsm.interfaces import Endpoint
from dts_fsm.records import Descriptor, SearchParameters, SearchResults, StagingStatus, User
from dts_fsm.records.checks import is_orcid, shown
from dts_fsm.web import HttpClient

if TYPE_CHECKING:
    from dts_fsm.config import DatabaseConfig

KBASE_URL = "https://kbase.us/services/auth/api/V2/"
"""KBase's authentication service. Source: kbase/auth2, "API Endpoints: Get details about the current user"."""

_ORCID_PROVIDER = "OrcID"
"""What that service calls ORCID among the identities of a user."""

USERS_FILE = "kbase_user_orcids.csv"
"""What the file with the users is called in DTS's data directory. Source: DTS, databases/kbase/user_federation.go."""

_TOKEN = re.compile(r"[!-~]{1,4096}")
"""Anything else could not stand in a header. Source: RFC 9110, section 5.5."""

_ORCID_URLS = ("https://orcid.org/", "http://orcid.org/")

_OPTIONS: dict[str, type] = {
    "url": str,
    "base_url": str,
    "users": str,
    "data_directory": str,
    "ca_file": str,
    "connect_timeout_s": float,
    "read_timeout_s": float,
}


@attrs.frozen(kw_only=True)
class KBaseUser:
    """Who a token belongs to.

    Attributes:
        username: the local user, as in the path of what is delivered.
        user: the person, with ORCID, as requests name them.
    """

    username: str
    user: User


class KBaseDatabase:
    """A destination: it has no files to offer.

    The local users of ORCIDs are in a file, which is read again whenever it has changed: KBase's service tells who a
    token belongs to, and not who has an ORCID. While a new file has a fault, the former content counts.

    Args:
        name: the database's name in the configuration.
        endpoint_name: the name of the endpoint at which it receives.
        users: the file, CSV, TSV or JSON; see ``UserMap``.
        client: asks KBase's authentication service.
    """

    def __init__(self, *, name: str, endpoint_name: str, users: str | Path, client: HttpClient) -> None:
        self.name = name
        self._endpoint_name, self._client = endpoint_name, client
        self._users = UserMap([Path(users)], required=True, steady=True)

    @classmethod
    def from_config(cls, config: DatabaseConfig, *, endpoints: Mapping[str, Endpoint]) -> Self:
        """Make the database that a section of the configuration describes; nothing is asked of KBase yet.

        Its options are ``users``, or ``data_directory`` with the file of DTS, one of which must be given, ``url`` (or
        ``base_url``), ``ca_file``, ``connect_timeout_s`` and ``read_timeout_s``.

        Raises:
            InvalidDatabaseConfigError: an option is unknown or wrong, or there is not exactly one endpoint.
        """
        place = f"databases.{config.key}"
        options = checked_options(
            config.options, _OPTIONS, owner="a kbase database", place=place, error=InvalidDatabaseConfigError
        )
        names = list(dict.fromkeys(config.endpoints.values()))
        if len(names) != 1 or names[0] not in endpoints:
            raise InvalidDatabaseConfigError(
                f"a kbase database has one endpoint, which must be configured, not {', '.join(map(repr, names))}",
                key=f"{place}.endpoint",
            )
        users, folder = options.pop("users", None), options.pop("data_directory", None)
        if users is None and folder is None:
            raise InvalidDatabaseConfigError(
                "is missing: name the file with the local users of ORCIDs", key=f"{place}.users"
            )
        base_url = options.pop("base_url", KBASE_URL)
        # what people copy is the address of the whole request
        url = options.pop("url", base_url).rstrip("/").removesuffix("/me")
        try:
            client = HttpClient(url, name="KBase", **options)
        except ConfigurationError as error:
            raise InvalidDatabaseConfigError(error.message, key=f"{place}.{error.key}") from error
        return cls(name=config.key, endpoint_name=names[0], users=users or Path(folder) / USERS_FILE, client=client)

    def close(self) -> None:
        """Close the connections. Idempotent; the database remains usable."""
        self._client.close()

    def user(self, token: Secret) -> KBaseUser:
        """Give who a token of KBase belongs to.

        Raises:
            UnauthorizedError: it is nobody's, or has expired, or the user has not linked an ORCID to the account.
            TransientError, PermanentError: KBase cannot be asked, or answers with something else.
        """
        if not _TOKEN.fullmatch(token.reveal()):
            raise UnauthorizedError("the token cannot be one of KBase's: it is empty, or has blanks or odd characters")
        # KBase takes the token as it is, without a scheme
        value = self._client.request("GET", "me", headers={"Authorization": token}).json()
        username = value.get("user") if isinstance(value, dict) else None
        if fault := user_fault(username):
            raise PermanentError(f"KBase answers with {shown(value)} when asked for a user: {fault}")
        identities = value.get("idents")
        orcids = [
            _bare(identity.get("provusername"))
            for identity in (identities if isinstance(identities, list) else ())
            if isinstance(identity, dict) and identity.get("provider") == _ORCID_PROVIDER
        ]
        found = [orcid for orcid in orcids if is_orcid(orcid)]
        if not found:
            raise UnauthorizedError(f"the user {username} of KBase has no ORCID: link one to the account")
        return KBaseUser(
            username=str(username),
            user=User(
                name=_text(value.get("display")) or str(username), orcid=found[0], email=_text(value.get("email"))
            ),
        )

    # What a database that only receives has to say

    def search(self, orcid: str, parameters: SearchParameters) -> SearchResults:  # noqa: ARG002 - the contract's
        """Refused: there is nothing to be found.

        Raises:
            SpecificationError: always.
        """
        raise self._no_source()

    def specific_search_parameters(self) -> Mapping[str, Any]:
        """Give none."""
        return {}

    def descriptors(self, orcid: str, file_ids: Sequence[str]) -> Sequence[Descriptor]:  # noqa: ARG002 - the contract's
        """Refused: it is no source.

        Raises:
            SpecificationError: always.
        """
        raise self._no_source()

    def endpoint_names(self) -> Sequence[str]:
        """Give the one at which it receives."""
        return [self._endpoint_name]

    def stage_files(self, orcid: str, file_ids: Sequence[str], *, request_id: UUID) -> UUID:
        """Refused: it is no source.

        Raises:
            PermanentError: always.
        """
        raise PermanentError(f"{self._no_source()} ({len(file_ids)} files for {orcid}, request {request_id})")

    def staging_status(self, ids: Sequence[UUID]) -> Mapping[UUID, StagingStatus]:
        """Give UNKNOWN for each: nothing was ever staged."""
        return dict.fromkeys(ids, StagingStatus.UNKNOWN)

    def finalize(self, orcid: str, id: UUID) -> None:  # noqa: A002 - DTS's signature
        """Nothing: it is no source."""

    def local_user(self, orcid: str) -> str:
        """Give KBase's name of the user.

        Raises:
            InvalidOrcidError: the file does not have the ORCID.
            InvalidDatabaseConfigError: the file has a fault, or does not exist, and could never be read.
        """
        return self._users.local_user(orcid)

    def _no_source(self) -> SpecificationError:
        return SpecificationError(
            f"the database {self.name!r} only receives: it has no files, and cannot be searched or be a source; "
            "name it as the destination"
        )


def _bare(orcid: object) -> str:
    """The ORCID without the address that some write before it."""
    text = _text(orcid)
    for address in _ORCID_URLS:
        text = text.removeprefix(address)
    return text


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
