"""What a matrix of endpoints needs of each kind: how it is configured, how files come there, and what it has."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs

from tests.servers.ftp import PASSWORD, FtpServer
from tests.servers.nginx import Nginx
from tests.servers.s3 import S3Server
from tests.servers.sftp import SftpServer

Digests = Mapping[str, str]
"""The SHA-256 of each file, by its path."""


@attrs.frozen(kw_only=True)
class Place:
    """An endpoint for one test, with nothing at it but what the test puts there.

    Attributes:
        config: its section of a configuration.
        put: has all files of a folder there, below its root.
        digests: gives what is there.
    """

    config: Mapping[str, Any]
    put: Callable[[Path], None]
    digests: Callable[[], Digests]


def digests_of(folder: Path) -> Digests:
    """Give what is in a folder."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def local(folder: Path) -> Place:
    """A folder of this machine."""
    folder.mkdir()

    def put(source: Path) -> None:
        shutil.copytree(source, folder, dirs_exist_ok=True)

    return Place(config={"provider": "local", "root": str(folder)}, put=put, digests=lambda: digests_of(folder))


def web(nginx: Nginx) -> Place:
    """A folder of a web server."""
    folder = nginx.folder / uuid4().hex

    def put(source: Path) -> None:
        shutil.copytree(source, folder)

    config = {"provider": "http", "url": nginx.secure_url, "ca_file": nginx.ca_file, "root": f"/{folder.name}"}
    return Place(config=config, put=put, digests=lambda: digests_of(folder))


def tree(server: SftpServer) -> Place:
    """A folder of an SFTP server."""
    folder = server.folder()
    given = server.config(folder)

    def put(source: Path) -> None:
        shutil.copytree(source, folder, dirs_exist_ok=True)

    config = {"provider": "sftp", "root": str(folder), **given.options}
    return Place(config=config, put=put, digests=lambda: digests_of(folder))


def ftp(server: FtpServer) -> Place:
    """A folder of an FTP server, by its driver of fsspec."""
    folder = server.folder / uuid4().hex
    folder.mkdir()

    def put(source: Path) -> None:
        shutil.copytree(source, folder, dirs_exist_ok=True)

    options = {**server.options, "password": PASSWORD}
    config = {"provider": "fsspec", "protocol": "ftp", "root": f"/{folder.name}", "storage_options": options}
    return Place(config=config, put=put, digests=lambda: digests_of(folder))


def bucket(server: S3Server) -> Place:
    """A prefix of a bucket."""
    prefix = uuid4().hex
    client = server.client()
    config = {
        "provider": "s3",
        "bucket": server.bucket,
        "endpoint_url": server.url,
        "access_key_id": server.access_key,
        "secret_key": server.secret,
        "root": f"/{prefix}",
    }

    def put(source: Path) -> None:
        for path in source.rglob("*"):
            if path.is_file():
                client.upload_file(str(path), server.bucket, f"{prefix}/{path.relative_to(source).as_posix()}")

    def digests() -> Digests:
        found = client.list_objects_v2(Bucket=server.bucket, Prefix=f"{prefix}/").get("Contents", [])
        return {
            item["Key"].removeprefix(f"{prefix}/"): hashlib.file_digest(
                client.get_object(Bucket=server.bucket, Key=item["Key"])["Body"], "sha256"
            ).hexdigest()
            for item in found
        }

    return Place(config=config, put=put, digests=digests)
