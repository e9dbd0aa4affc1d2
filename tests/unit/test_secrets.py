"""Whatever a plug-in says, no secret of the configuration is stored, logged or shown."""

from __future__ import annotations

import base64
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import attrs
import pytest

from dts_fsm import Config, Orchestrator, Specification, User
from dts_fsm.config import Credential, DatabaseConfig, EndpointConfig, Secret, ServiceConfig
from dts_fsm.errors import DtsError, PermanentError, TransientError, UnauthorizedError, UnavailableError
from dts_fsm.records import FileOutcome, FileState, OperationCode, OperationStatus, Transfer
from dts_fsm.registry import OnDemand
from dts_fsm.running import Made
from dts_fsm.testing import ORCID, FakeDatabase, FakeEndpoint

SECRETS = ("hunter2-of-the-endpoint", "hunter2 of the database", "p\u00e4ss/w\u00f6rd+of=the?user")
ALL = " ".join((*SECRETS, *map(quote, SECRETS), *(base64.b64encode(text.encode()).decode() for text in SECRETS)))
FORMS = ("hunter2", "p\u00e4ss", quote("p\u00e4ss"), *(base64.b64encode(t.encode()).decode()[:9] for t in SECRETS))
"""What must be seen nowhere: the beginning of each secret in each form."""


def exposed(text: str) -> list[str]:
    return [form for form in FORMS if form in text]


def eventually(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.005)
    return True


class Talkative(FakeEndpoint):
    """An endpoint whose moves end with outcomes that say all secrets."""

    code = OperationCode.FAILED

    def statuses(self, ids: Sequence[UUID]) -> Mapping[UUID, OperationStatus]:
        self.faults.meet("statuses")
        told = {"message": ALL, "reason": ALL}
        outcome = FileOutcome(id="a", state=FileState.FAILED, error=ALL, reason=ALL, observed_hash=ALL)
        status = OperationStatus(code=self.code, files=(outcome,), **told)  # type: ignore[arg-type]
        return dict.fromkeys(ids, status)


@attrs.define
class Site:
    """An orchestrator over a talkative endpoint, and all that was seen of it."""

    dts: Orchestrator
    endpoint: Talkative
    database: FakeDatabase
    folder: Path

    def specification(self) -> Specification:
        user = User(name="Ada", orcid=ORCID)
        return Specification(source="sky", destination="sky", file_ids=["a"], user=user, description="d")

    def seen(self) -> str:
        """All that is stored and shown of all transfers."""
        shown: list[Any] = [self.dts.transfers(), self.dts.journal(), self.dts.config]
        for record in self.dts.transfers():
            shown += [self.dts.status(record.id), self.dts.files(record.id), self.dts.history(record.id)]
            shown += [self.dts.explain(record.id)]
            with self.dts.subscribe(after=0, transfer_id=record.id) as messages:
                shown += [next(iter(messages))]
        stored = b"".join(file.read_bytes() for file in self.folder.glob("dts.db*"))
        return f"{shown!r} {shown} {stored.decode('utf-8', 'replace')}"


def config(folder: Path) -> Config:
    return Config(
        service=ServiceConfig(
            data_dir=folder,
            endpoint="disk",
            max_attempts=2,
            retry_delay_s=0.01,
            max_retry_delay_s=0.01,
            poll_interval_s=0.01,
        ),
        credentials={"user": Credential(name="user", id="user", secret=Secret(SECRETS[2]))},
        endpoints={"disk": EndpointConfig(key="disk", provider="fake", options={"token": Secret(SECRETS[0])})},
        databases={"sky": DatabaseConfig(key="sky", endpoints={"": "disk"}, secret=Secret(SECRETS[1]))},
    )


@pytest.fixture
def site(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Site]:
    caplog.set_level(logging.DEBUG)
    endpoint = Talkative("disk", sees=tmp_path)
    database = FakeDatabase("sky", endpoint=endpoint, endpoint_name="disk")
    database.add("a", b"content")
    with Orchestrator(config(tmp_path), databases={"sky": database}, endpoints={"disk": endpoint}) as dts:
        yield Site(dts, endpoint, database, tmp_path)
    for record in caplog.records:
        formatted = logging.Formatter("%(message)s").format(record)
        assert exposed(f"{formatted} {vars(record)!r}") == []


@pytest.mark.parametrize("code", [OperationCode.FAILED, OperationCode.CANCELED, OperationCode.LOST])
def test_what_an_endpoint_answers(site: Site, code: OperationCode) -> None:
    site.endpoint.code = code
    transfer_id = site.dts.create(site.specification())
    if code is OperationCode.LOST:
        assert eventually(lambda: "***" in repr(site.dts.history(transfer_id)))
        site.dts.cancel(transfer_id, ORCID)
        site.endpoint.code = OperationCode.CANCELED
    site.dts.wait(transfer_id, 20)
    seen = site.seen()
    assert exposed(seen) == []
    assert "***" in seen


@pytest.mark.parametrize("method", ["files_staged", "transfer", "transfer answer", "statuses"])
@pytest.mark.parametrize("fault", [TransientError, PermanentError, UnauthorizedError, KeyError, OSError, SystemExit])
def test_what_an_endpoint_raises(site: Site, method: str, fault: type[BaseException]) -> None:
    site.endpoint.faults.add(method, fault(ALL), times=3)
    site.endpoint.code = OperationCode.CANCELED
    transfer_id = site.dts.create(site.specification())
    site.dts.wait(transfer_id, 20)
    seen = site.seen()
    assert exposed(seen) == []
    assert "***" in seen


@pytest.mark.parametrize("method", ["stage_files", "staging_status"])
def test_what_a_database_raises_while_it_stages(site: Site, method: str) -> None:
    site.endpoint.files.clear()
    site.database.faults.add(method, PermanentError(ALL))
    site.database.faults.add(method, ValueError(ALL), times=5)
    transfer_id = site.dts.create(site.specification())
    assert eventually(lambda: "***" in repr(site.dts.explain(transfer_id)))
    assert exposed(site.seen()) == []
    site.dts.cancel(transfer_id, ORCID)
    site.dts.wait(transfer_id, 20)


@pytest.mark.parametrize("method", ["descriptors", "local_user"])
@pytest.mark.parametrize("fault", [UnavailableError, UnauthorizedError, KeyError])
def test_what_a_database_raises_while_a_transfer_is_planned(site: Site, method: str, fault: type[Exception]) -> None:
    site.database.faults.add(method, fault(ALL))
    with pytest.raises(DtsError) as raised:
        site.dts.create(site.specification())
    assert "***" in str(raised.value)
    error: BaseException | None = raised.value
    while error is not None:
        assert exposed(f"{''.join(traceback.format_exception(error))} {error.args!r} {vars(error)!r}") == []
        error = error.__cause__ or error.__context__
    if issubclass(fault, DtsError):
        assert type(raised.value) is fault
    assert exposed(site.seen()) == []


class Sayer:
    """A handler that says the secrets when it is asked which operations come next."""

    def begin(self, transfer: Transfer) -> Any:
        raise ValueError(ALL)


def test_what_a_handler_raises_while_it_is_decided_what_comes_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = FakeEndpoint("disk", sees=tmp_path)
    database = FakeDatabase("sky", endpoint=endpoint, endpoint_name="disk")
    database.add("a", b"content")
    handlers: Any = {"mover": Sayer()}
    with Orchestrator(
        config(tmp_path), databases={"sky": database}, endpoints={"disk": endpoint}, handlers=handlers
    ) as dts:
        site = Site(dts, Talkative(), database, tmp_path)
        transfer_id = dts.create(site.specification())
        assert eventually(lambda: "***" in dts.status(transfer_id).message)
        seen = site.seen()
    assert exposed(seen) == []
    assert "ValueError: ***" in seen
    assert exposed(caplog.text) == []


@pytest.mark.parametrize("fault", [TransientError, PermanentError, KeyError])
def test_what_a_database_raises_when_it_is_told_of_the_delivery(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: type[Exception]
) -> None:
    endpoint = FakeEndpoint("disk", sees=tmp_path)
    database = FakeDatabase("sky", endpoint=endpoint, endpoint_name="disk")
    database.add("a", b"content")
    database.faults.add("finalize", fault(ALL))
    with Orchestrator(config(tmp_path), databases={"sky": database}, endpoints={"disk": endpoint}) as dts:
        site = Site(dts, Talkative(), database, tmp_path)
        assert dts.wait(dts.create(site.specification()), 20).code == "succeeded"
        seen = site.seen()
    assert exposed(seen + caplog.text) == []
    assert "***" in seen


def test_what_a_provider_raises_when_it_is_closed_is_masked_and_the_others_are_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    closed: list[str] = []

    class Closing:
        def __init__(self, name: str) -> None:
            self.name = name

        def close(self) -> None:
            closed.append(self.name)
            raise OSError(ALL)

    built = OnDemand({"a": None, "b": None}, Closing)
    assert [built[name].name for name in built] == ["a", "b"]
    Made(config(tmp_path), [built.made]).close()
    assert closed == ["a", "b"]
    assert exposed(caplog.text) == []
    assert caplog.text.count("***") >= 2


def test_files_of_a_transfer_are_not_masked(tmp_path: Path) -> None:
    # what a database says of its files is where they are: another text would be another file
    endpoint = FakeEndpoint("disk", sees=tmp_path)
    database = FakeDatabase("sky", endpoint=endpoint, endpoint_name="disk")
    database.add("a", b"content", path="of/hunter2-of-the-endpoint")
    with Orchestrator(config(tmp_path), databases={"sky": database}, endpoints={"disk": endpoint}) as dts:
        transfer_id = dts.create(Site(dts, Talkative(), database, tmp_path).specification())
        assert dts.wait(transfer_id, 20).code == "succeeded"
        assert [file.path for file in dts.files(transfer_id)] == ["of/hunter2-of-the-endpoint"]
