"""Hostile objects: whatever a caller or a database hands over, only our own errors come out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dts_fsm.config import Config, Credential, DatabaseConfig, EndpointConfig, Secret, ServiceConfig
from dts_fsm.errors import SpecificationError
from dts_fsm.planner import Planner
from dts_fsm.records import (
    Descriptor,
    FileOutcome,
    FileTransfer,
    OperationRequest,
    OperationStatus,
    SearchParameters,
    Specification,
    User,
)
from dts_fsm.serialization import to_json
from dts_fsm.testing.rig import ORCID
from tests.fuzzing import fuzz, limited, own_errors_only
from tests.strategies import JSON, OBJECTS, TEXTS, mutated_json, nested, records_of

pytestmark = pytest.mark.uncovered

CONSTRUCTED = (
    *(Specification, User, Descriptor, FileTransfer, SearchParameters, FileOutcome, OperationStatus, OperationRequest),
)
SERVICE = ServiceConfig(data_dir=Path("/nowhere"), endpoint="e")
ENDPOINT = EndpointConfig(key="e", provider="local")
DATABASE = DatabaseConfig(key="d", endpoints={"": "e"})
CONFIGS = (
    *(SERVICE, ENDPOINT, DATABASE, Credential(name="c", id="i", secret=Secret("s"))),
    Config(service=SERVICE, endpoints={"e": ENDPOINT}, databases={"d": DATABASE}),
)


# Records and configurations made in memory


@st.composite
def spoiled(draw: st.DrawFn, record: Any) -> dict[str, Any]:
    """The arguments that make the record again, but for one or two."""
    arguments = {field.name: getattr(record, field.name) for field in attrs.fields(type(record)) if field.init}
    for name in draw(st.lists(st.sampled_from(sorted(arguments)), min_size=1, max_size=2)):
        arguments[name] = draw(
            OBJECTS | st.lists(OBJECTS, max_size=2) | st.dictionaries(st.text(), OBJECTS, max_size=2)
        )
    return arguments


@pytest.mark.parametrize("kind", CONSTRUCTED, ids=lambda kind: kind.__name__)
@fuzz(40)
@given(data=st.data())
def test_any_objects_make_a_record_that_can_be_written_or_are_refused(kind: type, data: st.DataObject) -> None:
    arguments = data.draw(records_of(kind).flatmap(spoiled))
    with own_errors_only():
        to_json(kind(**arguments))


@example(made=(EndpointConfig, {"key": "e", "provider": "local", "options": 5}))
@example(made=(DatabaseConfig, {"key": "d", "endpoints": "abc"}))
@example(made=(DatabaseConfig, {"key": "d", "endpoints": {"": ["e"]}}))
@example(made=(Config, {"service": SERVICE, "endpoints": {"e": 5}}))
@example(made=(ServiceConfig, {"data_dir": "~\ud800"}))
@fuzz(250)
@given(made=st.sampled_from(CONFIGS).flatmap(lambda config: st.tuples(st.just(type(config)), spoiled(config))))
def test_any_objects_make_a_configuration_or_are_refused(made: tuple[Any, dict[str, Any]]) -> None:
    kind, arguments = made
    with own_errors_only():
        assert repr(kind(**arguments)).startswith(kind.__name__)


@fuzz(30)
@given(text=OBJECTS)
def test_any_object_is_a_secret_or_refused(text: Any) -> None:
    with own_errors_only():
        assert (repr(Secret(text)), Secret(text)) == ("Secret('***')", Secret(text))


# Plans


class Liar:
    """A database that answers whatever it is told to."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self._answers[name]


RESOURCE = {"id": "a", "name": "a", "path": "x/a", "bytes": 3, "hash": "md5:" + "0" * 32, "endpoint": "e"}


def planner(answers: Mapping[str, Any]) -> Planner:
    config = attrs.evolve(CONFIGS[-1], credentials={"c": CONFIGS[3]})
    endpoint: Any = Liar()
    endpoint.provider = "local"
    database: Any = Liar(**{"endpoint_names": ["e"], "local_user": "ada", "descriptors": [RESOURCE], **answers})
    return Planner(config, {"d": database}, {"e": endpoint, "f": endpoint})


def plan_of(specification: Specification, answers: Mapping[str, Any]) -> None:
    with own_errors_only():
        plan = planner(answers).plan(specification)
        assert sorted(specification.file_ids) == [
            item.id for item in plan.descriptors if item.id in specification.file_ids
        ]
        to_json(plan).encode()


def specification(**changes: Any) -> Specification:
    fields = {"source": "d", "destination": "d", "file_ids": ["a"], "user": User(name="Ada", orcid=ORCID)}
    return Specification(**(fields | changes))


def test_the_plan_that_is_spoiled_is_a_good_one() -> None:
    plan_of(specification(), {})


ANSWERS = {
    "descriptors": OBJECTS
    | st.lists(
        mutated_json(RESOURCE) | records_of(Descriptor) | st.just(Descriptor(id="a", path="a", bytes=1)) | OBJECTS,
        max_size=3,
    ),
    "endpoint_names": OBJECTS | st.lists(st.sampled_from(["e", "f", "g", ""]) | OBJECTS, max_size=3),
    "local_user": OBJECTS | st.text(),
}


@fuzz(200)
@given(answers=st.fixed_dictionaries({}, optional=ANSWERS), inline=st.booleans())
def test_any_answers_of_a_database_make_a_plan_or_are_refused(answers: dict[str, Any], inline: bool) -> None:
    if inline:
        answers.setdefault("descriptors", [{"id": "a", "data": {}}])
    plan_of(specification(), answers)


@fuzz(150)
@given(parts=st.lists(st.sampled_from(["local", "e", "g", "c", "nobody", *TEXTS]) | st.text(), max_size=5))
def test_any_custom_destination_is_planned_or_refused(parts: list[str]) -> None:
    with own_errors_only():
        plan_of(specification(destination=":".join(parts)), {})


@fuzz(150)
@given(value=OBJECTS | JSON.flatmap(mutated_json))
def test_any_instructions_are_planned_or_refused(value: Any) -> None:
    plan_of(specification(instructions=value), {})


@pytest.mark.parametrize("depth", [100, 500, 900, 1000, 100_000])
def test_instructions_of_any_depth_are_planned_or_refused(depth: int) -> None:
    plan_of(specification(instructions=nested(depth)), {})
    plan_of(specification(), {"descriptors": [{**RESOURCE, "deep": nested(depth)}]})


@fuzz(50)
@given(value=OBJECTS)
def test_what_is_no_specification_is_refused(value: Any) -> None:
    with pytest.raises(SpecificationError), limited():
        planner({}).plan(value)


def test_a_path_of_a_hundred_thousand_folders_is_planned_soon() -> None:
    plan_of(specification(), {"descriptors": [{**RESOURCE, "path": "a/" * 200_000 + "b"}]})
