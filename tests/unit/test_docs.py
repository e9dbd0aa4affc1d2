"""The documentation is true: its commands and programs run, its tables are complete, its links lead somewhere.

A page with commands or programs is run from top to bottom in a folder of its own: ``console`` blocks line by line,
``python`` blocks in one namespace, a block whose first line is ``# NAME.yaml`` or ``# NAME.py`` is saved under that
name, and a ``text`` block is what the program above it printed. ``...`` stands for any text. A command that ends in
``&`` runs until the page has ended. The port 8000 is another one that is free. What a ``toml`` block that begins with
``# pyproject.toml`` offers is offered from there on, as if the package had been installed.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import click
import pytest

import dts_fsm
from dts_fsm.cli.main import main
from dts_fsm.config import Config, ServiceConfig
from dts_fsm.config.keys import DATABASE_KEYS, DATABASE_OPTIONS, ENDPOINT_KEYS, ENDPOINT_OPTIONS
from tests.pages import CHECKOUT, DOCS, Block, blocks, without_blocks

PAGES = sorted(
    path for path in (*CHECKOUT.glob("*.md"), *DOCS.rglob("*.md")) if "_build" not in path.relative_to(CHECKOUT).parts
)

_SERVICE = re.compile(r"(?P<command>[^>]+) (?P<output>2>|>)(?P<log>\S+)(?: 2>&1)? &$")
_PORT = re.compile(r"\b8000\b")
_TIMEOUT_S = 60.0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _name(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


SESSIONS = [path for path in PAGES if any(block.kind in ("console", "python") for block in blocks(path))]


# What is written and what comes out differ in what nobody can foresee


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UNFORESEEN = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)"), "<time>"),
    (re.compile(r"in [\d.,]+ s, [\d.,]+ \w+/s"), "in <seconds>"),
)
_CHECKER = doctest.OutputChecker()
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Session:
    """A reader who follows a page in a folder of their own.

    Attributes:
        ids: the ids that the page shows, and those that came out instead.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "work"
        (self.folder / "tests" / "data").mkdir(parents=True)
        shutil.copytree(CHECKOUT / "tests" / "data" / "genomes", self.folder / "tests" / "data" / "genomes")
        commands = folder / "bin"
        commands.mkdir()
        script = commands / "dts-fsm"
        program = 'from dts_fsm.cli.main import main\nmain(prog_name="dts-fsm")\n'
        script.write_text(f"#!{sys.executable}\n{program}", encoding="utf-8")
        script.chmod(0o755)
        self._packages = folder / "packages"
        path = os.pathsep.join(
            (str(self.folder), str(self._packages), str(CHECKOUT), os.environ.get("PYTHONPATH", ""))
        ).rstrip(os.pathsep)
        for name in ("COLUMNS", "DTS_FSM_CONFIG", "DTS_FSM_DATA_DIR", "DTS_FSM_ORCID"):
            monkeypatch.delenv(name, raising=False)
        self._settings = {
            "HOME": str(folder),
            "LC_ALL": "C",
            "PATH": os.pathsep.join((str(commands), str(Path(sys.executable).parent), os.environ["PATH"])),
            "PYTHONPATH": path,
            "PYTHONUNBUFFERED": "1",  # output and errors come in their order, as in a terminal
            "USER": "ada",
            "XDG_STATE_HOME": str(folder / "states"),
        }
        monkeypatch.chdir(self.folder)
        self.ids: dict[str, str] = {}
        self._namespace: dict[str, Any] = {"__name__": "__main__"}
        self._printed = ""
        self._services: list[subprocess.Popen[str]] = []
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]

    def follow(self, block: Block) -> None:
        """Do what the block says, and compare what it shows."""
        block = attrs.evolve(block, text=_PORT.sub(str(self._port), block.text))
        match block.kind:
            case "yaml" | "python" if block.save(self.folder):
                return
            case "toml" if block.text.startswith("# pyproject.toml\n"):
                self._install(tomllib.loads(block.text)["project"])
            case "console":
                for command, expected in _commands(block.text):
                    self._compare(block, expected, self._run(command))
            case "python":
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    exec(compile(block.text, f"block in line {block.line}", "exec"), self._namespace)
                self._printed = printed.getvalue()
            case "text":
                self._compare(block, block.text, self._printed)

    def _install(self, project: dict[str, Any]) -> None:
        """Its metadata are found where those of installed packages are; its modules are in the reader's folder."""
        name, version = project["name"], project["version"]
        metadata = self._packages / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
        )
        offers = [
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
            for group, entries in project["entry-points"].items()
        ]
        (metadata / "entry_points.txt").write_text("\n".join(offers), encoding="utf-8")

    def _run(self, command: str) -> str:
        for shown, actual in self.ids.items():
            command = command.replace(shown, actual)
        if command.startswith("export "):
            self._settings |= dict(setting.split("=", 1) for setting in command.split()[1:])
            return ""
        if match := _SERVICE.match(command):
            return self._serve(match["command"], match["log"], says_when_ready=match["output"] == "2>")
        done = subprocess.run(
            ["bash", "-c", command],
            env=os.environ | self._settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        return done.stdout

    def _serve(self, command: str, log: str, *, says_when_ready: bool) -> str:
        """The service is ready: it wrote a line, or it listens where its log has its output, too."""
        with (self.folder / log).open("w", encoding="utf-8") as output:
            service = subprocess.Popen(
                shlex.split(command),
                env=os.environ | self._settings,
                stdout=subprocess.PIPE if says_when_ready else output,
                stderr=output,
                text=True,
            )
        self._services.append(service)
        if service.stdout is not None:
            return service.stdout.readline()
        deadline_s = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1.0).close()
            except OSError:
                if service.poll() is not None or time.monotonic() > deadline_s:
                    said = (self.folder / log).read_text(encoding="utf-8")
                    pytest.fail(f"{command} does not serve:\n{said}")
                time.sleep(0.02)
            else:
                return ""

    def _compare(self, block: Block, expected: str, actual: str) -> None:
        for shown, came in zip(_UUID.findall(expected), _UUID.findall(actual), strict=False):
            self.ids.setdefault(shown, came)
        for shown, came in self.ids.items():
            actual = actual.replace(came, shown)
        actual = actual.replace(str(self.folder), "/home/ada/work").replace(f":{self._port}", ":8000")
        for pattern, word in _UNFORESEEN:
            expected, actual = pattern.sub(word, expected), pattern.sub(word, actual)
        if not _CHECKER.check_output(expected, actual, _FLAGS):
            pytest.fail(f"the block in line {block.line} says\n{expected}\nand what came out is\n{actual}")

    def end(self) -> None:
        """The services have ended."""
        for service in self._services:
            service.terminate()
        for service in self._services:
            service.communicate(timeout=_TIMEOUT_S)


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, and what it shows."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A fresh reader."""
    reader = Session(tmp_path, monkeypatch)
    yield reader
    reader.end()


@pytest.mark.parametrize("page", SESSIONS, ids=_name)
def test_a_reader_who_follows_a_page_sees_what_it_says(page: Path, session: Session) -> None:
    for block in blocks(page):
        session.follow(block)


def test_a_page_that_says_something_else_would_be_found(session: Session) -> None:
    session.follow(Block("python", "print('one', 2)", 1))
    session.follow(Block("text", "one ...\n", 2))
    with pytest.raises(pytest.fail.Exception, match="the block in line 3 says"):
        session.follow(Block("text", "one 3\n", 3))


# Every block of a kind


def _of_kind(kind: str) -> list[Any]:
    return [
        pytest.param(block.text, id=f"{_name(path)}:{block.line}")
        for path in PAGES
        for block in blocks(path)
        if block.kind == kind
    ]


@pytest.mark.parametrize("text", _of_kind("yaml"))
def test_every_configuration_can_be_read(text: str) -> None:
    environment = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "1")
    assert isinstance(Config.parse(text, environment=environment), Config)


@pytest.mark.parametrize("text", _of_kind("toml"))
def test_every_project_file_can_be_read(text: str) -> None:
    assert isinstance(tomllib.loads(text), dict)


# Copies


def test_the_state_diagram_of_the_readme_is_current() -> None:
    drawn = [block.text for block in blocks(CHECKOUT / "README.md") if block.kind == "mermaid"]
    assert [_read(CHECKOUT / "statecharts" / "diagrams" / "transfer.mmd")] == drawn


def test_the_changelog_begins_with_what_is_not_released() -> None:
    first = re.search(r"^## (.*)$", _read(CHECKOUT / "CHANGELOG.md"), re.M)
    assert first is not None
    assert first[1] == "[Unreleased]"


# The configuration reference


_ROW = re.compile(r"^\| `(?P<key>[^`]+)` \| (?P<default>[^|]*) \| (?P<unit>[^|]*) \|", re.M)
_UNITS = {" s": "s", " GB": "GB", " s (a file has it in ms)": "ms", " calls/s": "calls/s", "": ""}


def _reference_rows(heading: str) -> dict[str, tuple[str, str]]:
    text = _read(DOCS / "how-to" / "configuration.md")
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section is not None, heading
    return {row["key"]: (row["default"].strip(), row["unit"].strip()) for row in _ROW.finditer(section[1])}


def _shown(value: object, scale: float) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{value * scale:.10g}`"
    return f"`{value}`" if value else ""


def test_the_configuration_reference_has_every_setting_with_its_default_and_unit() -> None:
    expected = {}
    for field in attrs.fields(ServiceConfig):
        metadata = field.metadata
        default = "" if field.default is attrs.NOTHING else field.default
        expected[metadata["key"]] = (_shown(default, metadata["scale"]), _UNITS[metadata["unit"]])
    # a file must name these two, and the third depends on the first
    expected |= dict.fromkeys(("data_dir", "endpoint"), ("required", "")) | {
        "manifest_dir": ("manifests in data_dir", "")
    }
    assert expected == _reference_rows("service")


@pytest.mark.parametrize(
    ("heading", "keys"),
    [
        ("endpoints", {**ENDPOINT_KEYS, **ENDPOINT_OPTIONS["local"]}),
        ("databases", {**DATABASE_KEYS, **DATABASE_OPTIONS["catalog"]}),
        ("credentials", {"id": 1, "secret": 1}),
    ],
)
def test_the_configuration_reference_has_every_key_of_a_section(heading: str, keys: dict[str, Any]) -> None:
    assert set(keys) == set(_reference_rows(heading))


# What pages refer to


_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
_TEST = re.compile(r"`(?P<file>[\w/]+\.py)::(?P<names>[\w:]+)`")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_within_the_checkout_lead_somewhere(page: Path) -> None:
    text = without_blocks(_read(page))
    targets = {target for target in _LINK.findall(text) if "://" not in target}
    assert set() == {target for target in targets if not (page.parent / target).exists()}


def _tests_of(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(_read(path)).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return names


def test_every_guarantee_is_shown_by_tests_that_exist() -> None:
    text = _read(DOCS / "guarantees.md")
    silent = {part.partition("\n")[0] for part in text.split("\n## ")[1:] if not _TEST.search(part)}
    assert silent == {"How strong the tests are", "How the invariants are attacked", "What is not promised"}
    missing = {match[0] for match in _TEST.finditer(text) if match["names"] not in _tests_of(CHECKOUT / match["file"])}
    assert set() == missing


def test_files_that_pages_speak_of_exist() -> None:
    spoken = re.compile(r"`((?:dts_fsm|statecharts|tests|docs)/[\w./-]+\.(?:py|toml|md|mmd))`")
    named = {(_name(page), path) for page in PAGES for path in spoken.findall(_read(page))}
    assert set() == {(page, path) for page, path in named if not (CHECKOUT / path).exists()}


def test_every_command_of_make_that_pages_speak_of_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z]+):", _read(CHECKOUT / "Makefile"), re.M))
    named = {target for page in PAGES for target in re.findall(r"(?:^|`)make ([a-z]+)", _read(page), re.M)}
    assert set() == named - targets


def test_every_command_of_dts_fsm_that_pages_speak_of_exists() -> None:
    named = {word for page in PAGES for word in re.findall(r"\bdts-fsm ([a-z]+)", _read(page))}
    assert set() == named - set(main.commands)


def test_the_command_of_the_unit_file_is_one_that_dts_fsm_has() -> None:
    (unit,) = (block for block in blocks(DOCS / "how-to" / "service.md") if block.kind == "ini")
    command = re.search(r"^ExecStart=\S*/dts-fsm (\w+) (.*)$", unit.text, re.M)
    assert command is not None
    parameters = main.commands[command[1]].make_context(command[1], command[2].split()).params
    assert {"config_file": Path("/etc/dts-fsm/dts.yaml")} == parameters


def test_every_command_has_a_help_text() -> None:
    def bare(command: click.Command, path: str) -> Iterator[str]:
        if not command.help:
            yield path
        for name, below in getattr(command, "commands", {}).items():
            yield from bare(below, f"{path} {name}")

    assert set() == set(bare(main, "dts-fsm"))


def test_every_public_name_is_in_the_reference() -> None:
    text = "\n".join(_read(page) for page in sorted((DOCS / "reference").glob("*.md")))
    modules = set(re.findall(r"^\.\. automodule:: (\S+)", text, re.M))
    named = set(re.findall(r"^\.\. auto(?:class|function|data):: (\S+)", text, re.M))
    missing = set()
    for name in set(dts_fsm.__all__) - {"__version__"}:
        home = getattr(dts_fsm, name).__module__
        if home not in modules and f"{home}.{name}" not in named and f"dts_fsm.{name}" not in named:
            missing.add(f"{home}.{name}")
    assert set() == missing


def test_every_decision_is_listed() -> None:
    records = {path.stem for path in (DOCS / "adr").glob("0*.md")}
    index = _read(DOCS / "adr" / "index.md")
    assert records == set(re.findall(r"^(\d{4}-[\w-]+)$", index, re.M))
