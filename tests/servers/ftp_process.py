"""Serves a folder over FTP until its parent has gone: ``ftp_process.py FOLDER USER PASSWORD`` prints the port."""

from __future__ import annotations

import os
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer


def main(folder: str, user: str, password: str) -> None:
    """Serve; does not return before the parent has gone."""
    parent = os.getppid()
    FTPHandler.authorizer = DummyAuthorizer()
    FTPHandler.authorizer.add_user(user, password, folder, perm="elradfmwMT")
    FTPHandler.auth_failed_timeout = 0
    server = FTPServer(("127.0.0.1", 0), FTPHandler)
    sys.stdout.write(f"{server.socket.getsockname()[1]}\n")
    sys.stdout.flush()
    while os.getppid() == parent:  # who is killed cannot stop it
        server.ioloop.loop(timeout=0.5, blocking=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
