"""The connection of an endpoint: one event loop in a thread, for callers from many threads."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, TypeVar

import asyncssh
import attrs

from dts_fsm.endpoints.sftp.login import Login
from dts_fsm.errors import PermanentError, ProviderError, TransientError
from dts_fsm.records.checks import shown

T = TypeVar("T")

_MAX_SESSIONS = 8
"""Of one connection. Source: OpenSSH, sshd_config(5): MaxSessions is 10."""

_PAUSE_S = {True: 1.0, False: 30.0}
"""How long a login is not tried again, by whether it may go better: who tries often is shut out."""

_END_S = 2.0
"""How long a connection may take to end."""

_LOST = (
    asyncssh.SFTPConnectionLost,
    asyncssh.SFTPNoConnection,
    asyncssh.DisconnectError,
    asyncssh.ChannelOpenError,
    ConnectionError,
)


@attrs.define(kw_only=True, eq=False)
class Session:
    """One process of the server that answers requests, in their order.

    Attributes:
        sftp: makes the requests; only within ``Sessions.run``.
        root: the folder below which everything lies, without links, and without "/" at its end.
        num_acts: how many calls are under way.
    """

    sftp: asyncssh.SFTPClient
    root: bytes
    num_acts: int = 0


class Sessions:
    """One connection, made when it is needed, and made again after it broke; safe for threads.

    Args:
        name: the endpoint's name; for messages.
        login: where and as whom.
        root: the folder; a relative one starts where a login begins.
        most: how many sessions there are at most.
        timeout_s: how long one call may take; after that the connection is given up.
    """

    def __init__(self, *, name: str, login: Login, root: str, most: int, timeout_s: float) -> None:
        self.login, self.root = login, root
        self._name, self._timeout_s = name, timeout_s
        self._most = min(most, _MAX_SESSIONS)
        self._lock = threading.Lock()
        self._loop: _Loop | None = None

    def run(self, act: Callable[[Session], Awaitable[T]], path: str, *, session: Session | None = None) -> T:
        """Give what ``act`` gives, which runs in the loop's thread.

        Args:
            act: gets a session; its errors from the server are translated, others are raised as they are.
            path: what it is about; for messages.
            session: the one that it must have; by default any.

        Raises:
            TransientError: the server cannot be reached, is silent, the connection broke, or that session has ended.
            PermanentError: it refuses the login, or the request for good.
            PermissionError: it denies the request.
        """
        with self._lock:  # what is handed over before the loop is told to stop is ended by it
            loop = self._loop
            if loop is None or not loop.is_alive():
                if session is not None:
                    raise self._lost(path, "it was closed")
                loop = self._loop = _Loop(f"dts-{self._name}-sftp")
            future = loop.submit(self._bounded(loop, act, path, session))
        try:
            return future.result()
        except CancelledError:
            raise self._lost(path, "it was closed") from None

    def close(self) -> None:
        """The connection has ended, and what was under way with it. Idempotent; the next call begins a new one."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()

    # In the loop's thread

    async def _bounded(
        self, loop: _Loop, act: Callable[[Session], Awaitable[T]], path: str, session: Session | None
    ) -> T:
        task = asyncio.ensure_future(self._act(loop, act, path, session))
        done, _ = await asyncio.wait({task}, timeout=self._timeout_s)
        if not done:  # waiting for answers that never come, it would not even end when it is canceled
            loop.abort()
            task.cancel()
            await asyncio.wait({task})
            raise TransientError(f"{path}: the server {self.login.address} gave no answer for {self._timeout_s:g} s")
        return task.result()

    async def _act(self, loop: _Loop, act: Callable[[Session], Awaitable[T]], path: str, session: Session | None) -> T:
        chosen = session or await self._session(loop)
        chosen.num_acts += 1
        try:
            return await act(chosen)
        except _LOST as error:
            loop.forget(chosen)
            raise self._lost(path, shown(str(error))) from None
        except asyncssh.SFTPError as error:
            raise self._refused(path, error) from None
        except (asyncssh.Error, LookupError, ValueError) as error:  # what becomes of answers that make no sense
            loop.forget(chosen)
            raise self._lost(path, shown(str(error))) from None
        finally:
            chosen.num_acts -= 1

    async def _session(self, loop: _Loop) -> Session:
        """Give the session with the least to do; a new one where all have something and there may be more."""
        async with loop.changing:
            if loop.connection is None or loop.connection.is_closed():
                loop.connection, loop.sessions, loop.most = None, [], self._most
                loop.connection = await self._connected(loop)
            if len(loop.sessions) < loop.most and all(session.num_acts for session in loop.sessions):
                try:
                    sftp = await loop.connection.start_sftp_client(path_encoding=None)
                    loop.sessions.append(Session(sftp=sftp, root=await self._real_root(sftp)))
                except _LOST as error:
                    if not loop.sessions:
                        loop.abort()
                        raise self._lost(self.root, shown(str(error))) from None
                    loop.most = len(loop.sessions)  # the server allows no more
                except asyncssh.SFTPError as error:
                    raise self._refused(self.root, error) from None
            return min(loop.sessions, key=lambda session: session.num_acts)

    async def _connected(self, loop: _Loop) -> asyncssh.SSHClientConnection:
        if loop.fault is not None and time.monotonic() < loop.retry_at:
            raise type(loop.fault)(str(loop.fault))
        try:
            connection = await self.login.connect()
        except (PermanentError, TransientError) as error:
            fault: ProviderError = type(error)(f"the endpoint {self._name!r}: {error}")
            loop.fault, loop.retry_at = fault, time.monotonic() + _PAUSE_S[isinstance(error, TransientError)]
            raise fault from None
        loop.fault = None
        return connection

    async def _real_root(self, sftp: asyncssh.SFTPClient) -> bytes:
        try:
            root = await real_path(sftp, self.root.encode())
            is_folder = (await sftp.stat(root)).type == asyncssh.FILEXFER_TYPE_DIRECTORY
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            is_folder = False
        if not is_folder:
            sftp.exit()
            raise PermanentError(
                f"the endpoint {self._name!r}: {self.root!r} is not an existing folder of the server "
                f"{self.login.address}: make it, or correct the root"
            )
        return root.rstrip(b"/")

    # Errors

    def _lost(self, path: str, words: str) -> TransientError:
        return TransientError(f"{path}: the connection to {self.login.address} broke: {words}")

    def _refused(self, path: str, error: asyncssh.SFTPError) -> Exception:
        text = f"the server {self.login.address} says of {path!r}: {shown(error.reason)}"
        if isinstance(error, asyncssh.SFTPPermissionDenied | asyncssh.SFTPWriteProtect):
            return PermissionError(errno.EACCES, text)
        if isinstance(error, asyncssh.SFTPNoSpaceOnFilesystem | asyncssh.SFTPQuotaExceeded):
            return OSError(errno.ENOSPC, text)
        if isinstance(error, asyncssh.SFTPBadMessage | asyncssh.SFTPInvalidFilename):
            return PermanentError(f"{text}: the name may be too long, or not one that the server can write")
        if isinstance(error, asyncssh.SFTPOpUnsupported):
            return PermanentError(f"{text}: it lacks what is needed")
        # of a full disk, and of much else, OpenSSH says no more than "Failure"
        return TransientError(f"{text}; see whether the server's disk is full")


class _Loop:
    """An event loop in a thread, the connection that it carries, and what is known of it.

    But for ``submit``, ``stop`` and ``is_alive``, all of it belongs to its thread.
    """

    def __init__(self, name: str) -> None:
        self.connection: asyncssh.SSHClientConnection | None = None
        self.sessions: list[Session] = []
        self.most = 1
        self.fault: ProviderError | None = None
        self.retry_at = 0.0
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(ready)), name=name, daemon=True)
        self._thread.start()
        ready.wait()

    async def _main(self, ready: threading.Event) -> None:
        self._loop, self._stopped, self.changing = asyncio.get_running_loop(), asyncio.Event(), asyncio.Lock()
        ready.set()
        await self._stopped.wait()
        connection = self.connection
        self.abort()
        if connection is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(connection.wait_closed(), _END_S)

    def is_alive(self) -> bool:
        """False in a forked process: threads are not forked."""
        return self._thread.is_alive()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Give the result that is to come."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self) -> None:
        """The loop has ended, and what is under way is canceled."""
        if self.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(2 * _END_S)

    def abort(self) -> None:
        """There is no connection; who waits for an answer hears of it."""
        if self.connection is not None:
            self.connection.abort()
        self.connection, self.sessions = None, []

    def forget(self, session: Session) -> None:
        """It is used no more."""
        if session in self.sessions:
            self.sessions.remove(session)
            session.sftp.exit()


async def real_path(sftp: asyncssh.SFTPClient, path: bytes) -> bytes:
    """Give what the server makes of a path: absolute, and without links."""
    real = await sftp.realpath(path)
    if not isinstance(real, bytes):
        raise PermanentError(f"the server gave a path that is none: {shown(real)}")
    return real
