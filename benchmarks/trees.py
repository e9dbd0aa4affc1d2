"""Moves to and from a folder of an SFTP server on this machine, by endpoints and by OpenSSH's client."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.copying import make_equal, moved_between
from benchmarks.meter import Meter
from dts_fsm.config import EndpointConfig
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.endpoints.sftp.endpoint import SftpEndpoint


def put(folder: Path, *, source: str, server: Mapping[str, str], root: str) -> dict[str, float]:
    """The source folder was moved to the server; each file compared with its SHA-256 when it was there."""
    (Path(server["files"]) / root).mkdir()
    return moved_between(LocalEndpoint(root=source), _tree(server, root), Path(source), folder)


def get(folder: Path, *, source: str, server: Mapping[str, str], root: str) -> dict[str, float]:
    """What the server has in that folder, the same as in the source folder, was moved to a folder."""
    target = folder / "copy"
    target.mkdir()
    figures = moved_between(_tree(server, root), LocalEndpoint(root=target, durable="none"), Path(source), folder)
    shutil.rmtree(target)
    return figures


def put_by_sftp(folder: Path, *, source: str, server: Mapping[str, str], root: str) -> dict[str, float]:
    """The same by OpenSSH's client, which compares nothing."""
    make_equal(Path(source), folder)
    (Path(server["files"]) / root).mkdir()
    return _sftp(server, f"put -R {source}/. {server['files']}/{root}")


def get_by_sftp(folder: Path, *, source: str, server: Mapping[str, str], root: str) -> dict[str, float]:
    """The same by OpenSSH's client, which compares nothing."""
    target = folder / "copy"
    target.mkdir()
    make_equal(Path(source), folder)
    figures = _sftp(server, f"get -R {server['files']}/{root}/* {target}")
    shutil.rmtree(target)
    return figures


def _tree(server: Mapping[str, str], root: str) -> SftpEndpoint:
    options = {**server, "port": int(server["port"]), "durable": False}
    folder = f"{options.pop('files')}/{root}"
    return SftpEndpoint.from_config(EndpointConfig(key="tree", provider="sftp", root=folder, options=options))


def _sftp(server: Mapping[str, str], commands: str) -> dict[str, float]:
    settings = {
        "Port": server["port"],
        "User": server["user"],
        "IdentityFile": server["private_key"],
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": server["known_hosts"],
    }
    command = ["sftp", "-q", "-F", "none", *(f"-o{name}={value}" for name, value in settings.items())]
    with Meter() as meter:
        subprocess.run(
            [*command, "-b", "-", server["host"]],
            input=f"{commands}\n".encode(),
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return meter.figures
