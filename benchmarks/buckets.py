"""Moves to and from a bucket of a server on this machine, by endpoints and by rclone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.copying import make_equal, moved_between
from benchmarks.meter import Meter
from dts_fsm.config import EndpointConfig, Secret
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.endpoints.s3.endpoint import S3Endpoint

WORKERS = 16
"""How many files are moved at once, by each of them."""


def put(folder: Path, *, source: str, server: Mapping[str, str], root: str) -> dict[str, float]:
    """The source folder was moved to the bucket, below the root; each file compared with its SHA-256."""
    return moved_between(LocalEndpoint(root=source, workers=WORKERS), _bucket(server, root), Path(source), folder)


def get(folder: Path, *, source: str, server: Mapping[str, str], root: str) -> dict[str, float]:
    """What is below the root of the bucket, and the same as in the source folder, was moved to a folder."""
    target = folder / "copy"
    target.mkdir()
    there = LocalEndpoint(root=target, durable="none")
    figures = moved_between(_bucket(server, root), there, Path(source), folder)
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
