"""Moves to and from a bucket of a server on this machine, by endpoints and by rclone."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from benchmarks.copying import checksum_of, make_equal, paths_below
from benchmarks.meter import Meter, peak_bytes
from dts_fsm.config import EndpointConfig, Secret
from dts_fsm.endpoints.endpoint import MovingEndpoint
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.endpoints.s3.endpoint import S3Endpoint
from dts_fsm.records import FileTransfer, OperationCode

WORKERS = 16
"""How many files are moved at once, by each of them."""

_LOOK_S = 0.002


def put(folder: Path, *, source: str, server: Mapping[str, str], root: str) -> dict[str, float]:
    """The source folder was moved to the bucket, below the root; each file compared with its SHA-256."""
    make_equal(Path(source), folder)
    return _moved(LocalEndpoint(root=source, workers=WORKERS), _bucket(server, root), Path(source))


def get(folder: Path, *, source: str, server: Mapping[str, str], root: str) -> dict[str, float]:
    """What is below the root of the bucket, and the same as in the source folder, was moved to a folder."""
    target = folder / "copy"
    target.mkdir()
    make_equal(Path(source), folder)
    figures = _moved(_bucket(server, root), LocalEndpoint(root=target, durable="none"), Path(source))
    shutil.rmtree(target)
    return figures


def put_by_rclone(folder: Path, *, source: str, server: Mapping[str, str], root: str) -> dict[str, float]:
    """The same by rclone."""
    make_equal(Path(source), folder)
    return _rclone(server, source, _remote(server, root))


def get_by_rclone(folder: Path, *, source: str, server: Mapping[str, str], root: str) -> dict[str, float]:
    """The same by rclone."""
    target = folder / "copy"
    make_equal(Path(source), folder)
    figures = _rclone(server, _remote(server, root), str(target))
    shutil.rmtree(target)
    return figures


def _moved(here: MovingEndpoint, there: MovingEndpoint, source: Path) -> dict[str, float]:
    files = [
        FileTransfer(
            id=name,
            source_path=name,
            destination_path=name,
            bytes=path.stat().st_size,
            hash=checksum_of(path, "sha256"),
        )
        for path in paths_below(source)
        for name in [path.relative_to(source).as_posix()]
    ]
    with Meter() as meter:
        id_ = here.transfer(there, files, operation_id=uuid4())
        while (status := here.statuses([id_])[id_]).code is OperationCode.RUNNING:
            time.sleep(_LOOK_S)
    here.close()
    there.close()
    if status.code is not OperationCode.SUCCEEDED:
        raise RuntimeError(status.message)
    return {**meter.figures, "peak_bytes": peak_bytes()}


def _bucket(server: Mapping[str, str], root: str) -> S3Endpoint:
    options = {
        "bucket": server["bucket"],
        "endpoint_url": server["url"],
        "access_key_id": server["access_key"],
        "secret_key": Secret(server["secret"]),
        "workers": WORKERS,
    }
    return S3Endpoint.from_config(EndpointConfig(key="store", provider="s3", root=f"/{root}", options=options))


def _remote(server: Mapping[str, str], root: str) -> str:
    return f"bench:{server['bucket']}/{root}"


def _rclone(server: Mapping[str, str], source: str, target: str) -> dict[str, float]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_BENCH_TYPE": "s3",
        "RCLONE_CONFIG_BENCH_PROVIDER": "Other",
        "RCLONE_CONFIG_BENCH_ENDPOINT": server["url"],
        "RCLONE_CONFIG_BENCH_REGION": "us-east-1",
        "RCLONE_CONFIG_BENCH_FORCE_PATH_STYLE": "true",
        "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": server["access_key"],
        "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": server["secret"],
    }
    with Meter() as meter:
        subprocess.run(["rclone", "copy", f"--transfers={WORKERS}", "-q", source, target], env=environment, check=True)
    return meter.figures
