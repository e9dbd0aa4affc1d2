"""Serves a folder over WebDAV until its parent has gone: ``webdav_process.py FOLDER USER PASSWORD`` prints the port."""

from __future__ import annotations

import os
import sys
import threading
import time

from cheroot.wsgi import Server
from wsgidav.wsgidav_app import WsgiDAVApp


def main(folder: str, user: str, password: str) -> None:
    """Serve; does not return before the parent has gone."""
    parent = os.getppid()
    config = {
        "provider_mapping": {"/": folder},
        "simple_dc": {"user_mapping": {"*": {user: {"password": password}}}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "verbose": 1,
    }
    server = Server(("127.0.0.1", 0), WsgiDAVApp(config), numthreads=10)
    server.prepare()
    threading.Thread(target=server.serve, daemon=True).start()
    sys.stdout.write(f"{server.bind_addr[1]}\n")
    sys.stdout.flush()
    while os.getppid() == parent:  # who is killed cannot stop it
        time.sleep(0.5)


if __name__ == "__main__":
    main(*sys.argv[1:])
