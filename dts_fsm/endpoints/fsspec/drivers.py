"""The drivers of fsspec: made, lent to one call at a time, and asked so that names are names and never patterns."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, cast

from fsspec import AbstractFileSystem, available_protocols, get_filesystem_class

_SAFE_FOR_THREADS = frozenset({"memory"})
"""Besides those whose calls run in a loop of their own (``async_impl``)."""

_IDLE_S = 20.0
"""Servers close connections that are idle; FTP servers after a minute, at the earliest, by their defaults."""

_HARMLESS = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
"""Answers of a service, after which a connection is as good as before."""

_CONNECTIONS = ("ftp", "client", "http")
"""Where drivers, or their clients, have what is to be closed: those of FTP, SFTP and WebDAV."""


class Drivers:
    """File systems of one protocol. Those that are not safe for threads are lent to one call, or writing, at a time.

    Args:
        protocol: the driver's name in fsspec.
        options: what its class is called with.

    Raises:
        ValueError: fsspec knows no such protocol.
        ImportError: the driver's package is not installed; the message says which.
    """

    def __init__(self, protocol: str, options: Mapping[str, Any]) -> None:
        self.protocol = protocol
        self._options = dict(options)
        self._kind: type[AbstractFileSystem] = get_filesystem_class(protocol)
        self._shared = bool(getattr(self._kind, "async_impl", False)) or protocol in _SAFE_FOR_THREADS
        self._lock = threading.Lock()
        self._idle: list[tuple[AbstractFileSystem, float]] = []

    @contextmanager
    def lent(self) -> Iterator[AbstractFileSystem]:
        """Give a file system that nobody else uses until the context ends, unless it is safe for threads.

        One that has failed is not used again: nobody knows in what condition its connection is.
        """
        driver = self.take()
        connection = getattr(driver, "ftp", None)
        try:
            yield driver
        except _HARMLESS:
            self.give_back(driver)
            raise
        except BaseException:
            self.drop(driver)
            raise
        # The driver of FTP connects anew by itself, and then leaves out to protect what it transfers by TLS.
        if getattr(driver, "ftp", None) is connection:
            self.give_back(driver)
        else:
            self.drop(driver)

    def take(self) -> AbstractFileSystem:
        """Give a file system that nobody else uses until it is given back, unless it is safe for threads."""
        stale: list[AbstractFileSystem] = []
        try:
            with self._lock:
                if self._shared and self._idle:
                    return self._idle[0][0]
                since = time.monotonic() - _IDLE_S
                while self._idle:
                    driver, at = self._idle.pop()
                    if at >= since:
                        return driver
                    stale.append(driver)
        finally:
            for driver in stale:
                self.drop(driver)
        driver = self._kind(**self._options, skip_instance_cache=True)
        if self._shared:
            self.give_back(driver)
        return driver

    def give_back(self, driver: AbstractFileSystem) -> None:
        """Others may have it."""
        with self._lock:
            if not self._shared or not self._idle:
                self._idle.append((driver, time.monotonic()))

    def drop(self, driver: AbstractFileSystem) -> None:
        """Nobody has it any more, and what it has open is closed where it is known how."""
        if self._shared:
            return
        client = getattr(driver, "client", None)
        for holder in (driver, client):
            for name in _CONNECTIONS:
                with suppress(Exception):
                    getattr(holder, name).close()

    def close(self) -> None:
        """Nothing that is idle stays open. More can be had after that. Idempotent."""
        with self._lock:
            idle, self._idle = self._idle, []
        for driver, _ in idle:
            self.drop(driver)

    def stripped(self, path: str) -> str:
        """Give the path as the driver writes it."""
        return cast(str, self._kind._strip_protocol(path))

    @property
    def can_rename(self) -> bool:
        """False for a driver that has neither a way to rename a file nor one to copy it within its service."""
        return self._has("mv") or self._has("cp_file") or self._has("_cp_file")

    def _has(self, method: str) -> bool:
        own = getattr(self._kind, method, None)
        bases = [base for base in self._kind.__mro__ if base.__module__ in ("fsspec.spec", "fsspec.asyn")]
        return own is not None and all(own is not getattr(base, method, None) for base in bases)

    def rename(self, driver: AbstractFileSystem, source: str, target: str, *, exclusive: bool) -> None:
        """Give the file another name, in one step where the service has one, else by a copy within the service.

        Never by what fsspec itself offers: it takes both names for patterns.
        """
        if self.protocol in ("webdav", "dav"):
            driver.client.move(source, target, overwrite=not exclusive)
        elif self._has("mv"):
            driver.mv(source, target)
        else:
            driver.cp_file(source, target)
            driver.rm_file(source)


def protocols() -> list[str]:
    """Give the protocols that fsspec knows, whether their drivers are installed or not."""
    return sorted(available_protocols())


def found(driver: AbstractFileSystem, path: str) -> Mapping[str, Any]:
    """Give what the service says of a path now: nothing that was remembered.

    Raises:
        FileNotFoundError: there is nothing.
    """
    driver.invalidate_cache()
    return cast(Mapping[str, Any], driver.info(path))


def names(driver: AbstractFileSystem, folder: str) -> list[str]:
    """Give the names of what is in a folder now."""
    driver.invalidate_cache()
    return [str(entry["name"]).rstrip("/").rpartition("/")[2] for entry in driver.ls(folder, detail=True)]


def read(driver: AbstractFileSystem, path: str, start: int, stop: int) -> bytes:
    """Give the bytes from ``start`` up to before ``stop``; fewer where the file ends."""
    pieces = []
    while start < stop and (piece := driver.cat_file(path, start=start, end=stop)):
        pieces.append(piece)
        start += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def make_folders(driver: AbstractFileSystem, root: str, parts: list[str]) -> None:
    """The folder below the root is there; several threads may make it at once."""
    folder = root
    for part in parts:
        folder = f"{folder}/{part}"
        try:
            driver.mkdir(folder, create_parents=False)
        except Exception:  # each driver has errors of its own for a folder that is there
            driver.invalidate_cache()
            if not driver.isdir(folder):
                raise


def abandon(stream: Any) -> None:
    """Nothing more of a file that is being written is sent, where the driver has a way to say so."""
    with suppress(Exception):
        stream.discard()
    with suppress(Exception):
        if hasattr(stream, "forced"):  # fsspec's own kind of file: to close it would send what it has buffered
            stream.closed = True
        else:
            stream.close()
