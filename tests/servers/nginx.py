"""A real web server on free ports of this machine: nginx, plain and with TLS."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from tests.servers.process import program, running
from tests.servers.web import authority, free_port

_CONFIG = """
{user}
daemon off;
master_process off;
worker_processes 1;
error_log stderr;
pid {folder}/pid;
events {{ worker_connections 256; }}
http {{
    log_format told '$http_x_run $request_uri $status $body_bytes_sent';
    access_log {folder}/access.log told;
    client_body_temp_path {folder}/temp;
    proxy_temp_path {folder}/temp;
    fastcgi_temp_path {folder}/temp;
    uwsgi_temp_path {folder}/temp;
    scgi_temp_path {folder}/temp;
    root {files};
    server {{
        listen 127.0.0.1:{port};
        location /whole/ {{ alias {files}/; max_ranges 0; }}
        location /closed/ {{ auth_basic closed; auth_basic_user_file {folder}/users; alias {files}/; }}
        location /denied/ {{ deny all; }}
    }}
    server {{
        listen 127.0.0.1:{secure_port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location /down/ {{ return 302 http://127.0.0.1:{port}/; }}
    }}
}}
"""


@attrs.frozen(kw_only=True)
class Nginx:
    """Where the server is.

    Attributes:
        folder: the files that it has; below ``/whole/`` it has them without ranges, below ``/closed/`` for the user ada
            with the password "pa55" alone, below ``/denied/`` for nobody. Below ``/down/`` of ``secure_url`` it
            redirects to plain http.
        url, secure_url: without a slash at the end.
        ca_file: the certificate of the authority that vouches for it.
        access_log: a line for each request that has been answered: its header ``X-Run``, what it asked for, the
            status, and how many bytes of the body were sent.
    """

    folder: Path
    url: str
    secure_url: str
    ca_file: str
    access_log: Path


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """A server that runs until the tests end."""
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "files").mkdir()
    with serving_files(folder, folder / "files") as server:
        yield server


@contextmanager
def serving_files(folder: Path, files: Path) -> Iterator[Nginx]:
    """A server has these files; what it needs besides is in a folder of its own."""
    trusted, port, secure_port = authority(folder), free_port(), free_port()
    (folder / "users").write_text("ada:{PLAIN}pa55\n", encoding="utf-8")
    config = _CONFIG.format(
        folder=folder,
        files=files,
        user="user root;" if os.geteuid() == 0 else "",  # the folders of tests are for their owner alone
        port=port,
        secure_port=secure_port,
        certificate=trusted.certificate,
        key=trusted.key,
    )
    (folder / "nginx.conf").write_text(config, encoding="utf-8")
    arguments = [program("nginx", "apt-get install nginx-light"), "-p", str(folder), "-c", str(folder / "nginx.conf")]

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", secure_port)) == 0

    with running(arguments, folder=folder, ready=answers):
        yield Nginx(
            folder=files,
            url=f"http://127.0.0.1:{port}",
            secure_url=f"https://127.0.0.1:{secure_port}",
            ca_file=trusted.ca_file,
            access_log=folder / "access.log",
        )
