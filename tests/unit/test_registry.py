"""Providers are found among the installed packages, and made when they are first asked for."""

from __future__ import annotations

import importlib
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from dts_fsm.config import Config, Credential, DatabaseConfig, EndpointConfig, Secret, ServiceConfig
from dts_fsm.databases.catalog import CatalogDatabase
from dts_fsm.endpoints.local import LocalEndpoint
from dts_fsm.errors import (
    AlreadyRegisteredError,
    ConfigurationError,
    InvalidDatabaseConfigError,
    InvalidEndpointConfigError,
    InvalidProviderError,
)
from dts_fsm.registry import build_databases, build_endpoints, database_factory, endpoint_factory

PLUGIN = '''\
"""A package of providers that only notes what it is asked for."""

import threading

made = []
gate = threading.Event()
entered = threading.Event()


class Thing:
    def __init__(self, config, **given):
        self.config, self.given = config, given
        made.append(config.key)


def waiting(config, **given):
    entered.set()
    assert gate.wait(30)
    return Thing(config, **given)


def failing(config, **given):
    raise config.options["raise"]


number = 5
'''


class Site:
    """A folder on the module path into which packages are installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def module(self, name: str, source: str = PLUGIN) -> None:
        (self.folder / f"{name}.py").write_text(source, encoding="utf-8")

    def distribution(self, name: str, endpoints: str = "", databases: str = "") -> None:
        info = self.folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        points = f"[dts_fsm.endpoints]\n{endpoints}\n[dts_fsm.databases]\n{databases}\n"
        (info / "entry_points.txt").write_text(points, encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if name.startswith("dts_test_"):
            del sys.modules[name]
    importlib.invalidate_caches()


def config(provider: str = "orbital", kind: str = "sky", *, root: str = "/", **options: object) -> Config:
    return Config(
        service=ServiceConfig(data_dir="/srv", endpoint="one"),
        endpoints={
            "one": EndpointConfig(key="one", provider=provider, root=root, options=options),
            "two": EndpointConfig(key="two", provider=provider, root=root, options=options),
        },
        databases={"stars": DatabaseConfig(key="stars", provider=kind, endpoints={"": "one"}, options=options)},
    )


# Finding


def test_the_providers_that_come_with_dts_fsm_are_found_as_anybody_s() -> None:
    assert endpoint_factory("local") == LocalEndpoint.from_config
    assert database_factory("catalog") == CatalogDatabase.from_config


def test_another_package_s_providers_are_found(site: Site) -> None:
    site.module("dts_test_orbit")
    site.distribution("orbit", "orbital = dts_test_orbit:Thing", "sky = dts_test_orbit:Thing")

    assert endpoint_factory("orbital").__name__ == "Thing"  # type: ignore[attr-defined]
    assert database_factory("sky") is endpoint_factory("orbital")


def test_a_package_that_is_on_the_path_twice_offers_its_providers_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.module("dts_test_orbit")
    site.distribution("orbit", "orbital = dts_test_orbit:Thing")
    (tmp_path / "again").mkdir()
    Site(tmp_path / "again").distribution("orbit", "orbital = dts_test_orbit:Thing")
    monkeypatch.syspath_prepend(str(tmp_path / "again"))

    assert endpoint_factory("orbital").__name__ == "Thing"  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", ["dts_test_never_installed:X", "dts_test_orbit:Nothing", "dts_test_broken:X"])
def test_a_provider_that_cannot_be_imported_names_its_package_and_the_cause(site: Site, module: str) -> None:
    site.module("dts_test_orbit")
    site.module("dts_test_broken", "raise SystemExit('no licence')")
    site.distribution("orbit", f"orbital = {module}")

    with pytest.raises(
        InvalidProviderError, match=f"the package orbit offers .* {module} cannot be imported"
    ) as caught:
        endpoint_factory("orbital")

    assert str(caught.value.__cause__) in str(caught.value)


def test_a_provider_that_cannot_be_called_is_refused(site: Site) -> None:
    site.module("dts_test_orbit")
    site.distribution("orbit", "orbital = dts_test_orbit:number")

    with pytest.raises(InvalidProviderError, match="dts_test_orbit:number cannot be called"):
        endpoint_factory("orbital")


def test_an_unknown_provider_is_answered_with_those_that_are_installed(site: Site) -> None:
    site.distribution("orbit", "orbital = dts_test_orbit:Thing")

    with pytest.raises(InvalidProviderError, match="endpoint provider 'locl'; installed are: .*local, .*orbital.*;"):
        endpoint_factory("locl")
    with pytest.raises(
        InvalidProviderError,
        match="database provider 'globe'; installed are: bucket, catalog, http, jdp, kbase, nmdc;",
    ):
        database_factory("globe")


def test_where_nothing_is_installed_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())

    with pytest.raises(InvalidProviderError, match="installed are: none"):
        endpoint_factory("local")


@pytest.mark.parametrize(("provider", "extra"), [("s3", "s3"), ("globus", "globus")])
def test_a_provider_that_an_extra_brings_is_answered_with_the_extra(
    provider: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())

    with pytest.raises(InvalidProviderError, match=rf"pip install 'dts-fsm\[{extra}\]'"):
        endpoint_factory(provider)
    with pytest.raises(InvalidProviderError, match=r"pip install 'dts-fsm\[s3\]'"):
        database_factory("bucket")


def test_a_provider_whose_extra_is_missing_is_answered_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dts_fsm.endpoints.s3.endpoint", None)

    with pytest.raises(InvalidProviderError, match=r"cannot be imported: .*: pip install 'dts-fsm\[s3\]'"):
        endpoint_factory("s3")


def test_two_packages_with_one_provider_are_both_named(site: Site) -> None:
    site.module("dts_test_orbit")
    site.distribution("orbit", "orbital = dts_test_orbit:Thing", "catalog = dts_test_orbit:Thing")
    site.distribution("comet", "orbital = dts_test_orbit:Thing")

    with pytest.raises(AlreadyRegisteredError, match="'orbital': comet, orbit; uninstall"):
        endpoint_factory("orbital")
    with pytest.raises(AlreadyRegisteredError, match="'catalog': dts-fsm, orbit; uninstall"):
        database_factory("catalog")


# Making


def test_endpoints_and_databases_are_made_when_they_are_first_looked_up(site: Site) -> None:
    site.module("dts_test_orbit")
    site.distribution("orbit", "orbital = dts_test_orbit:Thing", "sky = dts_test_orbit:Thing")
    settings = config()

    with ThreadPoolExecutor(1) as executor:
        endpoints = build_endpoints(settings, executor=executor)
        databases = build_databases(settings, endpoints)
        names = [list(endpoints), len(endpoints), "one" in endpoints, "six" in endpoints, 5 in endpoints]
        assert names == [["one", "two"], 2, True, False, False]
        assert (repr(endpoints), repr(databases)) == ("<one, two>", "<stars>")
        assert "dts_test_orbit" not in sys.modules

        stars = databases["stars"]
        module = sys.modules["dts_test_orbit"]
        assert module.made == ["stars"]
        assert (stars.config, stars.given) == (settings.databases["stars"], {"endpoints": endpoints})

        one = endpoints["one"]
        assert (one.config, one.given) == (settings.endpoints["one"], {"executor": executor})
        assert endpoints["one"] is one
        assert module.made == ["stars", "one"]
        assert endpoints.made() == {"one": one}


def test_without_an_executor_the_factory_is_told_so(site: Site) -> None:
    site.module("dts_test_orbit")
    site.distribution("orbit", "orbital = dts_test_orbit:Thing")

    assert build_endpoints(config())["one"].given == {"executor": None}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "folder"), [("one", "one"), ("a/b", "a%2Fb"), ("..", "%2E%2E"), ("two words", "two words")]
)
def test_each_endpoint_has_a_folder_of_its_own_for_what_must_survive_a_restart(
    site: Site, name: str, folder: str
) -> None:
    site.module("dts_test_orbit")
    site.distribution("orbit", "orbital = dts_test_orbit:Thing")
    section = EndpointConfig(key=name, provider="orbital")
    settings = Config(service=ServiceConfig(data_dir="/srv", endpoint=name), endpoints={name: section})

    assert build_endpoints(settings)[name].config.state_dir == Path("/srv/endpoints") / folder  # type: ignore[attr-defined]
    given = attrs.evolve(section, state_dir=Path("/elsewhere"))
    there = build_endpoints(attrs.evolve(settings, endpoints={name: given}))
    assert there[name].config.state_dir == Path("/elsewhere")  # type: ignore[attr-defined]


def test_an_unknown_name_is_a_key_error_and_get_gives_its_default() -> None:
    endpoints = build_endpoints(config())

    assert endpoints.get("six") is None
    with pytest.raises(KeyError):
        endpoints["six"]


def test_threads_that_ask_at_once_get_one_object_and_others_do_not_wait(site: Site) -> None:
    site.module("dts_test_orbit")
    site.distribution("orbit", "orbital = dts_test_orbit:waiting\nother = dts_test_orbit:Thing")
    names = {"one": "orbital", "two": "other"}
    sections = {name: EndpointConfig(key=name, provider=provider) for name, provider in names.items()}
    endpoints = build_endpoints(attrs.evolve(config(), endpoints=sections))
    got: list[object] = []
    threads = [threading.Thread(target=lambda: got.append(endpoints["one"]), daemon=True) for _ in range(8)]
    module = importlib.import_module("dts_test_orbit")
    for thread in threads:
        thread.start()
    assert module.entered.wait(30)

    other = endpoints["two"]  # while "one" is being made
    module.gate.set()
    for thread in threads:
        thread.join(30)

    assert module.made == ["two", "one"]
    assert (len(got), set(map(id, got))) == (8, {id(endpoints["one"])})
    assert endpoints.made() == {"two": other, "one": got[0]}


def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    endpoints = build_endpoints(config("local", root=str(tmp_path / "files")))
    with pytest.raises(InvalidEndpointConfigError, match="not an existing folder"):
        endpoints["one"]
    (tmp_path / "files").mkdir()

    assert endpoints["one"].root == str(tmp_path / "files")


# What goes wrong

FILE = """\
service:
  data_dir: state
  endpoint: one
endpoints:
  one:
    provider: local
    root: nowhere
  two:
    provider: absent
databases:
  genomes:
    endpoint: one
    staging_delay: -1
  stars:
    provider: sky
    endpoint: one
"""


def located(error: ConfigurationError) -> tuple[type, str | None, int | None, str | None]:
    return type(error), error.file, error.line, error.key


def test_what_a_factory_refuses_has_file_line_and_key(tmp_path: Path) -> None:
    file = tmp_path / "dts.yaml"
    file.write_text(FILE, encoding="utf-8")
    endpoints = build_endpoints(Config.load(file))
    databases = build_databases(Config.load(file), endpoints)
    errors = {}
    for mapping, name in ((endpoints, "one"), (endpoints, "two"), (databases, "genomes"), (databases, "stars")):
        with pytest.raises(ConfigurationError) as caught:
            mapping[name]  # type: ignore[index]
        errors[name] = located(caught.value)
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(ConfigurationError) as caught:
        databases["genomes"]

    assert errors == {
        "one": (InvalidEndpointConfigError, str(file), 7, "endpoints.one.root"),
        "two": (InvalidProviderError, str(file), 9, "endpoints.two.provider"),
        "genomes": (InvalidEndpointConfigError, str(file), 7, "endpoints.one.root"),  # what it is made from
        "stars": (InvalidProviderError, str(file), 15, "databases.stars.provider"),
    }
    assert located(caught.value) == (InvalidDatabaseConfigError, str(file), 13, "databases.genomes.staging_delay")


@pytest.mark.parametrize(
    ("error", "kind", "key", "message"),
    [
        (InvalidDatabaseConfigError("wrong"), InvalidDatabaseConfigError, "databases.stars", "wrong"),
        (InvalidDatabaseConfigError("wrong", key="lens"), InvalidDatabaseConfigError, "databases.stars.lens", "wrong"),
        (InvalidEndpointConfigError("x", key="endpoints.one.a"), InvalidEndpointConfigError, "endpoints.one.a", "x"),
        (
            InvalidDatabaseConfigError("wrong", file="users.csv", line=3, key="orcid"),
            InvalidDatabaseConfigError,
            "databases.stars",
            "users.csv:3: orcid: wrong",
        ),
        (
            OSError("the dish is broken"),
            InvalidDatabaseConfigError,
            "databases.stars",
            "its provider could not set it up: OSError: the dish is broken",
        ),
    ],
)
def test_whatever_a_factory_raises_names_the_key(
    site: Site, error: Exception, kind: type[ConfigurationError], key: str, message: str
) -> None:
    site.module("dts_test_orbit")
    site.distribution("orbit", "", "sky = dts_test_orbit:failing")

    with pytest.raises(ConfigurationError) as caught:
        build_databases(config(**{"raise": error}), {})["stars"]

    assert located(caught.value) == (kind, None, None, key)
    assert caught.value.message == message
    assert caught.value.__cause__ is error


def test_an_import_that_fails_is_the_cause_of_what_a_look_up_raises(site: Site) -> None:
    site.distribution("orbit", "orbital = dts_test_never_installed:X")

    with pytest.raises(InvalidProviderError) as caught:
        build_endpoints(config())["one"]

    assert located(caught.value) == (InvalidProviderError, None, None, "endpoints.one.provider")
    assert type(caught.value.__cause__) is ModuleNotFoundError


@pytest.mark.parametrize("kind", [OSError, InvalidEndpointConfigError])
def test_a_secret_in_what_a_factory_raises_is_taken_out(site: Site, kind: type[Exception]) -> None:
    site.module("dts_test_orbit")
    site.distribution("orbit", "orbital = dts_test_orbit:failing")
    endpoint = EndpointConfig(
        key="one",
        provider="orbital",
        credential=Credential(name="ground", id="control", secret=Secret("s3cret-major-tom")),
        options={"raise": kind("control/s3cret-major-tom was refused")},
    )
    settings = Config(service=ServiceConfig(data_dir="/srv", endpoint="one"), endpoints={"one": endpoint})

    with pytest.raises(InvalidEndpointConfigError, match=r"control/\*\*\* was refused") as caught:
        build_endpoints(settings)["one"]

    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_our_own_providers_are_made_from_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    settings = config("local", "catalog", root=str(tmp_path / "files"))
    endpoints = build_endpoints(settings)
    databases = build_databases(settings, endpoints)

    assert (endpoints["one"].provider, endpoints["one"].root) == ("local", str(tmp_path / "files"))
    assert list(databases["stars"].endpoint_names()) == ["one"]
