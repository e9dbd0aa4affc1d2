"""Server processes of hosts, as a user starts them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.pages import CHECKOUT, DOCS, blocks

TIMEOUT_S = 60.0

ORDER = {"source": "genomes", "destination": "archive", "file_ids": ["a.fna"]}


def until(met: Callable[[], object], what: str) -> None:
    """The condition is met; an AssertionError says what was waited for in vain."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not met():
        assert time.monotonic() < deadline_s, f"in vain for {TIMEOUT_S:g} s: {what}"
        time.sleep(0.05)


def free_port() -> int:
    """Give a port that nobody listened on just now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


class Site:
    """The folder in which somebody has followed a page, up to where its servers are started.

    Attributes:
        url: where its web server listens.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = os.environ | {
            "DTS_FSM_CONFIG": "dts.yaml",
            "HOME": str(folder),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONUNBUFFERED": "1",
        }

    def save(self, page: str) -> None:
        """The files of the page, and the folders that it transfers between, are there."""
        for block in blocks(DOCS / "how-to" / page):
            block.save(self.folder)
        for name in ("genomes", "archive"):
            (self.folder / name).mkdir()
        (self.folder / "genomes" / "a.fna").write_text("ACGT\n", encoding="utf-8")
        self.run(sys.executable, "-m", "dts_fsm.cli", "catalog", "genomes")

    def run(self, *command: str, code: int = 0) -> str:
        """The command has ended with this code; gives what it said."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert (code, done.stdout) == (done.returncode, done.stdout)
        return done.stdout

    @contextmanager
    def serving(self, *command: str, says: str | None = None, **environment: str) -> Iterator[Server]:
        """Within, the server runs, and is ready: it listens, or has written what it ``says`` then."""
        program = shutil.which(command[0], path=self.environment["PATH"]) or command[0]
        with (self.folder / "server.log").open("a+", encoding="utf-8") as log:
            begins = log.seek(0, os.SEEK_END)
            process = subprocess.Popen(
                [program, *command[1:]], cwd=self.folder, env=self.environment | environment, stdout=log, stderr=log
            )
            server = Server(process, self.folder / "server.log", begins)
            try:
                server.until_ready(lambda: says in server.said() if says else self._listens())
                yield server
            finally:
                server.end()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
        except OSError:
            return False
        return True

    def client(self) -> httpx2.Client:
        """Give a client of the web server, to be closed."""
        headers = {"Authorization": "Bearer token-of-ada"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S, trust_env=False)


class Server:
    """A running server and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, begins: int) -> None:
        self.process, self._log, self._begins = process, log, begins

    def said(self) -> str:
        """What it has written so far."""
        return self._log.read_text(encoding="utf-8")[self._begins :]

    def until_ready(self, ready: Callable[[], object]) -> None:
        """It is ready, or an AssertionError has its log."""

        def come_to_something() -> bool:
            assert self.process.poll() is None, self.said()
            return bool(ready())

        until(come_to_something, "the server is ready")

    def stop(self) -> float:
        """It has ended by itself after SIGTERM; gives the seconds that it took."""
        begun_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(TIMEOUT_S)
        return time.monotonic() - begun_s

    def kill(self) -> None:
        """It was killed."""
        self.process.kill()
        self.process.wait(TIMEOUT_S)

    def end(self) -> None:
        """It has ended, one way or the other."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
