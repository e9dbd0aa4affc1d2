"""What is wrong in a configuration is said with file, line and key, and never with a secret."""

from __future__ import annotations

import json
import os
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_fsm.config import Config, Credential, DatabaseConfig, EndpointConfig, Secret, ServiceConfig
from dts_fsm.config.redaction import redacted
from dts_fsm.config.yaml_text import MAX_BYTES
from dts_fsm.errors import (
    ConfigurationError,
    DatabaseNotFoundError,
    InvalidCredentialConfigError,
    InvalidDatabaseConfigError,
    InvalidEndpointConfigError,
    InvalidServiceConfigError,
    NoDatabasesAvailableError,
)

FILE = "/etc/dts/dts.yaml"
# The lines are counted in the tests: a change here moves them.
WHOLE = """\
service:
  data_dir: state
  endpoint: scratch
  port: 8080
credentials:
  globus:
    id: somebody
    secret: hunter2
endpoints:
  scratch:
    provider: local
    root: files
    workers: 2
  collection:
    provider: globus
    id: 5b2f36a0-9f44-4b0a-8e6a-1d3f3d1c2b47
    credential: globus
databases:
  genomes:
    endpoint: scratch
    catalog: datapackage.json
  nmdc:
    endpoints:
      nersc: collection
      emsl: scratch
"""


def refused(old: str, new: str, **environment: str) -> ConfigurationError:
    """The error for the file with one thing replaced."""
    assert old in WHOLE
    with pytest.raises(ConfigurationError) as caught:
        Config.parse(WHOLE.replace(old, new, 1), file=FILE, environment=environment)
    return caught.value


def refused_text(text: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        Config.parse(text, file=FILE, environment={})
    return caught.value


def everything_shown(error: BaseException) -> str:
    """What a log with a traceback would have, chained errors included."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(error.__context__) + repr(error.__cause__)


# Sections and keys


@pytest.mark.parametrize(
    ("text", "kind", "line", "key"),
    [
        (WHOLE.replace("service:", "servise:"), ConfigurationError, 1, "servise"),
        (WHOLE[WHOLE.index("credentials:") :], InvalidServiceConfigError, 1, "service"),
        ("service:\nendpoints: {}\n", InvalidServiceConfigError, 1, "service"),
        (
            WHOLE[: WHOLE.index("endpoints:")] + WHOLE[WHOLE.index("databases:") :],
            InvalidEndpointConfigError,
            1,
            "endpoints",
        ),
        (WHOLE.replace("endpoints:", "endpoints: {}\nx:", 1), ConfigurationError, 10, "x"),
        (WHOLE[: WHOLE.index("databases:")], NoDatabasesAvailableError, 1, "databases"),
        (WHOLE[: WHOLE.index("databases:")] + "databases: {}\n", NoDatabasesAvailableError, 18, "databases"),
        (WHOLE[: WHOLE.index("databases:")] + "databases:\n", NoDatabasesAvailableError, 18, "databases"),
        ("just text\n", ConfigurationError, 1, None),
        ("- service\n", ConfigurationError, 1, None),
        ("service: 5\n", InvalidServiceConfigError, 1, "service"),
        ("", ConfigurationError, 1, None),
        ("# nothing\n\n", ConfigurationError, 1, None),
    ],
)
def test_sections_that_are_missing_or_unknown_are_named(
    text: str, kind: type[ConfigurationError], line: int, key: str | None
) -> None:
    error = refused_text(text)

    assert (type(error), error.file, error.line, error.key) == (kind, FILE, line, key)


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "hint"),
    [
        ("port:", "prot:", 4, "service.prot", "'port'"),
        ("secret: h", "sekret: h", 8, "credentials.globus.sekret", "'secret'"),
        ("workers", "worker", 13, "endpoints.scratch.worker", "'workers'"),
        ("    root:", "    bucket: b\n    root:", 12, "endpoints.scratch.bucket", "known are"),
        ("catalog:", "katalog:", 21, "databases.genomes.katalog", "'catalog'"),
        ("catalog: datapackage.json", "katalog:", 21, "databases.genomes.katalog", "'catalog'"),
        ("port: 8080", "prot:", 4, "service.prot", "'port'"),
        ("  globus:\n", "  globus:\n    Id:\n", 7, "credentials.globus.Id", "'id'"),
        ("credential: globus\n", "auth: {id: x}\n", 17, "endpoints.collection.auth.id", "client_id"),
        ("  port", "  <<: x\n  port", 4, "service.<<", "known are"),
    ],
)
def test_unknown_keys_are_refused_with_the_one_that_was_meant(
    old: str, new: str, line: int, key: str, hint: str
) -> None:
    error = refused(old, new)

    assert (error.file, error.line, error.key) == (FILE, line, key)
    assert "there is no such key" in error.message
    assert hint in error.message


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "first"),
    [
        ("  port: 8080", "  port: 8080\n  port: 8080", 5, "service.port", 4),
        ("  nmdc:", "  genomes:", 22, "databases.genomes", 19),
        ("databases:", "service: {}\ndatabases:", 18, "service", 1),
        ("    workers: 2", '    "root": x', 13, "endpoints.scratch.root", 12),
    ],
)
def test_duplicate_keys_are_refused_with_both_lines(old: str, new: str, line: int, key: str, first: int) -> None:
    error = refused(old, new)

    assert (error.file, error.line, error.key) == (FILE, line, key)
    assert f"first in line {first}" in error.message


# Values


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("port: -1", "from 0 to 65535"),
        ("port: 65536", "from 0 to 65535"),
        ("port: http", "a whole number"),
        ("port: 80.5", "a whole number"),
        ("port: ''", "a whole number"),
        ("port: " + "9" * 400, "a whole number"),
        ("port: " + "9" * 99, "from 0 to 65535"),
        ("port: [80]", "one value, not a list"),
        ("port: {a: 1}", "one value, not a mapping"),
        ("max_connections: 0", "from 1"),
        ("max_payload_size: 0", "above 0"),
        ("max_payload_size: nan", "a number"),
        ("max_payload_size: .inf", "a number"),
        ("max_payload_size: 1e400", "a number"),
        ("poll_interval: -1", "above 0"),
        ("poll_interval: 60s", "a number"),
        ("delete_after: 0", "above 0"),
        ("delete_after: 1e10", "to 1000000000 s"),
        ("debug: maybe", "true or false"),
        ("debug: 1", "true or false"),
        ("double_check_staging: ''", "true or false"),
        ("synchronous: off", "'full' or 'normal'"),
        ("overwrite: sometimes", "'never' or 'if-different' or 'always'"),
        ("partial: maybe", "'fail' or 'keep'"),
        ("rate: 0", "a number above 0 to 1000000000 calls/s"),
        ("stall_after: 0", "a number above 0"),
        ("manifest_dir: ''", "it is empty"),
        ('manifest_dir: "a\\0b"', "NUL"),
        ("manifest_dir: ~nobody-of-this-name/x", "home is unknown"),
        ("data_directory: other", "another name of 'data_dir'"),
        ("max_retry_delay: 0.5", "retry_delay"),
        ("secret: [a]", "one value"),
    ],
)
def test_a_wrong_value_of_the_service_is_named(setting: str, message: str) -> None:
    error = refused("port: 8080", setting)

    assert type(error) is InvalidServiceConfigError
    assert (error.file, error.line, error.key) == (FILE, 4, f"service.{setting.partition(':')[0]}")
    assert message in error.message


@pytest.mark.parametrize(
    ("old", "new", "kind", "line", "key"),
    [
        ("  data_dir: state\n", "", InvalidServiceConfigError, 1, "service.data_dir"),
        ("data_dir: state", "data_dir: ''", InvalidServiceConfigError, 2, "service.data_dir"),
        ("  endpoint: scratch\n", "", InvalidServiceConfigError, 1, "service.endpoint"),
        ("endpoint: scratch", "endpoint: ''", InvalidServiceConfigError, 3, "service.endpoint"),
        ("endpoint: scratch", "endpoint: nowhere", InvalidServiceConfigError, 3, "service.endpoint"),
        ("credentials:", "credentials: [a]\nx:", ConfigurationError, 6, "x"),
        ("id: somebody\n    secret: hunter2", "id: ''", InvalidCredentialConfigError, 7, "credentials.globus.id"),
        ("\n    id: somebody\n    secret: hunter2", "", InvalidCredentialConfigError, 6, "credentials.globus"),
        ("\n    id: somebody\n    secret: hunter2", " hunter2", InvalidCredentialConfigError, 6, "credentials.globus"),
        ("  globus:\n", "  glo:bus:\n", InvalidCredentialConfigError, 6, "credentials.glo:bus"),
        ("    provider: local\n", "", InvalidEndpointConfigError, 10, "endpoints.scratch.provider"),
        ("provider: local", "provider: ''", InvalidEndpointConfigError, 11, "endpoints.scratch.provider"),
        ("root: files", "root: ''", InvalidEndpointConfigError, 12, "endpoints.scratch.root"),
        ("workers: 2", "base_path: /x", InvalidEndpointConfigError, 13, "endpoints.scratch.base_path"),
        ("workers: 2", "concurrency: 2000", InvalidEndpointConfigError, 13, "endpoints.scratch.concurrency"),
        ("workers: 2", "rate: -1", InvalidEndpointConfigError, 13, "endpoints.scratch.rate"),
        ("workers: 2", "workers: 0", InvalidEndpointConfigError, 13, "endpoints.scratch.workers"),
        ("workers: 2", "durable: often", InvalidEndpointConfigError, 13, "endpoints.scratch.durable"),
        ("workers: 2", "durable: FILE", InvalidEndpointConfigError, 13, "endpoints.scratch.durable"),
        ("  scratch:\n", "  s:a:\n", InvalidEndpointConfigError, 10, "endpoints.s:a"),
        ("id: 5b2f36a0-9f44", "id: xxxx", InvalidEndpointConfigError, 16, "endpoints.collection.id"),
        (
            "id: 5b2f36a0-9f44-4b0a-8e6a-1d3f3d1c2b47",
            "id: 00000000-0000-0000-0000-000000000000",
            InvalidEndpointConfigError,
            16,
            "endpoints.collection.id",
        ),
        (
            "credential: globus\n",
            "credential: gobus\n",
            InvalidCredentialConfigError,
            17,
            "endpoints.collection.credential",
        ),
        (
            "credential: globus\n",
            "credential: globus\n    auth: {client_id: x}\n",
            InvalidEndpointConfigError,
            18,
            "endpoints.collection.auth",
        ),
        ("credential: globus\n", "auth: {}\n", InvalidCredentialConfigError, 17, "endpoints.collection.auth"),
        ("  genomes:\n", "  gen:omes:\n", InvalidDatabaseConfigError, 19, "databases.gen:omes"),
        ("    endpoint: scratch\n", "", InvalidDatabaseConfigError, 19, "databases.genomes.endpoint"),
        ("    endpoint: scratch\n", "    endpoint: ''\n", InvalidDatabaseConfigError, 20, "databases.genomes.endpoint"),
        (
            "    endpoint: scratch\n",
            "    endpoint: far\n",
            InvalidDatabaseConfigError,
            20,
            "databases.genomes.endpoint",
        ),
        (
            "    catalog",
            "    endpoints: {x: scratch}\n    catalog",
            InvalidDatabaseConfigError,
            21,
            "databases.genomes.endpoints",
        ),
        ("    endpoints:\n", "    endpoint:\n", InvalidDatabaseConfigError, 23, "databases.nmdc.endpoint"),
        ("emsl: scratch", "emsl: far", InvalidDatabaseConfigError, 25, "databases.nmdc.endpoints.emsl"),
        ("emsl: scratch", "emsl:", InvalidDatabaseConfigError, 25, "databases.nmdc.endpoints.emsl"),
        ("emsl: scratch", "emsl: [scratch]", InvalidDatabaseConfigError, 25, "databases.nmdc.endpoints.emsl"),
        ("catalog: data", "rate: 0", InvalidDatabaseConfigError, 21, "databases.genomes.rate"),
        ("catalog: data", "staging_delay: data", InvalidDatabaseConfigError, 21, "databases.genomes.staging_delay"),
        ("catalog: data", "credential: data", InvalidCredentialConfigError, 21, "databases.genomes.credential"),
    ],
)
def test_a_wrong_value_of_another_section_is_named(
    old: str, new: str, kind: type[ConfigurationError], line: int, key: str
) -> None:
    error = refused(old, new)

    assert (type(error), error.file, error.line, error.key) == (kind, FILE, line, key)
    assert str(error) == f"{FILE}:{line}: {key}: {error.message}"


def test_a_database_whose_kind_nothing_tells_is_named_when_it_is_asked_for() -> None:
    config = Config.parse(WHOLE.replace("  nmdc:", "  microbes:"), file=FILE, environment={})

    with pytest.raises(InvalidDatabaseConfigError) as caught:
        config.database_provider("microbes")

    assert (caught.value.file, caught.value.line, caught.value.key) == (FILE, 22, "databases.microbes.provider")


def test_the_kind_of_a_database_that_is_not_configured_is_a_look_up_error() -> None:
    with pytest.raises(DatabaseNotFoundError, match="'genomes'"):
        Config.parse(WHOLE, environment={}).database_provider("genome")


def test_the_line_of_a_name_with_dots_is_its_own() -> None:
    error = refused("  genomes:\n    endpoint: scratch", "  a: {endpoint: scratch}\n  a.b:\n    endpoint: far")

    assert (error.line, error.key) == (21, "databases.a.b.endpoint")


def test_a_long_list_of_known_names_is_cut() -> None:
    many = "".join(f"  e{number}: {{provider: local}}\n" for number in range(30))

    error = refused("endpoints:\n  scratch", f"endpoints:\n{many}  other")

    assert error.key == "service.endpoint"
    assert error.message.endswith("e24, e25, ...")


# Variables


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("port: 8080", "port: ${NOWHERE}", 4, "service.port"),
        ("secret: hunter2", "secret: x${NOWHERE}", 8, "credentials.globus.secret"),
        ("root: files", "root: ${NOWHERE}/x", 12, "endpoints.scratch.root"),
        ("provider: local", "provider: ${NOWHERE}", 11, "endpoints.scratch.provider"),
        ("emsl: scratch", "emsl: ${NOWHERE}", 25, "databases.nmdc.endpoints.emsl"),
        ("catalog: data", "name: >\n      a\n\n      ${NOWHERE}\n    catalog: data", 21, "databases.genomes.name"),
        (
            "provider: local\n",
            "provider: orbital\n    dishes:\n    - a\n    - b: ${NOWHERE}\n",
            14,
            "endpoints.scratch.dishes[1].b",
        ),
    ],
)
def test_an_undefined_variable_is_named_with_its_place(old: str, new: str, line: int, key: str) -> None:
    error = refused(old, new)

    assert (error.file, error.line, error.key) == (FILE, line, key)
    assert "NOWHERE is not defined" in error.message


@pytest.mark.parametrize("written", ["${}", "${A-B}", "${A", "${1}", "${A:-x}", "${ A }"])
def test_a_brace_that_begins_no_variable_is_refused(written: str) -> None:
    error = refused("files", f"'{written}'", A="x")

    assert (error.line, error.key) == (12, "endpoints.scratch.root")
    assert "write ${NAME}" in error.message


def test_a_variable_in_a_key_is_refused() -> None:
    error = refused("  genomes:", "  ${NAME}:", NAME="genomes")

    assert (error.line, error.key) == (19, "databases")
    assert "variables are replaced in values only" in error.message


@pytest.mark.parametrize(("value", "message"), [("a\x00b", "NUL"), ("\udcff", "Unicode")])
def test_what_no_text_may_have_is_refused_from_a_variable_too(value: str, message: str) -> None:
    error = refused("secret: hunter2", "secret: ${X}", X=value)

    assert error.key == "credentials.globus.secret"
    assert message in error.message


def test_variables_cannot_blow_a_value_up() -> None:
    error = refused("hunter2", "${X}" * 50_000, X="x" * 100_000)

    assert error.key == "credentials.globus.secret"
    assert "longer than" in error.message


# Hostile files


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("root: files", "root: &a files", 12, "endpoints.scratch.root"),
        ("root: files", "root: *a", 12, "endpoints.scratch.root"),
        ("  scratch:\n", "  scratch: &a\n", 10, "endpoints.scratch"),
        ("root: files", "&a root: files", 12, "endpoints.scratch"),
        ("root: files", "*a : files", 12, "endpoints.scratch"),
        ("root: files", "dishes: [1, &b 2]", 12, "endpoints.scratch.dishes[1]"),
    ],
)
def test_anchors_and_aliases_are_refused(old: str, new: str, line: int, key: str) -> None:
    error = refused(old, new)

    assert (error.line, error.key) == (line, key)
    assert "aliases and anchors" in error.message


@pytest.mark.parametrize(
    "tagged", ["!!python/object/apply:os.system [touch x]", "!!str files", "! files", "!local files", "!!binary aGk="]
)
def test_tags_are_refused(tagged: str) -> None:
    error = refused("root: files", f"root: {tagged}")

    assert (error.line, error.key) == (12, "endpoints.scratch.root")
    assert "YAML tags" in error.message


def test_a_bomb_of_aliases_is_refused_at_its_first_anchor() -> None:
    levels = "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 12))

    error = refused_text(f"x0: &x0 lol\n{levels}")

    assert (error.line, error.key) == (1, "x0")


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 100_000, "{a: " * 100_000, "a:\n  " + "- " * 100_000])
def test_deep_nesting_is_refused(text: str) -> None:
    assert "nested more than 16 deep" in refused_text(text).message


def test_a_file_that_is_too_large_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    file = tmp_path / "dts.yaml"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)  # sparse: a terabyte that takes no room

    with pytest.raises(ConfigurationError, match="larger than") as caught:
        Config.load(file)

    assert caught.value.file == str(file)
    assert "larger than" in refused_text("#" * (MAX_BYTES + 1)).message


def test_a_huge_value_where_a_number_belongs_is_refused() -> None:
    error = refused("port: 8080", "port: " + "9" * 500_000)

    assert error.key == "service.port"
    assert len(str(error)) < 200


@pytest.mark.parametrize(
    ("key", "message"),
    [("? " + "k" * 500, "1 to 200"), ('"a\\nb"', "printable"), ("''", "printable"), ("? [a]\n  ", "not a list")],
)
def test_a_key_that_no_message_could_show_is_refused(key: str, message: str) -> None:
    error = refused("  port: 8080", f"  {key}\n  : 8080" if key.startswith("?") else f"  {key}: 8080")

    assert (error.line, error.key) == (4, "service")
    assert message in error.message
    assert len(str(error)) < 200


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (WHOLE.encode().replace(b"hunter2", b"hunter2\xff"), 8),
        (WHOLE.encode("utf-16"), 1),
        (WHOLE.encode().replace(b"hunter2", b"hunter2\xed\xa0\x80"), 8),
    ],
)
def test_a_file_that_is_not_utf_8_is_refused_with_the_line(content: bytes, line: int, tmp_path: Path) -> None:
    (tmp_path / "dts.yaml").write_bytes(content)

    with pytest.raises(ConfigurationError, match="not UTF-8") as caught:
        Config.load(tmp_path / "dts.yaml")

    assert (caught.value.file, caught.value.line) == (str(tmp_path / "dts.yaml"), line)
    assert "hunter2" not in everything_shown(caught.value)


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\ud800"])
def test_control_characters_are_refused_with_the_line(character: str) -> None:
    error = refused("hunter2", f"hunter2{character}")

    assert (error.file, error.line) == (FILE, 8)
    assert "control character" in error.message


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("port: 8080", "port: 8080: 9", 4),
        ("port: 8080", "port: [8080", 5),
        ("  port", "\tport", 4),
        ("secret: hunter2", "secret: 'hunter2", 8),
        ("secret: hunter2", 'secret: "hunter2\\q"', 8),
        ("secret: hunter2", "secret: @hunter2", 8),
        ("secret: hunter2", "secret: %hunter2", 8),
        ("secret: hunter2", "secret: !<hunter2 x", 8),
        ("secret: hunter2", "secret: 'a' hunter2", 8),
    ],
)
def test_a_syntax_error_has_its_line_and_nothing_of_the_file(old: str, new: str, line: int) -> None:
    error = refused(old, new)

    assert (error.file, error.line) == (FILE, line)
    assert "not valid YAML" in error.message
    assert "hunter2" not in everything_shown(error)


def test_a_tab_that_indents_is_explained() -> None:
    assert "tabs" in refused("  port", "\tport").message


def test_a_second_document_is_refused() -> None:
    error = refused_text(WHOLE + "---\nservice: {}\n")

    assert (error.line, "second YAML document" in error.message) == (26, True)


@given(st.text(max_size=200) | st.text("{}[]:-,&*!|>'\"%@`#?\n\t ab${}", max_size=200))
def test_any_text_is_a_configuration_or_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Config.parse(text, environment={})


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    missing, folder, loop = tmp_path / "none.yaml", tmp_path / "folder", tmp_path / "loop"
    folder.mkdir()
    loop.symlink_to(loop)
    reasons = {
        missing: "No such file",
        folder: "directory",
        loop: "symbolic links",
        tmp_path / "a\0b": "cannot be used",
    }

    for file, reason in reasons.items():
        with pytest.raises(ConfigurationError, match=reason) as caught:
            Config.load(file)
        assert caught.value.file == str(file)


def test_a_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(name: str, _: str) -> None:
        raise PermissionError(13, os.strerror(13), name)

    monkeypatch.setattr("builtins.open", denied)  # the tests may run as root, who may read everything
    with pytest.raises(ConfigurationError, match="Permission denied") as caught:
        Config.load(tmp_path / "dts.yaml")

    assert caught.value.file == str(tmp_path / "dts.yaml")


# Secrets

SECRET = "correct-horse-battery"
SECRET_PLACES = WHOLE.replace("hunter2", "${X}").replace("port", "secret: ${X}\n  port")
SECRET_PLACES = SECRET_PLACES.replace("catalog: datapackage.json", "secret: ${X}")
SECRET_PLACES += "  sky:\n    provider: sky\n    endpoint: scratch\n    deep: [{token: '${X}'}]\n    odd: ${X}\n"


def test_no_secret_is_in_a_repr_nor_in_json() -> None:
    config = Config.parse(SECRET_PLACES, environment={"X": SECRET})
    secret = config.credentials["globus"].secret
    shown = [f"{config!r} {config} {config.databases} {config.endpoints}", f"{secret} {secret!r}"]

    assert secret == Secret(SECRET)
    assert config.databases["sky"].options == {"deep": [{"token": Secret(SECRET)}], "odd": SECRET}
    assert [text for text in shown if SECRET in text] == []
    with pytest.raises(TypeError, match="Secret is not JSON serializable"):
        json.dumps({"secret": secret})


def test_secrets_are_equal_by_their_text_alone() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("\udcff") != Secret("a")
    assert Secret("a") != "a"
    assert Secret("a").reveal() == "a"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("port: 8080", "port: ${X}"),
        ("port: 8080", "poll_interval: ${X}"),
        ("port: 8080", "debug: ${X}"),
        ("port: 8080", "synchronous: ${X}"),
        ("port: 8080", "manifest_dir: ~${X}"),
        ("port: 8080", "secret: [${X}]"),
        ("data_dir: state", "data_dir: ~${X}/y"),
        ("endpoint: scratch", "endpoint: ${X}"),
        ("    endpoint: scratch", "    endpoint: ${X}"),
        ("emsl: scratch", "emsl: a${X}"),
        ("credential: globus", f"credential: {SECRET}"),
        ("credential: globus", "credential: ${X}"),
        ("workers: 2", "workers: ${X}"),
        ("id: 5b2f36a0-9f44-4b0a-8e6a-1d3f3d1c2b47", "id: ${X}"),
        ("id: somebody\n    secret: hunter2", f"{SECRET}"),
        ("secret: hunter2", f"secret: '{SECRET}"),
        ("secret: hunter2", f"secret: {SECRET}: {SECRET}"),
        ("secret: hunter2", f"secret: &{SECRET} x"),
        ("secret: hunter2", f"secret: *{SECRET}"),
        ("secret: hunter2", f"secret: !{SECRET}!x y"),
        ("secret: hunter2", f"secret: {SECRET}${{NOWHERE}}"),
    ],
)
def test_no_error_shows_a_value_that_may_be_secret(old: str, new: str) -> None:
    error = refused(old, new, X=SECRET)

    assert SECRET not in everything_shown(error)


@pytest.mark.parametrize(
    "name", ["api_key", "client_secret", "password", "db_pwd", "passcode", "Authorization", "token"]
)
@pytest.mark.parametrize(
    "value", ["{key}: ${{X}}", "{key}: ['${{X}}', '${{']", "{key}: {{inner: '${{X}}${{NOWHERE}}'}}"]
)
def test_no_value_of_a_key_that_sounds_of_a_secret_is_shown(name: str, value: str) -> None:
    provider = "provider: local\n    root: files\n    workers: 2"
    text = WHOLE.replace(provider, f"provider: theirs\n    {value.format(key=name)}")
    try:
        shown = repr(Config.parse(text, environment={"X": SECRET}).endpoints["scratch"].options)
        shown += repr(Config.parse(text, environment={"X": SECRET}))
    except ConfigurationError as error:
        shown = everything_shown(error)
    assert SECRET not in shown


def test_a_text_that_others_wrote_loses_every_secret_of_a_record() -> None:
    config = Config.parse(SECRET_PLACES, environment={"X": SECRET})
    text = f"cannot log in with {SECRET} as somebody"

    assert redacted(text, config.endpoints["collection"]) == "cannot log in with *** as somebody"
    assert redacted(text, config.databases["sky"]) == "cannot log in with *** as somebody"
    assert redacted(text, config.endpoints["scratch"]) == text
    assert redacted("abc ab", [Secret("ab"), Secret("abc"), Secret("")]) == "*** ***"


# In memory


def service(**settings: object) -> ServiceConfig:
    return ServiceConfig(data_dir="/srv", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"port": "80"}, "service.port"),
        ({"port": True}, "service.port"),
        ({"port": 10**400}, "service.port"),
        ({"poll_interval_s": 0}, "service.poll_interval"),
        ({"poll_interval_s": float("nan")}, "service.poll_interval"),
        ({"poll_interval_s": float("inf")}, "service.poll_interval"),
        ({"poll_interval_s": True}, "service.poll_interval"),
        ({"poll_interval_s": 10**400}, "service.poll_interval"),
        ({"poll_interval_s": "1"}, "service.poll_interval"),
        ({"debug": 1}, "service.debug"),
        ({"endpoint": None}, "service.endpoint"),
        ({"secret": SECRET}, "service.secret"),
        ({"synchronous": "no"}, "service.synchronous"),
        ({"overwrite": None}, "service.overwrite"),
        ({"partial": True}, "service.partial"),
        ({"rate_per_s": -1}, "service.rate"),
        ({"manifest_dir": None}, "service.manifest_dir"),
        ({"manifest_dir": ""}, "service.manifest_dir"),
        ({"manifest_dir": "a\0"}, "service.manifest_dir"),
        ({"retry_delay_s": 5, "max_retry_delay_s": 4}, "service.max_retry_delay"),
    ],
)
def test_settings_in_memory_are_checked_as_those_of_a_file(settings: dict[str, object], key: str) -> None:
    with pytest.raises(InvalidServiceConfigError) as caught:
        service(**settings)

    assert (caught.value.file, caught.value.line, caught.value.key) == (None, None, key)
    assert SECRET not in everything_shown(caught.value)


def test_a_deadline_is_found_by_the_name_that_a_statechart_gives_it() -> None:
    assert service(staging_deadline_s=7).deadline_s("staging_deadline") == 7.0
    assert service().deadline_s(None) is None
    assert service().deadline_s("") is None
    for setting in ("lease_time", "tea_deadline"):
        with pytest.raises(InvalidServiceConfigError, match="staging_deadline"):
            service().deadline_s(setting)


SCRATCH = EndpointConfig(key="scratch", provider="local")


@pytest.mark.parametrize(
    ("parts", "key"),
    [
        ({"endpoints": {"other": SCRATCH}}, "endpoints.other"),
        ({"credentials": {"other": Credential(name="a", id="b")}}, "credentials.other"),
        ({"databases": {"other": DatabaseConfig(key="a", endpoints={"": "scratch"})}}, "databases.other"),
        ({"endpoints": {"scratch": SCRATCH}}, "service.endpoint"),
        (
            {
                "service": service(endpoint="scratch"),
                "endpoints": {"scratch": SCRATCH},
                "databases": {"a": DatabaseConfig(key="a", endpoints={"x": "far"})},
            },
            "databases.a.endpoints.x",
        ),
    ],
)
def test_a_configuration_in_memory_has_no_name_that_leads_nowhere(parts: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Config(**{"service": service(), **parts})  # type: ignore[arg-type]

    assert (caught.value.file, caught.value.line, caught.value.key) == (None, None, key)


def test_a_configuration_in_memory_may_leave_endpoints_to_its_host() -> None:
    config = Config(service=service(), databases={"a": DatabaseConfig(key="a", endpoints={"": "theirs"})})

    assert config.service.data_dir == Path("/srv")
    with pytest.raises(InvalidDatabaseConfigError) as caught:
        config.database_provider("a")
    assert (caught.value.file, caught.value.key) == (None, "databases.a.provider")


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", 5])
def test_names_are_fit_for_messages_and_custom_destinations(name: str) -> None:
    with pytest.raises(InvalidCredentialConfigError) as credential:
        Credential(name=name, id="x")
    with pytest.raises(InvalidEndpointConfigError) as endpoint:
        EndpointConfig(key=name, provider="local")
    with pytest.raises(InvalidDatabaseConfigError) as database:
        DatabaseConfig(key=name, endpoints={"": "x"})

    assert [text for text in map(str, (credential.value, endpoint.value, database.value)) if "\n" in text] == []


def test_a_plain_text_is_not_taken_for_a_secret() -> None:
    with pytest.raises(InvalidCredentialConfigError, match="must be a Secret"):
        Credential(name="a", id="b", secret=SECRET)  # type: ignore[arg-type]
    with pytest.raises(InvalidDatabaseConfigError, match="must be a Secret"):
        DatabaseConfig(key="a", endpoints={"": "x"}, secret=SECRET)  # type: ignore[arg-type]


def test_an_empty_secret_alone_is_no_credential() -> None:
    with pytest.raises(InvalidCredentialConfigError, match="needs an id"):
        Credential(name="a", secret=Secret(""))


def test_an_error_that_has_a_file_keeps_it() -> None:
    config = Config.parse(WHOLE, file=FILE, environment={})
    foreign = ConfigurationError("wrong", file="users.csv", line=3)

    assert config.located(foreign) is foreign


def test_an_error_without_a_known_key_has_the_line_of_what_is_around_it() -> None:
    config = Config.parse(WHOLE, file=FILE, environment={})
    lines = {
        key: config.located(ConfigurationError("wrong", key=key)).line
        for key in ("endpoints.scratch.root", "endpoints.scratch.nothing[5].here", "elsewhere", None)
    }

    assert lines == {
        "endpoints.scratch.root": 12,
        "endpoints.scratch.nothing[5].here": 10,
        "elsewhere": 1,
        None: 1,
    }


def test_what_is_no_path_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="a path is needed, not 5"):
        Config.load(5)  # type: ignore[arg-type]
