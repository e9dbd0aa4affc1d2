"""The endpoint of an SFTP server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dts_fsm.config.options import checked_options
from dts_fsm.endpoints.endpoint import MovingEndpoint
from dts_fsm.endpoints.sftp.login import Login
from dts_fsm.endpoints.sftp.sessions import Sessions
from dts_fsm.endpoints.sftp.storage import SftpTree
from dts_fsm.endpoints.streaming import Storage
from dts_fsm.errors import InvalidEndpointConfigError, UnsafePathError
from dts_fsm.records import Descriptor
from dts_fsm.records.checksum import DEFAULT_ALGORITHM

if TYPE_CHECKING:
    from dts_fsm.config import EndpointConfig

OPTIONS: dict[str, type] = {
    "host": str,
    "port": int,
    "user": str,
    "known_hosts": str,
    "private_key": str,
    "durable": bool,
    "read_back": bool,
    "connect_timeout_s": float,
    "call_timeout_s": float,
    "workers": int,
    "default_checksum": str,
}
_CONNECT_TIMEOUT_S, _CALL_TIMEOUT_S = 15.0, 60.0
_AT_ONCE = 8


class SftpEndpoint(MovingEndpoint):
    """The files of an SFTP server, and threads that move them, over one connection with several sessions.

    The server must be in ``known_hosts``: who it is, is never taken on trust. SFTP has no checksums; but each packet is
    authenticated, and one that is damaged on its way ends the connection.

    Source: RFC 4253, section 6.4, and RFC 5647.

    Args:
        sessions: asks the server.
        name: the endpoint's name in the configuration; for messages.
        durable: whether files are on the server's disk before they appear.
        read_back: whether all that was written is read back and compared before it appears; a large file, parts of
            which an earlier run has left, always is.
        workers: how many files are moved at once, at least 1.
        default_checksum: see ``MovingEndpoint``.
    """

    provider = "sftp"

    def __init__(
        self,
        sessions: Sessions,
        *,
        name: str = "sftp",
        durable: bool = True,
        read_back: bool = False,
        workers: int = 4,
        default_checksum: str = DEFAULT_ALGORITHM,
    ) -> None:
        super().__init__(root=sessions.root, name=name, workers=workers, default_checksum=default_checksum)
        self._tree = SftpTree(sessions, name, durable=durable, read_back=read_back)

    @classmethod
    def from_config(cls, config: EndpointConfig, *, executor: Executor | None = None) -> Self:
        """Make the endpoint that a section of the configuration describes; nothing is asked of the server yet.

        Raises:
            InvalidEndpointConfigError: an option is unknown or wrong.
        """
        del executor  # connections cannot be handed to another process
        place = f"endpoints.{config.key}"
        options = checked_options(
            config.options, OPTIONS, owner="an sftp endpoint", place=place, error=InvalidEndpointConfigError
        )
        for name, words in (
            ("host", "say where the server is"),
            ("known_hosts", "name the file with the server's host key; 'ssh-keyscan' shows what a server says"),
        ):
            if not options.get(name):
                raise InvalidEndpointConfigError(f"is missing: {words}", key=f"{place}.{name}")
        credential = config.credential
        user = options.pop("user", None) or (credential.id if credential else "")
        if not user:
            raise InvalidEndpointConfigError("is missing: say as whom to log in", key=f"{place}.user")
        key = options.pop("private_key", None)
        secret = credential.secret if credential else None
        if key is None and secret is None:
            raise InvalidEndpointConfigError(
                "is missing, and there is no credential with a password", key=f"{place}.private_key"
            )
        login = Login(
            host=options.pop("host"),
            port=options.pop("port", 22),
            user=user,
            known_hosts=Path(options.pop("known_hosts")),
            private_key=Path(key) if key else None,
            secret=secret,
            connect_timeout_s=options.pop("connect_timeout_s", _CONNECT_TIMEOUT_S),
        )
        sessions = Sessions(
            name=config.key,
            login=login,
            root=config.root,
            most=2 * options.get("workers", 4),
            timeout_s=options.pop("call_timeout_s", _CALL_TIMEOUT_S),
        )
        return cls(sessions, name=config.key, **options)

    def storage(self, *, arriving: bool) -> Storage:
        """Give how files are read and written; see ``MovingEndpoint``."""
        del arriving
        return self._tree

    def close(self) -> None:
        """Stop the workers, and end the connection; see ``MovingEndpoint``."""
        super().close()
        self._tree.sessions.close()

    def files_staged(self, descriptors: Sequence[Descriptor]) -> Mapping[str, bool]:
        """Give for each descriptor's id whether a regular file of its size is there; see ``Endpoint``.

        A file that may not be looked at counts as staged: the move then says so of that file, and the others are not
        held up. To wait for it would be in vain.

        Raises:
            TransientError: the server cannot be asked now.
            PermanentError: it refuses the login.
        """

        def is_staged(descriptor: Descriptor) -> bool:
            try:
                found = self._tree.look(descriptor.path or "")
            except UnsafePathError:
                return False
            except PermissionError:
                return True
            return found is not None and found.bytes == descriptor.bytes

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=f"dts-{self.name}-look") as threads:
            answers = list(threads.map(is_staged, descriptors))
        return {descriptor.id: answer for descriptor, answer in zip(descriptors, answers, strict=True)}
