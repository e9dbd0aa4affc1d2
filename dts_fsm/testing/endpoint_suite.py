"""What every endpoint must do, as tests: the author of an endpoint derives a class and says how to make a pair.

    from dts_fsm.testing.endpoint_pair import EndpointPair
    from dts_fsm.testing.endpoint_suite import EndpointSuite

    class TestMyEndpoint(EndpointSuite):
        @pytest.fixture
        def pair(self, tmp_path):
            return EndpointPair(source=..., destination=..., put=..., read=...)

The tests know endpoints through ``dts_fsm.interfaces.Endpoint`` and the pair's functions alone, and so they run over
services, over local folders, and over fakes that have no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest

from dts_fsm.errors import IncompatibleDestinationError, PermanentError
from dts_fsm.interfaces import Endpoint
from dts_fsm.records import (
    Descriptor,
    FileOutcome,
    FileState,
    FileTransfer,
    OperationCode,
    OperationStatus,
    Overwrite,
)
from dts_fsm.testing.endpoint_pair import EndpointPair, checksum, file_of, wait_for_end


class EndpointSuite:
    """The contract of ``Endpoint``, one promise a test; a subclass provides the fixture ``pair``."""

    timeout_s: ClassVar[float] = 30.0
    """How long one move of a few small files may take, in seconds."""

    compares: ClassVar[bool] = True
    """Whether the endpoint can compare what is in the place of a file before it moves anything. One whose service can
    only either replace or leave refuses with NEVER whatever is there, and moves again what has a checksum."""

    @pytest.fixture
    def pair(self) -> EndpointPair:
        """Give a fresh pair of endpoints; everything is closed and removed when the test has ended."""
        raise NotImplementedError("a subclass of EndpointSuite provides the fixture 'pair'")

    def move(
        self,
        pair: EndpointPair,
        files: Sequence[FileTransfer],
        *,
        operation_id: UUID | None = None,
        source: Endpoint | None = None,
    ) -> OperationStatus:
        """Move the files, wait, and give the final status."""
        source = source or pair.source
        handle = source.transfer(pair.destination, files, operation_id=operation_id or uuid4())
        return wait_for_end(source, handle, timeout_s=self.timeout_s, advance=pair.advance)

    # What an endpoint says of itself

    def test_it_has_the_methods_of_an_endpoint(self, pair: EndpointPair) -> None:
        assert isinstance(pair.source, Endpoint)
        assert isinstance(pair.destination, Endpoint)

    def test_its_provider_and_root_are_text(self, pair: EndpointPair) -> None:
        assert isinstance(pair.source.provider, str)
        assert pair.source.provider
        assert isinstance(pair.source.root, str)

    def test_files_of_the_right_size_are_staged_and_others_are_not(self, pair: EndpointPair) -> None:
        pair.put("here", b"abc")
        pair.put("deep/below/here", b"")
        pair.put("longer", b"abcd")
        descriptors = [
            Descriptor(id="1", path="here", bytes=3),
            Descriptor(id="2", path="deep/below/here", bytes=0),
            Descriptor(id="3", path="longer", bytes=3),
            Descriptor(id="4", path="nowhere", bytes=3),
            Descriptor(id="5", path="here/below", bytes=3),
            Descriptor(id="6", path="deep", bytes=3),
        ]
        expected = {"1": True, "2": True, "3": False, "4": False, "5": False, "6": False}
        assert expected == dict(pair.source.files_staged(descriptors))

    def test_no_descriptors_need_no_answer(self, pair: EndpointPair) -> None:
        assert dict(pair.source.files_staged([])) == {}

    def test_being_staged_says_nothing_of_the_checksum(self, pair: EndpointPair) -> None:
        pair.put("here", b"abc")
        other = Descriptor(id="1", path="here", bytes=3, hash=str(checksum(b"xyz")))
        assert dict(pair.source.files_staged([other])) == {"1": True}

    # A move that succeeds

    def test_files_arrive_as_they_are(self, pair: EndpointPair) -> None:
        contents = {
            "plain": b"some text\n",
            "empty": b"",
            "folder/of/folders/binary": bytes(range(256)) * 1000,
            "folder/with a space, ümlaut and 'quotes'.txt": b"\r\n\x00",
            "several chunks": b"0123456789abcdef" * (3 << 16),
        }
        for path, content in contents.items():
            pair.put(path, content)
        status = self.move(pair, [file_of(path, content) for path, content in contents.items()])
        assert status.code == OperationCode.SUCCEEDED, status
        assert contents == {path: pair.read(f"delivered/{path}") for path in contents}

    def test_the_end_tells_the_outcome_of_every_file(self, pair: EndpointPair) -> None:
        pair.put("a", b"first")
        pair.put("b", b"second!")
        status = self.move(pair, [file_of("a", b"first"), file_of("b", b"second!")])
        expected = {
            FileOutcome(
                id=f"id of {path}",
                state=FileState.TRANSFERRED,
                observed_bytes=len(content),
                observed_hash=str(checksum(content)),
            )
            for path, content in {"a": b"first", "b": b"second!"}.items()
        }
        assert expected == set(status.files)
        assert _counts(status) == (2, 0, 12)

    @pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha512"])
    def test_checksums_are_observed_with_the_descriptors_algorithm(self, pair: EndpointPair, algorithm: str) -> None:
        pair.put("a", b"first")
        status = self.move(pair, [file_of("a", b"first", hash=checksum(b"first", algorithm))])
        assert [(FileState.TRANSFERRED, str(checksum(b"first", algorithm)))] == [
            (outcome.state, outcome.observed_hash) for outcome in status.files
        ]

    def test_a_file_of_unknown_size_and_checksum_is_moved_and_observed(self, pair: EndpointPair) -> None:
        pair.put("a", b"first")
        status = self.move(pair, [file_of("a", b"first", bytes=None, hash=None)])
        assert status.code == OperationCode.SUCCEEDED, status
        assert status.files[0].observed_bytes == 5
        assert isinstance(status.files[0].observed_hash, str)
        assert pair.read("delivered/a") == b"first"

    def test_a_file_goes_where_it_is_sent(self, pair: EndpointPair) -> None:
        pair.put("a/b", b"x")
        self.move(pair, [file_of("a/b", b"x", destination_path="elsewhere/c")])
        assert pair.read("elsewhere/c") == b"x"
        assert pair.read("delivered/a/b") is None

    def test_many_files_arrive_and_progress_never_goes_back(self, pair: EndpointPair) -> None:
        contents = {f"folder {i % 7}/{i}": b"x" * i for i in range(200)}
        for path, content in contents.items():
            pair.put(path, content)
        files = [file_of(path, content) for path, content in contents.items()]
        handle = pair.source.transfer(pair.destination, files, operation_id=uuid4())
        seen: list[OperationStatus] = []

        def look() -> None:
            pair.advance()
            seen.append(pair.source.statuses([handle])[handle])

        seen.append(wait_for_end(pair.source, handle, timeout_s=self.timeout_s, advance=look))
        assert seen[-1].code == OperationCode.SUCCEEDED, seen[-1]
        assert (200, 0, sum(range(200))) == _counts(seen[-1])
        numbers = [status.num_files_transferred for status in seen]
        assert sorted(numbers) == numbers
        assert contents == {path: pair.read(f"delivered/{path}") for path in contents}

    def test_moves_at_the_same_time_do_not_mix(self, pair: EndpointPair) -> None:
        handles = {}
        for i in range(5):
            pair.put(f"{i}", b"x" * i)
            handles[i] = pair.source.transfer(pair.destination, [file_of(f"{i}", b"x" * i)], operation_id=uuid4())
        for handle in handles.values():
            wait_for_end(pair.source, handle, timeout_s=self.timeout_s, advance=pair.advance)
        answers = pair.source.statuses(list(handles.values()))
        assert {i: [(f"id of {i}", i)] for i in handles} == {
            i: [(outcome.id, outcome.observed_bytes) for outcome in answers[handle].files]
            for i, handle in handles.items()
        }

    # Doing it again

    def test_the_same_submission_again_is_the_same_move(self, pair: EndpointPair) -> None:
        pair.put("a", b"first")
        files, operation_id = [file_of("a", b"first")], uuid4()
        first = pair.source.transfer(pair.destination, files, operation_id=operation_id)
        assert first == pair.source.transfer(pair.destination, files, operation_id=operation_id)
        ended = wait_for_end(pair.source, first, timeout_s=self.timeout_s, advance=pair.advance)
        assert first == pair.source.transfer(pair.destination, files, operation_id=operation_id)
        again = wait_for_end(pair.source, first, timeout_s=self.timeout_s, advance=pair.advance)
        assert (ended.code, _counts(ended)) == (OperationCode.SUCCEEDED, (1, 0, 5))
        assert ended == again

    def test_a_move_is_known_by_its_handle(self, pair: EndpointPair) -> None:
        pair.put("a", b"first")
        handle = pair.source.transfer(pair.destination, [file_of("a", b"first")], operation_id=uuid4())
        assert handle in pair.source.transfers()
        wait_for_end(pair.source, handle, timeout_s=self.timeout_s, advance=pair.advance)

    def test_what_is_there_and_right_is_skipped(self, pair: EndpointPair) -> None:
        pair.put("a", b"first")
        self.move(pair, [file_of("a", b"first")])
        status = self.move(pair, [file_of("a", b"first")])
        assert status.code == OperationCode.SUCCEEDED, status
        state = FileState.SKIPPED if self.compares else FileState.TRANSFERRED
        assert [(state, 5, str(checksum(b"first")))] == [
            (outcome.state, outcome.observed_bytes, outcome.observed_hash) for outcome in status.files
        ]
        assert _counts(status) == (1, int(self.compares), 5)

    @pytest.mark.parametrize("other", [b"other", b"longer than it", b""])
    def test_other_content_is_replaced(self, pair: EndpointPair, other: bytes) -> None:
        pair.put("a", other)
        self.move(pair, [file_of("a", other)])
        pair.put("a", b"first")
        status = self.move(pair, [file_of("a", b"first")])
        assert [outcome.state for outcome in status.files] == [FileState.TRANSFERRED], status
        assert pair.read("delivered/a") == b"first"

    def test_other_content_is_replaced_without_a_checksum_to_tell_it_by(self, pair: EndpointPair) -> None:
        pair.put("a", b"other")
        self.move(pair, [file_of("a", b"other")])
        pair.put("a", b"first")
        self.move(pair, [file_of("a", b"first", hash=None)])
        assert pair.read("delivered/a") == b"first"

    def test_the_same_submission_is_finished_after_a_restart(self, pair: EndpointPair) -> None:
        contents = {f"{i}": b"x" * i for i in range(20)}
        for path, content in contents.items():
            pair.put(path, content)
        files, operation_id = [file_of(path, content) for path, content in contents.items()], uuid4()
        self.move(pair, files[:10], operation_id=uuid4())  # what a killed process had done
        pair.source.transfer(pair.destination, files, operation_id=operation_id)
        source = pair.restart() if pair.restart else pair.source
        status = self.move(pair, files, operation_id=operation_id, source=source)
        assert status.code == OperationCode.SUCCEEDED, status
        assert status.num_files_transferred == 20
        assert contents == {path: pair.read(f"delivered/{path}") for path in contents}

    # What is in the place of a file

    @pytest.mark.parametrize("policy", Overwrite)
    def test_a_file_arrives_where_nothing_is_under_every_policy(self, pair: EndpointPair, policy: Overwrite) -> None:
        pair.put("a", b"first")
        status = self.move(pair, [file_of("a", b"first", overwrite=policy)])
        assert [outcome.state for outcome in status.files] == [FileState.TRANSFERRED], status
        assert pair.read("delivered/a") == b"first"

    @pytest.mark.parametrize("known", [True, False])
    @pytest.mark.parametrize("other", [b"other", b"longer than it", b""])
    def test_never_leaves_other_content_as_it_is_and_that_file_alone_fails(
        self, pair: EndpointPair, other: bytes, known: bool
    ) -> None:
        pair.put("a", other)
        self.move(pair, [file_of("a", other)])
        pair.put("a", b"first")
        pair.put("b", b"second!")
        changes: dict[str, Any] = {"overwrite": Overwrite.NEVER} | ({} if known else {"hash": None, "bytes": None})
        status = self.move(pair, [file_of("a", b"first", **changes), file_of("b", b"second!", **changes)])
        assert (status.code, status.reason, status.transient) == (OperationCode.FAILED, "exists", False)
        assert {("id of a", "exists", False, True), ("id of b", None, False, False)} == {
            (outcome.id, outcome.reason, outcome.transient, bool(outcome.error)) for outcome in status.files
        }
        assert (other, b"second!") == (pair.read("delivered/a"), pair.read("delivered/b"))

    @pytest.mark.parametrize("known", [True, False])
    @pytest.mark.parametrize(
        ("policy", "state"),
        [
            (Overwrite.NEVER, FileState.SKIPPED),
            (Overwrite.IF_DIFFERENT, FileState.SKIPPED),
            (Overwrite.ALWAYS, FileState.TRANSFERRED),
        ],
    )
    def test_the_right_content_is_moved_again_by_always_alone(
        self, pair: EndpointPair, policy: Overwrite, state: FileState, known: bool
    ) -> None:
        pair.put("a", b"first")
        self.move(pair, [file_of("a", b"first")])
        file = file_of("a", b"first", overwrite=policy, **({} if known else {"hash": None, "bytes": None}))
        status = self.move(pair, [file])
        assert pair.read("delivered/a") == b"first"
        if policy is Overwrite.NEVER and not self.compares:
            assert (status.code, status.reason, status.transient) == (OperationCode.FAILED, "exists", False)
            return
        state = state if self.compares or not known else FileState.TRANSFERRED
        assert [(state, 5)] == [(outcome.state, outcome.observed_bytes) for outcome in status.files], status
        assert _counts(status) == (1, int(state is FileState.SKIPPED), 5)

    def test_always_replaces_other_content(self, pair: EndpointPair) -> None:
        pair.put("a", b"other")
        self.move(pair, [file_of("a", b"other")])
        pair.put("a", b"first")
        status = self.move(pair, [file_of("a", b"first", overwrite=Overwrite.ALWAYS)])
        assert [outcome.state for outcome in status.files] == [FileState.TRANSFERRED], status
        assert pair.read("delivered/a") == b"first"

    @pytest.mark.parametrize("known", [True, False])
    @pytest.mark.parametrize("policy", Overwrite)
    def test_what_an_earlier_submission_left_is_no_conflict_after_a_restart(
        self, pair: EndpointPair, policy: Overwrite, known: bool
    ) -> None:
        contents = {f"{i}": b"x" * i for i in range(10)}
        for path, content in contents.items():
            pair.put(path, content)
        changes: dict[str, Any] = {"overwrite": policy} | ({} if known else {"hash": None, "bytes": None})
        files, operation_id = [file_of(path, content, **changes) for path, content in contents.items()], uuid4()
        self.move(pair, files[:5])  # what a killed process had done
        pair.source.transfer(pair.destination, files, operation_id=operation_id)
        source = pair.restart() if pair.restart else pair.source
        status = self.move(pair, files, operation_id=operation_id, source=source)
        if policy is Overwrite.NEVER and not self.compares:
            assert (status.code, status.reason, status.num_files_transferred) == (OperationCode.FAILED, "exists", 5)
        else:
            assert (status.code, status.num_files_transferred) == (OperationCode.SUCCEEDED, 10), status
        assert contents == {path: pair.read(f"delivered/{path}") for path in contents}

    # A move that fails

    def test_a_missing_file_fails_and_the_others_arrive(self, pair: EndpointPair) -> None:
        pair.put("a", b"first")
        status = self.move(pair, [file_of("missing", b"x"), file_of("a", b"first")])
        assert status.code == OperationCode.FAILED
        assert {("id of missing", FileState.FAILED), ("id of a", FileState.TRANSFERRED)} == _states(status.files)
        assert (status.reason, status.transient) == ("not found", False)
        assert status.message
        assert pair.read("delivered/a") == b"first"
        assert _counts(status) == (1, 0, 5)

    def test_a_failed_file_says_why(self, pair: EndpointPair) -> None:
        status = self.move(pair, [file_of("missing", b"x")])
        assert [outcome.reason for outcome in status.files] == ["not found"]
        assert all(outcome.error for outcome in status.files)

    def test_a_wrong_checksum_is_found_and_nothing_appears(self, pair: EndpointPair) -> None:
        pair.put("a", b"first")
        status = self.move(pair, [file_of("a", b"first", hash=checksum(b"third"))])
        assert (status.code, status.reason, status.transient) == (OperationCode.FAILED, "checksum mismatch", False)
        assert [outcome.reason for outcome in status.files] == ["checksum mismatch"]
        assert pair.read("delivered/a") is None

    def test_a_wrong_size_is_found_and_nothing_appears(self, pair: EndpointPair) -> None:
        pair.put("a", b"first")
        status = self.move(pair, [file_of("a", b"first", bytes=4, hash=None)])
        assert (status.code, status.reason, status.transient) == (OperationCode.FAILED, "size mismatch", False)
        assert pair.read("delivered/a") is None

    def test_a_failure_leaves_the_target_as_it_was(self, pair: EndpointPair) -> None:
        pair.put("a", b"first")
        self.move(pair, [file_of("a", b"first")])
        pair.put("a", b"other")
        status = self.move(pair, [file_of("a", b"third")])
        assert status.code == OperationCode.FAILED
        assert pair.read("delivered/a") == b"first"

    @pytest.mark.parametrize("path", ["../outside", "a/../../outside", "/outside", "a/..", ".", "nul\0byte"])
    @pytest.mark.parametrize("field", ["source_path", "destination_path"])
    def test_a_path_that_leads_outside_is_refused(self, pair: EndpointPair, field: str, path: str) -> None:
        pair.put("a", b"first")
        try:
            status = self.move(pair, [file_of("a", b"first", **{field: path})])
        except PermanentError:
            return
        assert (status.code, status.transient) == (OperationCode.FAILED, False)
        assert [outcome.state for outcome in status.files] == [FileState.FAILED]

    def test_a_foreign_destination_is_refused(self, pair: EndpointPair) -> None:
        pair.put("a", b"first")
        with pytest.raises(IncompatibleDestinationError):
            pair.source.transfer(_Elsewhere(), [file_of("a", b"first")], operation_id=uuid4())

    # Asking and canceling

    def test_an_unknown_move_is_lost(self, pair: EndpointPair) -> None:
        unknown = uuid4()
        answers = pair.source.statuses([unknown])
        assert {unknown: OperationCode.LOST} == {id_: status.code for id_, status in answers.items()}

    def test_no_ids_have_no_statuses(self, pair: EndpointPair) -> None:
        assert dict(pair.source.statuses([])) == {}

    def test_the_final_answer_is_given_as_often_as_it_is_asked_for(self, pair: EndpointPair) -> None:
        pair.put("a", b"first")
        handle = pair.source.transfer(pair.destination, [file_of("a", b"first")], operation_id=uuid4())
        ended = wait_for_end(pair.source, handle, timeout_s=self.timeout_s, advance=pair.advance)
        assert [ended] * 3 == [pair.source.statuses([handle])[handle] for _ in range(3)]

    def test_to_cancel_an_unknown_move_does_nothing(self, pair: EndpointPair) -> None:
        unknown = uuid4()
        pair.source.cancel(unknown)
        assert pair.source.statuses([unknown])[unknown].code == OperationCode.LOST

    def test_to_cancel_an_ended_move_changes_nothing(self, pair: EndpointPair) -> None:
        pair.put("a", b"first")
        handle = pair.source.transfer(pair.destination, [file_of("a", b"first")], operation_id=uuid4())
        ended = wait_for_end(pair.source, handle, timeout_s=self.timeout_s, advance=pair.advance)
        pair.source.cancel(handle)
        assert ended == pair.source.statuses([handle])[handle]
        assert pair.read("delivered/a") == b"first"

    def test_a_canceled_move_ends_and_what_it_says_is_so(self, pair: EndpointPair) -> None:
        contents = {f"{i}": bytes([i]) * 50_000 for i in range(60)}
        for path, content in contents.items():
            pair.put(path, content)
        files = [file_of(path, content) for path, content in contents.items()]
        handle = pair.source.transfer(pair.destination, files, operation_id=uuid4())
        pair.source.cancel(handle)
        pair.source.cancel(handle)
        status = wait_for_end(pair.source, handle, timeout_s=self.timeout_s, advance=pair.advance)
        assert status.code in (OperationCode.CANCELED, OperationCode.SUCCEEDED)  # it may have been faster
        arrived = {outcome.id for outcome in status.files if outcome.state is FileState.TRANSFERRED}
        assert len(arrived) == status.num_files_transferred
        for path, content in contents.items():
            there = pair.read(f"delivered/{path}")
            assert there == content or (there is None and f"id of {path}" not in arrived)

    def test_what_was_canceled_can_be_moved_by_another_operation(self, pair: EndpointPair) -> None:
        pair.put("a", b"first")
        handle = pair.source.transfer(pair.destination, [file_of("a", b"first")], operation_id=uuid4())
        pair.source.cancel(handle)
        wait_for_end(pair.source, handle, timeout_s=self.timeout_s, advance=pair.advance)
        assert self.move(pair, [file_of("a", b"first")]).code == OperationCode.SUCCEEDED
        assert pair.read("delivered/a") == b"first"

    # What an endpoint may have: where it has not, there is nothing to keep

    def test_to_clear_a_move_that_is_running_has_ended_or_is_unknown_harms_nothing(self, pair: EndpointPair) -> None:
        clear = getattr(pair.source, "clear", _nothing)
        contents = {f"{i}": bytes([i]) * 50_000 for i in range(20)}
        for path, content in contents.items():
            pair.put(path, content)
        files, operation_id = [file_of(path, content) for path, content in contents.items()], uuid4()
        clear(pair.destination, files, operation_id=operation_id)
        handle = pair.source.transfer(pair.destination, files, operation_id=operation_id)
        clear(pair.destination, files, operation_id=operation_id)
        ended = wait_for_end(pair.source, handle, timeout_s=self.timeout_s, advance=pair.advance)
        for _ in range(2):
            clear(pair.destination, files, operation_id=operation_id)
        assert (ended.code, ended) == (OperationCode.SUCCEEDED, pair.source.statuses([handle])[handle])
        assert contents == {path: pair.read(f"delivered/{path}") for path in contents}

    def test_a_move_behind_a_fence_is_lost_with_it_and_its_files_can_be_moved_after_that(
        self, pair: EndpointPair
    ) -> None:
        fence = getattr(pair.source, "fence", _nothing)
        contents = {f"{i}": bytes([i]) * 50_000 for i in range(20)}
        for path, content in contents.items():
            pair.put(path, content)
        files = [file_of(path, content) for path, content in contents.items()]
        fence(lambda: False)
        handle = pair.source.transfer(pair.destination, files, operation_id=uuid4())
        fence(lambda: True)
        stopped = pair.source.statuses([handle])[handle].code
        # who cannot hold the bytes may have been faster, and who has no fence is still at work
        assert stopped in (OperationCode.LOST, OperationCode.SUCCEEDED, OperationCode.RUNNING)
        assert (stopped is OperationCode.RUNNING) <= (fence is _nothing)
        status = self.move(pair, files)
        assert (status.code, status.num_files_transferred) == (OperationCode.SUCCEEDED, 20), status
        assert contents == {path: pair.read(f"delivered/{path}") for path in contents}


def _nothing(*_: object, **__: object) -> None:
    """What an endpoint does for which a method is not worth having."""


class _Elsewhere:
    """An endpoint of a provider that nobody knows."""

    provider = "elsewhere"
    root = "/"

    def files_staged(self, descriptors: Sequence[Descriptor]) -> dict[str, bool]:
        return {descriptor.id: False for descriptor in descriptors}

    def transfers(self) -> Sequence[UUID]:
        return ()

    def transfer(self, destination: Endpoint, files: Sequence[FileTransfer], *, operation_id: UUID) -> UUID:
        raise IncompatibleDestinationError(self.provider, destination.provider, f"{len(files)} files, {operation_id}")

    def statuses(self, ids: Sequence[UUID]) -> dict[UUID, OperationStatus]:
        return {id_: OperationStatus(code=OperationCode.LOST) for id_ in ids}

    def cancel(self, id: UUID) -> None:  # noqa: A002 - the word of the protocol
        """Nothing can be running."""


def _counts(status: OperationStatus) -> tuple[int, int, int]:
    return status.num_files_transferred, status.num_files_skipped, status.num_bytes_transferred


def _states(outcomes: Iterable[FileOutcome]) -> set[tuple[str, FileState]]:
    return {(outcome.id, outcome.state) for outcome in outcomes}
