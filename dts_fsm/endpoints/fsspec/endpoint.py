"""The endpoint of whatever fsspec has a driver for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Self

from dts_fsm.config import Redactor, Secret
from dts_fsm.config.keys import suggestion
from dts_fsm.endpoints.endpoint import MovingEndpoint
from dts_fsm.endpoints.fsspec.drivers import Drivers, protocols
from dts_fsm.endpoints.fsspec.storage import PART_BYTES, FsspecStorage
from dts_fsm.errors import InvalidEndpointConfigError, PermanentError, ProviderError, TransientError, UnsafePathError
from dts_fsm.records import Descriptor
from dts_fsm.records.checks import path_fault
from dts_fsm.records.checksum import DEFAULT_ALGORITHM

if TYPE_CHECKING:
    from dts_fsm.config import Credential, EndpointConfig

_OPTIONS = ("protocol", "storage_options", "workers", "default_checksum")

_BETTER = {"file": "local", "local": "local"}
"""Protocols of providers that hold what this one cannot, such as that no symbolic link leads out of the root."""

_ACCOUNTS = {
    "ftp": ("username", "password"),
    "sftp": ("username", "password"),
    "ssh": ("username", "password"),
    "smb": ("username", "password"),
}
"""What drivers call the two parts of a credential."""


class FsspecEndpoint(MovingEndpoint):
    """A folder of a service that fsspec has a driver for: FTP, WebDAV, SMB, ...

    Files are written in order beside their targets, read back, compared and renamed. How much of that is one step at
    the service, and how soon a service that hangs is given up, is up to the driver; see the page on this provider.

    Args:
        protocol: the driver's name in fsspec: "ftp", "webdav", "smb", ...
        root: the folder below which everything lies, as the driver writes it. It exists.
        storage_options: what the driver's class is called with; secrets anywhere in it as ``Secret``.
        name: the endpoint's name in the configuration; for messages.
        workers: how many files are moved at once, at least 1. A driver that is not safe for threads has up to three
            connections for each of them.
        default_checksum: as ``MovingEndpoint`` says.
        part_bytes: how much is read, and written, at once.

    Raises:
        InvalidEndpointConfigError: fsspec has no such driver, its package is not installed, or an argument is wrong.
    """

    provider = "fsspec"

    def __init__(
        self,
        *,
        protocol: str,
        root: str = "/",
        storage_options: Mapping[str, Any] | None = None,
        name: str = "fsspec",
        workers: int = 2,
        default_checksum: str = DEFAULT_ALGORITHM,
        part_bytes: int = PART_BYTES,
    ) -> None:
        super().__init__(root=root, name=name, workers=workers, default_checksum=default_checksum)
        self._redact = Redactor(storage_options or {})
        self._drivers = _drivers(protocol, storage_options or {}, f"endpoints.{name}")
        if "://" in root or (root.strip("/") and path_fault(root.strip("/"))):
            raise InvalidEndpointConfigError(
                f"must be a folder as the driver writes it, without protocol and host, not {root!r}",
                key=f"endpoints.{name}.root",
            )
        self._part_bytes = part_bytes

    @classmethod
    def from_config(cls, config: EndpointConfig, *, executor: Executor | None = None) -> Self:  # noqa: ARG003 - threads
        """Make the endpoint that a section of the configuration describes.

        Its options are ``protocol``, ``storage_options``, ``workers`` and ``default_checksum``. A
        credential's id and secret are the user and password of drivers that are known to have such.

        Raises:
            InvalidEndpointConfigError: an option is unknown or wrong, or the driver is not installed.
        """
        key = f"endpoints.{config.key}"
        options = dict(config.options)
        for option in options:
            if option not in _OPTIONS:
                raise InvalidEndpointConfigError(
                    f"an fsspec endpoint has no such option: it has {', '.join(map(repr, _OPTIONS))}",
                    key=f"{key}.{option}",
                )
        protocol = options.pop("protocol", None)
        if not isinstance(protocol, str) or not protocol:
            raise InvalidEndpointConfigError(
                "is missing: name the driver of fsspec, for example 'ftp' or 'webdav'", key=f"{key}.protocol"
            )
        given = options.pop("storage_options", None) or {}
        if not isinstance(given, Mapping):
            raise InvalidEndpointConfigError(
                "must be a mapping: what the driver's class is called with", key=f"{key}.storage_options"
            )
        account = _account(protocol, config.credential, f"{key}.credential")
        for option in account:
            if option in given:
                raise InvalidEndpointConfigError(
                    "stands beside 'credential', which says the same: give one of them",
                    key=f"{key}.storage_options.{option}",
                )
        return cls(
            protocol=protocol, root=config.root, storage_options={**given, **account}, name=config.key, **options
        )

    def storage(self, *, arriving: bool) -> FsspecStorage:  # noqa: ARG002 - both ways are one
        """Give how files of the root are read and written; see ``MovingEndpoint``."""
        return FsspecStorage(
            self._drivers,
            self._root.rstrip("/"),
            self.name,
            part_bytes=self._part_bytes,
            redact=self._redact,
        )

    def files_staged(self, descriptors: Sequence[Descriptor]) -> Mapping[str, bool]:
        """Give for each descriptor's id whether a file of its size is at its path.

        Raises:
            TransientError: the service cannot be asked now.
            PermanentError: it refuses to answer.
        """
        if not descriptors:
            return {}
        try:
            found = self.storage(arriving=False).look_at({descriptor.path or "" for descriptor in descriptors})
        except ProviderError:
            raise
        except PermissionError as error:
            raise PermanentError(f"the endpoint {self.name!r} refuses to be looked at: {error}") from error
        except OSError as error:
            raise TransientError(f"the endpoint {self.name!r} cannot be looked at: {error}") from error
        answer = {}
        for descriptor in descriptors:
            there = found[descriptor.path or ""]
            answer[descriptor.id] = (
                there is not None and not isinstance(there, UnsafePathError) and there.bytes == descriptor.bytes
            )
        return answer

    def close(self) -> None:
        """Stop the workers, as ``MovingEndpoint`` says, and close connections."""
        super().close()
        self._drivers.close()


def _drivers(protocol: str, options: Mapping[str, Any], key: str) -> Drivers:
    if better := _BETTER.get(protocol):
        raise InvalidEndpointConfigError(f"the provider {better!r} is for that", key=f"{key}.protocol")
    try:
        return Drivers(protocol, {name: _revealed(value) for name, value in options.items()})
    except ImportError as error:
        raise InvalidEndpointConfigError(
            f"the driver of {protocol!r} needs a package that is not installed: {error}", key=f"{key}.protocol"
        ) from error
    except ValueError:
        raise InvalidEndpointConfigError(
            f"fsspec has no driver of {protocol!r}: {suggestion(protocol, protocols())}", key=f"{key}.protocol"
        ) from None


def _revealed(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {name: _revealed(item) for name, item in value.items()}
    return type(value)(map(_revealed, value)) if isinstance(value, list | tuple) else value


def _account(protocol: str, credential: Credential | None, key: str) -> dict[str, Any]:
    """The options of a driver that a credential stands for."""
    if credential is None:
        return {}
    parts = (credential.id, credential.secret or Secret(""))
    if protocol in ("webdav", "dav"):
        return {"auth": parts}
    if protocol not in _ACCOUNTS:
        raise InvalidEndpointConfigError(
            f"it is not known what the driver of {protocol!r} calls user and password: write them as storage_options",
            key=key,
        )
    return dict(zip(_ACCOUNTS[protocol], parts, strict=True))
