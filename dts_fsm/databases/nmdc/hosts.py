"""At which endpoint a file is, and under which path: both come from its URL."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

import attrs

from dts_fsm.errors import InvalidDatabaseConfigError, InvalidDescriptorError
from dts_fsm.records.checks import shown

DEFAULT_HOSTS = {"data.microbiomedata.org/data": "nersc", "nmdcdemo.emsl.pnnl.gov": "emsl"}
"""Where NMDC's files are, and what DTS's configurations call the endpoints that have them.

Source: NMDC documentation, "Using Globus to access NMDC data".
"""


def endpoint_by_host(said: Mapping[str, object] | None, endpoints: Mapping[str, str]) -> dict[str, str]:
    """Give the endpoint of each host: as the configuration says, or as NMDC's own hosts are called by DTS's users.

    Args:
        said: endpoint by host, where an endpoint may stand under its functional name; None, or nothing: NMDC's own.
        endpoints: those of the database, by functional name.

    Raises:
        InvalidDatabaseConfigError: an endpoint is no text; or nothing tells which host is at which endpoint.
    """
    if said:
        names = {host: name for host, name in said.items() if isinstance(name, str)}
        if len(names) < len(said):
            raise InvalidDatabaseConfigError("must be endpoints by host: {data.example.org: tape}", key="hosts")
        return {host: endpoints.get(name, name) for host, name in names.items()}
    found = {host: endpoints[functional] for host, functional in DEFAULT_HOSTS.items() if functional in endpoints}
    if not found:
        raise InvalidDatabaseConfigError(
            "is missing: say at which endpoint the files of a host are, or call the endpoints nersc and emsl",
            key="hosts",
        )
    return found


@attrs.frozen
class _Place:
    """A host, perhaps with a port, the folder there that is an endpoint's root ("" or "/a/b"), and the endpoint."""

    host: str
    folder: str
    endpoint: str


class Hosts:
    """Finds endpoint and path of a URL.

    Args:
        endpoints: by host, "data.example.org", or by host and folder, "data.example.org/public", where the folder is
            the endpoint's root. The longest one that fits counts.

    Raises:
        InvalidDatabaseConfigError: a host cannot be read.
    """

    def __init__(self, endpoints: Mapping[str, str]) -> None:
        places = [_place(key, endpoint) for key, endpoint in endpoints.items()]
        self._places = sorted(places, key=lambda place: len(place.folder), reverse=True)

    def located(self, file_id: str, url: str) -> tuple[str, str]:
        """Give endpoint and path of the file at a URL; the path is relative to the endpoint's root, and decoded.

        Raises:
            InvalidDescriptorError: no endpoint has this host, or the URL is none of a file.
        """
        try:
            parts = urlsplit(url)
            host = _host(parts)
        except ValueError as error:
            raise InvalidDescriptorError(file_id, f"its URL {shown(url)} cannot be read: {error}") from error
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
            raise InvalidDescriptorError(file_id, f"its URL {shown(url)} is not one of a file at a web server")
        if parts.query or parts.fragment:
            raise InvalidDescriptorError(file_id, f"its URL {shown(url)} has more than a path: it names no file")
        for place in self._places:
            if host == place.host and parts.path.startswith(f"{place.folder}/"):
                return place.endpoint, _decoded(file_id, parts.path.removeprefix(f"{place.folder}/"))
        known = ", ".join(sorted(place.host + place.folder for place in self._places))
        raise InvalidDescriptorError(
            file_id, f"it is at {shown(url)}, and no endpoint is known for that; known are: {known}; see 'hosts'"
        )


def _place(key: object, endpoint: str) -> _Place:
    text = key if isinstance(key, str) else ""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host = _host(parts)
    except ValueError:
        host = ""
    if not host or parts.query or parts.fragment or "@" in parts.netloc or parts.scheme not in ("", "http", "https"):
        raise InvalidDatabaseConfigError(
            f"{shown(key)} is not a host, nor a host and a folder, as in 'data.example.org/public'", key="hosts"
        )
    return _Place(host, parts.path.rstrip("/"), endpoint)


def _host(parts: SplitResult) -> str:
    port = parts.port
    if port is None or port == {"http": 80, "https": 443}.get(parts.scheme):
        return parts.hostname or ""
    return f"{parts.hostname}:{port}"


def _decoded(file_id: str, path: str) -> str:
    try:
        pieces = [unquote(piece, errors="strict") for piece in path.split("/")]
    except UnicodeDecodeError as error:
        raise InvalidDescriptorError(file_id, f"the path of its URL is not UTF-8: {shown(path)}") from error
    if any("/" in piece for piece in pieces):
        raise InvalidDescriptorError(file_id, f"the path of its URL hides a slash: {shown(path)}")
    return "/".join(pieces)
