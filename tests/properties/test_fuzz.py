"""Hostile configurations and JSON: whatever a text says, only our own errors come out, soon, and nothing is written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dts_fsm import records
from dts_fsm.config import Config
from dts_fsm.errors import ConfigurationError, SerializationError
from dts_fsm.records import Checksum, Descriptor, Specification, User
from dts_fsm.serialization import descriptor_from_resource, from_json, load_json, structure, to_json
from tests.fuzzing import fuzz, limited, own_errors_only
from tests.strategies import HOSTILE_JSON, JSON_WORDS, TEXTS, mutated, mutated_json, nested, records_of

pytestmark = pytest.mark.uncovered

DATA = Path(__file__).parents[1] / "data"
CONFIG = (DATA / "dts.yaml").read_text(encoding="utf-8")
SECRETS = ("s3cret-auth", "s3cret-globus", "s3cret-jdp", "s3cret-s3")
ENVIRONMENT = {
    "AUTH_SECRET": "s3cret-auth",
    "PORT": "9090",
    "GLOBUS_ID": "f1a6f1c2-0f0e-4b4e-8a3e-7f6f0c0d9a55",
    "GLOBUS_SECRET": "s3cret-globus",
    "JDP_SECRET": "s3cret-jdp",
    "S3_SECRET": "s3cret-s3",
    "NUL": "\x00",
    "LONE": "\udcff",
    "LONG": "x" * 10_000,
    "AGAIN": "${AGAIN}",
}
YAML = (
    *(
        "*a",
        "&a ",
        "&a [*a]",
        "<<: *a",
        "!!python/object/apply:os.getcwd []",
        "!!int ",
        "! ",
        "? ",
        "- ",
        "-",
        ":",
        ": ",
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        ",",
        "'",
        '"',
        "|\n",
        ">-\n",
        "#",
        "%YAML 1.9\n",
        "%TAG ! x\n",
        "---\n",
        "...\n",
        "@",
        "`",
        "\t",
    ),
    *(
        '"\\UFFFFFFFF"',
        '"\\ud800"',
        '"\\x00"',
        '"\\N\\_\\L\\P"',
        "\x85",
        "\r",
        "\x0c",
        "[" * 5000,
        "{a: " * 5000,
        "- " * 5000,
    ),
    *("${", "${}", "${NOPE}", "${S3_SECRET}", "${NUL}", "${LONE}", "${LONG}" * 40, "${AGAIN}", "$$", "$"),
    *(
        "1_000",
        "0o17",
        "0777",
        "0x1F",
        "190:20:30",
        ".inf",
        "-.INF",
        ".nan",
        "1e400",
        "-0",
        "+5",
        "1e-400",
        "٣",
        "1__0",
    ),
    *("2026-11-22", "2026-11-22 12:00:00", "null", "Null", "true", "NO", "y", "=", "<<", "'': ", "a: b", "a: {b: c}"),
    *("service", "credentials", "endpoints", "databases", "local", "globus", "s3", "catalog", "auth", "options"),
)
RESOURCE = {"id": "a", "name": "a", "path": "x/a", "bytes": 3, "hash": "md5:" + "0" * 32, "endpoint": "e"}
RECORDS = [
    kind
    for name in records.__all__
    if hasattr(kind := getattr(records, name), "__attrs_attrs__") and kind is not Checksum
]
ANY_TEXT = st.text(st.characters(codec=None))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Configurations


def config_of(text: str, folder: Path) -> None:
    with limited(folder):
        try:
            config = Config.parse(text, environment=ENVIRONMENT)
            for name in config.databases:
                config.database_provider(name)
        except ConfigurationError as error:
            told = f"{error} {error.__cause__} {error.__context__}"
            assert [secret for secret in SECRETS if secret in told] == []


def test_the_configuration_that_is_mutated_is_a_good_one() -> None:
    assert Config.parse(CONFIG, environment=ENVIRONMENT).service.port == 9090


@fuzz(250)
@given(text=mutated(CONFIG, [*YAML, *TEXTS]))
@example(text=CONFIG.replace("12.5", '"\\UFFFFFFFF"'))
@example(text=CONFIG.replace("12.5", '"\\U00110000"'))
@example(text="%YAML 1." + "1" * 5000 + "\n---\n" + CONFIG)
def test_a_mutated_configuration_is_read_or_refused_and_tells_no_secret(text: str, folder: Path) -> None:
    config_of(text, folder)


@fuzz(150)
@given(text=ANY_TEXT | st.lists(st.sampled_from([*YAML, *TEXTS, "\n", " ", "\n  "])).map("".join))
def test_any_text_is_refused_as_a_configuration(text: str, folder: Path) -> None:
    config_of(text, folder)


@fuzz(100)
@given(
    tree=mutated_json(nested(3))
    | mutated_json(
        {
            "service": {"data_dir": "x", "endpoint": "e"},
            "endpoints": {"e": {"provider": "x", "o": [1, {"p": 2}]}},
            "databases": {"d": {"endpoint": "e"}},
        }
    )
)
def test_any_tree_is_read_or_refused_as_a_configuration(tree: Any, folder: Path) -> None:
    config_of(json.dumps(tree), folder)


@pytest.mark.parametrize(
    "unit",
    [
        "a: b\n",
        "- a\n",
        "a, ",
        "'",
        '"',
        "\\",
        "&a ",
        "*a ",
        "${X}",
        "[",
        "{",
        "? ",
        ": ",
        "!",
        "%",
        "#",
        "\n",
        "\t",
        "é",
        "a\\\n",
        "| ",
        "--- ",
        "a: {",
        "a: [b, ",
    ],
)
def test_a_long_text_is_refused_soon(unit: str, folder: Path) -> None:
    for before in ("", "a: ", "a: [", "a: '", 'a: "', "a: |\n  "):
        config_of((before + unit * (1 << 18))[: 1 << 18], folder)


@pytest.mark.parametrize("item", ["a,\n", "a,"])
def test_long_keys_before_many_values_take_little_memory(item: str, folder: Path) -> None:
    text = "service: " + "".join(f"{{{'k' * 190}{level}: " for level in range(14)) + f"[{item * 300_000}]" + "}" * 14
    config_of(text, folder)


@fuzz(100)
@given(
    content=st.binary() | mutated(CONFIG, [*YAML, *TEXTS]).map(lambda text: text.encode(errors="surrogatepass")),
    encoding=st.sampled_from(["", "utf-16", "utf-32", "utf-8-sig", "utf-7"]),
)
def test_any_bytes_are_read_or_refused_as_a_configuration_file(content: bytes, encoding: str, folder: Path) -> None:
    file = folder / "dts.yaml"
    file.write_bytes(content.decode("utf-8", "replace").encode(encoding) if encoding else content)
    with own_errors_only(folder):
        Config.load(file)


@fuzz(30)
@given(name=st.sampled_from(TEXTS) | ANY_TEXT)
def test_any_name_of_a_configuration_file_is_refused(name: str, folder: Path) -> None:
    with pytest.raises(ConfigurationError), limited(folder):
        Config.load(name)


# Records


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@fuzz(15)
@given(data=st.data())
def test_mutated_json_of_a_record_is_read_or_refused(kind: type, data: st.DataObject) -> None:
    value = data.draw(mutated_json(json.loads(to_json(data.draw(records_of(kind))))))
    with own_errors_only():
        again = structure(value, kind)
        assert isinstance(again, kind)
        to_json(again)


@fuzz(100)
@given(data=st.data(), kind=st.sampled_from(RECORDS))
def test_mutated_json_text_of_a_record_is_read_or_refused(kind: type, data: st.DataObject) -> None:
    text = data.draw(mutated(to_json(data.draw(records_of(kind))), JSON_WORDS))
    with own_errors_only():
        assert isinstance(from_json(text, kind), kind)


@fuzz(200)
@given(value=HOSTILE_JSON, kind=st.sampled_from([Specification, User, Descriptor, records.OperationStatus]))
def test_any_json_is_refused_or_becomes_a_record(value: Any, kind: type) -> None:
    with own_errors_only():
        assert isinstance(structure(value, kind), kind)


def test_the_ids_of_a_specification_are_no_letters_and_no_keys() -> None:
    for ids in ("abc", {"a": 1}):
        with pytest.raises(SerializationError, match="file_ids"):
            structure(
                {"source": "a", "destination": "b", "file_ids": ids, "user": {"name": "a", "orcid": "b"}}, Specification
            )


@fuzz(100)
@given(text=ANY_TEXT | st.binary() | st.lists(st.sampled_from(JSON_WORDS)).map("".join))
def test_any_text_or_bytes_are_json_or_refused(text: str | bytes) -> None:
    with own_errors_only():
        load_json(text)


@fuzz(200)
@given(resource=HOSTILE_JSON | mutated_json(RESOURCE))
def test_any_data_resource_is_a_descriptor_or_refused(resource: Any) -> None:
    with own_errors_only():
        descriptor = descriptor_from_resource(resource)
        f"{descriptor.id}{descriptor.name}{descriptor.path}{descriptor.endpoint}".encode()
        to_json(descriptor)


@fuzz(100)
@given(text=ANY_TEXT | st.from_regex(re.compile(r"(md5|sha-?[0-9]{1,3}|blake2b):?[0-9a-fA-F]{30,70}"), fullmatch=True))
def test_any_text_is_a_checksum_or_refused(text: str) -> None:
    with limited():
        try:
            checksum = Checksum.parse(text)
        except ValueError:  # a checksum knows nothing of records: who makes one of a resource gives the error a name
            return
        assert Checksum.parse(str(checksum)) == checksum
