"""The section ``service``: frozen, validated when made, whether from a file or in memory.

Errors name the key as a file has it (``service.poll_interval``); who reads a file adds its name and the line. Values
stay out of the messages: they might be a secret that went astray.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal

import attrs

from dts_fsm.config.keys import Kind
from dts_fsm.config.secret import Secret
from dts_fsm.errors import ConfigurationError, InvalidServiceConfigError
from dts_fsm.records import Overwrite

# threading's waits overflow at 9.2e9 s: 31 years are long enough.
_MAX_S = 1e9


def _range(low: float, high: float, *, whole: bool, open_low: bool = False) -> Callable[[Any, Any, Any], None]:
    wanted = f"{'a whole number' if whole else 'a number'} {'above' if open_low else 'from'} {low:g}"
    types = int if whole else (int, float)

    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        # NaN fails the comparison; an int of any size passes through it, where math.isfinite would overflow.
        good = isinstance(value, types) and not isinstance(value, bool) and low <= value <= high
        if not good or (open_low and value == low):
            key = f"service.{attribute.metadata['key']}"
            raise InvalidServiceConfigError(f"must be {wanted} to {high:.10g}{attribute.metadata['unit']}", key=key)

    return check


def _count(key: str, default: int, low: int = 1, high: int = 1_000_000) -> Any:
    metadata = {"key": key, "kind": Kind.WHOLE, "scale": 1, "unit": ""}
    return attrs.field(default=default, validator=_range(low, high, whole=True), metadata=metadata)


def _number(key: str, default: float, *, unit: str = " s", scale: float = 1, high: float = _MAX_S) -> Any:
    metadata = {"key": key, "kind": Kind.NUMBER, "scale": scale, "unit": unit}
    validator = _range(0, high, whole=False, open_low=True)
    return attrs.field(default=default, converter=_float, validator=validator, metadata=metadata)


def _float(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else value


def optional_rate(section: str, error: type[ConfigurationError]) -> Any:
    """A field for calls per second, or None for no limit of its own."""

    def check(record: Any, _: Any, value: Any) -> None:
        key = f"{section}.{record.key}.rate" if section != "service" else "service.rate"
        good = value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MAX_S)
        if not good:
            raise error(f"must be a number above 0 to {_MAX_S:.10g} calls/s", key=key)

    metadata = {"key": "rate", "kind": Kind.NUMBER, "scale": 1, "unit": " calls/s"}
    return attrs.field(default=None, converter=_float, validator=check, metadata=metadata)


def _choice(key: str, default: str, values: Collection[str]) -> Any:
    def check(_: Any, __: Any, value: Any) -> None:
        if not isinstance(value, str) or value not in values:
            raise InvalidServiceConfigError(f"must be {' or '.join(map(repr, values))}", key=f"service.{key}")

    return attrs.field(default=default, validator=check, metadata=_plain(key, Kind.TEXT))


def _flag(key: str) -> Any:
    return attrs.field(default=False, validator=_instance(key, bool, Kind.FLAG.value), metadata=_plain(key, Kind.FLAG))


def _plain(key: str, kind: Kind) -> dict[str, Any]:
    return {"key": key, "kind": kind, "scale": 1, "unit": ""}


def _instance(key: str, wanted: Any, words: str) -> Callable[[Any, Any, Any], None]:
    def check(_: Any, __: Any, value: Any) -> None:
        if not isinstance(value, wanted):
            raise InvalidServiceConfigError(f"must be {words}", key=f"service.{key}")

    return check


def absolute(path: str | Path, base: Path) -> Path:
    """The path, ``~`` expanded, relative ones below ``base``.

    Raises:
        ValueError: it is empty, has what no file's name can have, or names a user whose home is unknown; the message
            says which.
    """
    text = str(path)
    if not text or "\x00" in text:
        raise ValueError("must be a path: it is empty or has a NUL character")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise ValueError("must be a path: it is not valid Unicode") from None
    try:
        return base / Path(text).expanduser()
    except RuntimeError:
        raise ValueError("begins with '~', but that user's home is unknown: write the path out") from None


def _folder(key: str, value: Any) -> Path:
    if not isinstance(value, str | Path):
        raise InvalidServiceConfigError("must be a path", key=f"service.{key}")
    try:
        return absolute(value, Path.cwd())
    except ValueError as error:
        raise InvalidServiceConfigError(str(error), key=f"service.{key}") from None


def _data_dir(value: Any) -> Path:
    return _folder("data_dir", value)


def _manifest_dir(value: Any) -> Path:
    return _folder("manifest_dir", value)


@attrs.frozen(kw_only=True)
class ServiceConfig:
    """The section ``service``. Each attribute is the file's key of that name, without ``_s`` and ``_gb``.

    Attributes:
        port: where the service listens, 0 to 65535; 0 lets the system choose.
        max_connections: how many clients it serves at once.
        max_payload_size_gb: larger payloads are refused; 1 GB is 1e9 bytes.
        poll_interval_s: how often running operations are asked for news; in a file ``poll_interval``, in milliseconds.
        endpoint: the endpoint that sees ``manifest_dir``. A file must name it; "" in memory means none is configured.
        data_dir: where the store is; made absolute.
        manifest_dir: where manifests are written before they are delivered; ``data_dir/manifests`` by default.
        delete_after_s: how long an ended transfer can be asked for.
        debug: log more.
        double_check_staging: ask the endpoint, too, when the database says that files are staged.
        secret: decrypts DTS's file of access tokens.
        unknown_deadline_s, staging_deadline_s, active_deadline_s, inactive_deadline_s, finalizing_deadline_s,
            cancel_deadline_s: the longest time in a state of the statecharts.
        max_attempts: how often an operation is tried.
        retry_delay_s, max_retry_delay_s: the first and the longest pause between attempts.
        call_timeout_s: the longest that one call of a provider may take.
        concurrency: how many calls of one endpoint or database run at once.
        lease_time_s: how long after the scheduling process has vanished another takes over.
        synchronous: "full" survives a power cut; "normal" may lose in one what was written since the log was last moved
            into the file: about 4 MB of changes, and of a young store everything.
        rate_per_s: how many calls of one endpoint or database begin in a second; None for no limit.
        stall_after_s: a running operation without progress for so long is reported as stalled.
        overwrite: what becomes of a file that is in the place of one to be moved, see ``Overwrite``.
        partial: what a transfer becomes of which some files arrived and others could not be moved: "fail", or "keep"
            for one that succeeds with what arrived.

    Raises:
        InvalidServiceConfigError: a value has the wrong type or is out of range; ``key`` is the file's key.
    """

    data_dir: Path = attrs.field(converter=_data_dir, metadata=_plain("data_dir", Kind.PATH))
    manifest_dir: Path = attrs.field(converter=_manifest_dir, metadata=_plain("manifest_dir", Kind.PATH))
    endpoint: str = attrs.field(
        default="", validator=_instance("endpoint", str, "text"), metadata=_plain("endpoint", Kind.TEXT)
    )
    port: int = _count("port", 8080, low=0, high=65535)
    max_connections: int = _count("max_connections", 100)
    max_payload_size_gb: float = _number("max_payload_size", 100.0, unit=" GB")
    poll_interval_s: float = _number("poll_interval", 60.0, unit=" s (a file has it in ms)", scale=1000)
    delete_after_s: float = _number("delete_after", 604_800.0)
    debug: bool = _flag("debug")
    double_check_staging: bool = _flag("double_check_staging")
    secret: Secret | None = attrs.field(
        default=None,
        validator=_instance("secret", Secret | None, "a Secret"),
        metadata=_plain("secret", Kind.SECRET),
    )
    unknown_deadline_s: float = _number("unknown_deadline", 86_400.0)
    staging_deadline_s: float = _number("staging_deadline", 604_800.0)
    active_deadline_s: float = _number("active_deadline", 259_200.0)
    inactive_deadline_s: float = _number("inactive_deadline", 2_592_000.0)
    finalizing_deadline_s: float = _number("finalizing_deadline", 3600.0)
    cancel_deadline_s: float = _number("cancel_deadline", 600.0)
    max_attempts: int = _count("max_attempts", 5)
    retry_delay_s: float = _number("retry_delay", 1.0)
    max_retry_delay_s: float = _number("max_retry_delay", 300.0)
    call_timeout_s: float = _number("call_timeout", 60.0)
    concurrency: int = _count("concurrency", 8, high=1000)
    lease_time_s: float = _number("lease_time", 10.0)
    synchronous: Literal["full", "normal"] = _choice("synchronous", "full", ("full", "normal"))
    rate_per_s: float | None = optional_rate("service", InvalidServiceConfigError)
    stall_after_s: float = _number("stall_after", 3600.0)
    overwrite: Literal["never", "if-different", "always"] = _choice(
        "overwrite", "if-different", [policy.value for policy in Overwrite]
    )
    partial: Literal["fail", "keep"] = _choice("partial", "fail", ("fail", "keep"))

    @manifest_dir.default
    def _below_data_dir(self) -> Path:
        return self.data_dir / "manifests"

    def __attrs_post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if self.max_retry_delay_s < self.retry_delay_s:
            raise InvalidServiceConfigError("must not be shorter than retry_delay", key="service.max_retry_delay")

    @property
    def max_payload_bytes(self) -> int:
        """``max_payload_size_gb`` in bytes."""
        return round(self.max_payload_size_gb * 1e9)

    def deadline_s(self, setting: str | None) -> float | None:
        """The value of a deadline by the name that a statechart gives it, for example "staging_deadline".

        None or "" is a state without a deadline, and gives None.

        Raises:
            InvalidServiceConfigError: there is no such setting.
        """
        if not setting:
            return None
        limit_s = getattr(self, f"{setting}_s", None) if setting.endswith("_deadline") else None
        if limit_s is None:
            names = [field.name for field in attrs.fields(type(self))]
            known = ", ".join(name.removesuffix("_s") for name in names if name.endswith("_deadline_s"))
            raise InvalidServiceConfigError(f"a statechart names a deadline that is none of {known}", key=setting)
        return float(limit_s)
