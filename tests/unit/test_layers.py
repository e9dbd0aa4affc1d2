"""Imports go one way: each layer knows those before it, and one module alone knows each foreign library."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

PACKAGE = Path(__file__).parents[2] / "dts_fsm"

LAYERS = (
    {"errors": "every error, in one tree"},
    {"records": "what everybody speaks of: frozen values that know no JSON, no rows and no machines"},
    {
        "clock": "the system's time",
        "config": "a configuration, from a file or made in memory",
        "interfaces": "the contracts of databases, endpoints, handlers and clocks",
        "serialization": "records to JSON and back",
        "statechart": "charts: read, checked, run and drawn",
    },
    {"web": "asks services over HTTP"},
    {
        "askers": "asks plug-ins while somebody waits, with a time-out",
        "manifest": "the text of a manifest",
        "registry": "finds the installed providers and makes what the configuration describes",
        "report": "the page on an installation",
        "store": "rows in SQLite, and the contract of a store",
    },
    {"engine": "decides: the only writer of state"},
    {
        "databases": "the databases that come with the package",
        "endpoints": "the endpoints that come with the package",
        "handlers": "what does the work of a state: stager, mover, manifestor",
        "lanes": "makes the handlers' calls, each in its own lane",
        "messages": "what subscribers hear of",
        "planner": "everything that is checked before a transfer is stored",
    },
    {"underway": "what the scheduler has in hand: rows, calls, and the ends of moves"},
    {"scheduler": "the tick"},
    {"running": "puts a running orchestrator together"},
    {"inquiries": "what can be asked of a running orchestrator"},
    {"testing": "fakes, the rig and the conformance suites; nothing else in the package imports it"},
    {"orchestrator": "the library's front"},
    {"dts_fsm": "the public names"},
    {"cli": "the command"},
)
"""From the innermost to the outermost: a layer imports from those of earlier groups, never from its neighbours."""

HOME = {
    "asyncssh": {"endpoints/sftp/"},
    "awscrt": {"endpoints/s3/"},
    "boto3": {"endpoints/s3/"},
    "botocore": {"endpoints/s3/"},
    "cattrs": {"serialization.py"},
    "click": {"cli/"},
    "fsspec": {"endpoints/fsspec/"},
    "globus_sdk": {"endpoints/globus/"},
    "obstore": {"endpoints/s3/"},
    "requests": {"endpoints/globus/"},
    "rich": {"cli/"},
    "sqlite3": {"store/"},
    "sqlite_utils": {"store/"},
    "transitions": {"statechart/machine.py"},
    "urllib3": {"web/"},
    "yaml": {"config/yaml_text.py"},
}
"""Where a library may be imported: everything else is spared its types, its errors and its changes."""

LATE: dict[str, str] = {}
"""Imports inside of functions, ``file: module``, each with its reason."""


@attrs.frozen
class Import:
    """One imported module: where it stands, what it names, and whether it stands within a function."""

    file: str
    module: str
    line: int
    late: bool


def _imports(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    file = path.relative_to(PACKAGE).as_posix()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are written out in full"
            modules = [node.module or ""]
            if node.module == "dts_fsm":
                # ``from dts_fsm import errors`` means the module, ``from dts_fsm import Config`` the public name
                here = [alias.name for alias in node.names if _layer_index(alias.name) is not None]
                modules = [f"dts_fsm.{name}" for name in here] if len(here) == len(node.names) else ["dts_fsm"]
        else:
            continue
        for module in modules:
            yield Import(file, module, node.lineno, id(node) in inner)


def _layer_index(layer: str) -> int | None:
    return next((index for index, names in enumerate(LAYERS) if layer in names), None)


def _layer_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def _own_layer(file: str) -> str:
    first = file.partition("/")[0].removesuffix(".py")
    return "dts_fsm" if first == "__init__" else first


FILES = sorted(PACKAGE.rglob("*.py"))
IMPORTS = [found for path in FILES for found in _imports(path)]
OURS = [found for found in IMPORTS if found.module.partition(".")[0] == "dts_fsm"]


def test_every_module_belongs_to_a_layer() -> None:
    strangers = {_own_layer(path.relative_to(PACKAGE).as_posix()) for path in FILES}
    strangers -= {name for names in LAYERS for name in names}
    assert set() == strangers


def test_every_layer_exists() -> None:
    layers = {_own_layer(path.relative_to(PACKAGE).as_posix()) for path in FILES}
    assert {name for names in LAYERS for name in names} == layers


def test_imports_go_one_way() -> None:
    wrong = set()
    for found in OURS:
        importer, imported = _own_layer(found.file), _layer_of(found.module)
        here, there = _layer_index(importer), _layer_index(imported)
        if importer != imported and (here is None or there is None or there >= here):
            wrong.add(f"{found.file}:{found.line} imports {found.module}")
    assert set() == wrong


def test_only_tests_and_hosts_import_the_test_kit() -> None:
    importers = {found.file for found in OURS if _layer_of(found.module) == "testing"}
    assert set() == {file for file in importers if not file.startswith("testing/")}


@pytest.mark.parametrize("library", sorted(HOME))
def test_a_library_is_known_to_one_place_only(library: str) -> None:
    importers = {found.file for found in IMPORTS if found.module.partition(".")[0] == library}
    homes = tuple(HOME[library])
    assert (set(), True) == ({file for file in importers if not file.startswith(homes)}, bool(importers))


def test_imports_stand_at_the_top_but_for_those_with_a_reason() -> None:
    late = {f"{found.file}: {found.module}" for found in IMPORTS if found.late}
    assert LATE.keys() == late


def test_a_wrong_import_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    path = tmp_path / "records.py"
    path.write_text("def f():\n    from dts_fsm import store\n    from dts_fsm import Config\n", encoding="utf-8")
    expected = [("dts_fsm.store", 2, True), ("dts_fsm", 3, True)]
    assert expected == [(found.module, found.line, found.late) for found in _imports(path)]
