"""The client of a service, and how it is called. What the library raises goes no further than this."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.loaders import create_loader
from botocore.session import get_session

from dts_fsm.endpoints.s3.faults import DamagedError, told
from dts_fsm.endpoints.s3.settings import S3Settings

_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 60
_ATTEMPTS = 5
_CONNECTIONS = 64
_REGION = "us-east-1"

_LOADER = create_loader()
"""Has the description of the service, which takes longer to read than all else that a client is made of."""


class Service:
    """The service of one bucket, asked by one who is allowed to; safe for threads. Nothing is asked before a call.

    Everything raises ``TransientError``, ``PermanentError`` and ``UnauthorizedError``.
    """

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._session: Any = None
        self._client: Any = None

    @property
    def session(self) -> Any:
        """The session that knows who asks."""
        with self._lock:
            return self._made_session()

    @property
    def region(self) -> str:
        """Where the service has the bucket."""
        if self.settings.region:
            return self.settings.region
        session = self.session
        with told("the endpoint", self.settings.bucket):
            return session.region_name or _REGION

    @property
    def client(self) -> Any:
        """The client, made when it is first asked for."""
        client = self._client
        if client is None:
            with self._lock, told("the endpoint", self.settings.bucket):
                client = self._client = self._client or self._made_client()
        return client

    def _made_session(self) -> Any:
        if self._session is None:
            with told("the endpoint", self.settings.bucket):
                session = get_session()
                session.register_component("data_loader", _LOADER)
                self._session = boto3.session.Session(botocore_session=session, profile_name=self.settings.profile)
        return self._session

    def _made_client(self) -> Any:
        settings, session = self.settings, self._made_session()
        revealed = {
            argument: secret.reveal()
            for argument, secret in (
                ("aws_secret_access_key", settings.secret_key),
                ("aws_session_token", settings.session_token),
            )
            if secret is not None
        }
        config = Config(
            signature_version=UNSIGNED if settings.anonymous else None,
            s3={"addressing_style": "path" if settings.path_style else "auto"},
            # ours are sent by name; the library would compute another for each call that has none
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_READ_TIMEOUT_S,
            max_pool_connections=_CONNECTIONS,
            tcp_keepalive=True,
        )
        return session.client(
            "s3",
            region_name=settings.region or session.region_name or _REGION,
            endpoint_url=settings.endpoint_url,
            aws_access_key_id=settings.access_key_id,
            config=config,
            **revealed,
        )

    def call(self, operation: str, key: str, **arguments: Any) -> Any:
        """Give the service's answer to a call about one key of the bucket; what was damaged is sent once more."""
        try:
            return self._called(operation, key, arguments)
        except DamagedError:
            return self._called(operation, key, arguments)

    def _called(self, operation: str, key: str, arguments: dict[str, Any]) -> Any:
        with told(key, self.settings.bucket):
            return getattr(self.client, operation)(Bucket=self.settings.bucket, Key=key, **arguments)

    def pages(self, operation: str, prefix: str, **config: int) -> Iterator[Any]:
        """Give the pages of a list of what begins so, one after the other."""
        with told(f"the keys below {prefix!r}", self.settings.bucket):
            pages = self.client.get_paginator(operation).paginate(
                Bucket=self.settings.bucket, Prefix=prefix, PaginationConfig=config
            )
            yield from pages

    def close(self) -> None:
        """Close the connections; the bucket remains usable. Idempotent."""
        with self._lock:
            client, self._client, self._session = self._client, None, None
        if client is not None:
            client.close()
