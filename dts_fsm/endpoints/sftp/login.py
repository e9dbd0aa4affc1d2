"""Where an SFTP server is, as whom to log in, and how the server is known to be the right one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncssh
import attrs

from dts_fsm.config import Secret
from dts_fsm.errors import PermanentError, ProviderError, TransientError
from dts_fsm.records.checks import shown

_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)
"""The fastest first: processors have instructions for AES-GCM."""

_PORT = 22
"""Source: IANA, service names and port numbers; ``known_hosts`` names other ports alone."""

_KEEPALIVE_S, _KEEPALIVE_COUNT = 15, 4
"""A server that answers nothing for a minute is gone."""

_WINDOW_BYTES = 8 << 20
"""How much the server may send before it hears of it: over 100 ms, 80 MB a second."""


@attrs.frozen(kw_only=True)
class Login:
    """Equal logins reach the same files of the same server, below whatever root.

    Attributes:
        host, port, user: where, and as whom.
        known_hosts: the file with the keys of servers, as OpenSSH has it; read at each login.
        private_key: the file with the user's key, or None: the secret is a password.
        secret: the password, or the passphrase of the key; None where there is none.
        connect_timeout_s: how long a login may take.
    """

    host: str
    port: int
    user: str
    known_hosts: Path
    private_key: Path | None
    secret: Secret | None
    connect_timeout_s: float = attrs.field(eq=False)

    @property
    def address(self) -> str:
        """The server, as ``known_hosts`` names it."""
        return self.host if self.port == _PORT else f"[{self.host}]:{self.port}"

    async def connect(self) -> asyncssh.SSHClientConnection:
        """Give a connection to the right server, logged in.

        Nothing but this record counts: no file of the user's, no agent.

        Raises:
            PermanentError: the server is not known, or is another; it refuses the user; the files cannot be read.
            TransientError: it cannot be reached, or does not answer.
        """
        secret = None if self.secret is None else self.secret.reveal()
        try:
            keys = None if self.private_key is None else [asyncssh.read_private_key(self.private_key, secret)]
            known_hosts = asyncssh.read_known_hosts(str(self.known_hosts))
        except asyncssh.KeyImportError as error:  # a wrong passphrase, too
            raise PermanentError(
                f"the private key {str(self.private_key)!r} cannot be used: {error}: correct private_key, or the "
                "secret of the credential, which is its passphrase"
            ) from None
        except (OSError, ValueError) as error:
            raise PermanentError(f"known_hosts or private_key cannot be read: {error}") from None
        try:
            async with asyncio.timeout(self.connect_timeout_s):
                return await asyncssh.connect(
                    self.host,
                    self.port,
                    username=self.user,
                    password=secret if keys is None else None,
                    client_keys=keys,
                    known_hosts=known_hosts,
                    x509_trusted_certs=None,
                    config=None,
                    agent_path=None,
                    host_based_auth=False,
                    gss_kex=False,
                    gss_auth=False,
                    encryption_algs=_CIPHERS,
                    compression_algs=None,
                    keepalive_interval=_KEEPALIVE_S,
                    keepalive_count_max=_KEEPALIVE_COUNT,
                    window=_WINDOW_BYTES,
                )
        except (asyncssh.Error, OSError) as error:
            raise self._fault(error, known_hosts) from None

    def _fault(self, error: Exception, known_hosts: asyncssh.SSHKnownHosts) -> ProviderError:
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            known = asyncssh.match_known_hosts(known_hosts, self.host, "", None if self.port == _PORT else self.port)
            if not any(known):
                return PermanentError(
                    f"the server {self.address} is not known: ask who runs it for its host key, and add the key to "
                    f"{str(self.known_hosts)!r} (ssh-keyscan shows what the server says)"
                )
            return PermanentError(
                f"the server {self.address} has another host key than {str(self.known_hosts)!r} says: somebody may "
                "pretend to be it; ask who runs it, and only if the key was changed on purpose replace it in that file"
            )
        if isinstance(error, asyncssh.PermissionDenied):
            what = "this password" if self.private_key is None else f"the key {str(self.private_key)!r}"
            return PermanentError(
                f"the server {self.address} does not accept the user {self.user!r} with {what}: correct the credential"
            )
        if isinstance(error, asyncssh.KeyExchangeFailed):
            return PermanentError(
                f"the server {self.address} and this side have no way of encryption, or kind of host key, in common: "
                f"{shown(str(error))}; see whether {str(self.known_hosts)!r} has a key of a kind that the server has"
            )
        words = "no answer" if isinstance(error, TimeoutError) else shown(str(error))
        return TransientError(f"the server {self.address} cannot be reached: {words}")
