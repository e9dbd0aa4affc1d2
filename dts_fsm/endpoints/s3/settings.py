"""What the configuration says of a bucket, checked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import attrs

from dts_fsm.config import Secret
from dts_fsm.errors import InvalidEndpointConfigError
from dts_fsm.records.checks import path_fault

if TYPE_CHECKING:
    from dts_fsm.config import EndpointConfig

MIN_PART_BYTES = 5 << 20
MAX_PART_BYTES = 5 << 30
MAX_PARTS = 9999
"""One less than a service takes: the last number marks whose upload it is.

Source: Amazon S3 user guide, "Amazon S3 multipart upload limits": parts of 5 MiB to 5 GiB, 10,000 of them.
"""

CHECKSUMS = ("crc64nvme", "crc32c", "sha256", "md5")
"""What a service can be sent with each part, to compare with what it has received."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")

_OPTIONS: dict[str, type] = {
    "bucket": str,
    "region": str,
    "endpoint_url": str,
    "path_style": bool,
    "disable_ssl": bool,
    "profile": str,
    "anonymous": bool,
    "access_key_id": str,
    "secret_key": Secret,
    "session_token": Secret,
    "checksum": str,
    "etag_md5": bool,
    "part_bytes": int,
    "max_parts": int,
    "copy_part_bytes": int,
    "workers": int,
    "default_checksum": str,
    "data_path": str,
}
_OTHER_NAMES = {"base_url": "endpoint_url", "use_path_style": "path_style", "base_path": "root"}
"""As versions of DTS call them."""

_KINDS = {str: "text", bool: "true or false", int: "a whole number", Secret: "a Secret"}


@attrs.frozen(kw_only=True)
class S3Settings:
    """How a bucket is reached, and how its files are written.

    Attributes:
        bucket: its name.
        prefix: how the keys of all files begin: "" or something that ends with "/".
        region: where the service has it; None: as the environment or the profile says, else "us-east-1".
        endpoint_url: of the service; None: Amazon's.
        path_style: whether the bucket is named in the path of URLs, not in the host.
        profile: of the files of the AWS command; None: the default.
        anonymous: requests are not signed.
        access_key_id, secret_key, session_token: None: as environment, profile or machine give them.
        checksum: one of ``CHECKSUMS``.
        etag_md5: whether ETags that look like MD5 digests are taken for those.
        part_bytes: the size of parts, unless a file needs larger ones.
        max_parts: how many parts a file has at most.
        copy_part_bytes: files up to this size are copied at once, larger ones in such parts.
    """

    bucket: str
    prefix: str = ""
    region: str | None = None
    endpoint_url: str | None = None
    path_style: bool = False
    profile: str | None = None
    anonymous: bool = False
    access_key_id: str | None = None
    secret_key: Secret | None = None
    session_token: Secret | None = None
    checksum: str = CHECKSUMS[0]
    etag_md5: bool = True
    part_bytes: int = 8 << 20
    max_parts: int = MAX_PARTS
    copy_part_bytes: int = MAX_PART_BYTES

    def reaches(self, other: S3Settings) -> bool:
        """Whether requests of this bucket's can name keys of the other: one service, and one who asks it."""
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("endpoint_url", "region", "profile", "anonymous", "access_key_id", "secret_key")
        )

    def part_bytes_of(self, num_bytes: int) -> int:
        """Give the size of the parts of a file: the service takes only so many."""
        return max(self.part_bytes, -(-num_bytes // self.max_parts))

    @classmethod
    def from_config(cls, config: EndpointConfig) -> tuple[Self, dict[str, Any]]:
        """Give the settings of a section of the configuration, and the options that are the endpoint's.

        Raises:
            InvalidEndpointConfigError: an option is unknown, of the wrong kind, or contradicts another.
        """
        return _Reading(config).settings(cls)


class _Reading:
    def __init__(self, config: EndpointConfig) -> None:
        self._config = config
        self._values: dict[str, Any] = {}

    def settings(self, kind: type[S3Settings]) -> tuple[Any, dict[str, Any]]:
        for option, value in self._config.options.items():
            self._read(option, value)
        values = self._values
        if not _BUCKET.fullmatch(values.get("bucket", "")):
            raise self._fault("bucket", "must be the name of a bucket")
        for name in ("workers", "part_bytes", "max_parts", "copy_part_bytes"):
            if values.get(name, 1) < 1:
                raise self._fault(name, "must be above 0")
        for name in ("part_bytes", "copy_part_bytes"):
            if not MIN_PART_BYTES <= values.get(name, MIN_PART_BYTES) <= MAX_PART_BYTES:
                raise self._fault(name, f"must be from {MIN_PART_BYTES} (5 MiB) to {MAX_PART_BYTES} (5 GiB)")
        if values.get("max_parts", 1) > MAX_PARTS:
            raise self._fault("max_parts", f"can be {MAX_PARTS} at most")
        if values.get("checksum", CHECKSUMS[0]) not in CHECKSUMS:
            raise self._fault("checksum", f"must be one of {', '.join(CHECKSUMS)}")
        self._address()
        self._identity()
        values["prefix"] = self._prefix()
        own = {field.name for field in attrs.fields(kind)}
        theirs = {name: value for name, value in values.items() if name not in own}
        return kind(**{name: value for name, value in values.items() if name in own}), theirs

    def _read(self, option: str, value: Any) -> None:
        name = _OTHER_NAMES.get(option, option)
        if name == "root":
            if self._config.root not in ("", "/"):
                raise self._fault(option, "stands beside 'root': give one of them")
            expected: type = str
        elif name not in _OPTIONS:
            known = ", ".join((*_OPTIONS, *_OTHER_NAMES))
            raise self._fault(option, f"an s3 endpoint has no such option: it has {known}")
        elif name in self._values:
            raise self._fault(option, f"stands beside {name!r}, and means the same: give one of them")
        else:
            expected = _OPTIONS[name]
        if value is None:
            return
        if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
            raise self._fault(option, f"must be {_KINDS[expected]}")
        self._values[name] = value

    def _address(self) -> None:
        plain, url = self._values.pop("disable_ssl", False), self._values.get("endpoint_url") or None
        self._values["endpoint_url"] = url
        if url is None:
            if plain:
                raise self._fault("disable_ssl", "needs an endpoint_url: Amazon's service is asked by https alone")
            return
        if "://" not in url:
            url = f"{'http' if plain else 'https'}://{url}"
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise self._fault("endpoint_url", "must be a URL such as https://s3.example.org")
        if plain and parts.scheme == "https":
            raise self._fault("disable_ssl", "contradicts endpoint_url, which begins with https")
        self._values["endpoint_url"] = url.rstrip("/")
        self._values.setdefault("path_style", True)

    def _identity(self) -> None:
        values, credential = self._values, self._config.credential
        if credential is not None:
            for name in ("access_key_id", "secret_key"):
                if name in values:
                    raise self._fault(name, "stands beside 'credential': give one of them")
            values["access_key_id"], values["secret_key"] = credential.id or None, credential.secret
        pair = [name for name in ("access_key_id", "secret_key") if values.get(name)]
        if len(pair) == 1:
            missing = "secret_key" if pair == ["access_key_id"] else "access_key_id"
            raise self._fault(missing, f"is missing beside {pair[0]}")
        if values.get("session_token") and not pair:
            raise self._fault("session_token", "needs access_key_id and secret_key")
        ways = ["anonymous"] * bool(values.get("anonymous")) + ["profile"] * bool(values.get("profile")) + pair[:1]
        if len(ways) > 1:
            raise self._fault(ways[0], f"contradicts {ways[1]}: give one of them")

    def _prefix(self) -> str:
        root = self._values.pop("root", None) or self._config.root
        parts = f"{root}/{self._values.pop('data_path', '')}".split("/")
        prefix = "/".join(part for part in parts if part)
        if prefix and (path_fault(prefix) or "." in prefix.split("/")):
            raise InvalidEndpointConfigError(
                "must be a folder such as /data/genomes", key=f"endpoints.{self._config.key}.root"
            )
        return f"{prefix}/" if prefix else ""

    def _fault(self, option: str, message: str) -> InvalidEndpointConfigError:
        return InvalidEndpointConfigError(message, key=f"endpoints.{self._config.key}.{option}")
