"""What the configuration says of a collection, checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

import attrs

from dts_fsm.config import Secret
from dts_fsm.config.options import checked_options
from dts_fsm.endpoints.globus.client import AUTH_URL, TRANSFER_URL, Identity
from dts_fsm.endpoints.globus.pace import REQUESTS_PER_S
from dts_fsm.endpoints.globus.place import Place
from dts_fsm.endpoints.globus.submission import MAX_LABEL, SYNC_LEVELS, Terms
from dts_fsm.errors import InvalidEndpointConfigError
from dts_fsm.records.checks import normal_path, path_fault

if TYPE_CHECKING:
    from dts_fsm.config import EndpointConfig

_OPTIONS: dict[str, type] = {
    "base_path": str,
    "data_path": str,
    "data_access": bool,
    "refresh_token": Secret,
    "sync_level": str,
    "verify_checksum": bool,
    "encrypt_data": bool,
    "accept_other_hashes": bool,
    "deadline": float,
    "label": str,
    "journal": str,
    "requests_per_s": float,
    "transfer_url": str,
    "auth_url": str,
}

MAX_REQUESTS_PER_S = 20.0
"""What Globus grants a user."""

_LABEL = MAX_LABEL - 37  # a blank and a UUID follow
_MAX_DEADLINE_S = 10 * 365 * 86_400.0


@attrs.frozen(kw_only=True)
class GlobusSettings:
    """Which collection, as whom, and how.

    Attributes:
        place: the collection, and the folder of it below which everything lies.
        base_path: what the collection's root is called on the machine that serves it: "" or a folder's path. It counts
            for the endpoint that delivers manifests, whose collection serves this machine.
        identity: who asks Globus.
        journal: the folder for what must survive.
        terms: how files are moved.
        requests_per_s: how many requests begin in a second.
        data_access: whether the collection is a mapped one, which needs a consent of its own.
    """

    place: Place
    identity: Identity
    journal: Path
    base_path: str = ""
    terms: Terms = attrs.field(factory=Terms)
    requests_per_s: float = REQUESTS_PER_S
    data_access: bool = False

    @classmethod
    def from_config(cls, config: EndpointConfig) -> GlobusSettings:
        """Give the settings of a section of the configuration.

        Raises:
            InvalidEndpointConfigError: an option is unknown or wrong.
        """
        return _Reading(config).settings()


class _Reading:
    def __init__(self, config: EndpointConfig) -> None:
        self._config, self._place = config, f"endpoints.{config.key}"
        self._options = checked_options(
            config.options, _OPTIONS, owner="a globus endpoint", place=self._place, error=InvalidEndpointConfigError
        )

    def settings(self) -> GlobusSettings:
        options = self._options
        per_s = options.get("requests_per_s", REQUESTS_PER_S)
        if per_s > MAX_REQUESTS_PER_S:
            raise self._fault("requests_per_s", f"can be {MAX_REQUESTS_PER_S:g} at most: Globus grants no more")
        return GlobusSettings(
            place=Place(collection=str(UUID(self._config.id)), folder=self._folder()),
            base_path=self._base_path(),
            identity=self._identity(),
            journal=self._journal(),
            terms=self._terms(),
            requests_per_s=per_s,
            data_access=options.get("data_access", False),
        )

    def _identity(self) -> Identity:
        credential, token = self._config.credential, self._options.get("refresh_token")
        if credential is None or not credential.id:
            raise self._fault("credential", "is missing: name one with the id of an app that is registered with Globus")
        if not _is_uuid(credential.id):
            raise self._fault("credential", "its id must be the UUID of an app that is registered with Globus")
        if not (credential.secret and credential.secret.reveal()) and not (token and token.reveal()):
            raise self._fault(
                "credential", "has no secret: give the app's secret, or for an app without one a refresh_token"
            )
        return Identity(
            client_id=credential.id,
            secret=credential.secret,
            refresh_token=token,
            transfer_url=self._url("transfer_url", TRANSFER_URL),
            auth_url=self._url("auth_url", AUTH_URL),
        )

    def _url(self, option: str, default: str) -> str:
        url = str(self._options.get(option, default)).rstrip("/")
        try:
            parts = urlsplit(url)
            host, scheme, _ = parts.hostname, parts.scheme, parts.port
        except ValueError:
            host, scheme = None, ""
        if not host or scheme not in ("http", "https") or parts.query or parts.fragment or parts.username:
            raise self._fault(option, f"must be a URL such as {default}")
        if scheme == "http" and host not in ("127.0.0.1", "::1", "localhost"):
            raise self._fault(option, "must begin with https: a token is sent there")
        return url

    def _folder(self) -> str:
        for option, text in (("root", self._config.root), ("data_path", self._options.get("data_path", ""))):
            if text.strip("/.") and path_fault(text.strip("/")):
                raise self._fault(option, "must be a folder of the collection, such as /data/genomes")
        folder = normal_path(f"{self._config.root}/{self._options.get('data_path', '')}".strip("/"))
        return f"/{folder}" if folder.strip(".") else ""

    def _base_path(self) -> str:
        text = self._options.get("base_path", "")
        if text.strip("/") and (not text.startswith("/") or path_fault(text.strip("/"))):
            raise self._fault("base_path", "must be the path of a folder, from the root of its machine")
        folder = normal_path(text.strip("/"))
        return f"/{folder}" if folder else ""

    def _journal(self) -> Path:
        given = self._options.get("journal")
        if given:
            return Path(given)
        if self._config.state_dir is None:
            raise self._fault("journal", "is missing: name a folder for the submissions, which must survive a crash")
        return self._config.state_dir

    def _terms(self) -> Terms:
        options = self._options
        if options.get("sync_level", "checksum") not in SYNC_LEVELS:
            raise self._fault("sync_level", f"must be one of {', '.join(SYNC_LEVELS)}")
        label = options.get("label", "dts_fsm")
        if not label or len(label) > _LABEL or label != label.strip() or not label.isprintable():
            raise self._fault("label", f"must be one line of printable text, {_LABEL} characters at most")
        deadline_s = options.get("deadline")
        if deadline_s is not None and deadline_s > _MAX_DEADLINE_S:
            raise self._fault("deadline", f"can be {_MAX_DEADLINE_S:.10g} s at most")
        names: Mapping[str, Any] = {field.name: field for field in attrs.fields(Terms)}
        given = {name: value for name, value in options.items() if name in names}
        return Terms(**given, deadline_s=deadline_s)

    def _fault(self, option: str, message: str) -> InvalidEndpointConfigError:
        return InvalidEndpointConfigError(message, key=f"{self._place}.{option}")


def _is_uuid(text: str) -> bool:
    try:
        return UUID(text).int != 0
    except ValueError:
        return False
