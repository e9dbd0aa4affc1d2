"""What a configuration file says is what the records say."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_fsm.config import Config, Credential, DatabaseConfig, EndpointConfig, Secret, ServiceConfig
from dts_fsm.endpoints import LocalEndpoint

DATA = Path(__file__).parents[1] / "data"
GLOBUS_ID = "f1a6f1c2-0f0e-4b4e-8a3e-7f6f0c0d9a55"
ENVIRONMENT = {
    "AUTH_SECRET": "s3cret-auth",
    "PORT": "9090",
    "GLOBUS_ID": GLOBUS_ID,
    "GLOBUS_SECRET": "s3cret-globus",
    "JDP_SECRET": "s3cret-jdp",
    "S3_SECRET": "s3cret-s3",
}
GLOBUS = Credential(name="globus", id=GLOBUS_ID, secret=Secret("s3cret-globus"))
MINIMAL = """\
service:
  data_dir: state
  endpoint: scratch
endpoints:
  scratch: {provider: local, root: files}
databases:
  genomes:
    endpoint: scratch
"""


@pytest.fixture
def config() -> Config:
    return Config.parse(
        (DATA / "dts.yaml").read_text(encoding="utf-8"), file=str(DATA / "dts.yaml"), environment=ENVIRONMENT
    )


def parsed(text: str, **environment: str) -> Config:
    return Config.parse(text, file="/etc/dts/dts.yaml", environment=environment)


# A whole file


def test_every_key_of_the_service_is_read_in_its_unit(config: Config) -> None:
    assert config.service == ServiceConfig(
        secret=Secret("s3cret-auth"),
        port=9090,
        max_connections=250,
        max_payload_size_gb=0.5,
        poll_interval_s=1.5,
        endpoint="scratch",
        data_dir=DATA / "state",
        manifest_dir=DATA / "state/outbox",
        delete_after_s=86_400.0,
        debug=True,
        double_check_staging=True,
        unknown_deadline_s=10.0,
        staging_deadline_s=20.0,
        active_deadline_s=30.0,
        inactive_deadline_s=40.0,
        finalizing_deadline_s=50.0,
        cancel_deadline_s=60.0,
        max_attempts=7,
        retry_delay_s=0.25,
        max_retry_delay_s=16.0,
        call_timeout_s=12.5,
        concurrency=3,
        lease_time_s=5.0,
        synchronous="normal",
        rate_per_s=100.0,
        stall_after_s=600.0,
        overwrite="never",
        partial="keep",
    )
    assert config.service.max_payload_bytes == 500_000_000


def test_the_whole_file_sets_every_key_that_the_service_has(config: Config) -> None:
    unset = [
        field.metadata["key"]
        for field in attrs.fields(ServiceConfig)
        if f"service.{field.metadata['key']}" not in config.lines
    ]

    assert unset == []


def test_every_credential_is_read(config: Config) -> None:
    assert config.credentials == {
        "globus": GLOBUS,
        "jdp": Credential(name="jdp", secret=Secret("s3cret-jdp")),
        "guest": Credential(name="guest", id="anonymous"),
    }


def test_every_endpoint_is_read(config: Config) -> None:
    assert config.endpoints == {
        "scratch": EndpointConfig(
            key="scratch",
            title="The disk of this machine",
            id="0a5e2c1e-7a51-4c0b-9d0b-6f4d6b9a7c11",
            provider="local",
            root=str(DATA / "scratch"),
            concurrency=4,
            rate_per_s=20.5,
            options={"workers": 2},
        ),
        "tape": EndpointConfig(key="tape", provider="local", root="/archive/tape/2024"),
        "everywhere": EndpointConfig(key="everywhere", provider="local", root="/"),
        "collection": EndpointConfig(
            key="collection",
            title="A Globus collection",
            id="5b2f36a0-9f44-4b0a-8e6a-1d3f3d1c2b47",
            provider="globus",
            credential=GLOBUS,
            root="/dm_archive",
        ),
        "share": EndpointConfig(
            key="share",
            id="1f0c7f7e-33f5-4b58-a7f0-5f5b8d3b9a02",
            provider="globus",
            credential=attrs.evolve(GLOBUS, name="share.auth"),
            options={"base_path": "", "data_path": "bulk"},
        ),
        "power": EndpointConfig(
            key="power",
            title="A public bucket",
            provider="s3",
            options={"bucket": "nasa-power", "region": "us-west-2"},
        ),
        "minio": EndpointConfig(
            key="minio",
            id="7c9e6679-7425-40de-944b-e07fc1f90ae7",
            provider="s3",
            options={
                "bucket": "results",
                "region": "us-east-1",
                "access_key_id": "minio",
                "secret_key": Secret("s3cret-s3"),
                "session_token": Secret("s3cret-s3"),
                "base_url": "http://localhost:9000",
                "path_style": True,
                "disable_ssl": True,
                "max_parts": 16,
            },
        ),
        "orbit": EndpointConfig(
            key="orbit",
            provider="orbital",
            options={"dishes": [1, "two", 3.5], "uplink": {"power": 12, "apiToken": Secret("s3cret-s3")}},
        ),
    }


def test_every_database_is_read(config: Config) -> None:
    assert config.databases == {
        "jdp": DatabaseConfig(
            key="jdp",
            title="JGI Data Portal",
            organization="Joint Genome Institute",
            credential=config.credentials["jdp"],
            endpoints={"": "collection"},
            options={"url": "https://files.jgi.doe.gov"},
        ),
        "kbase": DatabaseConfig(
            key="kbase",
            title="KBase Workspace Service",
            organization="KBase",
            endpoints={"": "share"},
            secret=Secret("s3cret-jdp"),
            options={"data_directory": str(DATA / "state")},
        ),
        "nmdc": DatabaseConfig(
            key="nmdc",
            title="National Microbiome Data Collaborative",
            organization="LBNL, PNNL, ORNL",
            endpoints={"nersc": "collection", "emsl": "share"},
        ),
        "results": DatabaseConfig(
            key="results",
            title="What came out",
            endpoints={"": "minio"},
            options={
                "bucket": "results",
                "region": "us-east-1",
                "access_key_id": "minio",
                "secret_key": Secret("s3cret-s3"),
                "use_path_style": True,
                "delete_after": 3600,
            },
        ),
        "genomes": DatabaseConfig(
            key="genomes",
            title="Some genomes",
            organization="A laboratory",
            endpoints={"": "scratch"},
            concurrency=1,
            rate_per_s=0.5,
            options={
                "catalog": str(DATA / "genomes/datapackage.json"),
                "users": str(DATA / "users.csv"),
                "archive": "/archive/genomes",
                "staging_delay": 0.5,
            },
        ),
        "telescope": DatabaseConfig(
            key="telescope",
            provider="sky",
            endpoints={"": "orbit"},
            options={"password": Secret("s3cret-s3"), "azimuth": "007"},
        ),
    }


def test_the_order_of_functional_endpoints_is_that_of_the_file(config: Config) -> None:
    assert list(config.databases["nmdc"].endpoints) == ["nersc", "emsl"]


def test_a_database_says_its_kind_by_provider_or_name_or_endpoint(config: Config) -> None:
    kinds = {name: config.database_provider(name) for name in config.databases}

    assert kinds == {
        "jdp": "jdp",
        "kbase": "kbase",
        "nmdc": "nmdc",
        "results": "bucket",
        "genomes": "catalog",
        "telescope": "sky",
    }


def test_a_provider_that_is_said_goes_before_name_and_endpoint() -> None:
    text = MINIMAL.replace("genomes:\n", "kbase:\n    provider: catalog\n")

    assert parsed(text).database_provider("kbase") == "catalog"


# Loading


def test_a_loaded_file_takes_its_variables_from_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DTS_TEST_ENDPOINT", "scratch")
    file = tmp_path / "dts.yaml"
    file.write_text(MINIMAL.replace("endpoint: scratch", "endpoint: ${DTS_TEST_ENDPOINT}"), encoding="utf-8")

    config = Config.load(file)

    assert config.service.endpoint == "scratch"
    assert config.file == str(file)


@pytest.mark.parametrize(
    ("written", "durable"),
    [("file", "file"), ("batch", "batch"), ("none", "none"), ("true", True), ("No", False), ("'on'", True)],
)
def test_durable_is_a_word_or_yes_or_no_and_the_endpoint_understands_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, durable: str | bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    written_out = MINIMAL.replace("root: files", f"root: files, durable: {written}, default_checksum: blake3")
    config = parsed(written_out.replace("files,", f"{tmp_path}/files,")).endpoints["scratch"]
    assert config.options == {"durable": durable, "default_checksum": "blake3"}
    assert LocalEndpoint.from_config(config).root == str(tmp_path / "files")


def test_relative_paths_start_at_the_folder_of_the_file_wherever_the_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/dts.yaml").write_text(MINIMAL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    config = Config.load("etc/dts.yaml")

    assert config.service.data_dir == tmp_path / "etc/state"
    assert config.service.manifest_dir == tmp_path / "etc/state/manifests"
    assert config.endpoints["scratch"].root == str(tmp_path / "etc/files")


def test_relative_paths_of_a_text_without_a_file_start_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert Config.parse(MINIMAL).service.data_dir == tmp_path / "state"


def test_a_tilde_is_the_home_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")

    assert parsed(MINIMAL.replace("state", "~/state")).service.data_dir == Path("/home/ada/state")


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    (tmp_path / "b.yaml").write_text(MINIMAL, encoding="utf-8")

    a, b = Config.load(tmp_path / "a.yaml"), Config.load(tmp_path / "b.yaml")

    assert attrs.evolve(a, file=None) == attrs.evolve(b, file=None)


def test_a_minimal_file_has_the_defaults_of_dts() -> None:
    service = parsed(MINIMAL).service

    assert service == ServiceConfig(data_dir="/etc/dts/state", endpoint="scratch")
    assert (service.port, service.max_connections, service.max_payload_size_gb) == (8080, 100, 100.0)
    assert (service.poll_interval_s, service.delete_after_s) == (60.0, 604_800.0)
    assert (service.debug, service.double_check_staging, service.secret) == (False, False, None)


def test_a_key_without_a_value_is_as_good_as_none() -> None:
    text = MINIMAL.replace("  data_dir", "  port:\n  manifest_dir: ~\n  data_dir").replace(
        "    endpoint: scratch\n", "    endpoint: scratch\n    endpoints:\n    catalog: null\ncredentials:\n"
    )

    config = parsed(text)

    assert config == parsed(MINIMAL)


def test_data_directory_is_another_name_of_data_dir() -> None:
    assert parsed(MINIMAL.replace("data_dir:", "data_directory:")) == parsed(MINIMAL)


def test_json_is_read_as_the_yaml_that_it_is() -> None:
    text = (
        '{"service": {"data_dir": "state", "endpoint": "scratch"},'
        ' "endpoints": {"scratch": {"provider": "local", "root": "files"}},'
        ' "databases": {"genomes": {"endpoint": "scratch"}}}'
    )

    assert parsed(text) == parsed(MINIMAL)


@pytest.mark.parametrize(
    ("written", "flag"),
    [("true", True), ("True", True), ("yes", True), ("on", True), ("false", False), ("NO", False), ("off", False)],
)
def test_flags_are_written_in_any_of_yaml_s_ways(written: str, flag: bool) -> None:
    assert parsed(MINIMAL.replace("service:\n", f"service:\n  debug: {written}\n")).service.debug is flag


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("60000", 60.0), ("1e3", 1.0), ("1_000", 1.0), ("+5", 0.005), (".5", 0.0005), ("5.", 0.005)],
)
def test_numbers_are_written_in_the_usual_ways(written: str, seconds: float) -> None:
    text = MINIMAL.replace("service:\n", f"service:\n  poll_interval: {written}\n")

    assert parsed(text).service.poll_interval_s == seconds


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("12", 12),
        ("-1.5", -1.5),
        ("True", True),
        ("false", False),
        ("0123", "0123"),
        ("0", 0),
        ("-0.5", -0.5),
        ("'12'", "12"),
        ("1e999", "1e999"),
        ("9" * 101, "9" * 101),
        ("plain words", "plain words"),
        ("[a, {b: ~}]", ["a", {"b": None}]),
        ("2024-01-31", "2024-01-31"),
    ],
)
def test_the_options_of_another_s_provider_are_what_they_look_like(written: str, value: object) -> None:
    config = parsed(MINIMAL.replace("{provider: local, root: files}", f"\n    provider: orbital\n    dish: {written}"))

    assert config.endpoints["scratch"].options == {"dish": value}


@pytest.mark.parametrize(
    "key", ["secret", "password", "PASSWD", "passphrase", "api_token", "apiKey", "aws_secret_access_key", "tokens"]
)
def test_options_of_another_s_provider_that_sound_of_secrets_are_secret_all_the_way_down(key: str) -> None:
    written = f"\n    provider: orbital\n    {key}: {{value: [hush]}}"

    config = parsed(MINIMAL.replace("{provider: local, root: files}", written))

    assert config.endpoints["scratch"].options == {key: {"value": [Secret("hush")]}}


# Variables


def test_a_variable_is_replaced_wherever_it_stands_in_a_value() -> None:
    config = parsed(MINIMAL.replace("genomes:\n", "genomes:\n    name: a ${X} b ${X}${Y}\n"), X="1", Y="2")

    assert config.databases["genomes"].title == "a 1 b 12"


def test_what_a_variable_holds_is_not_looked_through_again() -> None:
    config = parsed(MINIMAL.replace("genomes:\n", "genomes:\n    name: ${X}\n"), X="${Y} $$")

    assert config.databases["genomes"].title == "${Y} $$"


@pytest.mark.parametrize(
    ("written", "text"), [("$${X}", "${X}"), ("$HOME", "$HOME"), ("5 $", "5 $"), ("$$5", "$5"), ("'${X}'", "1")]
)
def test_a_dollar_is_one_unless_a_brace_follows(written: str, text: str) -> None:
    config = parsed(MINIMAL.replace("genomes:\n", f"genomes:\n    name: {written}\n"), X="1")

    assert config.databases["genomes"].title == text


def test_a_variable_in_a_comment_need_not_be_defined() -> None:
    assert parsed(MINIMAL + "# ${NOWHERE}\n") == parsed(MINIMAL)


WORDS = st.one_of(
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    st.sampled_from(["", "~", "null", "true", "007", "a: b", "- x", "&a", "*a", "!!python/object:os.system", "#", "'"]),
    st.sampled_from(["x\n  port: 1", "}", "]", "${HOME}", "$$", "%YAML 1.2", "\ufeff", "\x85\u2028", "\r\n---\n"]),
)


@given(text=WORDS)
def test_what_a_variable_holds_is_the_value_and_never_structure(text: str) -> None:
    written = MINIMAL.replace("genomes:\n", "genomes:\n    name: ${X}\n    secret: ${X}\n")

    config = parsed(written, X=text)

    genomes = config.databases["genomes"]
    assert (genomes.title, genomes.secret) == (text, Secret(text))
    assert attrs.evolve(genomes, title="", secret=None) == parsed(MINIMAL).databases["genomes"]
    assert config.service == parsed(MINIMAL).service


@given(text=WORDS)
def test_a_variable_in_an_option_of_another_s_provider_is_never_structure(text: str) -> None:
    written = MINIMAL.replace("{provider: local, root: files}", "{provider: orbital, dish: '${X}', dishes: ['${X}']}")

    assert parsed(written, X=text).endpoints["scratch"].options == {"dish": text, "dishes": [text]}
