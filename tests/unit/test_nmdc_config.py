"""The section of a configuration that makes an NMDC database."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dts_fsm.config import Config, Credential, DatabaseConfig, Secret
from dts_fsm.databases.nmdc import NmdcDatabase
from dts_fsm.errors import ConfigurationError, InvalidDatabaseConfigError, InvalidDescriptorError
from dts_fsm.registry import build_databases, build_endpoints
from dts_fsm.testing import ORCID, FakeEndpoint
from dts_fsm.testing.json_service import served
from dts_fsm.testing.nmdc import NmdcService
from tests.servers.nmdc import PASSWORD, READS, SPECTRUM, USER, furnished

ENDPOINTS = {"tape": FakeEndpoint("tape"), "disk": FakeEndpoint("disk")}
CREDENTIAL = Credential(name="nmdc", id=USER, secret=Secret(PASSWORD))


def made(
    options: Mapping[str, Any] | None = None,
    endpoints: Mapping[str, str] | None = None,
    credential: Credential | None = CREDENTIAL,
) -> NmdcDatabase:
    config = DatabaseConfig(
        key="nmdc",
        endpoints={"nersc": "tape", "emsl": "disk"} if endpoints is None else endpoints,
        credential=credential,
        options=options or {},
    )
    return NmdcDatabase.from_config(config, endpoints=ENDPOINTS)


@pytest.mark.parametrize(
    ("options", "endpoints", "key", "message"),
    [
        ({"what": 1}, None, "what", "an nmdc database has no such option: it has url, base_url, hosts"),
        ({"delete_after": 1}, None, "delete_after", "has no such option"),
        ({"url": 7}, None, "url", "must be text"),
        ({"url": "api.microbiomedata.org"}, None, "url", "must be a URL"),
        ({"ca_file": "/nowhere.pem"}, None, "ca_file", "cannot be read"),
        ({"read_timeout_s": 0}, None, "read_timeout_s", "above 0"),
        ({"hosts": ["a"]}, None, "hosts", "must be a mapping"),
        ({"hosts": {"a.org": 7}}, None, "hosts", "must be endpoints by host"),
        ({"hosts": {"a.org": "cloud"}}, None, "hosts.a.org", "there is no endpoint 'cloud' among the database's"),
        ({"hosts": {"a b.org/?x": "nersc"}}, None, "hosts", "is not a host"),
        ({"hosts": {"ftp://a.org": "nersc"}}, None, "hosts", "is not a host"),
        ({"hosts": {"": "nersc"}}, None, "hosts", "is not a host"),
        ({"hosts": {"a.org:port": "nersc"}}, None, "hosts", "is not a host"),
        ({}, {"": "tape"}, "hosts", "or call the endpoints nersc and emsl"),
        ({}, {"a": "tape", "b": "disk"}, "hosts", "is missing"),
        ({}, {"nersc": "tape", "emsl": "cloud"}, "endpoints.emsl", "there is no endpoint 'cloud'"),
        ({}, {"": "cloud"}, "endpoint", "there is no endpoint 'cloud'"),
    ],
)
def test_what_is_wrong_is_named(
    options: dict[str, Any], endpoints: dict[str, str] | None, key: str, message: str
) -> None:
    with pytest.raises(InvalidDatabaseConfigError, match=message) as caught:
        made(options, endpoints)
    assert caught.value.key == f"databases.nmdc.{key}"


@pytest.mark.parametrize(
    "credential",
    [None, Credential(name="nmdc", id=USER), Credential(name="nmdc", secret=Secret(PASSWORD))],
)
def test_user_and_password_must_be_there(credential: Credential | None) -> None:
    with pytest.raises(InvalidDatabaseConfigError, match="a user and a password") as caught:
        made(credential=credential)
    assert caught.value.key == "databases.nmdc.credential"


def test_nothing_is_asked_of_nmdc_when_it_is_made() -> None:
    database = made({"url": "http://127.0.0.1:9/"})
    assert database.endpoint_names() == ("tape", "disk")
    database.close()


def test_a_password_is_not_shown_by_the_database() -> None:
    database = made()
    assert PASSWORD not in f"{database!r} {vars(database)!r}"
    database.close()


def test_hosts_name_endpoints_by_their_own_or_their_functional_names() -> None:
    with served(furnished(NmdcService({USER: PASSWORD}))) as server:
        hosts = {
            "https://data.microbiomedata.org/data/": "nersc",
            "data.microbiomedata.org/data/nmdc:omprc-11-1": "disk",
        }
        database = made({"url": server.url, "hosts": hosts})
        (reads, _) = database.descriptors(ORCID, [READS])
        assert (reads.endpoint, reads.path) == ("disk", "reads.fastq.gz")
        with pytest.raises(InvalidDescriptorError, match="'https://nmdcdemo.emsl.pnnl.gov/.*no endpoint is known"):
            database.descriptors(ORCID, [SPECTRUM])
        database.close()


def test_users_come_from_a_file_where_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text(f"{ORCID},ada\n", encoding="utf-8")
    assert made({"users": str(tmp_path / "users.csv")}).local_user(ORCID) == "ada"
    assert made().local_user(ORCID) == ORCID


TEXT = """
service: {data_dir: state, endpoint: tape}
credentials:
  nmdc: {id: ada, secret: "${NMDC_PASSWORD}"}
endpoints:
  tape: {provider: local, root: .}
  disk: {provider: local, root: .}
databases:
  nmdc:
    name: NMDC
    credential: nmdc
    endpoints: {nersc: tape, emsl: disk}
    hosts:
      data.example.org/public: nersc
      files.example.org: emsl
    read_timeout_s: 5
"""


def test_a_database_called_nmdc_needs_no_provider(tmp_path: Path) -> None:
    config = Config.parse(TEXT, file=str(tmp_path / "dts.yaml"), environment={"NMDC_PASSWORD": PASSWORD})
    database = build_databases(config, build_endpoints(config))["nmdc"]
    assert isinstance(database, NmdcDatabase)
    assert database.endpoint_names() == ("tape", "disk")
    database.close()


def test_an_error_names_file_and_line(tmp_path: Path) -> None:
    file = str(tmp_path / "dts.yaml")
    text = TEXT.replace("files.example.org: emsl", "files.example.org: cloud")
    config = Config.parse(text, file=file, environment={"NMDC_PASSWORD": PASSWORD})
    with pytest.raises(ConfigurationError, match="there is no endpoint 'cloud'") as caught:
        build_databases(config, build_endpoints(config))["nmdc"]
    assert (caught.value.file, caught.value.line) == (file, 15)
    assert caught.value.key == "databases.nmdc.hosts.files.example.org"
