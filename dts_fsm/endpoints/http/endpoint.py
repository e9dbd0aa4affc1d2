"""The endpoint of a web server: files are fetched from it, and none is put there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from dts_fsm.config import Secret
from dts_fsm.config.options import checked_options
from dts_fsm.endpoints.endpoint import MovingEndpoint
from dts_fsm.endpoints.http.site import Site
from dts_fsm.endpoints.streaming import Storage
from dts_fsm.errors import (
    ConfigurationError,
    InvalidEndpointConfigError,
    UnauthorizedError,
    UnsafePathError,
)
from dts_fsm.records import Descriptor
from dts_fsm.records.checksum import DEFAULT_ALGORITHM
from dts_fsm.web import HttpClient, authorization

if TYPE_CHECKING:
    from dts_fsm.config import EndpointConfig

_AT_ONCE = 8
"""How many files are looked at at once."""

_OPTIONS: dict[str, type] = {
    "url": str,
    "token": Secret,
    "headers": dict,
    "ca_file": str,
    "connect_timeout_s": float,
    "read_timeout_s": float,
    "workers": int,
    "default_checksum": str,
}
_CLIENT = {"ca_file", "connect_timeout_s", "read_timeout_s"}


class HttpEndpoint(MovingEndpoint):
    """The files below a URL, and threads that fetch them.

    A file is fetched by ranges, several at once, each on the condition that it is the version that was found first. A
    connection that breaks is gone on with from the byte at which it broke, and a move that was interrupted from its
    last whole part. A server that knows no ranges is read from the beginning to the end.

    Args:
        client: asks the server; its base URL is what ``root`` lies below.
        root: the folder of the server below which everything lies.
        name: the endpoint's name in the configuration; for messages.
        workers: how many files are fetched at once, at least 1.
        default_checksum: see ``MovingEndpoint``.
    """

    provider = "http"
    takes_files = False

    def __init__(
        self,
        client: HttpClient,
        *,
        root: str = "/",
        name: str = "http",
        workers: int = 4,
        default_checksum: str = DEFAULT_ALGORITHM,
    ) -> None:
        super().__init__(root=root, name=name, workers=workers, default_checksum=default_checksum)
        self._client = client
        self._site = Site(client, "".join(f"{part}/" for part in root.split("/") if part), name)

    @classmethod
    def from_config(cls, config: EndpointConfig, *, executor: Executor | None = None) -> Self:
        """Make the endpoint that a section of the configuration describes; nothing is asked of the server yet.

        Raises:
            InvalidEndpointConfigError: an option is unknown or wrong.
        """
        del executor  # connections cannot be handed to another process
        place = f"endpoints.{config.key}"
        options = checked_options(
            config.options, _OPTIONS, owner="an http endpoint", place=place, error=InvalidEndpointConfigError
        )
        if "url" not in options:
            raise InvalidEndpointConfigError("is missing: say where the files are", key=f"{place}.url")
        if ".." in config.root.split("/"):
            raise InvalidEndpointConfigError("must not lead upwards", key=f"{place}.root")
        if urlsplit(options["url"]).query or urlsplit(options["url"]).fragment:
            raise InvalidEndpointConfigError("must have no query: paths are appended to it", key=f"{place}.url")
        try:
            headers = authorization(config.credential, options.pop("token", None), options.pop("headers", {}))
            settings = {name: options.pop(name) for name in _CLIENT & options.keys()}
            client = HttpClient(
                options.pop("url"), name=f"the endpoint {config.key!r}", headers=lambda: headers, **settings
            )
        except ConfigurationError as error:
            raise InvalidEndpointConfigError(error.message, key=f"{place}.{error.key}") from error
        return cls(client, root=config.root, name=config.key, **options)

    def storage(self, *, arriving: bool) -> Storage:
        """Give how files are read; see ``MovingEndpoint``."""
        del arriving
        return self._site

    def close(self) -> None:
        """Stop the workers, and close the connections; see ``MovingEndpoint``."""
        super().close()
        self._site.close()
        self._client.close()

    def files_staged(self, descriptors: Sequence[Descriptor]) -> Mapping[str, bool]:
        """Give for each descriptor's id whether there is a file of its size; see ``Endpoint``.

        A file that may not be read counts as staged: the move then says so of that file, and the others are not held
        up. To wait for it would be in vain.

        Raises:
            TransientError: the server cannot answer now.
            PermanentError: it refuses to.
        """

        def is_staged(descriptor: Descriptor) -> bool:
            try:
                found = self._site.look(descriptor.path or "")
            except UnsafePathError:
                return False
            except UnauthorizedError:
                return True
            return found is not None and found.bytes == descriptor.bytes

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=f"dts-{self.name}-look") as threads:
            answers = list(threads.map(is_staged, descriptors))
        return {descriptor.id: answer for descriptor, answer in zip(descriptors, answers, strict=True)}
