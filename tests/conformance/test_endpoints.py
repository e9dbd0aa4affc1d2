"""The endpoints of dts_fsm against the contract of endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack, closing
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from dts_fsm.endpoints import LocalEndpoint
from dts_fsm.testing.endpoint_pair import EndpointPair
from dts_fsm.testing.endpoint_suite import EndpointSuite


class _InlineExecutor(Executor):
    """Works inside ``submit``: the strangest executor that the interface allows."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, mp_context=get_context("forkserver")) as executor:
        yield executor


class _LocalSuite(EndpointSuite):
    executor: Executor | None = None
    durable = "batch"

    @pytest.fixture
    def pair(self, tmp_path: Path) -> Iterator[EndpointPair]:
        source, destination = tmp_path / "source", tmp_path / "destination"
        source.mkdir()
        destination.mkdir()

        def put(path: str, content: bytes) -> None:
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_bytes(content)

        def read(path: str) -> bytes | None:
            file = destination / path
            return file.read_bytes() if file.exists() else None

        with ExitStack() as endpoints:

            def endpoint(root: Path) -> LocalEndpoint:
                made = LocalEndpoint(root=root, executor=self.executor, durable=self.durable)
                return endpoints.enter_context(closing(made))

            yield EndpointPair(
                source=endpoint(source),
                destination=endpoint(destination),
                put=put,
                read=read,
                restart=lambda: endpoint(source),
            )


class TestLocalEndpoint(_LocalSuite):
    """With the endpoint's own threads."""


class TestLocalEndpointThatIsNotDurable(_LocalSuite):
    """Without waiting for the disk."""

    durable = "none"


class TestLocalEndpointThatSyncsEachFile(_LocalSuite):
    """With each file made durable for itself."""

    durable = "file"


class TestLocalEndpointWithProcesses(_LocalSuite):
    """With somebody else's processes, which share no memory."""

    @pytest.fixture(autouse=True)
    def _use_processes(self, processes: Executor) -> None:
        self.executor = processes


class TestLocalEndpointThatWorksInline(_LocalSuite):
    """With an executor that has done the work before ``submit`` returns."""

    executor = _InlineExecutor()
