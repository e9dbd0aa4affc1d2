"""The package's own handlers keep the contract of handlers, in each of the kinds of work that they do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from dts_fsm.handlers import Manifestor, Mover, Stager
from dts_fsm.handlers.places import Places
from dts_fsm.interfaces import Handler
from dts_fsm.records import (
    Descriptor,
    Destination,
    FileRecord,
    FileState,
    Operation,
    SourceSummary,
    Specification,
    Transfer,
    TransferStatusCode,
    User,
)
from dts_fsm.store import time_of
from dts_fsm.testing import ORCID, FakeDatabase, FakeEndpoint, HandlerCase, HandlerSuite, ManualClock

CONTENTS = {"a": b"content of a", "b": b"content of b", "tape": b"from tape"}


class Site:
    """Two endpoints and a database in memory; work takes ten seconds of a manual clock."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.folder = ManualClock(), folder
        self.disk = FakeEndpoint("disk", clock=self.clock, duration_s=10.0, sees=folder)
        self.archive = FakeEndpoint("archive", clock=self.clock)
        self.genomes = FakeDatabase(
            "genomes", endpoint=self.disk, endpoint_name="disk", clock=self.clock, staging_duration_s=10.0
        )
        self.places = Places({"genomes": self.genomes}, {"disk": self.disk, "archive": self.archive})

    def case(
        self, make: Callable[[], Handler], state: TransferStatusCode, effects: Callable[[], object], **files: FileState
    ) -> HandlerCase:
        """Give a handler with a transfer of these files in this state."""
        records = []
        for name, file_state in files.items():
            descriptor = self.genomes.add(name, CONTENTS[name], staged=file_state is not FileState.UNSTAGED)
            records.append(FileRecord(descriptor=descriptor, endpoint="disk", state=file_state))
        inline = Descriptor(id="z", properties={"data": 1})
        records.append(FileRecord(descriptor=inline, endpoint="", state=FileState.INLINE))

        def restart() -> Handler:
            self.disk.forget()
            return make()

        return HandlerCase(
            handler=make(),
            transfer=Transfer(
                id=uuid4(),
                state=state,
                specification=Specification(
                    source="genomes", destination="archive", file_ids=[*files], user=User(name="Ada", orcid=ORCID)
                ),
                destination=Destination(endpoint="archive", path="ada", username="ada"),
                sources=(SourceSummary(endpoint="disk", num_files=len(files), num_bytes=30),),
                num_unstaged=sum(one is FileState.UNSTAGED for one in files.values()),
                created_at=time_of(self.clock.time()),
            ),
            files=records,
            restart=restart,
            advance=lambda: self.clock.advance(1.0),
            effects=effects,
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


class TestStagerSurveying(HandlerSuite):
    knows_how_canceled_work_ended = False

    @pytest.fixture
    def case(self, site: Site) -> HandlerCase:
        return site.case(
            lambda: Stager(site.places),
            TransferStatusCode.UNKNOWN,
            lambda: len(site.disk.files),
            a=FileState.PENDING,
            tape=FileState.UNSTAGED,
        )


class TestStagerStaging(HandlerSuite):
    knows_how_canceled_work_ended = False

    @pytest.fixture
    def case(self, site: Site) -> HandlerCase:
        def requests() -> object:
            return sorted(site.disk.files), set(site.genomes.staging_requests)

        return site.case(
            lambda: Stager(site.places),
            TransferStatusCode.STAGING,
            requests,
            a=FileState.PENDING,
            tape=FileState.UNSTAGED,
        )


class TestMover(HandlerSuite):
    @pytest.fixture
    def case(self, site: Site) -> HandlerCase:
        def moved() -> object:
            return sorted(site.archive.files), len(site.disk.transfers())

        return site.case(
            lambda: Mover(site.places), TransferStatusCode.ACTIVE, moved, a=FileState.PENDING, b=FileState.STAGED
        )


class TestManifestor(HandlerSuite):
    @pytest.fixture
    def case(self, site: Site) -> HandlerCase:
        def delivered() -> object:
            return sorted(site.archive.files), len(site.disk.transfers())

        case = site.case(
            lambda: Manifestor(site.places, endpoint="disk", folder=site.folder / "manifests"),
            TransferStatusCode.FINALIZING,
            delivered,
            a=FileState.TRANSFERRED,
            b=FileState.SKIPPED,
        )
        for name in ("a", "b"):
            site.archive.put(f"{case.transfer.folder}/{name}", CONTENTS[name])
        return case


class TestManifestorTellingTheSource(HandlerSuite):
    knows_how_canceled_work_ended = False

    @pytest.fixture
    def case(self, site: Site) -> HandlerCase:
        return site.case(
            lambda: Manifestor(site.places, endpoint="disk", folder=site.folder),
            TransferStatusCode.FINALIZING,
            lambda: sorted(set(site.genomes.finalized)),
            a=FileState.TRANSFERRED,
        )

    @pytest.fixture
    def operation(self, case: HandlerCase) -> Operation:
        (delivery,) = case.handler.begin(case.transfer)
        (request,) = case.handler.follow(case.transfer, delivery)  # type: ignore[attr-defined] # it has one
        return case.operation(request)
