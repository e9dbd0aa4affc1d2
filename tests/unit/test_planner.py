"""Bad input: each kind has its own error, which says what to do, and nothing is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from dts_fsm.config import Credential, DatabaseConfig, EndpointConfig
from dts_fsm.errors import (
    DatabaseNotFoundError,
    DestinationConflictError,
    DtsError,
    DuplicateFilesError,
    EndpointNotFoundError,
    InvalidCustomSpecError,
    InvalidDatabaseConfigError,
    InvalidDescriptorError,
    InvalidInstructionsError,
    InvalidOrcidError,
    InvalidResourceEndpointError,
    NoFilesRequestedError,
    PayloadTooLargeError,
    ResourceEndpointNotFoundError,
    ResourcesNotFoundError,
    SpecificationError,
    UnavailableError,
)
from dts_fsm.planner import Planner
from dts_fsm.records import Descriptor, User
from dts_fsm.testing import ORCID, FakeDatabase, Rig


def answering(rig: Rig, monkeypatch: pytest.MonkeyPatch, *items: Any) -> None:
    """The source says these descriptors, whatever it is asked for."""
    monkeypatch.setattr(rig.source, "descriptors", lambda orcid, ids: list(items))


def refused(rig: Rig, kind: type[DtsError], words: str, *file_ids: str, **changes: Any) -> None:
    with pytest.raises(kind, match=words):
        rig.create(*(file_ids or ("a",)), **changes)
    assert rig.store.transfers() == []


class TestRequests:
    def test_no_files(self, rig: Rig) -> None:
        refused(rig, NoFilesRequestedError, "at least one file id", file_ids=())

    def test_duplicate_ids_are_all_named(self, rig: Rig) -> None:
        refused(rig, DuplicateFilesError, "'a', 'b'", "a", "b", "a", "b", "c")

    def test_unknown_ids_are_all_named(self, rig: Rig) -> None:
        refused(rig, ResourcesNotFoundError, "2 of the file ids: 'x', 'y'", "x", "a", "y")

    def test_unknown_ids_that_a_database_leaves_out_or_answers_with_nothing(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answering(rig, monkeypatch, None, rig.source.descriptors_by_id["a"])
        refused(rig, ResourcesNotFoundError, "'x', 'y'", "x", "a", "y")

    def test_an_unknown_source_names_those_that_there_are(self, rig: Rig) -> None:
        refused(rig, DatabaseNotFoundError, "'nowhere'; configured are: 'destination', 'source'", source="nowhere")

    def test_an_unknown_destination_names_those_that_there_are(self, rig: Rig) -> None:
        refused(rig, DatabaseNotFoundError, "'nowhere'", destination="nowhere")

    @pytest.mark.parametrize(
        "orcid", ["", "ada", "0000-0002-1825", "0000-0002-1825-00977", "\u0660" * 4 + "-0002-1825-0097"]
    )
    def test_a_malformed_orcid(self, rig: Rig, orcid: str) -> None:
        refused(rig, InvalidOrcidError, "is malformed: it has the form", user=User(name="Ada", orcid=orcid))

    def test_an_orcid_that_the_destination_does_not_know(self, rig: Rig) -> None:
        rig.destination._users = {}
        refused(rig, InvalidOrcidError, "destination")

    @pytest.mark.parametrize("user", ["", "..", "a/b", "/root", "a\x00b", "a\nb"])
    def test_a_local_user_that_is_no_folder_s_name(self, rig: Rig, user: str) -> None:
        rig.destination._users = {ORCID: user}
        refused(rig, InvalidOrcidError, "cannot be a folder's name")

    @pytest.mark.parametrize(
        "instructions", [object(), {1: 2}, (1, 2), {"a": float("nan")}, {"a": {1, 2}}, "\ud800", b"x", [float("inf")]]
    )
    def test_instructions_that_are_not_json(self, rig: Rig, instructions: Any) -> None:
        refused(rig, InvalidInstructionsError, "instructions", instructions=instructions)

    @pytest.mark.parametrize("depth", [600, 900, 3000, 100_000])
    def test_instructions_nested_beyond_reason(self, rig: Rig, depth: int) -> None:
        deep: list[Any] = []
        for _ in range(depth):
            deep = [deep]
        refused(rig, InvalidInstructionsError, "instructions", instructions=deep)

    @pytest.mark.parametrize("instructions", [None, [], {}, {"a": [1, 2.5, None, True, "ü"]}, "text", 0])
    def test_instructions_are_kept_exactly_as_given(self, rig: Rig, instructions: Any) -> None:
        transfer_id = rig.create("a", instructions=instructions)
        assert rig.store.transfer(transfer_id).specification.instructions == instructions
        rig.run(transfer_id)
        assert rig.store.journal()[0].manifest["instructions"] == instructions

    def test_a_payload_over_the_limit_says_both_sizes(self, tmp_path: Path) -> None:
        rig = Rig(tmp_path, max_payload_size_gb=1.5)
        rig.source.add("big", 2_000_000_000)
        refused(rig, PayloadTooLargeError, r"2 GB is larger than service.max_payload_size \(1.5 GB\)", "big")
        rig.close()

    def test_something_that_is_no_specification(self, rig: Rig) -> None:
        with pytest.raises(SpecificationError, match="a Specification is needed, not dict"):
            rig.planner.plan({"source": "x"})  # type: ignore[arg-type]

    def test_a_source_that_cannot_be_asked(self, rig: Rig) -> None:
        rig.source.faults.add("descriptors", UnavailableError("down for maintenance"))
        refused(rig, UnavailableError, "down for maintenance")


class TestDescriptors:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"id": None}, "its id must be text"),
            ({"id": ""}, "its id must be text"),
            ({"id": 3}, "its id must be text"),
            ({"path": None}, "neither a path nor inline data"),
            ({"path": ""}, "empty"),
            ({"path": "/etc/passwd"}, "absolute"),
            ({"path": "../x"}, "leads upwards"),
            ({"path": "a/../../x"}, "leads upwards"),
            ({"path": "a\x00b"}, "control characters"),
            ({"path": "a\nb"}, "control characters"),
            ({"path": "a\x7fb"}, "control characters"),
            ({"path": "\ud800"}, "not valid Unicode"),
            ({"path": "./."}, "names no file"),
            ({"path": ["a"]}, "its path must be text"),
            ({"bytes": None}, "must be a whole number"),
            ({"bytes": -1}, "cannot be -1"),
            ({"bytes": 1.5}, "must be a whole number"),
            ({"bytes": True}, "must be a whole number"),
            ({"bytes": "12"}, "must be a whole number"),
            ({"bytes": 2**63}, "cannot be"),
            ({"hash": "crc32:00000000"}, "algorithm 'crc32' is unknown"),
            ({"hash": "xyz"}, "has no algorithm"),
            ({"hash": "md5:xyz"}, "not 32 hexadecimal digits"),
            ({"hash": 7}, "its hash must be text"),
            ({"name": 7}, "its name must be text"),
            ({"endpoint": 7}, "its endpoint must be text"),
        ],
    )
    def test_what_a_database_says_wrongly_is_refused(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str
    ) -> None:
        resource = {"id": "a", "name": "a", "path": "a", "bytes": 3, "hash": "0" * 32} | changes
        answering(rig, monkeypatch, {key: value for key, value in resource.items() if value is not None})
        refused(rig, InvalidDescriptorError, words)

    def test_a_descriptor_that_is_no_object(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(rig, monkeypatch, ["a", "b"])
        refused(rig, InvalidDescriptorError, "must be a JSON object, not list")

    @pytest.mark.parametrize("key", ["id", "name", "path", "bytes", "hash", "endpoint"])
    def test_further_properties_cannot_replace_what_was_checked(self, key: str) -> None:
        with pytest.raises(InvalidDescriptorError, match=f"may not be called {key}"):
            Descriptor(id="a", path="ok", bytes=1, properties={key: "manifest.json"})

    def test_properties_that_are_not_unicode(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(rig, monkeypatch, Descriptor(id="a", path="a", bytes=1, properties={"title": "\ud800"}))
        refused(rig, InvalidDescriptorError, "not valid Unicode")

    @pytest.mark.parametrize("answer", [None, 3])
    def test_a_database_that_answers_nonsense(self, rig: Rig, monkeypatch: pytest.MonkeyPatch, answer: object) -> None:
        monkeypatch.setattr(rig.source, "descriptors", lambda orcid, ids: answer)
        refused(rig, UnavailableError, "'source' has a fault: TypeError")

    def test_an_id_that_is_described_twice(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(rig, monkeypatch, *[rig.source.descriptors_by_id["a"]] * 2)
        refused(rig, DuplicateFilesError, "'a'")

    def test_a_file_that_nobody_asked_for(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(rig, monkeypatch, rig.source.descriptors_by_id["a"], rig.source.descriptors_by_id["b"])
        refused(rig, InvalidDescriptorError, "'b'.*without being asked")

    def test_inline_data_that_comes_along_is_welcome(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(rig, monkeypatch, rig.source.descriptors_by_id["a"], {"id": "extra", "data": [1]})
        assert [d.id for d in rig.planner.plan(rig.specification("a")).descriptors] == ["a", "extra"]

    def test_raw_data_resources_are_taken_as_descriptors(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(rig, monkeypatch, {"id": "a", "path": "x//y/./z", "bytes": 12.0, "hash": "A" * 32, "format": "fa"})
        (descriptor,) = rig.planner.plan(rig.specification("a")).descriptors
        assert (descriptor.path, descriptor.bytes, str(descriptor.hash)) == ("x/y/z", 12, "md5:" + "a" * 32)
        assert descriptor.properties == {"format": "fa"}

    @pytest.mark.parametrize(
        ("paths", "words"),
        [
            (("x", "x"), "'one' and 'two' would be written to one path: 'x'"),
            (("x/./y", "x/y"), "would be written to one path"),
            (("x", "x/y"), "both a file and the folder of 'x/y'"),
            (("manifest.json", "y"), "kept for the manifest"),
            (("manifest.json/y", "y"), "kept for the manifest"),
        ],
    )
    def test_files_that_would_overwrite_each_other(self, rig: Rig, paths: Sequence[str], words: str) -> None:
        rig.source.add("one", b"1", path=paths[0])
        rig.source.add("two", b"2", path=paths[1])
        refused(rig, DestinationConflictError, words, "one", "two")

    def test_a_manifest_further_down_is_a_file_like_others(self, rig: Rig) -> None:
        rig.source.add("one", b"1", path="deep/manifest.json")
        assert rig.run(rig.create("one")).code == "succeeded"


class TestEndpoints:
    def test_an_endpoint_that_is_not_configured(self, rig: Rig) -> None:
        rig.source._endpoint_name = "lost"
        refused(rig, EndpointNotFoundError, "'lost'; configured are: 'destination', 'source'")

    def test_a_destination_s_endpoint_that_is_not_configured(self, rig: Rig) -> None:
        rig.destination._endpoint_name = "lost"
        refused(rig, EndpointNotFoundError, "'lost'")

    def test_a_database_without_endpoints(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rig.source, "endpoint_names", tuple)
        refused(rig, InvalidDatabaseConfigError, "databases.source: has no endpoints")

    def test_a_descriptor_at_an_endpoint_that_its_database_does_not_have(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answering(rig, monkeypatch, Descriptor(id="a", path="a", bytes=1, endpoint="destination"))
        refused(rig, InvalidResourceEndpointError, "'a'.*'destination'")

    def test_a_descriptor_that_does_not_say_at_which_of_several_endpoints(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rig.source, "endpoint_names", lambda: ("source", "destination"))
        refused(rig, ResourceEndpointNotFoundError, "needs the property 'endpoint'")

    def test_files_at_several_endpoints_are_counted_for_each(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rig.source, "endpoint_names", lambda: ("source", "destination"))
        for file_id, endpoint in (("a", "source"), ("b", "destination"), ("c", "source")):
            descriptor = rig.source.descriptors_by_id[file_id]
            rig.source.descriptors_by_id[file_id] = attrs.evolve(descriptor, endpoint=endpoint)
        rig.destination_endpoint.put("b", b"content of b")
        plan = rig.planner.plan(rig.specification("c", "b", "a"))
        assert [(s.endpoint, s.num_files) for s in plan.sources] == [("destination", 1), ("source", 2)]
        assert plan.endpoints == ("source", "destination", "source")
        assert rig.run(rig.create("a", "b", "c")).num_files_transferred == 3

    def test_functional_names_of_endpoints_are_understood(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        config = attrs.evolve(
            rig.config, databases={"source": DatabaseConfig(key="source", endpoints={"nersc": "source"})}
        )
        answering(rig, monkeypatch, Descriptor(id="a", path="a", bytes=1, endpoint="nersc"))
        plan = Planner(config, rig.databases, rig.endpoints).plan(rig.specification("a"))
        assert plan.endpoints == ("source",)


class TestCustomDestinations:
    def test_the_payload_goes_below_the_path(self, rig: Rig) -> None:
        transfer_id = rig.create("a", destination="fake:destination:/some//where/:")
        assert rig.run(transfer_id).code == "succeeded"
        assert f"some/where/dts-{transfer_id}/a" in rig.destination_endpoint.files
        assert rig.store.journal()[0].manifest["username"] == ""

    def test_an_empty_path_is_the_root(self, rig: Rig) -> None:
        transfer_id = rig.create("a", destination="fake:destination::")
        rig.run(transfer_id)
        assert f"dts-{transfer_id}/a" in rig.destination_endpoint.files

    def test_an_endpoint_is_found_by_its_configured_id(self, rig: Rig) -> None:
        config = attrs.evolve(
            rig.config,
            endpoints={
                "source": EndpointConfig(key="source", provider="fake", root="/"),
                "destination": EndpointConfig(key="destination", id="1234", provider="fake", root="/"),
            },
            credentials={"me": Credential(name="me", id="x")},
        )
        planner = Planner(config, rig.databases, rig.endpoints)
        destination = planner.plan(rig.specification("a", destination="fake:1234:x:me")).destination
        assert (destination.endpoint, destination.path, destination.username) == ("destination", "x", "")

    @pytest.mark.parametrize(
        ("destination", "words"),
        [
            ("fake:destination:x", "3 parts"),
            ("fake:destination:x:y:z", "5 parts"),
            (":destination:x:", "must not be empty"),
            ("fake::x:", "must not be empty"),
            ("fake:destination:../x:", "leads upwards"),
            ("fake:destination:a/../x:", "leads upwards"),
            ("fake:destination:a\x00:", "control characters"),
            ("fake:destination:x:nobody", "credential 'nobody' is not configured"),
            ("fake:elsewhere:x:", "no 'fake' endpoint has the name or id 'elsewhere'"),
            ("globus:destination:x:", "no 'globus' endpoint"),
        ],
    )
    def test_a_malformed_one_says_what_is_wrong_and_gives_the_form(
        self, rig: Rig, destination: str, words: str
    ) -> None:
        refused(rig, InvalidCustomSpecError, f"{words}.*<provider>:<id>:<path>:<credential>", destination=destination)


class TestRecords:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: User(name=3, orcid="x"),  # type: ignore[arg-type]
            lambda: User(name="\ud800", orcid="x"),
            lambda: User(name="x", orcid=None),  # type: ignore[arg-type]
        ],
    )
    def test_users_are_text(self, make: Callable[[], User]) -> None:
        with pytest.raises(SpecificationError, match=r"User\.(name|orcid)"):
            make()

    @pytest.mark.parametrize("file_ids", ["abc", 3, None, [""], [3], ["\ud800"]])
    def test_file_ids_are_a_list_of_texts(self, rig: Rig, file_ids: Any) -> None:
        with pytest.raises(SpecificationError, match="file_ids"):
            rig.specification(file_ids=file_ids)

    @pytest.mark.parametrize("field", ["source", "destination", "description"])
    def test_names_and_sentences_are_text(self, rig: Rig, field: str) -> None:
        with pytest.raises(SpecificationError, match=field):
            rig.specification("a", **{field: 7})

    def test_the_user_is_a_user(self, rig: Rig) -> None:
        with pytest.raises(SpecificationError, match="must be a User, not str"):
            rig.specification("a", user="ada")


def test_a_plan_stores_nothing_and_says_what_would_go_where(rig: Rig) -> None:
    plan = rig.planner.plan(rig.specification("c", "a"))
    assert [descriptor.id for descriptor in plan.descriptors] == ["a", "c"]
    assert (plan.num_files, plan.num_bytes) == (2, 2 * len("content of a"))
    assert plan.destination.folder("X") == f"{ORCID}/dts-X"
    assert rig.store.transfers() == []


def test_databases_are_asked_with_the_user_s_orcid(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = FakeDatabase.descriptors

    def descriptors(self: FakeDatabase, orcid: str, file_ids: Sequence[str]) -> Sequence[Descriptor]:
        asked.append(orcid)
        return real(self, orcid, file_ids)

    monkeypatch.setattr(FakeDatabase, "descriptors", descriptors)
    rig.planner.plan(rig.specification("a"))
    assert asked == [ORCID]
