"""Which keys a configuration file may have, of what kind their values are, and what to say of a wrong one."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from dts_fsm.errors import (
    ConfigurationError,
    InvalidCredentialConfigError,
    InvalidDatabaseConfigError,
    InvalidEndpointConfigError,
    InvalidServiceConfigError,
)

SECTIONS: Mapping[str, type[ConfigurationError]] = {
    "service": InvalidServiceConfigError,
    "credentials": InvalidCredentialConfigError,
    "endpoints": InvalidEndpointConfigError,
    "databases": InvalidDatabaseConfigError,
}
"""The sections of a file, each with the error for what is wrong in it."""


class Kind(enum.Enum):
    """What the value of a key must be; the value says it to the reader of an error."""

    TEXT = "text"
    COUNT = "a whole number, one or more"
    WHOLE = "a whole number"
    NUMBER = "a number"
    FLAG = "true or false"
    DURABILITY = "'file', 'batch' or 'none'"
    SECRET = "text that is kept secret"  # noqa: S105 - a description, not a password
    PATH = "a path; a relative one starts at the configuration file's folder"
    ANY = "any value"


ENDPOINT_KEYS: Mapping[str, Kind] = {
    "name": Kind.TEXT,
    "id": Kind.TEXT,
    "provider": Kind.TEXT,
    "credential": Kind.TEXT,
    "auth": Kind.ANY,
    "root": Kind.TEXT,
    "concurrency": Kind.COUNT,
    "rate": Kind.NUMBER,
}
DATABASE_KEYS: Mapping[str, Kind] = {
    "name": Kind.TEXT,
    "organization": Kind.TEXT,
    "endpoint": Kind.TEXT,
    "endpoints": Kind.ANY,
    "credential": Kind.TEXT,
    "secret": Kind.SECRET,
    "provider": Kind.TEXT,
    "concurrency": Kind.COUNT,
    "rate": Kind.NUMBER,
}

_S3: Mapping[str, Kind] = {
    "bucket": Kind.TEXT,
    "region": Kind.TEXT,
    "base_path": Kind.TEXT,
    "data_path": Kind.TEXT,
    "endpoint_url": Kind.TEXT,
    "base_url": Kind.TEXT,
    "path_style": Kind.FLAG,
    "use_path_style": Kind.FLAG,
    "disable_ssl": Kind.FLAG,
    "access_key_id": Kind.TEXT,
    "secret_key": Kind.SECRET,
    "session_token": Kind.SECRET,
    "profile": Kind.TEXT,
    "anonymous": Kind.FLAG,
    "checksum": Kind.TEXT,
    "etag_md5": Kind.FLAG,
    "part_bytes": Kind.COUNT,
    "max_parts": Kind.COUNT,
    "copy_part_bytes": Kind.COUNT,
    "default_checksum": Kind.TEXT,
    "workers": Kind.COUNT,
}
_SERVICE_DATABASE: Mapping[str, Kind] = {
    "url": Kind.TEXT,
    "base_url": Kind.TEXT,
    "delete_after": Kind.NUMBER,
    "data_directory": Kind.PATH,
    "users": Kind.PATH,
}

_CONNECTION: Mapping[str, Kind] = {
    "ca_file": Kind.PATH,
    "connect_timeout_s": Kind.NUMBER,
    "read_timeout_s": Kind.NUMBER,
}
_HTTP: Mapping[str, Kind] = {"url": Kind.TEXT, "token": Kind.SECRET, "headers": Kind.ANY, **_CONNECTION}

# The keys of DTS's own providers, in all the spellings of its versions, and ours. A provider that is not named here is
# somebody else's: its factory knows its keys.
ENDPOINT_OPTIONS: Mapping[str, Mapping[str, Kind]] = {
    "local": {
        "workers": Kind.COUNT,
        "durable": Kind.DURABILITY,
        "default_checksum": Kind.TEXT,
        "base_path": Kind.TEXT,
        "data_path": Kind.TEXT,
    },
    "fsspec": {
        "protocol": Kind.TEXT,
        "storage_options": Kind.ANY,
        "workers": Kind.COUNT,
        "default_checksum": Kind.TEXT,
    },
    "globus": {
        "base_path": Kind.TEXT,
        "data_path": Kind.TEXT,
        "data_access": Kind.FLAG,
        "refresh_token": Kind.SECRET,
        "sync_level": Kind.TEXT,
        "verify_checksum": Kind.FLAG,
        "encrypt_data": Kind.FLAG,
        "accept_other_hashes": Kind.FLAG,
        "deadline": Kind.NUMBER,
        "label": Kind.TEXT,
        "journal": Kind.PATH,
        "requests_per_s": Kind.NUMBER,
        "transfer_url": Kind.TEXT,
        "auth_url": Kind.TEXT,
    },
    "http": {**_HTTP, "workers": Kind.COUNT, "default_checksum": Kind.TEXT},
    "s3": _S3,
    "sftp": {
        "host": Kind.TEXT,
        "port": Kind.COUNT,
        "user": Kind.TEXT,
        "known_hosts": Kind.PATH,
        "private_key": Kind.PATH,
        "durable": Kind.FLAG,
        "read_back": Kind.FLAG,
        "connect_timeout_s": Kind.NUMBER,
        "call_timeout_s": Kind.NUMBER,
        "workers": Kind.COUNT,
        "default_checksum": Kind.TEXT,
    },
}
DATABASE_OPTIONS: Mapping[str, Mapping[str, Kind]] = {
    "catalog": {"catalog": Kind.PATH, "users": Kind.PATH, "archive": Kind.PATH, "staging_delay": Kind.NUMBER},
    "bucket": {**_S3, "delete_after": Kind.NUMBER, "users": Kind.PATH},
    "http": {
        **_HTTP,
        "page_size": Kind.COUNT,
        "paths": Kind.ANY,
        "fields": Kind.ANY,
        "descriptor": Kind.ANY,
        "words": Kind.ANY,
        "ids_separator": Kind.TEXT,
        "search_parameters": Kind.ANY,
    },
    "jdp": _SERVICE_DATABASE,
    "kbase": {**_SERVICE_DATABASE, **_CONNECTION},
    "nmdc": {**_SERVICE_DATABASE, **_CONNECTION, "hosts": Kind.ANY},
}

_SENSITIVE = re.compile(
    r"(?:secret|password|passwd|pwd|passphrase|passcode|authorization|token|(?:secret|private|api|access)[_-]?key)s?$",
    re.I,
)
_MAX_LISTED = 20


def is_sensitive(key: str) -> bool:
    """True for the keys of other people's providers whose value is taken for a secret, by their name."""
    return _SENSITIVE.search(key) is not None


def suggestion(name: str, known: Iterable[str]) -> str:
    """What to say after "there is no such name": the nearest of those known, or else the first of them."""
    names = sorted(known)
    folded = {known_name.casefold(): known_name for known_name in names}
    if near := get_close_matches(name.casefold(), folded, n=1):
        return f"did you mean {folded[near[0]]!r}?"
    more = ", ..." if len(names) > _MAX_LISTED else ""
    return f"known are: {', '.join(names[:_MAX_LISTED]) or 'none'}{more}"


def fault(key: str, message: str) -> ConfigurationError:
    """The error for a dotted key, of the class of its section."""
    return SECTIONS.get(key.partition(".")[0], ConfigurationError)(message, key=key)
